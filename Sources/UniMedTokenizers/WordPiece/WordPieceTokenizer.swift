public import Foundation

/// The tokenizer of BERT: words and marks are split first, then each is cut into the longest known pieces.
///
/// The same ids as the transformers library's `BertTokenizer`, of a `vocab.txt` or of a `tokenizer.json` with the model
/// `WordPiece`. Names of special tokens (`[SEP]`) in a text stand for their ids, as there.
public struct WordPieceTokenizer: Sendable {
    /// How a text is prepared before words are cut into pieces.
    public struct Options: Sendable, Equatable {
        /// Whether texts are put into lower case; default: `true`.
        public var lowercases: Bool
        /// Whether accents are removed; `nil`, the default, does so where letters are put into lower case.
        public var stripsAccents: Bool?
        /// Whether every Chinese character is a word; default: `true`.
        public var splitsChineseCharacters: Bool
        /// The longest word in code points that is cut into pieces; longer ones are unknown.
        ///
        /// Default: 100.
        public var maximumWordLength: Int

        /// Makes options.
        public init(
            lowercases: Bool = true,
            stripsAccents: Bool? = nil,
            splitsChineseCharacters: Bool = true,
            maximumWordLength: Int = 100
        ) {
            self.lowercases = lowercases
            self.stripsAccents = stripsAccents
            self.splitsChineseCharacters = splitsChineseCharacters
            self.maximumWordLength = maximumWordLength
        }
    }

    /// How texts are prepared.
    public let options: Options
    /// The id in front of a sequence (`[CLS]`).
    public let beginID: Int
    /// The id after a sequence (`[SEP]`).
    public let separatorID: Int
    /// The id that fills rows of a batch (`[PAD]`).
    public let padID: Int
    /// The id of a word without pieces (`[UNK]`).
    public let unknownID: Int
    /// The longest sequence of the model, special tokens included, where the folder says so (`model_max_length`).
    public let maximumLength: Int?
    /// The number of ids: one more than the greatest.
    public let vocabularySize: Int

    /// The spelling of every id; `nil` where no token has the id.
    private let spellings: [ArraySlice<UInt8>?]
    /// Pieces that begin a word.
    private let beginnings: [ByteString: Int]
    /// Pieces that continue a word, without their `##`.
    private let continuations: [ByteString: Int]
    private let special: [(name: [UInt8], id: Int)]
    /// The longest piece in bytes.
    private let longestPiece: Int

