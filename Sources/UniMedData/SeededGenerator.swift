import Foundation

/// A seeded random number generator whose numbers are the same on every machine and with every library version.
///
/// The algorithm is xoshiro256** (Blackman and Vigna, 2018), its 256 bits of state filled by SplitMix64. Everything
/// that is drawn through the methods here (integers in a range, uniform and normal numbers, permutations) is computed
/// by this type alone, so a run that resumes from an encoded generator continues bit for bit.
///
/// The standard library's `shuffled(using:)` and `random(in:using:)` accept it as well, but their use of random bits is
/// not promised to stay the same between versions: use ``permutation(of:)`` and ``integer(below:)`` where it matters.
public struct SeededGenerator: RandomNumberGenerator, Sendable, Equatable {
    private var s0: UInt64
    private var s1: UInt64
    private var s2: UInt64
    private var s3: UInt64

    /// Makes a generator from a seed; every seed is allowed and gives another sequence.
    public init(seed: UInt64) {
        var state = seed
        s0 = SeededGenerator.splitMix(&state)
        s1 = SeededGenerator.splitMix(&state)
        s2 = SeededGenerator.splitMix(&state)
        s3 = SeededGenerator.splitMix(&state)
    }

    /// A seed of its own for a named purpose, so that unrelated draws do not share one sequence.
    ///
    /// The label's UTF-8 bytes are mixed into the seed by FNV-1a and SplitMix64.
    public static func derivedSeed(from seed: UInt64, label: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in label.utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
        var state = seed
        var mixed = splitMix(&state) ^ hash
        return splitMix(&mixed)
    }

    /// A generator of its own for a named purpose: one seeded with ``derivedSeed(from:label:)``.
    public static func derived(from seed: UInt64, label: String) -> SeededGenerator {
        SeededGenerator(seed: derivedSeed(from: seed, label: label))
    }

    /// The next 64 random bits.
    public mutating func next() -> UInt64 {
        let result = SeededGenerator.rotate(s1 &* 5, by: 7) &* 9
        let shifted = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = SeededGenerator.rotate(s3, by: 45)
        return result
    }

    /// An integer in `0 ..< bound`, each equally probable (Lemire's method with rejection).
    ///
    /// - Precondition: `bound` is positive.
    public mutating func integer(below bound: Int) -> Int {
        precondition(bound > 0, "a random integer needs a positive bound")
        let range = UInt64(bound)
        var product = next().multipliedFullWidth(by: range)
        if product.low < range {
            let threshold = (0 &- range) % range
            while product.low < threshold {
                product = next().multipliedFullWidth(by: range)
            }
        }
        return Int(product.high)
    }

    /// An integer in a closed range, each equally probable.
    ///
    /// - Precondition: The range holds fewer than `Int.max` integers.
    public mutating func integer(in range: ClosedRange<Int>) -> Int {
        range.lowerBound + integer(below: range.upperBound - range.lowerBound + 1)
    }

    /// A number in `[0, 1)`, a multiple of 2 to the power of -53.
    public mutating func uniform() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// A number in `[lowerBound, upperBound)`.
    public mutating func uniform(in range: Range<Double>) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
    }

    /// A normally distributed number (Box-Muller; two uniform numbers each, none kept for later).
    public mutating func normal(mean: Double = 0, standardDeviation: Double = 1) -> Double {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return mean + standardDeviation * radius * cos(2 * Double.pi * uniform())
    }

    /// The integers `0 ..< count` in random order (Fisher-Yates).
    public mutating func permutation(of count: Int) -> [Int] {
        var order = Array(0..<count)
        shuffle(&order)
        return order
    }

    /// Shuffles an array in place (Fisher-Yates).
    public mutating func shuffle<Element>(_ elements: inout [Element]) {
        guard elements.count > 1 else { return }
        for last in stride(from: elements.count - 1, to: 0, by: -1) {
            elements.swapAt(last, integer(below: last + 1))
        }
    }

    /// A random element, each equally probable; `nil` when there is none.
    public mutating func element<Elements: RandomAccessCollection>(of elements: Elements) -> Elements.Element? {
        guard !elements.isEmpty else { return nil }
        return elements[elements.index(elements.startIndex, offsetBy: integer(below: elements.count))]
    }

    private static func rotate(_ value: UInt64, by count: UInt64) -> UInt64 {
        (value << count) | (value >> (64 - count))
    }

    private static func splitMix(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

extension SeededGenerator: Codable {
    /// Reads the state written by ``encode(to:)``.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let words = try container.decode(String.self).split(separator: "-", omittingEmptySubsequences: false)
        let state = words.compactMap { $0.count == 16 ? UInt64($0, radix: 16) : nil }
        guard words.count == 4, state.count == 4, state.contains(where: { $0 != 0 }) else {
            throw DecodingError.dataCorruptedError(
                in: container,
                debugDescription: "a generator's state is four words of 16 hexadecimal digits, not all zero"
            )
        }
        (s0, s1, s2, s3) = (state[0], state[1], state[2], state[3])
    }

    /// Writes the state as four hexadecimal words in one string, which no JSON reader can round.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode([s0, s1, s2, s3].map { String(format: "%016llx", $0) }.joined(separator: "-"))
    }
}
