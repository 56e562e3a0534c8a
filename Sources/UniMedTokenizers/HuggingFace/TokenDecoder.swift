/// How tokens become text (the `decoder` of `tokenizer.json`).
indirect enum TokenDecoder: Sendable {
    case sequence([TokenDecoder])
    /// Characters of ``ByteLevelAlphabet`` are bytes.
    case byteLevel
    /// `<0x0A>` is a byte.
    case byteFallback
    /// All tokens become one.
    case fuse
    case replace([UInt8], with: [UInt8])
    /// Takes a character off the ends of every token, up to so many times.
    case strip(character: [UInt8], start: Int, end: Int)
    case metaspace(replacement: [UInt8], dropsFirst: Bool)
    /// A space between tokens, where the file has no decoder.
    case spaced

    /// Reads a decoder; its `type` selects the form.
    init(_ field: JSONField) throws(TokenizerError) {
        let type = try field.required("type")
        switch try type.string() {
        case "Sequence":
            var parts: [TokenDecoder] = []
            for part in try field.required("decoders").elements() { parts.append(try TokenDecoder(part)) }
            self = .sequence(parts)
        case "ByteLevel": self = .byteLevel
        case "ByteFallback": self = .byteFallback
        case "Fuse": self = .fuse
        case "Replace":
            let pattern = try field.required("pattern")
            guard case .literal(let literal) = try TextPattern(pattern) else {
                throw pattern.error(.unsupported, "a regular expression, expected String")
            }
            self = .replace(literal, with: Array(try field.required("content").bytes()))
        case "Strip":
            let content = try field.required("content")
            let (start, end) = (try field.required("start"), try field.required("stop"))
            guard try content.string().unicodeScalars.count == 1 else {
                throw content.error(.invalidFile, "expected one character")
            }
            self = .strip(
                character: Array(try content.bytes()),
                start: try start.tokenID(),
                end: try end.tokenID()
            )
        case "Metaspace":
            let (replacement, prefix) = try PreTokenizer.metaspaceSettings(field)
            self = .metaspace(replacement: replacement, dropsFirst: prefix != .never)
        case let name:
            throw type.error(
                .unsupported,
                "'\(name)', expected Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip or Metaspace"
            )
        }
    }

    /// The text of tokens; bytes that are not UTF-8 become U+FFFD.
    func callAsFunction(_ tokens: [ArraySlice<UInt8>]) -> String {
        String(decoding: apply(tokens).joined(), as: UTF8.self)
    }

    private func apply(_ tokens: [ArraySlice<UInt8>]) -> [ArraySlice<UInt8>] {
        switch self {
        case .sequence(let parts):
            return parts.reduce(tokens) { $1.apply($0) }
        case .byteLevel:
            let bytes = tokens.flatMap { ByteLevelAlphabet.bytes(of: $0) ?? Array($0) }
            // What follows in a sequence of decoders sees text.
            return [Array(String(decoding: bytes, as: UTF8.self).utf8)[...]]
        case .byteFallback:
            return TokenDecoder.joiningBytes(tokens)
        case .fuse:
            return [Array(tokens.joined())[...]]
        case .replace(let pattern, let content):
            let replace = TextNormalizer.replace(.literal(pattern), with: content)
            return tokens.map { replace($0) }
        case .strip(let character, let start, let end):
            return tokens.map { token in
                var token = token
                var count = 0
                while count < start, token.starts(with: character) {
                    token = token.dropFirst(character.count)
                    count += 1
                }
                count = 0
                while count < end, token.count >= character.count,
                    token.suffix(character.count).elementsEqual(character)
                {
                    token = token.dropLast(character.count)
                    count += 1
                }
                return token
            }
        case .metaspace(let replacement, let dropsFirst):
            let space = TextNormalizer.replace(.literal(replacement), with: [UInt8(ascii: " ")])
            let nothing = TextNormalizer.replace(.literal(replacement), with: [])
            return tokens.enumerated().map { $0 == 0 && dropsFirst ? nothing($1) : space($1) }
        case .spaced:
            return [Array(tokens.joined(separator: [UInt8(ascii: " ")]))[...]]
        }
    }

    /// Runs of tokens such as `<0x0A>` become what their bytes are; one U+FFFD for each where that is not UTF-8.
    private static func joiningBytes(_ tokens: [ArraySlice<UInt8>]) -> [ArraySlice<UInt8>] {
        var result: [ArraySlice<UInt8>] = []
        var run: [UInt8] = []
        func endRun() {
            guard !run.isEmpty else { return }
            if String(validating: run, as: UTF8.self) != nil {
                result.append(run[...])
            } else {
                result += [ArraySlice<UInt8>](repeating: [0xEF, 0xBF, 0xBD], count: run.count)
            }
            run = []
        }
        for token in tokens {
            if token.count == 6, token.starts(with: "<0x".utf8), token.last == UInt8(ascii: ">"),
                let byte = UInt8(String(decoding: token.dropFirst(3).prefix(2), as: UTF8.self), radix: 16)
            {
                run.append(byte)
            } else {
                endRun()
                result.append(token)
            }
        }
        endRun()
        return result
    }
}
