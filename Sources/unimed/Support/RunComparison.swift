import Foundation
import UniMedData
import UniMedMetrics
import UniMedReports
import UniMedRuns

/// A run with everything that is recorded of it.
struct RunDetails: Encodable {
    struct Evaluation: Encodable {
        let evaluation: StoredEvaluation
        let scores: [StoredScore]
    }

    let run: StoredRun
    let recipe: StoredRecipe?
    let evaluations: [Evaluation]

    init(_ text: String, in store: RunStore) throws {
        let run = try store.run(text)
        self.run = run
        recipe = try store.recipe(of: run)
        evaluations = try store.evaluations(of: run.id).map {
            Evaluation(evaluation: $0, scores: try store.scores(of: $0.id))
        }
    }

    var facts: [ReportFact] {
        [
            ReportFact("Run", run.id), ReportFact("Name", run.name), ReportFact("Folder", run.folder),
            ReportFact("State", run.isFinished ? "finished" : "unfinished"), ReportFact("Started", run.started),
            ReportFact("Recorded", run.updated), ReportFact("Seed", run.seed), ReportFact("Steps", "\(run.steps)"),
            ReportFact("Training time", ProgressBar.clock(run.seconds)),
            ReportFact("Last loss", run.loss.map { String(format: "%.4f", $0) } ?? "-"),
            ReportFact("Device", "\(run.device ?? "-"), \(run.precision ?? "-")"),
            ReportFact("LibTorch", run.torchVersion ?? "-"), ReportFact("Commit", run.commit ?? "-"),
            ReportFact("Data", run.dataKey.map { String($0.prefix(16)) } ?? "-"),
        ]
    }
}

/// Texts of scores on a terminal.
enum RunTable {
    static func title(_ metric: String) -> String { Metric(rawValue: metric)?.title ?? metric }

    static func value(_ value: Double, _ metric: String) -> String {
        Metric(rawValue: metric)?.isShare == false
            ? String(format: "%.3f", value) : String(format: "%.2f", value * 100)
    }

    static func interval(_ score: StoredScore) -> String {
        guard let lower = score.lower, let upper = score.upper else { return "-" }
        return "\(value(lower, score.metric)) to \(value(upper, score.metric))"
    }

    /// Aligned columns; `nil` aligns all as words.
    static func text(_ headings: [String], _ lines: [[String]], wordColumns: Set<Int>?) -> String {
        let all = [headings] + lines
        let widths = headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { line in
            var text = line.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return wordColumns?.contains(column) ?? true ? cell + padding : padding + cell
            }.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            return text
        }.joined(separator: "\n")
    }
}

/// Runs side by side.
struct RunComparison: Encodable {
    /// A setting in which the runs differ.
    struct Setting: Encodable {
        let name: String
        /// The value of each run; `nil` where a recipe has none.
        let values: [String?]
    }

    /// A metric of the runs' latest evaluations.
    struct Score: Encodable {
        let dataset: String
        let task: String
        let subset: String
        let metric: String
        /// The value of each run; `nil` where it was not evaluated.
        let values: [Double?]
    }

    let runs: [StoredRun]
    let settings: [Setting]
    let scores: [Score]
    private let curves: [[StoredCurve]]

    private enum CodingKeys: String, CodingKey { case runs, settings, scores }

    init(_ names: [String], in store: RunStore, allMetrics: Bool) throws {
        var runs: [StoredRun] = []
        for name in names {
            let run = try store.run(name)
            if !runs.contains(where: { $0.id == run.id }) { runs.append(run) }
        }
        let recipes = try runs.map { try store.recipe(of: $0)?.fields ?? [:] }
        let keys = Set(recipes.flatMap(\.keys)).sorted()
        settings = keys.compactMap { key in
            let values = recipes.map { $0[key] }
            return Set(values).count > 1 ? Setting(name: key, values: values) : nil
        }
        let latest = try runs.map { run -> [StoredScore] in
            guard let evaluation = try store.evaluations(of: run.id).first else { return [] }
            return try store.scores(of: evaluation.id)
        }
        struct Key: Hashable { let dataset, task, subset, metric: String }
        var order: [Key] = []
        var values: [Key: [Double?]] = [:]
        for (index, scores) in latest.enumerated() {
            for score in scores where allMetrics || score.isPrimary {
                let key = Key(dataset: score.dataset, task: score.task, subset: score.subset, metric: score.metric)
                if values[key] == nil {
                    order.append(key)
                    values[key] = [Double?](repeating: nil, count: runs.count)
                }
                values[key]?[index] = score.value
            }
        }
        scores = order.map { key in
            Score(
                dataset: key.dataset,
                task: key.task,
                subset: key.subset,
                metric: key.metric,
                values: values[key] ?? []
            )
        }
        curves = try runs.map { try store.curves(of: $0.id) }
        self.runs = runs
    }

    /// The runs' names, with the identifier where two have the same.
    var names: [String] {
        runs.map { run in
            runs.count { $0.name == run.name } > 1 ? "\(run.name) \(run.id.prefix(6))" : run.name
        }
    }

    var settingLines: [[String]] {
        settings.map { [$0.name] + $0.values.map { $0 ?? "-" } }
            + [["steps done"] + runs.map { "\($0.steps)" }, ["time"] + runs.map { ProgressBar.clock($0.seconds) }]
    }

    var scoreLines: [[String]] {
        scores.map { score in
            [score.dataset, score.task, score.subset, RunTable.title(score.metric)]
                + score.values.map { value in value.map { RunTable.value($0, score.metric) } ?? "-" }
        }
    }

    /// The page, with a plot of each loss that a run has.
    func page() -> ComparisonPage {
        let series = ["loss"] + MedicalTask.allCases.map { "loss/\($0.rawValue)" }
        let figures = series.compactMap { name -> ReportFigure? in
            let lines = zip(names, curves).compactMap { run, curves -> LineChart.Series? in
                guard let curve = curves.first(where: { $0.series == name }) else { return nil }
                return LineChart.Series(name: run, x: curve.steps.map(Double.init), y: curve.values)
            }
            guard !lines.isEmpty else { return nil }
            let title = name == "loss" ? "Loss of all tasks" : "Loss of \(name.dropFirst(5))"
            return ReportFigure(
                plot: LineChart(title: title, xLabel: "step", yLabel: "nats per token", series: lines),
                caption: "Of \(lines.count) runs; the mean over neighbouring steps."
            )
        }
        return ComparisonPage(
            title: "Runs side by side",
            notes: ["Scores are those of each run's latest evaluation, in percent where the metric is a share."],
            figures: figures,
            tables: [
                ComparisonPage.Table(
                    title: "Scores",
                    headings: ["Data set", "Task", "Subset", "Metric"] + names,
                    lines: scoreLines,
                    wordColumns: 4
                ),
                ComparisonPage.Table(
                    title: "Settings that differ",
                    headings: ["Setting"] + names,
                    lines: settingLines,
                    wordColumns: names.count + 1
                ),
                ComparisonPage.Table(
                    title: "Runs",
                    headings: ["Run", "Name", "Started", "Seed", "State", "Folder"],
                    lines: runs.map {
                        [$0.id, $0.name, $0.started, $0.seed, $0.isFinished ? "finished" : "unfinished", $0.folder]
                    },
                    wordColumns: 6
                ),
            ]
        )
    }
}
