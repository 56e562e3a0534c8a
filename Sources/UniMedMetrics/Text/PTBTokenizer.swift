/// Penn-Treebank tokens, as the Stanford tokeniser (CoreNLP 3.4.1) makes them for pycocoevalcap.
///
/// The longest rule that fits at a place makes the next token. Several rules look at what follows, over the end of a line
/// too, so that a period belongs to `approx.` or stands alone depending on the next line: tokenise the captions of a
/// corpus together, as pycocoevalcap does, when its numbers are to be met.
public enum PTBTokenizer {
    /// The tokens that pycocoevalcap drops.
    ///
    /// The names of brackets stand in capitals there while the tokens are lower-case, so these stay.
    public static let droppedTokens: Set<String> = [
        "''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";",
    ]

    /// The tokens of each line, in lower case, with punctuation.
    ///
    /// - Parameter lines: The captions; line breaks inside one become spaces.
    /// - Returns: One list of tokens per line.
    public static func tokens(ofLines lines: [String]) -> [[String]] {
        var text: [UInt16] = []
        var ends: [Int] = []
        for (index, line) in lines.enumerated() {
            if index > 0 { text.append(0x0A) }
            for unit in line.utf16 { text.append(PTBCharacters.isNewline(unit) ? 0x20 : unit) }
            ends.append(text.count)
        }
        var result: [[String]] = []
        result.reserveCapacity(lines.count)
        var scanner = PTBScanner(text)
        for end in ends {
            var words: [String] = []
            while let token = scanner.next(before: end) { words.append(token.referenceLowercased) }
            result.append(words)
        }
        return result
    }

    /// The words of each caption as pycocoevalcap gives them to its metrics: lower-case tokens without
    /// ``droppedTokens``.
    public static func words(ofCaptions captions: [String]) -> [[String]] {
        tokens(ofLines: captions).map { line in
            // A token may hold a no-break space; only plain spaces part words.
            line.filter { token in
                let isWord = token.utf8.first.map { PTBCharacters.isLatinAlphanumeric(UInt16($0)) } ?? false
                return isWord || !droppedTokens.contains(token)
            }
        }
    }

    /// The words of a single caption.
    public static func words(_ caption: String) -> [String] {
        words(ofCaptions: [caption])[0]
    }
}

/// What a token is turned into once its place is known.
enum PTBForm {
    case verbatim
    case fixed(String)
    case withoutSoftHyphens
    case noBreakSpaces
    case ampersands
    case quotes(opening: Bool)
    case currency
    case fractions
    case parentheses
    /// A token, after which its last period stands as a token of its own again.
    case abbreviationAtEnd
    case skipped
}

/// Finds one token after the other.
struct PTBScanner {
    let text: [UInt16]
    private(set) var position = 0

    init(_ text: [UInt16]) {
        self.text = text
    }

    /// The next token that starts before a place, or `nil` when there is none.
    mutating func next(before end: Int) -> String? {
        while position < end {
            let start = position
            if text[start] == 0x20 || text[start] == 0x0A {
                position += 1
                continue
            }
            if let stop = plainMark(at: start) ?? plainWord(from: start) {
                position = stop
                return string(start, stop)
            }
            var rules = PTBRules(text: text, start: start)
            let found = rules.longest()
            position = start + max(found.token, 1)
            let raw = string(start, start + max(found.token, 1))
            switch found.form {
            case .skipped: continue
            case .verbatim: return raw
            case .fixed(let token): return token
            case .abbreviationAtEnd:
                position -= 1
                return raw
            default: return PTBScanner.formed(raw, as: found.form)
            }
        }
        return nil
    }

    private func string(_ start: Int, _ end: Int) -> String {
        let units = text[start..<end]
        guard units.allSatisfy({ $0 < 0x80 }) else { return String(decoding: units, as: UTF16.self) }
        return String(unsafeUninitializedCapacity: units.count) { bytes in
            for (offset, unit) in units.enumerated() { bytes[offset] = UInt8(truncatingIfNeeded: unit) }
            return units.count
        }
    }

    /// Whether a space, the end of a line or that of the text stands at a place.
    private func isBreak(_ index: Int) -> Bool { index >= text.count || text[index] == 0x20 || text[index] == 0x0A }

    /// The end of a comma before a space, or of a period before one and anything but a period.
    private func plainMark(at start: Int) -> Int? {
        guard text[start] == 0x2C || text[start] == 0x2E, isBreak(start + 1) else { return nil }
        let isEllipsis = text[start] == 0x2E && start + 2 < text.count && text[start + 2] == 0x2E
        return isEllipsis ? nil : start + 1
    }

