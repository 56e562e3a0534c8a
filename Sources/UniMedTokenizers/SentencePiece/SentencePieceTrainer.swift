private import CSentencePiece
public import Foundation

/// Trains small vocabularies of the same kind as Llama's.
///
/// Byte-pair encoding with byte fallback and single digits; `<unk>`, `<s>` and `</s>` are 0, 1 and 2, then come the
/// user-defined symbols, the 256 bytes, and what is learned. Text is not normalized and begins with a dummy prefix.
public enum SentencePieceTrainer {
    /// The coordinates of boxes, `<0>` to `<100>`, so that each is one token.
    public static let boxCoordinates = (0...100).map { "<\($0)>" }

    /// What a Uni-Med vocabulary has from the start: the pad piece of the published code, and the box coordinates.
    public static let uniMedSymbols = [LlamaTokenizer.publishedPadPiece] + boxCoordinates

    /// Trains a vocabulary; the same texts and settings give the same bytes.
    ///
    /// One thread, nothing random. Line breaks, tabs and control characters are not learned: they stay bytes, as in
    /// Llama's vocabulary.
    ///
    /// - Parameters:
    ///   - texts: The training texts, which are not kept.
    ///   - vocabularySize: The number of pieces, with special pieces, bytes and symbols.
    ///   - userDefinedSymbols: Symbols that always are one piece, wherever they stand. Each at most once.
    ///   - characterCoverage: The share of the characters of the texts that get a piece of their own, in `0.98...1`;
    ///     the others are written as bytes.
    ///   - acceptsFewerPieces: Whether the vocabulary may be smaller than asked for when the texts do not give more.
    /// - Returns: The serialized model, for ``SentencePieceTokenizer/init(model:)``.
    /// - Throws: ``TokenizerError`` of kind `training` when the texts are empty, a symbol cannot be used, or the texts
    ///   are too few (or have too many different characters) for the size.
    public static func train(
        texts: some Sequence<String>,
        vocabularySize: Int,
        userDefinedSymbols: [String] = uniMedSymbols,
        characterCoverage: Double = 0.9999,
        acceptsFewerPieces: Bool = false
    ) throws(TokenizerError) -> Data {
        try check(userDefinedSymbols)
        let fixed = 3 + 256 + userDefinedSymbols.count
        guard vocabularySize > fixed, vocabularySize <= 1 << 24 else {
            throw TokenizerError(
                .training,
                "a vocabulary of \(vocabularySize) pieces, expected \(fixed + 1)...\(1 << 24) "
                    + "(3 special pieces, 256 bytes, \(userDefinedSymbols.count) symbols)"
            )
        }
        guard characterCoverage >= 0.98, characterCoverage <= 1 else {
            throw TokenizerError(.training, "a character coverage of \(characterCoverage), expected 0.98...1")
        }
        let sentences = texts.flatMap(sentences(of:))
        guard !sentences.isEmpty else { throw TokenizerError(.training, "there is no text") }

        let options: KeyValuePairs = [
            "model_type": "bpe",
            "vocab_size": "\(vocabularySize)",
            "hard_vocab_limit": "\(!acceptsFewerPieces)",
            "character_coverage": "\(characterCoverage)",
            "user_defined_symbols": userDefinedSymbols.map(quoted).joined(separator: ","),
            "byte_fallback": "true",
            "split_digits": "true",
            "allow_whitespace_only_pieces": "true",
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": "false",
            "add_dummy_prefix": "true",
            "unk_id": "0",
            "bos_id": "1",
            "eos_id": "2",
            "pad_id": "-1",
            "num_threads": "1",
            "input_sentence_size": "0",
            "max_sentence_length": "\(sentences.reduce(1) { max($0, $1.utf8.count) } + 1)",
        ]
        return try train(sentences: sentences, options: options)
    }

    private static func train(
        sentences: [String],
        options: KeyValuePairs<String, String>
    ) throws(TokenizerError) -> Data {
        // One block of zero-terminated texts, so that the library sees plain addresses.
        let strings = options.flatMap { [$0.key, $0.value] } + sentences
        var block: [CChar] = []
        var starts: [Int] = []
        var lengths: [Int] = []
        for string in strings {
            starts.append(block.count)
            lengths.append(string.utf8.count)
            block.append(contentsOf: string.utf8.lazy.map(CChar.init(bitPattern:)))
            block.append(0)
        }
        var model: UnsafeMutablePointer<CChar>?
        var length = 0
        let status = block.withUnsafeBufferPointer { block -> Int32 in
            guard let base = block.baseAddress else { return 1 }
            let addresses = starts.map { base + $0 }
            let names = (0..<options.count).map { addresses[2 * $0] }
            let values = (0..<options.count).map { addresses[2 * $0 + 1] }
            let texts = Array(addresses.dropFirst(2 * options.count))
            let textLengths = Array(lengths.dropFirst(2 * options.count))
            return csp_train(names, values, options.count, texts, textLengths, texts.count, &model, &length)
        }
        guard status == 0, let model else {
            throw TokenizerError(.training, SentencePieceMessage.last)
        }
        defer { csp_bytes_free(model) }
        return Data(bytes: model, count: length)
    }

    /// The lines of a text, without the characters that the trainer reserves for itself.
    private static func sentences(of text: String) -> [String] {
        text.split { $0.isNewline }.compactMap { line in
            let scalars = line.unicodeScalars.map { scalar -> Unicode.Scalar in
                let isReserved = scalar.value < 0x20 || scalar == "\u{2581}" || scalar == "\u{2585}"
                return isReserved ? " " : scalar
            }
            var cleaned = String.UnicodeScalarView()
            cleaned.append(contentsOf: scalars)
            return cleaned.allSatisfy({ $0 == " " }) ? nil : String(cleaned)
        }
    }

    private static func check(_ symbols: [String]) throws(TokenizerError) {
        var seen: Set<String> = ["<unk>", "<s>", "</s>"]
        for byte in 0...255 { seen.insert("<0x" + String(format: "%02X", byte) + ">") }
        for symbol in symbols {
            guard !symbol.isEmpty, !symbol.unicodeScalars.contains(where: { $0.value <= 0x20 || $0 == "\u{2581}" })
            else {
                throw TokenizerError(.training, "the symbol '\(symbol)' is empty or has a space or control character")
            }
            guard seen.insert(symbol).inserted else {
                throw TokenizerError(
                    .training,
                    "the symbol '\(symbol)' is there twice, or is a special piece or a byte"
                )
            }
        }
    }

    /// A symbol as a field of the comma-separated list that the trainer reads.
    private static func quoted(_ symbol: String) -> String {
        "\"" + symbol.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }
}
