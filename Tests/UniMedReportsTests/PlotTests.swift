import Foundation
import Testing
import UniMedReports

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// Whether the program that draws is installed; tests of drawings are skipped where it is not.
let hasGnuplot = (try? Gnuplot()) != nil

private func texts(of svg: String) throws -> [String] {
    final class Reader: NSObject, XMLParserDelegate {
        var texts: [String] = []

        func parser(_ parser: XMLParser, foundCharacters string: String) {
            let text = string.trimmingCharacters(in: .whitespacesAndNewlines)
            if !text.isEmpty { texts.append(text) }
        }
    }
    let reader = Reader()
    let parser = XMLParser(data: Data(svg.utf8))
    parser.delegate = reader
    try #require(parser.parse(), "the plot is not well-formed: \(String(describing: parser.parserError))")
    return reader.texts
}

private let line = LineChart(
    title: "Loss",
    xLabel: "Step",
    yLabel: "Loss (nats)",
    series: [LineChart.Series(name: "cls", x: (0..<50).map(Double.init), y: (0..<50).map { 5 / Double($0 + 1) })]
)
private let bars = BarChart(
    title: "Scores",
    valueLabel: "Score (%)",
    categories: ["cls phantoms", "rec phantoms"],
    series: [
        BarChart.Series(name: "model", bars: [.init(value: 90, interval: 80...95), .init(value: 60)]),
        BarChart.Series(name: "baseline", bars: [.init(value: 30), .init(value: .nan)]),
    ]
)
private let histogram = Histogram(title: "IoU", valueLabel: "IoU", values: [0, 0.1, 0.1, 0.5, 1, .nan], range: 0...1)
private let map = HeatMap(
    title: "Routing",
    rows: ["vqa", "cls"],
    columns: ["1", "2", "3"],
    values: [[0.1, 0.2, 0.7], [0.3, 0.3, .nan]],
    valueLabel: "Weight"
)

private let points = Scatter(
    title: "Features",
    xLabel: "t-SNE 1",
    yLabel: "t-SNE 2",
    series: [
        Scatter.Series(name: "vqa", x: [0, 1, .nan], y: [1, 2, 3]), Scatter.Series(name: "cls", x: [3], y: [1]),
    ]
)