    /// The end of a run of ASCII letters before a space, a comma or a period, where no other rule can do more: nearly
    /// every word.
    private func plainWord(from start: Int) -> Int? {
        var end = start
        while end < text.count, PTBCharacters.isLatinLetter(text[end]) { end += 1 }
        guard end > start else { return nil }
        let word = text[start..<end]
        if !isBreak(end) {
            guard isBreak(end + 1) else { return nil }
            switch text[end] {
            case 0x2C: break
            case 0x2E: guard word.count > 1, !PTBAbbreviations.contains(word) else { return nil }
            default: return nil
            }
        }
        return PTBRules.isAssimilation(word) ? nil : end
    }

    static func formed(_ raw: String, as form: PTBForm) -> String {
        switch form {
        case .withoutSoftHyphens:
            guard raw.unicodeScalars.contains("\u{AD}") else { return raw }
            let rest = raw.unicodeScalars.filter { $0 != "\u{AD}" }
            return rest.isEmpty ? "-" : String(String.UnicodeScalarView(rest))
        case .noBreakSpaces: return replaced(raw, [" ": "\u{A0}"])
        case .ampersands: return replacingAmpersands(raw)
        case .quotes(let opening):
            let plain = replacingEntities(raw)
            return replaced(
                plain,
                [
                    "'": opening ? "`" : "'", "\"": opening ? "``" : "''", "\u{91}": "`", "\u{2018}": "`",
                    "\u{201B}": "`", "\u{2039}": "`", "\u{92}": "'", "\u{2019}": "'", "\u{203A}": "'",
                    "\u{93}": "``", "\u{201C}": "``", "\u{AB}": "``", "\u{94}": "''", "\u{201D}": "''",
                    "\u{BB}": "''",
                ]
            )
        case .currency:
            return replaced(
                raw,
                ["\u{A2}": "cents", "\u{A3}": "#", "\u{80}": "$", "\u{A4}": "$", "\u{20A0}": "$", "\u{20AC}": "$"]
            )
        case .fractions:
            return replaced(
                raw,
                ["\u{BC}": "1/4", "\u{BD}": "1/2", "\u{BE}": "3/4", "\u{2153}": "1/3", "\u{2154}": "2/3"]
            )
        case .parentheses: return replaced(raw, ["(": "-LRB-", ")": "-RRB-", " ": "\u{A0}"])
        default: return raw
        }
    }

    private static func replaced(_ text: String, _ table: [Unicode.Scalar: String]) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if let replacement = table[scalar] {
                result.append(contentsOf: replacement.unicodeScalars)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }

    /// `&apos;` and `&quot;`, in lower case only, as the characters they name.
    private static func replacingEntities(_ text: String) -> String {
        switch text {
        case "&apos;": "'"
        case "&quot;": "\""
        default: text.hasPrefix("&apos;") ? "'" + text.dropFirst(6) : text
        }
    }

