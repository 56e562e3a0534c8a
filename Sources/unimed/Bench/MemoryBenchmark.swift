import Foundation
import UniMedData
import UniMedTraining

/// Whether resident memory grows over many training steps of a small model.
struct MemoryBenchmark {
    let steps: Int
    /// The step from which memory is expected to stay.
    let settled: Int

    /// The resident memory in bytes, means over the steps from `settled` on and over the last ones.
    struct Result: Encodable {
        let steps: Int
        let settledStep: Int
        let settledBytes: Double
        let finalBytes: Double
        /// The growth as a share.
        let growth: Double
        let goal = "below 0.01"
        let isReached: Bool
    }

    /// Trains in a temporary folder, which is removed.
    func run(_ progress: ProgressPrinter) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-bench-\(UUID())")
        defer { try? FileManager.default.removeItem(at: folder) }
        try makeFolder(folder)
        let recipe = try Recipe.parse(Self.recipe(steps: steps))
        let job = RunJob(
            recipe: recipe,
            recipeFile: folder.appendingPathComponent("recipe.yaml"),
            folder: folder.appendingPathComponent("run"),
            dataFolder: folder.appendingPathComponent("data"),
            roots: DataRoots()
        )
        let data = try job.prepare(progress)
        let run = try TrainingRun(recipe: recipe, recipeFolder: folder, folder: job.folder)
        var samples: [Int: Double] = [:]
        _ = try run.train(data, control: Interruption.control) { step in
            guard step.stage == .training else { return }
            samples[step.done] = Self.residentBytes()
            progress.show("memory", step.done, of: step.total, unit: "steps")
        }
        progress.finish()
        try Interruption.check()
        let window = max(1, (steps - settled) / 10)
        func mean(_ range: Range<Int>) -> Double {
            let values = range.compactMap { samples[$0] }
            return values.reduce(0, +) / Double(max(1, values.count))
        }
        let before = mean(settled..<settled + window)
        let after = mean(steps - window + 1..<steps + 1)
        return Result(
            steps: steps,
            settledStep: settled,
            settledBytes: before,
            finalBytes: after,
            growth: after / before - 1,
            isReached: after / before - 1 < 0.01
        )
    }

    /// The resident memory of this process.
    private static func residentBytes() -> Double {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return .nan }
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = Double(fields[1]) else { return .nan }
        return pages * Double(sysconf(Int32(_SC_PAGESIZE)))
    }

    private static func recipe(steps: Int) -> String {
        """
        name: memory
        seed: 1
        data:
          imageSize: 64
          sets: [{importer: phantoms, count: 60}]
        tokenizer: {train: {vocabularySize: 600}}
        model:
          vision: {imageSize: 64, patchSize: 16, hiddenSize: 32, layerCount: 1, headCount: 2}
          resampler: {method: projection, rate: 4}
          connector: {expertCount: 2}
          language: {hiddenSize: 32, intermediateSize: 64, layerCount: 2, headCount: 2}
          fineTuning: {method: full}
        training:
          steps: \(steps)
          batchSize: 4
          checkpointEvery: 100
          learningRate: {peak: 0.001, lowest: 0.0001}
        """
    }
}
