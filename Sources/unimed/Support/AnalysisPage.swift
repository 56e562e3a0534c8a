import Foundation
import UniMedAnalysis
import UniMedData
import UniMedImaging
import UniMedReports
import UniMedTraining

/// The page and the pictures of an analysis.
struct AnalysisPage {
    let file: AnalysisFile
    let data: PreparedData
    /// The lines of metrics of the run.
    let metrics: [TrainingMetrics]
    /// What the analysis is drawn beside.
    let comparison: AnalysisComparison
    /// The folder of the files.
    let folder: URL

    /// A figure with the name of its files.
    struct Figure {
        let name: String
        let figure: ReportFigure

        /// Makes a figure; what cannot stand in a file's name becomes a dash.
        init(_ name: String, _ plot: any Plot, _ caption: String) {
            self.name = name.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? "\($0)" : "-" }.joined()
            figure = ReportFigure(plot: plot, caption: caption)
        }
    }

    /// Writes `analysis.html`, and under `figures/` every figure as SVG and PNG and every overlay as PNG.
    func write(_ progress: ProgressPrinter) throws {
        let figures =
            comparison.figures + interferenceFigures + statisticsFigures + routingFigures + ablationFigures
            + featureFigures
        let pictures = folder.appendingPathComponent("figures")
        try makeFolder(pictures)
        let plotting = ReportPage.Plotting.whereInstalled
        if case .drawn(let gnuplot) = plotting {
            for (index, figure) in figures.enumerated() {
                do {
                    let plot = figure.figure.plot
                    let svg = try gnuplot.svg(plot, identifier: "figure\(index)")
                    let png = try gnuplot.png(plot)
                    try AtomicFile.write(Data(svg.utf8), to: pictures.appendingPathComponent(figure.name + ".svg"))
                    try AtomicFile.write(png, to: pictures.appendingPathComponent(figure.name + ".png"))
                } catch ReportError.noData {
                    continue
                }
                progress.show("figures", index + 1, of: figures.count, unit: "figures")
                try Interruption.check()
            }
        }
        progress.finish()
        let page = ReportPage(
            title: "Analysis of \(file.model)",
            facts: facts,
            samples: try cards(pictures),
            figures: figures.map(\.figure),
            notes: notes
        )
        try page.write(to: folder.appendingPathComponent("analysis.html"), plotting: plotting)
    }

    private var facts: [ReportFact] {
        [
            ReportFact("Model", file.model),
            ReportFact("Training steps", "\(file.steps)"),
            ReportFact("Batches per \(file.grouping.rawValue)", "\(file.batches) of \(file.batchSize) (\(file.split))"),
            ReportFact("Time", String(format: "%.0f s on %@", file.seconds, file.device)),
            ReportFact("Seed", "\(file.seed)"),
        ]
            + file.interference.compactMap { set in
                set.standardIndexes.map { indexes in
                    ReportFact(
                        "Tug-of-war, \(set.name)",
                        String(format: "%.3f ± %.3f", indexes.mean, indexes.standardDeviation)
                    )
                }
            }
    }

    private var notes: [String] {
        var notes = file.notes
        if !file.interference.isEmpty {
            notes.append(
                "Tug-of-war indexes are the sums over the other task of gradient direction interference times gradient "
                    + "magnitude similarity (equations 1 to 4 of the paper), in the literal reading, divided by the "
                    + "largest; above, their mean and standard deviation over tasks. High and even is good."
            )
        }
        if !file.attributions.isEmpty {
            notes.append(
                "Overlays: bright patches matter most for the model's own answer (magnitude of gradient times pixel, "
                    + "through the whole vision transformer); below each, the weights of the experts at the same patches."
            )
        }
        return notes
    }

    // MARK: Figures

    private var interferenceFigures: [Figure] {
        (file.interference + file.exactInterference).flatMap { set -> [Figure] in
            let step =
                switch set.step {
                case .firstOrder: ""
                case .exact(let length): ", exact steps of \(length)"
                }
            let kind = step.isEmpty ? "first" : "exact"
            let n = zip(set.tasks, set.batches).map { "\($0) n = \($1)" }.joined(separator: ", ")
            var figures: [Figure] = []
            if let direction = set.direction[DirectionReading.meanOfRatios.rawValue] {
                figures.append(
                    Figure(
                        "direction \(set.name) \(kind)",
                        HeatMap(
                            title: "Gradient direction interference at \(set.name)\(step)",
                            rows: set.tasks,
                            columns: set.tasks,
                            values: direction,
                            valueLabel: "GD, share of a task's own progress"
                        ),
                        "Rows: whose loss; columns: by a step for whom. 1 as good as its own step, below 0 harmful. "
                            + "Batches: \(n)."
                    )
                )
            }
            if let magnitude = set.magnitude[MagnitudeReading.squareOfMean.rawValue] {
                figures.append(
                    Figure(
                        "magnitude \(set.name) \(kind)",
                        HeatMap(
                            title: "Gradient magnitude similarity at \(set.name)\(step)",
                            rows: set.tasks,
                            columns: set.tasks,
                            values: magnitude,
                            valueLabel: "GM, without unit",
                            range: 0...1
                        ),
                        "1 equally long gradients, near 0 one task dominates. Batches: \(n)."
                    )
                )
            }
            if let indexes = set.standardIndexes {
                figures.append(
                    Figure(
                        "indexes \(set.name) \(kind)",
                        BarChart(
                            title: "Tug-of-war indexes at \(set.name)\(step)",
                            valueLabel: "Index, divided by the largest (without unit)",
                            categories: zip(set.tasks, set.batches).map { "\($0), n = \($1)" },
                            series: [
                                .init(name: "index", bars: indexes.maxNormalized.map { .init(value: $0) })
                            ]
                        ),
                        String(
                            format: "Mean %.3f, standard deviation %.3f; n counts batches. Largest index: %.3f.",
                            indexes.mean,
                            indexes.standardDeviation,
                            indexes.values.filter(\.isFinite).max() ?? .nan
                        )
                    )
                )
            }
            return figures
        }
    }

    private var statisticsFigures: [Figure] {
        let sets = file.statistics.filter { $0.scored > 0 }.map { (name: $0.name, statistics: $0) }
        guard !sets.isEmpty else { return [] }
        return [ParameterStatistics.Form.absolute, .signed].map { form in
            Self.statisticsFigure("statistics \(form.rawValue)", "scores, \(form.rawValue)", form, sets)
        }
    }

    /// The histogram of parameter statistics, a colour for each series.
    static func statisticsFigure(
        _ name: String,
        _ title: String,
        _ form: ParameterStatistics.Form,
        _ series: [(name: String, statistics: AnalysisFile.Statistics)]
    ) -> Figure {
        let edges = ParameterStatistics.edges(form)
        return Figure(
            name,
            BarChart(
                title: "Parameter statistics \(title)",
                valueLabel: "Share of the parameters (%)",
                categories: (0..<ParameterStatistics.binCount).map {
                    String(format: "%.1f to %.1f", edges[$0], edges[$0 + 1])
                },
                series: series.prefix(Palette.colors.count).map { name, statistics in
                    .init(
                        name: "\(name), n = \(statistics.scored)",
                        bars: (statistics.ratios[form.rawValue] ?? []).map { .init(value: $0 * 100) }
                    )
                }
            ),
            form == .absolute
                ? "1: all tasks pull a parameter the same way; 0: they cancel out (equation 5, magnitude)."
                : "Equation 5 as printed: -1 or 1 where all tasks agree on the sign, 0 where they cancel out."
        )
    }

    private var routingFigures: [Figure] {
        guard let routing = file.routing else { return [] }
        let experts = (0..<(routing.tasks.first?.meanWeights.count ?? 0)).map { "expert \($0 + 1)" }
        var figures: [Figure] = []
        for (kind, summaries) in [
            ("task", routing.tasks), ("data set", routing.datasets), ("modality", routing.modalities),
        ] where !summaries.isEmpty {
            figures.append(
                Figure(
                    "routing by \(kind)",
                    HeatMap(
                        title: "Mean weight of each expert by \(kind)",
                        rows: summaries.map { "\($0.name), n = \($0.images)" },
                        columns: experts,
                        values: summaries.map(\.meanWeights),
                        valueLabel: "Weight, without unit"
                    ),
                    "Rows sum to 1; n counts pictures (\(file.pictureSplit)). Specialisation by task: "
                        + String(format: "%.3f.", routing.specialisation)
                )
            )
        }
        figures.append(
            Figure(
                "routing-load",
                BarChart(
                    title: "Load of the experts by task",
                    valueLabel: "Tokens whose largest weight an expert has (%)",
                    categories: routing.tasks.map {
                        "\($0.name), n = \($0.images), entropy \(String(format: "%.2f", $0.entropy))"
                    },
                    series: experts.enumerated().map { index, name in
                        .init(name: name, bars: routing.tasks.map { .init(value: $0.load[index] * 100) })
                    }
                ),
                "Entropy is divided by that of equal weights: 0 one expert, 1 all alike."
            )
        )
        for task in routing.tasks {
            let least = task.grid.joined().joined().filter(\.isFinite).min() ?? 0
            let most = task.grid.joined().joined().filter(\.isFinite).max() ?? 1
            // The experts' grids side by side, with an empty column between them.
            let side = task.grid.first?.count ?? 0
            let values = (0..<side).map { row in
                Array(task.grid.map { $0[row] }.joined(separator: [.nan]))
            }
            let columns = Array(
                experts.map { name in (0..<side).map { $0 == side / 2 ? name : "" } }.joined(separator: [""])
            )
            var map = HeatMap(
                title: "Weight of each expert over the picture, \(task.name)",
                rows: (0..<side).map { $0 % max(1, side / 4) == 0 ? "\($0 + 1)" : "" },
                columns: columns,
                values: values,
                valueLabel: "Mean weight, without unit",
                range: least < most ? least...most : nil
            )
            map.isImage = true
            figures.append(
                Figure(
                    "region \(task.name)",
                    map,
                    "From left to right the picture as each expert sees it, n = \(task.images) pictures; one scale for all."
                )
            )
        }
        return figures + overTimeFigures(experts)
    }

    private func overTimeFigures(_ experts: [String]) -> [Figure] {
        var figures: [Figure] = []
        let lines = metrics.filter { !$0.routingWeights.isEmpty }
        if lines.count > 1 {
            figures.append(
                Figure(
                    "routing-over-training",
                    LineChart(
                        title: "Mean weight of each expert over training",
                        xLabel: "Optimizer step",
                        yLabel: "Weight, mean over tasks (without unit)",
                        series: experts.enumerated().map { index, name in
                            LineChart.Series(
                                name: name,
                                x: lines.map { Double($0.step) },
                                y: lines.map { line in
                                    let weights = line.routingWeights.values.compactMap {
                                        $0.indices.contains(index) ? $0[index] : nil
                                    }
                                    return weights.reduce(0, +) / Double(max(1, weights.count))
                                }
                            )
                        }
                    ),
                    "As logged in training, n = \(lines.count) lines of metrics."
                )
            )
        }
        if let first = file.routingOverTime.first, let last = file.routingOverTime.last, first.step < last.step {
            let rows = [first, last].flatMap { moment in moment.tasks.map { (moment.step, $0) } }
            figures.append(
                Figure(
                    "routing-first-and-last",
                    HeatMap(
                        title: "Mean weights at step \(first.step) and at step \(last.step)",
                        rows: rows.map { "\($1.name), step \($0), n = \($1.images)" },
                        columns: experts,
                        values: rows.map { $0.1.meanWeights },
                        valueLabel: "Weight, without unit"
                    ),
                    "The same pictures with the weights of the first and the last checkpoint that is kept."
                )
            )
        }
        return figures
    }

    private var ablationFigures: [Figure] {
        var figures: [Figure] = []
        if let first = file.ablation.first {
            figures.append(
                Figure(
                    "ablation-loss",
                    HeatMap(
                        title: "How much a loss rises without an expert",
                        rows: file.ablation.map { "\($0.group), n = \($0.samples)" },
                        columns: first.lossesWithout.indices.map { "expert \($0 + 1)" },
                        values: file.ablation.map { group in group.lossesWithout.map { $0 - group.loss } },
                        valueLabel: "Difference of the loss (nats per token)",
                        decimals: 3
                    ),
                    "The weights of the others are divided by their sum. n counts samples (\(file.pictureSplit))."
                )
            )
        }
        if let first = file.scoreAblation.first {
            figures.append(
                Figure(
                    "ablation-scores",
                    BarChart(
                        title: "Scores without an expert",
                        valueLabel: "Score (%)",
                        categories: file.scoreAblation.map {
                            "\($0.task.rawValue) \($0.dataset), \($0.metric), n = \($0.samples)"
                        },
                        series: [
                            .init(name: "all experts", bars: file.scoreAblation.map { .init(value: $0.score * 100) })
                        ]
                            + first.scoresWithout.indices.map { expert in
                                .init(
                                    name: "without \(expert + 1)",
                                    bars: file.scoreAblation.map { .init(value: $0.scoresWithout[expert] * 100) }
                                )
                            }
                    ),
                    "The model answers anew for each bar."
                )
            )
        }
        return figures
    }

    private var featureFigures: [Figure] {
        file.featureMaps.flatMap { map -> [Figure] in
            let silhouettes = map.silhouettes.sorted { $0.key < $1.key }
                .map { String(format: "%@ %.3f", $0.key, $0.value) }.joined(separator: ", ")
            var figures: [Figure] = []
            for (kind, labels) in [("task", map.tasks.map(\.rawValue)), ("modality", map.modalities)] {
                let kinds = Self.kinds(labels)
                guard kinds.count > 1 else { continue }
                for (method, points, x, y) in [
                    ("t-SNE", map.embedding, "t-SNE 1 (without unit)", "t-SNE 2 (without unit)"),
                    (
                        "principal components", map.components,
                        Self.axis(1, map.varianceShares), Self.axis(2, map.varianceShares)
                    ),
                ] {
                    figures.append(
                        Figure(
                            "features \(map.place) \(method) \(kind)",
                            Scatter(
                                title: "Features \(map.place) by \(kind), \(method)",
                                xLabel: x,
                                yLabel: y,
                                series: kinds.map { kind in
                                    let own = labels.indices.filter { Self.kind(labels[$0], of: kinds) == kind }
                                    return Scatter.Series(
                                        name: kind,
                                        x: own.map { points[$0][0] },
                                        y: own.map { points[$0].count > 1 ? points[$0][1] : 0 },
                                        color: MedicalTask(rawValue: kind).map { Palette.color(of: $0) }
                                    )
                                }
                            ),
                            "A point is the mean over a picture's tokens, width \(map.width). Silhouettes of the features: "
                                + silhouettes + "."
                                + (method == "t-SNE"
                                    ? String(format: " Trustworthiness %.3f.", map.trustworthiness) : "")
                        )
                    )
                }
            }
            return figures
        }
    }

    private static let others = "others"

    /// The most frequent labels, as many as there are colours; the rest together.
    private static func kinds(_ labels: [String]) -> [String] {
        let counts = Dictionary(grouping: labels.filter { !$0.isEmpty }, by: \.self).mapValues(\.count)
        let order = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
        guard order.count > Palette.colors.count || labels.contains("") else { return order }
        return order.prefix(Palette.colors.count - 1) + [others]
    }

    private static func kind(_ label: String, of kinds: [String]) -> String {
        kinds.contains(label) ? label : others
    }

    private static func axis(_ number: Int, _ shares: [Double]) -> String {
        let share = shares.indices.contains(number - 1) ? shares[number - 1] : 0
        return String(format: "Component %d (%.0f%% of the variance)", number, share * 100)
    }

    // MARK: Overlays

    /// A card for each answer, with its patches and with its experts; the pictures are written as files too.
    private func cards(_ pictures: URL) throws -> [SampleCard] {
        var cards: [SampleCard] = []
        for (number, attribution) in file.attributions.enumerated() {
            let size = data.images.size
            let image = RGBImage(
                width: size,
                height: size,
                pixels: data.images.withPixels(at: attribution.picture) { [UInt8]($0) }
            )
            let prefix = "answer-\(number + 1)-\(attribution.task.rawValue)"
            func card(_ images: [RGBImage], _ kind: String, _ facts: [ReportFact]) throws -> SampleCard {
                let sheet = Self.sheet(images)
                let png = Data(try PNGEncoder.encode(sheet))
                try AtomicFile.write(png, to: pictures.appendingPathComponent("\(prefix)-\(kind).png"))
                return SampleCard(
                    dataset: attribution.dataset,
                    task: attribution.task,
                    picture: .init(png: png, width: sheet.width, height: sheet.height),
                    question: attribution.instruction,
                    answer: attribution.answer,
                    reference: attribution.reference,
                    scores: facts
                )
            }
            cards.append(
                try card(
                    [image, Self.overlay(attribution.saliency, on: image)],
                    "patches",
                    [
                        ReportFact("shown", "picture, patches"),
                        ReportFact("log p per token", String(format: "%.3f", attribution.meanLogProbability)),
                    ]
                )
            )
            guard !attribution.routing.isEmpty else { continue }
            let largest = attribution.routing.joined().joined().filter(\.isFinite).max() ?? 1
            cards.append(
                try card(
                    attribution.routing.map { Self.overlay($0, on: image, largest: largest) },
                    "experts",
                    [
                        ReportFact("shown", "experts 1 to \(attribution.routing.count), row by row"),
                        ReportFact("brightest", String(format: "weight %.2f", largest)),
                    ]
                )
            )
        }
        return cards
    }

    /// The picture, dark where a value is small and yellow where it is large.
    static func overlay(_ grid: [[Double]], on image: RGBImage, largest: Double? = nil) -> RGBImage {
        let most = largest ?? grid.joined().filter(\.isFinite).max() ?? 0
        guard most > 0, let columns = grid.first?.count, columns > 0 else { return image }
        var pixels = image.pixels
        let yellow = [254.0, 232, 56]
        for y in 0..<image.height {
            let row = grid[min(grid.count - 1, y * grid.count / image.height)]
            for x in 0..<image.width {
                let value = row[min(columns - 1, x * columns / image.width)]
                let share = value.isFinite ? min(1, max(0, value / most)) : 0
                let start = (y * image.width + x) * 3
                for channel in 0..<3 {
                    let shaded = Double(pixels[start + channel]) * (0.4 + 0.3 * share) + yellow[channel] * 0.3 * share
                    pixels[start + channel] = UInt8(min(255, max(0, shaded)))
                }
            }
        }
        return RGBImage(width: image.width, height: image.height, pixels: pixels)
    }

    /// Pictures of one size side by side, three in a row, with a gap between them.
    static func sheet(_ images: [RGBImage]) -> RGBImage {
        let gap = 4
        guard let first = images.first else { return RGBImage(width: 1, height: 1, pixels: [0, 0, 0]) }
        let columns = min(3, images.count)
        let rows = (images.count + columns - 1) / columns
        let (width, height) = (columns * (first.width + gap) - gap, rows * (first.height + gap) - gap)
        var pixels = [UInt8](repeating: 255, count: width * height * 3)
        for (index, image) in images.enumerated() {
            let (left, top) = (index % columns * (first.width + gap), index / columns * (first.height + gap))
            for y in 0..<image.height {
                let from = y * image.width * 3
                let to = ((top + y) * width + left) * 3
                pixels.replaceSubrange(
                    to..<to + image.width * 3,
                    with: image.pixels[from..<from + image.width * 3]
                )
            }
        }
        return RGBImage(width: width, height: height, pixels: pixels)
    }
}
