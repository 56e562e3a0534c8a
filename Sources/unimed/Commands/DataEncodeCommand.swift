import ArgumentParser
import Foundation
import Torch
import UniMedData
import UniMedTraining

/// `unimed data encode`: the features of all pictures of a recipe, computed once and kept.
struct DataEncodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode",
        abstract: "Compute the vision features of all pictures of a recipe once, and keep them.",
        discussion: """
            The stages before it are run where they are not done: data, vocabulary, vision pretraining. The features belong \
            to the vision transformer's weights and image size, the pictures, their preprocessing and the views: where one \
            of them has changed, the features there are refused, and --rebuild makes them anew. Interrupted, even killed, \
            the same command continues. Training uses them as the recipe's features say (store, precision, folder).
            """
    )

    @OptionGroup var recipeOptions: RecipeOptions

    @Option(
        name: .customLong("run"),
        help: "The run's folder. Default: runs/ and the recipe's name.",
        completion: .directory
    )
    var runFolder: String?

    @Option(name: .long, help: "The folder in which prepared data are kept.", completion: .directory)
    var dataFolder = RunJob.standardDataFolder

    @Flag(name: .long, help: "Make the features anew where those that are there were made of something else.")
    var rebuild = false

    @OptionGroup var roots: DataRootOptions
    @OptionGroup var output: OutputOptions

    private struct Result: Encodable {
        let recipe: String
        let folder: String
        let key: String
        let pictures: Int
        let rows: Int
        let tokens: Int
        let width: Int
        let precision: String
        let bytes: Int
    }

    func run() throws {
        Interruption.listen()
        let recipe = try recipeOptions.load()
        let job = RunJob(
            recipe: recipe,
            recipeFile: recipeOptions.url,
            folder: URL(fileURLWithPath: runFolder ?? "runs/\(recipe.name)"),
            dataFolder: URL(fileURLWithPath: dataFolder),
            roots: try roots.parsed()
        )
        let progress = ProgressPrinter()
        let data = try job.prepare(progress)
        let run = try job.trainingRun()
        let cache = try run.encode(data, rebuilding: rebuild, control: Interruption.control) { step in
            progress.show(step.stage.title, step.done, of: step.total, unit: step.unit)
        }
        progress.finish()
        guard let cache else {
            Terminal.note("what is finished is kept; the same command continues")
            throw Failure.interrupted
        }
        let shape = cache.features.shape
        let result = Result(
            recipe: recipe.name,
            folder: run.featureFolder.path,
            key: cache.key,
            pictures: data.images.count,
            rows: shape[0],
            tokens: shape[1],
            width: shape[2],
            precision: cache.features.dtype.rawValue,
            bytes: cache.features.byteCount
        )
        if output.json {
            try Terminal.output(json: result)
        } else {
            Terminal.output(
                "\(result.rows) views of \(result.pictures) pictures, \(result.tokens) x \(result.width) in "
                    + "\(result.precision), \(String(format: "%.1f", Double(result.bytes) / 1e6)) MB, are in "
                    + run.featureFolder.relativePath
            )
        }
    }
}
