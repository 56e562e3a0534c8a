public import ArgumentParser
import Foundation
public import UniMedData
import UniMedImporters
import UniMedTraining

/// `unimed data prepare`: data sets in their original layouts become a folder that training reads.
struct DataPrepareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prepare",
        abstract: "Import data sets in their original layouts, decode their pictures once.",
        discussion: """
            The data sets are those of a recipe, or those given with --set. A folder that was made of the same files with \
            the same settings is used as it is. Interrupted, even killed, the same command continues after the last \
            finished file of pictures; the result is the same, byte for byte.

            Importers:
            \(ImporterRegistry.standard.entries.map { "\($0.name): \($0.summary)" }.joined(separator: "\n"))
            """
    )

    @Argument(help: "A recipe, whose data sets are prepared.", completion: .file(extensions: ["yaml"]))
    var recipe: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A data set by its importer's name; may be repeated.", valueName: "importer=folder")
    )
    var sets: [String] = []

    @Option(
        name: .customLong("setting"),
        help: ArgumentHelp(
            "With --set: a setting of one importer, such as csv.labelColumn=dx; may be repeated.",
            valueName: "importer.setting=value"
        )
    )
    var settings: [String] = []

    @OptionGroup var roots: DataRootOptions

    @Option(name: .shortAndLong, help: "The folder to make.")
    var output: String

    @Option(name: .long, help: "With --set: the side of the pictures, in pixels.")
    var imageSize = 224

    @Option(name: .long, help: "With --set: the part of the cases that is kept for validation, from 0 to 1.")
    var validationFraction = 0.2

    @Option(name: .long, help: "With --set: the part of the cases that is kept for the test, from 0 to 1.")
    var testFraction = 0.0

    @Option(name: .long, help: "With --set: the seed of the division into splits.")
    var seed: UInt64 = 0

    @Option(
        name: .long,
        help: """
            What becomes of things in the data that are at fault: skip (and count them) or refuse (the first is an \
            error). Default: what the recipe says in data.faults, otherwise skip.
            """
    )
    var faults: FaultPolicy?

    @Flag(
        name: .long,
        help:
            "With --json and in errors: call what was left out by its names, not by hashes. They may identify patients."
    )
    var names = false

    @OptionGroup var outputOptions: OutputOptions

    func validate() throws {
        guard (recipe == nil) != sets.isEmpty else { throw ValidationError("Give either a recipe or --set.") }
        guard recipe == nil || settings.isEmpty else {
            throw ValidationError("--setting goes with --set; a recipe has settings of its own.")
        }
    }

    func run() throws {
        Interruption.listen()
        let outcome = try prepareData(
            try preparation(),
            into: URL(fileURLWithPath: output),
            progress: ProgressPrinter()
        )
        var manifest = outcome.data.manifest
        let privateNames = PrivateNames(salt: manifest.key, areShown: names)
        for index in manifest.sources.indices {
            manifest.sources[index].report = manifest.sources[index].report.showing(privateNames)
        }
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
            for comparison in source.report.paperComparisons { Terminal.output("  \(comparison)") }
            for warning in source.report.warnings { Terminal.output("  warning: \(warning)") }
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
            return try data.preparation(faults: faults, showsNames: names)
        }
        var options = ImportOptions(validationFraction: validationFraction, testFraction: testFraction, seed: seed)
        try options.validate()
        let folders = try DataRootOptions.pairs(sets, option: "--set")
        let settings = try settingsByImporter()
        if let unused = settings.keys.sorted().first(where: { folders[$0] == nil }) {
            throw Failure.badInput("--setting: there is no --set \(unused)")
        }
        let importers = try folders.sorted { $0.key < $1.key }.map { name, folder in
            options.settings = settings[name] ?? [:]
            return try ImporterRegistry.standard.entry(named: name).importer(root: folder, options: options)
        }
        return try DatasetPreparation(
            importers: importers,
            imageSize: imageSize,
            threadCount: ProcessInfo.processInfo.activeProcessorCount,
            faults: faults ?? .skip,
            showsNames: names
        )
    }

    /// Reads `importer.setting=value` texts.
    private func settingsByImporter() throws(Failure) -> [String: [String: String]] {
        var result: [String: [String: String]] = [:]
        for text in settings {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let names = parts[0].split(separator: ".", maxSplits: 1)
            guard parts.count == 2, names.count == 2 else {
                throw .badInput("--setting: expected importer.setting=value, got '\(text)'")
            }
            let (importer, setting) = (String(names[0]), String(names[1]))
            guard result[importer, default: [:]].updateValue(String(parts[1]), forKey: setting) == nil else {
                throw .badInput("--setting: '\(parts[0])' is named twice")
            }
        }
        return result
    }
}

extension FaultPolicy: ExpressibleByArgument {}
