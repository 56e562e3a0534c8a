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

    private var file: URL { folder.appendingPathComponent("evaluation.json") }

    /// The result that is there already for the same model, data and options, or a new one.
    func runUnlessDone(
        _ data: PreparedData,
        modelFolder: URL,
        _ progress: ProgressPrinter
    ) throws -> EvaluationFile {
        let key = try key(data, modelFolder: modelFolder)
        if let bytes = FileManager.default.contents(atPath: file.path),
            let kept = try? JSONDecoder().decode(EvaluationFile.self, from: bytes), kept.key == key
        {
            Terminal.note("evaluation: \(file.path) is there already and fits: used as it is")
            return kept
        }
        return try run(data, modelFolder: modelFolder, progress)
    }

    private func key(_ data: PreparedData, modelFolder: URL) throws -> String {
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
        try makeFolder(folder)
        let key = try key(data, modelFolder: modelFolder)
        let log = try PredictionLog(at: folder.appendingPathComponent("answers-\(key.prefix(16)).partial.jsonl"))
        if log.count > 0 { Terminal.note("evaluation: \(log.count) answers are there already and are kept") }
        let result = try evaluator.evaluate(data, log: log, isCancelled: { Interruption.control.isCancelled }) { step in
            progress.show("evaluation", step.done, of: step.total, unit: "samples")
        }
        progress.finish()
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
            scores: scores
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
