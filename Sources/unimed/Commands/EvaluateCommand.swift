public import ArgumentParser
import Foundation
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedTraining

/// `unimed evaluate`: the paper's metrics per data set and task, beside the trivial baselines.
struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Score a model on prepared data as the paper does, beside trivial baselines.",
        discussion: """
            Writes evaluation.json, predictions.jsonl and report.html, one page that needs no other file. The page and \
            the predictions hold pictures and texts of the data, so they belong where the data belong.
            """
    )

    @Argument(help: "A run's folder, or a model's.", completion: .directory)
    var checkpoint: String

    @Option(
        name: .long,
        help: "A folder of prepared data. Default: the data the run was trained on.",
        completion: .directory
    )
    var data: String?

    @Option(name: .long, help: "The folder in which `unimed train` keeps prepared data.", completion: .directory)
    var dataFolder = RunJob.standardDataFolder

    @Option(name: .long, help: "The part of the data: train, validation or test. Default: the recipe's.")
    var split: Split?

    @Option(name: .long, help: "A task to evaluate (qa, vqa, rg, rec, reg, cls); may be repeated. Default: all.")
    var task: [MedicalTask] = []

    @Option(name: .long, help: "The most samples of one data set and task. Default: the recipe's.")
    var limit: Int?

    @Option(name: .long, help: "The number of prompts that are answered together. Default: the recipe's.")
    var batchSize: Int?

    @Option(name: .long, help: "What the intervals draw anew: samples, or groups (patients, cases).")
    var resample: EvaluationTable.ResamplingUnit = .groups

    @Option(name: .long, help: "Where the model lives: cpu, cuda or cuda:1.")
    var device = "cpu"

    @Option(name: .shortAndLong, help: "The folder of the files. Default: evaluation/ in the checkpoint's folder.")
    var output: String?

    @OptionGroup(title: "Generation") var generation: GenerationOptionGroup

    @OptionGroup var outputOptions: OutputOptions

    func run() throws {
        try generation.check()
        Interruption.listen()
        let folder = URL(fileURLWithPath: checkpoint)
        let model = try ModelCheckpoint.load(from: folder, device: parsedDevice(device))
        var options = EvaluationOptions(model.configuration.evaluation)
        if let split { options.split = split }
        if !task.isEmpty { options.tasks = Set(task) }
        if let limit { options.maximumSamplesPerPart = limit }
        if let batchSize { options.batchSize = batchSize }
        options.resamplingUnit = resample
        options.generation = try generation.applied(to: options.generation)
        let job = EvaluationJob(
            checkpoint: model,
            options: options,
            folder: output.map { URL(fileURLWithPath: $0) } ?? folder.appendingPathComponent("evaluation"),
            runFolder: folder
        )
        let prepared = try PreparedData.open(
            at: preparedFolder(data, ofRun: checkpoint, dataFolder: dataFolder)
        )
        let summary = try job.run(prepared, modelFolder: folder, ProgressPrinter())
        if outputOptions.json {
            try Terminal.output(json: summary)
        } else {
            Terminal.output(summary.table.text.trimmingCharacters(in: .newlines))
            Terminal.output("report: \(job.folder.appendingPathComponent("report.html").relativePath)")
        }
    }
}

extension EvaluationTable.ResamplingUnit: ExpressibleByArgument {}
