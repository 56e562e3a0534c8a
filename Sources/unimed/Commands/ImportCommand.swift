public import ArgumentParser
import Foundation
import UniMedModel
import UniMedTraining

/// `unimed import`: a model's folder of the checkpoints of others.
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Make a model of a language model, a vision transformer and what was trained on them.",
        discussion: """
            What no file is named for is drawn at random and can be trained. The sizes of the language model come from its \
            config.json, all others from the recipe, or else from the paper.
            """
    )

    @Argument(help: "The model's folder to write.", completion: .directory)
    var folder: String

    @Option(name: .long, help: "The language model: a folder as transformers writes it.", completion: .directory)
    var language: String

    @Option(
        name: .long,
        help: "The tokenizer, a folder or a file of one, instead of the language model's own.",
        completion: .file()
    )
    var tokenizer: String?

    @Option(name: .long, help: "The vision transformer: .pth, safetensors or a folder.", completion: .file())
    var vision: String?

    @Option(
        name: .long,
        help: "What the published Uni-Med code trained (checkpoint_0.pth): connector and LoRA.",
        completion: .file()
    )
    var published: String?

    @Option(name: .long, help: "A LoRA adapter of PEFT for the language model: a folder.", completion: .directory)
    var adapter: String?

    @Flag(name: .long, help: "Merge the adapter into the language model.")
    var mergeAdapter = false

    @Option(name: .long, help: "A recipe with the model's other sizes.", completion: .file(extensions: ["yaml"]))
    var recipe: String?

    @Option(name: .long, help: "The model's name, instead of the recipe's or the folder's.")
    var name: String?

    @Option(name: .long, help: "The type of the computation, instead of the recipe's: float32 or bfloat16.")
    var precision: Recipe.Precision?

    @Option(name: .long, help: "The seed of what is drawn.")
    var seed: UInt64?

    @OptionGroup var output: OutputOptions

    func run() throws {
        let recipe = try recipe.map { try Recipe.load(contentsOf: URL(fileURLWithPath: $0)) }
        let target = URL(fileURLWithPath: folder)
        var job = ModelImport(
            name: name ?? recipe?.name ?? target.lastPathComponent,
            language: URL(fileURLWithPath: language),
            model: recipe?.model ?? UniMedConfiguration()
        )
        job.tokenizer = tokenizer.map { URL(fileURLWithPath: $0) }
        job.vision = vision.map { URL(fileURLWithPath: $0) }
        job.published = published.map { URL(fileURLWithPath: $0) }
        job.adapter = adapter.map { URL(fileURLWithPath: $0) }
        job.mergesAdapter = mergeAdapter
        job.precision = precision ?? recipe?.precision ?? .float32
        job.storedSize = recipe?.data.imageSize
        job.evaluation = recipe?.evaluation ?? EvaluationConfiguration()
        job.seed = seed ?? recipe?.seed ?? 0
        let report = try job.run(to: target)
        if output.json {
            try Terminal.output(json: report)
        } else {
            for (part, file) in report.parts.sorted(by: { $0.key < $1.key }) { Terminal.output("\(part): \(file)") }
            Terminal.output("\(folder): \(report.parameterCount) weights, \(report.trainedCount) of them trained")
        }
    }
}

extension Recipe.Precision: ExpressibleByArgument {}
