import Foundation
import Testing
import Torch
import TorchNN
import UniMedData
import UniMedModel
import UniMedTraining

extension DefaultGeneratorTests {
    @Suite("Vision pretraining")
    struct VisionPretrainerTests {
        private func lines(_ folder: URL) throws -> [[String: Double]] {
            try JSONLines.read([String: Double].self, from: folder.appendingPathComponent("vision/metrics.jsonl"))
        }

        @Test func `every loss falls`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 60)
            var recipe = Recipe.tiny()
            recipe.visionPretraining = VisionPretrainingConfiguration(
                steps: 120,
                batchSize: 12,
                learningRate: LearningRateConfiguration(peak: 3e-3, lowest: 1e-4, warmupSteps: 5),
                checkpointEvery: 1000,
                logEvery: 30
            )
            let run = try TrainingRun(recipe: recipe, recipeFolder: folder.url, folder: folder.file("run"))
            let model = try run.makeModel(tokenizer: run.trainTokenizer(data))
            #expect(try run.pretrainVision(model, data: data) == .finished(step: 120))
            #expect(model.vision.trainableParameters().isEmpty)
            let lines = try lines(folder.file("run"))
            #expect(lines.count == 4)
            let (first, last) = (lines[0], lines[3])
            for name in [
                "loss", "field/brightness", "words", "boxes/inside", "boxes/extent", "boxes/center", "boxes/location",
                "texture", "pictureTexture",
            ] {
                let (before, after) = (try #require(first[name]), try #require(last[name]))
                #expect(after < before, "\(name): \(before), \(after)")
            }
            #expect(try #require(last["field/brightness"]) < 0.6)
            // Done once, it is loaded.
            let again = try TrainingRun(recipe: recipe, recipeFolder: folder.url, folder: folder.file("run"))
            let loaded = try again.makeModel(tokenizer: again.trainTokenizer(data))
            #expect(try again.pretrainVision(loaded, data: data) == .finished(step: 120))
            for (own, other) in zip(model.vision.namedParameters(), loaded.vision.namedParameters()) {
                #expect(try own.parameter.value.isEqual(to: other.parameter.value), "\(own.name)")
            }
        }

        @Test func `a loss that is switched off is not computed`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 10)
            var recipe = Recipe.tiny()
            recipe.visionPretraining = VisionPretrainingConfiguration(
                steps: 1,
                batchSize: 4,
                losses: .init(fields: 0, words: 1, boxes: 0, texture: 0),
                logEvery: 1
            )
            let run = try TrainingRun(recipe: recipe, recipeFolder: folder.url, folder: folder.file("run"))
            let model = try run.makeModel(tokenizer: run.trainTokenizer(data))
            _ = try run.pretrainVision(model, data: data)
            let keys = try #require(lines(folder.file("run")).first).keys
            #expect(Set(keys) == ["loss", "words", "step", "learningRate", "elapsedSeconds"])
        }

        @Test func `a share of a data set that is not there is told`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 10)
            var recipe = Recipe.tiny()
            recipe.visionPretraining = VisionPretrainingConfiguration(steps: 1, shares: ["other": 1])
            let run = try TrainingRun(recipe: recipe, recipeFolder: folder.url, folder: folder.file("run"))
            let model = try run.makeModel(tokenizer: run.trainTokenizer(data))
            let error = #expect(throws: TrainingError.self) { try run.pretrainVision(model, data: data) }
            #expect(error?.field == "visionPretraining.shares")
        }
    }
}
