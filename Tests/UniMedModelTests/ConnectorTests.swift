import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting

/// The connector as the published code writes it: every expert by itself, the router on `[task ; token]`.
private struct TextbookConnector {
    let weights: [String: Tensor]
    let expertCount: Int
    let inputs: Set<RouterConfiguration.Input>
    let normalization: RouterConfiguration.Normalization

    private func layer(_ name: String, _ x: Tensor) throws -> Tensor {
        try x.linear(#require(weights[name + ".weight"]), bias: #require(weights[name + ".bias"]))
    }

    func callAsFunction(_ tokens: Tensor, tasks: [MedicalTask]) throws -> (aligned: Tensor, weights: Tensor) {
        var parts: [Tensor] = []
        if inputs.contains(.taskToken) {
            let rows = try tasks.map { task in
                let token = try #require(self.weights["task_tokens." + task.identifier])
                return try token.reshape(1, 1, -1)
            }
            let own = try Tensor.cat(rows)
            parts.append(try own.expand([tokens.size(0), tokens.size(1), own.size(2)]))
        }
        if inputs.contains(.imageToken) { parts.append(tokens) }
        let scores = try layer("router.fc2", layer("router.fc1", Tensor.cat(parts, dimension: 2)).gelu())
        let weights: Tensor
        switch normalization {
        case .softmax: weights = try scores.softmax()
        case .sigmoid: weights = try scores.sigmoid() / scores.sigmoid().sum(-1, keepingDimensions: true)
        }
        var aligned: Tensor?
        for expert in 0..<expertCount {
            let output = try layer("moe_layers.\(expert).2", layer("moe_layers.\(expert).0", tokens).gelu())
            let weighted = try output * weights.narrow(2, start: expert, length: 1)
            aligned = try aligned.map { try $0 + weighted } ?? weighted
        }
        return (try #require(aligned), weights)
    }
}

@Suite("Connector mixture-of-experts")
struct ConnectorTests {
    struct Setting: Sendable, CustomStringConvertible {
        let images: Int
        let tokens: Int
        let width: Int
        let output: Int
        let experts: Int
        let taskSize: Int?
        let inputs: Set<RouterConfiguration.Input>
        let normalization: RouterConfiguration.Normalization

        var description: String {
            "\(images)x\(tokens)x\(width) to \(output), \(experts) experts, \(inputs.map(\.rawValue).sorted()), \(normalization)"
        }
    }

    /// Sizes drawn at random, the same in every run.
    static let settings: [Setting] = {
        var generator = SeededGenerator(seed: 2024)
        let inputs: [Set<RouterConfiguration.Input>] = [[.imageToken], [.taskToken], [.imageToken, .taskToken]]
        return (0..<12).map { number in
            Setting(
                images: Int.random(in: 1...4, using: &generator),
                tokens: Int.random(in: 1...5, using: &generator),
                width: Int.random(in: 2...9, using: &generator),
                output: Int.random(in: 1...7, using: &generator),
                experts: Int.random(in: 1...6, using: &generator),
                taskSize: Bool.random(using: &generator) ? Int.random(in: 1...6, using: &generator) : nil,
                inputs: inputs[number % 3],
                normalization: number.isMultiple(of: 4) ? .softmax : .sigmoid
            )
        }
    }()

    private func connector(_ setting: Setting) throws -> ConnectorMoE {
        let connector = try ConnectorMoE(
            ConnectorConfiguration(
                expertCount: setting.experts,
                router: RouterConfiguration(inputs: setting.inputs, normalization: setting.normalization),
                taskTokenSize: setting.taskSize
            ),
            inputSize: setting.width,
            outputSize: setting.output
        )
        try TinyModel.randomize(connector, seed: 11)
        return connector
    }

    @Test(arguments: settings)
    func `the fast form is the textbook form, expert by expert, also in its gradients`(setting: Setting) throws {
        let connector = try connector(setting)
        let table = PublishedCheckpoint(
            connector: connector.configuration,
            inputSize: setting.width,
            outputSize: setting.output
        )
        let published = try table.published(
            connector.namedParameters().map { (name: $0.name, tensor: try $0.parameter.value.detach().clone()) }
        )
        for (_, tensor) in published { _ = try tensor.requireGradient() }
        let textbook = TextbookConnector(
            weights: Dictionary(uniqueKeysWithValues: published),
            expertCount: setting.experts,
            inputs: setting.inputs,
            normalization: setting.normalization
        )
        let order = connector.configuration.tasks
        let tasks = (0..<setting.images).map { (3 * $0 + 1) % order.count }
        let tokens = try Tensor.normal(
            [setting.images, setting.tokens, setting.width],
            generator: Generator(seed: 5)
        ).requireGradient()
        let same = try tokens.detach().clone().requireGradient()
        let fast = try connector(tokens, tasks: tasks)
        let slow = try textbook(same, tasks: tasks.map { order[$0] })
        // Some ten float32 numbers of size 1, summed in another order.
        try expectClose(fast.aligned, slow.aligned, tolerance: 1e-5, "aligned tokens")
        try expectClose(fast.routingWeights, slow.weights, tolerance: 1e-6, "routing weights")

        let direction = try Tensor.normal(fast.aligned.shape, generator: Generator(seed: 6))
        try (fast.aligned * direction).sum().backward()
        try (slow.aligned * direction).sum().backward()
        try expectClose(#require(tokens.gradient), #require(same.gradient), tolerance: 2e-4, "tokens' gradient")
        let gradients = try table.published(
            connector.namedParameters().compactMap { name, parameter in
                parameter.value.gradient.map { (name: name, tensor: $0) }
            }
        )
        let expected = published.filter { $0.1.gradient != nil }
        #expect(Set(gradients.map(\.0)) == Set(expected.map(\.0)))
        for (name, gradient) in gradients {
            let reference = try #require(expected.first { $0.0 == name }?.1.gradient)
            try expectClose(gradient, reference, tolerance: 2e-4, name)
        }
    }

    @Test(arguments: settings)
    func `weights are positive and sum to one for every image token`(setting: Setting) throws {
        let connector = try connector(setting)
        let tokens = try Tensor.normal(
            [setting.images, setting.tokens, setting.width],
            generator: Generator(seed: 5)
        )
        let weights = try connector(tokens, tasks: [Int](repeating: 0, count: setting.images)).routingWeights
        #expect(weights.shape == [setting.images, setting.tokens, setting.experts])
        try expectClose(weights.sum(-1), .ones([setting.images, setting.tokens]), tolerance: 1e-6, "sums")
        #expect(try weights.array(of: Float.self).allSatisfy { $0 > 0 && $0 <= 1 })
    }

    @Test func `the router tells tasks apart only where it sees them`() throws {
        for inputs in [[.imageToken], [.taskToken], [.imageToken, .taskToken]] as [Set<RouterConfiguration.Input>] {
            let model = try TinyModel.make(
                TinyModel.configuration(router: RouterConfiguration(inputs: inputs, hiddenSize: 32))
            )
            let features = try TinyModel.features(count: 1)
            let weights = try (0..<5).map { try model.alignedTokens(of: features, tasks: [$0]).routingWeights }
            let distances = try weights.dropFirst().map { try $0.deviation(from: weights[0]).worst }
            #expect(distances.allSatisfy { inputs.contains(.taskToken) ? $0 > 1e-3 : $0 == 0 })
        }
    }

    @Test func `tokens of tasks that are not in a batch have no gradient`() throws {
        let model = try TinyModel.make()
        let features = try TinyModel.features(count: 3)
        try model.alignedTokens(of: features, tasks: [1, 3, 1]).aligned.sum().backward()
        #expect(model.connector.taskTokens.map { $0.value.gradient != nil } == [false, true, false, true, false])
    }

    @Test func `tasks that do not fit are refused`() throws {
        let model = try TinyModel.make()
        let features = try TinyModel.features(count: 2)
        for tasks in [[0], [0, 5], [-1, 0], []] {
            #expect(throws: TorchError.self) { try model.alignedTokens(of: features, tasks: tasks) }
        }
    }

    @Test func `the resampler joins consecutive tokens in row-major order`() throws {
        let tokens = try Tensor((0..<16).map { Float($0) }, shape: [1, 8, 2])
        let joined = try ResamplerConfiguration.projection(rate: 4)(tokens)
        #expect(joined.shape == [1, 2, 8])
        #expect(try joined.select(1, 1).array(of: Float.self) == [8, 9, 10, 11, 12, 13, 14, 15])
        let error = try #require(throws: TorchError.self) { try ResamplerConfiguration.projection(rate: 3)(tokens) }
        #expect(error.description.contains("the rate 3 does not divide 8 tokens"))
    }
}
