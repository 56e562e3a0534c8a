public import ArgumentParser
import Foundation
import Torch
import UniMedData
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
