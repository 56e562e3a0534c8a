import Foundation
public import UniMedData
public import UniMedMetrics

/// The scores of several models over the same samples, in the layout of the paper's tables.
public struct AblationTable: Codable, Sendable, Equatable {
    /// How the table is laid out.
    public enum Layout: String, Codable, Sendable, CaseIterable {
        /// A line for each model, with the main metric of each task and the gains: the paper's tables 2 and 5.
        case ablation
        /// A line for each data set and metric, with a column for each model: the paper's tables 3, 6 and 7.
        case capability
    }

    /// A model with its seeds.
    public struct Row: Codable, Sendable, Equatable {
        /// The name.
        public var name: String
        /// What stands in the first columns.
        public var labels: [String]
        /// The heading above it, where it begins a part of the table.
        public var section: String?
        /// The row it is compared with; `nil` for a baseline.
        public var baseline: String?
        /// The seeds that are finished.
        public var seeds: [UInt64]
        /// The scores, compared with those of the baseline; `nil` where no seed is finished.
        public var report: ScoreReport?

        /// Makes a row.
        public init(
            name: String,
            labels: [String],
            section: String? = nil,
            baseline: String? = nil,
            seeds: [UInt64],
            report: ScoreReport?
        ) {
            self.name = name
            self.labels = labels
            self.section = section
            self.baseline = baseline
            self.seeds = seeds
            self.report = report
        }
    }

    /// What the table shows.
    public var title: String
    /// The headings of the rows' labels.
    public var columns: [String]
    /// How it is laid out.
    public var layout: Layout
    /// The seeds that every row shall have.
    public var seeds: [UInt64]
    /// The models.
    public var rows: [Row]
    /// Remarks below the table.
    public var remarks: [String]

    /// Makes a table.
    ///
    /// - Precondition: every row has as many labels as there are columns.
    public init(
        title: String,
        columns: [String],
        layout: Layout = .ablation,
        seeds: [UInt64],
        rows: [Row],
        remarks: [String] = []
    ) {
        precondition(rows.allSatisfy { $0.labels.count == columns.count }, "a row has a label for every column")
        self.title = title
        self.columns = columns
        self.layout = layout
        self.seeds = seeds
        self.rows = rows
        self.remarks = remarks
    }

    /// The metrics of a task that the paper's tables 3, 6 and 7 give.
    public static func metrics(of task: MedicalTask) -> [Metric] {
        switch task {
        case .questionAnswering: [.exactMatch]
        case .visualQuestionAnswering: [.bleu1, .f1]
        case .reportGeneration:
            [.corpusBLEU1, .corpusBLEU4, .rouge1, .rouge2, .rougeL, .meteor, .radGraphF1, .radCliQ0, .radCliQ1]
        case .referringExpressionComprehension: [.intersectionOverUnion, .recallAboveHalf]
        case .referringExpressionGeneration: [.bleu1, .f1, .accuracy]
        case .imageClassification: [.accuracy]
        }
    }

    /// The table in one of the forms of reports; JSON and CSV hold every metric with all digits.
    ///
    /// - Throws: An error of the encoder, for JSON.
    public func written(as form: ScoreReport.Form) throws -> String {
        switch form {
        case .text: return ReportSheet.text(sheets, notes: notes)
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
        case .csv: return csv
        case .markdown: return ReportSheet.markdown(sheets, notes: notes)
        case .latex: return ReportSheet.latex(sheets, notes: notes)
        case .html: return ReportSheet.html(sheets, title: title, notes: notes)
        }
    }

    // MARK: Sheets

    private var sheets: [ReportSheet] { [layout == .ablation ? ablation : capability, details] }

    /// The order of the paper's columns.
    private static let taskOrder: [MedicalTask] = [
        .questionAnswering, .visualQuestionAnswering, .referringExpressionComprehension,
        .referringExpressionGeneration, .reportGeneration, .imageClassification,
    ]

    /// The tasks and data sets that any row has.
    private var parts: [(task: MedicalTask, datasets: [String])] {
        let all = rows.compactMap(\.report).flatMap(\.rows).filter { $0.subset == .all }
        return AblationTable.taskOrder.compactMap { task in
            var datasets: [String] = []
            for row in all where row.task == task && !datasets.contains(row.dataset) { datasets.append(row.dataset) }
            return datasets.isEmpty ? nil : (task, datasets)
        }
    }

    private func part(_ report: ScoreReport, _ task: MedicalTask, _ dataset: String) -> ScoreReport.Row? {
        report.rows.first { $0.task == task && $0.dataset == dataset && $0.subset == .all }
    }

    private static func value(_ cell: ScoreReport.Cell) -> String {
        let form = { (value: Double) in
            cell.metric.isShare ? String(format: "%.2f", value * 100) : String(format: "%.3f", value)
        }
        return form(cell.value) + (cell.standardDeviation.map { " ± " + form($0) } ?? "")
    }

    private static func percent(_ gain: Double) -> String { String(format: "%+.1f%%", gain * 100) }

    private var ablation: ReportSheet {
        let parts = parts
        var headings = columns
        for part in parts {
            let metric = rows.lazy.compactMap(\.report).flatMap(\.rows).first { $0.task == part.task }?.primary
            headings += ["\(part.task.rawValue.uppercased()) \(metric?.title ?? "")", "Δ"]
        }
        headings += ["Total Δ", "Interval"]
        var lines: [[String]] = []
        for row in rows {
            if let section = row.section { lines.append([section]) }
            var line = row.labels
            guard let report = row.report else {
                line += [String](repeating: "not run", count: headings.count - line.count)
                lines.append(line)
                continue
            }
            for part in parts {
                let values = part.datasets.map { dataset in
                    self.part(report, part.task, dataset)?.primaryCell.map(AblationTable.value) ?? "-"
                }
                line.append(values.joined(separator: " / "))
                let gain = report.gains.first { $0.task == part.task }
                line.append(gain.map { AblationTable.percent($0.gain) } ?? "")
            }
            line.append(report.totalGain.map(AblationTable.percent) ?? "")
            let ends = [report.totalGainLower, report.totalGainUpper].compactMap { $0.map(AblationTable.percent) }
            line.append(ends.joined(separator: " to "))
            lines.append(line)
        }
        return ReportSheet(title: title, headings: headings, lines: lines, wordColumns: Set(columns.indices))
    }

