public import Foundation

/// The tokenizer of a `tokenizer.json`: byte-pair encoding of Llama 3, Qwen2, GPT-2, Llama 2 or Mistral.
///
/// The same ids as the tokenizers library (0.19) for byte-level byte-pair encoding (pre-tokenizers `Split` and
/// `ByteLevel`) and for byte-pair encoding of characters with byte fallback (normalizers `Prepend` and `Replace`, or the
/// `Metaspace` pre-tokenizer). Other models and parts are refused with the name of the field.
///
/// Added tokens are found first: those with `normalized` off in the text as it is, the others in what is left of it,
/// normalized; at every place the longest. Decoding never changes spaces (`clean_up_tokenization_spaces` off).
public struct HuggingFaceTokenizer: CheckpointTokenizer {
    /// The number of ids: one more than the greatest.
    public let vocabularySize: Int

    /// The id that begins a sequence, where the model has one.
    public let bosID: Int?

    /// The id that ends a sequence.
    public let eosID: Int

    /// Every id that ends an answer, ``eosID`` first.
    public let eosIDs: [Int]

    /// The id that fills rows of a batch: the pad token, or else the unknown one, or else ``eosID``.
    public let padID: Int

    /// The id of what the vocabulary lacks, where there is one.
    public let unknownID: Int?

    /// The tokens that are found in a text before it is split.
    public let addedTokens: [AddedToken]

    /// The files that make this tokenizer again.
    public let files: [String: Data]

    private let tokens: TokenTable
    private let normalizer: TextNormalizer?
    private let preTokenizer: PreTokenizer
    private let model: BytePairModel
    private let postProcessor: PostProcessor
    private let decoder: TokenDecoder
    private let finder: AddedTokenFinder
    private let normalizedFinder: AddedTokenFinder
    private let special: [Int: AddedToken]

    /// The longest text that is tokenized, in bytes.
    public static let maximumTextSize = 1 << 30

    /// Reads a file; the settings are those of its folder.
    ///
    /// - Throws: ``TokenizerError`` that names the file and the field.
    public init(contentsOf file: URL) throws(TokenizerError) {
        let data = try TokenizerFile.read(file)
        let folder = file.deletingLastPathComponent()
        let settings = try TokenizerSettings(folder: folder)
        let companions = try TokenizerSettings.files(in: folder)
        do throws(TokenizerError) {
            try self.init(data: data, settings: settings, companions: companions)
        } catch {
            throw TokenizerError(error.kind, file: file.path, error.detail)
        }
    }

    /// Reads the contents of a `tokenizer.json`.
    ///
    /// - Parameters:
    ///   - data: Any bytes: what is damaged or contradicts itself is an error.
    ///   - settings: The names of the special tokens. `eos` is needed, here or as one of the ids.
    /// - Throws: ``TokenizerError`` of kind `invalidFile`, `unsupported` or `missingPiece`, which names the field.
    public init(data: Data, settings: TokenizerSettings) throws(TokenizerError) {
        try self.init(data: data, settings: settings, companions: [:])
    }

    init(data: Data, settings: TokenizerSettings, companions: [String: Data]) throws(TokenizerError) {
        let root = JSONField(try JSONValue(parsing: data))
        let modelField = try root.required("model")
        if let type = try modelField.optional("type"), try type.string() != "BPE" {
            throw type.error(.unsupported, "'\(try type.string())', expected BPE")
        }
        var tokens = try TokenTable(modelField.required("vocab"))
        normalizer = try HuggingFaceTokenizer.optional(root, "normalizer", TextNormalizer.init)
        preTokenizer = try HuggingFaceTokenizer.optional(root, "pre_tokenizer", PreTokenizer.init) ?? PreTokenizer()
        model = try BytePairModel(modelField, tokens: tokens, isByteLevel: preTokenizer.isByteLevel)

        var added: [AddedToken] = []
        var addedIDs: Set<Int> = []
        if let list = try root.optional("added_tokens") {
            for field in try list.elements() {
                let token = try AddedToken(field)
                guard addedIDs.insert(token.id).inserted else {
                    throw field.error(.invalidFile, "another added token has the id \(token.id)")
                }
                try tokens.add(Array(token.content.utf8)[...], id: token.id) { field }
                added.append(token)
            }
        }
        for token in settings.addedTokens where addedIDs.insert(token.id).inserted {
            let place = JSONField(.null, path: "tokenizer_config.json: added_tokens_decoder['\(token.id)']")
            try tokens.add(Array(token.content.utf8)[...], id: token.id) { place }
            added.append(token)
        }
        postProcessor = try HuggingFaceTokenizer.processor(root, tokens: tokens, settings: settings)
        decoder = try HuggingFaceTokenizer.optional(root, "decoder", TokenDecoder.init) ?? .spaced

        func id(_ name: String?, _ field: String) throws(TokenizerError) -> Int? {
            guard let name else { return nil }
            guard let id = tokens.id(Array(name.utf8)[...]) else {
                throw TokenizerError(.missingPiece, "\(field): '\(name)' is not in the vocabulary")
            }
            return Int(id)
        }
        bosID = try id(settings.bos, "bos_token") ?? postProcessor.prefix.first
        let named = try id(settings.eos, "eos_token")
        var ends: [Int] = []
        for id in [named].compactMap({ $0 }) + settings.eosIDs where !ends.contains(id) {
            guard id < tokens.spellings.count, tokens.spellings[id] != nil else {
                throw TokenizerError(.missingPiece, "eos_token_id: no token has the id \(id)")
            }
            ends.append(id)
        }
        guard let end = ends.first else {
            throw TokenizerError(
                .missingPiece,
                "no eos_token: neither tokenizer_config.json, special_tokens_map.json nor generation_config.json names one"
            )
        }
        eosID = end
        eosIDs = ends
        unknownID = try id(settings.unknown, "unk_token") ?? model.unknownID
        padID = try id(settings.pad, "pad_token") ?? unknownID ?? end

        var (finder, normalizedFinder) = (AddedTokenFinder(), AddedTokenFinder())
        for token in added {
            let spelling = Array(token.content.utf8)[...]
            if token.isNormalized {
                normalizedFinder.add(token, spelling: normalizer.map { $0(spelling) } ?? spelling)
            } else {
                finder.add(token, spelling: spelling)
            }
        }
        self.finder = finder
        self.normalizedFinder = normalizedFinder
        self.tokens = tokens
        addedTokens = added
        special = Dictionary(added.filter(\.isSpecial).map { ($0.id, $0) }) { first, _ in first }
        vocabularySize = tokens.spellings.count
        var files = companions
        files[TokenizerForm.huggingFace.fileName] = data
        self.files = files
    }

