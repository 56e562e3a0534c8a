import Foundation
import Testing
import TorchNN
import UniMedData
import UniMedModel
import UniMedTraining

@Suite("Recipe")
struct RecipeTests {
    static let minimal = """
        name: small
        data:
          sets:
            - importer: bccd
              path: bccd
        tokenizer:
          train: {vocabularySize: 500}
        model:
          fineTuning: {method: full}
        training:
          steps: 1000
        """

    static var repository: URL {
        URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    }

    @Test func `what is not named has the paper's value`() throws {
        let recipe = try Recipe.parse(Self.minimal)
        #expect(recipe.training.batchSize == 4)
        #expect(recipe.training.optimizer == AdamWConfiguration(beta1: 0.9, beta2: 0.95, weightDecay: 0.05))
        #expect(recipe.training.gradientClipping == nil)
        #expect(recipe.data.imageSize == 224)
        #expect(recipe.data.rates == .proportional)
        #expect(recipe.model.vision.layerCount == 39)
        let schedule = recipe.training.schedule
        #expect(schedule.warmupSteps == 100)
        #expect(schedule.totalSteps == 1000)
        #expect(schedule.rate(at: 100) < 1e-5)
        #expect(abs(schedule.rate(at: 50) - (1e-7 + (1e-5 - 1e-7) / 2)) < 1e-12)
        #expect(schedule.rate(at: 1000) == 1e-7)
    }

    @Test func `the resolved recipe reads back as itself`() throws {
        for recipe in [try Recipe.parse(Self.minimal), .tiny()] {
            #expect(try Recipe.parse(recipe.yaml()) == recipe)
        }
    }

    @Test func `features are cached in bfloat16 unless the recipe says otherwise`() throws {
        #expect(try Recipe.parse(Self.minimal).features == FeatureConfiguration())
        let kept = try Recipe.parse(Self.minimal + "\nfeatures: {precision: float32, folder: shared}")
        #expect(kept.features == FeatureConfiguration(precision: .float32, folder: "shared"))
        let computed = try Recipe.parse(Self.minimal + "\nfeatures: {store: computed}")
        #expect(computed.features.store == .computed)
        for recipe in [kept, computed] { #expect(try Recipe.parse(recipe.yaml()) == recipe) }
        #expect(
            recipeError(Self.minimal + "\nfeatures: {store: computed, precision: float32}")?.field
                == "features.precision"
        )
        #expect(recipeError(Self.minimal + "\nfeatures: {store: computed, folder: a}")?.field == "features.folder")
        #expect(recipeError(Self.minimal + "\nfeatures: {folder: ''}")?.field == "features.folder")
        #expect(recipeError(Self.minimal + "\nfeatures: {dtype: float32}")?.problem.contains("unknown key") == true)
    }

    @Test func `every recipe of the repository can be read`() throws {
        let folder = Self.repository.appendingPathComponent("Recipes")
        let files = names(in: folder).filter { $0.hasSuffix(".yaml") }
        #expect(files.count >= 3)
        for name in files {
            let recipe = try Recipe.load(contentsOf: folder.appendingPathComponent(name))
            #expect(recipe.name == String(name.dropLast(5)))
            #expect(try Recipe.parse(recipe.yaml()) == recipe)
        }
    }

    @Test func `the paper's recipe has the paper's numbers`() throws {
        let file = Self.repository.appendingPathComponent("Recipes/uni-med.yaml")
        let recipe = try Recipe.load(contentsOf: file)
        #expect(recipe.model == UniMedConfiguration())
        #expect(recipe.training.steps == 100_000)
        #expect(recipe.training.schedule.warmupSteps == 10_000)
        #expect(recipe.training.optimizer == AdamWConfiguration())
        #expect(recipe.training.batchSize == 4)
        let rate = recipe.training.learningRate
        #expect(rate.peak == 1e-5 && rate.lowest == 1e-7)
        #expect(recipe.data.imageSize == 224 && recipe.data.rates == .proportional && recipe.data.balance == .samples)
        #expect(recipe.data.faults == .skip)
        #expect(recipe.training.gradientClipping == nil && recipe.training.accumulation == 1)
        #expect(recipe.training.dropout == DropoutRates() && recipe.training.lengthExponent == 0)
        #expect(recipe.precision == .bfloat16 && recipe.weights.frozenType == .bfloat16)
        #expect(recipe.evaluation.split == .test && recipe.visionPretraining == nil)
    }

