import Foundation
import UniMedData
import UniMedImporters
import UniMedTraining

/// The data of a recipe, from its data sets' folders to a prepared folder.
struct RecipeData {
    let recipe: Recipe
    /// The folder that the recipe's paths are relative to.
    let base: URL
    /// Folders that replace the recipe's.
    let roots: DataRoots

    /// The importers of the recipe's data sets and how their pictures are kept.
    ///
    /// - Parameters:
    ///   - faults: What becomes of things in the data sets that are at fault; `nil` is what the recipe says.
    ///   - showsNames: Whether the error of such a thing names it.
    /// - Throws: `Failure` or `ImportError` that name the data set and the field.
    func preparation(faults: FaultPolicy? = nil, showsNames: Bool = false) throws -> DatasetPreparation {
        let names = recipe.data.sets.map(\.dataset)
        if let unknown = roots.byName.keys.sorted().first(where: { !names.contains($0) }) {
            throw Failure.badInput(
                "--data-root: the recipe has no data set '\(unknown)'; there are \(names.joined(separator: ", "))"
            )
        }
        return try DatasetPreparation(
            importers: recipe.data.sets.map { try importer(of: $0) },
            imageSize: recipe.data.imageSize,
            threadCount: ProcessInfo.processInfo.activeProcessorCount,
            faults: faults ?? recipe.data.faults,
            showsNames: showsNames
        )
    }

    /// Prepares the data under `folder`, or opens what is there.
    ///
    /// The prepared data are in a folder named after the key of what they depend on, so that recipes with the same data
    /// share it.
    func prepare(under folder: URL, progress: ProgressPrinter) throws -> DatasetPreparation.Outcome {
        let preparation = try preparation()
        let destination = folder.appendingPathComponent(String(try preparation.key().prefix(16)))
        return try prepareData(preparation, into: destination, progress: progress)
    }

    private func importer(of set: DatasetConfiguration) throws -> any DatasetImporter {
        if set.importer == DatasetConfiguration.phantoms {
            let count = set.count ?? 2000
            let validation = Int((Double(count) * set.validationFraction).rounded())
            let configuration = PhantomConfiguration(
                side: max(64, recipe.data.imageSize),
                trainCount: count - validation,
                validationCount: validation,
                dataset: set.dataset
            )
            return PhantomImporter(PhantomGenerator(seed: set.seed ?? recipe.seed, configuration: configuration))
        }
        if set.importer == DatasetConfiguration.volumePhantoms {
            let count = set.count ?? 400
            let validation = Int((Double(count) * set.validationFraction).rounded())
            let configuration = VolumePhantomConfiguration(
                side: max(32, min(512, recipe.data.imageSize)),
                trainCount: count - validation,
                validationCount: validation,
                dataset: set.dataset
            )
            return VolumePhantomImporter(
                VolumePhantomGenerator(seed: set.seed ?? recipe.seed, configuration: configuration)
            )
        }
        let entry = try ImporterRegistry.standard.entry(named: set.importer)
        let given = recipe.data.folder(of: set, recipeFolder: base.standardizedFileURL, root: roots.all)
        guard let root = roots.byName[set.dataset] ?? given else {
            throw Failure.badInput("data.sets: the data set '\(set.dataset)' has no path")
        }
        return try entry.importer(
            root: root,
            options: ImportOptions(
                dataset: set.dataset,
                validationFraction: set.validationFraction,
                testFraction: set.testFraction,
                seed: set.seed ?? recipe.seed,
                objectNames: set.objectNames,
                settings: set.settings
            )
        )
    }
}

/// Folders of data sets that replace those of the recipe.
struct DataRoots {
    /// The folder that the data sets' paths are relative to.
    var all: URL?
    /// The folders of single data sets.
    var byName: [String: URL] = [:]
}

/// Prepares data with a bar of progress.
func prepareData(
    _ preparation: DatasetPreparation,
    into destination: URL,
    progress: ProgressPrinter
) throws -> DatasetPreparation.Outcome {
    let outcome = try Interruption.endingAtOnce {
        try preparation.prepare(into: destination) { step in
            switch step.stage {
            case .importing: progress.show("data sets", step.done, of: step.total, unit: "data sets")
            case .pictures: progress.show("pictures", step.done, of: step.total, unit: "pictures")
            }
        }
    }
    progress.finish()
    if outcome.wasReused {
        Terminal.note("data: \(destination.lastPathComponent) is there already and fits: used as it is")
    }
    return outcome
}
