/// How a text is split before its bytes are merged (the `pre_tokenizer` of `tokenizer.json`).
struct PreTokenizer: Sendable {
    /// A step of the splitting.
    enum Step: Sendable {
        /// Splits at a pattern.
        case split(TextPattern, SplitBehavior, inverted: Bool)
        /// Puts a space in front of a text that does not begin with one.
        case prefixSpace
        /// Splits digits from the rest, or every digit from the next.
        case digits(individual: Bool)
        /// Writes spaces as another character and splits before it.
        case metaspace(replacement: [UInt8], prefix: MetaspacePrefix, splits: Bool)
    }

    /// Where the matches of a pattern go.
    enum SplitBehavior: String, CaseIterable, Sendable {
        case isolated = "Isolated"
        case removed = "Removed"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }

    /// Where the replacement of spaces is put in front.
    enum MetaspacePrefix: String, CaseIterable, Sendable {
        case always, never
        case first
    }

    /// The pattern of GPT-2, which the byte-level step uses where the file names no other.
    static let gpt2Pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    private(set) var steps: [Step] = []
    /// Whether the words are bytes, which the vocabulary spells with ``ByteLevelAlphabet``.
    private(set) var isByteLevel = false

    /// No splitting: a text is one word.
    init() {}

    /// Reads a pre-tokenizer; its `type` selects the form.
    init(_ field: JSONField) throws(TokenizerError) {
        try add(field)
    }

    private mutating func add(_ field: JSONField) throws(TokenizerError) {
        guard !isByteLevel else {
            throw field.error(.unsupported, "a step after ByteLevel, which must be the last")
        }
        let type = try field.required("type")
        switch try type.string() {
        case "Sequence":
            for part in try field.required("pretokenizers").elements() { try add(part) }
        case "Split":
            let name = try field.required("behavior")
            guard let behavior = SplitBehavior(rawValue: try name.string()) else {
                throw name.error(
                    .unsupported,
                    "'\(try name.string())', expected one of \(SplitBehavior.allCases.map(\.rawValue))"
                )
            }
            let inverted = try field.optional("invert")?.bool() ?? false
            steps.append(.split(try TextPattern(field.required("pattern")), behavior, inverted: inverted))
        case "ByteLevel":
            if try field.optional("add_prefix_space")?.bool() ?? true { steps.append(.prefixSpace) }
            if try field.optional("use_regex")?.bool() ?? true {
                let pattern = try TextPattern.regularExpression(PreTokenizer.gpt2Pattern, field: field)
                steps.append(.split(pattern, .isolated, inverted: false))
            }
            isByteLevel = true
        case "Digits":
            steps.append(.digits(individual: try field.optional("individual_digits")?.bool() ?? false))
        case "Metaspace":
            steps.append(try PreTokenizer.metaspace(field))
        case let name:
            throw type.error(.unsupported, "'\(name)', expected Sequence, Split, ByteLevel, Digits or Metaspace")
        }
    }

    private static func metaspace(_ field: JSONField) throws(TokenizerError) -> Step {
        let (replacement, prefix) = try metaspaceSettings(field)
        let splits = try field.optional("split")?.bool() ?? true
        return .metaspace(replacement: replacement, prefix: prefix, splits: splits)
    }

    /// What the Metaspace forms of pre-tokenizers and decoders share.
    static func metaspaceSettings(
        _ field: JSONField
    ) throws(TokenizerError) -> (replacement: [UInt8], prefix: MetaspacePrefix) {
        let replacement = try field.required("replacement")
        guard try replacement.string().unicodeScalars.count == 1 else {
            throw replacement.error(.invalidFile, "expected one character")
        }
        var prefix = MetaspacePrefix.always
        if let scheme = try field.optional("prepend_scheme") {
            guard let known = MetaspacePrefix(rawValue: try scheme.string()) else {
                throw scheme.error(.unsupported, "'\(try scheme.string())', expected always, first or never")
            }
            prefix = known
        } else if try field.optional("add_prefix_space")?.bool() == false {
            prefix = .never
        }
        return (Array(try replacement.bytes()), prefix)
    }

    /// Splits a text into words; empty ones are left out.
    ///
    /// - Parameters:
    ///   - text: UTF-8.
    ///   - isFirst: Whether the whole input begins with this text.
    func words(of text: ArraySlice<UInt8>, isFirst: Bool) -> [ArraySlice<UInt8>] {
        var words = [text]
        for step in steps {
            words = words.enumerated().flatMap { index, word in
                PreTokenizer.apply(step, to: word, isFirst: isFirst && index == 0)
            }
        }
        return words.filter { !$0.isEmpty }
    }

    private static func apply(_ step: Step, to text: ArraySlice<UInt8>, isFirst: Bool) -> [ArraySlice<UInt8>] {
        if text.isEmpty { return [] }
        switch step {
        case .split(let pattern, let behavior, let inverted):
            return split(text, at: pattern.matches(in: text), behavior, inverted: inverted)
        case .prefixSpace:
            return text.first == UInt8(ascii: " ") ? [text] : [([UInt8(ascii: " ")] + text)[...]]
        case .digits(let individual):
            return split(text, at: digits(in: text), individual ? .isolated : .contiguous, inverted: false)
        case .metaspace(let replacement, let prefix, let splits):
            var replaced: [UInt8] = []
            replaced.reserveCapacity(text.count + replacement.count)
            for byte in text {
                if byte == UInt8(ascii: " ") { replaced += replacement } else { replaced.append(byte) }
            }
            if prefix == .always || prefix == .first && isFirst, !replaced.starts(with: replacement) {
                replaced = replacement + replaced
            }
            let matches = splits ? TextPattern.literal(replacement).matches(in: replaced[...]) : []
            return split(replaced[...], at: matches, .mergedWithNext, inverted: false)
        }
    }

    /// The ranges of decimal and other numeric characters, each on its own.
    private static func digits(in text: ArraySlice<UInt8>) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var position = text.startIndex
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            let end = position + UTF8.width(scalar)
            switch scalar.properties.generalCategory {
            case .decimalNumber, .letterNumber, .otherNumber: ranges.append(position..<end)
            default: break
            }
            position = end
        }
        return ranges
    }

    /// Splits a text at matches that are in order and do not overlap.
    private static func split(
        _ text: ArraySlice<UInt8>,
        at matches: [Range<Int>],
        _ behavior: SplitBehavior,
        inverted: Bool
    ) -> [ArraySlice<UInt8>] {
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        parts.reserveCapacity(2 * matches.count + 1)
        var position = text.startIndex
        for match in matches {
            if position < match.lowerBound { parts.append((position..<match.lowerBound, inverted)) }
            parts.append((match, !inverted))
            position = match.upperBound
        }
        if position < text.endIndex { parts.append((position..<text.endIndex, inverted)) }

        var words: [Range<Int>] = []
        words.reserveCapacity(parts.count)
        var previous: Bool?
        for (range, isMatch) in parts {
            let joins =
                switch behavior {
                case .isolated, .removed: false
                case .mergedWithPrevious: isMatch && previous == false
                case .mergedWithNext: !isMatch && previous == true
                case .contiguous: previous == isMatch
                }
            if joins, let last = words.popLast() {
                words.append(last.lowerBound..<range.upperBound)
            } else if !(behavior == .removed && isMatch) {
                words.append(range)
            }
            previous = isMatch
        }
        return words.map { text[$0] }
    }
}
