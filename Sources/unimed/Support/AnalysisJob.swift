import Foundation
import Torch
import UniMedAnalysis
import UniMedData
import UniMedEvaluation
import UniMedModel
import UniMedTraining

/// A part of `unimed analyze`.
enum AnalysisPart: String, CaseIterable, Codable {
    case interference, routing, ablation, features, attribution
}

/// What is analysed, and how.
struct AnalysisRequest {
    var parts: Set<AnalysisPart>
    var selections: [ParameterSelection]
    var batches: Int
    var batchSize: Int
    var grouping: Grouping
    var tasks: Set<MedicalTask>
    var split: Split
    var pictureSplit: Split
    var pictures: Int
    var dimensions: Int
    var answers: Int
    var exactStep: Double?
    var exactBatches: Int
    var ablationScores: Bool
    var memoryLimit: Int
    var seed: UInt64

    /// What the gradients need, of a recipe's model or of one that is there.
    func plan(folder: String?, recipe: String?, groups: Int, device: String) throws -> AnalysisPlan {
        if let recipe {
            let recipe = try Recipe.load(contentsOf: URL(fileURLWithPath: recipe))
            var model = recipe.model
            if case .train(let training) = recipe.tokenizer {
                model.language.vocabularySize = training.vocabularySize
            }
            return try plan(
                model,
                precision: recipe.precision,
                frozenType: recipe.weights.frozenType?.dtype,
                isAccelerated: !recipe.torchDevice.isCPU,
                groups: groups
            )
        }
        guard let folder else { throw Failure.badInput("--dry-run: name a run or a --recipe") }
        let url = URL(fileURLWithPath: folder)
        let inner = url.appendingPathComponent(TrainingRun.modelFolderName)
        let isRun = FileManager.default.fileExists(atPath: inner.path)
        let configuration = try ModelCheckpoint.configuration(of: isRun ? inner : url)
        return try plan(
            configuration.model,
            precision: configuration.precision,
            isAccelerated: device != "cpu",
            groups: groups
        )
    }

    func plan(
        _ model: UniMedConfiguration,
        precision: Recipe.Precision,
        frozenType: DType? = nil,
        isAccelerated: Bool,
        groups: Int
    ) throws -> AnalysisPlan {
        func plan(gradientCheckpointing: Bool) throws -> AnalysisPlan {
            let description = try ModelDescription(
                model,
                precision: precision.dtype,
                sample: .init(batchSize: batchSize),
                training: .init(
                    frozenType: frozenType,
                    gradientCheckpointing: gradientCheckpointing,
                    isAccelerated: isAccelerated
                )
            )
            return try AnalysisPlan(
                model,
                selections: selections,
                groups: groups,
                batches: batches,
                memoryLimit: memoryLimit,
                description: description
            )
        }
        // A third more work for each gradient is less than another pass over all of them.
        if let plain = try? plan(gradientCheckpointing: false), plain.blocks == 1 { return plain }
        return try plan(gradientCheckpointing: true)
    }
}

/// What `analysis.json` holds and `--json` prints.
struct AnalysisFile: Codable {
    /// The readings of a set of parameters, computed from the measurement.
    struct Readings: Codable {
        let name: String
        let parameters: Int
        let tasks: [String]
        let batches: [Int]
        let unreached: [String]
        let step: Interference.Step
        /// `[i][j]` by reading.
        let direction: [String: [[Double]]]
        /// `[i][j]` by reading.
        let magnitude: [String: [[Double]]]
        /// By both readings.
        let indexes: [String: TugOfWarIndexes]

        init(_ interference: Interference) {
            name = interference.name
            parameters = interference.parameterCount
            tasks = interference.tasks
            batches = interference.batchCounts
            unreached = interference.unreached
            step = interference.step
            var direction: [String: [[Double]]] = [:]
            var magnitude: [String: [[Double]]] = [:]
            var indexes: [String: TugOfWarIndexes] = [:]
            for second in MagnitudeReading.allCases { magnitude[second.rawValue] = interference.magnitude(second) }
            for first in DirectionReading.allCases {
                direction[first.rawValue] = interference.direction(first)
                for second in MagnitudeReading.allCases {
                    indexes["\(first.rawValue) \(second.rawValue)"] = interference.indexes(first, second)
                }
            }
            (self.direction, self.magnitude, self.indexes) = (direction, magnitude, indexes)
        }

        /// The literal reading's indexes, where there are some.
        var standardIndexes: TugOfWarIndexes? {
            indexes["\(DirectionReading.meanOfRatios.rawValue) \(MagnitudeReading.squareOfMean.rawValue)"]
        }
    }

    /// Parameter statistics with the histograms by form.
    struct Statistics: Codable {
        let name: String
        let reading: ParameterStatistics.Reading
        let scored: Int
        let undefined: Int
        let meanSigned: Double
        let meanAbsolute: Double
        let ratios: [String: [Double]]