    private var capability: ReportSheet {
        var lines: [[String]] = []
        for (task, datasets) in parts {
            for dataset in datasets {
                for metric in AblationTable.metrics(of: task) {
                    let values = rows.map { row -> String in
                        guard let report = row.report else { return "not run" }
                        let cell = part(report, task, dataset)?.cells.first { $0.metric == metric }
                        return cell.map(AblationTable.value) ?? "-"
                    }
                    lines.append([task.rawValue, dataset, metric.title] + values)
                }
            }
        }
        return ReportSheet(
            title: title,
            headings: ["Task", "Data set", "Metric"] + rows.map { $0.labels.joined(separator: ", ") },
            lines: lines,
            wordColumns: [0, 1, 2]
        )
    }

    /// Every row's main metrics with intervals, and beside its baseline with paired tests.
    private var details: ReportSheet {
        var lines: [[String]] = []
        for row in rows {
            guard let report = row.report else { continue }
            for part in report.rows where part.subset == .all {
                guard let cell = part.primaryCell else { continue }
                let form = { (value: Double) in
                    cell.metric.isShare ? String(format: "%.2f", value * 100) : String(format: "%.3f", value)
                }
                let signed = { (value: Double) in (value < 0 ? "" : "+") + form(value) }
                let interval = { (lower: Double?, upper: Double?, form: (Double) -> String) -> String in
                    guard let lower, let upper else { return "-" }
                    return "\(form(lower)) to \(form(upper))"
                }
                var line = [
                    row.name, part.dataset, part.task.rawValue, cell.metric.title, "\(part.n)",
                    part.skipped.map(String.init) ?? "-", part.unparsable.map(String.init).joined(separator: ", "),
                    part.leakText, form(cell.value), cell.standardDeviation.map(form) ?? "-",
                    interval(cell.lower, cell.upper, form),
                ]
                if let other = cell.comparison {
                    line += [
                        row.baseline ?? "-", signed(other.difference), interval(other.lower, other.upper, signed),
                        String(format: "%.4f", other.pValue), other.gain.map(AblationTable.percent) ?? "-",
                    ]
                } else {
                    line += ["-", "-", "-", "-", "-"]
                }
                lines.append(line)
            }
        }
        return ReportSheet(
            title: "Each row's main metrics, and beside its baseline",
            headings: [
                "Row", "Data set", "Task", "Metric", "n", "Skipped", "Unparsable", "Leaks", "Value", "SD",
                "95% interval",
                "Baseline", "Difference", "95% interval", "p", "Gain",
            ],
            lines: lines,
            wordColumns: [0, 1, 2, 3, 7, 11]
        )
    }

    /// What a reader must know beside the numbers.
    public var notes: [String] {
        var notes = remarks
        if layout == .ablation {
            for part in parts {
                notes.append("\(part.task.rawValue.uppercased()): \(part.datasets.joined(separator: " / ")).")
            }
            notes.append(
                "Δ: the mean relative improvement over the baseline of the task's data sets; total Δ: the mean of the tasks' "
                    + "(Uni-Med section 4.1), with its interval over draws of samples; seeds are not drawn. Values in percent."
            )
        }
        if seeds.count > 1 {
            notes.append(
                "± is the standard deviation over the seeds \(seeds.map(String.init).joined(separator: ", "))."
            )
        }
        for row in rows where row.seeds != seeds {
            let missing = seeds.filter { !row.seeds.contains($0) }.map(String.init).joined(separator: ", ")
            notes.append("\(row.name): not finished with the seeds \(missing).")
        }
        for report in rows.compactMap(\.report) {
            for note in report.notes where !notes.contains(note) { notes.append(note) }
        }
        return notes
    }

    private var csv: String {
        let number = { (value: Double?) in value.map { "\($0)" } ?? "" }
        var lines = [
            "row,baseline,seeds,dataset,task,subset,metric,is_primary,n,skipped,unparsable,leaks,value,sd,lower,upper,other,"
                + "difference,difference_lower,difference_upper,p,gain,task_gain,total_gain,total_gain_lower,total_gain_upper"
        ]
        for row in rows {
            guard let report = row.report else { continue }
            for part in report.rows {
                let taskGain = report.gains.first { $0.task == part.task }?.gain
                for cell in part.cells {
                    let other = cell.comparison
                    lines.append(
                        [
                            row.name, row.baseline ?? "", row.seeds.map(String.init).joined(separator: " "),
                            ReportSheet.quoted(part.dataset), part.task.rawValue, part.subset.rawValue,
                            cell.metric.rawValue, cell.metric == part.primary ? "1" : "0", "\(cell.n)",
                            part.skipped.map(String.init) ?? "",
                            part.unparsable.map(String.init).joined(separator: " "),
                            part.leaks == nil ? "" : part.leakText, "\(cell.value)", number(cell.standardDeviation),
                            number(cell.lower), number(cell.upper), number(other?.value), number(other?.difference),
                            number(other?.lower), number(other?.upper), number(other?.pValue), number(other?.gain),
                            number(taskGain), number(report.totalGain), number(report.totalGainLower),
                            number(report.totalGainUpper),
                        ].joined(separator: ",")
                    )
                }
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
