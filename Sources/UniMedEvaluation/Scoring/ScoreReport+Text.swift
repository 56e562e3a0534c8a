import Foundation
import UniMedData
import UniMedMetrics

extension ScoreReport {
    /// The forms a report is written in.
    public enum Form: String, Sendable, CaseIterable {
        case text, json, csv, markdown, latex, html
    }

    /// The report in one of its forms; JSON holds everything, the others the tables.
    public func written(as form: Form) throws -> String {
        switch form {
        case .text: return text
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
        case .csv: return csv
        case .markdown: return markdown
        case .latex: return latex
        case .html: return html
        }
    }

    private struct Sheet {
        var title: String
        var headings: [String]
        var lines: [[String]]
        /// How many columns from the left hold words.
        var wordColumns: Set<Int>
    }

    private static func percent(_ share: Double) -> String { String(format: "%.2f", share * 100) }
    private static func signed(_ share: Double) -> String { String(format: "%+.2f", share * 100) }

    private var scores: Sheet {
        let confidence = String(format: "%g%%", bootstrap.confidence * 100)
        var headings = ["Data set", "Task", "Subset", "Metric", "n", "Skipped", "Unparsable", "Value"]
        if runCount > 1 { headings.append("SD over \(runCount) runs") }
        headings.append("\(confidence) interval")
        if otherRunCount > 0 { headings += ["Other", "Difference", "\(confidence) interval", "p", "Gain"] }
        var lines: [[String]] = []
        for row in rows {
            let head = [row.dataset, row.task.rawValue, row.subset.rawValue]
            let unparsable = row.unparsable.map(String.init).joined(separator: ", ")
            let skipped = row.skipped.map(String.init) ?? "-"
            if row.cells.isEmpty {
                var line = head + ["-", "\(row.n)", skipped, unparsable.isEmpty ? "-" : unparsable]
                line += [String](repeating: "-", count: headings.count - line.count)
                lines.append(line)
            }
            for cell in row.cells {
                // What is no share is not given in percent.
                let value = cell.metric.isShare ? Self.percent : { String(format: "%.3f", $0) }
                let difference = cell.metric.isShare ? Self.signed : { String(format: "%+.3f", $0) }
                var line = head + [cell.metric.title, "\(cell.n)", skipped, unparsable, value(cell.value)]
                if runCount > 1 { line.append(cell.standardDeviation.map(value) ?? "-") }
                line.append(Self.interval(cell.lower, cell.upper, value))
                if otherRunCount > 0 {
                    if let other = cell.comparison {
                        line += [
                            value(other.value), difference(other.difference),
                            Self.interval(other.lower, other.upper, difference), String(format: "%.4f", other.pValue),
                            other.gain.map { Self.signed($0) + "%" } ?? "-",
                        ]
                    } else {
                        line += ["-", "-", "-", "-", "-"]
                    }
                }
                lines.append(line)
            }
        }
        return Sheet(title: "Scores, in percent", headings: headings, lines: lines, wordColumns: [0, 1, 2, 3])
    }

    private static func interval(_ lower: Double?, _ upper: Double?, _ form: (Double) -> String) -> String {
        guard let lower, let upper else { return "-" }
        return "\(form(lower)) to \(form(upper))"
    }

    private var classSheet: Sheet? {
        let lines = rows.flatMap { row in
            row.classes.map { part in
                [
                    row.dataset, part.label, "\(part.support)", "\(part.predicted)", Self.percent(part.precision),
                    Self.percent(part.recall), Self.percent(part.f1), part.rocArea.map { Self.percent($0) } ?? "-",
                ]
            }
        }
        guard !lines.isEmpty else { return nil }
        let headings = ["Data set", "Class", "References", "Answers", "Precision", "Recall", "F1", "ROC area"]
        let title = runCount > 1 ? "Classes, in the first run, in percent" : "Classes, in percent"
        return Sheet(title: title, headings: headings, lines: lines, wordColumns: [0, 1])
    }

    private var gainSheet: Sheet? {
        guard let totalGain else { return nil }
        let lines = gains.map { [$0.task.rawValue, "\($0.datasets)", Self.signed($0.gain) + "%"] }
        return Sheet(
            title: "Gain over the other model",
            headings: ["Task", "Data sets", "Gain"],
            lines: lines + [["total", "\(gains.reduce(0) { $0 + $1.datasets })", Self.signed(totalGain) + "%"]],
            wordColumns: [0]
        )
    }

    private var sheets: [Sheet] { [scores, classSheet, gainSheet].compactMap { $0 } }

    /// What a reader must know beside the numbers.
    public var notes: [String] {
        var notes: [String] = []
        if !missingMETEORStages.isEmpty {
            notes.append(
                "METEOR without its stages \(missingMETEORStages.joined(separator: " and ")), whose data is not there: its "
                    + "values are too low to be compared with others."
            )
        }
        var reasons: [String] = []
        for missing in missingModelMetrics where !reasons.contains(missing.reason) { reasons.append(missing.reason) }
        for reason in reasons {
            let titles = missingModelMetrics.filter { $0.reason == reason }.map(\.metric.title)
            notes.append("Not computed: \(titles.joined(separator: ", ")): \(reason).")
        }
        for row in rows where row.leftOut > 0 {
            notes.append(
                "\(row.dataset), \(row.task.rawValue): \(row.leftOut) of \(row.n) reports have an empty text and are left "
                    + "out of the corpus metrics, as in the published evaluation."
            )
        }
        if rows.contains(where: { $0.skipped == nil && $0.subset == .all }) {
            notes.append(
                "The number of skipped samples is not known where no evaluation.json stands beside the predictions."
            )
        }
        let unit = resamplingUnit == .groups ? "patients, cases or studies" : "samples"
        notes.append("Intervals: \(bootstrap.resampleCount) bootstrap draws of \(unit), seed \(bootstrap.seed).")
        return notes
    }