        init(_ statistics: ParameterStatistics) {
            name = statistics.name
            reading = statistics.reading
            scored = statistics.scored
            undefined = statistics.undefined
            meanSigned = statistics.meanSigned
            meanAbsolute = statistics.meanAbsolute
            ratios = Dictionary(
                uniqueKeysWithValues: ParameterStatistics.Form.allCases.map { ($0.rawValue, statistics.ratios($0)) }
            )
        }
    }

    let model: String
    let steps: Int
    let device: String
    let seed: UInt64
    let split: String
    let pictureSplit: String
    let grouping: Grouping
    let batches: Int
    let batchSize: Int
    var seconds = 0.0
    var interference: [Readings] = []
    var exactInterference: [Readings] = []
    var statistics: [Statistics] = []
    var routing: RoutingAnalysis?
    var routingOverTime: [ModelAnalysis.RoutingMoment] = []
    var ablation: [ModelAnalysis.Ablation] = []
    var scoreAblation: [ModelAnalysis.ScoreAblation] = []
    var featureMaps: [ModelAnalysis.FeatureMap] = []
    var attributions: [ModelAnalysis.Attribution] = []
    var notes: [String] = []
}

/// The analysis of a model, with its files.
struct AnalysisJob {
    let checkpoint: ModelCheckpoint
    let data: PreparedData
    let request: AnalysisRequest
    /// The run's folder, or the model's.
    let run: URL
    /// The folder of the files.
    let folder: URL
    /// Analyses of other models, drawn beside.
    var others: [AnalysisFile] = []

    /// Analyses, and writes the files.
    func run(_ progress: ProgressPrinter) throws -> AnalysisFile {
        try makeFolder(folder)
        let start = ContinuousClock.now
        var file = AnalysisFile(
            model: checkpoint.configuration.name,
            steps: checkpoint.configuration.steps,
            device: checkpoint.model.device.description,
            seed: request.seed,
            split: request.split.rawValue,
            pictureSplit: request.pictureSplit.rawValue,
            grouping: request.grouping,
            batches: request.batches,
            batchSize: request.batchSize
        )
        let control = AnalysisControl(isCancelled: { Interruption.control.isCancelled }) { step in
            progress.show(step.stage, step.done, of: step.total, unit: step.unit)
        }
        let analysis = ModelAnalysis(
            model: checkpoint.model,
            tokenizer: checkpoint.tokenizer,
            encoder: checkpoint.promptEncoder,
            data: data,
            input: checkpoint.imageInput,
            seed: request.seed
        )
        if request.parts.contains(.interference) { try interference(analysis, control, &file) }
        if request.parts.contains(.routing) { try routing(analysis, control, &file) }
        if request.parts.contains(.ablation) { try ablation(analysis, control, &file) }
        if request.parts.contains(.features) {
            file.featureMaps = try analysis.featureMaps(
                picturesPerTask: request.pictures,
                split: request.pictureSplit,
                map: TSNE(dimensions: request.dimensions),
                control: control
            )
        }
        if request.parts.contains(.attribution) {
            file.attributions = try analysis.attributions(
                count: request.answers,
                options: options(),
                control: control
            )
            if file.attributions.isEmpty, request.answers > 0 {
                file.notes.append("There is no picture but volumes: no answer is traced back to pixels.")
            }
        }
        progress.finish()
        file.seconds = (ContinuousClock.now - start) / .seconds(1)
        let comparison = AnalysisComparison(files: [file] + others)
        let page = AnalysisPage(
            file: file,
            data: data,
            metrics: try metrics(),
            comparison: comparison,
            folder: folder
        )
        try page.write(progress)
        try AnalysisTables(file: file, comparison: comparison).write(to: folder)
        // Last, because it says that the others are there.
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity",
            negativeInfinity: "-Infinity",
            nan: "NaN"
        )
        try AtomicFile.write(try encoder.encode(file), to: folder.appendingPathComponent("analysis.json"))
        return file
    }

    private func options() -> EvaluationOptions {
        var options = EvaluationOptions(checkpoint.configuration.evaluation)
        options.split = request.pictureSplit
        options.seed = request.seed
        options.maximumSamplesPerPart = request.pictures
        options.tasks = request.tasks
        return options
    }

    private func interference(
        _ analysis: ModelAnalysis,
        _ control: AnalysisControl,
        _ file: inout AnalysisFile
    ) throws {
        let (sets, parameters) = try ParameterSelection.resolve(request.selections, in: checkpoint.model)
        func source(batchCount: Int) throws -> ModelGradients {
            let batches = try analysis.batches(
                split: request.split,
                tasks: request.tasks,
                grouping: request.grouping,
                batchCount: batchCount,
                batchSize: request.batchSize
            )
            return try ModelGradients(model: checkpoint.model, batches: batches, parameters: parameters)
        }
        let gradients = try source(batchCount: request.batches)
        let plan = try request.plan(
            checkpoint.configuration.model,
            precision: checkpoint.configuration.precision,
            isAccelerated: !checkpoint.model.device.isCPU,
            groups: gradients.tasks.count
        )
        checkpoint.model.language.checkpointsBlocks = plan.gradientCheckpointing
        defer { checkpoint.model.language.checkpointsBlocks = false }
        let tug = TugOfWar(sets: sets, blocks: plan.blocks)
        let measured = try tug.measure(gradients, control: control)
        file.interference = measured.interference.map(AnalysisFile.Readings.init)
        file.statistics = measured.statistics.map(AnalysisFile.Statistics.init)
        if let length = request.exactStep {
            file.exactInterference = try tug.measureExactly(
                source(batchCount: request.exactBatches),
                length: length,
                control: control
            ).map(AnalysisFile.Readings.init)
        }
    }

    private func routing(_ analysis: ModelAnalysis, _ control: AnalysisControl, _ file: inout AnalysisFile) throws {
        file.routing = try analysis.routing(
            picturesPerTask: request.pictures,
            split: request.pictureSplit,
            control: control
        )
        guard file.routing != nil else {
            file.notes.append("The connector has no experts: there is no routing.")
            return
        }
        let checkpoints = trainingCheckpoints()
        if checkpoints.count > 1 {
            file.routingOverTime = try analysis.routing(
                at: checkpoints,
                picturesPerTask: min(50, request.pictures),
                split: request.pictureSplit,
                control: control
            )
        }
    }

    /// The run's checkpoints that are kept.
    private func trainingCheckpoints() -> [(step: Int, weights: URL)] {
        let checkpoints = run.appendingPathComponent("checkpoints")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints.path)) ?? []
        return names.compactMap { name in
            guard name.hasPrefix("step-"), let step = Int(name.dropFirst("step-".count)) else { return nil }
            let weights = checkpoints.appendingPathComponent(name).appendingPathComponent("weights.safetensors")
            return FileManager.default.fileExists(atPath: weights.path) ? (step, weights) : nil
        }
    }

    private func ablation(_ analysis: ModelAnalysis, _ control: AnalysisControl, _ file: inout AnalysisFile) throws {
        let batchCount = max(1, request.pictures / request.batchSize)
        file.ablation = try analysis.ablation(
            analysis.batches(
                split: request.pictureSplit,
                tasks: request.tasks,
                grouping: request.grouping,
                batchCount: batchCount,
                batchSize: request.batchSize
            ),
            control: control
        )
        if request.ablationScores { file.scoreAblation = try analysis.scoreAblation(options(), control: control) }
    }

    /// The lines of metrics of the run; none for a model by itself.
    private func metrics() throws -> [TrainingMetrics] {
        guard FileManager.default.fileExists(atPath: run.appendingPathComponent("metrics.jsonl").path) else {
            return []
        }
        return try TrainingMetrics.read(from: run)
    }
}

