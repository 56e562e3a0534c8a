/// JSON as checkpoints use it in headers and indexes, read strictly.
///
/// Foundation's reader keeps one of two equal keys without a word, and does not keep the order; here equal keys are an
/// error. Nesting is limited, so that a file cannot exhaust the stack.
package enum HeaderJSON {
    case object([(key: String, value: HeaderJSON)])
    case array([HeaderJSON])
    case string(String)
    case integer(Int)
    case number(Double)
    case bool(Bool)
    case null

    static let maximumDepth = 8

    /// The most values of a text: far more than any checkpoint has, and few enough to fit the memory.
    static let maximumValueCount = 4_000_000

    /// Why a text is not JSON, with the offset of the byte.
    package struct ParseError: Error {
        package let message: String
        package let offset: Int
    }

    package init(parsing bytes: UnsafeRawBufferPointer) throws(ParseError) {
        var parser = Parser(bytes: bytes)
        self = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.position == bytes.count else { throw parser.error("text after the end") }
    }

    package var kind: String {
        switch self {
        case .object: "an object"
        case .array: "a list"
        case .string: "a string"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .bool(let value): "\(value)"
        case .null: "null"
        }
    }

    /// Non-negative whole numbers, `nil` when this is anything else.
    package var sizes: [Int]? {
        guard case .array(let values) = self else { return nil }
        var sizes: [Int] = []
        sizes.reserveCapacity(values.count)
        for value in values {
            guard case .integer(let size) = value, size >= 0 else { return nil }
            sizes.append(size)
        }
        return sizes
    }

    /// A text as a JSON string, with quotes.
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private struct Parser {
        let bytes: UnsafeRawBufferPointer
        var position = 0
        var valueCount = 0

        func error(_ message: String) -> ParseError { ParseError(message: message, offset: position) }

        mutating func skipSpace() {
            while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
        }

        /// The next byte that is not a space.
        mutating func next() throws(ParseError) -> UInt8 {
            skipSpace()
            guard position < bytes.count else { throw error("it ends too early") }
            return bytes[position]
        }

        mutating func take(_ byte: Character) throws(ParseError) {
            guard try next() == byte.asciiValue else { throw error("expected '\(byte)'") }
            position += 1
        }

        mutating func value(depth: Int) throws(ParseError) -> HeaderJSON {
            guard depth < HeaderJSON.maximumDepth else { throw error("nested too deeply") }
            valueCount += 1
            guard valueCount <= HeaderJSON.maximumValueCount else { throw error("too many values") }
            switch try next() {
            case UInt8(ascii: "{"): return try object(depth: depth)
            case UInt8(ascii: "["): return try array(depth: depth)
            case UInt8(ascii: "\""): return .string(try string())
            case UInt8(ascii: "t"): return try word("true", .bool(true))
            case UInt8(ascii: "f"): return try word("false", .bool(false))
            case UInt8(ascii: "n"): return try word("null", .null)
            default: return try number()
            }
        }

        mutating func word(_ word: StaticString, _ value: HeaderJSON) throws(ParseError) -> HeaderJSON {
            let end = position + word.utf8CodeUnitCount
            let matches = word.withUTF8Buffer { end <= bytes.count && bytes[position..<end].elementsEqual($0) }
            guard matches else { throw error("an unknown word") }
            position = end
            return value
        }

        mutating func object(depth: Int) throws(ParseError) -> HeaderJSON {
            try take("{")
            var entries: [(key: String, value: HeaderJSON)] = []
            var seen: Set<String> = []
            if try next() == UInt8(ascii: "}") {
                position += 1
                return .object([])
            }
            while true {
                guard try next() == UInt8(ascii: "\"") else { throw error("expected a key") }
                let key = try string()
                guard seen.insert(key).inserted else {
                    throw error("the key '\(CheckpointError.shortened(key))' is there twice")
                }
                try take(":")
                entries.append((key, try value(depth: depth + 1)))
                if try next() == UInt8(ascii: "}") {
                    position += 1
                    return .object(entries)
                }
                try take(",")
            }
        }

        mutating func array(depth: Int) throws(ParseError) -> HeaderJSON {
            try take("[")
            var values: [HeaderJSON] = []
            if try next() == UInt8(ascii: "]") {
                position += 1
                return .array([])
            }
            while true {
                values.append(try value(depth: depth + 1))
                if try next() == UInt8(ascii: "]") {
                    position += 1
                    return .array(values)
                }
                try take(",")
            }
        }

        mutating func number() throws(ParseError) -> HeaderJSON {
            let start = position
            while position < bytes.count, position - start < 40,
                bytes[position] == UInt8(ascii: "-") || bytes[position] == UInt8(ascii: "+")
                    || bytes[position] == UInt8(ascii: ".") || bytes[position] == UInt8(ascii: "e")
                    || bytes[position] == UInt8(ascii: "E")
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position])
            {
                position += 1
            }
            let text = String(decoding: bytes[start..<position], as: UTF8.self)
            let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
            let hasLeadingZero = digits.count > 1 && digits.first == "0" && digits.dropFirst().first?.isNumber == true
            if !hasLeadingZero, !text.hasPrefix("+") {
                if let integer = Int(text) { return .integer(integer) }
                if digits.first?.isNumber == true, let number = Double(text) { return .number(number) }
            }
            position = start
            throw error("expected a value")
        }

        mutating func string() throws(ParseError) -> String {
            try take("\"")
            var text: [UInt8] = []
            while position < bytes.count {
                let byte = bytes[position]
                position += 1
                switch byte {
                case UInt8(ascii: "\""):
                    guard let string = String(validating: text, as: UTF8.self) else { throw error("not UTF-8") }
                    return string
                case UInt8(ascii: "\\"):
                    text += try escape()
                case 0..<0x20:
                    throw error("a control character in a string")
                default:
                    text.append(byte)
                }
            }
            throw error("a string does not end")
        }

        mutating func escape() throws(ParseError) -> [UInt8] {
            guard position < bytes.count else { throw error("it ends too early") }
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
            case UInt8(ascii: "b"): return [0x08]
            case UInt8(ascii: "f"): return [0x0C]
            case UInt8(ascii: "n"): return [0x0A]
            case UInt8(ascii: "r"): return [0x0D]
            case UInt8(ascii: "t"): return [0x09]
            case UInt8(ascii: "u"):
                var code = try hexadecimal()
                if (0xD800..<0xDC00).contains(code) {
                    guard position + 2 <= bytes.count, bytes[position] == UInt8(ascii: "\\"),
                        bytes[position + 1] == UInt8(ascii: "u")
                    else { throw error("half of a surrogate pair") }
                    position += 2
                    let low = try hexadecimal()
                    guard (0xDC00..<0xE000).contains(low) else { throw error("half of a surrogate pair") }
                    code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
                }
                guard let scalar = Unicode.Scalar(code) else { throw error("half of a surrogate pair") }
                return Array(String(Character(scalar)).utf8)
            default:
                throw error("an unknown escape")
            }
        }

        mutating func hexadecimal() throws(ParseError) -> UInt32 {
            guard position + 4 <= bytes.count else { throw error("it ends too early") }
            var code: UInt32 = 0
            for byte in bytes[position..<position + 4] {
                guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                    throw error("an unknown escape")
                }
                code = code << 4 | UInt32(digit)
            }
            position += 4
            return code
        }
    }
}
