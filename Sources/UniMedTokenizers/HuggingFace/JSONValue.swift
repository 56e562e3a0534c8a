import Foundation

/// A JSON document that keeps the bytes of its strings.
///
/// Vocabularies need this: Swift's strings, and so the dictionaries of Foundation's decoder, hold `é` in its two
/// spellings for equal, but they are two tokens. Strings without escapes are slices of the document, so that a
/// vocabulary of 10 MB is read without copying it.
enum JSONValue {
    case null
    case bool(Bool)
    /// The digits as they stand in the document.
    case number(ArraySlice<UInt8>)
    /// The text as UTF-8, without escapes.
    case string(ArraySlice<UInt8>)
    case array([JSONValue])
    /// The members in the document's order; a name may be there twice.
    case object([(name: ArraySlice<UInt8>, value: JSONValue)])

    /// Arrays and objects may be nested this deep.
    static let maximumDepth = 64
    /// The largest document that is read, in bytes.
    static let maximumSize = 1 << 29

    /// Reads a document.
    ///
    /// - Throws: ``TokenizerError`` of kind `invalidFile` with the byte where it is no JSON or not UTF-8.
    init(parsing data: Data) throws(TokenizerError) {
        guard data.count <= JSONValue.maximumSize else {
            throw TokenizerError(.invalidFile, "\(data.count) bytes, expected at most \(JSONValue.maximumSize)")
        }
        let bytes = [UInt8](data)
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw TokenizerError(.invalidFile, "it is not UTF-8")
        }
        var parser = JSONParser(bytes: bytes)
        self = try parser.document()
    }

    /// What the value is, for messages.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

private struct JSONParser {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(TokenizerError) -> JSONValue {
        let result = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw invalid("something follows the document") }
        return result
    }

    private func invalid(_ problem: String) -> TokenizerError {
        TokenizerError(.invalidFile, "no JSON at byte \(position): \(problem)")
    }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[position]) { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(TokenizerError) -> JSONValue {
        guard depth <= JSONValue.maximumDepth else {
            throw invalid("nested deeper than \(JSONValue.maximumDepth)")
        }
        skipSpace()
        guard position < bytes.count else { throw invalid("it ends too early") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(number())
        default: throw invalid("no value begins here")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(TokenizerError) -> JSONValue {
        let end = position + word.utf8CodeUnitCount
        let expected = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        guard end <= bytes.count, bytes[position..<end].elementsEqual(expected) else { throw invalid("a broken word") }
        position = end
        return value
    }

    private mutating func number() -> ArraySlice<UInt8> {
        let start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
                UInt8(ascii: "e"), UInt8(ascii: "E"):
                position += 1
            default: return bytes[start..<position]
            }
        }
        return bytes[start..<position]
    }

    private mutating func array(depth: Int) throws(TokenizerError) -> JSONValue {
        position += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(elements) }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: "]")) { return .array(elements) }
            guard take(UInt8(ascii: ",")) else { throw invalid("expected , or ]") }
        }
    }

    private mutating func object(depth: Int) throws(TokenizerError) -> JSONValue {
        position += 1
        var members: [(name: ArraySlice<UInt8>, value: JSONValue)] = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
                throw invalid("expected a name")
            }
            let name = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw invalid("expected :") }
            members.append((name, try value(depth: depth + 1)))
            skipSpace()
            if take(UInt8(ascii: "}")) { return .object(members) }
            guard take(UInt8(ascii: ",")) else { throw invalid("expected , or }") }
        }
    }

    private mutating func string() throws(TokenizerError) -> ArraySlice<UInt8> {
        position += 1
        let start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                return bytes[start..<position - 1]
            case UInt8(ascii: "\\"): return try escapedString(from: start)
            case 0..<0x20: throw invalid("a control character in a string")
            default: position += 1
            }
        }
        throw invalid("a string has no end")
    }

    private mutating func escapedString(from start: Int) throws(TokenizerError) -> ArraySlice<UInt8> {
        var text = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return text[...]
            case 0..<0x20: throw invalid("a control character in a string")
            case UInt8(ascii: "\\"):
                guard position < bytes.count else { throw invalid("a string has no end") }
                let escape = bytes[position]
                position += 1
                switch escape {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
                case UInt8(ascii: "b"): text.append(0x08)
                case UInt8(ascii: "f"): text.append(0x0C)
                case UInt8(ascii: "n"): text.append(0x0A)
                case UInt8(ascii: "r"): text.append(0x0D)
                case UInt8(ascii: "t"): text.append(0x09)
                case UInt8(ascii: "u"): text.append(contentsOf: try escapedScalar().utf8)
                default: throw invalid("an unknown escape")
                }
            default: text.append(byte)
            }
        }
        throw invalid("a string has no end")
    }

    private mutating func escapedScalar() throws(TokenizerError) -> String {
        var code = try hexadecimal()
        if (0xD800..<0xDC00).contains(code) {
            guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw invalid("half a surrogate pair") }
            let low = try hexadecimal()
            guard (0xDC00..<0xE000).contains(low) else { throw invalid("half a surrogate pair") }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw invalid("half a surrogate pair") }
        return String(scalar)
    }

    private mutating func hexadecimal() throws(TokenizerError) -> UInt32 {
        guard position + 4 <= bytes.count,
            bytes[position..<position + 4].allSatisfy({ UnicodeScalar($0).properties.isASCIIHexDigit }),
            let code = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw invalid("expected four hexadecimal digits") }
        position += 4
        return code
    }
}

