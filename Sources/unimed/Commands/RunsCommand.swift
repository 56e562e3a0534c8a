import ArgumentParser
import Foundation
import UniMedData
import UniMedMetrics
import UniMedReports
import UniMedRuns

/// `unimed runs`: what was trained and evaluated, from the store.
struct RunsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runs",
        abstract: "List, compare and show the runs and scores that were recorded.",
        discussion: """
            The commands train, evaluate, score and ablate record what they have finished in one SQLite file. A run is \
            named by the start of its identifier, its folder, or its name (then the latest with it is meant).
            """,
        subcommands: [
            RunsListCommand.self, RunsShowCommand.self, RunsCompareCommand.self, RunsDeleteCommand.self,
            RunsPageCommand.self,
        ]
    )
}

/// The store that is read.
struct StoreFileOptions: ParsableArguments {
    @Option(name: .long, help: "The file in which runs and scores are recorded.", completion: .file())
    var store = RunStore.usualPath

    func open() throws -> RunStore { try RunStore(at: URL(fileURLWithPath: store), creating: false) }
}

/// `unimed runs list`.
struct RunsListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the recorded runs, the latest first."
    )

    @Option(name: .long, help: "Only runs whose name contains this.")
    var name: String?

    @OptionGroup var file: StoreFileOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let runs = try file.open().runs().filter { run in name.map { run.name.contains($0) } ?? true }
        if output.json { return try Terminal.output(json: runs) }
        guard !runs.isEmpty else { return Terminal.output("no runs") }
        let lines = runs.map { run in
            [
                run.id, run.name, run.started, run.seed, run.isFinished ? "finished" : "unfinished", "\(run.steps)",
                run.loss.map { String(format: "%.4f", $0) } ?? "-", ProgressBar.clock(run.seconds),
            ]
        }
        let headings = ["Run", "Name", "Started", "Seed", "State", "Steps", "Loss", "Time"]
        Terminal.output(RunTable.text(headings, lines, wordColumns: [0, 1, 2, 4]))
    }
}

/// `unimed runs show`.
struct RunsShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show a run and its scores.")

    @Argument(help: ArgumentHelp("The run.", valueName: "run"))
    var name: String

    @Flag(name: .long, help: "Also print the resolved recipe.")
    var recipe = false

    @OptionGroup var file: StoreFileOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let details = try RunDetails(name, in: file.open())
        if output.json { return try Terminal.output(json: details) }
        let width = details.facts.map(\.label.count).max() ?? 0
        for fact in details.facts {
            Terminal.output(fact.label.padding(toLength: width, withPad: " ", startingAt: 0) + "  " + fact.value)
        }
        for evaluation in details.evaluations {
            let head = evaluation.evaluation
            Terminal.output(
                "\n\(head.command) of \(head.recorded): \(head.predictionCount) predictions"
                    + (head.split.map { " (\($0))" } ?? "") + ", SHA-256 \(head.predictionsDigest.prefix(16))"
            )
            let headings = [
                "Data set", "Task", "Subset", "Metric", "n", "Skipped", "Unparsable", "Leaks", "Value", "95%",
            ]
            let lines = evaluation.scores.map { score in
                [
                    score.dataset, score.task, score.subset, RunTable.title(score.metric), "\(score.n)",
                    score.skipped.map(String.init) ?? "-", "\(score.unparsable)", score.leaks ?? "-",
                    RunTable.value(score.value, score.metric), RunTable.interval(score),
                ]
            }
            Terminal.output(RunTable.text(headings, lines, wordColumns: [0, 1, 2, 3, 7]))
        }
        if recipe, let text = details.recipe?.yaml { Terminal.output("\n" + text) }
    }
}

/// `unimed runs compare`.
struct RunsCompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Show how runs differ, in their settings and in the scores of their latest evaluations.",
        discussion: "For intervals and tests of the differences give the predictions to `unimed score --against`."
    )

    @Argument(help: "The runs.")
    var runs: [String]

    @Flag(name: .long, help: "All metrics, not only the one that stands for each task.")
    var allMetrics = false

    @OptionGroup var file: StoreFileOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard runs.count >= 2 else { throw ValidationError("give at least two runs.") }
    }

    func run() throws {
        let comparison = try RunComparison(runs, in: file.open(), allMetrics: allMetrics)
        if output.json { return try Terminal.output(json: comparison) }
        Terminal.output(RunTable.text(["Setting"] + comparison.names, comparison.settingLines, wordColumns: nil))
        Terminal.output("")
        Terminal.output(
            RunTable.text(
                ["Data set", "Task", "Subset", "Metric"] + comparison.names,
                comparison.scoreLines,
                wordColumns: [0, 1, 2, 3]
            )
        )
    }
}

/// `unimed runs delete`.
struct RunsDeleteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Remove runs and their scores from the store; their folders stay."
    )

    @Argument(help: "The runs.")
    var runs: [String]

    @OptionGroup var file: StoreFileOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard !runs.isEmpty else { throw ValidationError("give at least one run.") }
    }

    func run() throws {
        let store = try file.open()
        let found = try runs.map { try store.run($0) }
        try store.delete(found.map(\.id))
        if output.json { return try Terminal.output(json: ["deleted": found.map(\.id)]) }
        for run in found { Terminal.output("deleted \(run.id) \(run.name)") }
    }
}

/// `unimed runs page`.
struct RunsPageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "page",
        abstract: "Write a page with curves and scores of runs side by side; it needs no other file."
    )

    @Argument(help: "The runs. Default: the latest twelve.")
    var runs: [String] = []

    @Option(name: .shortAndLong, help: "The page.", completion: .file(extensions: ["html"]))
    var output = "runs/runs.html"

    @OptionGroup var file: StoreFileOptions
    @OptionGroup var outputOptions: OutputOptions

    func run() throws {
        let store = try file.open()
        let ids = runs.isEmpty ? try store.runs().prefix(12).map(\.id) : runs
        guard !ids.isEmpty else { throw Failure.badInput("\(file.store): no run is recorded") }
        let comparison = try RunComparison(ids, in: store, allMetrics: true)
        let url = URL(fileURLWithPath: output)
        try makeFolder(url.deletingLastPathComponent())
        try comparison.page().write(to: url)
        if outputOptions.json { return try Terminal.output(json: ["page": url.path]) }
        Terminal.output("page: \(url.relativePath)")
    }
}
