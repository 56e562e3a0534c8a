import Foundation
import UniMedData

/// A reader of delimited text (RFC 4180): quoted fields with doubled quotation marks, delimiters and line ends inside.
///
/// Lines end with LF, CRLF or CR; a UTF-8 byte order mark is taken off. A quotation mark inside an unquoted field is
/// taken as it is. A record that cannot be read is told as such and does not end the reading, except for a quoted field
/// that is never closed, which takes the rest of the file.
struct DelimitedText {
    enum Encoding: String, CaseIterable {
        case utf8
        case latin1
    }

    enum Delimiter: String, CaseIterable {
        case comma
        case semicolon
        case tab

        var byte: UInt8 {
            switch self {
            case .comma: UInt8(ascii: ",")
            case .semicolon: UInt8(ascii: ";")
            case .tab: UInt8(ascii: "\t")
            }
        }
    }

    struct Record {
        /// The line on which the record starts, counted from 1.
        let line: Int
        let fields: Result<[String], Skip>
    }

    private let bytes: [UInt8]
    private let delimiter: UInt8
    private let encoding: Encoding
    private var position = 0
    private var line = 1

    init(_ data: Data, delimiter: Delimiter = .comma, encoding: Encoding = .utf8) {
        bytes = [UInt8](data.starts(with: [0xEF, 0xBB, 0xBF]) ? data.dropFirst(3) : data)
        self.delimiter = delimiter.byte
        self.encoding = encoding
    }

    /// The next record, or `nil` at the end.
    ///
    /// Empty lines are passed over.
    mutating func next() -> Record? {
        while position < bytes.count, isLineEnd(bytes[position]) { endLine() }
        guard position < bytes.count else { return nil }
        let start = line
        var fields: [String] = []
        var problem: Skip?
        while true {
            switch field() {
            case .success(let text): fields.append(text)
            case .failure(let skip): problem = problem ?? skip
            }
            guard position < bytes.count, bytes[position] == delimiter else { break }
            position += 1
        }
        if position < bytes.count { endLine() }
        return Record(line: start, fields: problem.map { .failure($0) } ?? .success(fields))
    }

    private static let quote = UInt8(ascii: "\"")

    private func isLineEnd(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") }

    private mutating func endLine() {
        let isPair =
            bytes[position] == UInt8(ascii: "\r") && position + 1 < bytes.count
            && bytes[position + 1] == UInt8(ascii: "\n")
        position += isPair ? 2 : 1
        line += 1
    }

    private mutating func field() -> Result<String, Skip> {
        var content: [UInt8] = []
        guard position < bytes.count, bytes[position] == Self.quote else {
            while position < bytes.count, bytes[position] != delimiter, !isLineEnd(bytes[position]) {
                content.append(bytes[position])
                position += 1
            }
            return text(content)
        }
        position += 1
        while position < bytes.count {
            let byte = bytes[position]
            if byte == Self.quote {
                position += 1
                guard position < bytes.count, bytes[position] == Self.quote else {
                    return endQuoted(content)
                }
            } else if isLineEnd(byte) {
                let start = position
                endLine()
                content += bytes[start..<position]
                continue
            }
            content.append(byte)
            position += 1
        }
        return .failure(Skip("a quoted field is never closed"))
    }

    private mutating func endQuoted(_ content: [UInt8]) -> Result<String, Skip> {
        var isClean = true
        while position < bytes.count, bytes[position] != delimiter, !isLineEnd(bytes[position]) {
            isClean = false
            position += 1
        }
        return isClean ? text(content) : .failure(Skip("text after the end of a quoted field"))
    }

    private func text(_ content: [UInt8]) -> Result<String, Skip> {
        switch encoding {
        case .latin1: return .success(String(String.UnicodeScalarView(content.map { Unicode.Scalar($0) })))
        case .utf8:
            guard let text = String(validating: content, as: UTF8.self) else {
                return .failure(Skip("not UTF-8 text (see the setting 'encoding')"))
            }
            return .success(text)
        }
    }
}