extension AnalysisPlan {
    /// The plan as lines of text.
    var text: String {
        func gigabytes(_ bytes: Int) -> String { String(format: "%.2f GB", Double(bytes) / 1e9) }
        let rows =
            sets.map { ("\($0.name), \($0.parameters) parameters", "") } + [
                ("gradients", "\(gradients) (\(groups) groups, \(batches) batches, \(blocks) blocks of parameters)"),
                ("gradient checkpointing", gradientCheckpointing ? "yes" : "no"),
                ("operations", String(format: "%.3g PFLOP", operations / 1e15)),
                ("model and a batch (estimate)", gigabytes(modelBytes)),
                ("gradient", gigabytes(gradientBytes)),
                ("sums over batches", gigabytes(sumBytes)),
                ("memory in all", gigabytes(totalBytes)),
            ]
        return rows.map { $1.isEmpty ? $0 : "\($0): \($1)" }.joined(separator: "\n")
    }
}

extension AnalysisFile {
    /// What a person wants to know first.
    var text: String {
        var lines = ["\(model), \(steps) steps, analysed in \(String(format: "%.0f", seconds)) s"]
        for set in interference {
            lines.append("")
            lines.append("\(set.name) (\(set.parameters) parameters): tug-of-war index, and divided by the largest")
            if let indexes = set.standardIndexes {
                for (task, values) in zip(set.tasks, zip(indexes.values, indexes.maxNormalized)) {
                    lines.append("  \(task)  \(String(format: "%.3f  %.3f", values.0, values.1))")
                }
                lines.append(
                    String(format: "  mean %.3f, standard deviation %.3f", indexes.mean, indexes.standardDeviation)
                )
            }
            if !set.unreached.isEmpty { lines.append("  not reached by \(set.unreached.joined(separator: ", "))") }
        }
        if let routing {
            lines.append("")
            lines.append(String(format: "specialisation of the experts by task: %.3f", routing.specialisation))
        }
        for map in featureMaps {
            let text = map.silhouettes.sorted { $0.key < $1.key }.map { String(format: "%@ %.3f", $0.key, $0.value) }
            lines.append("silhouettes \(map.place): \(text.joined(separator: ", "))")
        }
        return (lines + notes).joined(separator: "\n")
    }
}
