import Foundation
import Testing
import UniMedData
import UniMedModel
import UniMedTraining

@Suite("Ablation grids")
struct AblationGridTests {
    private static let base = """
        name: base
        seed: 9
        data:
          imageSize: 64
          sets: [{importer: phantoms, count: 24}]
        tokenizer: {train: {vocabularySize: 600}}
        model:
          vision: {imageSize: 64, patchSize: 16, hiddenSize: 32, layerCount: 1, headCount: 2}
          connector: {expertCount: 2}
          language: {hiddenSize: 32, intermediateSize: 64, layerCount: 1, headCount: 2}
          fineTuning: {method: full}
        visionPretraining: {steps: 12, batchSize: 4}
        training: {steps: 30, batchSize: 4, learningRate: {peak: 0.001, lowest: 0.0001}}
        """

    private static let grid = """
        name: connectors
        base: base.yaml
        seeds: [1, 2]
        baseline: mlp
        columns: [Connector]
        overrides: {training: {steps: 7}}
        tasks: [vqa, cls]
        rows:
          - name: mlp
            labels: [MLP]
            overrides: {model: {connector: !replace {projector: mlp, layerCount: 2}}}
          - name: cmoe
            labels: [CMoE]
            section: Experts
          - name: again
            labels: [the same]
            overrides: {name: another, evaluation: {batchSize: 3}}
        """

    private func load(_ grid: String) throws -> AblationGrid {
        let folder = try TemporaryFolder()
        try Data(Self.base.utf8).write(to: folder.file("base.yaml"))
        try Data(grid.utf8).write(to: folder.file("grid.yaml"))
        return try withExtendedLifetime(folder) { try AblationGrid.load(contentsOf: folder.file("grid.yaml")) }
    }

    @Test func `rows change the base, and the grid's changes hold for all of them`() throws {
        let grid = try load(Self.grid)
        #expect(grid.rows.map(\.name) == ["mlp", "cmoe", "again"])
        #expect(grid.rows.map(\.baseline) == [nil, "mlp", "mlp"])
        #expect(grid.rows[1].section == "Experts" && grid.tasks == [.visualQuestionAnswering, .imageClassification])
        #expect(grid.rows.allSatisfy { $0.recipe.training.steps == 7 })
        #expect(grid.rows[0].recipe.model.connector == .mlp(layerCount: 2))
        #expect(grid.rows[1].recipe.model.connector != grid.rows[0].recipe.model.connector)
    }

    @Test func `rows with the same recipe share their runs, and all runs the same data and vision transformer`() throws
    {
        let runs = try load(Self.grid).runs()
        #expect(runs.map(\.rows) == [["mlp"], ["mlp"], ["cmoe", "again"], ["cmoe", "again"]])
        #expect(runs.map(\.seed) == [1, 2, 1, 2] && runs.map(\.recipe.seed) == [1, 2, 1, 2])
        #expect(Set(runs.map(\.key)).count == 4)
        #expect(runs.allSatisfy { $0.recipe.data.sets[0].seed == 9 })
        #expect(Set(runs.map(\.stagesKey)).count == 1 && runs[0].stagesKey != nil)
        #expect(runs.allSatisfy { $0.stagesSeed == 1 })
        // Views are drawn with the seed of the run.
        #expect(runs[0].featuresKey == runs[2].featuresKey && runs[0].featuresKey != runs[1].featuresKey)
        let perSeed = try load(Self.grid + "\nvision: perSeed\n").runs()
        #expect(perSeed.map(\.stagesSeed) == [1, 2, 1, 2] && Set(perSeed.map(\.stagesKey)).count == 2)
    }

    @Test(arguments: [
        ("baseline: mlp", "baseline: none", "rows[0].baseline"),
        ("columns: [Connector]", "columns: [Connector, Router]", "rows[0].labels"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "seeds"),
        ("name: cmoe", "name: mlp", "rows"),
        ("name: cmoe", "name: ../cmoe", "rows"),
        ("base: base.yaml", "base: missing.yaml", "base"),
        ("steps: 7", "stepz: 7", "training.stepz"),
        ("tasks: [vqa, cls]", "task: [vqa]", "task"),
    ])
    func `a fault names its field`(found: String, replacement: String, field: String) throws {
        let error = #expect(throws: RecipeError.self) {
            try load(Self.grid.replacingOccurrences(of: found, with: replacement))
        }
        #expect(error?.field == field, "\(String(describing: error))")
    }

    @Test func `every grid of the repository can be read, and its rows are those of the paper`() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Recipes/ablations")
        let counts = [
            "mini-2a": (8, 24), "mini-2c": (4, 12), "mini-5": (5, 15), "mini-conflicts": (6, 18), "table-2a": (8, 8),
            "table-2b": (6, 6), "table-2c": (6, 6), "table-2d": (15, 15), "table-2e": (4, 4), "table-5": (5, 5),
        ]
        #expect(names(in: root) == counts.keys.map { $0 + ".yaml" }.sorted())
        var keys: [String: Set<String>] = [:]
        for (name, count) in counts {
            let grid = try AblationGrid.load(contentsOf: root.appendingPathComponent(name + ".yaml"))
            let runs = try grid.runs()
            #expect(grid.name == name && grid.rows.count == count.0 && runs.count == count.1, "\(name)")
            keys[name] = Set(runs.map(\.key))
        }
        // Five experts with a soft router are a row of all three mini grids, and MLP of the first two.
        let small = try #require(keys["mini-2a"])
        #expect(keys["mini-2c"].map { small.intersection($0).count } == 6)
        #expect(keys["mini-conflicts"].map { small.intersection($0).count } == 6)
        #expect(keys["mini-5"].map { small.intersection($0).count } == 6)
        #expect(keys["table-2a"].map { keys["table-5"]?.intersection($0).count } == 2)
    }
}
