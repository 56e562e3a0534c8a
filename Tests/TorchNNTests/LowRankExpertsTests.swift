import Testing
import Torch
import TorchNN

@Suite("LoRA-MoE")
struct LowRankExpertsTests {
    static let routers: [LowRankRouterConfiguration] = [
        .constant, .sparse(topK: 2), .sparse(topK: 3, dropped: .zero, network: .mlp(hiddenSize: 7)), .sparse(topK: 4),
        .soft(.sigmoid), .soft(.softmax, network: .mlp(hiddenSize: nil)),
    ]

    private func make(
        _ router: LowRankRouterConfiguration,
        dropout: Double = 0
    ) throws -> (layer: Linear, experts: LowRankExperts) {
        let layer = try Linear(6, 5)
        try layer.attach(
            LowRankExpertsConfiguration(rank: 3, alpha: 6, dropout: dropout, expertCount: 4, router: router)
        )
        for (index, entry) in layer.namedParameters().enumerated() {
            try entry.parameter.value.detach().fillNormal(generator: Generator(seed: UInt64(index + 1)))
        }
        return (layer, try #require(layer.experts))
    }

    /// Equation 15 as it stands: every expert's output for itself.
    private func textbook(_ layer: Linear, _ experts: LowRankExperts, _ x: Tensor) throws -> Tensor {
        var result = try x.linear(layer.weight.value, bias: layer.bias?.value)
        let weights = try experts.routingWeights(for: x)
        for expert in 0..<4 {
            let down = try experts.down.value.narrow(0, start: expert * 3, length: 3)
            let up = try experts.up.value.narrow(1, start: expert * 3, length: 3)
            result = try result + x.linear(down).linear(up) * weights.narrow(-1, start: expert, length: 1) * 2
        }
        return result
    }

    @Test(arguments: routers)
    func `two stacked products are the experts one by one, gradients too`(router: LowRankRouterConfiguration) throws {
        let (layer, experts) = try make(router)
        let x = try random([2, 7, 6], seed: 5).requireGradient()
        let weights = layer.trainableParameters().map(\.parameter.value) + [x]
        let mask = try random([2, 7, 5], seed: 6)
        let (fast, slow) = (try layer(x, training: true), try textbook(layer, experts, x))
        // Two orders of the same sums, in float32.
        #expect(try distance(fast, slow) < 1e-4)
        let own = try Tensor.gradients(of: [(fast * mask).sum()], withRespectTo: weights)
        let expected = try Tensor.gradients(of: [(slow * mask).sum()], withRespectTo: weights)
        for (gradient, other) in zip(own, expected) {
            #expect(try distance(#require(gradient), #require(other)) < 5e-4)
        }
    }

    @Test(arguments: routers)
    func `weights are positive, sum to one, and dropped experts weigh nothing`(router: LowRankRouterConfiguration)
        throws
    {
        let (_, experts) = try make(router)
        let weights = try experts.routingWeights(for: random([9, 6], seed: 3))
        #expect(weights.shape == [9, 4] && weights.dtype == .float32)
        #expect(try distance(weights.sum(-1), Tensor.ones([9])) < 1e-6)
        let rows = try weights.detach().array(of: Float.self)
        for row in 0..<9 {
            let positive = rows[row * 4..<row * 4 + 4].count { $0 > 0 }
            if case .sparse(let topK, .minusInfinity, _) = router {
                #expect(positive == topK)
            } else {
                #expect(positive == 4)
            }
        }
    }

    @Test func `exactly the best are kept also where scores are equal`() throws {
        let (layer, experts) = try make(.sparse(topK: 2))
        for (name, parameter) in layer.namedParameters() where name.contains("router") {
            try parameter.load(Tensor.zeros(parameter.value.shape))
        }
        let rows = try experts.routingWeights(for: random([50, 6], seed: 3)).detach().array(of: Float.self)
        for row in 0..<50 { #expect(rows[row * 4..<row * 4 + 4].sorted() == [0, 0, 0.5, 0.5]) }
    }

    @Test func `a new mixture is invisible, freezes the layer and trains the rest`() throws {
        let layer = try Linear(6, 5)
        let x = try random([3, 6], seed: 1)
        let before = try layer(x)
        try layer.attach(LowRankExpertsConfiguration())
        #expect(try layer(x).isEqual(to: before))
        #expect(
            layer.trainableParameters().map(\.name) == [
                "lora_experts.A.weight", "lora_experts.B.weight", "lora_experts.router.weight",
                "lora_experts.router.bias",
            ]
        )
        #expect(layer.experts?.down.value.shape == [5 * 4, 6] && layer.experts?.up.value.shape == [5, 5 * 4])
        #expect(layer.experts?.scaling == 2)
        let names = layer.namedParameters(prefix: "mlp.down_proj.").map(\.name)
        #expect(names.filter { !LowRankAdapter.owns($0) } == ["mlp.down_proj.weight", "mlp.down_proj.bias"])
        try layer(x, training: true).sum().backward()
        #expect(layer.weight.value.gradient == nil)
        #expect(layer.experts?.up.value.gradient != nil)
    }

    @Test func `experts that weigh the same for every token merge, others say why not`() throws {
        let (layer, _) = try make(.constant)
        let x = try random([4, 6], seed: 2)
        let before = try layer(x)
        try layer.merge()
        #expect(try distance(layer(x), before) < 1e-4)
        try layer.unmerge()
        #expect(try layer(x).isEqual(to: before))
        let (routed, _) = try make(.soft())
        let error = try #require(throws: TorchError.self) { try routed.merge() }
        #expect(error.description.contains("token by token"))
        #expect(!routed.isMerged)
    }

    @Test func `layers side by side may have any kind of adapter`() throws {
        let layers = try (0..<4).map { _ in try Linear(6, 5, bias: false) }
        try layers[0].attach(LowRankConfiguration(rank: 2, dropout: 0))
        try layers[1].attach(LowRankExpertsConfiguration(dropout: 0))
        try layers[3].attach(LowRankConfiguration(rank: 3, alpha: 1, dropout: 0))
        for (index, layer) in layers.enumerated() {
            for (_, parameter) in layer.namedParameters() {
                try parameter.value.detach().fillNormal(generator: Generator(seed: UInt64(index + 1)))
            }
        }
        let x = try random([5, 6], seed: 3)
        func compare() throws {
            let apart = try Tensor.cat(layers.map { try $0(x) }, dimension: 1)
            #expect(try distance(Linear.side(by: layers, x), apart) < 1e-4)
        }
        try compare()
        try layers[3].merge()
        try compare()
    }

    @Test func `dropout is applied to the experts in training only`() throws {
        let (layer, _) = try make(.sparse(topK: 2), dropout: 0.5)
        let x = try random([32, 6], seed: 2)
        #expect(try layer(x).isEqual(to: layer(x)))
        #expect(try !layer(x, training: true).isEqual(to: layer(x, training: true)))
    }
}

@Suite("Merging of adapters")
struct AdapterMergingTests {
    private func adapted(_ dtype: DType, dropout: Double = 0) throws -> Linear {
        let layer = try Linear(32, 16)
        try layer.attach(LowRankConfiguration(rank: 4, alpha: 8, dropout: dropout))
        for (index, entry) in layer.namedParameters().enumerated() {
            try entry.parameter.value.detach().fillNormal(deviation: 0.3, generator: Generator(seed: UInt64(index)))
        }
        try layer.castFrozenParameters(to: dtype)
        return layer
    }

