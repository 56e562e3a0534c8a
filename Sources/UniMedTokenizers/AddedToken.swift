/// A token that is found in a text before it is split, such as `<|im_end|>` or a task tag.
public struct AddedToken: Sendable, Hashable {
    /// Its id.
    public var id: Int
    /// The text that it stands for.
    public var content: String
    /// Whether it is left out of decoded text and never found in text that is not trusted.
    public var isSpecial: Bool
    /// Whether it is found only where no word continues on either side (`single_word`).
    public var isSingleWord: Bool
    /// Whether it takes the white space before it (`lstrip`).
    public var stripsLeft: Bool
    /// Whether it takes the white space after it (`rstrip`).
    public var stripsRight: Bool
    /// Whether it is found in the normalized text instead of the text as it is (`normalized`).
    public var isNormalized: Bool

    /// Makes a token.
    public init(
        id: Int,
        content: String,
        isSpecial: Bool = true,
        isSingleWord: Bool = false,
        stripsLeft: Bool = false,
        stripsRight: Bool = false,
        isNormalized: Bool = false
    ) {
        self.id = id
        self.content = content
        self.isSpecial = isSpecial
        self.isSingleWord = isSingleWord
        self.stripsLeft = stripsLeft
        self.stripsRight = stripsRight
        self.isNormalized = isNormalized
    }

    /// Reads a token of `tokenizer.json`, or of `added_tokens_decoder`, where the id is the name.
    init(_ field: JSONField, id: Int? = nil) throws(TokenizerError) {
        let content = try field.required("content")
        guard try !content.bytes().isEmpty else { throw content.error(.invalidFile, "it is empty") }
        let isSpecial = try field.optional("special")?.bool() ?? false
        let number: Int
        if let id { number = id } else { number = try field.required("id").tokenID() }
        self.init(
            id: number,
            content: try content.string(),
            isSpecial: isSpecial,
            isSingleWord: try field.optional("single_word")?.bool() ?? false,
            stripsLeft: try field.optional("lstrip")?.bool() ?? false,
            stripsRight: try field.optional("rstrip")?.bool() ?? false,
            isNormalized: try field.optional("normalized")?.bool() ?? !isSpecial
        )
    }
}

/// Finds added tokens in texts: at every place the longest one.
struct AddedTokenFinder: Sendable {
    /// A part of a text.
    enum Part {
        case text(ArraySlice<UInt8>)
        /// A token, and the bytes that it was found as, with the white space that it takes.
        case token(AddedToken, ArraySlice<UInt8>)
    }

    private struct Node: Sendable {
        var children: [UInt8: Int32] = [:]
        var token: Int32 = -1
    }

    private var tokens: [AddedToken] = []
    private var nodes = [Node()]

    /// Whether there is nothing to find.
    var isEmpty: Bool { tokens.isEmpty }

    /// Adds a token that is found by a spelling.
    mutating func add(_ token: AddedToken, spelling: some Sequence<UInt8>) {
        var node = 0
        for byte in spelling {
            if let child = nodes[node].children[byte] {
                node = Int(child)
            } else {
                nodes.append(Node())
                nodes[node].children[byte] = Int32(nodes.count - 1)
                node = nodes.count - 1
            }
        }
        guard node != 0 else { return }
        nodes[node].token = Int32(tokens.count)
        tokens.append(token)
    }

    /// The parts of a text, in order; none is empty.
    ///
    /// - Parameter findsSpecial: Whether names of special tokens are found; else they are text.
    func parts(of text: ArraySlice<UInt8>, findsSpecial: Bool) -> [Part] {
        guard !isEmpty else { return text.isEmpty ? [] : [.text(text)] }
        var parts: [Part] = []
        // The text before `done` is in the parts already.
        var (done, position) = (text.startIndex, text.startIndex)
        while position < text.endIndex {
            guard let (token, length) = longest(in: text, at: position) else {
                position += 1
                continue
            }
            var (start, end) = (position, position + length)
            position = end
            if token.isSpecial, !findsSpecial { continue }
            if token.isSingleWord, TextEdge.endsWithWord(text[..<start]) || TextEdge.beginsWithWord(text[end...]) {
                continue
            }
            if token.stripsLeft { start = max(done, start - TextEdge.trailingSpace(text[..<start])) }
            if token.stripsRight { end += TextEdge.leadingSpace(text[end...]) }
            start = max(done, start)
            if done < start { parts.append(.text(text[done..<start])) }
            parts.append(.token(token, text[start..<end]))
            done = end
            position = max(position, end)
        }
        if done < text.endIndex { parts.append(.text(text[done...])) }
        return parts
    }

    private func longest(in text: ArraySlice<UInt8>, at start: Int) -> (token: AddedToken, length: Int)? {
        var node = 0
        var found: (Int32, Int)?
        var position = start
        while position < text.endIndex, let child = nodes[node].children[text[position]] {
            node = Int(child)
            position += 1
            if nodes[node].token >= 0 { found = (nodes[node].token, position - start) }
        }
        return found.map { (tokens[Int($0.0)], $0.1) }
    }
}

/// What stands at the ends of UTF-8 texts.
enum TextEdge {
    /// The bytes of white space that a text begins with.
    static func leadingSpace(_ text: ArraySlice<UInt8>) -> Int {
        var count = 0
        var rest = text
        while let scalar = first(rest), scalar.properties.isWhitespace {
            count += UTF8.width(scalar)
            rest = rest.dropFirst(UTF8.width(scalar))
        }
        return count
    }

    /// The bytes of white space that a text ends with.
    static func trailingSpace(_ text: ArraySlice<UInt8>) -> Int {
        var count = 0
        var rest = text
        while let scalar = last(rest), scalar.properties.isWhitespace {
            count += UTF8.width(scalar)
            rest = rest.dropLast(UTF8.width(scalar))
        }
        return count
    }

    /// Whether a text begins with a character of a word.
    static func beginsWithWord(_ text: ArraySlice<UInt8>) -> Bool { first(text).map(isWord) ?? false }

    /// Whether a text ends with a character of a word.
    static func endsWithWord(_ text: ArraySlice<UInt8>) -> Bool { last(text).map(isWord) ?? false }

    private static func first(_ text: ArraySlice<UInt8>) -> Unicode.Scalar? {
        String(decoding: text.prefix(4), as: UTF8.self).unicodeScalars.first
    }

    private static func last(_ text: ArraySlice<UInt8>) -> Unicode.Scalar? {
        // The last character begins at the last byte that continues none.
        guard let start = text.suffix(4).lastIndex(where: { $0 & 0xC0 != 0x80 }) else { return nil }
        return String(decoding: text[start...], as: UTF8.self).unicodeScalars.first
    }

    /// What Unicode calls a character of a word (UTS 18, annex C).
    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { return true }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }
}
