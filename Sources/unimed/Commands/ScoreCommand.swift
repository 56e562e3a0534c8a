public import ArgumentParser
import Foundation
import UniMedData
public import UniMedEvaluation
import UniMedMetrics

/// `unimed score`: every metric of kept predictions, apart from the model that made them.
struct ScoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "score",
        abstract: "Score kept predictions: all metrics with intervals, seeds, and another model beside them.",
        discussion: """
            Takes the predictions.jsonl of one or more evaluations of a model. Files without a common sample are the parts \
            of one evaluation (--shard); files with the same samples are runs with other seeds, whose mean and standard \
            deviation are given. A line needs id, dataset, task, prediction and reference; choices make a question a \
            closed one. The skipped samples come from the evaluation.json beside a file.

            Against another model there are the differences with intervals, the probability of a paired bootstrap, and \
            the paper's gain: the mean relative improvement of each task's first metric over its data sets, and of all.
            """
    )

    @Argument(help: "Files of predictions of the model.", completion: .file(extensions: ["jsonl"]))
    var predictions: [String]

    @Option(
        name: .long,
        parsing: .upToNextOption,
        help: "Files of predictions of another model over the same samples.",
        completion: .file(extensions: ["jsonl"])
    )
    var against: [String] = []

    @Option(name: .long, help: "The form: text, json, csv, markdown, latex or html.")
    var format: ScoreReport.Form = .text

    @Option(name: .shortAndLong, help: "Write to this file instead of standard output.", completion: .file())
    var output: String?

    @Option(name: .long, help: "What the intervals draw anew: samples, or groups (patients, cases).")
    var resample: EvaluationTable.ResamplingUnit = .groups

    @Option(name: .long, help: "How often the intervals draw.")
    var draws = 2000

    @Option(name: .long, help: "The seed of the draws.")
    var seed: UInt64 = 0

    @OptionGroup(title: "METEOR") var meteor: METEOROptionGroup

    @OptionGroup(title: "Report models") var models: ReportModelOptionGroup

    @Option(
        name: .customLong("radgraph-predictions"),
        help: ArgumentHelp(
            "RadGraph's annotations of the generated reports, instead of its model's.",
            discussion: """
                A JSON file as RadGraph writes it, reports by their ids or numbers (from 0); one for each file of \
                predictions, then for those of --against.
                """
        ),
        completion: .file(extensions: ["json"])
    )
    var radGraphPredictions: [String] = []

    @Option(
        name: .customLong("radgraph-references"),
        help: "RadGraph's annotations of the references, with --radgraph-predictions.",
        completion: .file(extensions: ["json"])
    )
    var radGraphReferences: String?

    @OptionGroup var store: StoreOptions

    @OptionGroup var outputOptions: OutputOptions

    func validate() throws {
        guard !predictions.isEmpty else { throw ValidationError("give at least one file of predictions.") }
        guard draws > 0 else { throw ValidationError("--draws must be positive, got \(draws).") }
        guard radGraphPredictions.isEmpty == (radGraphReferences == nil) else {
            throw ValidationError("--radgraph-predictions and --radgraph-references belong together.")
        }
        let count = predictions.count + against.count
        guard radGraphPredictions.isEmpty || radGraphPredictions.count == count else {
            throw ValidationError(
                "--radgraph-predictions: expected one for each of \(count) files of predictions, got "
                    + "\(radGraphPredictions.count)."
            )
        }
    }

    func run() throws {
        let scorer = PredictionScorer(
            bootstrap: PairedBootstrap(resampleCount: draws, seed: seed),
            resamplingUnit: resample,
            meteor: try meteor.resources()
        )
        var (files, others) = (
            try predictions.map(PredictionScorer.File.init(reading:)),
            try against.map(PredictionScorer.File.init(reading:))
        )
        let annotations = try radGraphReferences.map {
            try RadGraphAnnotationFiles(predictions: radGraphPredictions, references: $0)
        }
        let missing = try models.score(&files, &others, annotations: annotations)
        var report = try scorer.report(files, against: others)
        report.missingModelMetrics = missing
        store.recording?.record(report, files: predictions.map { URL(fileURLWithPath: $0) }, command: "score")
        let text = try report.written(as: outputOptions.json ? .json : format)
        if let output {
            try AtomicFile.write(Data(text.utf8), to: URL(fileURLWithPath: output))
        } else {
            Terminal.output(text.trimmingCharacters(in: .newlines))
        }
    }
}

extension ScoreReport.Form: ExpressibleByArgument {}

extension PredictionScorer.File {
    /// Reads a file of predictions, and beside it which samples were skipped.
    init(reading path: String) throws {
        struct Summary: Decodable {
            struct Table: Decodable {
                struct Row: Decodable {
                    let dataset: String
                    let task: MedicalTask
                    let skipped: Int
                }
                let rows: [Row]
            }
            let table: Table
        }
        let url = URL(fileURLWithPath: path)
        let records = try JSONLines.read(PredictionRecord.self, from: url)
        let beside = url.deletingLastPathComponent().appendingPathComponent("evaluation.json")
        let rows = FileManager.default.contents(atPath: beside.path)
            .flatMap { try? JSONDecoder().decode(Summary.self, from: $0) }?.table.rows
        let skipped = rows.map { rows in
            Dictionary(
                rows.map { (EvaluationTable.Key(dataset: $0.dataset, task: $0.task), $0.skipped) },
                uniquingKeysWith: +
            )
        }
        self.init(name: path, records: records, skipped: skipped)
    }
}
