import ArgumentParser
import Foundation
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedRuns
import UniMedTraining

extension RunStore {
    /// The store unless the command line names one: that of the environment, or the standard one.
    static var usualPath: String { ProcessInfo.processInfo.environment["UNIMED_STORE"] ?? standardPath }
}

/// Where runs and scores are recorded.
struct StoreOptions: ParsableArguments {
    @Option(name: .long, help: "The file in which runs and scores are recorded.", completion: .file())
    var store = RunStore.usualPath

    @Flag(name: .long, help: "Record nothing.")
    var noStore = false

    /// `nil` when nothing is recorded.
    var recording: RunRecording? { noStore ? nil : RunRecording(file: URL(fileURLWithPath: store)) }
}

/// Records what a command has finished; a failure is told and changes nothing else.
struct RunRecording {
    /// The store.
    let file: URL

    private func attempt(_ work: (RunStore) throws -> Void) {
        do {
            try work(try RunStore(at: file))
        } catch {
            Terminal.note("runs: not recorded: \(oneLine(error))")
        }
    }

    /// Records a run's folder as it is.
    func record(run folder: URL) {
        attempt { store in
            guard try record(run: folder, in: store) != nil else {
                throw Failure.failed("\(folder.path): no run.json")
            }
        }
    }

    /// Records an evaluation, and the run of its model.
    func record(_ summary: EvaluationFile, folder: URL, command: String = "evaluate") {
        guard let scores = summary.scores else { return }
        record(
            scores,
            files: [folder.appendingPathComponent("predictions.jsonl")],
            command: command,
            split: summary.split
        )
    }

    /// Records the scores of files of predictions, one file for each run of the report or all files for one.
    func record(_ report: ScoreReport, files: [URL], command: String, split: String? = nil) {
        attempt { store in
            if report.runCount == files.count {
                for (run, file) in files.enumerated() {
                    try record(report, run: run, files: [file], command: command, split: split, in: store)
                }
            } else if report.runCount == 1 {
                try record(report, run: 0, files: files, command: command, split: split, in: store)
            } else {
                throw Failure.failed("\(files.count) files are parts of \(report.runCount) runs: which, is not known")
            }
        }
    }

    private func record(
        _ report: ScoreReport,
        run: Int,
        files: [URL],
        command: String,
        split: String?,
        in store: RunStore
    ) throws {
        var runID: String?
        if let folder = files.first.flatMap(RunRecording.runFolder) { runID = try record(run: folder, in: store) }
        let digests = try files.map { try DataFile.digest(of: $0).sha256 }
        let digest = digests.count == 1 ? digests[0] : RunRecording.digest(digests.joined(separator: "\n"))
        let rows = report.rows
        let id = String(RunRecording.digest("\(runID ?? "")\n\(digest)").prefix(16))
        let evaluation = StoredEvaluation(
            id: id,
            runID: runID,
            recorded: Date().ISO8601Format(),
            command: command,
            predictions: files.map(\.standardizedFileURL.path).joined(separator: "\n"),
            predictionsDigest: digest,
            predictionCount: rows.filter { $0.subset == .all }.reduce(0) { $0 + $1.n },
            split: split
        )
        let scores = rows.flatMap { row in
            row.cells.compactMap { cell -> StoredScore? in
                guard cell.runs.indices.contains(run) else { return nil }
                let isOnly = report.runCount == 1
                return StoredScore(
                    evaluationID: id,
                    dataset: row.dataset,
                    task: row.task.rawValue,
                    subset: row.subset.rawValue,
                    metric: cell.metric.rawValue,
                    isPrimary: cell.metric == row.primary,
                    n: cell.n,
                    skipped: row.skipped,
                    unparsable: row.unparsable.indices.contains(run) ? row.unparsable[run] : 0,
                    leaks: row.leaks.map { _ in row.leakText },
                    value: cell.runs[run],
                    lower: isOnly ? cell.lower : nil,
                    upper: isOnly ? cell.upper : nil
                )
            }
        }
        try store.record(evaluation, scores: scores)
    }

