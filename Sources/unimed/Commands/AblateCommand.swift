import ArgumentParser
import Foundation
import Torch
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedTraining

/// `unimed ablate`: many configurations, one table.
struct AblateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ablate",
        abstract: "Train and evaluate the rows of a grid with every seed, and write the paper's table of them.",
        discussion: """
            A grid names a base recipe and rows that change it (Recipes/ablations has those of the paper's tables 2 and 5, \
            and small ones). Each row is trained with each seed in a folder of its own, one after the other. Prepared data, \
            vocabulary, vision pretraining and cached features are made once and shared by all runs that can; rows with \
            the same recipe share their runs, also those of other grids in the same folder.

            A finished run is not repeated, a stopped or killed one continues from its checkpoint, and its evaluation from \
            the answers that are there: start the same command again. Ctrl-C saves and ends with status 130.

            In the end NAME.md, .csv, .tex, .html and .json hold the table: means with standard deviations over seeds, \
            bootstrap intervals, paired tests and the paper's gain over the baseline row; NAME is the grid's. Rows that are \
            not finished are named.
            """
    )

    @Argument(
        help: ArgumentHelp("The grid, a YAML file.", valueName: "grid"),
        completion: .file(extensions: ["yaml"])
    )
    var file: String

    @Option(name: .shortAndLong, help: "The folder of runs and table.", completion: .directory)
    var output: String

    @Option(
        name: .long,
        help: ArgumentHelp("Only this row, or this row with a seed, as mlp:2; may be repeated.", valueName: "row")
    )
    var only: [String] = []

    @Flag(name: .long, help: "Say what would be run and what is there, and do nothing.")
    var dryRun = false

    @Option(name: .long, help: "The folder in which prepared data are kept.", completion: .directory)
    var dataFolder = RunJob.standardDataFolder

    @Option(name: .long, help: "Where the models live: cpu, cuda or cuda:1, instead of the recipes' device.")
    var device: String?

    @Option(name: .long, help: "The number of CPU threads, instead of the recipes'.")
    var threads: Int?

    @Option(name: .long, help: "What the intervals draw anew: samples, or groups (patients, cases).")
    var resample: EvaluationTable.ResamplingUnit = .groups

    @Option(name: .long, help: "How often the intervals draw.")
    var draws = 2000

    @Flag(name: .long, help: "End where samples stand in the training split, instead of counting them.")
    var refuseLeaks = false

    @OptionGroup var roots: DataRootOptions
    @OptionGroup(title: "METEOR") var meteor: METEOROptionGroup
    @OptionGroup(title: "Report models") var models: ReportModelOptionGroup
    @OptionGroup var store: StoreOptions
    @OptionGroup var outputOptions: OutputOptions

    private struct Plan: Encodable {
        let grid: String
        let runs: [AblationJob.Entry]
    }

    func validate() throws {
        guard draws > 0 else { throw ValidationError("--draws must be positive, got \(draws).") }
        if let threads, threads < 1 { throw ValidationError("--threads must be positive, got \(threads).") }
    }

    func run() throws {
        let grid = try AblationGrid.load(contentsOf: URL(fileURLWithPath: file))
        let job = try AblationJob(
            grid: grid,
            folder: URL(fileURLWithPath: output),
            dataFolder: URL(fileURLWithPath: dataFolder),
            roots: try roots.parsed(),
            device: dryRun ? device : try device.map { try parsedDevice($0).description },
            threads: threads,
            resample: resample,
            refusesLeaks: refuseLeaks,
            meteor: try meteor.resources(),
            reportModels: models,
            recording: store.recording
        )
        let selected = try job.selection(only)
        if dryRun { return try show(Plan(grid: grid.name, runs: job.plan(selected))) }
        Interruption.listen()
        let failures = try job.run(selected)
        let table = try job.table(draws: draws)
        let page = try job.write(table)
        if outputOptions.json {
            Terminal.output(try table.written(as: .json).trimmingCharacters(in: .newlines))
        } else {
            Terminal.output(try table.written(as: .text).trimmingCharacters(in: .newlines))
            Terminal.output("\ntable: \(page.deletingPathExtension().relativePath).md, .csv, .tex, .html, .json")
        }
        if !failures.isEmpty {
            let runs = failures.map { "\($0.run) (\($0.reason))" }.joined(separator: "; ")
            throw Failure.failed("\(failures.count) of \(selected.count) runs failed: \(runs)")
        }
    }

    private func show(_ plan: Plan) throws {
        if outputOptions.json { return try Terminal.output(json: plan) }
        for (index, run) in plan.runs.enumerated() {
            let rows = run.rows.joined(separator: " = ")
            let folder = URL(fileURLWithPath: run.folder).relativePath
            Terminal.output(
                "\(index + 1). \(rows), seed \(run.seed): \(run.state.rawValue), \(run.steps) steps, \(folder)"
            )
        }
        let shared = Set(plan.runs.compactMap(\.shared)).count
        let done = plan.runs.count { $0.state == .evaluated }
        Terminal.output(
            "\(plan.runs.count) runs, \(done) of them evaluated; \(shared) shared vocabularies and vision transformers"
        )
    }
}