    private static let continuationMark = Array("##".utf8)
    private static let specialNames = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]

    /// Reads the tokenizer of a model's folder: `vocab.txt`, or else `tokenizer.json`; the options are those of its
    /// `tokenizer_config.json`.
    ///
    /// - Throws: ``TokenizerError`` that names the file and the field.
    public init(folder: URL) throws(TokenizerError) {
        let manager = FileManager.default
        for name in ["vocab.txt", "tokenizer.json"] {
            let file = folder.appending(path: name)
            guard manager.fileExists(atPath: file.path) else { continue }
            self = try WordPieceTokenizer(contentsOf: file)
            return
        }
        throw TokenizerError(.unreadableFile, file: folder.path, "there is no vocab.txt or tokenizer.json in it")
    }

    /// Reads a `vocab.txt` or a `tokenizer.json`; the options of a `vocab.txt` are those of the folder's
    /// `tokenizer_config.json`.
    ///
    /// - Throws: ``TokenizerError`` that names the file and the field.
    public init(contentsOf file: URL) throws(TokenizerError) {
        let data = try TokenizerFile.read(file)
        let companion = file.deletingLastPathComponent().appending(path: "tokenizer_config.json")
        var settings = Settings()
        if FileManager.default.fileExists(atPath: companion.path) {
            let configuration = try TokenizerFile.read(companion)
            do throws(TokenizerError) {
                settings = try Settings(JSONField(JSONValue(parsing: configuration)))
            } catch {
                throw TokenizerError(error.kind, file: companion.path, error.detail)
            }
        }
        do throws(TokenizerError) {
            if data.first == UInt8(ascii: "{") {
                try self.init(json: data, maximumLength: settings.maximumLength)
            } else {
                try self.init(vocabulary: data, options: settings.options, maximumLength: settings.maximumLength)
            }
        } catch {
            throw TokenizerError(error.kind, file: file.path, error.detail)
        }
    }

    /// Makes a tokenizer of the contents of a `vocab.txt`: a token a line, whose number is its id.
    ///
    /// - Throws: ``TokenizerError`` of kind `missingPiece` when a special token is not in it.
    public init(
        vocabulary: Data,
        options: Options = Options(),
        maximumLength: Int? = nil
    ) throws(TokenizerError) {
        let bytes = Array(vocabulary)
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        guard lines.count < TokenTable.maximumCount else {
            throw TokenizerError(.invalidFile, "\(lines.count) tokens, expected at most \(TokenTable.maximumCount)")
        }
        let spellings = lines.map { $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0 }
        try self.init(spellings: spellings, options: options, maximumLength: maximumLength)
    }

    private init(json data: Data, maximumLength: Int?) throws(TokenizerError) {
        let root = JSONField(try JSONValue(parsing: data))
        let model = try root.required("model")
        // Files before 2020 do not name the type.
        if let type = try model.optional("type"), try type.string() != "WordPiece" {
            throw type.error(.unsupported, "'\(try type.string())', expected WordPiece")
        }
        if let prefix = try model.optional("continuing_subword_prefix"), try prefix.string() != "##" {
            throw prefix.error(.unsupported, "'\(try prefix.string())', expected ##")
        }
        if let unknown = try model.optional("unk_token"), try unknown.string() != "[UNK]" {
            throw unknown.error(.unsupported, "'\(try unknown.string())', expected [UNK]")
        }
        var options = Options()
        if let length = try model.optional("max_input_chars_per_word") {
            options.maximumWordLength = try length.integer()
            guard options.maximumWordLength > 0 else { throw length.error(.invalidFile, "expected more than 0") }
        }
        if let normalizer = try root.optional("normalizer") {
            let type = try normalizer.required("type")
            guard try type.string() == "BertNormalizer" else {
                throw type.error(.unsupported, "'\(try type.string())', expected BertNormalizer")
            }
            if let clean = try normalizer.optional("clean_text"), try !clean.bool() {
                throw clean.error(.unsupported, "false, expected true")
            }
            options.lowercases = try normalizer.optional("lowercase")?.bool() ?? true
            options.stripsAccents = try normalizer.optional("strip_accents")?.bool()
            options.splitsChineseCharacters = try normalizer.optional("handle_chinese_chars")?.bool() ?? true
        } else {
            throw root.error(.unsupported, "no normalizer, expected BertNormalizer")
        }
        if let splitter = try root.optional("pre_tokenizer") {
            let type = try splitter.required("type")
            guard try type.string() == "BertPreTokenizer" else {
                throw type.error(.unsupported, "'\(try type.string())', expected BertPreTokenizer")
            }
        }
        let table = try TokenTable(model.required("vocab"))
        try self.init(spellings: table.spellings, options: options, maximumLength: maximumLength)
    }

    private init(spellings: [ArraySlice<UInt8>?], options: Options, maximumLength: Int?) throws(TokenizerError) {
        let mark = WordPieceTokenizer.continuationMark
        var (beginnings, continuations): ([ByteString: Int], [ByteString: Int]) = ([:], [:])
        beginnings.reserveCapacity(spellings.count)
        var longest = 0
        for (id, spelling) in spellings.enumerated() {
            guard let spelling else { continue }
            // Of two equal lines the later counts.
            beginnings[ByteString(spelling)] = id
            if spelling.starts(with: mark) { continuations[ByteString(spelling.dropFirst(mark.count))] = id }
            longest = max(longest, spelling.count)
        }
        func id(_ name: String) throws(TokenizerError) -> Int {
            guard let id = beginnings[ByteString(name)] else {
                throw TokenizerError(.missingPiece, "'\(name)' is not in the vocabulary")
            }
            return id
        }
        beginID = try id("[CLS]")
        separatorID = try id("[SEP]")
        padID = try id("[PAD]")
        unknownID = try id("[UNK]")
        special = WordPieceTokenizer.specialNames.compactMap { name in
            beginnings[ByteString(name)].map { (Array(name.utf8), $0) }
        }
        self.options = options
        self.maximumLength = maximumLength
        self.spellings = spellings
        self.beginnings = beginnings
        self.continuations = continuations
        longestPiece = longest
        vocabularySize = spellings.count
    }

    // MARK: Encoding

    /// The ids of a text, without anything around them.
    public func encode(_ text: String) -> [Int] {
        var ids: [Int] = []
        let bytes = Array(text.utf8)
        var start = 0
        var position = 0
        func flush(to end: Int) {
            guard end > start else { return }
            for word in words(of: String(decoding: bytes[start..<end], as: UTF8.self)) {
                appendPieces(of: word, to: &ids)
            }
        }
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "["),
                let found = special.first(where: { bytes[position...].starts(with: $0.name) })
            {
                flush(to: position)
                ids.append(found.id)
                position += found.name.count
                start = position
            } else {
                position += 1
            }
        }
        flush(to: bytes.count)
        return ids
    }

    /// The ids of a text between ``beginID`` and ``separatorID``.
    ///
    /// - Parameter maximumLength: The most ids, these two included; the end of a longer text is left out. `nil`, the
    ///   default, leaves nothing out.
    /// - Precondition: `maximumLength` is at least 2.
    public func encodeSequence(_ text: String, maximumLength: Int? = nil) -> [Int] {
        precondition(maximumLength.map { $0 >= 2 } ?? true, "a sequence has at least its two special tokens")
        let ids = encode(text)
        return [beginID] + ids.prefix(maximumLength.map { $0 - 2 } ?? ids.count) + [separatorID]
    }

    /// The spelling of a token.
    ///
    /// - Throws: ``TokenizerError`` of kind `unknownID` when no token has the id.
    public func token(_ id: Int) throws(TokenizerError) -> String {
        guard spellings.indices.contains(id), let spelling = spellings[id] else {
            throw TokenizerError(.unknownID, "\(id), expected one of 0..<\(vocabularySize)")
        }
        return String(decoding: spelling, as: UTF8.self)
    }

    /// The words and marks of a text, prepared as the options say, before they are cut into pieces.
    func words(of text: String) -> [String] {
        var cleaned = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if scalar.value == 0 || scalar.value == 0xFFFD || scalar.isControl { continue }
            if scalar.isSpace {
                cleaned.append(" ")
            } else if options.splitsChineseCharacters && scalar.isChinese {
                cleaned.append(contentsOf: [" ", scalar, " "])
            } else {
                cleaned.append(scalar)
            }
        }
        let composed = String(cleaned).precomposedStringWithCanonicalMapping
        var words: [String] = []
        for part in composed.unicodeScalars.split(whereSeparator: \.properties.isWhitespace) {
            var word = String(part)
            if options.lowercases { word = word.lowercasedWithFinalSigma }
            if options.stripsAccents ?? options.lowercases {
                let kept = word.decomposedStringWithCanonicalMapping.unicodeScalars.filter {
                    $0.properties.generalCategory != .nonspacingMark
                }
                word = String(String.UnicodeScalarView(kept))
            }
            var current = String.UnicodeScalarView()
            for scalar in word.unicodeScalars {
                if scalar.isMark {
                    if !current.isEmpty { words.append(String(current)) }
                    words.append(String(scalar))
                    current = String.UnicodeScalarView()
                } else if scalar.properties.isWhitespace {
                    // Lower case and decomposition can bring spaces forth.
                    if !current.isEmpty { words.append(String(current)) }
                    current = String.UnicodeScalarView()
                } else {
                    current.append(scalar)
                }
            }
            if !current.isEmpty { words.append(String(current)) }
        }
        return words
    }

    private func appendPieces(of word: String, to ids: inout [Int]) {
        guard word.unicodeScalars.count <= options.maximumWordLength else {
            ids.append(unknownID)
            return
        }
        let bytes = Array(word.utf8)
        let first = ids.count
        var start = 0
        while start < bytes.count {
            let pieces = start == 0 ? beginnings : continuations
            var end = min(bytes.count, start + longestPiece)
            var found: Int?
            while end > start {
                // A piece ends where a character does.
                if end == bytes.count || bytes[end] & 0xC0 != 0x80, let id = pieces[ByteString(bytes[start..<end])] {
                    found = id
                    break
                }
                end -= 1
            }
            guard let found else {
                ids.removeSubrange(first...)
                ids.append(unknownID)
                return
            }
            ids.append(found)
            start = end
        }
    }
}

