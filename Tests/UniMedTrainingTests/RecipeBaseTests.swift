import Foundation
import Testing
import UniMedModel
import UniMedTraining

@Suite("Recipes that build on another")
struct RecipeBaseTests {
    private static let base = """
        name: base
        precision: bfloat16
        data:
          root: ../sets
          sets:
            - importer: bccd
              path: bccd
        tokenizer: {file: llama/tokenizer.model}
        model:
          connector: {expertCount: 7, router: {type: soft, hiddenSize: 64}}
        weights: {language: /absolute/llama, vision: eva.pth}
        training:
          steps: 1000
          learningRate: {peak: 2.0e-5}
        """

    /// Writes recipes and reads the first.
    private func load(_ files: [(name: String, text: String)]) throws -> Recipe {
        let folder = try TemporaryFolder()
        for (name, text) in files {
            let url = folder.file(name)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try Data(text.utf8).write(to: url)
        }
        return try Recipe.load(contentsOf: folder.file(files[0].name))
    }

    private func failure(_ files: [(name: String, text: String)]) throws -> RecipeError {
        try #require(#expect(throws: RecipeError.self) { try load(files) })
    }

    @Test func `mappings are merged key by key and all else takes the base's place`() throws {
        let own = """
            base: base.yaml
            name: own
            data: {sets: [{importer: medpix, path: medpix}, {importer: bccd, path: cells}]}
            model:
              connector: {router: {hiddenSize: 32}}
            training: {batchSize: 2}
            """
        let recipe = try load([("own.yaml", own), ("base.yaml", Self.base)])
        #expect(recipe.name == "own" && recipe.precision == .bfloat16)
        #expect(recipe.data.sets.map(\.importer) == ["medpix", "bccd"] && recipe.data.root == "../sets")
        let router = RouterConfiguration.soft(network: RouterNetworkConfiguration(hiddenSize: 32))
        #expect(recipe.model.connector == ConnectorConfiguration(expertCount: 7, router: router))
        #expect(recipe.training.steps == 1000 && recipe.training.batchSize == 2)
        #expect(recipe.training.learningRate.peak == 2e-5)
        #expect(recipe.tokenizer == .file("llama/tokenizer.model"))
        // The resolved recipe needs no base.
        #expect(try Recipe.parse(recipe.yaml()) == recipe)
    }

    @Test func `a marked mapping takes the base's place whole`() throws {
        let own = "base: base.yaml\nmodel: {connector: !replace {projector: mlp, layerCount: 3}}"
        let recipe = try load([("own.yaml", own), ("base.yaml", Self.base)])
        #expect(recipe.model.connector == .mlp(layerCount: 3) && recipe.name == "base")
        let unmarked = "base: base.yaml\nmodel: {connector: {projector: mlp}}"
        let error = try failure([("own.yaml", unmarked), ("base.yaml", Self.base)])
        #expect(error.field == "model.connector.expertCount")
        #expect(error.problem.contains("base.yaml") && error.problem.contains("!replace"))
        #expect(error.file?.hasSuffix("/own.yaml") == true)
    }

    @Test func `the base's paths stay where they were`() throws {
        let middle = "base: ../base.yaml\nname: middle\nweights: {vision: own.pth}"
        let own = "base: ../middle/middle.yaml\nname: own"
        let recipe = try load([("deep/own.yaml", own), ("middle/middle.yaml", middle), ("base.yaml", Self.base)])
        let folder = URL(fileURLWithPath: "/here/deep")
        func place(_ path: String?) -> String? {
            path.map { folder.appendingPathComponent($0).standardizedFileURL.path }
        }
        #expect(recipe.data.folder(of: recipe.data.sets[0], recipeFolder: folder)?.path == "/sets/bccd")
        #expect(place(recipe.data.root) == "/sets")
        #expect(recipe.weights.language == "/absolute/llama")
        #expect(place(recipe.weights.vision) == "/here/middle/own.pth")
        guard case .file(let tokenizer) = recipe.tokenizer else {
            Issue.record("\(recipe.tokenizer)")
            return
        }
        #expect(place(tokenizer) == "/here/llama/tokenizer.model")
    }

    @Test func `data sets of a base without a root are found in its folder`() throws {
        let rootless = Self.base.replacingOccurrences(of: "  root: ../sets\n", with: "")
        let folder = URL(fileURLWithPath: "/here/deep")
        let recipe = try load([("deep/own.yaml", "base: ../base.yaml"), ("base.yaml", rootless)])
        #expect(recipe.data.folder(of: recipe.data.sets[0], recipeFolder: folder)?.path == "/here/bccd")
        let own = "base: ../base.yaml\ndata: {sets: [{importer: bccd, path: cells}]}"
        let other = try load([("deep/own.yaml", own), ("base.yaml", rootless)])
        #expect(other.data.folder(of: other.data.sets[0], recipeFolder: folder)?.path == "/here/deep/cells")
    }

    @Test func `a base that is missing, or leads back, is told with its file and field`() throws {
        let missing = try failure([("own.yaml", "base: nowhere.yaml")])
        #expect(missing.field == "base" && missing.file?.hasSuffix("/own.yaml") == true)
        #expect(missing.problem.hasPrefix("no such file: ") && missing.problem.hasSuffix("/nowhere.yaml"))
        let further = try failure([("own.yaml", "base: other.yaml"), ("other.yaml", "base: nowhere.yaml")])
        #expect(further.field == "base" && further.file?.hasSuffix("/other.yaml") == true)
        let cycle = try failure([("own.yaml", "base: other.yaml"), ("other.yaml", "base: ./own.yaml")])
        #expect(cycle.field == "base" && cycle.file?.hasSuffix("/other.yaml") == true)
        #expect(cycle.problem == "leads back to itself: own.yaml -> other.yaml -> own.yaml")
        #expect(try failure([("own.yaml", "base: own.yaml")]).problem == "leads back to itself: own.yaml -> own.yaml")
        for text in ["base:", "base: [a]", "base: {file: a}"] {
            let error = try failure([("own.yaml", text)])
            #expect(error.field == "base" && error.problem == "expected the path of a recipe", "\(text)")
        }
        #expect(throws: RecipeError.self) { try Recipe.parse("base: own.yaml") }
    }

    @Test func `faults of the base are told with its file`() throws {
        let broken = try failure([("own.yaml", "base: base.yaml"), ("base.yaml", "data: [1, 2\ntraining: }")])
        #expect(broken.file?.hasSuffix("/base.yaml") == true && broken.line != nil)
        let list = try failure([("own.yaml", "base: base.yaml"), ("base.yaml", "- 1")])
        #expect(list.field == "base" && list.file?.hasSuffix("/own.yaml") == true)
    }
}
