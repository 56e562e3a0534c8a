public import Foundation
import Mustache
import UniMedData
public import UniMedMetrics

/// The report of a run as one HTML page that needs no other file: summary, losses, scores, samples, routing.
///
/// Pictures, plots and styles are inside the page. All text is escaped. The page holds pictures and texts of the data set,
/// so it belongs where the data belong.
public struct ReportPage: Sendable {
    /// Whether a page gets plots.
    public enum Plotting: Sendable {
        /// Plots are drawn by this program.
        case drawn(by: Gnuplot)
        /// The page has no plots and gives this reason.
        case omitted(ReportError)

        /// Plots if gnuplot is installed, else a page without them that says so.
        public static var whereInstalled: Plotting {
            do {
                return .drawn(by: try Gnuplot())
            } catch {
                return .omitted(error)
            }
        }
    }

    /// The page's title.
    public var title: String
    /// The run in labelled values: recipe, model size, times.
    public var facts: [ReportFact]
    /// The training losses.
    public var losses: [LossCurve]
    /// The scores with their baselines.
    public var table: EvaluationTable?
    /// The samples to show.
    public var samples: [SampleCard]
    /// The routing weights of the connector, by task.
    public var routing: [RoutingSummary]
    /// More plots.
    public var figures: [ReportFigure]
    /// Remarks, one paragraph each.
    public var notes: [String]

    /// Makes a page.
    ///
    /// - Parameters:
    ///   - title: The page's title.
    ///   - facts: The run in labelled values.
    ///   - losses: The training losses.
    ///   - table: The scores with their baselines.
    ///   - samples: The samples to show.
    ///   - routing: The routing weights of the connector, by task.
    ///   - figures: More plots.
    ///   - notes: Remarks, one paragraph each.
    public init(
        title: String,
        facts: [ReportFact] = [],
        losses: [LossCurve] = [],
        table: EvaluationTable? = nil,
        samples: [SampleCard] = [],
        routing: [RoutingSummary] = [],
        figures: [ReportFigure] = [],
        notes: [String] = []
    ) {
        self.title = title
        self.facts = facts
        self.losses = losses
        self.table = table
        self.samples = samples
        self.routing = routing
        self.figures = figures
        self.notes = notes
    }

    /// The page.
    ///
    /// - Parameter plotting: Whether it gets plots.
    /// - Returns: A complete HTML document.
    /// - Throws: ``ReportError`` when a plot's parts do not fit together or gnuplot fails. Sections without content are
    ///   left out, and so are plots without any finite value.
    public func html(plotting: Plotting = .whereInstalled) throws(ReportError) -> String {
        var content: [String: Any] = ["title": title, "style": Templates.style]
        content["facts"] = facts.map { ["label": $0.label, "value": $0.value] }
        content["notes"] = notes
        if case .omitted(let reason) = plotting { content["omitted"] = reason.description }

        var drawn: [[String: Any]] = []
        for (index, figure) in try sectionFigures().enumerated() {
            guard case .drawn(let gnuplot) = plotting else { break }
            do {
                drawn.append([
                    "section": figure.section.rawValue,
                    "title": figure.plot.title,
                    "svg": try gnuplot.svg(figure.plot, identifier: "plot\(index)"),
                    "caption": figure.caption,
                ])
            } catch .noData {
                continue
            }
        }
        for section in Section.allCases {
            content[section.rawValue] = drawn.filter { $0["section"] as? String == section.rawValue }
        }
        content["hasLosses"] = !losses.isEmpty
        content["hasRouting"] = !routing.isEmpty
        content["routingRows"] = routing.map { summary -> [String: Any] in
            [
                "task": summary.task.rawValue,
                "weights": summary.weights.map { String(format: "%.3f", $0) },
            ]
        }
        content["routingExperts"] = (0..<(routing.map(\.weights.count).max() ?? 0)).map { "Expert \($0 + 1)" }
        content["hasFigures"] = !figures.isEmpty
        content["table"] = table.map { tableContent($0) }
        content["cards"] = samples.map { cardContent($0) }
        content["hasCards"] = !samples.isEmpty
        return Templates.render(content)
    }

    /// Writes the page to a file, which appears complete or not at all.
    ///
    /// - Parameters:
    ///   - url: The file to write.
    ///   - plotting: Whether the page gets plots.
    /// - Throws: ``ReportError`` when a plot fails or the file cannot be written.
    public func write(to url: URL, plotting: Plotting = .whereInstalled) throws(ReportError) {
        let html = try html(plotting: plotting)
        do throws(DataError) {
            try AtomicFile.write(Data(html.utf8), to: url)
        } catch {
            throw .fileSystem(path: url.path, reason: error.problem)
        }
    }

    /// The sections that hold plots.
    private enum Section: String, CaseIterable {
        case lossFigures
        case scoreFigures
        case routingFigures
        case moreFigures
    }

    private struct Figure {
        var section: Section
        var plot: any Plot
        var caption: String
    }

