public import ArgumentParser
import Foundation
import Torch
import UniMedData
import UniMedMetrics
import UniMedModel
import UniMedTraining

/// How results are printed.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print the result as one JSON document, and nothing else, on standard output.")
    var json = false
}

/// A recipe and what the command line changes in it.
struct RecipeOptions: ParsableArguments {
    @Argument(
        help: ArgumentHelp("The recipe, a YAML file.", valueName: "recipe"),
        completion: .file(extensions: ["yaml"])
    )
    var file: String

    @Option(name: .long, help: "Where the model lives: cpu, cuda or cuda:1, instead of the recipe's device.")
    var device: String?

    @Option(name: .long, help: "The number of CPU threads, instead of the recipe's.")
    var threads: Int?

    /// The recipe with the changes.
    func load() throws -> Recipe {
        var recipe = try Recipe.load(contentsOf: url)
        if let device {
            recipe.device = try parsedDevice(device).description
        }
        if let threads {
            guard threads > 0 else { throw Failure.badInput("--threads: expected a positive number, got \(threads)") }
            recipe.threads = threads
        }
        try recipe.torchDevice.requireAvailable()
        return recipe
    }

    var url: URL { URL(fileURLWithPath: file) }
}

/// How answers are generated, where that differs from the recipe's evaluation.
struct GenerationOptionGroup: ParsableArguments {
    @Option(name: .long, help: "The number of beams; 1 searches without. Default: the recipe's, or 1.")
    var beams: Int?

    @Option(
        name: .long,
        help: "Draw tokens, with scores divided by this. Default: the recipe's, or the likeliest token."
    )
    var temperature: Double?

    @Option(name: .long, help: "With --temperature: draw among this many of the likeliest tokens.")
    var topK: Int?

    @Option(
        name: .long,
        help: "With --temperature: draw among the likeliest tokens of this probability together (0...1)."
    )
    var topP: Double?

    @Option(name: .long, help: "More than 1 makes tokens less likely that have been said. Default: the recipe's, or 1.")
    var repetitionPenalty: Double?

    @Option(
        name: .long,
        help: "With --beams: more than 1 favours long answers, less short ones. Default: the recipe's, or 1."
    )
    var lengthPenalty: Double?

    @Option(name: .long, help: "The most tokens of an answer. Default: the recipe's, by task.")
    var maximumNewTokens: Int?

    @Option(name: .long, help: "The seed of what is drawn. Default: the recipe's, or 0.")
    var seed: UInt64?

    @Option(name: .long, help: "A text that ends an answer and is cut from it; may be repeated. Default: the recipe's.")
    var stop: [String] = []

    @Flag(
        inversion: .prefixedNo,
        help:
            "Hold answers to their form: a box for rec, one of the choices where there are some. Default: the recipe's, or not."
    )
    var constrained: Bool?

    /// The options with what the command line changes.
    ///
    /// - Throws: `Failure` that names the option that is out of its range or contradicts another one.
    func applied(to standard: GenerationOptions) throws(Failure) -> GenerationOptions {
        var options = standard
        if let beams { options.beamCount = beams }
        if let temperature { options.temperature = temperature }
        if let topK { options.topK = topK }
        if let topP { options.topP = topP }
        if let repetitionPenalty { options.repetitionPenalty = repetitionPenalty }
        if let lengthPenalty { options.lengthPenalty = lengthPenalty }
        if let maximumNewTokens { options.maximumNewTokens = maximumNewTokens }
        if let seed { options.seed = seed }
        if !stop.isEmpty { options.stopStrings = stop }
        if let constrained { options.constrained = constrained }
        try Self.validate(options)
        return options
    }

    /// Checks what can be said without a recipe, before a model is loaded.
    func check() throws(Failure) {
        var standard = GenerationOptions()
        if topK != nil || topP != nil { standard.temperature = 1 }
        if lengthPenalty != nil, temperature == nil { standard.beamCount = 2 }
        _ = try applied(to: standard)
    }

    private static func validate(_ options: GenerationOptions) throws(Failure) {
        do throws(GenerationError) {
            try options.validate()
        } catch {
            guard case .invalidOption(let field, let expected, let got) = error else {
                throw .badInput(error.description)
            }
            throw .badInput("\(names[field] ?? field): expected \(expected), got \(got)")
        }
    }

    /// The options of the command line by the fields they set.
    private static let names = [
        "beamCount": "--beams", "temperature": "--temperature", "topK": "--top-k", "topP": "--top-p",
        "repetitionPenalty": "--repetition-penalty", "lengthPenalty": "--length-penalty",
        "maximumNewTokens": "--maximum-new-tokens", "seed": "--seed", "stopStrings": "--stop",
        "constrained": "--constrained",
    ]
}

/// Folders of data sets that replace those of the recipe.
struct DataRootOptions: ParsableArguments {
    @Option(
        name: .customLong("data-root"),
        help: ArgumentHelp(
            "The folder that the recipe's data sets are in, or name=folder for one of them; may be repeated.",
            valueName: "folder"
        )
    )
    var roots: [String] = []

    /// The folder of all data sets, and the folders of some by their names.
    func parsed() throws(Failure) -> DataRoots {
        let whole = roots.filter { !$0.contains("=") }
        guard whole.count <= 1 else { throw .badInput("--data-root: more than one folder for all data sets") }
        return DataRoots(
            all: whole.first.map { URL(fileURLWithPath: $0) },
            byName: try Self.pairs(roots.filter { $0.contains("=") }, option: "--data-root")
        )
    }

    /// Reads `name=folder` texts.
    static func pairs(_ texts: [String], option: String) throws(Failure) -> [String: URL] {
        var pairs: [String: URL] = [:]
        for text in texts {
            let parts = text.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { throw .badInput("\(option): expected name=folder, got '\(text)'") }
            guard pairs.updateValue(URL(fileURLWithPath: String(parts[1])), forKey: String(parts[0])) == nil else {
                throw .badInput("\(option): '\(parts[0])' is named twice")
            }
        }
        return pairs
    }
}

/// Reads a device's name and checks that it is there.
func parsedDevice(_ text: String) throws -> Device {
    guard let device = Device(text), device != .meta else {
        throw Failure.badInput("--device: expected cpu, cuda or cuda:1, got '\(text)'")
    }
    try device.requireAvailable()
    return device
}

extension MedicalTask: ExpressibleByArgument {}
extension Split: ExpressibleByArgument {}

/// Where METEOR's data is.
struct METEOROptionGroup: ParsableArguments {
    @Option(
        name: .customLong("meteor-data"),
        help: ArgumentHelp(
            "A folder with METEOR 1.5's data: meteor-1.5.jar and data/paraphrase-en.gz.",
            discussion: """
                The folder meteor of the Python package pycocoevalcap is one. Without it synonyms come from Debian's \
                package wordnet-base where that is installed; stages without data are named in the report.
                """
        ),
        completion: .directory
    )
    var folder: String?

    func resources() throws -> METEORResources {
        do {
            return try METEORResources.find(in: folder.map { URL(fileURLWithPath: $0, isDirectory: true) })
        } catch {
            throw Failure.badInput("--meteor-data: \(error)")
        }
    }
}