extension WordPieceTokenizer {
    /// What a `tokenizer_config.json` says.
    private struct Settings {
        var options = Options()
        var maximumLength: Int?

        init() {}

        init(_ root: JSONField) throws(TokenizerError) {
            options.lowercases = try root.optional("do_lower_case")?.bool() ?? true
            options.stripsAccents = try root.optional("strip_accents")?.bool()
            options.splitsChineseCharacters = try root.optional("tokenize_chinese_chars")?.bool() ?? true
            maximumLength = try TokenizerSettings.maximumLength(root)
        }
    }
}

extension TokenizerSettings {
    /// The longest sequence that a `tokenizer_config.json` names; `nil` where it names none, or one that means none.
    static func maximumLength(_ root: JSONField) throws(TokenizerError) -> Int? {
        guard let field = try root.optional("model_max_length") else { return nil }
        guard case .number(let digits) = field.value else { throw field.error(.invalidFile, "expected a whole number") }
        // Where there is no limit, the transformers library writes 1e30, with all its digits.
        guard digits.count < 10 else { return nil }
        let length = try field.integer()
        guard length >= 2 else { throw field.error(.invalidFile, "\(length), expected at least 2") }
        return length
    }

    /// The longest sequence that the `tokenizer_config.json` of a folder names, special tokens included.
    ///
    /// - Returns: `nil` where there is no such file, or no limit in it.
    /// - Throws: ``TokenizerError`` that names the file and the field.
    public static func maximumLength(folder: URL) throws(TokenizerError) -> Int? {
        let file = folder.appending(path: "tokenizer_config.json")
        guard FileManager.default.fileExists(atPath: file.path) else { return nil }
        let data = try TokenizerFile.read(file)
        do throws(TokenizerError) {
            return try maximumLength(JSONField(JSONValue(parsing: data)))
        } catch {
            throw TokenizerError(error.kind, file: file.path, error.detail)
        }
    }
}

