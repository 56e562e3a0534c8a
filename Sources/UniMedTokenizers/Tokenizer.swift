public import Foundation

/// Turns text into the token ids of a language model, and back.
public protocol Tokenizer: Sendable {
    /// The number of ids; every id is in `0..<vocabularySize`.
    var vocabularySize: Int { get }

    /// The id that begins a sequence; `nil` for models whose sequences begin with their text (Qwen2).
    var bosID: Int? { get }

    /// The id that ends a sequence.
    var eosID: Int { get }

    /// Every id that ends an answer, ``eosID`` first.
    ///
    /// Default: only ``eosID``.
    var eosIDs: [Int] { get }

    /// The id that fills rows of a batch: never a target, and left out of decoded text.
    var padID: Int { get }

    /// Turns a text into ids.
    ///
    /// - Parameters:
    ///   - text: Any text. The names of special tokens (such as `</s>`) stand for their ids.
    ///   - addBOS: Whether ``bosID`` is put in front, where there is one.
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
    /// Every id that ends an answer.
    public var eosIDs: [Int] { [eosID] }

    /// Turns a text into ids, without a beginning-of-sequence token.
    public func encode(_ text: String) throws(TokenizerError) -> [Int] {
        try encode(text, addBOS: false)
    }

    /// Turns ids into text, without the special tokens.
    public func decode(_ ids: [Int]) throws(TokenizerError) -> String {
        try decode(ids, skippingSpecialTokens: true)
    }
}

/// A part of a text whose special tokens are known.
public enum TextSegment: Sendable, Equatable {
    /// Text in which names of special tokens are characters, whoever wrote it.
    case text(String)
    /// A special token.
    case special(Int)
}

/// A tokenizer of a language model's checkpoint: it knows its tokens by name and the files it was read from.
public protocol CheckpointTokenizer: Tokenizer {
    /// The files that make this tokenizer again in another folder, by name.
    var files: [String: Data] { get }

    /// The id of a token as the vocabulary spells it; `nil` when there is none.
    func id(ofToken token: String) -> Int?

    /// The spelling of a token.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when no token has the id.
    func token(_ id: Int) throws(TokenizerError) -> String

    /// Whether an id is left out of decoded text.
    func isSpecial(_ id: Int) -> Bool

    /// Turns segments into ids: as one text, but only the segments that say so are special tokens.
    ///
    /// Where no text has the name of a special token in it, these are the ids of the joined text.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when a special token's id is outside the vocabulary.
    func encode(_ segments: [TextSegment]) throws(TokenizerError) -> [Int]

    /// Turns a text into ids, with what the tokenizer's files put around a sequence.
    ///
    /// Names of special tokens stand for their ids.
    func encodeSequence(_ text: String) throws(TokenizerError) -> [Int]
}
