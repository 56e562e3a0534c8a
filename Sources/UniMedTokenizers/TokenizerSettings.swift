public import Foundation

/// What the small files beside a vocabulary say about its special tokens.
///
/// `tokenizer_config.json` first, then `special_tokens_map.json`; `generation_config.json` may name further ids that
/// end an answer. Only what concerns tokens is read, and nothing is executed: chat templates are
/// ``ChatTemplateForm``'s, not the file's. `clean_up_tokenization_spaces` is not read either: decoding never changes
/// spaces.
public struct TokenizerSettings: Sendable, Equatable {
    /// The token that begins a sequence; `nil` where the files name none.
    public var bos: String?
    /// The token that ends a sequence.
    public var eos: String?
    /// The token that fills rows of a batch.
    public var pad: String?
    /// The token for what the vocabulary lacks.
    public var unknown: String?
    /// Ids that end an answer, beside ``eos``.
    public var eosIDs: [Int]
    /// Whether a sequence begins with ``bos``; `nil` leaves it to the vocabulary's file.
    public var addsBOS: Bool?
    /// Whether a sequence ends with ``eos``; `nil` leaves it to the vocabulary's file.
    public var addsEOS: Bool?
    /// The `legacy` of Llama's SentencePiece tokenizer, see ``LlamaTokenizer/Behavior``.
    public var isLegacy: Bool?
    /// The tokens of `added_tokens_decoder`.
    public var addedTokens: [AddedToken]

    /// The names of the files, in the order in which they are read.
    public static let fileNames = ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"]

    /// Makes settings by hand.
    public init(
        bos: String? = nil,
        eos: String? = nil,
        pad: String? = nil,
        unknown: String? = nil,
        eosIDs: [Int] = [],
        addsBOS: Bool? = nil,
        addsEOS: Bool? = nil,
        isLegacy: Bool? = nil,
        addedTokens: [AddedToken] = []
    ) {
        self.bos = bos
        self.eos = eos
        self.pad = pad
        self.unknown = unknown
        self.eosIDs = eosIDs
        self.addsBOS = addsBOS
        self.addsEOS = addsEOS
        self.isLegacy = isLegacy
        self.addedTokens = addedTokens
    }

    /// Reads settings from the files' contents.
    ///
    /// - Throws: ``TokenizerError`` of kind `invalidFile` that names the file and the field.
    public init(
        tokenizerConfiguration: Data?,
        specialTokensMap: Data? = nil,
        generationConfiguration: Data? = nil
    ) throws(TokenizerError) {
        self.init()
        let contents = [tokenizerConfiguration, specialTokensMap, generationConfiguration]
        for (name, data) in zip(TokenizerSettings.fileNames, contents) {
            guard let data else { continue }
            do throws(TokenizerError) {
                let root = JSONField(try JSONValue(parsing: data))
                if name == "generation_config.json" { try readGeneration(root) } else { try readTokens(root) }
            } catch {
                throw TokenizerError(error.kind, file: name, error.detail)
            }
        }
    }

    /// Reads settings from the files of a folder; those that are not there are left out.
    ///
    /// - Throws: ``TokenizerError`` that names the file and the field.
    public init(folder: URL) throws(TokenizerError) {
        do throws(TokenizerError) {
            let contents = try TokenizerSettings.files(in: folder)
            try self.init(
                tokenizerConfiguration: contents["tokenizer_config.json"],
                specialTokensMap: contents["special_tokens_map.json"],
                generationConfiguration: contents["generation_config.json"]
            )
        } catch {
            guard let name = error.file, !name.contains("/") else { throw error }
            throw TokenizerError(error.kind, file: folder.appending(path: name).path, error.detail)
        }
    }

    /// The files of a folder that settings are read from, by name.
    static func files(in folder: URL) throws(TokenizerError) -> [String: Data] {
        var contents: [String: Data] = [:]
        for name in fileNames {
            let file = folder.appending(path: name)
            guard FileManager.default.fileExists(atPath: file.path) else { continue }
            contents[name] = try TokenizerFile.read(file)
        }
        return contents
    }

    private mutating func readTokens(_ root: JSONField) throws(TokenizerError) {
        // The first file that says something is right.
        if bos == nil { bos = try TokenizerSettings.token(root.optional("bos_token")) }
        if eos == nil { eos = try TokenizerSettings.token(root.optional("eos_token")) }
        if pad == nil { pad = try TokenizerSettings.token(root.optional("pad_token")) }
        if unknown == nil { unknown = try TokenizerSettings.token(root.optional("unk_token")) }
        if addsBOS == nil { addsBOS = try root.optional("add_bos_token")?.bool() }
        if addsEOS == nil { addsEOS = try root.optional("add_eos_token")?.bool() }
        if isLegacy == nil { isLegacy = try root.optional("legacy")?.bool() }
        if let added = try root.optional("added_tokens_decoder") {
            for (name, value) in try added.members() {
                let text = String(decoding: name.prefix(40), as: UTF8.self)
                let field = JSONField(value, path: "\(added.path)['\(text)']")
                guard let id = Int(text), (0..<TokenTable.maximumCount).contains(id) else {
                    throw field.error(.invalidFile, "expected an id in 0..<\(TokenTable.maximumCount)")
                }
                addedTokens.append(try AddedToken(field, id: id))
            }
        }
    }

    /// A token's name: a string, or an object with its `content`.
    private static func token(_ field: JSONField?) throws(TokenizerError) -> String? {
        guard let field else { return nil }
        if case .object = field.value { return try field.required("content").string() }
        return try field.string()
    }

    private mutating func readGeneration(_ root: JSONField) throws(TokenizerError) {
        guard let field = try root.optional("eos_token_id") else { return }
        if case .array = field.value {
            for id in try field.elements() { eosIDs.append(try id.tokenID()) }
        } else {
            eosIDs = [try field.tokenID()]
        }
    }
}
