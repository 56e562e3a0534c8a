import ArgumentParser
import Foundation
import UniMedData
import UniMedImporters
import UniMedTraining

/// `unimed data prepare`: data sets in their original layouts become a folder that training reads.
struct DataPrepareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prepare",
        abstract: "Import data sets in their original layouts, decode their pictures once.",
        discussion: """
            The data sets are those of a recipe, or those given with --set. A folder that was made of the same files with \
            the same settings is used as it is.

            Importers: \(ImporterRegistry.standard.entries.map { "\($0.name) (\($0.summary))" }.joined(separator: " "))
            """
    )

    @Argument(help: "A recipe, whose data sets are prepared.", completion: .file(extensions: ["yaml"]))
    var recipe: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A data set by its importer's name; may be repeated.", valueName: "importer=folder")
    )
    var sets: [String] = []

    @OptionGroup var roots: DataRootOptions

    @Option(name: .shortAndLong, help: "The folder to make.")
    var output: String

    @Option(name: .long, help: "With --set: the side of the pictures, in pixels.")
    var imageSize = 224

    @Option(name: .long, help: "With --set: the part of the cases that is kept for validation, from 0 to 1.")
    var validationFraction = 0.2

    @Option(name: .long, help: "With --set: the seed of the division into splits.")
    var seed: UInt64 = 0

    @OptionGroup var outputOptions: OutputOptions

    func validate() throws {
        guard (recipe == nil) != sets.isEmpty else { throw ValidationError("Give either a recipe or --set.") }
    }

    func run() throws {
        let outcome = try prepareData(
            try preparation(),
            into: URL(fileURLWithPath: output),
            progress: ProgressPrinter()
        )
        let manifest = outcome.data.manifest
        if outputOptions.json {
            try Terminal.output(json: manifest)
            return
        }
        for source in manifest.sources {
            Terminal.output("\(source.dataset) (\(source.importer)):")
            for (kind, tally) in source.report.tallies.sorted(by: { $0.key < $1.key }) {
                Terminal.output("  \(kind): \(tally.found) found, \(tally.imported) imported")
                for (reason, count) in tally.skipped.sorted(by: { $0.key < $1.key }) {
                    Terminal.output("    \(count) left out: \(reason)")
                }
            }
        }
        Terminal.output("\(manifest.sampleCount) samples, \(outcome.data.images.count) pictures in \(output)")
    }

    private func preparation() throws -> DatasetPreparation {
        if let recipe {
            let url = URL(fileURLWithPath: recipe)
            let data = RecipeData(
                recipe: try Recipe.load(contentsOf: url),
                base: url.deletingLastPathComponent(),
                roots: try roots.parsed()
            )
            return try data.preparation()
        }
        let options = ImportOptions(validationFraction: validationFraction, seed: seed)
        try options.validate()
        let importers = try DataRootOptions.pairs(sets, option: "--set").sorted { $0.key < $1.key }
            .map { name, folder in
                try ImporterRegistry.standard.entry(named: name).importer(root: folder, options: options)
            }
        return try DatasetPreparation(
            importers: importers,
            imageSize: imageSize,
            threadCount: ProcessInfo.processInfo.activeProcessorCount
        )
    }
}
