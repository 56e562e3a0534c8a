import Foundation
import UniMedData
import UniMedMetrics

extension ScoreReport.Row {
    /// The number of leaks by kind, for example `3 image 1 study`; a dash where it was not checked.
    public var leakText: String {
        guard let leaks else { return "-" }
        let parts = LeakKind.allCases.compactMap { kind in leaks[kind].map { "\($0) \(kind.rawValue)" } }
        return parts.isEmpty ? "0" : parts.joined(separator: " ")
    }
}

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

    private static func percent(_ share: Double) -> String { String(format: "%.2f", share * 100) }
    private static func signed(_ share: Double) -> String { String(format: "%+.2f", share * 100) }

    private var scores: ReportSheet {
        var headings = ["Data set", "Task", "Subset", "Metric", "n", "Skipped", "Unparsable", "Leaks", "Value"]
        if runCount > 1 { headings.append("SD over \(runCount) runs") }
        headings.append("\(confidence) interval")
        if otherRunCount > 0 { headings += ["Other", "Difference", "\(confidence) interval", "p", "Gain"] }
        var lines: [[String]] = []
        for row in rows {
            let head = [row.dataset, row.task.rawValue, row.subset.rawValue]
            let unparsable = row.unparsable.map(String.init).joined(separator: ", ")
            let skipped = row.skipped.map(String.init) ?? "-"
            if row.cells.isEmpty {
                var line = head + ["-", "\(row.n)", skipped, unparsable.isEmpty ? "-" : unparsable, row.leakText]
                line += [String](repeating: "-", count: headings.count - line.count)
                lines.append(line)
            }
            for cell in row.cells {
                // What is no share is not given in percent.
                let value = cell.metric.isShare ? Self.percent : { String(format: "%.3f", $0) }
                let difference = cell.metric.isShare ? Self.signed : { String(format: "%+.3f", $0) }
                var line = head + [cell.metric.title, "\(cell.n)", skipped, unparsable, row.leakText]
                line.append(value(cell.value))
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
        return ReportSheet(title: "Scores, in percent", headings: headings, lines: lines, wordColumns: [0, 1, 2, 3])
    }

    private static func interval(_ lower: Double?, _ upper: Double?, _ form: (Double) -> String) -> String {
        guard let lower, let upper else { return "-" }
        return "\(form(lower)) to \(form(upper))"
    }

    private var classSheet: ReportSheet? {
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
        return ReportSheet(title: title, headings: headings, lines: lines, wordColumns: [0, 1])
    }

    private var confidence: String { String(format: "%g%%", bootstrap.confidence * 100) }

    private var gainSheet: ReportSheet? {
        guard let totalGain else { return nil }
        func line(_ name: String, _ datasets: Int, _ gain: Double, _ lower: Double?, _ upper: Double?) -> [String] {
            let interval = lower.flatMap { lower in upper.map { "\(Self.signed(lower)) to \(Self.signed($0))%" } }
            return [name, "\(datasets)", Self.signed(gain) + "%", interval ?? "-"]
        }
        let lines = gains.map { line($0.task.rawValue, $0.datasets, $0.gain, $0.lower, $0.upper) }
        let datasets = gains.reduce(0) { $0 + $1.datasets }
        return ReportSheet(
            title: "Gain over the other model",
            headings: ["Task", "Data sets", "Gain", "\(confidence) interval"],
            lines: lines + [line("total", datasets, totalGain, totalGainLower, totalGainUpper)],
            wordColumns: [0]
        )
    }

    private var sheets: [ReportSheet] { [scores, classSheet, gainSheet].compactMap { $0 } }

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
        if rows.contains(where: { $0.leaks?.isEmpty == false }) {
            notes.append(
                "Some samples stand in the training split of the model, by their image, study or text: their scores are "
                    + "not those of unseen samples."
            )
        }
        if rows.contains(where: { $0.leaks == nil && $0.n > 0 }) {
            notes.append(
                "Leaks are not checked where the model's run has no digests of its training split (training-split.json)."
            )
        }
        let unit = resamplingUnit == .groups ? "patients, cases or studies" : "samples"
        notes.append("Intervals: \(bootstrap.resampleCount) bootstrap draws of \(unit), seed \(bootstrap.seed).")
        return notes
    }

    /// The tables with aligned columns for a terminal.
    public var text: String { ReportSheet.text(sheets, notes: notes) }

    /// The tables in Markdown.
    public var markdown: String { ReportSheet.markdown(sheets, notes: notes) }

    /// One line per metric with all digits, and nothing else: for other programs.
    public var csv: String {
        let quoted = ReportSheet.quoted
        let number = { (value: Double?) in value.map { "\($0)" } ?? "" }
        var lines = [
            "dataset,task,subset,metric,is_primary,n,skipped,unparsable,value,sd,lower,upper,other,difference,"
                + "difference_lower,difference_upper,p,gain,leaks"
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
                        row.leaks == nil ? "" : row.leakText,
                    ].joined(separator: ",")
                )
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The tables in LaTeX, without packages.
    public var latex: String { ReportSheet.latex(sheets, notes: notes) }

    /// A page that needs no other file.
    public var html: String { ReportSheet.html(sheets, title: "Scores", notes: notes) }
}