    // MARK: Runs

    /// What `run.json` says; everything may be missing in those of earlier versions.
    private struct Record: Decodable {
        let name: String?
        let started: String?
        let commit: String?
        let torchVersion: String?
        let system: String?
        let seed: UInt64?
        let device: String?
        let precision: String?
        let threads: Int?
        let dataKey: String?
        let tokenizerDigest: String?
        let featuresKey: String?
    }

    /// - Returns: The run's identifier; `nil` when the folder is none of a run.
    private func record(run folder: URL, in store: RunStore) throws -> String? {
        let path = folder.standardizedFileURL.path
        guard let bytes = FileManager.default.contents(atPath: folder.appendingPathComponent("run.json").path),
            let record = try? JSONDecoder().decode(Record.self, from: bytes)
        else { return nil }
        let started = record.started ?? ""
        let id = String(RunRecording.digest("\(path)\n\(started)").prefix(12))
        var recipe: StoredRecipe?
        let recipeFile = folder.appendingPathComponent("recipe.yaml")
        if let text = FileManager.default.contents(atPath: recipeFile.path) {
            let yaml = String(decoding: text, as: UTF8.self)
            let fields = try Recipe.load(contentsOf: recipeFile).fields()
            recipe = StoredRecipe(digest: RunRecording.digest(yaml), yaml: yaml, fields: fields)
        }
        let hasMetrics = FileManager.default.fileExists(atPath: folder.appendingPathComponent("metrics.jsonl").path)
        let metrics = hasMetrics ? try TrainingMetrics.read(from: folder) : []
        let run = StoredRun(
            id: id,
            name: record.name ?? folder.lastPathComponent,
            folder: path,
            isFinished: RunJob.isFinished(folder),
            started: started,
            updated: Date().ISO8601Format(),
            commit: record.commit,
            torchVersion: record.torchVersion,
            system: record.system,
            seed: record.seed.map { "\($0)" } ?? "",
            device: record.device,
            precision: record.precision,
            threads: record.threads,
            dataKey: record.dataKey,
            tokenizerDigest: record.tokenizerDigest,
            featuresKey: record.featuresKey,
            steps: metrics.last?.step ?? 0,
            seconds: metrics.last?.elapsedSeconds ?? 0,
            loss: metrics.last?.loss,
            recipeDigest: recipe?.digest
        )
        try store.record(run, recipe: recipe, curves: RunRecording.curves(metrics))
        return id
    }

    private static func curves(_ metrics: [TrainingMetrics]) -> [StoredCurve] {
        guard !metrics.isEmpty else { return [] }
        let steps = metrics.map(\.step)
        var curves = [
            StoredCurve(series: "loss", steps: steps, values: metrics.map(\.loss)),
            StoredCurve(series: "learning_rate", steps: steps, values: metrics.map(\.learningRate)),
            StoredCurve(series: "gradient_norm", steps: steps, values: metrics.map(\.gradientNorm)),
            StoredCurve(series: "samples_per_second", steps: steps, values: metrics.map(\.samplesPerSecond)),
        ]
        for task in MedicalTask.allCases {
            let points = metrics.compactMap { line in line.taskLosses[task.rawValue].map { (line.step, $0) } }
            guard !points.isEmpty else { continue }
            curves.append(
                StoredCurve(series: "loss/\(task.rawValue)", steps: points.map(\.0), values: points.map(\.1))
            )
        }
        return curves
    }

    /// The run's folder that a file of predictions belongs to: up to three folders above it.
    private static func runFolder(of file: URL) -> URL? {
        var folder = file.standardizedFileURL.deletingLastPathComponent()
        for _ in 0..<3 {
            if FileManager.default.fileExists(atPath: folder.appendingPathComponent("run.json").path) { return folder }
            folder.deleteLastPathComponent()
        }
        return nil
    }

    private static func digest(_ text: String) -> String { SHA256.hexDigest(of: Array(text.utf8)) }
}
