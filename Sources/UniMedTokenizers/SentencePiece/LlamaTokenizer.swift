public import Foundation

/// The tokenizer of Llama models on a SentencePiece model, by default as the published Uni-Med code uses it.
///
/// Where it differs from the SentencePiece library alone (``Behavior/published``, transformers 4.30, the slow tokenizer):
/// - `<s>`, `</s>` and `<unk>` in a text stand for their ids. The text between them is tokenized piece by piece, and
///   every such piece begins with the dummy prefix again (`<s>[INST]` begins with 1, 518; newer versions with
///   `legacy=false` give 1, 29961).
/// - Decoding cuts the ids at special tokens and decodes the runs between them on their own; a run that is followed by
///   a special token gets a space in front. Without the special tokens, all is one run.
/// - The pad token is an ordinary piece (`$$` in the published code, id 3997 of Llama 2), so text that contains it is
///   tokenized as any other text. It is special in decoding only.
public struct LlamaTokenizer: CheckpointTokenizer {
    /// Whose ids and spaces it gives.
    public enum Behavior: String, CaseIterable, Sendable {
        /// Transformers 4.30, the version of the published code.
        case published
        /// Transformers 4.44 with `legacy` on: the same ids; decoding takes a leading space off the first piece.
        case legacy
        /// Transformers 4.44 with `legacy` off: the dummy prefix comes once, in front of the whole text.
        case nonlegacy
    }

    /// The SentencePiece model.
    public let model: SentencePieceTokenizer

    /// Whose ids and spaces it gives.
    public let behavior: Behavior

    /// The id that begins a sequence.
    public var bosID: Int? { begin }

    /// The id that ends a sequence.
    public let eosID: Int

    /// Every id that ends an answer, ``eosID`` first.
    public let eosIDs: [Int]

    /// The id that fills rows of a batch.
    public let padID: Int

    /// The id of the unknown piece.
    public var unknownID: Int { model.unknownID }

    /// The number of ids: the pieces and what was added to them.
    public let vocabularySize: Int

    /// The files that make this tokenizer again.
    public let files: [String: Data]

    private let begin: Int
    private let addsBOS: Bool
    private let addsEOS: Bool
    private let specialNames: [Int: String]
    private let added: [Int: AddedToken]
    private let finder: AddedTokenFinder
    /// The model without its dummy prefix, where the behavior needs it.
    private let bare: SentencePieceTokenizer?
    /// How many pieces the unknown piece's name has as a text.
    private let unknownLength: Int

    /// The pad piece of the published code, `$$`.
    public static let publishedPadPiece = "$$"

    /// Wraps a SentencePiece model.
    ///
    /// - Parameters:
    ///   - model: A model with a beginning and an end piece.
    ///   - padPiece: The piece that serves as pad token. `nil` takes the model's own pad piece, or else the unknown
    ///     piece, as is usual for Llama models without a pad token.
    ///   - behavior: Whose ids and spaces it gives.
    /// - Throws: ``TokenizerError`` of kind `missingPiece` when the model lacks one of the pieces.
    public init(
        model: SentencePieceTokenizer,
        padPiece: String? = publishedPadPiece,
        behavior: Behavior = .published
    ) throws(TokenizerError) {
        try self.init(
            model: model,
            settings: TokenizerSettings(pad: padPiece),
            behavior: behavior,
            companions: [:]
        )
    }

    /// Loads a model file (usually called `tokenizer.model`).
    ///
    /// - Throws: ``TokenizerError``, which names the file.
    public init(
        contentsOf file: URL,
        padPiece: String? = publishedPadPiece,
        behavior: Behavior = .published
    ) throws(TokenizerError) {
        let model = try SentencePieceTokenizer(contentsOf: file)
        do {
            try self.init(model: model, padPiece: padPiece, behavior: behavior)
        } catch {
            throw TokenizerError(error.kind, file: file.path, error.detail)
        }
    }

    /// Wraps a model with what the files beside it say.
    init(
        model: SentencePieceTokenizer,
        settings: TokenizerSettings,
        convention: TokenizerConvention,
        companions: [String: Data]
    ) throws(TokenizerError) {
        var settings = settings
        switch convention {
        case .published:
            let hasPad = model.id(ofPiece: LlamaTokenizer.publishedPadPiece) != nil
            if hasPad { settings.pad = LlamaTokenizer.publishedPadPiece }
            try self.init(model: model, settings: settings, behavior: .published, companions: companions)
        case .configured:
            let behavior: Behavior = settings.isLegacy == false ? .nonlegacy : .legacy
            try self.init(model: model, settings: settings, behavior: behavior, companions: companions)
        }
    }

