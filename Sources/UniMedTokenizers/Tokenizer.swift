/// Turns text into the token ids of a language model, and back.
public protocol Tokenizer: Sendable {
    /// The number of ids; every id is in `0..<vocabularySize`.
    var vocabularySize: Int { get }

    /// The id that begins a sequence.
    var bosID: Int { get }

    /// The id that ends a sequence.
    var eosID: Int { get }

    /// The id that fills rows of a batch: never a target, and left out of decoded text.
    var padID: Int { get }

    /// Turns a text into ids.
    ///
    /// - Parameters:
    ///   - text: Any text. The names of special tokens (such as `</s>`) stand for their ids.
    ///   - addBOS: Whether ``bosID`` is put in front.
    /// - Returns: Ids in `0..<vocabularySize`.
    /// - Throws: ``TokenizerError`` of kind `processing` when the library fails.
    func encode(_ text: String, addBOS: Bool) throws(TokenizerError) -> [Int]

    /// Turns ids into text.
    ///
    /// - Parameters:
    ///   - ids: Ids in `0..<vocabularySize`.
    ///   - skippingSpecialTokens: Whether special tokens (also the pad token) are left out.
    /// - Returns: The text; bytes that are not UTF-8 become U+FFFD.
    /// - Throws: ``TokenizerError`` of kind `unknownID` when an id is outside the vocabulary.
    func decode(_ ids: [Int], skippingSpecialTokens: Bool) throws(TokenizerError) -> String
}

extension Tokenizer {
    /// Turns a text into ids, without a beginning-of-sequence token.
    public func encode(_ text: String) throws(TokenizerError) -> [Int] {
        try encode(text, addBOS: false)
    }

    /// Turns ids into text, without the special tokens.
    public func decode(_ ids: [Int]) throws(TokenizerError) -> String {
        try decode(ids, skippingSpecialTokens: true)
    }
}