    /// The tables with aligned columns for a terminal.
    public var text: String {
        sheets.map { sheet in
            let all = [sheet.headings] + sheet.lines
            let widths = sheet.headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
            let lines = all.map { line in
                line.enumerated().map { column, cell in
                    let padding = String(repeating: " ", count: widths[column] - cell.count)
                    return sheet.wordColumns.contains(column) ? cell + padding : padding + cell
                }.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
            }
            return sheet.title + "\n" + lines.joined(separator: "\n") + "\n"
        }.joined(separator: "\n") + "\n" + notes.joined(separator: "\n") + "\n"
    }

    /// The tables in Markdown.
    public var markdown: String {
        let escape = { (text: String) in
            text.replacingOccurrences(of: "|", with: "\\|").replacingOccurrences(of: "\n", with: " ")
        }
        return sheets.map { sheet in
            let separator = sheet.headings.indices.map { sheet.wordColumns.contains($0) ? "---" : "---:" }
            let lines = ([sheet.headings, separator] + sheet.lines).map {
                "| " + $0.map(escape).joined(separator: " | ") + " |"
            }
            return "**\(sheet.title)**\n\n" + lines.joined(separator: "\n") + "\n"
        }.joined(separator: "\n") + "\n" + notes.map { "- " + escape($0) }.joined(separator: "\n") + "\n"
    }

    /// One line per metric with all digits, and nothing else: for other programs.
    public var csv: String {
        let quoted = { (text: String) in
            text.contains(where: { ",\"\n\r".contains($0) })
                ? "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : text
        }
        let number = { (value: Double?) in value.map { "\($0)" } ?? "" }
        var lines = [
            "dataset,task,subset,metric,is_primary,n,skipped,unparsable,value,sd,lower,upper,other,difference,"
                + "difference_lower,difference_upper,p,gain"
        ]
        for row in rows {
            for cell in row.cells {
                let other = cell.comparison
                let unparsable = row.unparsable.map(String.init).joined(separator: " ")
                lines.append(
                    [
                        quoted(row.dataset), row.task.rawValue, row.subset.rawValue, cell.metric.rawValue,
                        cell.metric == row.primary ? "1" : "0", "\(cell.n)", row.skipped.map(String.init) ?? "",
                        unparsable, "\(cell.value)", number(cell.standardDeviation), number(cell.lower),
                        number(cell.upper), number(other?.value), number(other?.difference), number(other?.lower),
                        number(other?.upper), number(other?.pValue), number(other?.gain),
                    ].joined(separator: ",")
                )
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The tables in LaTeX, without packages.
    public var latex: String {
        let escape = { (text: String) in
            var result = ""
            for character in text {
                switch character {
                case "&", "%", "$", "#", "_", "{", "}": result += "\\" + String(character)
                case "\\": result += "\\textbackslash{}"
                case "~": result += "\\textasciitilde{}"
                case "^": result += "\\textasciicircum{}"
                case "<": result += "$<$"
                case ">": result += "$>$"
                case "\n": result += " "
                default: result.append(character)
                }
            }
            return result
        }
        let tables = sheets.map { sheet in
            let columns = sheet.headings.indices.map { sheet.wordColumns.contains($0) ? "l" : "r" }.joined()
            let lines = ([sheet.headings] + sheet.lines).map { $0.map(escape).joined(separator: " & ") + " \\\\" }
            return """
                \\begin{table}
                \\caption{\(escape(sheet.title))}
                \\begin{tabular}{\(columns)}
                \\hline
                \(lines[0])
                \\hline
                \(lines.dropFirst().joined(separator: "\n"))
                \\hline
                \\end{tabular}
                \\end{table}
                """
        }
        return tables.joined(separator: "\n\n") + "\n\n" + notes.map { "% " + $0 }.joined(separator: "\n") + "\n"
    }

    /// A page that needs no other file.
    public var html: String {
        let escape = { (text: String) in
            text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
                .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
        }
        let tables = sheets.map { sheet in
            let cells = { (line: [String], tag: String) in
                line.enumerated().map { column, cell in
                    "<\(tag)\(sheet.wordColumns.contains(column) ? "" : " class=\"n\"")>\(escape(cell))</\(tag)>"
                }.joined()
            }
            let lines = sheet.lines.map { "<tr>\(cells($0, "td"))</tr>" }.joined(separator: "\n")
            return """
                <table><caption>\(escape(sheet.title))</caption>
                <thead><tr>\(cells(sheet.headings, "th"))</tr></thead>
                <tbody>
                \(lines)
                </tbody></table>
                """
        }
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><title>Scores</title>
            <style>
            body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
            table { border-collapse: collapse; margin: 0 0 2rem; }
            caption { text-align: left; font-weight: 600; padding: 0.4rem 0; }
            th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left; }
            .n { text-align: right; font-variant-numeric: tabular-nums; }
            </style></head><body>
            <h1>Scores</h1>
            \(tables.joined(separator: "\n"))
            <ul>\(notes.map { "<li>\(escape($0))</li>" }.joined(separator: "\n"))</ul>
            </body></html>

            """
    }
}