    @Test(arguments: [DType.float32, .bfloat16])
    func `a merged layer computes the same, and unmerging restores every bit`(dtype: DType) throws {
        let layer = try adapted(dtype)
        let x = try random([20, 32], seed: 9)
        let (weight, before) = (try layer.weight.value.clone(), try layer(x))
        let exact = try layer.mergedWeight()
        try layer.merge()
        try layer.merge()
        #expect(layer.isMerged && layer.weight.value.dtype == dtype)
        #expect(layer.namedParameters().map(\.name) == ["weight", "bias"])
        // One rounding of the weight to its type, against one of the product.
        #expect(try distance(layer(x), before) < (dtype == .float32 ? 1e-4 : 0.1))
        #expect(try layer.weight.value.isEqual(to: exact) && layer.mergedWeight().isEqual(to: exact))
        #expect(try !layer.weight.value.isEqual(to: weight))
        try layer.unmerge()
        #expect(try layer.weight.value.isEqual(to: weight))
        #expect(try layer(x).isEqual(to: before))
        #expect(layer.trainableParameters().map(\.name) == ["lora_A.weight", "lora_B.weight"])
    }

    @Test func `a merged layer is not trained and gets no other adapter`() throws {
        let layer = try adapted(.float32)
        try layer.merge()
        let x = try random([2, 32], seed: 1)
        #expect(throws: TorchError.self) { try layer(x, training: true) }
        #expect(throws: TorchError.self) { try layer.attach(LowRankConfiguration()) }
        try layer.unmerge()
        try layer(x, training: true).sum().backward()
        #expect(layer.adapter?.up.value.gradient != nil)
    }

    @Test func `without the original the adapter is gone for good`() throws {
        let layer = try adapted(.float32)
        let x = try random([2, 32], seed: 1)
        let before = try layer(x)
        try layer.merge(keepingOriginal: false)
        #expect(!layer.isMerged && layer.adapter == nil)
        let merged = try layer(x)
        #expect(try distance(merged, before) < 1e-4)
        try layer.unmerge()
        #expect(try layer(x).isEqual(to: merged))
    }