    private static func replacingAmpersands(_ text: String) -> String {
        let units = Array(text.utf16)
        let entity = Array("&amp;".utf16)
        guard units.count >= entity.count else { return text }
        var result: [UInt16] = []
        var index = 0
        while index < units.count {
            let end = index + entity.count
            if end <= units.count, zip(units[index..<end], entity).allSatisfy({ PTBCharacters.lowercase($0) == $1 }) {
                result.append(0x26)
                index = end
            } else {
                result.append(units[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF16.self)
    }
}

/// Classes of UTF-16 code units, on which the rules are built.
enum PTBCharacters {
    static func isLatinLetter(_ unit: UInt16) -> Bool { (0x61...0x7A).contains(unit | 0x20) && unit < 0x80 }
    static func isCapital(_ unit: UInt16) -> Bool { (0x41...0x5A).contains(unit) }
    static func isLatinDigit(_ unit: UInt16) -> Bool { (0x30...0x39).contains(unit) }
    static func isLatinAlphanumeric(_ unit: UInt16) -> Bool { isLatinLetter(unit) || isLatinDigit(unit) }
    static func lowercase(_ unit: UInt16) -> UInt16 { isCapital(unit) ? unit + 0x20 : unit }

    static func isSpace(_ unit: UInt16) -> Bool {
        unit == 0x20 || unit == 0x09 || unit == 0xA0 || (0x2000...0x200A).contains(unit) || unit == 0x3000
    }

    /// What ends a line for the tokeniser.
    static func isNewline(_ unit: UInt16) -> Bool {
        switch unit {
        case 0x0A...0x0D, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    static func isSpaceOrNewline(_ unit: UInt16) -> Bool { isSpace(unit) || isNewline(unit) }

    static func isHyphen(_ unit: UInt16) -> Bool {
        unit == 0x2D || unit == 0x5F || unit == 0x58A || unit == 0x2010 || unit == 0x2011
    }

    static func isSentenceMark(_ unit: UInt16) -> Bool {
        unit == 0x2C || unit == 0x3B || unit == 0x3A || unit == 0x3001
    }

    /// Unicode's letters.
    static func isLetter(_ unit: UInt16) -> Bool {
        if unit < 0x80 { return isLatinLetter(unit) }
        guard let scalar = Unicode.Scalar(unit) else { return false }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return true
        default: return false
        }
    }

    /// Unicode's decimal digits.
    static func isDigit(_ unit: UInt16) -> Bool {
        if unit < 0x80 { return isLatinDigit(unit) }
        return Unicode.Scalar(unit)?.properties.generalCategory == .decimalNumber
    }

    static func isUppercase(_ unit: UInt16) -> Bool {
        if unit < 0x80 { return isCapital(unit) }
        return Unicode.Scalar(unit)?.properties.generalCategory == .uppercaseLetter
    }

    static func isLetterOrDigit(_ unit: UInt16) -> Bool { isLetter(unit) || isDigit(unit) }

    /// Letters, and the marks and signs that words of many scripts are written with.
    static func isWordLetter(_ unit: UInt16) -> Bool {
        if unit < 0x80 { return isLatinLetter(unit) }
        if isLetter(unit) || unit == 0xAD { return true }
        return wordSigns.contains { $0.contains(unit) }
    }

    private static let wordSigns: [ClosedRange<UInt16>] = [
        0x237...0x24F, 0x2C2...0x2C5, 0x2D2...0x2DF, 0x2E5...0x2FF, 0x300...0x37D, 0x384...0x385, 0x3CF...0x3CF,
        0x3F6...0x3F6, 0x3FC...0x3FF, 0x483...0x487, 0x4CF...0x4CF, 0x4F6...0x4FF, 0x510...0x525, 0x55A...0x55F,
        0x591...0x5BD, 0x5BF...0x5BF, 0x5C1...0x5C2, 0x5C4...0x5C5, 0x5C7...0x5C7, 0x615...0x61A, 0x63B...0x63F,
        0x64B...0x65E, 0x670...0x670, 0x6D6...0x6EF, 0x6FA...0x6FF, 0x70F...0x70F, 0x711...0x711, 0x730...0x77F,
        0x7A6...0x7B1, 0x7CA...0x7F5, 0x7FA...0x7FA, 0x900...0x903, 0x93C...0x93C, 0x93E...0x94E, 0x951...0x955,
        0x962...0x963, 0x981...0x983, 0x9BC...0x9C4, 0x9C7...0x9C8, 0x9CB...0x9CD, 0x9D7...0x9D7, 0x9E2...0x9E3,
        0xA01...0xA03, 0xA3C...0xA3C, 0xA3E...0xA4F, 0xA81...0xA83, 0xABC...0xACF, 0xB82...0xB82, 0xBBE...0xBC2,
        0xBC6...0xBC8, 0xBCA...0xBCD, 0xC01...0xC03, 0xC3E...0xC56, 0xD3E...0xD44, 0xD46...0xD48, 0xE30...0xE3A,
        0xE47...0xE4E, 0xEB1...0xEBC, 0xEC8...0xECD,
    ]

    /// Symbols that stand alone.
    static func isSymbol(_ unit: UInt16) -> Bool {
        if unit < 0x80 { return [0x2B, 0x25, 0x26, 0x7E, 0x5E, 0x7C, 0x5C].contains(unit) }
        return symbols.contains { $0.contains(unit) }
    }

    private static let symbols: [ClosedRange<UInt16>] = [
        0xA6...0xA9, 0xAC...0xAC, 0xAE...0xBA, 0xD7...0xD7, 0xF7...0xF7, 0x387...0x387, 0x5BE...0x5BE, 0x5C0...0x5C0,
        0x5C3...0x5C3, 0x5C6...0x5C6, 0x5F3...0x5F4, 0x600...0x603, 0x606...0x60A, 0x60C...0x60C, 0x614...0x614,
        0x61B...0x61B, 0x61E...0x61E, 0x66A...0x66A, 0x66D...0x66D, 0x703...0x70D, 0x7F6...0x7F8, 0x964...0x965,
        0xE4F...0xE4F, 0x1FBD...0x1FBD, 0x2016...0x2017, 0x2020...0x2023, 0x2030...0x2038, 0x203B...0x203B,
        0x203E...0x2042, 0x2044...0x2044, 0x207A...0x207F, 0x208A...0x208E, 0x2100...0x214F, 0x2190...0x2BFF,
        0x3012...0x3012, 0x30FB...0x30FB, 0xFF01...0xFF0F, 0xFF1A...0xFF20, 0xFF3B...0xFF40, 0xFF5B...0xFF65,
    ]
}
