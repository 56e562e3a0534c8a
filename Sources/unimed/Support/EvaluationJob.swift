import Foundation
import Torch
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedModel
import UniMedReports
import UniMedTokenizers
import UniMedTraining

/// What `evaluation.json` holds and `--json` prints.
struct EvaluationFile: Codable {
    /// The SHA-256 of the model's files, the data's key and the options.
    let key: String
    let model: String
    let split: String
    let device: String
    let samples: Int
    let seconds: Double
    let generatedTokens: Int
    let table: EvaluationTable
    let routing: [TaskRouting]
    /// The same predictions as `unimed score` scores them: corpus metrics of reports, subsets, classes.
    let scores: ScoreReport?
    /// How many samples stand in the training split of the model's run, by kind; missing where it was not checked.
    let leaks: [LeakKind: Int]?
}

/// The evaluation of a model on prepared data, with its files.
struct EvaluationJob {
    let checkpoint: ModelCheckpoint
    let options: EvaluationOptions
    /// The folder of the files.
    let folder: URL
    /// The run's folder, for the losses of the page; `nil` for a model by itself.
    let runFolder: URL?
    /// The data of METEOR's synonyms and paraphrases.
    var meteor = METEORResources()
    /// Whether samples that the model was trained on are an error.
    var refusesLeaks = false
    /// What stands before the name of the work in the bar of progress.
    var prefix = ""

    private static let fileName = "evaluation.json"
    private var file: URL { folder.appendingPathComponent(EvaluationJob.fileName) }

    /// The result that is there already for the same model, data and options, or a new one.
    func runUnlessDone(
        _ data: PreparedData,
        modelFolder: URL,
        _ progress: ProgressPrinter
    ) throws -> EvaluationFile {
        if let kept = try EvaluationJob.kept(data, options: options, folder: folder, modelFolder: modelFolder) {
            Terminal.note("evaluation: \(file.lastPathComponent) is there already and fits: used as it is")
            return kept
        }
        return try run(data, modelFolder: modelFolder, progress)
    }

    /// The result that is there already for the same model, data and options, without loading the model.
    static func kept(
        _ data: PreparedData,
        options: EvaluationOptions,
        folder: URL,
        modelFolder: URL
    ) throws -> EvaluationFile? {
        guard let bytes = FileManager.default.contents(atPath: folder.appendingPathComponent(fileName).path),
            let kept = try? JSONDecoder().decode(EvaluationFile.self, from: bytes),
            kept.key == (try key(data, options: options, modelFolder: modelFolder))
        else { return nil }
        return kept
    }

    private static func key(_ data: PreparedData, options: EvaluationOptions, modelFolder: URL) throws -> String {
        var hash = SHA256()
        let inner = modelFolder.appendingPathComponent(TrainingRun.modelFolderName)
        let isRun = FileManager.default.fileExists(atPath: inner.path)
        let tokenizerNames = TokenizerForm.allCases.map(\.fileName) + TokenizerSettings.fileNames
        for name in ["configuration.json", "model.safetensors"] + tokenizerNames {
            let url = (isRun ? inner : modelFolder).appendingPathComponent(name)
            if tokenizerNames.contains(name), !FileManager.default.fileExists(atPath: url.path) { continue }
            hash.update(try DataFile.digest(of: url).sha256)
        }
        hash.update(data.key)
        hash.update("\(options.split) \(options.tasks.map(\.rawValue).sorted()) \(options.seed) \(options.promptForm)")
        hash.update(
            "\(options.maximumSamplesPerPart ?? 0) \(options.maximumNewTokens.sorted { $0.key.rawValue < $1.key.rawValue })"
        )
        hash.update("\(options.bootstrap) \(options.resamplingUnit)")
        hash.update("\(options.datasets.map { $0.sorted() } ?? []) \(options.shard.map(\.description) ?? "all")")
        hash.update("\(options.scoresChoices)")
        if let split = try TrainingSplit.find(for: modelFolder) { hash.update("leaks 1 \(split.dataKey)") }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        hash.update(String(decoding: try encoder.encode(options.generation), as: UTF8.self))
        return hash.hexDigest()
    }

