import Foundation
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
            let error = try distance(pair.0, pair.1) / size
            #expect(error < precision.tolerance, "\(index)")
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
        let weight = try random(formula(rounded).shape, seed: 9).to(precision.dtype).to(.float64)
        let expected = try results(rounded, dtype: .float64, weight: weight, formula)
        let found = try results(rounded, dtype: precision.dtype, weight: weight, kernel)
        for (index, pair) in zip(found, expected).enumerated() {
            let size = try max(pair.1.abs().maximum().item(), 1)
            let error = try distance(pair.0, pair.1) / size
            #expect(error < precision.tolerance, "\(index)")
        }
    }

    @Test(arguments: [(DType.float32, 1e-6), (.bfloat16, 0.02)], [1, 33, 700])
    func `the gated unit is silu(gate) · up of what lies side by side`(
        precision: (dtype: DType, tolerance: Double),
        rows: Int
    ) throws {
        let side = try random([rows, 2 * 45], seed: 4) * 8
        try expectFormula([side], precision) { parts in
            try parts[0].gatedUnit()
        } formula: { parts in
            let halves = try parts[0].split([45, 45], dimension: 1)
            return try halves[0] * halves[0].sigmoid() * halves[1]
        }
    }

    /// A way a query sees keys, and sizes of heads that are and are not whole vectors.
    struct Attending: Sendable {
        let causal: Bool
        var window: Int?
        var headCount = 4
        var keyHeadCount = 2
        let headSize: Int
    }

    private static let ways: [Attending] = [
        Attending(causal: true, headSize: 32), Attending(causal: true, window: 1, headSize: 6),
        Attending(causal: true, window: 20, headCount: 3, keyHeadCount: 1, headSize: 40),
        Attending(causal: false, headSize: 16), Attending(causal: false, keyHeadCount: 4, headSize: 72),
    ]

    @Test(arguments: [(DType.float32, 4e-6), (.bfloat16, 0.02)], ways)
    func `attention of packed sequences is the formula for each of them`(
        precision: (dtype: DType, tolerance: Double),
        way: Attending
    ) throws {
        let (heads, keyHeads, size) = (way.headCount, way.keyHeadCount, way.headSize)
        let lengths = [1, 70, 16, 33]
        // Four tokens of no sequence; scores of some tens, so that many weights vanish, and float32 has six digits of them.
        let fused = try random([lengths.reduce(0, +) + 4, heads + 2 * keyHeads, size], seed: 5) * 2
        try expectFormula([fused], precision) { parts in
            try parts[0].selfAttention(
                lengths: lengths,
                headCount: heads,
                keyHeadCount: keyHeads,
                scale: 0.3,
                causal: way.causal,
                window: way.window
            )
        } formula: { parts in
            var outputs: [Tensor] = []
            var start = 0
            for length in lengths {
                let index = try Tensor.arange(0, Double(length))
                let (key, query) = (try index.unsqueeze(0), try index.unsqueeze(1))
                let window = Double(way.window ?? length)
                let seen = try key.compare(.lessOrEqual, query).and(key.compare(.greater, query - window))
                let own = try parts[0].narrow(0, start: start, length: length)
                func head(_ index: Int) throws -> Tensor { try own.narrow(1, start: index, length: 1).squeeze(1) }
                var columns: [Tensor] = []
                for index in 0..<heads {
                    let shared = heads + index / (heads / keyHeads)
                    var scores = try head(index).matmul(head(shared).transpose(0, 1)) * 0.3
                    if way.causal { scores = try scores.maskedFill(seen.not(), -.infinity) }
                    columns.append(try scores.softmax().matmul(head(shared + keyHeads)))
                }
                outputs.append(try Tensor.cat(columns, dimension: 1))
                start += length
            }
            outputs.append(try Tensor.zeros([4, heads * size], dtype: parts[0].dtype))
            return try Tensor.cat(outputs)
        }
    }

    @Test func `attention has the same bits on every number of threads, and keeps NaN in its sequence`() throws {
        let lengths = [40, 3, 90, 17]
        let fused = try random([150, 6, 16], seed: 8)
        func attended(_ fused: Tensor) throws -> [Tensor] {
            let leaf = try fused.detach().requireGradient()
            let y = try leaf.selfAttention(lengths: lengths, headCount: 4, keyHeadCount: 1, scale: 0.25, causal: true)
            return [try y.detach()] + (try Tensor.gradients(of: [y.sum()], withRespectTo: [leaf])).compactMap { $0 }
        }
        let before = Runtime.threadCount
        defer { try? Runtime.setThreadCount(before) }
        try Runtime.setThreadCount(1)
        let one = try attended(fused)
        try Runtime.setThreadCount(3)
        let three = try attended(fused)
        #expect(one.count == 2)
        for (one, three) in zip(one, three) { #expect(try one.isEqual(to: three)) }
        let broken = try fused.narrow(0, start: 41, length: 1) * .nan
        let withNaN = try Tensor.cat([
            fused.narrow(0, start: 0, length: 41), broken, fused.narrow(0, start: 42, length: 108),
        ])
        let output = try attended(withNaN)[0]
        #expect(try output.narrow(0, start: 0, length: 40).isEqual(to: one[0].narrow(0, start: 0, length: 40)))
        #expect(try output.narrow(0, start: 43, length: 107).isEqual(to: one[0].narrow(0, start: 43, length: 107)))
        #expect(try output.narrow(0, start: 41, length: 1).sum().item().isNaN)
    }

    @Test func `attention refuses what does not fit`() throws {
        let fused = try random([10, 6, 8], seed: 8)
        func attended(_ x: Tensor, _ lengths: [Int], _ heads: Int, _ keyHeads: Int, window: Int? = nil) throws {
            _ = try x.selfAttention(
                lengths: lengths,
                headCount: heads,
                keyHeadCount: keyHeads,
                scale: 1,
                causal: true,
                window: window
            )
        }
        try attended(fused, [4, 6], 4, 1)
        #expect(throws: TorchError.self) { try attended(fused, [4, 7], 4, 1) }
        #expect(throws: TorchError.self) { try attended(fused, [4, 0], 4, 1) }
        #expect(throws: TorchError.self) { try attended(fused, [4, 6], 3, 1) }
        #expect(throws: TorchError.self) { try attended(fused, [4, 6], 4, 0) }
        #expect(throws: TorchError.self) { try attended(fused, [4, 6], 4, 1, window: 0) }
        #expect(throws: TorchError.self) { try attended(fused.to(.float64), [4, 6], 4, 1) }
    }

    // The kernel says what threads a process has on Linux only.
    @Test(.enabled(if: FileManager.default.fileExists(atPath: "/proc/self/task"), "no /proc/self/task"))
    func `a kernel runs on as many threads as LibTorch has`() async {
        await #expect(processExitsWith: .success) {
            func threads() throws -> Int {
                try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
            }
            let x = try Tensor([Float](repeating: 1, count: 1 << 20), shape: [1 << 10, 1 << 10])
            let before = try threads()
            try Runtime.setThreadCount(16)
            _ = try x.gatedUnit()
            #expect(try threads() >= before + 15)
        }
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
