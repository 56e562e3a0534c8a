import Foundation
import UniMedData

extension EvaluationTable {
    /// The column titles of the written forms.
    private static let titles = [
        "Data set", "Task", "n", "Skipped", "Unparsed", "Metric", "Value", "Baseline", "Difference", "95% interval",
    ]

    /// One line of cells per metric, values in percent.
    private var lines: [[String]] {
        rows.flatMap { row -> [[String]] in
            let head = [row.dataset, row.task.rawValue]
            guard !row.cells.isEmpty else {
                return [head + ["\(row.n)", "\(row.skipped)", "\(row.unparsed)", "-", "-", "-", "-", "-"]]
            }
            return row.cells.map { cell in
                let numbers = ["\(cell.n)", "\(row.skipped)", "\(row.unparsed)"]
                return head + numbers + [
                    cell.metric.title,
                    Self.percent(cell.value),
                    cell.baseline.map { Self.percent($0) } ?? "-",
                    cell.difference.map { Self.signedPercent($0.difference) } ?? "-",
                    cell.difference.map { "\(Self.signedPercent($0.lower)) to \(Self.signedPercent($0.upper))" } ?? "-",
                ]
            }
        }
    }

    private var headings: [String] {
        var titles = Self.titles
        titles[9] = String(format: "%g%% interval", bootstrap.confidence * 100)
        return titles
    }

    /// The table in Markdown, one line per metric, values in percent.
    public var markdown: String {
        let escape = { (text: String) in
            text.replacingOccurrences(of: "|", with: "\\|").replacingOccurrences(of: "\n", with: " ")
        }
        let separator = headings.indices.map { [0, 1, 5].contains($0) ? "---" : "---:" }
        return ([headings, separator] + lines)
            .map { "| " + $0.map(escape).joined(separator: " | ") + " |" }
            .joined(separator: "\n") + "\n"
    }

    /// The table with aligned columns for a terminal, one line per metric, values in percent.
    public var text: String {
        let all = [headings] + lines
        let widths = headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { line in
            line.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return [0, 1, 5].contains(column) ? cell + padding : padding + cell
            }.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
        }.joined(separator: "\n") + "\n"
    }

    /// A share as a percentage with one decimal, without the sign.
    static func percent(_ share: Double) -> String { String(format: "%.1f", share * 100) }

    private static func signedPercent(_ share: Double) -> String { String(format: "%+.1f", share * 100) }
}
