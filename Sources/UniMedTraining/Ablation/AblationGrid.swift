public import Foundation
public import UniMedData
import UniMedModel
import Yams

/// A grid of runs: a base recipe, named rows that change it, and seeds; one YAML file.
///
/// ```yaml
/// name: connectors
/// base: ../mini-real.yaml              # the recipe that rows change
/// seeds: [1, 2, 3]
/// baseline: mlp                        # the row that the others are compared with
/// columns: [Connector, Router]         # the headings of the rows' labels
/// overrides: {training: {steps: 1000}} # of every row, in the form of a recipe with a base
/// vision: once                         # or perSeed: how often the vision transformer is pretrained
/// tasks: [vqa, rec, reg, rg, cls]      # what is evaluated, and the columns of the table
/// rows:
///   - name: mlp
///     labels: [MLP, "-"]
///     overrides: {model: {connector: !replace {projector: mlp, layerCount: 2}}}
///   - name: cmoe
///     recipe: ../paper/table-2/a-cmoe-soft-token.yaml   # instead of the base
/// ```
///
/// All runs have the same data: where a data set has no seed of its own, its split is drawn with the seed of the row's
/// recipe, whatever the seed of the run is.
public struct AblationGrid: Sendable, Equatable {
    /// How often the vision transformer is pretrained, and the vocabulary trained, where a recipe does that.
    public enum VisionSharing: String, Codable, Sendable, CaseIterable {
        /// Once for all seeds, with the first of them: the deviation over seeds is that of the joint training alone.
        case once
        /// Once for each seed.
        case perSeed
    }

    /// The layout of the table.
    public enum Layout: String, Codable, Sendable, CaseIterable {
        /// A line for each row, with the main metric of each task and the gains: the paper's tables 2 and 5.
        case ablation
        /// A line for each data set and metric, with a column for each row: the paper's tables 3, 6 and 7.
        case capability
    }

    /// A row: a recipe and what it changes.
    public struct Row: Sendable, Equatable {
        /// The name, of letters, digits, `-` and `_`.
        public var name: String
        /// What stands in the table's first columns.
        public var labels: [String]
        /// The heading above this row and those that follow, where it begins a part of the table.
        public var section: String?
        /// The row that this one is compared with; `nil` for a baseline itself.
        public var baseline: String?
        /// The recipe, without a seed of its own.
        public var recipe: Recipe
        /// The folder that the recipe's paths are relative to.
        public var recipeFolder: URL
    }

    /// One run: a row with a seed.
    public struct Run: Sendable, Equatable {
        /// The rows that have this recipe and seed.
        public var rows: [String]
        /// The seed.
        public var seed: UInt64
        /// The recipe with the seed.
        public var recipe: Recipe
        /// The folder that the recipe's paths are relative to.
        public var recipeFolder: URL
        /// What tells the run from others: equal keys mean equal recipes.
        public var key: String
        /// What tells the shared stages of the run from others; `nil` where it has none.
        public var stagesKey: String?
        /// The seed of the shared stages.
        public var stagesSeed: UInt64
        /// What tells the run's cached features from others, of the same stages.
        public var featuresKey: String
    }

    /// The grid's name.
    public var name: String
    /// What the table shows; the name where there is none.
    public var title: String
    /// The seeds.
    public var seeds: [UInt64]
    /// The headings of the rows' labels.
    public var columns: [String]
    /// How often the vision transformer is pretrained.
    public var vision: VisionSharing
    /// The layout of the table.
    public var layout: Layout
    /// The tasks that are evaluated; `nil` is all that the data have.
    public var tasks: [MedicalTask]?
    /// Remarks below the table.
    public var notes: [String]
    /// The rows.
    public var rows: [Row]