    private static func optional<Part>(
        _ root: JSONField,
        _ name: String,
        _ read: (JSONField) throws(TokenizerError) -> Part
    ) throws(TokenizerError) -> Part? {
        guard let field = try root.optional(name) else { return nil }
        return try read(field)
    }

    /// The file's post-processor, where `add_bos_token` and `add_eos_token` do not overrule it.
    private static func processor(
        _ root: JSONField,
        tokens: TokenTable,
        settings: TokenizerSettings
    ) throws(TokenizerError) -> PostProcessor {
        var processor = PostProcessor()
        if let field = try root.optional("post_processor") { processor = try PostProcessor(field, tokens: tokens) }
        func ids(_ name: String?) -> [Int] {
            name.flatMap { tokens.id(Array($0.utf8)[...]) }.map { [Int($0)] } ?? []
        }
        let (bos, eos) = (ids(settings.bos), ids(settings.eos))
        if let adds = settings.addsBOS {
            processor.prefix.removeAll { bos.contains($0) }
            if adds { processor.prefix = bos + processor.prefix }
        }
        if let adds = settings.addsEOS {
            processor.suffix.removeAll { eos.contains($0) }
            if adds { processor.suffix += eos }
        }
        return processor
    }

    // MARK: Encoding

    /// A part of a text after the added tokens were found.
    private enum Part {
        /// A normalized text, and whether the whole input begins with it.
        case text(ArraySlice<UInt8>, isFirst: Bool)
        /// A token and the bytes that it was found as.
        case token(Int, ArraySlice<UInt8>)
    }

    /// Turns a text into ids; names of added tokens stand for their ids.
    ///
    /// - Throws: ``TokenizerError`` of kind `processing` when the text is too long or the vocabulary lacks a byte.
    public func encode(_ text: String, addBOS: Bool) throws(TokenizerError) -> [Int] {
        var ids = addBOS ? bosID.map { [$0] } ?? [] : []
        var workspace = BytePairModel.Workspace()
        for part in try parts(of: Array(text.utf8)[...], isFirst: true, findsSpecial: true) {
            try encode(part, into: &ids, &workspace)
        }
        return ids
    }

    /// Turns a text into ids, with what the post-processor puts around it.
    ///
    /// - Throws: ``TokenizerError`` of kind `processing` when the text is too long or the vocabulary lacks a byte.
    public func encodeSequence(_ text: String) throws(TokenizerError) -> [Int] {
        postProcessor.prefix + (try encode(text, addBOS: false)) + postProcessor.suffix
    }

    /// Turns segments into ids; added tokens that are not special (`special` off) are found in text too.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when a special token's id is outside the vocabulary, of kind
    ///   `processing` when the text is too long or the vocabulary lacks a byte.
    public func encode(_ segments: [TextSegment]) throws(TokenizerError) -> [Int] {
        var ids: [Int] = []
        var workspace = BytePairModel.Workspace()
        let joined = segments.joiningTexts()
        for (index, segment) in joined.enumerated() {
            switch segment {
            case .special(let id):
                _ = try token(id)
                ids.append(id)
            case .text(let text):
                var bytes = Array(text.utf8)[...]
                // Special tokens take the white space beside them as they would in the joined text.
                if index > 0, case .special(let id) = joined[index - 1], special[id]?.stripsRight == true {
                    bytes = bytes.dropFirst(TextEdge.leadingSpace(bytes))
                }
                if index + 1 < joined.count, case .special(let id) = joined[index + 1], special[id]?.stripsLeft == true
                {
                    bytes = bytes.dropLast(TextEdge.trailingSpace(bytes))
                }
                for part in try parts(of: bytes, isFirst: index == 0, findsSpecial: false) {
                    try encode(part, into: &ids, &workspace)
                }
            }
        }
        return ids
    }

