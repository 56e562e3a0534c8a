import Foundation
import Testing
import Torch
import TorchNN

/// Attention as in a textbook, one sequence, one head, one query at a time, in double precision.
private func textbook(
    _ query: Tensor,
    _ key: Tensor,
    _ value: Tensor,
    lengths: [Int],
    causal: Bool,
    window: Int? = nil
) throws -> Tensor {
    let (heads, keyHeads, size) = (query.size(1), key.size(1), query.size(2))
    let q = try query.to(.float64).array(of: Double.self)
    let k = try key.to(.float64).array(of: Double.self)
    let v = try value.to(.float64).array(of: Double.self)
    var result = [Double](repeating: 0, count: q.count)
    var start = 0
    for length in lengths {
        for row in 0..<length {
            for head in 0..<heads {
                let shared = head / (heads / keyHeads)
                let own = ((start + row) * heads + head) * size
                let seen = max(0, row + 1 - (window ?? length))..<(causal ? row + 1 : length)
                var scores = seen.map { other -> Double in
                    let there = ((start + other) * keyHeads + shared) * size
                    return exp((0..<size).reduce(0) { $0 + q[own + $1] * k[there + $1] } / Double(size).squareRoot())
                }
                let total = scores.reduce(0, +)
                scores = scores.map { $0 / total }
                for column in 0..<size {
                    result[own + column] = zip(seen, scores).reduce(0) {
                        $0 + $1.1 * v[((start + $1.0) * keyHeads + shared) * size + column]
                    }
                }
            }
        }
        start += length
    }
    return try Tensor(result, shape: [start, heads * size])
}

@Suite("Packed attention")
struct AttentionTests {
    struct Setting: Sendable, CustomStringConvertible {
        let lengths: [Int]
        let heads: Int
        let keyHeads: Int
        let causal: Bool

        var description: String {
            "\(lengths), \(heads) heads, \(keyHeads) key heads\(causal ? ", causal" : "")"
        }
    }

    static let settings: [Setting] = [[5], [4, 4, 4], [1, 7, 3], [2, 1, 1, 9]].flatMap { lengths in
        [(2, 2), (4, 2), (4, 1)].flatMap { heads, keyHeads in
            [true, false].map { Setting(lengths: lengths, heads: heads, keyHeads: keyHeads, causal: $0) }
        }
    }

    @Test(arguments: settings)
    func `every sequence attends to itself alone, as in the textbook`(setting: Setting) throws {
        let tokens = setting.lengths.reduce(0, +)
        let query = try random([tokens, setting.heads, 6], seed: 1).requireGradient()
        let key = try random([tokens, setting.keyHeads, 6], seed: 2).requireGradient()
        let value = try random([tokens, setting.keyHeads, 6], seed: 3).requireGradient()
        let layout = try SequenceLayout(lengths: setting.lengths)
        let attended = try Attention.withinSequences(
            query: query,
            key: key,
            value: value,
            layout: layout,
            causal: setting.causal
        )
        let expected = try textbook(
            query.detach(),
            key.detach(),
            value.detach(),
            lengths: setting.lengths,
            causal: setting.causal
        )
        // Float32 sums of at most nine products.
        #expect(try distance(attended, expected) < 2e-6)
    }

    @Test func `the kernel of short sequences and LibTorch's agree, also in their gradients`() throws {
        // A layout with a sequence beyond the limit takes LibTorch's kernel.
        let lengths = [700, 20]
        let layout = try SequenceLayout(lengths: lengths)
        let (q, k, v) = (
            try random([720, 2, 4], seed: 1).requireGradient(), try random([720, 1, 4], seed: 2).requireGradient(),
            try random([720, 1, 4], seed: 3).requireGradient()
        )
        let weight = try random([720, 8], seed: 4)
        let attended = try Attention.withinSequences(query: q, key: k, value: v, layout: layout, causal: true)
        let longGradients = try Tensor.gradients(of: [(attended * weight).sum()], withRespectTo: [q, k, v])
        let tailLayout = try SequenceLayout(lengths: [20])
        let tail = try [q, k, v].map { try $0.narrow(0, start: 700, length: 20) }
        let shortAttended = try Attention.withinSequences(
            query: tail[0],
            key: tail[1],
            value: tail[2],
            layout: tailLayout,
            causal: true
        )
        let tailWeight = try weight.narrow(0, start: 700, length: 20)
        let shortGradients = try Tensor.gradients(of: [(shortAttended * tailWeight).sum()], withRespectTo: [q, k, v])
        #expect(try distance(attended.narrow(0, start: 700, length: 20), shortAttended) < 2e-6)
        for (long, short) in zip(longGradients, shortGradients) {
            let (long, short) = (try #require(long), try #require(short))
            #expect(
                try distance(
                    long.narrow(0, start: 700, length: 20),
                    short.narrow(0, start: 700, length: 20)
                ) < 1e-5
            )
        }
    }

