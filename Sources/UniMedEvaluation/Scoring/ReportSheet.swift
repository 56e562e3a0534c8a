import Foundation

/// A table of texts, and the forms in which tables are written.
struct ReportSheet {
    var title: String
    var headings: [String]
    /// The lines; one with a single text is a heading over all columns.
    var lines: [[String]]
    /// The columns that hold words; the others are aligned as numbers.
    var wordColumns: Set<Int>

    private func isHeading(_ line: [String]) -> Bool { line.count == 1 && headings.count > 1 }

    /// The tables with aligned columns for a terminal.
    static func text(_ sheets: [ReportSheet], notes: [String]) -> String {
        sheets.map { sheet in
            let all = [sheet.headings] + sheet.lines
            let whole = all.filter { !sheet.isHeading($0) }
            let widths = sheet.headings.indices.map { column in whole.map { $0[column].count }.max() ?? 0 }
            let lines = all.map { line in
                if sheet.isHeading(line) { return line[0] }
                return line.enumerated().map { column, cell in
                    let padding = String(repeating: " ", count: widths[column] - cell.count)
                    return sheet.wordColumns.contains(column) ? cell + padding : padding + cell
                }.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
            }
            return sheet.title + "\n" + lines.joined(separator: "\n") + "\n"
        }.joined(separator: "\n") + "\n" + notes.joined(separator: "\n") + "\n"
    }

    /// The tables in Markdown.
    static func markdown(_ sheets: [ReportSheet], notes: [String]) -> String {
        let escape = { (text: String) in
            text.replacingOccurrences(of: "|", with: "\\|").replacingOccurrences(of: "\n", with: " ")
        }
        return sheets.map { sheet in
            let separator = sheet.headings.indices.map { sheet.wordColumns.contains($0) ? "---" : "---:" }
            let lines = ([sheet.headings, separator] + sheet.lines).map { line in
                let blank = [String](repeating: "", count: sheet.headings.count - 1)
                let cells = sheet.isHeading(line) ? ["**\(line[0])**"] + blank : line
                return "| " + cells.map(escape).joined(separator: " | ") + " |"
            }
            return "**\(sheet.title)**\n\n" + lines.joined(separator: "\n") + "\n"
        }.joined(separator: "\n") + "\n" + notes.map { "- " + escape($0) }.joined(separator: "\n") + "\n"
    }

    /// The tables in LaTeX, without packages.
    static func latex(_ sheets: [ReportSheet], notes: [String]) -> String {
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
                case "±": result += "$\\pm$"
                case "Δ": result += "$\\Delta$"
                case "\n": result += " "
                default: result.append(character)
                }
            }
            return result
        }
        let tables = sheets.map { sheet in
            let columns = sheet.headings.indices.map { sheet.wordColumns.contains($0) ? "l" : "r" }.joined()
            let lines = ([sheet.headings] + sheet.lines).map { line in
                sheet.isHeading(line)
                    ? "\\multicolumn{\(sheet.headings.count)}{l}{\(escape(line[0]))} \\\\"
                    : line.map(escape).joined(separator: " & ") + " \\\\"
            }
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
    static func html(_ sheets: [ReportSheet], title: String, notes: [String]) -> String {
        let escape = { (text: String) in
            text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
                .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
        }
        let tables = sheets.map { sheet in
            let cells = { (line: [String], tag: String) in
                if sheet.isHeading(line) {
                    return "<th colspan=\"\(sheet.headings.count)\">\(escape(line[0]))</th>"
                }
                return line.enumerated().map { column, cell in
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
            <html lang="en"><head><meta charset="utf-8"><title>\(escape(title))</title>
            <style>
            body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
            table { border-collapse: collapse; margin: 0 0 2rem; }
            caption { text-align: left; font-weight: 600; padding: 0.4rem 0; }
            th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left; }
            .n { text-align: right; font-variant-numeric: tabular-nums; }
            </style></head><body>
            <h1>\(escape(title))</h1>
            \(tables.joined(separator: "\n"))
            <ul>\(notes.map { "<li>\(escape($0))</li>" }.joined(separator: "\n"))</ul>
            </body></html>

            """
    }

    /// A field of a line of comma-separated values.
    static func quoted(_ text: String) -> String {
        text.contains(where: { ",\"\n\r".contains($0) })
            ? "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : text
    }
}
