import ArgumentParser
import Foundation
import Torch
import UniMedEvaluation
import UniMedModel
import UniMedTraining

/// `unimed describe`: what a recipe's model has, needs and costs.
struct DescribeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show a recipe's model: weights per part, memory, operations per sample.",
        discussion: "Nothing is allocated, so that models of any size can be described anywhere."
    )

    @Argument(help: "The recipe, a YAML file.", completion: .file(extensions: ["yaml"]))
    var recipe: String

    @Option(name: .long, help: "Text tokens of a sample, prompt and answer together.")
    var textTokens = 66

    @Option(name: .long, help: "Those of them that are predicted.")
    var answerTokens = 16

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard textTokens > 0, (1...textTokens).contains(answerTokens) else {
            throw ValidationError("--text-tokens must be positive and --answer-tokens between 1 and it.")
        }
    }

    func run() throws {
        let recipe = try Recipe.load(contentsOf: URL(fileURLWithPath: recipe))
        var model = recipe.model
        // The vocabulary comes from the tokenizer; one that is still to be trained has the size the recipe asks for.
        if case .train(let training) = recipe.tokenizer { model.language.vocabularySize = training.vocabularySize }
        let description = try ModelDescription(
            model,
            precision: recipe.precision.dtype,
            sample: .init(textTokens: textTokens, answerTokens: answerTokens, batchSize: recipe.training.batchSize)
        )
        if output.json {
            try Terminal.output(json: description)
        } else {
            Terminal.output("\(recipe.name): \(description.text)")
        }
    }
}
