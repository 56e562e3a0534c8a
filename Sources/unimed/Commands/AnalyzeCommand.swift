public import ArgumentParser
import Foundation
import Torch
import UniMedAnalysis
import UniMedData
import UniMedEvaluation
import UniMedTraining

/// `unimed analyze`: which tasks pull against each other, and how the experts settle it.
struct AnalyzeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "analyze",
        abstract: "Look inside a model: tug-of-war indexes, routing, feature maps, what answers rest on.",
        discussion: """
            Writes analysis.json, tables as CSV, every figure as PNG and SVG, and analysis.html, one page that needs no \
            other file. The page shows pictures and texts of the data, so it belongs where the data belong.

            Parts: interference (gradient directions and magnitudes, tug-of-war indexes, parameter statistics), routing, \
            ablation (losses without each expert), features (t-SNE and principal components before and after the \
            connector), attribution (patches and experts behind single answers).

            Sets of parameters: connector, router, experts (one by one), lora (layer by layer), language, or \
            name=pattern with * for any characters.

            --dry-run says how much memory the gradients need, and computes nothing; with --recipe it needs no run.
            """
    )

    @Argument(help: "A run's folder, or a model's.", completion: .directory)
    var checkpoint: String?

    @Option(name: .long, help: "With --dry-run: a recipe instead of a run.", completion: .file(extensions: ["yaml"]))
    var recipe: String?

    @Option(name: .long, help: "A part of the analysis; may be repeated. Default: all.")
    var parts: [AnalysisPart] = []

    @Option(name: .customLong("parameters"), help: "A set of parameters; may be repeated. Default: connector.")
    var parameterNames: [String] = []

    @Option(name: .long, help: "The batches of each task or data set whose gradients are taken.")
    var batches = 100

    @Option(name: .long, help: "The samples of a batch.")
    var batchSize = 4

    @Option(name: .customLong("by"), help: "What is compared: task, or dataset (each task of each data set).")
    var grouping: Grouping = .task

    @Option(name: .long, help: "A task to look at (qa, vqa, rg, rec, reg, cls); may be repeated. Default: all.")
    var task: [MedicalTask] = []

    @Option(name: .long, help: "The part of the data whose gradients are taken: train, validation or test.")
    var split: Split = .train

    @Option(name: .long, help: "The part of the data that is looked at by routing, ablation, features and attribution.")
    var pictureSplit: Split = .validation

    @Option(name: .long, help: "The pictures of each task for routing and feature maps.")
    var pictures = 100

    @Option(name: .long, help: "The dimensions of the feature maps: 2 or 3 (the third is in features.csv).")
    var dimensions = 2

    @Option(name: .long, help: "The answers of each task that are explained.")
    var answers = 1

    @Option(
        name: .customLong("exact-step"),
        help: "Also take steps of this length and compute every loss again; the cost is the square of all batches."
    )
    var exactStep: Double?

    @Option(name: .long, help: "The batches of each task for exact steps.")
    var exactBatches = 4

    @Flag(name: .long, help: "Also answer anew without each expert, and compare scores.")
    var ablationScores = false

    @Option(
        name: .long,
        help: "The memory that the gradients may take with the model, in GB: fewer copies, more passes."
    )
    var memory = 40.0

    @Option(name: .long, help: "The seed of all draws.")
    var seed: UInt64 = 0

    @Flag(name: .long, help: "Say how much memory and how many gradients it needs, and compute nothing.")
    var dryRun = false

    @Option(name: .long, help: "With --dry-run: the number of tasks or data sets. Default: 5.")
    var groups = 5

    @Option(
        name: .long,
        help: "A folder of prepared data. Default: the data the run was trained on.",
        completion: .directory
    )
    var data: String?

    @Option(name: .long, help: "The folder in which `unimed train` keeps prepared data.", completion: .directory)
    var dataFolder = RunJob.standardDataFolder

    @Option(name: .long, help: "Where the model lives: cpu, cuda or cuda:1.")
    var device = "cpu"

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Another model's analysis, which is drawn beside; may be repeated.",
            discussion: "The folder of the analysis, or the run's that holds it."
        ),
        completion: .directory
    )
    var against: [String] = []

    @Option(name: .shortAndLong, help: "The folder of the files. Default: analysis/ in the checkpoint's folder.")
    var output: String?

    @OptionGroup var outputOptions: OutputOptions

    func validate() throws {
        if checkpoint == nil, recipe == nil { throw ValidationError("Name a run, or a --recipe with --dry-run.") }
        if recipe != nil, !dryRun || checkpoint != nil {
            throw ValidationError("--recipe takes the place of a run, and only with --dry-run.")
        }
        for (name, value) in [
            ("--batches", batches), ("--batch-size", batchSize), ("--pictures", pictures), ("--answers", answers),
            ("--exact-batches", exactBatches),
        ] where value < 1 {
            throw ValidationError("\(name) must be positive.")
        }
        if let exactStep, !(exactStep > 0 && exactStep.isFinite) {
            throw ValidationError("--exact-step must be positive.")
        }
        guard memory > 0, memory.isFinite else { throw ValidationError("--memory must be positive.") }
        guard (2...3).contains(dimensions) else { throw ValidationError("--dimensions must be 2 or 3.") }
        if groups < 2 { throw ValidationError("--groups must be at least 2.") }
        _ = try selections()
    }

    private func selections() throws -> [ParameterSelection] {
        try (parameterNames.isEmpty ? ["connector"] : parameterNames).map { text in
            guard let selection = ParameterSelection(text) else {
                throw ValidationError(
                    "--parameters: expected connector, router, experts, lora, language or name=pattern, got '\(text)'."
                )
            }
            return selection
        }
    }

    func run() throws {
        let request = AnalysisRequest(
            parts: Set(parts.isEmpty ? AnalysisPart.allCases : parts),
            selections: try selections(),
            batches: batches,
            batchSize: batchSize,
            grouping: grouping,
            tasks: Set(task.isEmpty ? MedicalTask.allCases : task),
            split: split,
            pictureSplit: pictureSplit,
            pictures: pictures,
            dimensions: dimensions,
            answers: answers,
            exactStep: exactStep,
            exactBatches: exactBatches,
            ablationScores: ablationScores,
            memoryLimit: Int(memory * 1e9),
            seed: seed
        )
        if dryRun {
            let plan = try request.plan(folder: checkpoint, recipe: recipe, groups: groups, device: device)
            if outputOptions.json {
                try Terminal.output(json: plan)
            } else {
                Terminal.output(plan.text)
            }
            return
        }
        guard let checkpoint else { return }
        let others = try against.map(AnalysisFile.load)
        Interruption.listen()
        let run = URL(fileURLWithPath: checkpoint)
        let model = try ModelCheckpoint.load(from: run, device: parsedDevice(device), keepsTrainable: true)
        let prepared = try PreparedData.open(
            at: preparedFolder(data, ofRun: checkpoint, dataFolder: dataFolder)
        )
        var job = AnalysisJob(
            checkpoint: model,
            data: prepared,
            request: request,
            run: run,
            folder: output.map { URL(fileURLWithPath: $0) } ?? run.appendingPathComponent("analysis")
        )
        job.others = others
        let result = try job.run(ProgressPrinter())
        if outputOptions.json {
            try Terminal.output(json: result)
        } else {
            Terminal.output(result.text)
            Terminal.output("page: \(job.folder.appendingPathComponent("analysis.html").relativePath)")
        }
    }
}

extension AnalysisPart: ExpressibleByArgument {}
extension Grouping: ExpressibleByArgument {}
