public import Foundation

/// The tokenizer of Llama models, as the published Uni-Med code uses it (transformers 4.30, the slow tokenizer).
///
/// Where it differs from the SentencePiece library alone:
/// - `<s>`, `</s>` and `<unk>` in a text stand for their ids. The text between them is tokenized piece by piece, and
///   every such piece begins with the dummy prefix again (`<s>[INST]` begins with 1, 518; newer versions with
///   `legacy=false` give 1, 29961).
/// - Decoding cuts the ids at special tokens and decodes the runs between them on their own; a run that is followed by
///   a special token gets a space in front. Without the special tokens, all is one run.
/// - The pad token is an ordinary piece (`$$` in the published code, id 3997 of Llama 2), so text that contains it is
///   tokenized as any other text. It is special in decoding only.
public struct LlamaTokenizer: Tokenizer {
    /// The SentencePiece model.
    public let model: SentencePieceTokenizer

    /// The id that begins a sequence.
    public let bosID: Int

    /// The id that ends a sequence.
    public let eosID: Int

    /// The id that fills rows of a batch.
    public let padID: Int

    /// The id of the unknown piece.
    public var unknownID: Int { model.unknownID }

    /// The number of ids.
    public var vocabularySize: Int { model.vocabularySize }

    private let specialNames: [Int: String]
    private let splittingNames: [(name: [UInt8], id: Int)]

    /// The pad piece of the published code, `$$`.
    public static let publishedPadPiece = "$$"

    /// Wraps a SentencePiece model.
    ///
    /// - Parameters:
    ///   - model: A model with a beginning and an end piece.
    ///   - padPiece: The piece that serves as pad token. `nil` takes the model's own pad piece, or else the unknown
    ///     piece, as is usual for Llama models without a pad token.
    /// - Throws: ``TokenizerError`` of kind `missingPiece` when the model lacks one of the pieces.
    public init(model: SentencePieceTokenizer, padPiece: String? = publishedPadPiece) throws(TokenizerError) {
        guard let bosID = model.bosID, let eosID = model.eosID else {
            throw TokenizerError(.missingPiece, "it has no pieces that begin and end a sequence")
        }
        self.model = model
        self.bosID = bosID
        self.eosID = eosID
        if let padPiece {
            guard let id = model.id(ofPiece: padPiece) else {
                throw TokenizerError(.missingPiece, "the pad piece '\(padPiece)' is not in the vocabulary")
            }
            padID = id
        } else {
            padID = model.padID ?? model.unknownID
        }
        var names: [Int: String] = [:]
        for id in [bosID, eosID, model.unknownID, padID] { names[id] = try model.piece(id) }
        specialNames = names
        splittingNames = [bosID, eosID, model.unknownID].compactMap { id in
            names[id].map { (name: Array($0.utf8), id: id) }
        }
    }

    /// Loads a model file (usually called `tokenizer.model`).
    ///
    /// - Throws: ``TokenizerError``, which names the file.
    public init(contentsOf file: URL, padPiece: String? = publishedPadPiece) throws(TokenizerError) {
        let model = try SentencePieceTokenizer(contentsOf: file)
        do {
            try self.init(model: model, padPiece: padPiece)
        } catch {
            throw TokenizerError(error.kind, file: file.path, error.detail)
        }
    }

    /// The ids that are left out of decoded text: beginning, end, unknown and pad.
    public var specialIDs: Set<Int> { Set(specialNames.keys) }

    /// Turns a text into ids; `<s>`, `</s>` and `<unk>` stand for their ids.
    ///
    /// - Throws: ``TokenizerError`` of kind `processing` when the library fails.
    public func encode(_ text: String, addBOS: Bool) throws(TokenizerError) -> [Int] {
        var ids = addBOS ? [bosID] : []
        var run = 0
        let bytes = Array(text.utf8)
        var position = 0
        func endRun() throws(TokenizerError) {
            if run < position {
                ids += try model.encode(String(decoding: bytes[run..<position], as: UTF8.self))
            }
        }
        while position < bytes.count {
            let byte = bytes[position]
            let special = splittingNames.first { $0.name.first == byte && bytes[position...].starts(with: $0.name) }
            guard let special else {
                position += 1
                continue
            }
            try endRun()
            ids.append(special.id)
            position += special.name.count
            run = position
        }
        try endRun()
        return ids
    }

    /// Turns ids into text, as transformers 4.30 does.
    ///
    /// - Parameters:
    ///   - ids: Ids in `0..<vocabularySize`.
    ///   - skippingSpecialTokens: Whether ``specialIDs`` are left out.
    /// - Returns: The text; bytes that are not UTF-8 become U+FFFD.
    /// - Throws: ``TokenizerError`` of kind `unknownID` when an id is outside the vocabulary.
    public func decode(_ ids: [Int], skippingSpecialTokens: Bool) throws(TokenizerError) -> String {
        if skippingSpecialTokens {
            return try model.decode(ids.lazy.filter { specialNames[$0] == nil })
        }
        var text = ""
        var run: [Int] = []
        var previousIsSpecial = false
        for (index, id) in ids.enumerated() {
            if let name = specialNames[id] {
                if !previousIsSpecial, index > 0 { text += " " }
                text += try model.decode(run) + name
                run.removeAll()
            } else {
                run.append(id)
            }
            previousIsSpecial = specialNames[id] != nil
        }
        return text + (try model.decode(run))
    }
}
