import Foundation
import UniMedData

/// A table of reports, one row an image: CSV with a header, or JSON (a list of objects).
struct ReportTable {
    struct Row {
        let id: String
        let fields: Result<[String: String], Skip>
    }

    let rows: [Row]

    init(_ path: String, in folder: DatasetFolder) throws(ImportError) {
        let url = folder.url(path)
        let name = url.deletingPathExtension().lastPathComponent
        if path.hasSuffix(".json") {
            let list = try importing(folder.importer) { () throws(DataError) in
                try DataFile.readJSON([Lenient<[String: LooseText]>].self, from: url)
            }
            rows = list.enumerated().map { index, entry in
                Row(id: "\(name)-\(index + 1)", fields: entry.result.map { $0.compactMapValues(\.text) })
            }
        } else {
            rows = try CSVFile(contentsOf: url, importer: folder.importer).rows.enumerated().map { index, row in
                Row(id: "\(name)-\(index + 1)", fields: row.fields)
            }
        }
    }

    /// A text or number; what is neither counts as missing.
    private struct LooseText: Decodable {
        let text: String?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            text = (try? container.decode(String.self)) ?? (try? container.decode(Int.self)).map(String.init)
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
