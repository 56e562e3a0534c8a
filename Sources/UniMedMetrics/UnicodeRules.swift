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
    /// The parts between white space, without empty parts.
    var referenceWords: [String] {
        if utf8.allSatisfy({ $0 < 0x80 && $0 >= 0x20 }) {
            return utf8.split(separator: 0x20).map { String(Substring($0)) }
        }
        return unicodeScalars.split(whereSeparator: \.isReferenceWhitespace).map { String($0) }
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
        guard unicodeScalars.contains("\u{03A3}") else { return lowercased() }
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
package struct WordNumbers {
    private struct Word: Hashable {
        var text: String

        static func == (lhs: Word, rhs: Word) -> Bool { lhs.text.hasSameCodePoints(as: rhs.text) }

        func hash(into hasher: inout Hasher) {
            var text = text
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }

    private var numbers: [Word: Int] = [:]

    /// Starts without words.
    package init() {}

    /// How many distinct words were seen.
    package var count: Int { numbers.count }

    /// The distinct words in the order of their numbers.
    package var wordsInOrder: [String] {
        var result = [String](repeating: "", count: numbers.count)
        for (word, number) in numbers { result[number] = word.text }
        return result
    }

    /// The number of a word, a new one at its first sight.
    package mutating func number(of word: String) -> Int {
        let key = Word(text: word)
        if let number = numbers[key] { return number }
        let number = numbers.count
        numbers[key] = number
        return number
    }

    /// The number of a word that was seen before.
    package func known(_ word: Substring) -> Int32? { numbers[Word(text: String(word))].map(Int32.init) }

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
