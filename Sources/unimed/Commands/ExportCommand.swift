public import ArgumentParser
import Foundation
import Torch
import UniMedTraining

/// `unimed export`: a model in the forms of others.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a model as a PEFT adapter, a Hugging Face folder or safetensors.",
        discussion: """
            peft: the adapter of the language model. hugging-face: the language model with its adapter merged into it and \
            its tokenizer. safetensors: every weight, or with --names published what training changes, as the published \
            code names it.
            """
    )

    @Argument(help: "A run's folder, or a model's.", completion: .directory)
    var model: String

    @Argument(help: "The folder to write.", completion: .directory)
    var folder: String

    @Option(name: .shortAndLong, help: "The form: peft, hugging-face or safetensors.")
    var format: ModelExport.Format

    @Option(
        name: .long,
        help: "For safetensors: own names of every weight, or the published code's of what is trained."
    )
    var names = ModelExport.Names.own

    @Flag(name: .long, help: "For safetensors: merge the adapter into the weights.")
    var merged = false

    @Option(name: .long, help: "The type of the weights: float32, float16 or bfloat16, instead of each weight's own.")
    var dtype: DType?

    @Option(name: .long, help: ArgumentHelp("The most of one file of weights, such as 500MB.", valueName: "size"))
    var shardSize: ByteCount?

    @Option(name: .long, help: "For peft: what the adapter calls the model without it.")
    var baseModel: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Also write token ids and their logits, for a check of the files with scripts/verify-export.",
            valueName: "file"
        ),
        completion: .file(extensions: ["safetensors"])
    )
    var referenceLogits: String?

    @OptionGroup var output: OutputOptions

    func run() throws {
        var job = ModelExport(format: format)
        job.names = names
        job.mergesAdapter = merged
        job.dtype = dtype
        job.baseModel = baseModel
        if let shardSize { job.maximumShardSize = shardSize.count }
        let source = URL(fileURLWithPath: model)
        let report = try job.run(source, to: URL(fileURLWithPath: folder))
        if let referenceLogits {
            try ModelExport.writeReferenceLogits(of: source, to: URL(fileURLWithPath: referenceLogits))
        }
        if output.json {
            try Terminal.output(json: report)
        } else {
            for file in report.files { Terminal.output(file) }
            Terminal.output("\(folder): \(report.files.count) files, \(byteText(report.byteCount))")
        }
    }
}

/// A number of bytes on the command line: `500MB`, `5GB` or plain.
struct ByteCount: ExpressibleByArgument {
    let count: Int

    init?(argument: String) {
        let units: [(String, Double)] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1), ("", 1)]
        guard let (unit, factor) = units.first(where: { argument.hasSuffix($0.0) }),
            let number = Double(argument.dropLast(unit.count)), number * factor >= 1, number * factor < 1e18
        else { return nil }
        count = Int(number * factor)
    }
}

extension ModelExport.Format: ExpressibleByArgument {}
extension ModelExport.Names: ExpressibleByArgument {}
extension DType: ExpressibleByArgument {}
