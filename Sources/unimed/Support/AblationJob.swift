import Foundation
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedModel
import UniMedTraining

/// The runs of a grid, one after the other, and the table of their scores.
///
/// ```
/// NAME.md .csv .tex .html .json     the table
/// runs/ROW-seed-N-KEY/              a run with its evaluation/
/// shared/KEY/                       vocabulary, vision transformer and features of all runs that can share them
/// ```
///
/// A run's folder carries the key of its recipe: rows, grids and repeated commands with the same recipe find it.
final class AblationJob {
    let grid: AblationGrid
    let folder: URL
    let dataFolder: URL
    let roots: DataRoots
    let device: String?
    let threads: Int?
    let resample: EvaluationTable.ResamplingUnit
    let refusesLeaks: Bool
    let meteor: METEORResources
    let reportModels: ReportModelOptionGroup
    let recording: RunRecording?

    private let runs: [AblationGrid.Run]
    private var prepared: [String: PreparedData] = [:]

    init(
        grid: AblationGrid,
        folder: URL,
        dataFolder: URL,
        roots: DataRoots,
        device: String?,
        threads: Int?,
        resample: EvaluationTable.ResamplingUnit,
        refusesLeaks: Bool,
        meteor: METEORResources,
        reportModels: ReportModelOptionGroup,
        recording: RunRecording?
    ) throws {
        self.grid = grid
        self.folder = folder
        self.dataFolder = dataFolder
        self.roots = roots
        self.device = device
        self.threads = threads
        self.resample = resample
        self.refusesLeaks = refusesLeaks
        self.meteor = meteor
        self.reportModels = reportModels
        self.recording = recording
        runs = try grid.runs()
    }

    // MARK: What there is

    /// How far a run is.
    enum State: String, Encodable {
        case missing = "not begun"
        case begun = "begun"
        case trained = "trained"
        case evaluated = "evaluated"
    }

    /// A run in the plan.
    struct Entry: Encodable {
        let rows: [String]
        let seed: UInt64
        let steps: Int
        let state: State
        let folder: String
        let shared: String?
    }

    /// The runs that are asked for.
    ///
    /// - Parameter only: Rows, or rows with a seed as `row:2`; all when empty.
    /// - Throws: `Failure` that names a row or seed that the grid has not.
    func selection(_ only: [String]) throws(Failure) -> [AblationGrid.Run] {
        guard !only.isEmpty else { return runs }
        var wanted: [(row: String, seed: UInt64?)] = []
        for text in only {
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard grid.rows.contains(where: { $0.name == parts[0] }) else {
                let names = grid.rows.map(\.name).joined(separator: ", ")
                throw .badInput("--only: the grid has no row '\(parts[0])'; there are \(names)")
            }
            var seed: UInt64?
            if parts.count > 1 {
                guard let number = UInt64(parts[1]), grid.seeds.contains(number) else {
                    let seeds = grid.seeds.map(String.init).joined(separator: ", ")
                    throw .badInput("--only: the grid has no seed '\(parts[1])'; there are \(seeds)")
                }
                seed = number
            }
            wanted.append((parts[0], seed))
        }
        return runs.filter { run in
            wanted.contains { run.rows.contains($0.row) && ($0.seed == nil || $0.seed == run.seed) }
        }
    }

    func plan(_ selected: [AblationGrid.Run]) -> [Entry] {
        selected.map { run in
            let folder = runFolder(run)
            return Entry(
                rows: run.rows,
                seed: run.seed,
                steps: run.recipe.training.steps,
                state: state(folder),
                folder: folder.path,
                shared: stages(of: run)?.folder.path
            )
        }
    }

    private func state(_ run: URL) -> State {
        let manager = FileManager.default
        if !manager.fileExists(atPath: run.path) { return .missing }
        if !RunJob.isFinished(run) { return .begun }
        let file = run.appendingPathComponent("evaluation/evaluation.json")
        return manager.fileExists(atPath: file.path) ? .evaluated : .trained
    }