extension Unicode.Scalar {
    /// What BERT takes for a space.
    fileprivate var isSpace: Bool {
        self == " " || self == "\t" || self == "\n" || self == "\r" || properties.generalCategory == .spaceSeparator
    }

    /// What BERT leaves out: everything of Unicode's category C but tabs and ends of lines.
    fileprivate var isControl: Bool {
        if self == "\t" || self == "\n" || self == "\r" { return false }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned: return true
        default: return false
        }
    }

    /// What stands alone: Unicode's category P, and all of ASCII that is neither letter, digit nor space.
    fileprivate var isMark: Bool {
        switch value {
        case 33...47, 58...64, 91...96, 123...126: return true
        default: break
        }
        switch properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            return true
        default: return false
        }
    }

    fileprivate var isChinese: Bool {
        switch value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B820...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            return true
        default: return false
        }
    }
}

extension String {
    /// The lower-case form with the final sigma, which the standard library leaves out.
    fileprivate var lowercasedWithFinalSigma: String {
        guard unicodeScalars.contains("\u{03A3}") else { return lowercased() }
        let scalars = Array(unicodeScalars)
        var result = String.UnicodeScalarView()
        for (index, scalar) in scalars.enumerated() {
            guard scalar == "\u{03A3}" else {
                result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
                continue
            }
            let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
            let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
            let isFinal = before?.properties.isCased == true && after?.properties.isCased != true
            result.append(isFinal ? "\u{03C2}" : "\u{03C3}")
        }
        return String(result)
    }
}
