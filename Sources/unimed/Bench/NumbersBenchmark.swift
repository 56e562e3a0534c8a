import Foundation
import Torch
import TorchNN
import UniMedData
import UniMedModel
import UniMedTraining

/// Whether a device computes what the CPU computes in float32: a small model of a recipe's structure, the same weights on
/// both, through encoding, loss, gradients, training steps and generation.
struct NumbersBenchmark {
    let recipe: Recipe
    let device: Device

    /// One comparison.
    struct Check: Encodable {
        let name: String
        /// How far the device is from the CPU; `nil` where that is no finite number.
        let deviation: Double?
        /// The largest deviation that is accepted.
        let limit: Double
        let isPassed: Bool

        init(_ name: String, _ deviation: Double, limit: Double) {
            self.name = name
            self.deviation = deviation.isFinite ? deviation : nil
            self.limit = limit
            // NaN is not below a limit.
            isPassed = deviation <= limit
        }
    }

    /// The comparisons of one model in one arithmetic.
    struct Comparison: Encodable {
        let model: String
        let arithmetic: String
        let checks: [Check]
    }

    /// All comparisons.
    struct Report: Encodable {
        let recipe: String
        let device: String
        let trainedWeights: Int
        let samples: Int
        let steps: Int
        let comparisons: [Comparison]

        /// Whether no deviation is too large.
        var isPassed: Bool { comparisons.allSatisfy { $0.checks.allSatisfy(\.isPassed) } }

        /// A table in Markdown.
        var markdown: String {
            var lines = [
                "The structure of \(recipe) made small (\(trainedWeights) trained weights, \(samples) samples, \(steps) "
                    + "training steps), \(device) beside float32 on the CPU:",
                "",
                "| model | arithmetic | compared | deviation | limit | |",
                "|---|---|---|---:|---:|---|",
            ]
            for comparison in comparisons {
                for check in comparison.checks {
                    lines.append(
                        "| \(comparison.model) | \(comparison.arithmetic) | \(check.name) "
                            + "| \(check.deviation.map { String(format: "%.1e", $0) } ?? "not finite") | \(String(format: "%.0e", check.limit)) "
                            + "| \(check.isPassed ? "passed" : "**failed**") |"
                    )
                }
            }
            return lines.joined(separator: "\n")
        }
    }

    /// How float32 products are done, and what may come of it.
    private struct Arithmetic {
        let name: String
        let dtype: DType
        let usesTF32: Bool
        /// Of features, logits and losses: norms of differences over norms.
        let values: Double
        let gradients: Double
        /// Of the losses of training steps, which add up what differs.
        let losses: Double

        // Sums in another order, in 24 bits; ten layers.
        static let float32 = Arithmetic(
            name: "float32",
            dtype: .float32,
            usesTF32: false,
            values: 1e-5,
            gradients: 1e-4,
            losses: 1e-4
        )
        // Factors of 11 bits: 5e-4 in each, and some layers of them.
        static let tf32 = Arithmetic(
            name: "float32 with TF32",
            dtype: .float32,
            usesTF32: true,
            values: 5e-3,
            gradients: 1e-2,
            losses: 5e-3
        )
        // Eight bits: 4e-3 in each.
        static let bfloat16 = Arithmetic(
            name: "bfloat16",
            dtype: .bfloat16,
            usesTF32: false,
            values: 3e-2,
            gradients: 8e-2,
            losses: 2e-2
        )
    }

    private static let steps = 5
    private static let learningRate = 1e-3
    private static let newTokens = 12

    /// What one side computed, on the CPU in float32.
    private struct Result {
        var features: Tensor
        var logits: Tensor
        var tokenLosses: Tensor
        var gradients: [(name: String, tensor: Tensor)]
        var losses: [Double]
        var answers: [[Int]]
    }

    /// Compares everything.
    func run(_ progress: ProgressPrinter) throws -> Report {
        try device.requireAvailable()
        let allowed = Runtime.allowsTF32
        defer { Runtime.setAllowsTF32(allowed) }
        let plain = SyntheticWork.withoutDropout(SyntheticWork.small(recipe.model))
        var sparse = plain
        sparse.connector = .mixtureOfExperts(
            ConnectorMoEConfiguration(expertCount: 8, router: .sparse(topK: 2), tasks: plain.connector.tasks)
        )
        sparse.language.keyValueHeadCount = 1
        let arithmetics: [Arithmetic] = device.isCPU ? [.float32, .bfloat16] : [.float32, .tf32, .bfloat16]
        var comparisons: [Comparison] = []
        let total = arithmetics.count + 2
        for arithmetic in arithmetics {
            comparisons.append(try compare(recipe.name, plain, arithmetic))
            progress.show("numbers", comparisons.count, of: total, unit: "comparisons")
        }
        // The chosen experts of a token may change with less exact scores, and all that follows with them.
        comparisons.append(try compare("sparse router, shared key heads", sparse, .float32))
        progress.show("numbers", comparisons.count, of: total, unit: "comparisons")
        comparisons.append(try compareWays(plain))
        progress.show("numbers", total, of: total, unit: "comparisons")
        progress.finish()
        return Report(
            recipe: recipe.name,
            device: device.description,
            trainedWeights: try model(plain).parameterCount(trainableOnly: true),
            samples: prompts(plain).count,
            steps: Self.steps,
            comparisons: comparisons
        )
    }

