import Testing
import Torch
import TorchNN

@Suite("Linear layers and LoRA")
struct LinearTests {
    private func filled(_ linear: Linear, seed: UInt64) throws -> Linear {
        for (index, entry) in linear.namedParameters().enumerated() {
            try entry.parameter.value.detach().fillNormal(generator: Generator(seed: seed + UInt64(index)))
        }
        return linear
    }

    @Test func `an adapter is invisible at the start`() throws {
        let linear = try Linear(6, 4)
        let x = try random([3, 6], seed: 1)
        let before = try linear(x)
        try linear.attach(LowRankConfiguration(rank: 2))
        #expect(try linear(x).isEqual(to: before))
        #expect(try distance(linear.mergedWeight(), linear.weight.value) == 0)
    }

    @Test func `an adapter freezes the layer and trains its two matrices`() throws {
        let linear = try filled(Linear(6, 4), seed: 1)
        try linear.attach(LowRankConfiguration(rank: 2))
        #expect(linear.namedParameters().map(\.name) == ["weight", "bias", "lora_A.weight", "lora_B.weight"])
        #expect(linear.trainableParameters().map(\.name) == ["lora_A.weight", "lora_B.weight"])
        try linear(random([3, 6], seed: 2), training: true).sum().backward()
        #expect(linear.weight.value.gradient == nil)
        #expect(linear.adapter?.up.value.gradient != nil)
    }

    @Test func `an adapter adds the scaled product of its matrices`() throws {
        let linear = try Linear(6, 4)
        try linear.attach(LowRankConfiguration(rank: 2, alpha: 8, dropout: 0))
        _ = try filled(linear, seed: 1)
        let adapter = try #require(linear.adapter)
        let x = try random([3, 6], seed: 9)
        let update = try adapter.up.value.detach().matmul(adapter.down.value.detach()) * 4
        let expected = try x.linear(linear.weight.value + update, bias: linear.bias?.value)
        // Two orders of the same sums, in float32.
        #expect(try distance(linear(x), expected) < 1e-4)
        #expect(try distance(linear.mergedWeight(), linear.weight.value + update) < 1e-6)
    }

    @Test func `layers side by side are the layers one by one`() throws {
        for adapted in [[false, false], [true, true], [true, false]] {
            let layers = [try Linear(6, 4, bias: false), try Linear(6, 3, bias: false)]
            for (layer, isAdapted) in zip(layers, adapted) where isAdapted {
                try layer.attach(LowRankConfiguration(rank: 2, dropout: 0))
            }
            for (index, layer) in layers.enumerated() { _ = try filled(layer, seed: UInt64(10 * index + 1)) }
            let x = try random([5, 6], seed: 3)
            let together = try Linear.side(by: layers, x)
            let apart = try layers.map { try $0(x) }
            #expect(try distance(together, Tensor.cat(apart, dimension: 1)) < 1e-5)
            // By a product for each, as accelerators do it.
            let parts = try Linear.separately(layers, x, training: false)
            #expect(parts.count == 2)
            for (part, expected) in zip(parts, apart) { #expect(try distance(part, expected) < 1e-5) }
        }
    }

    @Test func `an adapter's dropout is off outside training`() throws {
        let linear = try Linear(64, 8)
        try linear.attach(LowRankConfiguration(rank: 4, dropout: 0.5))
        _ = try filled(linear, seed: 1)
        let x = try random([16, 64], seed: 2)
        #expect(try linear(x).isEqual(to: linear(x)))
        #expect(try !linear(x, training: true).isEqual(to: linear(x, training: true)))
    }

    @Test func `gradients reach a float32 weight through a bfloat16 product`() throws {
        let linear = try Linear(4, 2)
        let output = try linear(random([3, 4], seed: 1).to(.bfloat16))
        #expect(output.dtype == .bfloat16)
        try output.sum().backward()
        #expect(linear.weight.value.gradient?.dtype == .float32)
    }
}

@Suite("Modules and parameters")
struct ModuleTests {
    private final class Pair: Module {
        let first: Linear
        let rest: ModuleList<LayerNorm>

        init() throws {
            first = try Linear(3, 2)
            rest = ModuleList([try LayerNorm(2), try LayerNorm(2)])
        }

        var members: [ModuleMember] { [.module("first", first), .module("rest", rest)] }
    }

    @Test func `names are paths of members`() throws {
        #expect(
            try Pair().namedParameters().map(\.name) == [
                "first.weight", "first.bias", "rest.0.weight", "rest.0.bias", "rest.1.weight", "rest.1.bias",
            ]
        )
        #expect(try Pair().parameterCount() == 16)
    }

    @Test func `frozen weights are not trained`() throws {
        let pair = try Pair()
        try pair.rest.freeze()
        #expect(pair.trainableParameters().map(\.name) == ["first.weight", "first.bias"])
        #expect(pair.parameterCount(trainableOnly: true) == 8)
        try pair.castFrozenParameters(to: .bfloat16)
        #expect(pair.rest.elements[0].weight.value.dtype == .bfloat16)
        #expect(pair.first.weight.value.dtype == .float32)
        try pair.rest.elements[0].weight.unfreeze()
        #expect(pair.rest.elements[0].weight.value.requiresGradient)
    }

    @Test func `loading keeps the memory and refuses other shapes`() throws {
        let parameter = try Parameter(Tensor.zeros([2, 2]))
        let tensor = parameter.value
        try parameter.load(Tensor([1, 2, 3, 4] as [Double], shape: [2, 2]))
        #expect(parameter.value === tensor)
        #expect(try tensor.detach().array(of: Float.self) == [1, 2, 3, 4])
        let error = try #require(throws: TorchError.self) { try parameter.load(Tensor.zeros([2])) }
        #expect(error.description.contains("float32[2, 2], float32[2]"))
        #expect(throws: TorchError.self) { try parameter.replace(Tensor.zeros([4])) }
    }

    @Test func `a described model takes no memory`() throws {
        let layer = try Linear(1 << 20, 1 << 20, builder: WeightBuilder(device: .meta))
        #expect(layer.parameterCount() == (1 << 40) + (1 << 20))
        #expect(layer.weight.value.device == .meta)
    }
}