    /// Reads a grid's file and the recipes it names.
    ///
    /// - Throws: ``RecipeError`` that names the file and the field.
    public static func load(contentsOf file: URL) throws(RecipeError) -> AblationGrid {
        let text = try Recipe.text(of: file)
        let form: Form
        let node: Node?
        do {
            form = try YAMLDecoder().decode(Form.self, from: text)
            node = try compose(yaml: text, RecipeBase.resolver)
        } catch {
            throw RecipeError(decoding: error, file: file.path)
        }
        let folder = file.standardizedFileURL.deletingLastPathComponent()
        var rows: [Row] = []
        for (index, row) in form.rows.enumerated() {
            let field = "rows[\(index)]"
            guard let base = row.recipe ?? form.base else {
                throw RecipeError("names no recipe, and the grid has no base", file: file.path, field: field)
            }
            let recipeFile = URL(fileURLWithPath: base, relativeTo: folder).standardizedFileURL
            guard FileManager.default.fileExists(atPath: recipeFile.path) else {
                let place = row.recipe == nil ? "base" : "\(field).recipe"
                throw RecipeError("no such file: \(recipeFile.path)", file: file.path, field: place)
            }
            let layers = [node?["overrides"], node?["rows"]?.sequence?[index]["overrides"]].compactMap { $0 }
            let recipe: Recipe
            do throws(RecipeError) {
                recipe = try RecipeBase.recipe(at: recipeFile, under: layers)
            } catch {
                let hint = "\(field) (\(row.name)): \(error.problem)"
                throw RecipeError(hint, file: error.file ?? file.path, field: error.field, line: error.line)
            }
            rows.append(
                Row(
                    name: row.name,
                    labels: row.labels ?? [row.name],
                    section: row.section,
                    baseline: row.baseline ?? form.baseline,
                    recipe: recipe,
                    recipeFolder: recipeFile.deletingLastPathComponent()
                )
            )
        }
        var grid = AblationGrid(
            name: form.name,
            title: form.title ?? form.name,
            seeds: form.seeds ?? [],
            columns: form.columns ?? ["Row"],
            vision: form.vision ?? .once,
            layout: form.layout ?? .ablation,
            tasks: form.tasks,
            notes: form.notes ?? [],
            rows: rows
        )
        if grid.seeds.isEmpty, let first = rows.first { grid.seeds = [first.recipe.seed] }
        try grid.check(file: file.path)
        for index in grid.rows.indices where grid.rows[index].baseline == grid.rows[index].name {
            grid.rows[index].baseline = nil
        }
        return grid
    }