    private init(
        model: SentencePieceTokenizer,
        settings: TokenizerSettings,
        behavior: Behavior,
        companions: [String: Data]
    ) throws(TokenizerError) {
        var addedByName: [ByteString: Int] = [:]
        var added: [Int: AddedToken] = [:]
        var size = model.vocabularySize
        for token in settings.addedTokens {
            if token.id < model.vocabularySize {
                guard try model.piece(token.id) == token.content else {
                    throw TokenizerError(
                        .invalidFile,
                        "added_tokens_decoder['\(token.id)']: the model's piece \(token.id) has another name"
                    )
                }
            } else {
                guard token.id < model.vocabularySize + settings.addedTokens.count else {
                    throw TokenizerError(
                        .invalidFile,
                        "added_tokens_decoder['\(token.id)']: the ids before it are not all there"
                    )
                }
                size = max(size, token.id + 1)
            }
            guard added.updateValue(token, forKey: token.id) == nil,
                addedByName.updateValue(token.id, forKey: ByteString(token.content)) == nil
            else {
                throw TokenizerError(.invalidFile, "added_tokens_decoder['\(token.id)']: it is there twice")
            }
        }
        func id(_ name: String) -> Int? { addedByName[ByteString(name)] ?? model.id(ofPiece: name) }
        func required(_ name: String?, _ field: String, _ other: Int?) throws(TokenizerError) -> Int? {
            guard let name else { return other }
            guard let id = id(name) else {
                throw TokenizerError(.missingPiece, "the \(field) piece '\(name)' is not in the vocabulary")
            }
            return id
        }
        guard let begin = try required(settings.bos, "bos", model.bosID),
            let end = try required(settings.eos, "eos", model.eosID)
        else {
            throw TokenizerError(.missingPiece, "it has no pieces that begin and end a sequence")
        }
        var ends = [end]
        for id in settings.eosIDs where !ends.contains(id) {
            guard id < size else { throw TokenizerError(.missingPiece, "eos_token_id: no token has the id \(id)") }
            ends.append(id)
        }
        let pad = try required(settings.pad, "pad", model.padID) ?? model.unknownID

        func name(_ id: Int) throws(TokenizerError) -> String {
            if let token = added[id] { return token.content }
            return try model.piece(id)
        }
        var names: [Int: String] = [:]
        for id in [begin, end, model.unknownID, pad] { names[id] = try name(id) }
        for token in added.values where token.isSpecial { names[token.id] = token.content }
        var finder = AddedTokenFinder()
        for id in Set([begin, end, model.unknownID]).union(added.keys) {
            let content = try name(id)
            finder.add(added[id] ?? AddedToken(id: id, content: content), spelling: content.utf8)
        }
        self.model = model
        self.behavior = behavior
        self.begin = begin
        eosID = end
        eosIDs = ends
        padID = pad
        vocabularySize = size
        specialNames = names
        addsBOS = settings.addsBOS ?? true
        addsEOS = settings.addsEOS ?? false
        self.added = added.filter { $0.key >= model.vocabularySize }
        self.finder = finder
        bare = behavior == .published ? nil : try model.withoutDummyPrefix()
        unknownLength = try bare?.encode(model.piece(model.unknownID)).count ?? 0
        var files = companions
        files[TokenizerForm.sentencePiece.fileName] = model.serializedModel
        self.files = files
    }

    /// The ids that are left out of decoded text: beginning, end, unknown and pad, and special tokens that were added.
    public var specialIDs: Set<Int> { Set(specialNames.keys) }

    /// Whether an id is left out of decoded text.
    public func isSpecial(_ id: Int) -> Bool { specialNames[id] != nil }

    /// The id of a piece or of an added token.
    public func id(ofToken token: String) -> Int? {
        added.values.first { $0.content.utf8.elementsEqual(token.utf8) }?.id ?? model.id(ofPiece: token)
    }

    /// The name of a piece, with U+2581 for a space, or of an added token.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when the id is outside the vocabulary.
    public func token(_ id: Int) throws(TokenizerError) -> String {
        if let token = added[id] { return token.content }
        return try model.piece(id)
    }

    // MARK: Encoding

    /// Turns a text into ids; `<s>`, `</s>`, `<unk>` and added tokens stand for their ids.
    ///
    /// - Throws: ``TokenizerError`` of kind `processing` when the library fails.
    public func encode(_ text: String, addBOS: Bool) throws(TokenizerError) -> [Int] {
        (addBOS ? [begin] : []) + (try encode([text], findsSpecial: true))
    }

