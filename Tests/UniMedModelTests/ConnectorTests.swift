import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting

/// The mixture of experts as the published code writes it: every expert by itself, the router on `[task ; token]`.
private struct TextbookConnector {
    let weights: [String: Tensor]
    let configuration: ConnectorMoEConfiguration

    private func layer(_ name: String, _ x: Tensor) throws -> Tensor {
        try x.linear(#require(weights[name + ".weight"]), bias: weights[name + ".bias"])
    }

    private func scores(
        _ inputs: Set<RouterConfiguration.Input>,
        _ tokens: Tensor,
        _ tasks: [MedicalTask]
    ) throws -> Tensor {
        var parts: [Tensor] = []
        if inputs.contains(.taskToken) {
            let rows = try tasks.map { task in
                try #require(self.weights["task_tokens." + task.identifier]).reshape(1, 1, -1)
            }
            let own = try Tensor.cat(rows)
            parts.append(try own.expand([tokens.size(0), tokens.size(1), own.size(2)]))
        }
        if inputs.contains(.imageToken) { parts.append(tokens) }
        return try layer("router.fc2", layer("router.fc1", Tensor.cat(parts, dimension: 2)).gelu())
    }

    /// The weights of all experts for all tokens.
    private func routing(_ tokens: Tensor, _ tasks: [MedicalTask], _ modalities: [String?]) throws -> Tensor {
        let shape = [tokens.size(0), tokens.size(1), configuration.expertCount]
        func oneHot(_ experts: [Int]) throws -> Tensor {
            let ones = experts.flatMap { expert in (0..<shape[2]).map { Float($0 == expert ? 1 : 0) } }
            return try Tensor(ones, shape: [shape[0], 1, shape[2]]).expand(shape)
        }
        switch configuration.router {
        case .constant: return try Tensor.full(shape, 1 / Double(shape[2]))
        case .hard(by: .task): return try oneHot(tasks.map { try #require(configuration.tasks.firstIndex(of: $0)) })
        case .hard(by: .modality(let known)):
            return try oneHot(modalities.map { try #require(known.firstIndex(of: $0 ?? "")) })
        case .sparse(let topK, let normalization, let network):
            let scores = try scores(network.inputs, tokens, tasks)
            let smallest = try scores.topK(topK).values.narrow(2, start: topK - 1, length: 1)
            let dropped = normalization == .published ? -Double.infinity : 0
            return try scores.maskedFill(scores.compare(.less, smallest), dropped).softmax()
        case .soft(.softmax, let network): return try scores(network.inputs, tokens, tasks).softmax()
        case .soft(.sigmoid, let network):
            let sigmoids = try scores(network.inputs, tokens, tasks).sigmoid()
            return try sigmoids / sigmoids.sum(-1, keepingDimensions: true)
        }
    }

    func callAsFunction(
        _ tokens: Tensor,
        tasks: [MedicalTask],
        modalities: [String?]
    ) throws -> (aligned: Tensor, weights: Tensor) {
        let weights = try routing(tokens, tasks, modalities)
        var aligned: Tensor?
        for expert in 0..<configuration.expertCount {
            var output = try layer("moe_layers.\(expert).0", tokens)
            if configuration.expert == .mlp { output = try layer("moe_layers.\(expert).2", output.gelu()) }
            let weighted = try output * weights.narrow(2, start: expert, length: 1)
            aligned = try aligned.map { try $0 + weighted } ?? weighted
        }
        return (try #require(aligned), weights)
    }
}

@Suite("Connector")
struct ConnectorTests {
    struct Setting: Sendable, CustomStringConvertible {
        let images: Int
        let tokens: Int
        let width: Int
        let output: Int
        let configuration: ConnectorMoEConfiguration

        var description: String {
            "\(images)x\(tokens)x\(width) to \(output), \(configuration.expertCount) \(configuration.expert) experts, "
                + "\(configuration.router), task token \(configuration.taskTokenSize ?? width)"
        }

        /// Tasks of the images, some twice.
        var tasks: [Int] { (0..<images).map { (3 * $0 + 1) % configuration.tasks.count } }

        /// Modalities of the images, not in the order of the experts.
        var modalities: [String?] { (0..<images).map { ["US", "CT", "US", "MR"][$0 % 4] } }

        func connector() throws -> ConnectorMoE {
            let connector = try ConnectorMoE(configuration, inputSize: width, outputSize: output)
            try TinyModel.randomize(connector, seed: 11)
            return connector
        }

        func features() throws -> Tensor { try Tensor.normal([images, tokens, width], generator: Generator(seed: 5)) }
    }

    private static let inputs: [Set<RouterConfiguration.Input>] = [
        [.imageToken], [.taskToken], [.imageToken, .taskToken],
    ]

    private static let routers: [RouterConfiguration] =
        [.constant, .hard(by: .task), .hard(by: .modality(["CT", "MR", "US"]))]
        + inputs.flatMap { inputs -> [RouterConfiguration] in
            let network = RouterNetworkConfiguration(inputs: inputs)
            return [
                .soft(.sigmoid, network: network), .soft(.softmax, network: network),
                .sparse(topK: 1, .published, network: network), .sparse(topK: 2, .published, network: network),
                .sparse(topK: 2, .paper, network: network),
            ]
        }

    /// Every kind of expert and router, at sizes drawn at random, the same in every run.
    static let settings: [Setting] = {
        var generator = SeededGenerator(seed: 2024)
        return ConnectorMoEConfiguration.Expert.allCases.flatMap { expert in
            routers.flatMap { router in
                // Fewer tokens than experts, and more.
                [1...3, 7...9].map { tokens in
                    var count: Int? = Int.random(in: 2...6, using: &generator)
                    if case .hard = router { count = nil }
                    return Setting(
                        images: Int.random(in: 1...4, using: &generator),
                        tokens: Int.random(in: tokens, using: &generator),
                        width: Int.random(in: 2...9, using: &generator),
                        output: Int.random(in: 1...7, using: &generator),
                        configuration: ConnectorMoEConfiguration(
                            expert: expert,
                            expertCount: count,
                            router: router,
                            taskTokenSize: Bool.random(using: &generator)
                                ? Int.random(in: 1...6, using: &generator) : nil
                        )
                    )
                }
            }
        }
    }()

    @Test(arguments: settings)
    func `the fast form is the textbook form, expert by expert, also in its gradients`(setting: Setting) throws {
        let connector = try setting.connector()
        let table = PublishedCheckpoint(
            connector: .mixtureOfExperts(setting.configuration),
            inputSize: setting.width,
            outputSize: setting.output
        )
        let published = try table.published(
            connector.namedParameters().map { (name: $0.name, tensor: try $0.parameter.value.detach().clone()) }
        )
        for (_, tensor) in published { _ = try tensor.requireGradient() }
        let textbook = TextbookConnector(
            weights: Dictionary(uniqueKeysWithValues: published),
            configuration: setting.configuration
        )
        let tokens = try setting.features().requireGradient()
        let same = try tokens.detach().clone().requireGradient()
        let fast = try connector(tokens, tasks: setting.tasks, modalities: setting.modalities)
        let slow = try textbook(
            same,
            tasks: setting.tasks.map { setting.configuration.tasks[$0] },
            modalities: setting.modalities
        )
        // Some ten float32 numbers of size 1, summed in another order.
        try expectClose(fast.aligned, slow.aligned, tolerance: 1e-5, "aligned tokens")
        try expectClose(#require(fast.routingWeights), slow.weights, tolerance: 1e-6, "routing weights")

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
    func `weights sum to one for every image token`(setting: Setting) throws {
        let connector = try setting.connector()
        let weights = try #require(
            try connector(setting.features(), tasks: setting.tasks, modalities: setting.modalities).routingWeights
        )
        let count = setting.configuration.expertCount
        #expect(weights.shape == [setting.images, setting.tokens, count])
        try expectClose(weights.sum(-1), .ones([setting.images, setting.tokens]), tolerance: 1e-6, "sums")
        let positive = try weights.compare(.greater, 0).to(.int64).sum(-1).reshape(-1).array(of: Int.self)
        switch setting.configuration.router {
        case .hard: #expect(positive.allSatisfy { $0 == 1 })
        case .sparse(let topK, .published, _): #expect(positive.allSatisfy { $0 == topK })
        case .constant, .sparse(_, .paper, _), .soft: #expect(positive.allSatisfy { $0 == count })
        }
    }

    @Test func `the two sparse normalisations differ, and only the printed one gives all experts some weight`() throws {
        func weights(_ normalization: SparseRouter.Normalization) throws -> Tensor {
            let configuration = ConnectorMoEConfiguration(expertCount: 6, router: .sparse(topK: 2, normalization))
            let connector = try ConnectorMoE(configuration, inputSize: 8, outputSize: 4)
            try TinyModel.randomize(connector, seed: 3)
            let tokens = try Tensor.normal([2, 5, 8], generator: Generator(seed: 1))
            return try #require(try connector(tokens, tasks: [0, 1]).routingWeights)
        }
        #expect(try weights(.published).deviation(from: weights(.paper)).worst > 1e-2)
        #expect(try weights(.paper).compare(.equal, 0).to(.int64).sum().item() == 0)
        #expect(try weights(.published).compare(.equal, 0).to(.int64).sum().item() == 2 * 5 * 4)
    }

    @Test func `in bfloat16 the sparse form stays close to float32`() throws {
        let configuration = ConnectorMoEConfiguration(expertCount: 6, router: .sparse(topK: 2))
        let connector = try ConnectorMoE(configuration, inputSize: 32, outputSize: 16)
        try TinyModel.randomize(connector, seed: 3)
        let tokens = try Tensor.normal([2, 40, 32], generator: Generator(seed: 1)).to(.bfloat16)
        let experts = try Tensor((0..<160).map { ($0 * 7 + $0 / 5) % 6 }, shape: [2, 40, 2])
        let weights = try Tensor.full([2, 40, 2], 0.5)
        let half = try connector.experts(
            tokens,
            routing: .sparse(experts: experts, weights: weights.to(.bfloat16))
        )
        #expect(half.dtype == .bfloat16)
        let single = try connector.experts(
            tokens.to(.float32),
            routing: .sparse(experts: experts, weights: weights)
        )
        // Eight bits of mantissa, through two layers of width 32 and 16.
        try expectClose(half.to(.float32), single, tolerance: 0.05, "aligned tokens")
    }

    @Test func `the router tells tasks apart only where it sees them`() throws {
        for inputs in Self.inputs {
            let model = try TinyModel.make(
                TinyModel.configuration(router: RouterConfiguration(inputs: inputs, hiddenSize: 32))
            )
            let features = try TinyModel.features(count: 1)
            let weights = try (0..<5).map {
                try #require(try model.alignedTokens(of: features, tasks: [$0]).routingWeights)
            }
            let distances = try weights.dropFirst().map { try $0.deviation(from: weights[0]).worst }
            #expect(distances.allSatisfy { inputs.contains(.taskToken) ? $0 > 1e-3 : $0 == 0 })
        }
    }

    @Test func `tokens of tasks that are not in a batch have no gradient`() throws {
        for router in [RouterConfiguration.soft(), .sparse(topK: 2)] {
            let model = try TinyModel.make(TinyModel.configuration(router: router))
            let features = try TinyModel.features(count: 3)
            try model.alignedTokens(of: features, tasks: [1, 3, 1]).aligned.sum().backward()
            let connector = try #require(model.connector as? ConnectorMoE)
            #expect(connector.taskTokens.map { $0.value.gradient != nil } == [false, true, false, true, false])
        }
    }

    @Test func `tasks that do not fit are refused`() throws {
        for router in [RouterConfiguration.soft(), .hard(by: .task)] {
            let model = try TinyModel.make(TinyModel.configuration(router: router, expertCount: 5))
            let features = try TinyModel.features(count: 2)
            for tasks in [[0], [0, 5], [-1, 0], []] {
                #expect(throws: TorchError.self) { try model.alignedTokens(of: features, tasks: tasks) }
            }
        }
    }

    @Test func `an image without a known modality is refused by a router by modality`() throws {
        let router = RouterConfiguration.hard(by: .modality(["CT", "MR"]))
        let model = try TinyModel.make(TinyModel.configuration(router: router, expertCount: 2))
        let features = try TinyModel.features(count: 2)
        let aligned = try model.alignedTokens(of: features, tasks: [0, 0], modalities: ["MR", "CT"]).aligned
        let turned = try model.alignedTokens(of: features, tasks: [0, 0], modalities: ["CT", "MR"]).aligned
        #expect(try aligned.deviation(from: turned).worst > 1e-2)
        let unknown = try #require(throws: TorchError.self) {
            try model.alignedTokens(of: features, tasks: [0, 0], modalities: ["MR", "US"])
        }
        #expect(unknown.description.contains("the modality 'US'; there are experts for CT, MR"))
        let missing = try #require(throws: TorchError.self) { try model.alignedTokens(of: features, tasks: [0, 0]) }
        #expect(missing.description.contains("no modality"))
    }

    @Test func `settings that contradict each other make no connector`() throws {
        for configuration in [
            ConnectorConfiguration(expertCount: 3, router: .sparse(topK: 4)),
            ConnectorConfiguration(expertCount: 4, router: .hard(by: .task)),
            ConnectorConfiguration(expertCount: 0), ConnectorConfiguration(tasks: []), .mlp(layerCount: 0),
            ConnectorConfiguration(router: RouterConfiguration(inputs: [])),
        ] {
            #expect(throws: TorchError.self, "\(configuration)") {
                try configuration.makeConnector(inputSize: 4, outputSize: 3)
            }
        }
    }

    @Test func `a model with a connector without experts learns and has no routing weights`() throws {
        for connector in [ConnectorConfiguration.linear, .mlp(layerCount: 2), .mlp(layerCount: 3)] {
            var configuration = TinyModel.configuration()
            configuration.connector = connector
            let model = try TinyModel.make(configuration)
            let (aligned, weights) = try model.alignedTokens(of: TinyModel.features(count: 2), tasks: [0, 4])
            #expect(aligned.shape == [2, 4, 24] && weights == nil)
            try aligned.sum().backward()
            #expect(model.connector.namedParameters().allSatisfy { $0.parameter.value.gradient != nil })
            let layers = connector == .linear ? 1 : connector == .mlp(layerCount: 2) ? 2 : 3
            #expect(model.connector.namedParameters().count == 2 * layers)
        }
    }
}

@Suite("Resampler")
struct ResamplerTests {
    /// One image of 4 by 4 tokens with 2 channels: 0, 1, …, and their opposites.
    private func image() throws -> Tensor {
        try Tensor((0..<16).flatMap { [Float($0), -Float($0)] }, shape: [1, 16, 2])
    }

    @Test func `projection joins consecutive tokens in row-major order`() throws {
        let tokens = try Tensor((0..<16).map { Float($0) }, shape: [1, 8, 2])
        let joined = try ResamplerConfiguration.projection(rate: 4)(tokens)
        #expect(joined.shape == [1, 2, 8])
        #expect(try joined.select(1, 1).array(of: Float.self) == [8, 9, 10, 11, 12, 13, 14, 15])
        let error = try #require(throws: TorchError.self) { try ResamplerConfiguration.projection(rate: 3)(tokens) }
        #expect(error.description.contains("the rate 3 does not divide 8 tokens"))
    }

    @Test func `pooling takes squares of the image`() throws {
        let mean = try ResamplerConfiguration.averagePooling(side: 2)(image())
        #expect(mean.shape == [1, 4, 2])
        #expect(try mean.array(of: Float.self) == [2.5, -2.5, 4.5, -4.5, 10.5, -10.5, 12.5, -12.5])
        let largest = try ResamplerConfiguration.maxPooling(side: 2)(image())
        #expect(try largest.array(of: Float.self) == [5, 0, 7, -2, 13, -8, 15, -10])
        #expect(try ResamplerConfiguration.maxPooling(side: 4)(image()).array(of: Float.self) == [15, 0])
        #expect(try ResamplerConfiguration.averagePooling(side: 1)(image()).isEqual(to: image()))
        #expect(throws: TorchError.self) { try ResamplerConfiguration.averagePooling(side: 3)(image()) }
        #expect(throws: TorchError.self) {
            try ResamplerConfiguration.maxPooling(side: 2)(Tensor.zeros([1, 8, 2]))
        }
    }

    @Test func `rate and width follow from the method`() {
        #expect(ResamplerConfiguration.projection(rate: 8).rate == 8)
        #expect(ResamplerConfiguration.projection(rate: 8).outputSize(of: 3) == 24)
        #expect(ResamplerConfiguration.averagePooling(side: 4).rate == 16)
        #expect(ResamplerConfiguration.maxPooling(side: 4).outputSize(of: 3) == 3)
    }
}
