/// Turns the ids of an answer into text while they are made.
///
/// A character whose bytes are spread over several ids is held back until it is complete. What was given, joined, is
/// the decoded text of all ids, as long as the ids are those of a text.
public struct StreamingDecoder: Sendable {
    private let tokenizer: any Tokenizer
    private let skipsSpecialTokens: Bool
    private var ids: [Int] = []
    /// Ids before `given` are text that was given; those from `context` on are decoded again, because the text of an id
    /// depends on what is before it.
    private var context = 0
    private var given = 0

    /// No more ids than this are held back; then they are given as they are.
    private static let longestWait = 64

    /// Begins an answer.
    public init(tokenizer: any Tokenizer, skippingSpecialTokens: Bool = true) {
        self.tokenizer = tokenizer
        skipsSpecialTokens = skippingSpecialTokens
    }

    /// The text that an id completes; empty while a character is incomplete.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when the id is outside the vocabulary.
    public mutating func append(_ id: Int) throws(TokenizerError) -> String {
        ids.append(id)
        return try take(isLast: ids.count - given > StreamingDecoder.longestWait)
    }

    /// What was held back; bytes that are not UTF-8 become U+FFFD.
    public mutating func finish() throws(TokenizerError) -> String {
        try take(isLast: true)
    }

    private mutating func take(isLast: Bool) throws(TokenizerError) -> String {
        guard given < ids.count else { return "" }
        let text = try tokenizer.decode(Array(ids[context...]), skippingSpecialTokens: skipsSpecialTokens)
        if !isLast, text.unicodeScalars.last == "\u{FFFD}" { return "" }
        let before = try tokenizer.decode(Array(ids[context..<given]), skippingSpecialTokens: skipsSpecialTokens)
        guard text.utf8.count > before.utf8.count else {
            // Nothing new to see, such as a special token: what follows may still depend on it.
            return ""
        }
        let new =
            text.utf8.starts(with: before.utf8)
            ? String(decoding: Array(text.utf8.dropFirst(before.utf8.count)), as: UTF8.self)
            : String(String.UnicodeScalarView(text.unicodeScalars.dropFirst(before.unicodeScalars.count)))
        // Spaces at the beginning of what is decoded may be left out, so it begins with something else.
        if ids.count - context > StreamingDecoder.longestWait || new.unicodeScalars.contains(where: { $0 != " " }) {
            context = given
        }
        given = ids.count
        return new
    }
}