    /// Evaluates and writes `evaluation.json`, `predictions.jsonl` and `report.html`.
    func run(_ data: PreparedData, modelFolder: URL, _ progress: ProgressPrinter) throws -> EvaluationFile {
        let evaluator = try Evaluator(
            model: checkpoint.model,
            tokenizer: checkpoint.tokenizer,
            options: options,
            input: checkpoint.imageInput
        )
        let leaks = try leaks(in: data, modelFolder: modelFolder)
        try makeFolder(folder)
        let key = try EvaluationJob.key(data, options: options, modelFolder: modelFolder)
        let log = try PredictionLog(at: folder.appendingPathComponent("answers-\(key.prefix(16)).partial.jsonl"))
        if log.count > 0 { Terminal.note("evaluation: \(log.count) answers are there already and are kept") }
        var result = try evaluator.evaluate(data, log: log, isCancelled: { Interruption.control.isCancelled }) { step in
            progress.show(prefix + "evaluation", step.done, of: step.total, unit: "samples")
        }
        progress.finish()
        if let leaks {
            for index in result.predictions.indices {
                result.predictions[index].leaks = leaks[SampleName(result.predictions[index])] ?? []
            }
        }
        let skipped = Dictionary(
            uniqueKeysWithValues: result.table.rows.map {
                (EvaluationTable.Key(dataset: $0.dataset, task: $0.task), $0.skipped)
            }
        )
        let scorer = PredictionScorer(
            bootstrap: options.bootstrap,
            resamplingUnit: options.resamplingUnit,
            meteor: meteor
        )
        let scores = try scorer.report([
            PredictionScorer.File(name: "predictions.jsonl", records: result.predictions, skipped: skipped)
        ])
        let summary = EvaluationFile(
            key: key,
            model: checkpoint.configuration.name,
            split: options.split.rawValue,
            device: checkpoint.model.device.description,
            samples: result.predictions.count,
            seconds: result.seconds,
            generatedTokens: result.generatedTokenCount,
            table: result.table,
            routing: result.routing,
            scores: scores,
            leaks: leaks.map { _ in EvaluationJob.counts(result.predictions.compactMap(\.leaks)) }
        )
        try result.writePredictions(to: folder.appendingPathComponent("predictions.jsonl"))
        let page = try EvaluationPage(
            checkpoint: checkpoint,
            data: data,
            result: result,
            summary: summary,
            metrics: runFolder.map { try readMetrics(of: $0) } ?? []
        ).page()
        try page.write(to: folder.appendingPathComponent("report.html"))
        try AtomicFile.write(Data(try scores.written(as: .json).utf8), to: folder.appendingPathComponent("scores.json"))
        // Last, because it says that the others are there.
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try AtomicFile.write(try encoder.encode(summary), to: file)
        try log.remove()
        return summary
    }

    /// What tells a sample from others.
    private struct SampleName: Hashable {
        let dataset: String
        let task: MedicalTask
        let id: String

        init(_ sample: Sample) { (dataset, task, id) = (sample.dataset, sample.task, sample.id) }

        init(_ record: PredictionRecord) { (dataset, task, id) = (record.dataset, record.task, record.id) }
    }

    /// By what samples stand in the training split of the model's run; `nil` where that is not known.
    ///
    /// - Throws: `Failure` when leaks are refused and there are some, or it is not known.
    private func leaks(in data: PreparedData, modelFolder: URL) throws -> [SampleName: [LeakKind]]? {
        guard let split = try TrainingSplit.find(for: modelFolder) else {
            guard !refusesLeaks else {
                throw Failure.badInput(
                    "\(modelFolder.path): no \(TrainingSplit.fileName) of the model's run: whether samples are leaks cannot "
                        + "be told"
                )
            }
            return nil
        }
        if data.images.count > 0, !split.comparesImages(with: data) {
            let sizes = "\(split.imageSize) and \(data.images.size) pixels a side"
            guard !refusesLeaks else {
                throw Failure.badInput(
                    "--refuse-leaks: the pictures of training and evaluation are kept at \(sizes) and cannot be compared"
                )
            }
            Terminal.note("leaks: pictures kept at \(sizes) cannot be compared; studies and texts are")
        }
        let positions = data.indices(split: options.split, tasks: options.tasks).filter { index in
            options.datasets.map { $0.contains(data.samples[index].dataset) } ?? true
        }
        let leaks = split.leaks(of: positions, in: data)
        let counts = EvaluationJob.counts(Array(leaks.values))
        if !counts.isEmpty {
            let text = LeakKind.allCases.compactMap { kind in counts[kind].map { "\($0) by \(kind.rawValue)" } }
            let problem = "samples that stand in the training split of the model: \(text.joined(separator: ", "))"
            guard !refusesLeaks else { throw Failure.failed("--refuse-leaks: \(problem)") }
            Terminal.note("leaks: \(problem); they are counted in every report")
        }
        return Dictionary(
            leaks.map { (SampleName(data.samples[$0.key]), $0.value) },
            uniquingKeysWith: { first, _ in first }
        )
    }

    private static func counts(_ leaks: [[LeakKind]]) -> [LeakKind: Int] {
        leaks.joined().reduce(into: [:]) { $0[$1, default: 0] += 1 }
    }

    private func readMetrics(of run: URL) throws -> [TrainingMetrics] {
        guard FileManager.default.fileExists(atPath: run.appendingPathComponent("metrics.jsonl").path) else {
            return []
        }
        return try TrainingMetrics.read(from: run)
    }
}

extension ModelCheckpoint {
    /// How pictures become what the model takes, as in training.
    var imageInput: ImageInput {
        let preprocessing = configuration.preprocessing
        return ImageInput(storedSize: preprocessing.storedSize) { pixels throws(TorchError) in
            try preprocessing(pixels)
        }
    }
}

extension EvaluationOptions {
    /// The recipe's settings.
    init(_ configuration: EvaluationConfiguration) {
        self.init(
            split: configuration.split,
            maximumSamplesPerPart: configuration.limit,
            batchSize: configuration.batchSize,
            maximumNewTokens: configuration.maximumNewTokens,
            generation: configuration.generation
        )
    }
}

/// Makes a folder and those above it.
func makeFolder(_ folder: URL) throws(Failure) {
    do {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    } catch {
        let reason = (error as NSError).userInfo[NSUnderlyingErrorKey].map { "\($0)" } ?? error.localizedDescription
        throw .badInput("\(folder.path): the folder cannot be made: \(reason)")
    }
}
