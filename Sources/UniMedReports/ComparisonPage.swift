public import Foundation
import UniMedData

/// Plots and tables side by side as one HTML page that needs no other file; all text is escaped.
public struct ComparisonPage: Sendable {
    /// A table of texts.
    public struct Table: Sendable, Equatable {
        /// What it shows.
        public var title: String
        /// The headings.
        public var headings: [String]
        /// The lines.
        public var lines: [[String]]
        /// How many columns from the left hold words; the others are aligned as numbers.
        public var wordColumns: Int

        /// Makes a table.
        public init(title: String, headings: [String], lines: [[String]], wordColumns: Int) {
            self.title = title
            self.headings = headings
            self.lines = lines
            self.wordColumns = wordColumns
        }
    }

    /// The page's title.
    public var title: String
    /// Remarks, one paragraph each.
    public var notes: [String]
    /// The plots.
    public var figures: [ReportFigure]
    /// The tables; one without lines is left out.
    public var tables: [Table]

    /// Makes a page.
    public init(title: String, notes: [String] = [], figures: [ReportFigure] = [], tables: [Table]) {
        self.title = title
        self.notes = notes
        self.figures = figures
        self.tables = tables
    }

    /// The page: a complete HTML document.
    ///
    /// - Parameter plotting: Whether it gets plots.
    /// - Throws: ``ReportError`` when a plot's parts do not fit together or gnuplot fails.
    public func html(plotting: ReportPage.Plotting = .whereInstalled) throws(ReportError) -> String {
        var content: [String: Any] = ["title": title, "style": Templates.style, "notes": notes]
        var drawn: [[String: String]] = []
        switch plotting {
        case .omitted(let reason):
            if !figures.isEmpty { content["omitted"] = reason.description }
        case .drawn(let gnuplot):
            for (index, figure) in figures.enumerated() {
                do throws(ReportError) {
                    let svg = try gnuplot.svg(figure.plot, identifier: "plot\(index)")
                    drawn.append(["title": figure.plot.title, "svg": svg, "caption": figure.caption])
                } catch .noData {
                    continue
                }
            }
        }
        content["figures"] = drawn
        content["tables"] = tables.filter { !$0.lines.isEmpty }.map { table -> [String: Any] in
            let cells = { (line: [String]) in
                line.enumerated().map { column, text in
                    ["text": text, "kind": column < table.wordColumns ? "word" : "number"]
                }
            }
            return [
                "title": table.title, "headings": cells(table.headings),
                "lines": table.lines.map { ["cells": cells($0)] },
            ]
        }
        return Templates.renderComparison(content)
    }

    /// Writes the page to a file, which appears complete or not at all.
    ///
    /// - Throws: ``ReportError`` when a plot fails or the file cannot be written.
    public func write(to url: URL, plotting: ReportPage.Plotting = .whereInstalled) throws(ReportError) {
        let html = try html(plotting: plotting)
        do throws(DataError) {
            try AtomicFile.write(Data(html.utf8), to: url)
        } catch {
            throw .fileSystem(path: url.path, reason: error.problem)
        }
    }
}