    // MARK: Sides

    private func prompts(_ configuration: UniMedConfiguration) -> [EncodedPrompt] {
        let images = configuration.imageTokenCount
        return SyntheticWork.prompts(
            lengths: [images + 40, images + 24, images + 33, images + 57],
            configuration,
            seed: recipe.seed
        )
    }

    /// A model on the CPU whose weights follow from the recipe's seed.
    private func model(_ configuration: UniMedConfiguration) throws -> UniMed {
        try Runtime.seed(recipe.seed)
        let model = try UniMed(configuration)
        try SyntheticWork.disturbConstants(model, seed: recipe.seed)
        return model
    }

    private func model(_ configuration: UniMedConfiguration, _ dtype: DType, on device: Device) throws -> UniMed {
        let model = try model(configuration)
        try model.move(to: device)
        try model.castFrozenParameters(to: dtype)
        model.computeDType = dtype
        return model
    }

    private func pixels(_ configuration: UniMedConfiguration, count: Int) throws -> Tensor {
        let side = configuration.vision.imageSize
        return try Tensor.normal([count, 3, side, side], generator: Generator(seed: recipe.seed))
    }

    private func batch(_ prompts: [EncodedPrompt], _ features: Tensor, _ model: UniMed) throws -> PromptBatch {
        try PromptBatch(
            prompts,
            features: features,
            imageTokenCount: model.configuration.imageTokenCount,
            taskOrder: model.configuration.connector.tasks,
            device: model.device
        )
    }

    /// Everything that is compared, in a type on a device.
    private func result(
        _ configuration: UniMedConfiguration,
        _ dtype: DType,
        on device: Device,
        stateType: AdamWConfiguration.StateType = .float32
    ) throws -> Result {
        let model = try model(configuration, dtype, on: device)
        let prompts = prompts(configuration)
        let features = try model.encodeImages(pixels(configuration, count: prompts.count))
        let batch = try batch(prompts, features, model)
        func host(_ x: Tensor) throws -> Tensor { try x.detach().to(.cpu).to(.float32) }

        let logits = try withoutGradients { () throws -> Tensor in
            let hidden = try model.language.hiddenStates(
                of: model.embeddings(of: batch).embeddings,
                layout: batch.layout
            )
            return try host(model.language.logits(hidden))
        }
        let questions = prompts.map { prompt in
            let end = prompt.targets.firstIndex { $0 != EncodedPrompt.noTarget } ?? prompt.tokens.count
            return EncodedPrompt(
                task: prompt.task,
                tokens: Array(prompt.tokens.prefix(end)),
                targets: [Int](repeating: EncodedPrompt.noTarget, count: end)
            )
        }
        let answers = try model.generate(
            self.batch(questions, features, model),
            maximumNewTokens: Self.newTokens,
            endOfSequence: configuration.language.vocabularySize
        )

        var settings = recipe.training.optimizer
        settings.stateType = stateType
        let optimizer = try AdamW(model.trainableParameters(), settings)
        var tokenLosses: Tensor?
        var gradients: [(name: String, tensor: Tensor)] = []
        var losses: [Double] = []
        for step in 0..<Self.steps {
            try Interruption.check()
            let output = try model.loss(batch)
            try output.loss.backward()
            if step == 0 {
                tokenLosses = try host(output.tokenLosses)
                for (name, parameter) in model.trainableParameters() {
                    if let gradient = parameter.value.gradient { gradients.append((name, try host(gradient))) }
                }
            }
            try optimizer.clipGradients(to: 1)
            try optimizer.step(learningRate: Self.learningRate)
            try optimizer.clearGradients()
            losses.append(try output.loss.item())
        }
        guard let tokenLosses else { preconditionFailure("there was a first step") }
        return Result(
            features: try host(features),
            logits: logits,
            tokenLosses: tokenLosses,
            gradients: gradients,
            losses: losses,
            answers: answers
        )
    }

    // MARK: Comparisons

