import Foundation
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedImporters
import UniMedModel
import UniMedTasks
import UniMedTokenizers
import UniMedTraining

/// What a training step of a recipe's model costs, beside the same model in eager PyTorch.
///
/// Both sides take the same weights, the same prompts of phantoms and the same vision features, and update every trained
/// weight. Dropout is off on both sides, so that the first losses can be compared: they show that it is the same model.
struct TrainingStepBenchmark {
    let recipe: Recipe
    let peer: PeerProcess?
    let rounds: Int
    let stepsPerRound: Int

    /// What was computed.
    struct Work: Encodable {
        let trainedWeights: Int
        let samples: Int
        let tokens: Int
        let targets: Int
        let peerPadding: Double?
        /// The largest relative difference of the first losses in float32.
        let lossDifference: Double?
    }

    private struct Spec: Encodable {
        let model: UniMedConfiguration
        let tokens: [[Int]]
        let targets: [[Int]]
        let imageTasks: [Int]
        let learningRate: Double
        let optimizer: AdamWConfiguration
        let gradientClipping: Double?
    }
    private struct ModelRequest: Encodable {
        let command = "model"
        let file: String
        let spec: Spec
    }
    private struct ModelAnswer: Decodable {
        let parameters: Int
        let padding: Double
    }
    private struct StepsRequest: Encodable {
        let command = "steps"
        let count: Int
        let dtype: String
    }
    private struct Steps: Decodable {
        var seconds: [Double]
        var losses: [Double]
    }

    private static let learningRate = 1e-4

    /// Times both sides in turns; the first round warms up and is not counted.
    func run(_ progress: ProgressPrinter) throws -> (work: Work, results: [BenchmarkResult]) {
        var configuration = recipe.model
        if case .lowRank(var adapter) = configuration.fineTuning {
            adapter.dropout = 0
            configuration.fineTuning = .lowRank(adapter)
        }
        let prompts = try prompts(&configuration)
        try Runtime.seed(recipe.seed)
        let images = prompts.count { $0.hasImage }
        let features = try Tensor.normal([images, configuration.vision.patchCount, configuration.vision.hiddenSize])
        var sides: [DType: Side] = [:]
        for dtype in [DType.float32, .bfloat16] {
            try Runtime.seed(recipe.seed)
            sides[dtype] = try Side(configuration, dtype, recipe.training, prompts, features)
        }
        guard let single = sides[.float32], let half = sides[.bfloat16] else {
            preconditionFailure("both sides were just made")
        }
        let answer = try peer.map { try start($0, single.model, configuration, prompts, features) }
        if let answer, answer.parameters != single.model.parameterCount(trainableOnly: true) {
            throw Failure.failed(
                "the peer trains \(answer.parameters) weights, we train \(single.model.parameterCount(trainableOnly: true))"
            )
        }

        var times: [String: [Double]] = [:]
        var firstLosses: (ours: [Double], peer: [Double]) = ([], [])
        for round in 0...rounds {
            for (dtype, side) in [(DType.float32, single), (.bfloat16, half)] {
                let own = try side.steps(stepsPerRound)
                let other = try peer.map {
                    try $0.request(StepsRequest(count: stepsPerRound, dtype: dtype.rawValue), Steps.self)
                }
                if round == 0, dtype == .float32 { firstLosses = (own.losses, other?.losses ?? []) }
                guard round > 0 else { continue }
                times["ours \(dtype.rawValue)", default: []] += own.seconds
                times["peer \(dtype.rawValue)", default: []] += other?.seconds ?? []
            }
            progress.show("training steps", round, of: rounds, unit: "rounds")
        }
        progress.finish()
        let work = Work(
            trainedWeights: single.model.parameterCount(trainableOnly: true),
            samples: prompts.count,
            tokens: prompts.reduce(0) { $0 + $1.tokens.count },
            targets: prompts.reduce(0) { $0 + $1.targets.count { $0 != EncodedPrompt.noTarget } },
            peerPadding: answer?.padding,
            lossDifference: zip(firstLosses.ours, firstLosses.peer).map { abs($0 - $1) / abs($1) }.max()
        )
        if let difference = work.lossDifference, !(difference < 1e-2) {
            throw Failure.failed("the peer's first losses \(firstLosses.peer) are not ours \(firstLosses.ours)")
        }
        func result(_ name: String, _ ours: String, _ theirs: String, _ goal: BenchmarkResult.Goal) -> BenchmarkResult {
            let peerTimes = peer == nil ? nil : times["peer \(theirs)"]?.map { $0 * 1000 }
            return BenchmarkResult(
                name,
                unit: "ms",
                ours: (times["ours \(ours)"] ?? []).map { $0 * 1000 },
                peer: peerTimes,
                goal: goal
            )
        }
        return (
            work,
            [
                result("step, float32", "float32", "float32", .speed(atLeast: 1, as: "as fast as Python's float32")),
                result(
                    "step, bfloat16",
                    "bfloat16",
                    "float32",
                    .speed(atLeast: 1.5, as: "as fast as Python's float32")
                ),
                result("step, bfloat16, beside autocast", "bfloat16", "bfloat16", .none),
            ]
        )
    }

