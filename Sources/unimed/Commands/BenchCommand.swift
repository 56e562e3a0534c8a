import ArgumentParser
import Foundation
import Torch
import UniMedData
import UniMedTraining

/// A part of `unimed bench`.
enum BenchmarkPart: String, CaseIterable, ExpressibleByArgument {
    case operations, training, connector, metrics
}

/// `unimed bench`: speed beside Python's PyTorch, and memory over many steps.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure operations, training steps and the connector beside Python's PyTorch, taking turns.",
        discussion: """
            Python is the interpreter in UNIMED_PEER_PYTHON, or the one that scripts/setup-peer put into .deps/peer; \
            without one our side is measured alone. Run from the root of the repository on a machine with nothing else \
            to do.
            """
    )

    @Option(name: .long, help: "The recipe whose model is trained.", completion: .file(extensions: ["yaml"]))
    var recipe = "Recipes/mini-real.yaml"

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What is measured.",
            discussion:
                """
                The connector, at the paper's size, takes minutes and 12 GB in float32, half of it in bfloat16. The report \
                metrics (metrics) have pycocoevalcap and rouge as their peer, with Java, and take --rounds turns of \
                some minutes: 1 will do.
                """
        )
    )
    var only: [BenchmarkPart] = [.operations, .training]

    @Option(name: .long, help: "The numbers of images the connector is measured with, of 64 tokens each.")
    var images: [Int] = [1, 4]

    @Option(name: .long, help: "The number of reports that are scored.")
    var reports = 10_000

    @Option(name: .long, help: "The type of the connector's weights and activations: float32 or bfloat16.")
    var dtype = "float32"

    @Option(name: .long, help: "The rounds in which the sides take turns, after one that warms up.")
    var rounds = 6

    @Option(name: .long, help: "The training steps of a side in a round.")
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
        guard connectorType != nil else {
            throw ValidationError("--dtype must be float32 or bfloat16, got \(dtype).")
        }
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
        let peer = try PeerProcess.python().map {
            try PeerProcess(python: $0, script: URL(fileURLWithPath: "Benchmarks/peer/peer.py"))
        }
        let versions = try peer?.request(StartRequest(threads: Runtime.threadCount), Versions.self)
        if peer == nil {
            Terminal.note("no Python with PyTorch (UNIMED_PEER_PYTHON, scripts/setup-peer): our side alone")
        }
        var results: [BenchmarkResult] = []
        var notes: [String] = []
        var trained: (recipe: String, work: TrainingStepBenchmark.Work)?
        if only.contains(.operations) { results += try OperationBenchmark(peer: peer).run(progress) }
        if only.contains(.training) {
            let loaded = try Recipe.load(contentsOf: URL(fileURLWithPath: recipe))
            let step = try TrainingStepBenchmark(recipe: loaded, peer: peer, rounds: rounds, stepsPerRound: steps)
                .run(progress)
            trained = (loaded.name, step.work)
            results += step.results
        }
        if only.contains(.connector), let dtype = connectorType {
            let connector = ConnectorBenchmark(peer: peer, dtype: dtype, imageCounts: images, rounds: rounds)
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
        let report = BenchmarkReport(
            machine: BenchmarkMachine(
                threads: Runtime.threadCount,
                peer: versions.map { "torch \($0.torch), Python \($0.python)" }
            ),
            recipe: trained?.recipe,
            step: trained?.work,
            results: results,
            notes: notes
        )
        if let markdown {
            try AtomicFile.write(Data((report.markdown + "\n").utf8), to: URL(fileURLWithPath: markdown))
        }
        if output.json { try Terminal.output(json: report) } else { Terminal.output(report.markdown) }
        if check, report.results.contains(where: { $0.isReached == false }) {
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
