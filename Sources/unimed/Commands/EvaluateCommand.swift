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
            Writes evaluation.json, predictions.jsonl, scores.json and report.html, one page that needs no other file. The \
            page and the predictions hold pictures and texts of the data, so they belong where the data belong.

            Every answer is kept as it comes: the same command, started again after it was stopped or killed, does not ask \
            it again. Processes share the work with --shard 1/2 and --shard 2/2 in folders of their own; `unimed score` \
            takes their predictions together.

            Samples whose image, study or text stands in the training split of the model's run are counted as leaks in \
            every report; --refuse-leaks ends instead.
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

    @Option(
        name: .long,
        help: "The part of the samples that this process answers, such as 2/4. Default: all.",
        transform: Self.shard
    )
    var shard: EvaluationShard?

    @Flag(name: .long, help: "Also compute the likelihood of each choice of a closed set, for ROC curves.")
    var scoreChoices = false

    @Flag(name: .long, help: "End where samples stand in the training split of the model, instead of counting them.")
    var refuseLeaks = false

    @Option(
        name: .shortAndLong,
        help: "The folder of the files. Default: evaluation/ in the checkpoint's folder, evaluation-2-of-4/ for a part."
    )
    var output: String?

    @OptionGroup(title: "Scores") var meteor: METEOROptionGroup

    @OptionGroup(title: "Generation") var generation: GenerationOptionGroup

    @OptionGroup var store: StoreOptions

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
        options.shard = shard
        options.scoresChoices = scoreChoices
        let name = shard.map { "evaluation-\($0.index)-of-\($0.count)" } ?? "evaluation"
        var job = EvaluationJob(
            checkpoint: model,
            options: options,
            folder: output.map { URL(fileURLWithPath: $0) } ?? folder.appendingPathComponent(name),
            runFolder: folder,
            meteor: try meteor.resources()
        )
        job.refusesLeaks = refuseLeaks
        let prepared = try PreparedData.open(
            at: preparedFolder(data, ofRun: checkpoint, dataFolder: dataFolder)
        )
        let summary = try job.run(prepared, modelFolder: folder, ProgressPrinter())
        store.recording?.record(summary, folder: job.folder)
        if outputOptions.json {
            try Terminal.output(json: summary)
        } else {
            Terminal.output(summary.table.text.trimmingCharacters(in: .newlines))
            if let scores = summary.scores { Terminal.output("\n" + scores.text.trimmingCharacters(in: .newlines)) }
            Terminal.output("report: \(job.folder.appendingPathComponent("report.html").relativePath)")
        }
    }

    private static func shard(_ text: String) throws -> EvaluationShard {
        guard let shard = EvaluationShard(text) else {
            throw ValidationError("expected a part and the number of parts, such as 2/4, got \(text)")
        }
        return shard
    }
}

extension EvaluationTable.ResamplingUnit: ExpressibleByArgument {}
