public import UniMedTokenizers

/// The text that each token of a vocabulary adds to an answer.
public struct TokenTexts: Sendable {
    /// For each id its text inside an answer, as UTF-8; empty where it has none, as special tokens.
    let texts: [[UInt8]]
    /// Whether an answer's first token usually brings a blank that is dropped when the answer is decoded, as the dummy
    /// prefix of SentencePiece.
    let dropsLeadingBlank: Bool

    /// Reads the texts of a tokenizer: each id is decoded once, behind a letter.
    ///
    /// - Throws: ``GenerationError/tokenizer(_:)`` when the tokenizer fails.
    public init(_ tokenizer: any Tokenizer) throws(GenerationError) {
        let letters = try tokenizing { () throws(TokenizerError) in try tokenizer.encode("a") }
        guard let anchor = letters.last else {
            throw .invalidOption(field: "tokenizer", expected: "one that can write a letter", got: "one that cannot")
        }
        let before = Array(try tokenizing { () throws(TokenizerError) in try tokenizer.decode([anchor]) }.utf8)
        var texts: [[UInt8]] = []
        texts.reserveCapacity(tokenizer.vocabularySize)
        for id in 0..<tokenizer.vocabularySize {
            do throws(TokenizerError) {
                let whole = Array(try tokenizer.decode([anchor, id]).utf8)
                texts.append(whole.starts(with: before) ? Array(whole.dropFirst(before.count)) : [])
            } catch {
                // A vocabulary may have ids without a token.
                guard error.kind == .unknownID else { throw .tokenizer(error) }
                texts.append([])
            }
        }
        self.texts = texts
        let blank = UInt8(ascii: " ")
        let written = try tokenizing { () throws(TokenizerError) in try tokenizer.decode(letters) }
        dropsLeadingBlank = texts[letters[0]].first == blank && written == "a"
    }
}