    /// Text to replace in the minimal recipe, what to put there, the field that must be named.
    static let faults: [(String, String, String)] = [
        ("steps: 1000", "steps: 1000\n  stepz: 3", "training.stepz"),
        ("name: small", "name: small\nnmae: x", "nmae"),
        ("path: bccd", "path: bccd\n      folder: x", "data.sets[0].folder"),
        ("{vocabularySize: 500}", "{vocabularySize: 500, kind: bpe}", "tokenizer.train.kind"),
        ("{vocabularySize: 500}", "{vocabularySize: 500}\n  file: a.model", "tokenizer"),
        ("fineTuning: {method: full}", "fineTuning: {method: full, rank: 3}", "model.fineTuning.rank"),
        ("fineTuning: {method: full}", "vision: {patchSiz: 3}", "model.vision.patchSiz"),
        ("fineTuning: {method: full}", "volume: {tokens: 3}", "model.volume.tokens"),
        ("fineTuning: {method: full}", "volume: {slice: 3}", "model.volume.slice"),
        ("steps: 1000", "steps: 1000\n  optimizer: {betta: 1}", "training.optimizer.betta"),
        ("steps: 1000", "steps: 1000\n  optimizer: {beta1: 1}", "training.optimizer.beta1"),
        ("steps: 1000", "steps: 1000\n  learningRate: {peek: 1}", "training.learningRate.peek"),
        ("steps: 1000", "steps: 1000\n  learningRate: {peak: -1}", "training.learningRate.peak"),
        ("steps: 1000", "steps: 10\n  learningRate: {warmupSteps: 11}", "training.learningRate"),
        ("steps: 1000", "steps: 0", "training.steps"),
        ("steps: 1000", "steps: 10\n  accumulation: 0", "training.accumulation"),
        ("steps: 1000", "steps: 10\n  gradientCheckpointing: some", "training.gradientCheckpointing"),
        ("steps: 1000", "steps: 10\n  optimizer: {stateType: float16}", "training.optimizer.stateType"),
        ("name: small", "name: small\nweights: {frozenType: int8}", "weights.frozenType"),
        ("name: small", "name: small\nweights: {frozenType: bfloat16}", "weights.frozenType"),
        (
            "fineTuning: {method: full}",
            "fineTuning: {method: lora}\nprecision: bfloat16\nweights: {frozenType: float32}", "weights.frozenType"
        ),
        (
            "fineTuning: {method: full}", "fineTuning: {method: loraMoE, router: {kind: sparse, topK: 9}}",
            "model.fineTuning.router.topK"
        ),
        ("steps: 1000", "steps: many", "training.steps"),
        ("steps: 1000", "batchSize: 3", "training.steps"),
        ("steps: 1000", "steps: 5\n  views: 3", "training"),
        ("name: small", "name: small\ndevice: gpu", "device"),
        ("name: small", "name: small\nprecision: float8", "precision"),
        ("name: small", "name: small\nthreads: 0", "threads"),
        ("path: bccd", "path: bccd\n      count: 3", "data.sets[0].count"),
        ("importer: bccd\n      path: bccd", "importer: bccd", "data.sets[0].path"),
        ("importer: bccd", "importer: phantoms", "data.sets[0].path"),
        ("path: bccd", "path: bccd\n    - importer: bccd\n      path: other", "data.sets"),
        ("sets:", "rates: {vqa: 1, vga: 2}\n  sets:", "data.rates.vga"),
        ("sets:", "rates: {temperature: 0}\n  sets:", "data.rates.temperature"),
        ("sets:", "rates: even\n  sets:", "data.rates"),
        (
            "name: small", "name: small\nweights: {vision: a.pth}\nvisionPretraining: {steps: 5}", "visionPretraining"
        ),
        ("name: small", "name: small\nweights: {language: a, embeddingDeviation: 0.3}", "weights.embeddingDeviation"),
        ("name: small", "name: small\nvisionPretraining: {steps: 5, maskRatio: 1}", "visionPretraining.maskRatio"),
        ("name: small", "name: small\nevaluation: {maximumNewTokens: {rgg: 5}}", "evaluation.maximumNewTokens.rgg"),
    ]

    @Test(arguments: faults) func `a fault is told with its field`(_ fault: (String, String, String)) throws {
        let text = Self.minimal.replacingOccurrences(of: fault.0, with: fault.1)
        #expect(text != Self.minimal)
        let error = try #require(recipeError(text))
        #expect(error.field == fault.2, "\(error)")
        #expect(error.description.hasPrefix("a.yaml, field '\(fault.2)': "))
        #expect(!error.description.contains("\n"))
    }

    @Test func `text that is not YAML is told with its line`() throws {
        let error = try #require(recipeError("name: small\ndata: [1, 2\ntraining: }"))
        #expect(error.line ?? 0 >= 2)
        let twice = try #require(recipeError(Self.minimal + "\nname: again"))
        #expect(twice.description.contains("name"))
    }

    @Test func `a missing file is told`() throws {
        let file = URL(fileURLWithPath: "/nowhere/recipe.yaml")
        let error = #expect(throws: RecipeError.self) { try Recipe.load(contentsOf: file) }
        #expect(error?.file == file.path)
        #expect(error?.problem == "no such file")
    }

    @Test func `rates are read in all three forms`() throws {
        func rates(_ text: String) throws -> TaskRates {
            try Recipe.parse(Self.minimal.replacingOccurrences(of: "sets:", with: "rates: \(text)\n  sets:")).data.rates
        }
        #expect(try rates("proportional") == .proportional)
        #expect(try rates("{temperature: 2}") == .temperature(2))
        #expect(
            try rates("{vqa: 0.5, rec: 1}")
                == .explicit([.visualQuestionAnswering: 0.5, .referringExpressionComprehension: 1])
        )
    }

    @Test func `paths are relative to the data's root, which can be replaced`() throws {
        let folder = URL(fileURLWithPath: "/recipes")
        var data = DataConfiguration(root: "../sets", sets: [DatasetConfiguration(importer: "bccd", path: "cells")])
        #expect(data.folder(of: data.sets[0], recipeFolder: folder)?.path == "/sets/cells")
        let other = URL(fileURLWithPath: "/elsewhere")
        #expect(data.folder(of: data.sets[0], recipeFolder: folder, root: other)?.path == "/elsewhere/cells")
        data.root = nil
        #expect(data.folder(of: data.sets[0], recipeFolder: folder)?.path == "/recipes/cells")
        data.sets[0].path = "/absolute"
        #expect(data.folder(of: data.sets[0], recipeFolder: folder, root: other)?.path == "/absolute")
        #expect(data.folder(of: DatasetConfiguration(importer: "phantoms"), recipeFolder: folder) == nil)
    }
}
