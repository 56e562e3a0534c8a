package extension Unicode.Scalar {
    /// Whether the published tools take this for white space: Unicode's `White_Space` and the four separators U+001C to
    /// U+001F.
    var isReferenceWhitespace: Bool {
        if value < 0x80 { return value == 0x20 || (0x09...0x0D).contains(value) || (0x1C...0x1F).contains(value) }
        return properties.isWhitespace
    }

    /// The value of a decimal digit of any script, or `nil`.
    var decimalDigitValue: Int? {
        if value < 0x80 { return (0x30...0x39).contains(value) ? Int(value) - 0x30 : nil }
        guard properties.generalCategory == .decimalNumber, let value = properties.numericValue else { return nil }
        return Int(value)
    }
}

package extension String {
    /// The text of some code points.
    init(codePoints: some Sequence<Unicode.Scalar>) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(codePoints.underestimatedCount)
        for scalar in codePoints {
            if scalar.isASCII {
                bytes.append(UInt8(truncatingIfNeeded: scalar.value))
            } else {
                bytes += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
            }
        }
        self.init(decoding: bytes, as: UTF8.self)
    }

    /// The parts between white space, without empty parts.
    var referenceWords: [String] {
        var text = self
        let words = text.withUTF8 { bytes in
            bytes.allSatisfy { $0 < 0x80 && $0 >= 0x20 } ? String.words(bytes) : nil
        }
        return words ?? unicodeScalars.split(whereSeparator: \.isReferenceWhitespace).map { String($0) }
    }

    /// The parts of UTF-8 between spaces, without empty parts.
    static func words(_ utf8: UnsafeBufferPointer<UInt8>) -> [String] {
        utf8.split(separator: 0x20).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The string without white space at either end.
    var referenceTrimmed: String {
        let scalars = unicodeScalars
        guard let first = scalars.firstIndex(where: { !$0.isReferenceWhitespace }),
            let last = scalars.lastIndex(where: { !$0.isReferenceWhitespace })
        else { return "" }
        return String(scalars[first...last])
    }

    /// The lower-case form by Unicode's full mapping, with the final sigma, which the standard library's
    /// `lowercased()` leaves out.
    var referenceLowercased: String {
        // The sigma's UTF-8 begins with this byte, which few texts have.
        guard utf8.contains(0xCE), unicodeScalars.contains("\u{03A3}") else { return lowercased() }
        let scalars = Array(unicodeScalars)
        var result = String.UnicodeScalarView()
        for (index, scalar) in scalars.enumerated() {
            if scalar == "\u{03A3}" {
                let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
                let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
                let isFinal = before?.properties.isCased == true && after?.properties.isCased != true
                result.append(isFinal ? "\u{03C2}" : "\u{03C3}")
            } else {
                result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
            }
        }
        return String(result)
    }

    /// Whether both strings have the same code points: Swift's `==` also takes canonically equivalent ones for equal,
    /// which the published tools do not.
    func hasSameCodePoints(as other: String) -> Bool {
        utf8.elementsEqual(other.utf8)
    }
}

/// Gives every distinct word a number, by its code points.
package struct WordNumbers: Sendable {
    /// The words' numbers, each at the place of its word's hash or at the next free one; `-1` where a place is free.
    private var slots: [Int32] = []
    /// The UTF-8 of all words, one after the other.
    private var bytes: [UInt8] = []
    /// Where each word ends.
    private var ends: [Int] = []

    /// Starts without words.
    package init() {}

    /// How many distinct words were seen.
    package var count: Int { ends.count }

    /// The number of a word, a new one at its first sight.
    package mutating func number(of word: String) -> Int {
        var word = word
        return word.withUTF8 { number(of: $0) }
    }

    private mutating func number(of word: UnsafeBufferPointer<UInt8>) -> Int {
        // At least half of the places are free.
        if 2 * (ends.count + 1) > slots.count { grow() }
        let slot = slot(of: word, WordNumbers.hash(word))
        if slots[slot] >= 0 { return Int(slots[slot]) }
        slots[slot] = Int32(ends.count)
        bytes += word
        ends.append(bytes.count)
        return ends.count - 1
    }

    /// The numbers of the words between spaces and tabs, or `nil` when one was not seen before.
    func known(_ line: some RandomAccessCollection<UInt8>) -> [Int32]? {
        line.withContiguousStorageIfAvailable { line in
            var result: [Int32] = []
            var index = 0
            let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
            while true {
                while index < line.count, isSpace(line[index]) { index += 1 }
                let start = index
                while index < line.count, !isSpace(line[index]) { index += 1 }
                if index == start { return result }
                let word = UnsafeBufferPointer(rebasing: line[start..<index])
                guard !slots.isEmpty else { return nil }
                let number = slots[slot(of: word, WordNumbers.hash(word))]
                guard number >= 0 else { return nil }
                result.append(number)
            }
        } ?? nil
    }

    /// The hash of Fowler, Noll and Vo.
    private static func hash(_ word: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in word { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return hash ^ (hash >> 29)
    }

    /// Where a word stands, or else the free place for it.
    private func slot(of word: UnsafeBufferPointer<UInt8>, _ hash: UInt64) -> Int {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] >= 0, !isWord(Int(slots[slot]), word) { slot = (slot + 1) & mask }
        return slot
    }

    private func isWord(_ number: Int, _ word: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = number == 0 ? 0 : ends[number - 1]
        guard ends[number] - start == word.count else { return false }
        for index in 0..<word.count where bytes[start + index] != word[index] { return false }
        return true
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: max(2 * slots.count, 128))
        bytes.withUnsafeBufferPointer { bytes in
            var start = 0
            for (number, end) in ends.enumerated() {
                let word = UnsafeBufferPointer(rebasing: bytes[start..<end])
                slots[slot(of: word, WordNumbers.hash(word))] = Int32(number)
                start = end
            }
        }
    }

    /// The number of each word.
    package mutating func numbers(of words: [String]) -> [Int] {
        words.map { number(of: $0) }
    }

    /// Two texts in common numbers, and how many distinct words they have together.
    package static func common(
        _ first: [String],
        _ second: [String]
    ) -> (first: [Int], second: [Int], distinct: Int) {
        var words = WordNumbers()
        let firstNumbers = words.numbers(of: first)
        let secondNumbers = words.numbers(of: second)
        return (firstNumbers, secondNumbers, words.count)
    }
}
