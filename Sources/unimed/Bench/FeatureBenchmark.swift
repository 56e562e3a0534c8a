import Foundation
import Torch
import UniMedData
import UniMedImporters
import UniMedTraining

/// What a training step of a recipe's model costs with cached features, beside features computed at every step, and how
/// long it waits for data.
///
/// Both are whole training runs of the recipe on phantoms, in turns; the weights they start from are the same. A figure is the
/// mean of the steps between two lines of the run's log.
struct FeatureBenchmark {
    let recipe: Recipe
    let rounds: Int
    /// The lines of the log that count, of each run.
    let linesPerRound: Int
    /// The number of synthetic studies.
    var studyCount = 200

    /// The results, and what stands below the table.
    struct Outcome {
        var results: [BenchmarkResult]
        var notes: [String]
    }

    /// The steps of runs.
    fileprivate struct Steps {
        /// The time of a step.
        var seconds: [Double] = []
        /// The part of it spent waiting for data.
        var waiting: [Double] = []
        var losses: [Double] = []
    }

    /// Times both ways in turns; the first round warms up and is not counted.
    func run(_ progress: ProgressPrinter) throws -> Outcome {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-bench-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var recipe = recipe
        let augmentation = recipe.data.sets.lazy.compactMap(\.augmentation).first
        recipe.data.root = nil
        recipe.data.sets = [DatasetConfiguration(importer: "phantoms", count: studyCount, augmentation: augmentation)]
        recipe.data.rates = .proportional
        if augmentation == nil { recipe.training.views = 1 }
        recipe.visionPretraining = nil
        // The first steps of a run meet products of sizes that the libraries have not prepared.
        recipe.training.steps = recipe.training.logEvery * (1 + linesPerRound)
        recipe.training.learningRate.warmupSteps = 0
        recipe.training.checkpointEvery = recipe.training.steps
        let data = try RecipeData(recipe: recipe, base: folder, roots: DataRoots())
            .prepare(under: folder.appendingPathComponent("data"), progress: progress).data
        let shared = folder.appendingPathComponent("features").path
        var (cached, computed) = (Steps(), Steps())
        for round in 0...rounds {
            for store in FeatureConfiguration.Store.allCases {
                recipe.features = FeatureConfiguration(store: store)
                if store == .cached {
                    recipe.features.precision = recipe.precision == .float32 ? .float32 : .bfloat16
                    recipe.features.folder = shared
                }
                let name = "\(store.rawValue)-\(round)"
                let steps = try train(recipe, data, folder.appendingPathComponent(name), progress)
                guard round > 0 else { continue }
                if store == .cached { cached.add(steps) } else { computed.add(steps) }
            }
            progress.show("training runs", round, of: rounds, unit: "rounds")
        }
        progress.finish()
        let difference = zip(cached.losses, computed.losses).map { abs($0 - $1) / abs($1) }.max() ?? .nan
        // Bfloat16 has 8 bits of mantissa, and steps build on each other.
        guard difference < 0.05 else {
            throw Failure.failed("the losses with cached features are others: they differ by up to \(difference)")
        }
        return outcome(cached, computed, difference: difference, pictures: data.images.count)
    }

    private func outcome(_ cached: Steps, _ computed: Steps, difference: Double, pictures: Int) -> Outcome {
        let milliseconds = { (seconds: [Double]) in seconds.map { $0 * 1000 } }
        let results = [
            BenchmarkResult(
                "training step of \(recipe.name), cached features beside computed ones",
                unit: "ms",
                ours: milliseconds(cached.seconds),
                peer: milliseconds(computed.seconds),
                goal: .speed(atLeast: 2, as: "as fast as with features computed at every step")
            ),
            BenchmarkResult(
                "waiting for data in a step with cached features, beside the step",
                unit: "ms",
                ours: milliseconds(cached.waiting),
                peer: milliseconds(cached.seconds),
                goal: .cost(atMost: 0.02, of: "the step")
            ),
        ]
        let note =
            "Features: \(recipe.name) in \(recipe.precision.rawValue) on phantoms, batch "
            + "\(recipe.training.samplesPerStep), \(recipe.training.views) views of \(pictures) pictures; losses with cached "
            + "features differ from those with computed ones by at most \(String(format: "%.1e", difference)). In the "
            + "column of Python stand computed features, and the whole step."
        return Outcome(results: results, notes: [note])
    }

    private func train(
        _ recipe: Recipe,
        _ data: PreparedData,
        _ folder: URL,
        _ progress: ProgressPrinter
    ) throws -> Steps {
        let run = try TrainingRun(recipe: recipe, recipeFolder: folder, folder: folder)
        _ = try run.train(data, control: Interruption.control) { step in
            if step.stage == .features { progress.show("features", step.done, of: step.total, unit: step.unit) }
        }
        try Interruption.check()
        let lines = try TrainingMetrics.read(from: folder)
        try FileManager.default.removeItem(at: folder)
        var steps = Steps()
        for (line, previous) in zip(lines.dropFirst(), lines) where previous.step >= recipe.training.logEvery {
            let seconds = (line.elapsedSeconds - previous.elapsedSeconds) / Double(line.step - previous.step)
            steps.seconds.append(seconds)
            steps.waiting.append(seconds * (line.dataWaitShare ?? 0))
        }
        steps.losses = lines.map(\.loss)
        return steps
    }
}

extension FeatureBenchmark.Steps {
    fileprivate mutating func add(_ other: Self) {
        seconds += other.seconds
        waiting += other.waiting
        losses += other.losses
    }
}