    /// The run's folder: one with its key where there is one, whatever row it was made for.
    private func runFolder(_ run: AblationGrid.Run) -> URL {
        let all = folder.appendingPathComponent("runs")
        let suffix = "-" + run.key.prefix(12)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: all.path)) ?? []
        let name = names.sorted().first { $0.hasSuffix(suffix) } ?? "\(run.rows[0])-seed-\(run.seed)\(suffix)"
        return all.appendingPathComponent(name)
    }

    private func stages(of run: AblationGrid.Run) -> SharedStages? {
        guard let key = run.stagesKey else { return nil }
        let shared = folder.appendingPathComponent("shared/\(key.prefix(12))")
        return SharedStages(
            folder: shared,
            features: shared.appendingPathComponent("features-\(run.featuresKey.prefix(12))"),
            seed: run.stagesSeed
        )
    }

    // MARK: Running

    /// What the runs of a command came to.
    struct Failed {
        let run: String
        let reason: String
    }

    /// Trains and evaluates what is not finished.
    ///
    /// - Returns: The runs that failed by themselves, such as one whose loss is no number any more; the others go on.
    /// - Throws: `Failure.interrupted` after a signal, when everything is saved; an error that all runs would have.
    func run(_ selected: [AblationGrid.Run]) throws -> [Failed] {
        var failures: [Failed] = []
        var times: [Double] = []
        let open = selected.filter { state(runFolder($0)) != .evaluated }.count
        var opened = 0
        for (index, run) in selected.enumerated() {
            try check(finished: index, of: selected.count)
            let folder = runFolder(run)
            let isNew = state(folder) != .evaluated
            let name = "\(run.rows.joined(separator: " = ")), seed \(run.seed)"
            if isNew {
                var line = "[\(index + 1)/\(selected.count)] \(name)"
                if !times.isEmpty {
                    let mean = times.reduce(0, +) / Double(times.count)
                    let left = ProgressBar.clock(mean * Double(open - opened))
                    line += "; \(ProgressBar.clock(mean)) a run, about \(left) left"
                }
                Terminal.note(line)
                opened += 1
            }
            let start = ContinuousClock.now
            do {
                try finish(run, in: folder, prefix: "\(index + 1)/\(selected.count) \(run.rows[0]), seed \(run.seed), ")
                if isNew { times.append((ContinuousClock.now - start) / .seconds(1)) }
            } catch let error as TrainingError where [.notFinite, .outOfMemory, .tensor].contains(error.kind) {
                Terminal.note("\(name): failed: \(oneLine(error))")
                failures.append(Failed(run: name, reason: oneLine(error)))
            } catch  where Outcome(error) == .interrupted {
                try check(finished: index, of: selected.count)
                throw error
            }
        }
        return failures
    }

    private func check(finished: Int, of total: Int) throws(Failure) {
        guard Interruption.control.isCancelled else { return }
        Terminal.note("\(finished) of \(total) runs are done; the same command continues")
        throw .interrupted
    }

    private func finish(_ run: AblationGrid.Run, in folder: URL, prefix: String) throws {
        let progress = ProgressPrinter()
        let (data, recipe) = (try data(of: run, progress), placed(run.recipe))
        if !isTrained(folder, on: data) {
            try makeStages(of: run, data, prefix: prefix, progress)
            let job = job(recipe, run, folder: folder, stages: stages(of: run), prefix: prefix)
            _ = try job.train(data, progress)
            recording?.record(run: folder)
        }
        let options = options(recipe)
        let evaluation = folder.appendingPathComponent("evaluation")
        if let kept = try EvaluationJob.kept(data, options: options, folder: evaluation, modelFolder: folder) {
            guard !refusesLeaks || kept.leaks?.isEmpty == true else {
                throw Failure.failed("--refuse-leaks: \(evaluation.path) has samples of the training split")
            }
            return
        }
        try Interruption.check()
        var job = EvaluationJob(
            checkpoint: try ModelCheckpoint.load(from: folder, device: recipe.torchDevice),
            options: options,
            folder: evaluation,
            runFolder: folder,
            meteor: meteor
        )
        job.refusesLeaks = refusesLeaks
        job.prefix = prefix
        let summary = try job.run(data, modelFolder: folder, progress)
        recording?.record(summary, folder: evaluation, command: "ablate")
    }

    /// The recipe with the command line's device and threads.
    private func placed(_ recipe: Recipe) -> Recipe {
        var recipe = recipe
        if let device { recipe.device = device }
        if let threads { recipe.threads = threads }
        return recipe
    }

    private func options(_ recipe: Recipe) -> EvaluationOptions {
        var options = EvaluationOptions(recipe.evaluation)
        if let tasks = grid.tasks { options.tasks = Set(tasks) }
        options.resamplingUnit = resample
        return options
    }

    private func job(
        _ recipe: Recipe,
        _ run: AblationGrid.Run,
        folder: URL,
        stages: SharedStages? = nil,
        prefix: String = ""
    ) -> RunJob {
        RunJob(
            recipe: recipe,
            recipeFile: run.recipeFolder.appendingPathComponent("recipe.yaml"),
            folder: folder,
            dataFolder: dataFolder,
            roots: roots,
            stages: stages,
            prefix: prefix
        )
    }

    private func data(of run: AblationGrid.Run, _ progress: ProgressPrinter) throws -> PreparedData {
        let place = "\(run.recipeFolder.path)\n\(try AblationJob.json(run.recipe.data))"
        if let data = prepared[place] { return data }
        let data = try job(run.recipe, run, folder: folder).prepare(progress)
        prepared[place] = data
        return data
    }

    private static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// Whether the finished model there was trained on this data.
    private func isTrained(_ folder: URL, on data: PreparedData) -> Bool {
        struct Record: Decodable { let dataKey: String? }
        guard RunJob.isFinished(folder),
            let bytes = FileManager.default.contents(atPath: folder.appendingPathComponent("run.json").path)
        else { return false }
        return (try? JSONDecoder().decode(Record.self, from: bytes).dataKey) == data.key
    }

    /// Makes vocabulary and vision transformer once, in a run of their own: what they become then does not depend on which
    /// row came first.
    private func makeStages(
        of run: AblationGrid.Run,
        _ data: PreparedData,
        prefix: String,
        _ progress: ProgressPrinter
    ) throws {
        guard let stages = stages(of: run), let first = runs.first(where: { $0.stagesKey == run.stagesKey }) else {
            return
        }
        var recipe = placed(first.recipe)
        recipe.seed = stages.seed
        recipe.name = "\(grid.name)-shared"
        let shared = try job(recipe, first, folder: stages.folder).trainingRun()
        let show = { (step: StageProgress) in
            progress.show(prefix + step.stage.title, step.done, of: step.total, unit: step.unit)
        }
        let tokenizer = try shared.trainTokenizer(data, progress: show)
        guard recipe.visionPretraining != nil else { return }
        let outcome = try shared.pretrainVision(
            try shared.makeModel(tokenizer: tokenizer),
            data: data,
            control: Interruption.control,
            progress: show
        )
        progress.finish()
        if case .interrupted = outcome { throw Failure.interrupted }
    }

    // MARK: The table

    /// The table of what is finished.
    func table(draws: Int) throws -> AblationTable {
        var files: [String: (seeds: [UInt64], files: [PredictionScorer.File])] = [:]
        var missing: [ScoreReport.MissingMetric] = []
        for row in grid.rows {
            var (seeds, own): ([UInt64], [PredictionScorer.File]) = ([], [])
            for run in runs where run.rows.contains(row.name) && state(runFolder(run)) == .evaluated {
                let path = runFolder(run).appendingPathComponent("evaluation/predictions.jsonl").path
                seeds.append(run.seed)
                own.append(try PredictionScorer.File(reading: path))
            }
            var none: [PredictionScorer.File] = []
            missing = try reportModels.score(&own, &none)
            files[row.name] = (seeds, own)
        }
        let scorer = PredictionScorer(
            bootstrap: PairedBootstrap(resampleCount: draws),
            resamplingUnit: resample,
            meteor: meteor
        )
        let rows = try grid.rows.map { row in
            let own = files[row.name] ?? ([], [])
            let other = row.baseline.flatMap { files[$0]?.files } ?? []
            var report = own.files.isEmpty ? nil : try scorer.report(own.files, against: other)
            report?.missingModelMetrics = missing
            return AblationTable.Row(
                name: row.name,
                labels: row.labels,
                section: row.section,
                baseline: row.baseline,
                seeds: own.seeds,
                report: report
            )
        }
        var remarks = grid.notes
        if runs.contains(where: { $0.recipe.visionPretraining != nil }) {
            switch grid.vision {
            case .once:
                remarks.append(
                    "The vision transformer was pretrained once, with the seed \(grid.seeds[0]), for all rows and seeds: the "
                        + "deviation over seeds is that of the joint training."
                )
            case .perSeed: remarks.append("The vision transformer was pretrained once for each seed, for all rows.")
            }
        }
        return AblationTable(
            title: grid.title,
            columns: grid.columns,
            layout: grid.layout == .ablation ? .ablation : .capability,
            seeds: grid.seeds,
            rows: rows,
            remarks: remarks
        )
    }

    /// Writes the table in all forms.
    ///
    /// - Returns: The page.
    func write(_ table: AblationTable) throws -> URL {
        try makeFolder(folder)
        let forms: [(ScoreReport.Form, String)] = [
            (.markdown, "md"), (.csv, "csv"), (.latex, "tex"), (.json, "json"), (.html, "html"),
        ]
        for (form, ending) in forms {
            let file = folder.appendingPathComponent("\(grid.name).\(ending)")
            try AtomicFile.write(Data(try table.written(as: form).utf8), to: file)
        }
        return folder.appendingPathComponent("\(grid.name).html")
    }
}