    @Test func `layers that share their input share its dropout`() throws {
        let layers = try (0..<2).map { _ in try Linear(64, 3, bias: false) }
        for layer in layers {
            try layer.attach(LowRankConfiguration(rank: 2, dropout: 0.5))
            for (index, entry) in layer.namedParameters().enumerated() {
                try entry.parameter.value.detach().fillNormal(generator: Generator(seed: UInt64(index + 1)))
            }
        }
        // The same weights and the same zeros: the same numbers, but for the order of their sums.
        let output = try Linear.side(by: layers, random([10, 64], seed: 7), training: true).split([3, 3], dimension: 1)
        #expect(try distance(output[0], output[1]) < 1e-4)
        #expect(try distance(output[0], layers[0](random([10, 64], seed: 7))) > 0.1)
        let apart = try Linear.separately(layers, random([10, 64], seed: 7), training: true)
        #expect(try distance(apart[0], apart[1]) < 1e-4)
    }
}

@Suite("AdamW: types of state")
struct AdamWStateTests {
    @Test func `narrow moments take half the memory and resume bit for bit`() throws {
        let settings = AdamWConfiguration(beta2: 0.999, stateType: .bfloat16)
        func make() throws -> (Parameter, AdamW) {
            let parameter = try Parameter(random([30, 30], seed: 1))
            return (parameter, try AdamW([("w", parameter)], settings))
        }
        func advance(_ parameter: Parameter, _ optimizer: AdamW, _ steps: ClosedRange<UInt64>) throws {
            for step in steps {
                try Runtime.seed(step)
                try parameter.value.setGradient(random([30, 30], seed: 10 + step))
                try optimizer.step(learningRate: 0.01)
            }
        }
        let (whole, wholeOptimizer) = try make()
        try advance(whole, wholeOptimizer, 1...6)
        let (begun, begunOptimizer) = try make()
        try advance(begun, begunOptimizer, 1...3)
        let state = begunOptimizer.state()
        #expect(state.map(\.tensor.dtype) == [.bfloat16, .bfloat16, .float32])
        #expect(state.prefix(2).reduce(0) { $0 + $1.tensor.byteCount } == 2 * 2 * 900)
        let saved = try Dictionary(uniqueKeysWithValues: state.map { ($0.name, try $0.tensor.clone()) })
        let (resumed, resumedOptimizer) = try make()
        try resumed.load(begun.value)
        try resumedOptimizer.restore { saved[$0] }
        try advance(resumed, resumedOptimizer, 4...6)
        #expect(try resumed.value.detach().isEqual(to: whole.value.detach()))
        #expect(throws: TorchError.self) {
            try AdamW([("w", resumed)], AdamWConfiguration()).restore { saved[$0] }
        }
    }

    @Test func `narrow moments need float32 weights`() throws {
        let narrow = try Parameter(Tensor.zeros([2], dtype: .bfloat16))
        let error = try #require(throws: TorchError.self) {
            try AdamW([("w", narrow)], AdamWConfiguration(stateType: .bfloat16))
        }
        #expect(error.description.contains("w is none"))
    }

    @Test func `a small network learns the same with narrow moments`() throws {
        func losses(_ stateType: AdamWConfiguration.StateType) throws -> [Double] {
            try Runtime.seed(5)
            let (first, second) = (try Linear(16, 64), try Linear(64, 1))
            let parameters = first.namedParameters(prefix: "a.") + second.namedParameters(prefix: "b.")
            let optimizer = try AdamW(parameters, AdamWConfiguration(beta2: 0.999, stateType: stateType))
            var losses: [Double] = []
            for step in 0..<400 {
                let x = try random([64, 16], seed: UInt64(step))
                let target = try (x.narrow(1, start: 0, length: 1) * x.narrow(1, start: 1, length: 1)).sin()
                let loss = try (second(first(x).gelu()) - target).power(2).mean()
                try loss.backward()
                try optimizer.step(learningRate: 1e-2)
                try optimizer.clearGradients()
                losses.append(try loss.item())
            }
            return losses
        }
        let (wide, narrow) = (try losses(.float32), try losses(.bfloat16))
        func mean(_ values: ArraySlice<Double>) -> Double { values.reduce(0, +) / Double(values.count) }
        #expect(mean(wide.suffix(50)) < 0.5 * mean(wide.prefix(10)))
        // The curves lie on each other: the means of 50 steps differ by a few ten-thousandths.
        for start in stride(from: 0, to: 400, by: 50) {
            let (expected, own) = (mean(wide[start..<start + 50]), mean(narrow[start..<start + 50]))
            #expect(abs(own / expected - 1) < 0.005, "steps \(start) to \(start + 50)")
        }
    }
}