    /// Turns a text into ids between the ids of a sequence, as `add_bos_token` and `add_eos_token` say.
    ///
    /// - Throws: ``TokenizerError`` of kind `processing` when the library fails.
    public func encodeSequence(_ text: String) throws(TokenizerError) -> [Int] {
        (try encode(text, addBOS: addsBOS)) + (addsEOS ? [eosID] : [])
    }

    /// Turns segments into ids.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when a special token's id is outside the vocabulary.
    public func encode(_ segments: [TextSegment]) throws(TokenizerError) -> [Int] {
        var ids: [Int] = []
        for (index, segment) in segments.joiningTexts().enumerated() {
            switch segment {
            case .special(let id):
                _ = try token(id)
                ids.append(id)
            case .text(let text): ids += try encode([text], findsSpecial: false, isFirst: index == 0)
            }
        }
        return ids
    }

    private func encode(
        _ texts: [String],
        findsSpecial: Bool,
        isFirst: Bool = true
    ) throws(TokenizerError) -> [Int] {
        var ids: [Int] = []
        for text in texts {
            for (index, part) in finder.parts(of: Array(text.utf8)[...], findsSpecial: findsSpecial).enumerated() {
                switch part {
                case .token(let token, _): ids.append(token.id)
                case .text(let bytes):
                    let run = String(decoding: bytes, as: UTF8.self)
                    ids += try encodeRun(run, isFirst: isFirst && index == 0)
                }
            }
        }
        return ids
    }

    /// Turns a text without special tokens into ids.
    private func encodeRun(_ run: String, isFirst: Bool) throws(TokenizerError) -> [Int] {
        guard behavior == .nonlegacy, let bare else { return try model.encode(run) }
        var scalars = String.UnicodeScalarView()
        if isFirst { scalars.append("\u{2581}") }
        scalars.append(contentsOf: run.unicodeScalars.lazy.map { $0 == "\u{2581}" ? " " : $0 })
        let text = String(scalars)
        guard let first = scalars.first, first == " " || first == "\u{2581}" else { return try bare.encode(text) }
        // Behind the unknown piece's name, spaces at the beginning stay as they are.
        let ids = try bare.encode(model.piece(unknownID) + text)
        return Array(ids.dropFirst(ids.count >= unknownLength ? unknownLength : 0))
    }

    // MARK: Decoding

    /// Turns ids into text, as ``behavior`` says.
    ///
    /// - Parameters:
    ///   - ids: Ids in `0..<vocabularySize`.
    ///   - skippingSpecialTokens: Whether ``specialIDs`` are left out.
    /// - Returns: The text; bytes that are not UTF-8 become U+FFFD.
    /// - Throws: ``TokenizerError`` of kind `unknownID` when an id is outside the vocabulary.
    public func decode(_ ids: [Int], skippingSpecialTokens: Bool) throws(TokenizerError) -> String {
        let ids = skippingSpecialTokens ? ids.filter { specialNames[$0] == nil } : ids
        var text = ""
        var run: [Int] = []
        var isFirstRun = true
        var previousIsSpecial = false
        func endRun() throws(TokenizerError) {
            text += try decodeRun(run, isFirst: isFirstRun)
            run.removeAll()
        }
        for (index, id) in ids.enumerated() {
            if let name = specialNames[id] ?? added[id]?.content {
                if !previousIsSpecial, index > 0, behavior != .nonlegacy { text += " " }
                try endRun()
                isFirstRun = false
                text += name
                previousIsSpecial = true
            } else {
                if previousIsSpecial, index == 1, behavior != .published, !(try beginsWithSpace(id)) { text += " " }
                run.append(id)
                previousIsSpecial = false
            }
        }
        try endRun()
        return text
    }

    private func beginsWithSpace(_ id: Int) throws(TokenizerError) -> Bool {
        try model.piece(id).unicodeScalars.first == "\u{2581}"
    }

    /// The text of ids without special tokens; newer versions first take the space off the first piece of all.
    private func decodeRun(_ run: [Int], isFirst: Bool) throws(TokenizerError) -> String {
        guard let bare else { return try model.decode(run) }
        let model = behavior == .nonlegacy ? bare : model
        guard isFirst, let first = run.first, try beginsWithSpace(first) else { return try model.decode(run) }
        let shortened = String(try model.piece(first).unicodeScalars.dropFirst())
        if shortened.isEmpty { return try model.decode(run.dropFirst()) }
        if let id = model.id(ofPiece: shortened) { return try model.decode([id] + run.dropFirst()) }
        return shortened + (try bare.decode(run.dropFirst()))
    }
}
