import ArgumentParser
import Foundation
import Torch
import UniMedData
import UniMedTraining

/// A part of `unimed bench`.
enum BenchmarkPart: String, CaseIterable, ExpressibleByArgument {
    case operations, training, connector, images, features, numbers, metrics
    case fullSize = "full-size"
}

/// `unimed bench`: speed beside Python's PyTorch, memory over many steps, and an accelerator's numbers and training steps.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure operations, training steps, the connector and pictures beside Python, taking turns.",
        discussion: """
            Python is the interpreter in UNIMED_PEER_PYTHON, or the one that scripts/setup-peer put into .deps/peer; \
            without one our side is measured alone. Run from the root of the repository on a machine with nothing else \
            to do.

            --only numbers checks that a device computes what the CPU computes. --only full-size takes training steps of \
            a recipe's model with random weights of its true size, and writes what Benchmarks/peer/full_size.py needs to \
            take the same in PyTorch. scripts/device does both on a machine with an accelerator.
            """
    )

    @Option(
        name: .long,
        help:
            "The recipe whose model is trained. Default: Recipes/mini-real.yaml; numbers and full-size: Recipes/uni-med.yaml.",
        completion: .file(extensions: ["yaml"])
    )
    var recipe: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What is measured.",
            discussion:
                "The connector, at the paper's size, takes minutes and 12 GB in float32, half of it in bfloat16. images: "
                + "preparing pictures beside Pillow and NumPy; features: training steps with cached features beside "
                + "computed ones, and how long they wait for data."
                + " metrics: report metrics beside pycocoevalcap and rouge, which need Java and some minutes a round."
        )
    )
    var only: [BenchmarkPart] = [.operations, .training]

    @Option(name: .long, help: "Where the connector, numbers and full-size are computed: cpu, cuda or cuda:1.")
    var device = "cpu"

    @Flag(name: .long, help: "full-size: take the model's structure made small, in float32, to see that all is there.")
    var dryRun = false

    @Option(
        name: .long,
        help: "full-size: write the peer's work to this folder; in a dry run with the weights.",
        completion: .directory
    )
    var peerWork: String?

    @Option(name: .long, help: "full-size: the steps of each way of training that warm up.")
    var warmups = 3

    @Option(name: .long, help: "The numbers of images the connector is measured with, of 64 tokens each.")
    var images: [Int] = [1, 4]

    @Option(name: .long, help: "The number of reports that are scored.")
    var reports = 10_000

    @Option(
        name: .long,
        help: "A folder with the pictures that are prepared. Default: made ones.",
        completion: .directory
    )
    var imageFolder: String?

    @Option(name: .long, help: "The type of the connector's weights and activations: float32 or bfloat16.")
    var dtype = "float32"

    @Option(name: .long, help: "The rounds in which the sides take turns, after one that warms up.")
    var rounds = 6

    @Option(
        name: .long,
        help: "The training steps of a side in a round; full-size: those measured of each way of training."
    )
    var steps = 5

    @Option(
        name: .customLong("meteor-data"),
        help: "A folder with METEOR 1.5's data. Default: that of the peer's pycocoevalcap.",
        completion: .directory
    )
    var meteorData: String?

    @Option(name: .long, help: "The number of CPU threads of both sides. Default: LibTorch's.")
    var threads: Int?

    @Flag(name: .long, help: "Measure resident memory over 3,000 small training steps, and nothing else.")
    var memory = false

    @Flag(name: .long, help: "End with status 1 when a goal is missed.")
    var check = false

    @Option(name: .shortAndLong, help: "Also write the result, in Markdown, to this file.", completion: .file())
    var markdown: String?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard rounds > 0, steps > 0, reports > 0, threads ?? 1 > 0 else {
            throw ValidationError("--rounds, --steps, --reports and --threads must be positive.")
        }
        guard images.allSatisfy({ $0 > 0 }) else { throw ValidationError("--images must be positive.") }
        guard warmups > 0 else { throw ValidationError("--warmups must be positive.") }
        guard connectorType != nil else {
            throw ValidationError("--dtype must be float32 or bfloat16, got \(dtype).")
        }
        guard only.contains(.fullSize) || (!dryRun && peerWork == nil) else {
            throw ValidationError("--dry-run and --peer-work belong to --only full-size.")
        }
    }

    private func loadRecipe(default file: String) throws -> Recipe {
        try Recipe.load(contentsOf: URL(fileURLWithPath: recipe ?? file))
    }

    private var connectorType: DType? { [.float32, .bfloat16].first { $0.rawValue == dtype } }

    private struct StartRequest: Encodable {
        let command = "start"
        let threads: Int
    }
    private struct Versions: Decodable {
        let torch: String
        let python: String
    }

    func run() throws {
        Interruption.listen()
        if let threads { try Runtime.setThreadCount(threads) }
        let progress = ProgressPrinter()
        if memory {
            try printMemory(try MemoryBenchmark(steps: 3000, settled: 500).run(progress))
            return
        }
        let device = try parsedDevice(device)
        let hasPeer = only.contains { [.operations, .training, .connector, .images, .metrics].contains($0) }
        let peer = try (hasPeer ? PeerProcess.python() : nil).map {
            try PeerProcess(python: $0, script: URL(fileURLWithPath: "Benchmarks/peer/peer.py"))
        }
        let versions = try peer?.request(StartRequest(threads: Runtime.threadCount), Versions.self)
        if hasPeer, peer == nil {
            Terminal.note("no Python with PyTorch (UNIMED_PEER_PYTHON, scripts/setup-peer): our side alone")
        }
        var results: [BenchmarkResult] = []
        var notes: [String] = []
        var trained: (recipe: String, work: TrainingStepBenchmark.Work)?
        if only.contains(.operations) { results += try OperationBenchmark(peer: peer).run(progress) }
        if only.contains(.training) {
            let loaded = try loadRecipe(default: "Recipes/mini-real.yaml")
            let step = try TrainingStepBenchmark(recipe: loaded, peer: peer, rounds: rounds, stepsPerRound: steps)
                .run(progress)
            trained = (loaded.name, step.work)
            results += step.results
        }
        if only.contains(.connector), let dtype = connectorType {
            let connector = ConnectorBenchmark(
                peer: peer,
                device: device,
                dtype: dtype,
                imageCounts: images,
                rounds: rounds
            )
            results += try connector.run(progress)
            notes += connector.notes
        }
        if only.contains(.metrics) {
            var metrics = MetricsBenchmark(
                peer: peer,
                meteorData: meteorData.map { URL(fileURLWithPath: $0, isDirectory: true) },
                count: reports,
                rounds: rounds
            )
            results += try metrics.run(progress)
            notes += metrics.notes
        }
        if only.contains(.images) {
            let folder = imageFolder.map { URL(fileURLWithPath: $0) }
            let images = try ImageBenchmark(peer: peer, rounds: rounds, folder: folder).run(progress)
            results += images.results
            notes += images.notes
        }
        if only.contains(.features) {
            let loaded = try loadRecipe(default: "Recipes/mini-real.yaml")
            let features = try FeatureBenchmark(recipe: loaded, rounds: rounds, linesPerRound: steps).run(progress)
            results += features.results
            notes += features.notes
        }
        var numbers: NumbersBenchmark.Report?
        if only.contains(.numbers) {
            let loaded = try loadRecipe(default: "Recipes/uni-med.yaml")
            numbers = try NumbersBenchmark(recipe: loaded, device: device).run(progress)
        }
        var fullSize: FullSizeBenchmark.Report?
        if only.contains(.fullSize) {
            let loaded = try loadRecipe(default: "Recipes/uni-med.yaml")
            fullSize = try FullSizeBenchmark(
                recipe: loaded,
                device: device,
                isDryRun: dryRun,
                dtype: dryRun ? .float32 : loaded.precision.dtype,
                warmups: warmups,
                steps: steps,
                folder: peerWork.map { URL(fileURLWithPath: $0) }
            ).run(progress)
        }
        let report = BenchmarkReport(
            machine: BenchmarkMachine(
                threads: Runtime.threadCount,
                peer: versions.map { "torch \($0.torch), Python \($0.python)" }
            ),
            recipe: trained?.recipe,
            step: trained?.work,
            results: results,
            notes: notes,
            numbers: numbers,
            fullSize: fullSize
        )
        if let markdown {
            try AtomicFile.write(Data((report.markdown + "\n").utf8), to: URL(fileURLWithPath: markdown))
        }
        if output.json { try Terminal.output(json: report) } else { Terminal.output(report.markdown) }
        // A device that computes something else is a failure whether its speed is checked or not.
        let isWrong = numbers?.isPassed == false
        if isWrong || (check && report.results.contains { $0.isReached == false }) {
            throw ExitCode(Outcome.failed.rawValue)
        }
    }

    private func printMemory(_ result: MemoryBenchmark.Result) throws {
        if output.json {
            try Terminal.output(json: result)
        } else {
            let megabytes = { (bytes: Double) in String(format: "%.1f MB", bytes / 1e6) }
            Terminal.output(
                "resident memory from step \(result.settledStep): \(megabytes(result.settledBytes)), at step \(result.steps): "
                    + "\(megabytes(result.finalBytes)), growth \(String(format: "%.2f%%", result.growth * 100))"
            )
        }
        if check, !result.isReached { throw ExitCode(Outcome.failed.rawValue) }
    }
}
