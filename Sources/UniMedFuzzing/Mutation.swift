public import Foundation

/// A small generator of reproducible random numbers.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    /// The state.
    public var state: UInt64

    /// Begins with a state.
    public init(state: UInt64) { self.state = state }

    /// The generator of one case of a seed, whatever the other cases draw.
    public init(seed: UInt64, index: Int) {
        var first = SplitMix64(state: seed)
        self.init(state: first.next() ^ UInt64(truncatingIfNeeded: index) &* 0xD6E8_FEB8_6659_FD93)
    }

    /// The next 64 random bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Damages files the way that accidents and attackers do.
public enum Mutation: CaseIterable, Sendable {
    /// Some bits are others.
    case flipBits
    /// A byte is one of the values at which programs go wrong.
    case setByte
    /// The end is missing.
    case truncate
    /// A part is missing.
    case remove
    /// A part is there twice, or many times.
    case repeatPart
    /// The end is that of another file.
    case splice
    /// A number of 2, 4 or 8 bytes, such as a length, is a lie.
    case lieAboutNumber
    /// A number written in digits is a lie.
    case lieAboutDigits

    /// The most bytes that a file grows to.
    static let maximumSize = 1 << 20

    /// Damages bytes once, or up to six times.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - others: What parts of may be spliced in.
    ///   - generator: The only source of chance.
    public static func damaged(_ bytes: Data, others: [Data], using generator: inout SplitMix64) -> Data {
        var bytes = [UInt8](bytes)
        // Mostly once: what is damaged often is refused early.
        for _ in 0..<([1, 1, 1, 2, 3, 6].randomElement(using: &generator) ?? 1) {
            allCases[Int.random(in: 0..<allCases.count, using: &generator)].apply(&bytes, others, &generator)
        }
        return Data(bytes)
    }

    private static let numbers: [UInt64] = [
        0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 1 << 62,
        0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, .max,
    ]

    private static let digits = [
        "0", "1", "-1", "-0", "01", "255", "256", "2147483648", "4294967296", "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616", "99999999999999999999999999", "1e999", "-1e999", "1e-999", "0.5", "1E3", "true", "null",
        "\"1\"", "[]", "{}", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "",
    ]

    private func apply(_ bytes: inout [UInt8], _ others: [Data], _ generator: inout SplitMix64) {
        guard !bytes.isEmpty else { return }
        let position = Int.random(in: 0..<bytes.count, using: &generator)
        switch self {
        case .flipBits:
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            }
        case .setByte:
            let values: [UInt8] = [0, 1, 0x20, 0x22, 0x28, 0x2E, 0x5B, 0x7B, 0x7F, 0x80, 0xC0, 0xED, 0xFE, 0xFF]
            bytes[position] = values.randomElement(using: &generator) ?? 0
        case .truncate:
            // Rarer than the rest: little of what follows is left to see.
            if Int.random(in: 0..<4, using: &generator) == 0 { bytes.removeSubrange(position...) }
        case .remove:
            let length = min(Int.random(in: 1...64, using: &generator), bytes.count - position)
            bytes.removeSubrange(position..<position + length)
        case .repeatPart:
            let length = min(Int.random(in: 1...64, using: &generator), bytes.count - position)
            let part = bytes[position..<position + length]
            let often = Int.random(in: 0..<16, using: &generator) == 0
            let count = often ? Int.random(in: 2...4096, using: &generator) : 1
            guard bytes.count + count * length <= Mutation.maximumSize else { return }
            bytes.insert(contentsOf: Array(repeating: part, count: count).joined(), at: position)
        case .splice:
            guard let other = others.randomElement(using: &generator), !other.isEmpty else { return }
            let start = Int.random(in: 0..<other.count, using: &generator)
            let length = min(Int.random(in: 1...max(other.count, 1), using: &generator), other.count - start)
            let end = Bool.random(using: &generator) ? bytes.count : min(position + length, bytes.count)
            let from = other.startIndex + start
            bytes.replaceSubrange(position..<end, with: other[from..<from + length])
        case .lieAboutNumber:
            let width = [2, 4, 8].randomElement(using: &generator) ?? 4
            guard position + width <= bytes.count else { return }
            var number = Mutation.numbers.randomElement(using: &generator) ?? 0
            if Bool.random(using: &generator) {
                // A little more or less than what is there.
                number = (0..<width).reduce(0) { $0 | UInt64(bytes[position + $1]) << UInt64(8 * $1) }
                number &+= UInt64(bitPattern: Int64.random(in: -16...16, using: &generator))
            }
            for index in 0..<width { bytes[position + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index)) }
        case .lieAboutDigits:
            let isDigit = { (byte: UInt8) in (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
            guard let start = bytes[position...].firstIndex(where: isDigit) else { return }
            let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
            let text = Mutation.digits.randomElement(using: &generator) ?? ""
            bytes.replaceSubrange(start..<end, with: Array(text.utf8))
        }
    }
}