    @Test(arguments: [[5], [4, 4, 4], [1, 7, 3], [2, 1, 1, 9]], [1, 2, 3, 8, 100])
    func `a window hides what is further back, in every sequence`(lengths: [Int], window: Int) throws {
        let tokens = lengths.reduce(0, +)
        let (q, k, v) = (
            try random([tokens, 4, 6], seed: 1), try random([tokens, 2, 6], seed: 2),
            try random([tokens, 2, 6], seed: 3)
        )
        let layout = try SequenceLayout(lengths: lengths, placeMultiple: 4)
        func attended(window: Int?) throws -> Tensor {
            try Attention.withinSequences(query: q, key: k, value: v, layout: layout, causal: true, window: window)
        }
        // The masks of one layout must not be mistaken for each other.
        for window in [window, nil, window] {
            let expected = try textbook(q, k, v, lengths: lengths, causal: true, window: window)
            #expect(try distance(attended(window: window), expected) < 2e-6)
        }
        let longest = lengths.max() ?? 0
        #expect(try attended(window: window).isEqual(to: attended(window: nil)) == (window >= longest))
    }

    @Test func `LibTorch's kernel has the same window`() throws {
        // Sequences beyond the limit take it.
        let (lengths, window) = ([700, 20], 9)
        let (q, k, v) = (
            try random([720, 2, 4], seed: 1), try random([720, 1, 4], seed: 2), try random([720, 1, 4], seed: 3)
        )
        let fused = try Attention.withinSequences(
            query: q,
            key: k,
            value: v,
            layout: SequenceLayout(lengths: lengths),
            causal: true,
            window: window
        )
        #expect(try distance(fused, textbook(q, k, v, lengths: lengths, causal: true, window: window)) < 2e-6)
    }

    @Test func `attention to a cache is the last row of causal attention`() throws {
        let (q, k, v) = (
            try random([5, 4, 6], seed: 1), try random([5, 2, 6], seed: 2), try random([5, 2, 6], seed: 3)
        )
        let all = try Attention.withinSequences(
            query: q,
            key: k,
            value: v,
            layout: SequenceLayout(lengths: [5]),
            causal: true
        )
        // A cache with two places too many, which hold what must not be seen.
        let junk = try Tensor.full([2, 2, 6], 1000)
        let keys = try Tensor.cat([k, junk]).unsqueeze(0).transpose(1, 2)
        let values = try Tensor.cat([v, junk]).unsqueeze(0).transpose(1, 2)
        let mask = try Tensor([true, true, true, true, true, false, false], shape: [1, 1, 1, 7])
        let last = try Attention.toCache(
            query: q.narrow(0, start: 4, length: 1).unsqueeze(2),
            key: keys,
            value: values,
            mask: mask
        )
        #expect(try distance(last, all.narrow(0, start: 4, length: 1)) < 2e-6)
    }
}

@Suite("Sequence layout")
struct SequenceLayoutTests {
    @Test func `positions count anew in every sequence`() throws {
        let layout = try SequenceLayout(lengths: [2, 3, 1])
        #expect(try layout.positions.array(of: Int.self) == [0, 1, 0, 1, 2, 0])
        #expect(layout.lastTokens == [1, 4, 5])
        #expect(layout.longest == 3 && layout.tokenCount == 6)
    }

    @Test(arguments: [[4], [3, 3], [1, 4, 2]])
    func `padding and taking it away again changes nothing`(lengths: [Int]) throws {
        let layout = try SequenceLayout(lengths: lengths)
        let x = try random([layout.tokenCount, 2, 3], seed: 1)
        let padded = try layout.pad(x)
        #expect(padded.shape == [lengths.count, layout.longest, 2, 3])
        #expect(try layout.unpad(padded).isEqual(to: x))
    }
}

