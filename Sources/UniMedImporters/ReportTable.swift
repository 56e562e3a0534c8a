import Foundation
import UniMedData

/// A table of reports, one row an image: CSV with a header, or JSON (a list of objects).
struct ReportTable {
    struct Row {
        let id: String
        let fields: Result<[String: String], Skip>
    }

    let rows: [Row]

    /// Reads a table.
    ///
    /// - Parameters:
    ///   - path: The file; its ending tells the form.
    ///   - folder: The folder that it is in.
    ///   - columns: Columns of which the CSV form must have one of each list.
    ///   - encoding: The encoding of the CSV form.
    init(
        _ path: String,
        in folder: DatasetFolder,
        columns required: [[String]],
        encoding: DelimitedText.Encoding
    ) throws(ImportError) {
        let url = folder.url(path)
        let name = url.deletingPathExtension().lastPathComponent
        if path.hasSuffix(".json") {
            let list = try importing(folder.importer) { () throws(DataError) in
                try DataFile.readJSON([LenientRecord<[String: LooseText]>].self, from: url)
            }
            rows = list.enumerated().map { index, entry in
                Row(id: "\(name)-\(index + 1)", fields: entry.result.map { $0.compactMapValues(\.text) })
            }
        } else {
            let table = try DelimitedTable(contentsOf: url, encoding: encoding, importer: folder.importer)
            for names in required { try table.requireColumn(oneOf: names) }
            for name in Set(table.columns) { _ = try table.column(name) }
            let columns = table.columns
            rows = table.rows.enumerated().map { index, row in
                let fields = row.fields.map { Dictionary(uniqueKeysWithValues: zip(columns, $0)) }
                return Row(id: "\(name)-\(index + 1)", fields: fields)
            }
        }
    }

    /// A text or number; what is neither counts as missing.
    private struct LooseText: Decodable {
        let text: String?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            do {
                text = try container.decode(String.self)
            } catch is DecodingError {
                text = (try? container.decode(Int.self)).map(String.init)
            }
        }
    }
}

extension [String: String] {
    /// The first of several fields that has a text; pandas writes missing ones as nothing or `nan`.
    func firstText(of names: [String]) -> String? {
        for name in names {
            if let text = self[name]?.collapsed, !text.isEmpty, text.lowercased() != "nan" { return text }
        }
        return nil
    }
}
