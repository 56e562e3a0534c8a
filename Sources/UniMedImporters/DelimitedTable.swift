import Foundation
import UniMedData

/// A table of delimited text with a header.
struct DelimitedTable {
    /// One row, or why it is none; `line` is where it starts, counted from 1.
    struct Row {
        let line: Int
        let fields: Result<[String], Skip>
    }

    /// The names of the columns, without blanks at their ends.
    let columns: [String]
    let rows: [Row]
    private let url: URL
    private let importer: String

    /// Reads a file.
    ///
    /// - Throws: ``ImportError`` when there is no header or it cannot be read.
    init(
        contentsOf url: URL,
        delimiter: DelimitedText.Delimiter = .comma,
        encoding: DelimitedText.Encoding = .utf8,
        importer: String
    ) throws(ImportError) {
        func fault(_ problem: String) -> ImportError {
            ImportError(.malformed, problem, file: url.path, line: 1, importer: importer)
        }
        let data = try importing(importer) { () throws(DataError) in try DataFile.read(url) }
        var reader = DelimitedText(data, delimiter: delimiter, encoding: encoding)
        guard let header = reader.next() else { throw fault("the table is empty") }
        switch header.fields {
        case .success(let fields): columns = fields.map { $0.trimmingCharacters(in: .whitespaces) }
        case .failure(let skip): throw fault(skip.reason)
        }
        var rows: [Row] = []
        while let record = reader.next() {
            let fields = record.fields.flatMap { [columns] fields -> Result<[String], Skip> in
                guard fields.count == columns.count else {
                    return .failure(Skip("the row has more or fewer fields than the header"))
                }
                return .success(fields)
            }
            rows.append(Row(line: record.line, fields: fields))
        }
        self.rows = rows
        self.url = url
        self.importer = importer
    }

    /// Where a column is.
    ///
    /// - Throws: ``ImportError`` when no column, or more than one, has the name.
    func column(_ name: String) throws(ImportError) -> Int {
        guard let index = columns.firstIndex(of: name) else {
            throw fault("no such column; there are \(columns.joined(separator: ", "))", name)
        }
        guard columns.lastIndex(of: name) == index else { throw fault("there are two such columns", name) }
        return index
    }

    /// Checks that at least one of some columns is there.
    func requireColumn(oneOf names: [String]) throws(ImportError) {
        guard names.contains(where: columns.contains) else {
            throw fault("no such column; there are \(columns.joined(separator: ", "))", names.joined(separator: " or "))
        }
    }

    private func fault(_ problem: String, _ field: String) -> ImportError {
        ImportError(.malformed, problem, file: url.path, line: 1, field: field, importer: importer)
    }
}