@Suite("Rotary embedding")
struct RotaryEmbeddingTests {
    @Test func `each pair of halves is turned by its own angle`() throws {
        let (size, theta) = (8, 100.0)
        let positions = [0, 3, 700]
        let x = try random([3, 2, size], seed: 1)
        let rotary = RotaryEmbedding(headSize: size, theta: theta)
        let angles = try rotary.angles(of: Tensor(positions), highest: 700, dtype: .float32)
        let rotated = try RotaryEmbedding.rotate(x, by: angles)
        let values = try x.to(.float64).array(of: Double.self)
        var expected = values
        for (token, position) in positions.enumerated() {
            for head in 0..<2 {
                for pair in 0..<size / 2 {
                    let angle = Double(position) * pow(theta, -2 * Double(pair) / Double(size))
                    let first = (token * 2 + head) * size + pair
                    let second = first + size / 2
                    expected[first] = values[first] * cos(angle) - values[second] * sin(angle)
                    expected[second] = values[second] * cos(angle) + values[first] * sin(angle)
                }
            }
        }
        // The angle 700 in float32 is off by up to 3e-5.
        #expect(try distance(rotated, Tensor(expected, shape: [3, 2, size])) < 1e-4)
    }

    @Test func `scores depend on the distance of two tokens only`() throws {
        let rotary = RotaryEmbedding(headSize: 6)
        let (q, k) = (try random([1, 1, 6], seed: 1), try random([1, 1, 6], seed: 2))
        func score(_ first: Int, _ second: Int) throws -> Double {
            let turned = try [(q, first), (k, second)].map { x, position in
                try RotaryEmbedding.rotate(
                    x,
                    by: rotary.angles(of: Tensor([position]), highest: position, dtype: .float32)
                )
            }
            return try (turned[0] * turned[1]).sum().item()
        }
        #expect(abs(try score(7, 4) - score(13, 10)) < 1e-5)
        #expect(abs(try score(7, 4) - score(7, 5)) > 1e-3)
    }

    @Test func `the tables grow with the positions asked for`() throws {
        let rotary = RotaryEmbedding(headSize: 4)
        let x = try random([1, 1, 4], seed: 1)
        let early = try RotaryEmbedding.rotate(x, by: rotary.angles(of: Tensor([5]), highest: 5, dtype: .float32))
        _ = try rotary.angles(of: Tensor([5000]), highest: 5000, dtype: .float32)
        let again = try RotaryEmbedding.rotate(x, by: rotary.angles(of: Tensor([5]), highest: 5, dtype: .float32))
        #expect(try early.isEqual(to: again))
    }

    @Test func `Llama 3's scaling keeps short waves, stretches long ones and is smooth between them`() {
        let scaling = RotaryScaling.llama3(
            factor: 8,
            lowFrequencyFactor: 1,
            highFrequencyFactor: 4,
            originalLength: 256
        )
        func scaled(wave length: Double) -> Double { 2 * Double.pi / scaling.scaled(2 * Double.pi / length) }
        for length in [1, 20, 63.9] { #expect(abs(scaled(wave: length) - length) < 1e-9 * length) }
        for length in [256.1, 1000, 1e6] { #expect(abs(scaled(wave: length) - 8 * length) < 1e-9 * length) }
        // Halfway between one and four waves in 256 tokens: the mean of both frequencies.
        let middle = 256 / 2.5
        #expect(abs(scaling.scaled(2 * Double.pi / middle) - 2 * Double.pi / middle * (1 + 1.0 / 8) / 2) < 1e-12)
        // Continuous at both ends.
        for length in [64.0, 256] {
            let ratio = scaled(wave: length * (1 + 1e-9)) / scaled(wave: length * (1 - 1e-9))
            #expect(abs(ratio - 1) < 1e-6)
        }
    }

    @Test func `linear scaling turns a token as one that many times nearer`() throws {
        let x = try random([1, 1, 6], seed: 1)
        func turned(_ scaling: RotaryScaling?, _ position: Int) throws -> Tensor {
            let rotary = RotaryEmbedding(headSize: 6, scaling: scaling)
            return try RotaryEmbedding.rotate(
                x,
                by: rotary.angles(of: Tensor([position]), highest: position, dtype: .float32)
            )
        }
        #expect(try distance(turned(.linear(factor: 4), 12), turned(nil, 3)) < 1e-6)
        #expect(try distance(turned(nil, 12), turned(nil, 3)) > 1e-2)
    }
}