    private func check(file: String) throws(RecipeError) {
        func require(_ condition: Bool, _ field: String, _ problem: @autoclosure () -> String) throws(RecipeError) {
            if !condition { throw RecipeError(problem(), file: file, field: field) }
        }
        try require(!rows.isEmpty, "rows", "there is none")
        for (field, names) in [("name", [name]), ("rows", rows.map(\.name))] {
            for name in names {
                let isName =
                    !name.isEmpty && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) }
                try require(isName, field, "expected letters, digits, - and _, found '\(name)'")
            }
        }
        let names = rows.map(\.name)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            try require(false, "rows", "the row '\(twice)' is there twice")
        }
        try require(Set(seeds).count == seeds.count, "seeds", "a seed is there twice")
        for (index, row) in rows.enumerated() {
            if let baseline = row.baseline {
                try require(names.contains(baseline), "rows[\(index)].baseline", "there is no row '\(baseline)'")
            }
            try require(
                row.labels.count == columns.count,
                "rows[\(index)].labels",
                "expected \(columns.count), as many as columns, found \(row.labels.count)"
            )
        }
    }

    // MARK: Runs

    /// All runs, row by row with each seed; rows with the same recipe share their runs.
    ///
    /// - Throws: ``RecipeError`` when a recipe cannot be written.
    public func runs() throws(RecipeError) -> [Run] {
        var runs: [Run] = []
        for row in rows {
            for seed in seeds {
                let run = try self.run(of: row, seed: seed)
                if let index = runs.firstIndex(where: { $0.key == run.key }) {
                    runs[index].rows.append(row.name)
                } else {
                    runs.append(run)
                }
            }
        }
        return runs
    }

    private func run(of row: Row, seed: UInt64) throws(RecipeError) -> Run {
        var recipe = row.recipe
        for index in recipe.data.sets.indices where recipe.data.sets[index].seed == nil {
            recipe.data.sets[index].seed = row.recipe.seed
        }
        recipe.seed = seed
        recipe.name = "\(row.name)-seed-\(seed)"
        var keyed = AblationGrid.located(recipe, in: row.recipeFolder)
        keyed.name = "run"
        // What does not change the model may change between parts of a run.
        keyed.threads = nil
        keyed.training.checkpointEvery = 1
        keyed.training.logEvery = 1
        // How a model is evaluated is no part of its training.
        keyed.evaluation = EvaluationConfiguration()
        let stagesSeed = vision == .once ? seeds.first ?? seed : seed
        let makesStages =
            if case .train = recipe.tokenizer { true } else { recipe.visionPretraining != nil }
        let sharesFeatures = recipe.features.store == .cached && recipe.features.folder == nil
        var pretraining = recipe.visionPretraining
        pretraining?.checkpointEvery = 1
        pretraining?.logEvery = 1
        let stages = [
            try json(keyed.data), try json(keyed.tokenizer), try json(keyed.model.vision),
            try pretraining.map { value throws(RecipeError) in try json(value) } ?? "", keyed.weights.vision ?? "",
            keyed.precision.rawValue, keyed.device, "\(stagesSeed)",
        ]
        return Run(
            rows: [row.name],
            seed: seed,
            recipe: recipe,
            recipeFolder: row.recipeFolder,
            key: AblationGrid.key([try json(keyed), "\(makesStages ? stagesSeed : 0)"]),
            stagesKey: makesStages || sharesFeatures ? AblationGrid.key(stages) : nil,
            stagesSeed: stagesSeed,
            featuresKey: AblationGrid.key([
                "\(recipe.training.views)", "\(seed)", try json(keyed.features), try json(keyed.data),
            ])
        )
    }

    /// The recipe without where its data are, which their own key stands for, and with whole paths of its other files.
    private static func located(_ recipe: Recipe, in folder: URL) -> Recipe {
        func whole(_ path: String) -> String { URL(fileURLWithPath: path, relativeTo: folder).standardizedFileURL.path }
        var recipe = recipe
        recipe.data.root = nil
        for index in recipe.data.sets.indices { recipe.data.sets[index].path = nil }
        if case .file(let path) = recipe.tokenizer { recipe.tokenizer = .file(whole(path)) }
        recipe.weights.vision = recipe.weights.vision.map(whole)
        recipe.weights.language = recipe.weights.language.map(whole)
        recipe.features.folder = recipe.features.folder.map(whole)
        return recipe
    }

    private func json(_ value: some Encodable) throws(RecipeError) -> String {
        do {
            return String(decoding: try DataFile.encoder.encode(value), as: UTF8.self)
        } catch {
            throw RecipeError("cannot be written as JSON: \(error)")
        }
    }

    private static func key(_ parts: [String]) -> String {
        var hash = SHA256()
        for part in parts { hash.update("\(part.utf8.count) " + part) }
        return hash.hexDigest()
    }

    // MARK: The file

    private struct Form: Decodable {
        var name: String
        var title: String?
        var base: String?
        var seeds: [UInt64]?
        var baseline: String?
        var columns: [String]?
        var vision: VisionSharing?
        var layout: Layout?
        var tasks: [MedicalTask]?
        var notes: [String]?
        var rows: [RowForm]

        enum CodingKeys: String, CodingKey, CaseIterable {
            case name, title, base, seeds, baseline, columns, vision, layout, tasks, notes, rows, overrides
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
            name = try container.decode(String.self, forKey: .name)
            title = try container.decodeIfPresent(String.self, forKey: .title)
            base = try container.decodeIfPresent(String.self, forKey: .base)
            seeds = try container.decodeIfPresent([UInt64].self, forKey: .seeds)
            baseline = try container.decodeIfPresent(String.self, forKey: .baseline)
            columns = try container.decodeIfPresent([String].self, forKey: .columns)
            vision = try container.decodeIfPresent(VisionSharing.self, forKey: .vision)
            layout = try container.decodeIfPresent(Layout.self, forKey: .layout)
            tasks = try container.decodeIfPresent([MedicalTask].self, forKey: .tasks)
            notes = try container.decodeIfPresent([String].self, forKey: .notes)
            rows = try container.decode([RowForm].self, forKey: .rows)
        }
    }

    private struct RowForm: Decodable {
        var name: String
        var labels: [String]?
        var section: String?
        var baseline: String?
        var recipe: String?

        enum CodingKeys: String, CodingKey, CaseIterable {
            case name, labels, section, baseline, recipe, overrides
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
            name = try container.decode(String.self, forKey: .name)
            labels = try container.decodeIfPresent([String].self, forKey: .labels)
            section = try container.decodeIfPresent(String.self, forKey: .section)
            baseline = try container.decodeIfPresent(String.self, forKey: .baseline)
            recipe = try container.decodeIfPresent(String.self, forKey: .recipe)
        }
    }
}
