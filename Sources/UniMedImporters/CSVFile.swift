import Foundation
import UniMedData

/// A CSV file (RFC 4180) with a header: quoted fields may hold commas, doubled quotes and line ends.
struct CSVFile {
    /// One row, or why it is none; `line` is where it starts, counted from 1.
    struct Row {
        let line: Int
        let fields: Result<[String: String], Skip>
    }

    let columns: [String]
    let rows: [Row]

    init(contentsOf url: URL, importer: String) throws(ImportError) {
        let data = try importing(importer) { () throws(DataError) in try DataFile.read(url) }
        var parser = Parser(bytes: [UInt8](data))
        guard let header = parser.next(), case .success(let names) = header.fields,
            names.contains(where: { !$0.isEmpty })
        else {
            throw ImportError(.malformed, "expected a header of UTF-8 text", file: url.path, importer: importer)
        }
        let columns = names.map { $0.trimmingCharacters(in: .whitespaces) }
        guard Set(columns).count == columns.count else {
            throw ImportError(.malformed, "two columns have the same name", file: url.path, importer: importer)
        }
        var rows: [Row] = []
        while let record = parser.next() {
            let fields = record.fields.flatMap { values -> Result<[String: String], Skip> in
                guard values.count == names.count else {
                    return .failure(Skip("the row has more or fewer fields than the header"))
                }
                return .success(Dictionary(uniqueKeysWithValues: zip(columns, values)))
            }
            rows.append(Row(line: record.line, fields: fields))
        }
        self.columns = columns
        self.rows = rows
    }

    /// The first of several columns that the file has.
    func firstColumn(of names: [String]) -> String? { names.first(where: columns.contains) }

    private struct Record {
        let line: Int
        let fields: Result<[String], Skip>
    }

    private struct Parser {
        let bytes: [UInt8]
        var position: Int
        var line = 1

        init(bytes: [UInt8]) {
            self.bytes = bytes
            position = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        }

        /// The next record that is not an empty line.
        mutating func next() -> Record? {
            while position < bytes.count, bytes[position] == 0x0A || bytes[position] == 0x0D {
                if bytes[position] == 0x0A { line += 1 }
                position += 1
            }
            guard position < bytes.count else { return nil }
            let start = line
            var fields: [String] = []
            var problem: Skip?
            while true {
                let (field, isLast) = nextField(&problem)
                if let text = String(validating: field, as: UTF8.self) {
                    fields.append(text)
                } else {
                    problem = problem ?? Skip("the row is not UTF-8 text")
                }
                if isLast { break }
            }
            return Record(line: start, fields: problem.map(Result.failure) ?? .success(fields))
        }

        private mutating func nextField(_ problem: inout Skip?) -> (bytes: [UInt8], isLast: Bool) {
            var field: [UInt8] = []
            var isQuoted = position < bytes.count && bytes[position] == UInt8(ascii: "\"")
            if isQuoted { position += 1 }
            while position < bytes.count {
                let byte = bytes[position]
                position += 1
                if isQuoted {
                    if byte == UInt8(ascii: "\"") {
                        guard position < bytes.count, bytes[position] == byte else {
                            isQuoted = false
                            continue
                        }
                        position += 1
                    } else if byte == 0x0A {
                        line += 1
                    }
                    field.append(byte)
                } else if byte == UInt8(ascii: ",") {
                    return (field, false)
                } else if byte == 0x0A {
                    line += 1
                    if field.last == 0x0D { field.removeLast() }
                    return (field, true)
                } else {
                    field.append(byte)
                }
            }
            if isQuoted { problem = Skip("a quote is not closed") }
            if field.last == 0x0D { field.removeLast() }
            return (field, true)
        }
    }
}
