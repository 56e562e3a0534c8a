import Foundation

/// What a normalizer replaces and a pre-tokenizer splits at: a text or a regular expression.
///
/// Regular expressions are Foundation's (ICU), which agree with those of the tokenizers' own library for the patterns
/// of the model families read here. `@unchecked Sendable`: a regular expression does not change after it was made.
enum TextPattern: @unchecked Sendable {
    case literal([UInt8])
    case regularExpression(NSRegularExpression)

    /// The longest regular expression that is accepted, in bytes.
    static let maximumLength = 4096

    /// Reads `{"String": …}` or `{"Regex": …}`.
    init(_ field: JSONField) throws(TokenizerError) {
        if let literal = try field.optional("String") {
            let bytes = try literal.bytes()
            guard !bytes.isEmpty else { throw literal.error(.invalidFile, "it is empty") }
            self = .literal(Array(bytes))
        } else {
            let regex = try field.required("Regex")
            self = try TextPattern.regularExpression(try regex.string(), field: regex)
        }
    }

    /// Makes a regular expression.
    static func regularExpression(_ pattern: String, field: JSONField) throws(TokenizerError) -> TextPattern {
        guard !pattern.isEmpty, pattern.utf8.count <= maximumLength, !pattern.utf8.contains(0) else {
            throw field.error(.invalidFile, "expected a pattern of 1...\(maximumLength) bytes")
        }
        do {
            return .regularExpression(try NSRegularExpression(pattern: pattern))
        } catch {
            throw field.error(.invalidFile, "it is no regular expression")
        }
    }

    /// Where the pattern occurs, as ranges of the bytes, in order; empty occurrences are left out.
    func matches(in text: ArraySlice<UInt8>) -> [Range<Int>] {
        switch self {
        case .literal(let literal): TextPattern.occurrences(of: literal, in: text)
        case .regularExpression(let expression): TextPattern.matches(of: expression, in: text)
        }
    }

    private static func occurrences(of literal: [UInt8], in text: ArraySlice<UInt8>) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var position = text.startIndex
        while position + literal.count <= text.endIndex {
            if text[position] == literal[0], text[position..<position + literal.count].elementsEqual(literal) {
                ranges.append(position..<position + literal.count)
                position += literal.count
            } else {
                position += 1
            }
        }
        return ranges
    }

    private static func matches(of expression: NSRegularExpression, in text: ArraySlice<UInt8>) -> [Range<Int>] {
        let string = String(decoding: text, as: UTF8.self)
        var ranges: [Range<Int>] = []
        // The matches count UTF-16 units; the position in the bytes follows them.
        var (position, unit) = (text.startIndex, 0)
        func advance(to target: Int) {
            while unit < target, position < text.endIndex {
                switch text[position] {
                case 0..<0x80: (position, unit) = (position + 1, unit + 1)
                case ..<0xE0: (position, unit) = (position + 2, unit + 1)
                case ..<0xF0: (position, unit) = (position + 3, unit + 1)
                default: (position, unit) = (position + 4, unit + 2)
                }
            }
        }
        let whole = NSRange(location: 0, length: string.utf16.count)
        expression.enumerateMatches(in: string, range: whole) { match, _, _ in
            guard let range = match?.range, range.length > 0 else { return }
            advance(to: range.location)
            let start = position
            advance(to: range.location + range.length)
            ranges.append(start..<position)
        }
        return ranges
    }
}