    private func sectionFigures() throws(ReportError) -> [Figure] {
        var result: [Figure] = []
        if !losses.isEmpty {
            let chart = LineChart(
                title: "Training loss",
                xLabel: "Optimizer step",
                yLabel: "Loss (nats per target token)",
                series: losses.enumerated().map { index, curve in
                    LineChart.Series(
                        name: curve.name,
                        x: curve.steps.map(Double.init),
                        y: curve.losses,
                        color: curve.task.map { Palette.color(of: $0) } ?? Palette.ink
                    )
                }
            )
            let counts = losses.map { "\($0.name) n = \($0.losses.count)" }.joined(separator: ", ")
            let caption =
                "Thin: as logged, long runs averaged in bins. Thick: mean over a centred window of 4% of the run. "
                + "Logged values: \(counts)."
            result.append(Figure(section: .lossFigures, plot: chart, caption: caption))
        }
        if let table, let chart = scoreChart(table) {
            let percent = String(format: "%g%%", table.bootstrap.confidence * 100)
            let caption =
                "The metric that stands for each task. Whisker: \(percent) interval of the difference from the trivial "
                + "baseline (paired bootstrap, \(table.bootstrap.resampleCount) draws of "
                + "\(table.resamplingUnit == .groups ? "whole groups" : "samples")), laid off from the baseline."
            result.append(Figure(section: .scoreFigures, plot: chart, caption: caption))
        }
        if let count = routing.map(\.weights.count).max() {
            let chart = BarChart(
                title: "Routing weights by task",
                valueLabel: "Mean weight of an expert",
                categories: routing.map(\.task.rawValue),
                series: (0..<count).map { expert in
                    BarChart.Series(
                        name: "expert \(expert + 1)",
                        bars: routing.map { summary in
                            BarChart.Bar(value: expert < summary.weights.count ? summary.weights[expert] : .nan)
                        }
                    )
                }
            )
            let caption = "Mean over the image tokens of each task's samples. Equal use would be 1/\(count) for each."
            result.append(Figure(section: .routingFigures, plot: chart, caption: caption))
        }
        result += figures.map { Figure(section: .moreFigures, plot: $0.plot, caption: $0.caption) }
        return result
    }

    private func scoreChart(_ table: EvaluationTable) -> BarChart? {
        let rows = table.rows.compactMap { row in row.primary.map { (row, $0) } }
        guard !rows.isEmpty else { return nil }
        return BarChart(
            title: "Scores beside the trivial baselines",
            valueLabel: "Score (%)",
            categories: rows.map { "\($0.task.rawValue) \($0.dataset), \($1.metric.title), n = \($1.n)" },
            series: [
                BarChart.Series(
                    name: "model",
                    bars: rows.map { _, cell in
                        var interval: ClosedRange<Double>?
                        if let baseline = cell.baseline, let difference = cell.difference {
                            interval = (baseline + difference.lower) * 100...(baseline + difference.upper) * 100
                        }
                        return BarChart.Bar(value: cell.value * 100, interval: interval)
                    },
                    color: Palette.prediction
                ),
                BarChart.Series(
                    name: "trivial baseline",
                    bars: rows.map { _, cell in BarChart.Bar(value: cell.baseline.map { $0 * 100 } ?? .nan) },
                    color: Palette.reference
                ),
            ],
            range: 0...100
        )
    }

    private func tableContent(_ table: EvaluationTable) -> [String: Any] {
        let signed = { (share: Double) in
            String(format: "%+.1f", share * 100).replacingOccurrences(of: "-", with: "\u{2212}")
        }
        let plain = { (share: Double) in String(format: "%.1f", share * 100) }
        let groups = table.rows.map { row -> [String: Any] in
            let lines = row.cells.enumerated().map { index, cell -> [String: Any] in
                [
                    "isFirst": index == 0,
                    "isPrimary": cell.isPrimary,
                    "span": row.cells.count,
                    "dataset": row.dataset,
                    "task": row.task.rawValue,
                    "skipped": row.skipped,
                    "unparsed": row.unparsed,
                    "metric": cell.metric.title,
                    "n": cell.n,
                    "value": plain(cell.value),
                    "baseline": cell.baseline.map(plain) ?? "\u{2013}",
                    "difference": cell.difference.map { signed($0.difference) } ?? "\u{2013}",
                    "interval": cell.difference.map { "\(signed($0.lower)) to \(signed($0.upper))" } ?? "\u{2013}",
                    "isBetter": cell.difference.map { $0.lower > 0 } ?? false,
                    "isWorse": cell.difference.map { $0.upper < 0 } ?? false,
                ]
            }
            return [
                "lines": lines,
                "isEmpty": lines.isEmpty,
                "dataset": row.dataset,
                "task": row.task.rawValue,
                "skipped": row.skipped,
            ]
        }
        return ["groups": groups, "confidence": String(format: "%g", table.bootstrap.confidence * 100)]
    }

    private func cardContent(_ card: SampleCard) -> [String: Any] {
        var content: [String: Any] = [
            "tag": card.task.promptTag,
            "task": card.task.rawValue,
            "color": Palette.color(of: card.task),
            "dataset": card.dataset,
            "question": card.question,
            "answer": card.answer.isEmpty ? "(nothing)" : card.answer,
            "reference": card.reference,
            "scores": card.scores.map { ["label": $0.label, "value": $0.value] },
        ]
        if let picture = card.picture {
            let box = { (box: BoundingBox?) -> [String: Any]? in
                guard let box, [box.xMin, box.yMin, box.xMax, box.yMax].allSatisfy(\.isFinite), box.area > 0 else {
                    return nil
                }
                return ["x": box.xMin, "y": box.yMin, "width": box.width, "height": box.height]
            }
            var parts: [String: Any] = [
                "data": picture.png.base64EncodedString(), "width": picture.width, "height": picture.height,
            ]
            parts["predicted"] = box(card.predictedBox)
            parts["annotated"] = box(card.referenceBox)
            parts["hasBoxes"] = parts["predicted"] != nil || parts["annotated"] != nil
            content["picture"] = parts
        }
        return content
    }
}