@Suite("Plots")
struct PlotTests {
    @Test func `a missing gnuplot is named with its package`() {
        #expect(throws: ReportError.gnuplotMissing(searched: ["/nowhere"])) {
            _ = try Gnuplot(searching: ["/nowhere"])
        }
        #expect(ReportError.gnuplotMissing(searched: ["/nowhere"]).description.contains("gnuplot-nox"))
    }

    @Test func `histograms count every finite value once, the last edge included`() throws {
        let (edges, counts) = try Histogram(
            title: "t",
            valueLabel: "v",
            values: [0, 0.5, 0.99, 1, .infinity],
            binCount: 2,
            range: 0...1
        ).bins()
        #expect(edges == [0, 0.5, 1])
        #expect(counts == [1, 3])
        let constant = try Histogram(title: "t", valueLabel: "v", values: [3, 3, 3]).bins()
        #expect(constant.counts.reduce(0, +) == 3)
    }

    @Test func `nothing to draw is an error that names the plot`() {
        #expect(throws: ReportError.noData(plot: "t")) {
            _ = try Histogram(title: "t", valueLabel: "v", values: [.nan]).script(ink: "#000000")
        }
        #expect(throws: ReportError.noData(plot: "t")) {
            _ = try LineChart(title: "t", xLabel: "x", yLabel: "y", series: []).script(ink: "#000000")
        }
        #expect(throws: ReportError.noData(plot: "t")) {
            _ = try BarChart(title: "t", valueLabel: "v", categories: [], series: []).script(ink: "#000000")
        }
        #expect(throws: ReportError.noData(plot: "t")) {
            _ = try HeatMap(title: "t", rows: [], columns: [], values: [], valueLabel: "v").script(ink: "#000000")
        }
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `points carry their kinds and how many there are`() throws {
        let drawn = try texts(of: Gnuplot().svg(points, identifier: "a"))
        #expect(drawn.contains("vqa, n = 2") && drawn.contains("cls, n = 1") && drawn.contains("t-SNE 2"))
        #expect(throws: ReportError.noData(plot: "t")) {
            _ = try Scatter(title: "t", xLabel: "x", yLabel: "y", series: []).script(ink: "#000000")
        }
        #expect(throws: ReportError.self) {
            _ = try Scatter(title: "t", xLabel: "x", yLabel: "y", series: [.init(name: "a", x: [1], y: [])])
                .script(ink: "#000000")
        }
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `an image has no numbers, and names only where there are some`() throws {
        var image = map
        image.isImage = true
        image.columns = ["", "expert", ""]
        let drawn = try texts(of: Gnuplot().svg(image, identifier: "a"))
        #expect(!drawn.contains("0.70") && drawn.contains("expert") && drawn.contains("Weight"))
    }

    @Test func `parts that do not fit are refused by name`() {
        let short = LineChart(
            title: "t",
            xLabel: "x",
            yLabel: "y",
            series: [LineChart.Series(name: "a", x: [1, 2], y: [1])]
        )
        #expect(throws: ReportError.self) { _ = try short.script(ink: "#000000") }
        let ragged = HeatMap(title: "t", rows: ["a"], columns: ["b", "c"], values: [[1]], valueLabel: "v")
        #expect(throws: ReportError.self) { _ = try ragged.script(ink: "#000000") }
        let missing = BarChart(
            title: "t",
            valueLabel: "v",
            categories: ["a", "b"],
            series: [BarChart.Series(name: "s", bars: [.init(value: 1)])]
        )
        #expect(throws: ReportError.self) { _ = try missing.script(ink: "#000000") }
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `plots are well-formed and carry their labels`() throws {
        let gnuplot = try Gnuplot()
        let drawn = try texts(of: gnuplot.svg(line, identifier: "a"))
        #expect(drawn.contains("Step") && drawn.contains("Loss (nats)") && drawn.contains("cls"))
        let compared = try texts(of: gnuplot.svg(bars, identifier: "b"))
        #expect(compared.contains("cls phantoms") && compared.contains("Score (%)") && compared.contains("baseline"))
        let counted = try texts(of: gnuplot.svg(histogram, identifier: "c"))
        #expect(counted.contains("IoU, n = 5 (1 outside)") && counted.contains("Samples"))
        let cells = try texts(of: gnuplot.svg(map, identifier: "d"))
        #expect(cells.contains("0.70") && cells.contains("vqa") && cells.contains("Weight"))
        #expect(cells.filter { $0 == "0.30" }.count >= 2)
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `labels are text, whatever they contain`() throws {
        let name = "it's <b>$a</b> & \"`echo x`\" {/Bold y} a_b\nexit"
        let chart = LineChart(
            title: name,
            xLabel: name,
            yLabel: "y",
            series: [LineChart.Series(name: name, x: [1, 2, 3], y: [1, 2, 3])]
        )
        let drawn = try texts(of: Gnuplot().svg(chart, identifier: "a")).joined(separator: " ")
        #expect(drawn.contains("it's"))
        #expect(drawn.contains("`echo x`"), "nothing is run")
        #expect(drawn.contains("{/Bold y} a_b exit"), "nothing is interpreted")
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `plots take the page's text colour and ids of their own`() throws {
        let svg = try Gnuplot().svg(line, identifier: "seven")
        #expect(svg.contains("currentColor"))
        #expect(!svg.contains("rgb(1,2,3)") && !svg.contains("rgb(  1,   2,   3)"))
        #expect(svg.hasPrefix("<svg ") && svg.contains("id='sevengpPt0'"))
        #expect(!svg.contains("id='gp") && !svg.contains("gnuplot_canvas"))
        #expect(!svg.contains("<?xml") && !svg.contains("<script"))
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `long runs are drawn from few points`() throws {
        let count = 200_000
        let chart = LineChart(
            title: "Loss",
            xLabel: "Step",
            yLabel: "Loss",
            series: [
                LineChart.Series(
                    name: "all",
                    x: (0..<count).map(Double.init),
                    y: (0..<count).map { 3 + Double($0 % 7) / 10 }
                )
            ]
        )
        #expect(try Gnuplot().svg(chart, identifier: "a").utf8.count < 60_000)
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `a logarithmic axis leaves out what is not positive`() throws {
        var chart = line
        chart.isLogarithmic = true
        chart.series[0].y[3] = 0
        let logarithmic = try Gnuplot().svg(chart, identifier: "a")
        #expect(logarithmic != (try Gnuplot().svg(line, identifier: "a")))
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `a plot can be a PNG file of the asked size`() throws {
        let png = try Gnuplot().png(line, scale: 1)
        #expect(Array(png.prefix(8)) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        let width = png[16..<20].reduce(0) { $0 << 8 | Int($1) }
        #expect(width == line.width)
        #expect(try Gnuplot().png(line, scale: 2).count > png.count)
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not installed"))
    func `a plot that gnuplot refuses is an error with its message`() {
        struct Broken: Plot {
            let title = "broken"
            let width = 100
            let height = 100

            func script(ink: String) -> String { "plot nonsense" }
        }
        #expect {
            _ = try Gnuplot().svg(Broken(), identifier: "a")
        } throws: { error in
            guard case .plotFailed(let plot, let message) = error as? ReportError else { return false }
            return plot == "broken" && message.contains("nonsense")
        }
    }
}