/// A value and where it stands in its document, so that an error can name the field.
struct JSONField {
    let value: JSONValue
    /// Such as `model.merges[3]`.
    let path: String

    init(_ value: JSONValue, path: String = "") {
        self.value = value
        self.path = path
    }

    /// An error that names the field.
    func error(_ kind: TokenizerError.Kind = .invalidFile, _ problem: String) -> TokenizerError {
        TokenizerError(kind, path.isEmpty ? problem : "\(path): \(problem)")
    }

    private func expected(_ what: String) -> TokenizerError {
        error(.invalidFile, "expected \(what), found \(value.kind)")
    }

    /// The members of an object.
    func members() throws(TokenizerError) -> [(name: ArraySlice<UInt8>, value: JSONValue)] {
        guard case .object(let members) = value else { throw expected("an object") }
        return members
    }

    /// A member of an object; `nil` when it is missing or null.
    func optional(_ name: String) throws(TokenizerError) -> JSONField? {
        let found = try members().filter { $0.name.elementsEqual(name.utf8) }
        let path = path.isEmpty ? name : "\(path).\(name)"
        guard found.count < 2 else { throw JSONField(.null, path: path).error(.invalidFile, "it is there twice") }
        guard let value = found.first?.value else { return nil }
        if case .null = value { return nil }
        return JSONField(value, path: path)
    }

    /// A member of an object that must be there.
    func required(_ name: String) throws(TokenizerError) -> JSONField {
        guard let field = try optional(name) else { throw error(.invalidFile, "'\(name)' is missing") }
        return field
    }

    /// The elements of an array.
    func elements() throws(TokenizerError) -> [JSONField] {
        guard case .array(let elements) = value else { throw expected("an array") }
        return elements.enumerated().map { JSONField($1, path: "\(path)[\($0)]") }
    }

    /// The bytes of a string.
    func bytes() throws(TokenizerError) -> ArraySlice<UInt8> {
        guard case .string(let bytes) = value else { throw expected("a string") }
        return bytes
    }

    /// A string.
    func string() throws(TokenizerError) -> String { String(decoding: try bytes(), as: UTF8.self) }

    /// A boolean.
    func bool() throws(TokenizerError) -> Bool {
        guard case .bool(let bool) = value else { throw expected("a boolean") }
        return bool
    }

    /// A whole number.
    func integer() throws(TokenizerError) -> Int {
        guard case .number(let digits) = value else { throw expected("a whole number") }
        let text = String(decoding: digits, as: UTF8.self)
        guard digits.first != UInt8(ascii: "+"), let integer = Int(text) else {
            throw error(.invalidFile, "expected a whole number, found \(text.prefix(40))")
        }
        return integer
    }

    /// An id: at least 0 and less than ``TokenTable/maximumCount``.
    func tokenID() throws(TokenizerError) -> Int {
        let id = try integer()
        guard id >= 0, id < TokenTable.maximumCount else {
            throw error(.invalidFile, "the id \(id), expected one of 0..<\(TokenTable.maximumCount)")
        }
        return id
    }
}
