import Testing
import Torch
import TorchNN

/// The CPU's own kernels beside the same formulas in float64, which LibTorch composes.
@Suite("CPU kernels")
struct KernelTests {
    /// The results of a function of float64 inputs: its value and the inputs' gradients for a given weight of each element.
    private func results(
        _ inputs: [Tensor],
        dtype: DType,
        weight: Tensor,
        _ body: ([Tensor]) throws -> Tensor
    ) throws -> [Tensor] {
        let leaves = try inputs.map { input in
            let leaf = try input.to(dtype).detach().clone()
            try leaf.requireGradient()
            return leaf
        }
        let value = try body(leaves)
        try (value.to(.float64) * weight).sum().backward()
        return try [value.detach()] + leaves.map { try #require($0.gradient) }
    }

    // Sizes that are no multiple of a vector's, one larger than what a thread takes at once.
    @Test(arguments: [(DType.float32, 1e-5), (.bfloat16, 0.04)], [[5, 7], [3, 2, 33], [700, 48]])
    func `RMS norm and its gradients are the formula's`(precision: (dtype: DType, tolerance: Double), shape: [Int])
        throws
    {
        let inputs = try [random(shape, seed: 1) * 3, random([shape[shape.count - 1]], seed: 2)]
        // What the narrow type cannot hold is not held against the kernel.
        let rounded = try inputs.map { try $0.to(precision.dtype).to(.float64) }
        let weight = try random(shape, seed: 3).to(precision.dtype).to(.float64)
        let expected = try results(rounded, dtype: .float64, weight: weight) { parts in
            let x = parts[0]
            return try x * ((x * x).mean(-1, keepingDimensions: true) + 1e-5).power(-0.5) * parts[1]
        }
        let found = try results(rounded, dtype: precision.dtype, weight: weight) { parts in
            try parts[0].rmsNorm(weight: parts[1], epsilon: 1e-5)
        }
        for (index, pair) in zip(found, expected).enumerated() {
            let size = try max(pair.1.abs().maximum().item(), 1)
            #expect(try distance(pair.0, pair.1) / size < precision.tolerance, "\(index)")
        }
    }

    @Test(arguments: [(DType.float32, 1e-5), (.bfloat16, 0.02)], [1, 3, 4])
    func `rotation turns the first heads, copies the others, and turns gradients back`(
        precision: (dtype: DType, tolerance: Double),
        headCount: Int
    ) throws {
        let (tokens, heads, width) = (700, 4, 10)
        let dtype = precision.dtype
        // Heads of a wider row, as where queries, keys and values are side by side.
        let row = try random([tokens, heads + 2, width], seed: 1).to(dtype).to(.float64)
        let angles = try random([tokens, 1, width / 2], seed: 2)
        let (cosine, sine) = (try angles.cos(), try angles.sin())
        let cosines = try Tensor.cat([cosine, cosine], dimension: 2).to(dtype)
        let sines = try Tensor.cat([-sine, sine], dimension: 2).to(dtype)
        let weight = try random([tokens, heads, width], seed: 3).to(dtype).to(.float64)
        let expected = try results([row], dtype: .float64, weight: weight) { parts in
            let x = try parts[0].narrow(1, start: 1, length: heads)
            let turned = try x.narrow(1, start: 0, length: headCount)
            let swapped = try Tensor.cat(
                [
                    turned.narrow(2, start: width / 2, length: width / 2),
                    turned.narrow(2, start: 0, length: width / 2),
                ],
                dimension: 2
            )
            let rotated = try turned * cosines.to(.float64) + swapped * sines.to(.float64)
            guard headCount < heads else { return rotated }
            return try Tensor.cat([rotated, x.narrow(1, start: headCount, length: heads - headCount)], dimension: 1)
        }
        let found = try results([row], dtype: dtype, weight: weight) { parts in
            try parts[0].narrow(1, start: 1, length: heads)
                .rotated(cosines: cosines, signedSines: sines, headCount: headCount)
        }
        for (value, reference) in zip(found, expected) {
            let size = try max(reference.abs().maximum().item(), 1)
            #expect(try distance(value, reference) / size < precision.tolerance)
        }
    }

    /// Compares a kernel with the formula in float64, values and gradients.
    private func expectFormula(
        _ inputs: [Tensor],
        _ precision: (dtype: DType, tolerance: Double),
        kernel: ([Tensor]) throws -> Tensor,
        formula: ([Tensor]) throws -> Tensor
    ) throws {
        let rounded = try inputs.map { try $0.to(precision.dtype).to(.float64) }
        let weight = try random(kernel(rounded).shape, seed: 9).to(precision.dtype).to(.float64)
        let expected = try results(rounded, dtype: .float64, weight: weight, formula)
        let found = try results(rounded, dtype: precision.dtype, weight: weight, kernel)
        for (index, pair) in zip(found, expected).enumerated() {
            let size = try max(pair.1.abs().maximum().item(), 1)
            #expect(try distance(pair.0, pair.1) / size < precision.tolerance, "\(index)")
        }
    }

    @Test(arguments: [(DType.float32, 1e-6), (.bfloat16, 0.02)], [1, 33, 700])
    func `the gated unit is silu(gate) · up, of parts of a row too`(
        precision: (dtype: DType, tolerance: Double),
        rows: Int
    ) throws {
        let side = try random([rows, 2 * 45], seed: 4) * 8
        try expectFormula([side], precision) { parts in
            let halves = try parts[0].split([45, 45], dimension: 1)
            return try halves[0].gatedUnit(halves[1])
        } formula: { parts in
            let halves = try parts[0].split([45, 45], dimension: 1)
            return try halves[0] * halves[0].sigmoid() * halves[1]
        }
    }

    /// A row for each way a query can see keys.
    private static let visibilities: [(causal: Bool, window: Int?, lengths: [Int])] = [
        (true, nil, []), (true, 1, []), (true, 20, []), (false, nil, []), (false, nil, [1, 70, 33]),
    ]

    @Test(arguments: [(DType.float32, 1e-6), (.bfloat16, 0.02)], visibilities)
    func `attention's weights are the softmax over what a query sees`(
        precision: (dtype: DType, tolerance: Double),
        visibility: (causal: Bool, window: Int?, lengths: [Int])
    ) throws {
        let (matrices, length) = (6, 70)
        // Scores so far apart that most weights vanish, among others.
        let scores = try random([matrices, length, length], seed: 5) * 60
        let index = try Tensor.arange(0, Double(length))
        let (key, query) = (try index.reshape(1, 1, length), try index.reshape(1, length, 1))
        var hidden = try Tensor.zeros([1, 1, length]).compare(.greater, 0)
        if visibility.causal {
            let window = Double(visibility.window ?? length)
            hidden = try key.compare(.lessOrEqual, query).and(key.compare(.greater, query - window)).not()
        } else if !visibility.lengths.isEmpty {
            let each = visibility.lengths.flatMap { [Double($0), Double($0)] }
            hidden = try key.compare(.greaterOrEqual, Tensor(each).reshape(matrices, 1, 1))
        }
        try expectFormula([scores], precision) { parts in
            try parts[0].attentionSoftmax(
                scale: 0.3,
                causal: visibility.causal,
                window: visibility.window,
                lengths: visibility.lengths
            )
        } formula: { parts in
            try (parts[0] * 0.3).maskedFill(hidden, -.infinity).softmax()
        }
        // Other types take LibTorch's operations.
        let kernel = try scores.to(.float32).attentionSoftmax(
            scale: 0.3,
            causal: visibility.causal,
            window: visibility.window,
            lengths: visibility.lengths
        )
        let composed = try scores.to(.float32).to(.float64).attentionSoftmax(
            scale: 0.3,
            causal: visibility.causal,
            window: visibility.window,
            lengths: visibility.lengths
        )
        #expect(try distance(kernel, composed) < 1e-6)
        #expect(try (kernel.sum(-1) - 1).abs().maximum().item() < 1e-5)
    }

    @Test func `attention's weights are NaN where a score is, and refuse what does not fit`() throws {
        let scores = try Tensor([1, .nan, 3, 4] as [Float]).reshape(1, 2, 2)
        let weights = try scores.attentionSoftmax(scale: 1, causal: false)
        let values: [Float] = try weights.reshape(4).withHostBytes { Array($0.bindMemory(to: Float.self)) }
        #expect(values[0].isNaN && values[1].isNaN && values[2] + values[3] == 1)
        #expect(throws: TorchError.self) { try scores.attentionSoftmax(scale: 1, causal: false, lengths: [3]) }
        #expect(throws: TorchError.self) { try scores.attentionSoftmax(scale: 1, causal: false, lengths: [1, 1]) }
        #expect(throws: TorchError.self) { try scores.attentionSoftmax(scale: 1, causal: true, window: 0) }
    }

    @Test(arguments: [DType.float32, .bfloat16])
    func `dropout keeps, scales, and drops the same gradients`(dtype: DType) throws {
        let x = try (random([40, 1000], seed: 6) + 10).to(dtype)
        try x.requireGradient()
        try Runtime.seed(3)
        let y = try x.dropout(0.25)
        try y.sum().backward()
        let kept = try y.detach().compare(.notEqual, 0).to(dtype)
        let share = try kept.to(.float32).mean().item()
        #expect(abs(share - 0.75) < 0.01)
        #expect(try distance(y.detach(), (x.detach().to(.float32) * (1 / 0.75) * kept.to(.float32)).to(dtype)) == 0)
        #expect(try distance(try #require(x.gradient), (kept.to(.float32) * (1 / 0.75)).to(dtype)) == 0)
    }

    @Test func `bfloat16 keeps infinity and NaN`() throws {
        let x = try Tensor([1, .infinity, .nan, -2] as [Float]).reshape(1, 1, 4).to(.bfloat16)
        let one = try Tensor.ones([1, 1, 4], dtype: .bfloat16)
        let zero = try Tensor.zeros([1, 1, 4], dtype: .bfloat16)
        let copied = try x.rotated(cosines: one, signedSines: zero, headCount: 0).to(.float32)
        let values: [Float] = try copied.reshape(4).withHostBytes { Array($0.bindMemory(to: Float.self)) }
        #expect(values[0] == 1 && values[1] == .infinity && values[2].isNaN && values[3] == -2)
    }
}
