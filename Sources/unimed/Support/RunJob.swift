import Foundation
import UniMedData
import UniMedImporters
import UniMedTraining

/// A recipe's run from its data sets to the finished model, each stage reused where it is there.
struct RunJob {
    let recipe: Recipe
    let recipeFile: URL
    /// The run's folder.
    let folder: URL
    /// The folder of prepared data, by key.
    let dataFolder: URL
    let roots: DataRoots
    /// Stages that other runs have a part in.
    var stages: SharedStages?
    /// What stands before the names of stages in the bar of progress.
    var prefix = ""

    /// The folder of prepared data unless the command line names another.
    static let standardDataFolder = "runs/data"

    /// Whether a run's folder holds a finished model.
    static func isFinished(_ folder: URL) -> Bool {
        let file = folder.appendingPathComponent(TrainingRun.modelFolderName).appendingPathComponent(
            "configuration.json"
        )
        return FileManager.default.fileExists(atPath: file.path)
    }

    /// The prepared data.
    func prepare(_ progress: ProgressPrinter) throws -> PreparedData {
        try RecipeData(recipe: recipe, base: recipeFile.deletingLastPathComponent(), roots: roots)
            .prepare(under: dataFolder, progress: progress).data
    }

    /// The run in its folder.
    func trainingRun() throws -> TrainingRun {
        try TrainingRun(
            recipe: recipe,
            recipeFolder: recipeFile.deletingLastPathComponent().absoluteURL,
            folder: folder,
            stages: stages
        )
    }

    /// Trains, or finds the work done.
    ///
    /// - Throws: `Failure.interrupted` after a signal, when everything is saved.
    func train(_ data: PreparedData, _ progress: ProgressPrinter) throws -> TrainingOutcome {
        let outcome = try trainingRun().train(data, control: Interruption.control) { step in
            var detail = step.metrics["loss"].map { String(format: "loss %.3f", $0) } ?? ""
            // What should be nothing is told where it is something.
            if let share = step.metrics["dataWaitShare"], share >= 0.02 {
                detail += String(format: ", waits for data %.0f%% of the time", share * 100)
            }
            progress.show(prefix + step.stage.title, step.done, of: step.total, unit: step.unit, detail: detail)
        }
        progress.finish()
        if case .interrupted(let step) = outcome {
            Terminal.note("stopped after step \(step); the same command continues")
            throw Failure.interrupted
        }
        return outcome
    }
}

extension StageProgress.Stage {
    /// The name in the bar of progress.
    var title: String {
        switch self {
        case .data: "data"
        case .tokenizer: "tokenizer"
        case .vision: "vision pretraining"
        case .features: "vision features"
        case .training: "joint training"
        case .saving: "saving"
        }
    }
}
