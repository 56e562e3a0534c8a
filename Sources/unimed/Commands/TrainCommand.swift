import ArgumentParser
import Foundation
import UniMedData
import UniMedTraining

/// `unimed train`: the whole recipe, from data sets to the finished model.
struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Train a recipe: data, tokenizer, vision pretraining, features, joint training.",
        discussion: """
            A run folder that is there is continued, and what it holds already is used. Ctrl-C finishes the step, saves a \
            checkpoint and ends with status 130; the same command continues from there, bit for bit.

            The run folder holds the resolved recipe (recipe.yaml), the circumstances (run.json), metrics.jsonl, \
            TensorBoard's events, checkpoints, and in the end model/.
            """
    )

    @OptionGroup var recipeOptions: RecipeOptions

    @Option(
        name: .customLong("run"),
        help: "The run's folder. Default: runs/ and the recipe's name.",
        completion: .directory
    )
    var runFolder: String?

    @Option(name: .long, help: "The number of training steps, instead of the recipe's.")
    var steps: Int?

    @Option(name: .long, help: "The folder in which prepared data are kept.", completion: .directory)
    var dataFolder = RunJob.standardDataFolder

    @OptionGroup var roots: DataRootOptions
    @OptionGroup var store: StoreOptions
    @OptionGroup var output: OutputOptions

    private struct Result: Encodable {
        let recipe: String
        let run: String
        let model: String
        let data: String
        let steps: Int
        let loss: Double?
        let trainingSeconds: Double?
    }

    func validate() throws {
        if let steps, steps < 1 { throw ValidationError("--steps must be positive.") }
    }

    func run() throws {
        Interruption.listen()
        var recipe = try recipeOptions.load()
        if let steps { recipe.training.steps = steps }
        let job = RunJob(
            recipe: recipe,
            recipeFile: recipeOptions.url,
            folder: URL(fileURLWithPath: runFolder ?? "runs/\(recipe.name)"),
            dataFolder: URL(fileURLWithPath: dataFolder),
            roots: try roots.parsed()
        )
        let progress = ProgressPrinter()
        let data = try job.prepare(progress)
        let outcome = try job.train(data, progress)
        store.recording?.record(run: job.folder)
        let last = try TrainingMetrics.read(from: job.folder).last
        let model = job.folder.appendingPathComponent(TrainingRun.modelFolderName)
        if output.json {
            try Terminal.output(
                json: Result(
                    recipe: recipe.name,
                    run: job.folder.path,
                    model: model.path,
                    data: data.folder.path,
                    steps: outcome.step,
                    loss: last?.loss,
                    trainingSeconds: last?.elapsedSeconds
                )
            )
        } else {
            let loss = last.map { String(format: ", loss %.4f", $0.loss) } ?? ""
            Terminal.output("\(recipe.name): \(outcome.step) steps\(loss), the model is in \(model.relativePath)")
        }
    }
}