    private func parts(
        of text: ArraySlice<UInt8>,
        isFirst: Bool,
        findsSpecial: Bool
    ) throws(TokenizerError) -> [Part] {
        guard text.count <= HuggingFaceTokenizer.maximumTextSize else {
            let limit = HuggingFaceTokenizer.maximumTextSize
            throw TokenizerError(.processing, "a text of \(text.count) bytes, expected at most \(limit)")
        }
        var parts: [Part] = []
        for outer in finder.parts(of: text, findsSpecial: findsSpecial) {
            guard case .text(let raw) = outer else {
                if case .token(let token, let found) = outer { parts.append(.token(token.id, found)) }
                continue
            }
            let beginsInput = isFirst && parts.isEmpty
            let normalized = normalizer.map { $0(raw) } ?? raw
            for inner in normalizedFinder.parts(of: normalized, findsSpecial: findsSpecial) {
                switch inner {
                case .text(let text):
                    parts.append(.text(text, isFirst: beginsInput && text.startIndex == normalized.startIndex))
                case .token(let token, let found): parts.append(.token(token.id, found))
                }
            }
        }
        return parts
    }

    private func encode(
        _ part: Part,
        into ids: inout [Int],
        _ workspace: inout BytePairModel.Workspace
    ) throws(TokenizerError) {
        switch part {
        case .token(let id, _): ids.append(id)
        case .text(let text, let isFirst):
            for word in preTokenizer.words(of: text, isFirst: isFirst) {
                try model.encode(word, into: &ids, &workspace)
            }
        }
    }

    /// The words that a text is split into before bytes are merged, as the vocabulary spells them.
    ///
    /// Added tokens are not looked for.
    public func preTokens(of text: String) -> [String] {
        let bytes = Array(text.utf8)[...]
        return preTokenizer.words(of: normalizer.map { $0(bytes) } ?? bytes, isFirst: true).map { word in
            let spelling = preTokenizer.isByteLevel ? ByteLevelAlphabet.spelling(of: word)[...] : word
            return String(decoding: spelling, as: UTF8.self)
        }
    }

    /// The tokens of a text as the vocabulary spells them; added tokens as they were found, with their white space.
    ///
    /// - Throws: ``TokenizerError`` of kind `processing` when the text is too long or the vocabulary lacks a byte.
    public func tokens(of text: String) throws(TokenizerError) -> [String] {
        var result: [String] = []
        for part in try parts(of: Array(text.utf8)[...], isFirst: true, findsSpecial: true) {
            if case .token(_, let found) = part {
                result.append(String(decoding: found, as: UTF8.self))
                continue
            }
            var ids: [Int] = []
            var workspace = BytePairModel.Workspace()
            try encode(part, into: &ids, &workspace)
            for id in ids { result.append(try token(id)) }
        }
        return result
    }

    // MARK: Tokens

    /// The id of a token as the vocabulary spells it (a space is `Ġ` in a byte-level one).
    public func id(ofToken token: String) -> Int? { tokens.id(Array(token.utf8)[...]).map(Int.init) }

    /// The spelling of a token.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when no token has the id.
    public func token(_ id: Int) throws(TokenizerError) -> String {
        guard tokens.spellings.indices.contains(id), let spelling = tokens.spellings[id] else {
            throw TokenizerError(.unknownID, "\(id), expected one of 0..<\(vocabularySize)")
        }
        return String(decoding: spelling, as: UTF8.self)
    }

    /// Whether an id is left out of decoded text: special added tokens and the pad token.
    public func isSpecial(_ id: Int) -> Bool { special[id] != nil || id == padID }

    /// Turns ids into text.
    ///
    /// Ids in `0..<vocabularySize` that no token has are left out.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when an id is outside the vocabulary.
    public func decode(_ ids: [Int], skippingSpecialTokens: Bool) throws(TokenizerError) -> String {
        var spellings: [ArraySlice<UInt8>] = []
        spellings.reserveCapacity(ids.count)
        for id in ids {
            guard tokens.spellings.indices.contains(id) else {
                throw TokenizerError(.unknownID, "\(id), expected one of 0..<\(vocabularySize)")
            }
            if skippingSpecialTokens, isSpecial(id) { continue }
            if let spelling = tokens.spellings[id] { spellings.append(spelling) }
        }
        return decoder(spellings)
    }
}

extension [TextSegment] {
    /// The segments with neighbouring texts joined and empty ones left out.
    func joiningTexts() -> [TextSegment] {
        var result: [TextSegment] = []
        for segment in self {
            if case .text(let text) = segment {
                if text.isEmpty { continue }
                if case .text(let previous) = result.last {
                    result[result.count - 1] = .text(previous + text)
                    continue
                }
            }
            result.append(segment)
        }
        return result
    }
}