    private func start(
        _ peer: PeerProcess,
        _ model: UniMed,
        _ configuration: UniMedConfiguration,
        _ prompts: [EncodedPrompt],
        _ features: Tensor
    ) throws -> ModelAnswer {
        guard let mixture = configuration.connector.mixture, mixture.expert == .mlp, case .soft = mixture.router,
            case .projection = configuration.resampler
        else {
            throw Failure.badInput(
                "\(recipe.name): the peer has only the paper's connector: MLP experts, a soft router, a projection resampler"
            )
        }
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-bench-\(UUID()).safetensors")
        defer { try? FileManager.default.removeItem(at: file) }
        let weights = model.namedParameters().filter { !$0.name.hasPrefix("visual_encoder.") }
        try SafetensorsFile.write(
            weights.map { ($0.name, $0.parameter.value) } + [("benchmark.features", features)],
            to: file
        )
        let tasks = configuration.connector.tasks
        let spec = Spec(
            model: configuration,
            tokens: prompts.map(\.tokens),
            targets: prompts.map(\.targets),
            imageTasks: prompts.filter(\.hasImage).map { tasks.firstIndex(of: $0.task) ?? 0 },
            learningRate: Self.learningRate,
            optimizer: recipe.training.optimizer,
            gradientClipping: recipe.training.gradientClipping
        )
        return try peer.request(ModelRequest(file: file.path, spec: spec), ModelAnswer.self)
    }

    /// The first training prompts of phantoms, of all tasks in the phantoms' proportions.
    private func prompts(_ configuration: inout UniMedConfiguration) throws -> [EncodedPrompt] {
        let generator = PhantomGenerator(
            seed: recipe.seed,
            configuration: PhantomConfiguration(side: 64, trainCount: 400)
        )
        var samples: [Sample] = []
        for index in 0..<400 { samples += generator.study(at: index).samples }
        var texts: [(instruction: String, answer: String)] = []
        for sample in samples {
            let definition = TaskRegistry.definition(of: sample.task)
            texts.append(
                (
                    String(
                        try definition.instruction(for: sample, templateSeed: recipe.seed)
                            .dropFirst(sample.task.promptTag.count + 1)
                    ), try definition.target(for: sample)
                )
            )
        }
        var size = 2000
        if case .train(let training) = recipe.tokenizer { size = training.vocabularySize }
        let bytes = try SentencePieceTrainer.train(
            texts: texts.flatMap { [$0.instruction, $0.answer] },
            vocabularySize: size,
            userDefinedSymbols: SentencePieceTrainer.uniMedSymbols,
            acceptsFewerPieces: true
        )
        let tokenizer = try LlamaTokenizer(model: SentencePieceTokenizer(model: bytes))
        configuration.language.vocabularySize = max(size, tokenizer.vocabularySize)
        let encoder = PromptEncoder(tokenizer: tokenizer, imageTokenCount: configuration.imageTokenCount)
        var shuffled = SeededGenerator.derived(from: recipe.seed, label: "benchmark")
        let order = shuffled.permutation(of: samples.count).prefix(recipe.training.batchSize)
        return try order.map { index in
            try encoder.training(
                task: samples[index].task,
                instruction: texts[index].instruction,
                answer: texts[index].answer,
                hasImage: samples[index].task.usesImage
            )
        }
    }

    /// Our model with its optimizer.
    private final class Side {
        let model: UniMed
        private let optimizer: AdamW
        private let batch: PromptBatch
        private let clipping: Double?

        init(
            _ configuration: UniMedConfiguration,
            _ dtype: DType,
            _ training: TrainingConfiguration,
            _ prompts: [EncodedPrompt],
            _ features: Tensor
        ) throws {
            model = try UniMed(configuration)
            model.computeDType = dtype
            try model.castFrozenParameters(to: dtype)
            optimizer = try AdamW(model.trainableParameters(), training.optimizer)
            batch = try PromptBatch(
                prompts,
                features: features,
                imageTokenCount: configuration.imageTokenCount,
                taskOrder: configuration.connector.tasks,
                roundsSizes: model.prefersRoundedSizes
            )
            clipping = training.gradientClipping
        }

        func steps(_ count: Int) throws -> Steps {
            var result = Steps(seconds: [], losses: [])
            for _ in 0..<count {
                let start = ContinuousClock.now
                let output = try model.loss(batch)
                try output.loss.backward()
                if let clipping { try optimizer.clipGradients(to: clipping) }
                try optimizer.step(learningRate: TrainingStepBenchmark.learningRate)
                try optimizer.clearGradients()
                result.losses.append(try output.loss.item())
                result.seconds.append((ContinuousClock.now - start) / .seconds(1))
            }
            return result
        }
    }
}