    private func compare(
        _ name: String,
        _ configuration: UniMedConfiguration,
        _ arithmetic: Arithmetic
    ) throws -> Comparison {
        let expected = try result(configuration, .float32, on: .cpu)
        Runtime.setAllowsTF32(arithmetic.usesTF32)
        defer { Runtime.setAllowsTF32(false) }
        let actual = try result(configuration, arithmetic.dtype, on: device)
        var checks = [
            Check("vision features", try Self.distance(actual.features, expected.features), limit: arithmetic.values),
            Check("logits", try Self.distance(actual.logits, expected.logits), limit: arithmetic.values),
            Check(
                "token losses",
                try Self.distance(actual.tokenLosses, expected.tokenLosses),
                limit: arithmetic.values
            ),
        ]
        checks += try Self.gradientChecks(actual.gradients, expected.gradients, limit: arithmetic.gradients)
        checks.append(
            Check("losses of training steps", Self.largest(actual.losses, expected.losses), limit: arithmetic.losses)
        )
        if arithmetic.dtype == .float32, !arithmetic.usesTF32 {
            let pairs = zip(actual.answers.joined(), expected.answers.joined())
            let count = max(actual.answers.joined().count, expected.answers.joined().count)
            let equal = pairs.count { $0 == $1 }
            checks.append(
                Check("generated tokens, share that differs", Double(count - equal) / Double(max(count, 1)), limit: 0)
            )
        }
        return Comparison(model: name, arithmetic: arithmetic.name, checks: checks)
    }

    /// Ways of training on the device beside the plain one on the same device.
    private func compareWays(_ configuration: UniMedConfiguration) throws -> Comparison {
        var dropping = configuration
        if case .lowRank(var adapter) = dropping.fineTuning {
            adapter.dropout = 0.1
            dropping.fineTuning = .lowRank(adapter)
        }
        func gradients(checkpointing: Bool) throws -> [(name: String, tensor: Tensor)] {
            let model = try model(dropping, .float32, on: device)
            model.language.checkpointsBlocks = checkpointing
            let prompts = prompts(dropping)
            let features = try model.encodeImages(pixels(dropping, count: prompts.count))
            try Runtime.seed(recipe.seed + 1)
            try model.loss(batch(prompts, features, model)).loss.backward()
            return try model.trainableParameters().compactMap { name, parameter in
                try parameter.value.gradient.map { (name, try $0.detach().to(.cpu)) }
            }
        }
        let plain = try gradients(checkpointing: false)
        let wide = try result(configuration, .float32, on: device)
        let narrow = try result(configuration, .float32, on: device, stateType: .bfloat16)
        // The same products of the same numbers; an accelerator adds some of them up in any order.
        let checks =
            try Self.gradientChecks(
                try gradients(checkpointing: true),
                plain,
                limit: 1e-5,
                way: ", blocks computed again"
            ) + [
                Check(
                    "losses of training steps, moments in bfloat16",
                    Self.largest(narrow.losses, wide.losses),
                    limit: 1e-2
                )
            ]
        return Comparison(model: "\(recipe.name), on the device alone", arithmetic: "float32", checks: checks)
    }

    /// Of all gradients together, and of the one that is furthest off.
    private static func gradientChecks(
        _ actual: [(name: String, tensor: Tensor)],
        _ expected: [(name: String, tensor: Tensor)],
        limit: Double,
        way: String = ""
    ) throws -> [Check] {
        guard !expected.isEmpty, actual.map(\.name) == expected.map(\.name) else {
            throw Failure.failed("\(actual.count) weights have a gradient on the device, \(expected.count) on the CPU")
        }
        let total = try OptimizerKernel.totalNorm(expected.map(\.tensor)).item()
        var worst = (name: "", deviation: -1.0)
        var squares = 0.0
        for (own, other) in zip(actual, expected) {
            let difference = try (own.tensor - other.tensor).norm().item()
            squares += difference * difference
            // What is next to nothing may be wrong by as much: it is measured by a thousandth of the whole.
            let deviation = difference / max(try other.tensor.norm().item(), 1e-3 * total)
            if !(deviation <= worst.deviation) { worst = (own.name, deviation) }
        }
        return [
            Check("gradients\(way)", squares.squareRoot() / total, limit: limit),
            Check("gradient of `\(worst.name)`, the worst\(way)", worst.deviation, limit: 5 * limit),
        ]
    }

    /// `‖a - b‖ / ‖b‖`.
    private static func distance(_ a: Tensor, _ b: Tensor) throws -> Double {
        try (a - b).norm().item() / b.norm().item()
    }

    /// The largest relative difference; infinite where numbers are missing.
    private static func largest(_ actual: [Double], _ expected: [Double]) -> Double {
        guard actual.count == expected.count else { return .infinity }
        var largest = 0.0
        for (a, b) in zip(actual, expected) {
            let deviation = abs(a - b) / abs(b)
            if !(deviation <= largest) { largest = deviation }
        }
        return largest
    }
}
