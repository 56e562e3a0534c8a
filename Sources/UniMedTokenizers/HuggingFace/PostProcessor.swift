/// What is put around the ids of a text (the `post_processor` of `tokenizer.json`).
struct PostProcessor: Sendable, Equatable {
    /// Ids in front of the text.
    var prefix: [Int] = []
    /// Ids after the text.
    var suffix: [Int] = []

    /// Nothing.
    init() {}

    /// Reads a post-processor; its `type` selects the form.
    ///
    /// - Parameter tokens: The vocabulary, with which the ids of a template must agree.
    init(_ field: JSONField, tokens: TokenTable) throws(TokenizerError) {
        let type = try field.required("type")
        switch try type.string() {
        case "ByteLevel": break  // Concerns offsets only.
        case "Sequence":
            for part in try field.required("processors").elements() {
                let inner = try PostProcessor(part, tokens: tokens)
                prefix = inner.prefix + prefix
                suffix += inner.suffix
            }
        case "TemplateProcessing":
            try setTemplate(field, tokens: tokens)
        case "RobertaProcessing", "BertProcessing":
            prefix = [try PostProcessor.pair(field.required("cls"), tokens: tokens)]
            suffix = [try PostProcessor.pair(field.required("sep"), tokens: tokens)]
        case let name:
            throw type.error(
                .unsupported,
                "'\(name)', expected Sequence, ByteLevel, TemplateProcessing, RobertaProcessing or BertProcessing"
            )
        }
    }

    /// The id of a token that is written as its name and id.
    private static func pair(_ field: JSONField, tokens: TokenTable) throws(TokenizerError) -> Int {
        let parts = try field.elements()
        guard parts.count == 2 else { throw field.error(.invalidFile, "expected a token and its id") }
        let id = try parts[1].tokenID()
        guard let known = tokens.id(try parts[0].bytes()), known == id else {
            throw field.error(.invalidFile, "'\(try parts[0].string())' does not have the id \(id)")
        }
        return id
    }

    private mutating func setTemplate(_ field: JSONField, tokens: TokenTable) throws(TokenizerError) {
        var ids: [ByteString: [Int]] = [:]
        if let special = try field.optional("special_tokens") {
            for (name, value) in try special.members() {
                let place = "\(special.path)['\(String(decoding: name.prefix(40), as: UTF8.self))']"
                var list: [Int] = []
                for id in try JSONField(value, path: place).required("ids").elements() {
                    let token = try id.tokenID()
                    guard token < tokens.spellings.count, tokens.spellings[token] != nil else {
                        throw id.error(.invalidFile, "no token has the id \(token)")
                    }
                    list.append(token)
                }
                ids[ByteString(name)] = list
            }
        }
        var isAfterText = false
        for part in try field.required("single").elements() {
            if try part.optional("Sequence") != nil {
                guard !isAfterText else { throw part.error(.unsupported, "the text is there twice") }
                isAfterText = true
            } else {
                let id = try part.required("SpecialToken").required("id")
                guard let list = ids[ByteString(try id.bytes())] else {
                    throw id.error(.invalidFile, "'\(try id.string())' is not in special_tokens")
                }
                if isAfterText { suffix += list } else { prefix += list }
            }
        }
        guard isAfterText else { throw field.error(.invalidFile, "single has no place for the text") }
    }
}
