import Foundation
import Torch

/// One measured quantity, beside Python's.
struct BenchmarkResult: Encodable {
    let name: String
    /// The unit of the times.
    let unit: String
    /// Our median time.
    let ours: Double
    /// The fastest and slowest.
    let ourRange: [Double]
    /// The median time beside it, Python's unless the name says otherwise; `nil` without a peer.
    let peer: Double?
    let peerRange: [Double]?
    /// How many times were measured on each side, after those that warm up.
    let n: Int
    /// What the ratio below should be, for example `at most 0.9 times Python's`.
    let goal: String?
    /// Our time over Python's for costs, Python's over ours for speeds.
    let ratio: Double?
    let isReached: Bool?

    /// What is compared with a goal.
    enum Goal {
        /// Our time is at most this many times that of the reference.
        case cost(atMost: Double, of: String = "Python's")
        /// We are at least this many times as fast.
        case speed(atLeast: Double, as: String)
        /// For information: how many times as fast.
        case none
    }

    init(_ name: String, unit: String, ours: [Double], peer: [Double]?, goal: Goal) {
        self.name = name
        self.unit = unit
        self.ours = Self.median(ours)
        ourRange = [ours.min() ?? 0, ours.max() ?? 0]
        self.peer = peer.map(Self.median)
        peerRange = peer.map { [$0.min() ?? 0, $0.max() ?? 0] }
        n = ours.count
        let mine = self.ours
        switch goal {
        case .cost(let limit, let reference):
            self.goal = "at most \(limit) times \(reference)"
            ratio = self.peer.map { mine / $0 }
            isReached = ratio.map { $0 <= limit }
        case .speed(let limit, let reference):
            self.goal = "at least \(limit) times \(reference)"
            ratio = self.peer.map { $0 / mine }
            isReached = ratio.map { $0 >= limit }
        case .none:
            self.goal = nil
            ratio = self.peer.map { $0 / mine }
            isReached = nil
        }
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }
}

/// The machine a benchmark ran on, without its name.
struct BenchmarkMachine: Encodable {
    let date: String
    let processor: String
    let cores: Int
    let threads: Int
    let memoryGB: Double
    /// The accelerators that its driver names.
    let accelerator: String?
    /// The instruction sets that matter for products.
    let instructions: [String]
    let libTorch: String
    let peer: String?

    init(threads: Int, peer: String?) {
        date = String(Date().ISO8601Format().prefix(10))
        let information = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        func field(_ name: String) -> String? {
            information.split(separator: "\n").first { $0.hasPrefix(name) }?
                .split(separator: ":", maxSplits: 1).last.map { $0.trimmingCharacters(in: .whitespaces) }
        }
        processor = field("model name") ?? "unknown"
        let flags = Set((field("flags") ?? field("Features") ?? "").split(separator: " ").map(String.init))
        instructions = ["avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16"].filter(flags.contains)
        accelerator = Self.accelerators()
        cores = ProcessInfo.processInfo.activeProcessorCount
        memoryGB = (Double(ProcessInfo.processInfo.physicalMemory) / 1e8).rounded() / 10
        self.threads = threads
        libTorch = Runtime.version
        self.peer = peer
    }

    /// What NVIDIA's driver calls the cards it sees; `nil` without the driver.
    private static func accelerators() -> String? {
        let folder = "/proc/driver/nvidia/gpus"
        let cards = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        let names = cards.compactMap { card in
            (try? String(contentsOfFile: "\(folder)/\(card)/information", encoding: .utf8))?
                .split(separator: "\n").first { $0.hasPrefix("Model:") }?
                .dropFirst("Model:".count).trimmingCharacters(in: .whitespaces)
        }
        return names.isEmpty ? nil : names.joined(separator: ", ")
    }
}

/// Everything a benchmark gave.
struct BenchmarkReport: Encodable {
    let machine: BenchmarkMachine
    let recipe: String?
    /// What was computed in a training step.
    let step: TrainingStepBenchmark.Work?
    let results: [BenchmarkResult]
    let notes: [String]
    /// Whether a device computes what the CPU computes.
    let numbers: NumbersBenchmark.Report?
    /// Training steps of a model at its true size.
    let fullSize: FullSizeBenchmark.Report?

    /// Tables in Markdown.
    var markdown: String {
        let m = machine
        var lines = [
            "\(m.date), \(m.accelerator.map { "\($0), " } ?? "")\(m.cores) cores (\(m.processor)), \(m.threads) threads, \(m.memoryGB) GB, "
                + "\(m.instructions.joined(separator: " ")); LibTorch \(m.libTorch); peer: \(m.peer ?? "none")",
            "",
        ]
        if let step {
            lines += [
                "Training step of \(recipe ?? "the recipe"): \(step.trainedWeights) trained weights, batch \(step.samples), "
                    + "\(step.tokens) tokens, \(step.targets) predicted; the peer pads \(Self.percent(step.peerPadding)) "
                    + "more places; first losses differ by \(step.lossDifference.map { String(format: "%.1e", $0) } ?? "-")",
                "",
            ]
        }
        let tables = [numbers?.markdown, fullSize?.markdown].compactMap { $0 }
        guard !results.isEmpty || tables.isEmpty else {
            return (lines + [tables.joined(separator: "\n\n")]).joined(separator: "\n")
        }
        lines += [
            "| | unit | ours | range | Python | range | n | ratio | goal | |",
            "|---|---|---:|---|---:|---|---:|---:|---|---|",
        ]
        for result in results {
            let mark = result.isReached.map { $0 ? "reached" : "missed" } ?? ""
            lines.append(
                "| \(result.name) | \(result.unit) | \(Self.number(result.ours)) | \(Self.range(result.ourRange)) "
                    + "| \(result.peer.map(Self.number) ?? "-") | \(result.peerRange.map(Self.range) ?? "-") | \(result.n) "
                    + "| \(result.ratio.map { String(format: "%.2f", $0) } ?? "-") | \(result.goal ?? "") | \(mark) |"
            )
        }
        if !notes.isEmpty { lines += [""] + notes }
        for table in tables { lines += ["", table] }
        return lines.joined(separator: "\n")
    }

    private static func number(_ value: Double) -> String {
        String(format: value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.3f", value)
    }
    private static func range(_ values: [Double]) -> String { values.map(number).joined(separator: " to ") }
    private static func percent(_ share: Double?) -> String { share.map { String(format: "%.0f%%", $0 * 100) } ?? "-" }
}
