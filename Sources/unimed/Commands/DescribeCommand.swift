import ArgumentParser
import Foundation
import Torch
import TorchNN
import UniMedEvaluation
import UniMedModel
import UniMedTraining

/// `unimed describe`: what a recipe's model has, needs and costs.
struct DescribeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show a recipe's model: weights per part, memory, operations per sample, the least time of a step.",
        discussion: """
            Nothing of the model is allocated, so that models of any size can be described anywhere.

            The least time of a step follows from a device's rates: of a known device (h100), of numbers given here, or \
            measured on this machine. A recipe for an accelerator is shown with the h100's unless others are asked for.
            """
    )

    @Argument(help: "The recipe, a YAML file.", completion: .file(extensions: ["yaml"]))
    var recipe: String

    @Option(name: .long, help: "Text tokens of a sample, prompt and answer together.")
    var textTokens = 66

    @Option(name: .long, help: "Those of them that are predicted.")
    var answerTokens = 16

    @Option(
        name: .customLong("device-rates"),
        help: ArgumentHelp(
            "A device's rates: h100, or operations and bytes per second as in flops=798e12,bandwidth=3.0e12.",
            valueName: "rates"
        )
    )
    var deviceRates: [String] = []

    @Flag(name: .long, help: "Measure this machine's rates: its first accelerator, or its CPU. Takes seconds.")
    var measure = false

    @Flag(
        name: .customLong("encode-every-step"),
        help: "Count the vision encoder in every step, instead of reading features that are kept on disk."
    )
    var encodesEveryStep = false

    @Flag(name: .long, help: "Also list the weights of every module, blocks together.")
    var modules = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard textTokens > 0, (1...textTokens).contains(answerTokens) else {
            throw ValidationError("--text-tokens must be positive and --answer-tokens between 1 and it.")
        }
    }

    /// The description, with what does not belong to the model beside it.
    private struct Document: Encodable {
        let recipe: String
        let description: ModelDescription
        let floors: [ModelDescription.StepFloor]

        enum CodingKeys: String, CodingKey {
            case recipe, floors
        }

        func encode(to encoder: any Encoder) throws {
            try description.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(recipe, forKey: .recipe)
            try container.encode(floors, forKey: .floors)
        }
    }

    func run() throws {
        let recipe = try Recipe.load(contentsOf: URL(fileURLWithPath: recipe))
        var rates: [DeviceRates] = []
        for text in deviceRates { rates.append(try DeviceRates(parsing: text)) }
        let isAccelerated = !recipe.torchDevice.isCPU
        if rates.isEmpty, !measure, isAccelerated { rates = DeviceRates.known }
        var model = recipe.model
        // The vocabulary comes from the tokenizer; one that is still to be trained has the size the recipe asks for.
        if case .train(let training) = recipe.tokenizer { model.language.vocabularySize = training.vocabularySize }
        let description = try ModelDescription(
            model,
            precision: recipe.precision.dtype,
            sample: .init(textTokens: textTokens, answerTokens: answerTokens, batchSize: recipe.training.batchSize),
            training: .init(
                frozenType: recipe.weights.frozenType?.dtype,
                stateType: recipe.training.optimizer.stateType.dtype,
                gradientCheckpointing: recipe.training.gradientCheckpointing,
                accumulation: recipe.training.accumulation,
                keepsFeatures: !encodesEveryStep,
                isAccelerated: isAccelerated
            )
        )
        if measure {
            let device: Device = Runtime.hasCUDA ? .cuda(0) : .cpu
            rates.append(try DeviceRates.measure(device, dtype: recipe.precision.dtype))
        }
        let floors = rates.map(description.floor)
        if output.json {
            try Terminal.output(json: Document(recipe: recipe.name, description: description, floors: floors))
        } else {
            Terminal.output("\(recipe.name): \(description.text(floors: floors, listsModules: modules))")
        }
    }
}
