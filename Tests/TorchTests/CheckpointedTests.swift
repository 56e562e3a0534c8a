import Testing
import Torch

@Suite("Gradient checkpointing")
struct CheckpointedTests {
    /// Memory whose end is seen from outside.
    private final class Memory {
        let bytes: UnsafeMutableRawPointer

        init(floats: Int) {
            bytes = .allocate(byteCount: floats * 4, alignment: 16)
            bytes.initializeMemory(as: Float.self, repeating: 2, count: floats)
        }

        deinit { bytes.deallocate() }
    }

    /// A block with dropout: `[n, 8]` becomes `[n, 8]`.
    private func block(_ x: Tensor, _ weight: Tensor) throws(TorchError) -> Tensor {
        try x + x.linear(weight).dropout(0.4).silu()
    }

    /// Output and gradients of input and weight after three blocks that share a weight.
    private func train(
        inputRequiresGradient: Bool,
        device: Device = .cpu,
        _ run: (Tensor, @escaping (Tensor) throws(TorchError) -> Tensor) throws(TorchError) -> Tensor
    ) throws -> [Tensor] {
        let x = try random([5, 8], seed: 1).to(device)
        let weight = try random([8, 8], seed: 2).to(device).requireGradient()
        if inputRequiresGradient { try x.requireGradient() }
        try Runtime.seed(11)
        var hidden = x
        for _ in 0..<3 { hidden = try run(hidden) { input throws(TorchError) in try self.block(input, weight) } }
        try hidden.power(2).sum().backward()
        // What is drawn next shows whether the backward pass has moved the generator.
        let next = try Tensor.normal([4], device: device)
        return try [hidden.detach(), next, #require(weight.gradient)]
            + (inputRequiresGradient ? [#require(x.gradient)] : [])
    }

    @Test(arguments: [true, false])
    func `outputs and gradients are the plain call's, bit for bit, dropout included`(inputRequiresGradient: Bool) throws
    {
        let plain = try train(inputRequiresGradient: inputRequiresGradient) { x, body throws(TorchError) in
            try body(x)
        }
        let again = try train(inputRequiresGradient: inputRequiresGradient) { x, body throws(TorchError) in
            try checkpointed(x, body)
        }
        let nested = try train(inputRequiresGradient: inputRequiresGradient) { x, body throws(TorchError) in
            try checkpointed(x) { outer throws(TorchError) in try checkpointed(outer, body) }
        }
        #expect(plain.count == (inputRequiresGradient ? 4 : 3))
        for other in [again, nested] {
            for (own, expected) in zip(other, plain) { #expect(try own.isEqual(to: expected)) }
        }
    }

    @Test(.enabled(if: Runtime.hasCUDA, "the LibTorch in use finds no CUDA device"))
    func `it is the same on a CUDA device, and takes less memory`() throws {
        let plain = try train(inputRequiresGradient: true, device: .cuda(0)) { x, body throws(TorchError) in
            try body(x)
        }
        let again = try train(inputRequiresGradient: true, device: .cuda(0)) { x, body throws(TorchError) in
            try checkpointed(x, body)
        }
        for (own, expected) in zip(again, plain) { #expect(try own.isEqual(to: expected)) }

        func held(_ run: (Tensor) throws -> Tensor) throws -> Int {
            let x = try Tensor.ones([1 << 20], device: .cuda(0)).requireGradient()
            let before = try Device.cuda(0).memory().current
            let result = try run(x)
            defer { withExtendedLifetime(result) {} }
            return try Device.cuda(0).memory().current - before
        }
        func deep(_ x: Tensor) throws(TorchError) -> Tensor {
            var x = x
            for _ in 0..<8 { x = try x.tanh() }
            return x
        }
        #expect(try held(deep) >= 8 << 22)
        #expect(try held { try checkpointed($0, deep) } < 2 << 22)
        let error = try #require(throws: TorchError.self) { try self.failing(.cuda(0)).backward() }
        #expect(error.message.contains("reshape(float32[2])"))
    }

    @Test func `nothing but the inputs is kept until the backward pass`() throws {
        let x = try Tensor.ones([64]).requireGradient()
        var calls = 0
        for isCheckpointed in [false, true] {
            weak var kept: Memory?
            let body: (Tensor) throws(TorchError) -> Tensor = { input throws(TorchError) in
                calls += 1
                let memory = Memory(floats: 64)
                kept = memory
                // The gradient of a product needs its other factor.
                return try input * Tensor(memory: memory.bytes, shape: [64], dtype: .float32, owner: memory)
            }
            let result = try isCheckpointed ? checkpointed(x, body) : body(x)
            #expect((kept == nil) == isCheckpointed)
            try result.sum().backward()
            #expect(try close(#require(x.gradient), [Float](repeating: 2, count: 64)))
            try x.setGradient(nil)
            #expect(kept == nil || !isCheckpointed)
        }
        #expect(calls == 3)
    }

    @Test func `several inputs each have their gradient, and those without need none`() throws {
        let (a, b) = (try random([3], seed: 1).requireGradient(), try random([3], seed: 2).requireGradient())
        let index = try Tensor([2, 0] as [Int])
        let result = try checkpointed([a, b, index]) { inputs throws(TorchError) in
            try (inputs[0] * inputs[1]).indexSelect(0, inputs[2])
        }
        try result.sum().backward()
        let (x, y) = (try a.detach().array(of: Float.self), try b.detach().array(of: Float.self))
        #expect(try close(#require(a.gradient), [y[0], 0, y[2]]))
        #expect(try close(#require(b.gradient), [x[0], 0, x[2]]))
    }

    @Test func `a record that is kept can be gone through again, a used one cannot`() throws {
        let x = try Tensor([3] as [Float]).requireGradient()
        let loss = try checkpointed(x) { x throws(TorchError) in try x * x }
        try loss.backward(retainingGraph: true)
        try loss.backward()
        #expect(try close(#require(x.gradient), [12]))
        #expect(throws: TorchError.self) { try loss.backward() }
    }

    @Test func `without recording it is the plain call`() throws {
        let x = try Tensor([3] as [Float]).requireGradient()
        var calls = 0
        let result = try withoutGradients { () throws(TorchError) -> Tensor in
            try checkpointed(x) { x throws(TorchError) in
                calls += 1
                return try x * 2
            }
        }
        #expect(!result.requiresGradient && calls == 1)
    }

    /// A loss whose backward pass fails in a block.
    private func failing(_ device: Device = .cpu) throws -> Tensor {
        let x = try Tensor.ones([2], device: device).requireGradient()
        var calls = 0
        return try checkpointed(x) { x throws(TorchError) in
            calls += 1
            return try calls == 1 ? x * 2 : x.reshape(3)
        }.sum()
    }

    @Test func `what the function throws is thrown, now or in the backward pass`() throws {
        let x = try Tensor.ones([2]).requireGradient()
        let own = TorchError(kind: .outOfMemory, operation: "block", operands: ["float32[9]"], message: "no room")
        let now = try #require(throws: TorchError.self) {
            try checkpointed(x) { _ throws(TorchError) in throw own }
        }
        #expect(now == own)
        let later = try #require(throws: TorchError.self) { try failing().backward() }
        #expect(later.operation == "backward" && later.kind == .invalidOperation)
        #expect(later.message.contains("reshape(float32[2])"))
        var calls = 0
        let short = try checkpointed(x) { x throws(TorchError) in
            calls += 1
            if calls == 2 { throw own }
            return x
        }
        let error = try #require(throws: TorchError.self) { try short.sum().backward() }
        #expect(error.kind == .outOfMemory && error.message.contains("block(float32[9]): no room"))
        // The process and its generators go on as before.
        #expect(isRecordingGradients)
        try (x * 3).sum().backward()
        #expect(try close(#require(x.gradient), [3, 3]))
    }
}

@Suite("AdamW with narrow moments")
struct NarrowAdamWTests {
    private struct State {
        let parameter: Tensor
        let first: Tensor
        let second: Tensor
        let steps: Tensor

        init(_ count: Int, _ dtype: DType) throws {
            parameter = try Tensor.ones([count])
            first = try Tensor.zeros([count], dtype: dtype)
            second = try Tensor.zeros([count], dtype: dtype)
            steps = try Tensor.zeros([])
        }

        func update(_ gradient: Tensor, byOperations: Bool, beta2: Double = 0.999) throws {
            try OptimizerKernel.adamW(
                parameters: [parameter],
                gradients: [gradient],
                firstMoments: [first],
                secondMoments: [second],
                steps: [steps],
                learningRate: 1e-2,
                beta1: 0.9,
                beta2: beta2,
                weightDecay: 0.05,
                epsilon: 1e-8,
                byOperations: byOperations
            )
        }

        func mean(_ tensor: Tensor) throws -> Double { try tensor.to(.float32).mean().item() }
    }

    @Test(arguments: [false, true])
    func `a single update is that of float32 moments`(byOperations: Bool) throws {
        let gradient = try random([1000], seed: 4)
        let (wide, narrow) = (try State(1000, .float32), try State(1000, .bfloat16))
        try wide.update(gradient, byOperations: false)
        try narrow.update(gradient, byOperations: byOperations)
        // The update uses the moments before they are rounded.
        #expect(try (narrow.parameter - wide.parameter).abs().maximum().item() < 1e-6)
        // Eight bits: each moment is one of its two neighbours.
        let size = try wide.first.abs() * (0x1p-7 * 1.001)
        #expect(try ((narrow.first.to(.float32) - wide.first).abs() - size).maximum().item() <= 0)
        #expect(try narrow.steps.item() == 1)
    }

    @Test(arguments: [false, true])
    func `small changes add up though no single one is as large as a bit`(byOperations: Bool) throws {
        // A second moment that only decays, by a thousandth at a time: plain rounding to eight bits would leave it at 1.
        let state = try State(20_000, .bfloat16)
        try state.second.fill(1)
        let zero = try Tensor.zeros([20_000])
        for _ in 0..<300 { try state.update(zero, byOperations: byOperations) }
        let expected = 0.740707  // 0.999 ** 300
        // Five standard errors of a mean of 20,000 elements whose rounding errors walk for 300 steps of up to 2 ** -8.
        #expect(
            abs(try state.mean(state.second) - expected) < 5 * 0x1p-8 * 0.5 * 300.0.squareRoot() / 20_000.0.squareRoot()
        )
    }

    @Test(arguments: [false, true])
    func `a trajectory stays beside that of float32 moments`(byOperations: Bool) throws {
        let (wide, narrow) = (try State(5000, .float32), try State(5000, .bfloat16))
        for step in 0..<100 {
            let gradient = try random([5000], seed: UInt64(step)) + 0.5
            try wide.update(gradient, byOperations: false)
            try narrow.update(gradient, byOperations: byOperations)
        }
        let moved = try (wide.parameter - 1).abs().mean().item()
        #expect(moved > 0.3)
        #expect(try (narrow.parameter - wide.parameter).abs().mean().item() < 0.005 * moved)
        #expect(abs(try narrow.mean(narrow.second) / wide.mean(wide.second) - 1) < 0.005)
    }

    @Test func `the rounding follows from the seed`() throws {
        let states = try (0..<3).map { _ in try State(1000, .bfloat16) }
        for (seed, state) in zip([1, 1, 2] as [UInt64], states) {
            try Runtime.seed(seed)
            try state.update(random([1000], seed: 3), byOperations: false)
        }
        #expect(try states[0].first.isEqual(to: states[1].first))
        #expect(try !states[0].first.isEqual(to: states[2].first))
    }

    @Test func `narrow moments beside narrow parameters are refused`() throws {
        let moments = try Tensor.zeros([2], dtype: .bfloat16)
        #expect(throws: TorchError.self) {
            try OptimizerKernel.adamW(
                parameters: [Tensor.zeros([2], dtype: .bfloat16)],
                gradients: [Tensor.zeros([2], dtype: .bfloat16)],
                firstMoments: [moments],
                secondMoments: [moments.clone()],
                steps: [Tensor.zeros([])],
                learningRate: 1e-2,
                beta1: 0.9,
                beta2: 0.9,
                weightDecay: 0,
                epsilon: 1e-8
            )
        }
    }
}
