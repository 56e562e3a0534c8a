import Foundation
import Testing
import UniMedData
import UniMedMetrics
import UniMedReports

/// A grey picture of one pixel.
private let pixel = Data(
    base64Encoded: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)

private let missing = ReportPage.Plotting.omitted(.gnuplotMissing(searched: ["/nowhere"]))

private func table() throws -> EvaluationTable {
    let records = (0..<30).map { index in
        EvaluationRecord(
            sampleID: "\(index)",
            dataset: "phantoms",
            task: .referringExpressionComprehension,
            prediction: "",
            reference: "",
            score: SampleScore(
                primary: .intersectionOverUnion,
                values: [.intersectionOverUnion: 0.6 + Double(index) / 100, .recallAboveHalf: 1],
                isParsed: index > 1
            ),
            baselinePrediction: "",
            baselineScore: SampleScore(
                primary: .intersectionOverUnion,
                values: [.intersectionOverUnion: 0.2, .recallAboveHalf: 0],
                isParsed: true
            )
        )
    }
    let key = EvaluationTable.Key(dataset: "gone", task: .reportGeneration)
    return try EvaluationTable(records: records, skipped: [key: 3])
}

private func page() throws -> ReportPage {
    ReportPage(
        title: "Uni-Med mini",
        facts: [ReportFact("Recipe", "mini.yaml"), ReportFact("Parameters", "12.3 M")],
        losses: [
            LossCurve(
                name: "cls",
                task: .imageClassification,
                steps: Array(0..<40),
                losses: (0..<40).map { 3 / Double($0 + 1) }
            )
        ],
        table: try table(),
        samples: [
            SampleCard(
                dataset: "phantoms",
                task: .referringExpressionComprehension,
                picture: SampleCard.Picture(png: try #require(pixel), width: 200, height: 100),
                question: "Where is liver?",
                answer: "{<10><25><50><75>}",
                reference: "{<12><25><50><75>}",
                predictedBox: BoundingBox(xMin: 20, yMin: 25, xMax: 100, yMax: 75),
                referenceBox: BoundingBox(xMin: 24, yMin: 25, xMax: 100, yMax: 75),
                scores: [ReportFact("IoU", "0.95")]
            ),
            SampleCard(
                dataset: "pubmedqa",
                task: .questionAnswering,
                question: "Is it?",
                answer: "",
                reference: "yes"
            ),
        ],
        routing: [
            RoutingSummary(task: .visualQuestionAnswering, weights: [0.25, 0.75]),
            RoutingSummary(task: .imageClassification, weights: [0.5, 0.5]),
        ],
        notes: ["Made for a test."]
    )
}

@Suite("Report page")
struct ReportPageTests {
    @Test func `without gnuplot the page has everything but plots and says so`() throws {
        let html = try page().html(plotting: missing)
        #expect(html.contains("This page has no plots."))
        #expect(html.contains("gnuplot-nox"))
        for part in ["mini.yaml", "12.3 M", "Mean IoU", "Where is liver?", "Made for a test.", "Expert 2", "0.750"] {
            #expect(html.contains(part), "\(part)")
        }
        #expect(!html.contains("gpPt0"))
    }

    @Test func `the page refers to nothing outside itself`() throws {
        let html = try page().html(plotting: missing)
        for part in ["<link", "<script", "@import", "src=\"http", "url(", "href=\"http"] {
            #expect(!html.contains(part), "\(part)")
        }
        #expect(html.contains("data:image/png;base64,iVBOR"))
    }

    @Test func `the table shows value, baseline, difference and counts`() throws {
        let html = try page().html(plotting: missing)
        #expect(html.contains(">74.5<"))
        #expect(html.contains(">20.0<"))
        #expect(html.contains("+54.5"))
        #expect(html.contains("the interval is above zero"))
        #expect(html.contains("nothing evaluated"))
        #expect(html.contains("95% interval"))
    }

    @Test func `boxes lie over the picture, in pixels of the original`() throws {
        let html = try page().html(plotting: missing)
        #expect(html.contains("viewBox=\"0 0 200 100\""))
        #expect(html.contains("<rect class=\"predicted\" x=\"20.0\" y=\"25.0\" width=\"80.0\" height=\"50.0\"/>"))
        #expect(html.contains("<rect class=\"annotated\" x=\"24.0\" y=\"25.0\" width=\"76.0\" height=\"50.0\"/>"))
        #expect(html.contains("(nothing)"), "an empty answer is shown as such")
    }

    @Test func `a predicted box without area is not drawn`() throws {
        var page = try page()
        page.samples[0].predictedBox = BoundingBox(xMin: 100, yMin: 25, xMax: 20, yMax: 75)
        let html = try page.html(plotting: missing)
        #expect(!html.contains("<rect class=\"predicted\""))
        #expect(html.contains("<rect class=\"annotated\""))
    }

    @Test func `text is escaped wherever it comes from`() throws {
        // The second attack hides the quotation mark in one character with a combining accent.
        // Quotation marks are harmless in a plot's text, so that attack goes without plots.
        let plots: ReportPage.Plotting = hasGnuplot ? .whereInstalled : missing
        let attacks = [
            ("<script>alert('x')</script>", plots), ("{{title}} & {{{style}}}", plots),
            ("\"\u{301} onload=\"alert(1)", missing),
        ]
        for (attack, plotting) in attacks {
            let page = ReportPage(
                title: attack,
                facts: [ReportFact(attack, attack)],
                table: EvaluationTable(rows: [
                    EvaluationTable.Row(
                        dataset: attack,
                        task: .imageClassification,
                        n: 1,
                        skipped: 0,
                        unparsed: 0,
                        cells: [EvaluationTable.Cell(metric: .accuracy, isPrimary: true, value: 1, n: 1)]
                    )
                ]),
                samples: [
                    SampleCard(
                        dataset: attack,
                        task: .imageClassification,
                        picture: SampleCard.Picture(png: try #require(pixel), width: 1, height: 1),
                        question: attack,
                        answer: attack,
                        reference: attack,
                        scores: [ReportFact(attack, attack)]
                    )
                ],
                notes: [attack]
            )
            let html = try page.html(plotting: plotting)
            let scalars = Array(html.unicodeScalars)
            let raw = Array(attack.unicodeScalars)
            let isInside = scalars.indices.dropLast(raw.count).contains {
                scalars[$0..<($0 + raw.count)].elementsEqual(raw)
            }
            #expect(!isInside)
        }
    }

    @Test func `sections without content are left out`() throws {
        let html = try ReportPage(title: "Empty").html(plotting: missing)
        for part in ["<h2>Scores", "<h2>Losses", "<h2>Samples", "<h2>Routing", "<h2>Figures"] {
            #expect(!html.contains(part))
        }
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `with gnuplot the plots stand in the page, each with its own ids`() throws {
        var page = try page()
        page.figures = [
            ReportFigure(
                plot: Histogram(title: "IoU", valueLabel: "IoU", values: [0.1, 0.4]),
                caption: "All samples."
            ),
            ReportFigure(plot: Histogram(title: "None", valueLabel: "IoU", values: []), caption: "Nothing."),
        ]
        let html = try page.html()
        #expect(html.contains("<h3>Training loss</h3><svg "))
        #expect(html.contains("<h3>Routing weights by task</h3><svg "))
        #expect(html.contains("<h3>Scores beside the trivial baselines</h3><svg "))
        #expect(html.contains("<h3>IoU</h3><svg ") && !html.contains("<h3>None</h3>"))
        #expect(!html.contains("This page has no plots."))
        var ids: [Substring] = []
        var rest = html[...]
        while let start = rest.range(of: " id="), let quote = rest[start.upperBound...].first {
            let name = rest[rest.index(after: start.upperBound)...].prefix { $0 != quote }
            ids.append(name)
            rest = rest[name.endIndex...]
        }
        #expect(ids.count > 20 && Set(ids).count == ids.count)
    }

    @Test func `the page is written whole, and an unwritable place is named`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("report-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let url = folder.appendingPathComponent("report.html")
        let page = try page()
        try page.write(to: url, plotting: missing)
        #expect(try String(contentsOf: url, encoding: .utf8) == page.html(plotting: missing))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["report.html"])

        let nowhere = folder.appendingPathComponent("missing/report.html")
        #expect {
            try page.write(to: nowhere, plotting: missing)
        } throws: { error in
            guard case .fileSystem(let path, _) = error as? ReportError else { return false }
            return path == nowhere.path
        }
    }
}
