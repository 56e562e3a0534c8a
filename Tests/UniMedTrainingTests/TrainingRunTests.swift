import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTokenizers
import UniMedTraining

extension DefaultGeneratorTests {
    @Suite("Training run")
    struct TrainingRunTests {
        private func weights(_ folder: URL) throws -> [String: [Float]] {
            let file = try SafetensorsFile(contentsOf: folder.appendingPathComponent("model/model.safetensors"))
            var weights: [String: [Float]] = [:]
            for key in file.keys { weights[key] = try file.tensor(named: key).to(.float32).array() }
            return weights
        }

        /// The lines of metrics without what depends on the time.
        private func metrics(_ folder: URL) throws -> [TrainingMetrics] {
            try TrainingMetrics.read(from: folder).map { line in
                var line = line
                line.samplesPerSecond = 0
                line.tokensPerSecond = 0
                line.elapsedSeconds = 0
                line.dataWaitShare = nil
                return line
            }
        }

        @discardableResult
        private func train(
            _ recipe: Recipe,
            _ data: PreparedData,
            _ folder: URL,
            control: TrainingControl = TrainingControl(),
            progress: ProgressHandler = { _ in }
        ) throws -> TrainingOutcome {
            try TrainingRun(recipe: recipe, recipeFolder: folder, folder: folder)
                .train(data, control: control, progress: progress)
        }

        @Test func `an interrupted run ends with the same weights, bit for bit`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            let recipe = Recipe.tiny()
            #expect(try train(recipe, data, folder.file("whole")) == .finished(step: 8))

            // Stopped in the pretraining, at a step without a checkpoint of its own, and again later.
            for (stage, step) in [(StageProgress.Stage.vision, 2), (.training, 4), (.training, 7)] {
                let control = TrainingControl()
                let outcome = try train(recipe, data, folder.file("parts"), control: control) { progress in
                    if progress.stage == stage, progress.done == step { control.cancel() }
                }
                #expect(outcome == .interrupted(step: step))
            }
            #expect(try train(recipe, data, folder.file("parts")) == .finished(step: 8))
            #expect(try weights(folder.file("parts")) == weights(folder.file("whole")))
            #expect(try metrics(folder.file("parts")) == metrics(folder.file("whole")))
        }

        @Test func `a killed run resumes from its last checkpoint to the same weights and metrics`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            let recipe = Recipe.tiny()
            // What is on disk while a step is being done is what a kill at that moment leaves.
            for step in [1, 5, 6, 8] {
                try train(recipe, data, folder.file("whole-\(step)")) { progress in
                    guard progress.stage == .training, progress.done == step, !progress.metrics.isEmpty || step % 2 == 1
                    else { return }
                    let copy = folder.file("killed-\(step)")
                    if !FileManager.default.fileExists(atPath: copy.path) {
                        do {
                            try FileManager.default.copyItem(at: folder.file("whole-\(step)"), to: copy)
                        } catch {
                            Issue.record(error)
                        }
                    }
                }
                #expect(try train(recipe, data, folder.file("killed-\(step)")) == .finished(step: 8))
                #expect(try weights(folder.file("killed-\(step)")) == weights(folder.file("whole-\(step)")))
                let lines = try metrics(folder.file("killed-\(step)"))
                #expect(lines.map(\.step) == [2, 4, 6, 8])
                #expect(try lines == metrics(folder.file("whole-\(step)")))
            }
        }

        @Test func `cached features give the losses of features that are computed at every step`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            func losses(_ name: String, _ features: FeatureConfiguration) throws -> [Double] {
                var recipe = Recipe.tiny(steps: 8)
                recipe.training.logEvery = 1
                recipe.features = features
                try train(recipe, data, folder.file(name))
                return try metrics(folder.file(name)).map(\.loss)
            }
            let computed = try losses("computed", FeatureConfiguration(store: .computed))
            #expect(computed.count == 8)
            #expect(names(in: folder.file("computed/features")).isEmpty)
            // Products of batches of other sizes may round differently in the last bit.
            for (loss, expected) in zip(try losses("exact", FeatureConfiguration(precision: .float32)), computed) {
                #expect(abs(loss - expected) < 1e-4 * expected)
            }
            // Bfloat16 has 8 bits of mantissa.
            for (loss, expected) in zip(try losses("rounded", FeatureConfiguration()), computed) {
                #expect(abs(loss - expected) < 1e-2 * expected)
            }
        }

        @Test
        func `runs share the features of a folder, which are encoded beforehand and refused where they do not fit`()
            throws
        {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Recipe.tiny(steps: 2)
            recipe.features.folder = folder.file("shared").path
            func run(_ name: String) throws -> TrainingRun {
                try TrainingRun(recipe: recipe, recipeFolder: folder.url, folder: folder.file(name))
            }
            let features = try #require(try run("first").encode(data))
            #expect(names(in: folder.file("shared")) == [FeatureCache.manifestName, FeatureCache.fileName])
            #expect(names(in: folder.file("first")).contains("vision"))
            #expect(!names(in: folder.file("first")).contains("metrics.jsonl"))
            var encoded = 0
            for name in ["first", "second"] {
                try train(recipe, data, folder.file(name)) { if $0.stage == .features { encoded += 1 } }
            }
            #expect(encoded == 0)
            #expect(try run("second").encode(data)?.key == features.key)

            recipe.seed = 4
            let error = #expect(throws: TrainingError.self) { try train(recipe, data, folder.file("third")) }
            #expect(error?.kind == .data && error?.field == "features")
            #expect(error?.problem.contains("the views; the vision transformer's weights changed") == true)
            #expect(throws: TrainingError.self) { try run("third").encode(data) }
            #expect(try run("third").encode(data, rebuilding: true)?.key != features.key)
            recipe.features = FeatureConfiguration(store: .computed)
            #expect(throws: TrainingError.self) { try run("fourth").encode(data) }
        }

        @Test func `the loss falls and every task is logged`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Recipe.tiny(steps: 60)
            recipe.training.logEvery = 20
            recipe.training.checkpointEvery = 60
            try train(recipe, data, folder.file("run"))
            let lines = try metrics(folder.file("run"))
            #expect(lines.map(\.step) == [20, 40, 60])
            #expect(lines[2].loss < lines[0].loss - 1)
            let last = try #require(lines.last)
            #expect(Set(last.taskLosses.keys) == Set(MedicalTask.allCases.map(\.rawValue)))
            #expect(last.taskSamples.values.reduce(0, +) == 120)
            #expect(last.samplesSeen == 360)
            #expect(last.gradientNorm > 0)
            for share in try TrainingMetrics.read(from: folder.file("run")).map(\.dataWaitShare) {
                #expect((0...1).contains(try #require(share)))
            }
            #expect(last.routingWeights["qa"] == nil)
            for (task, weights) in last.routingWeights {
                #expect(abs(weights.reduce(0, +) - 1) < 1e-4, "\(task)")
            }
            let events = folder.file("run").appendingPathComponent(TensorBoardWriter.fileName)
            #expect(try Data(contentsOf: events).count > 500)
        }

        @Test(arguments: [ConnectorConfiguration.linear, ConnectorConfiguration(router: .hard(by: .task))])
        func `every connector trains, and logs routing weights if it has experts`(
            connector: ConnectorConfiguration
        ) throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Recipe.tiny(steps: 4)
            recipe.model.connector = connector
            try train(recipe, data, folder.file("run"))
            let last = try #require(try metrics(folder.file("run")).last)
            #expect(last.step == 4 && last.loss.isFinite)
            #expect(last.routingWeights.isEmpty == (connector.expertCount == 0))
            for weights in last.routingWeights.values { #expect(weights.filter { $0 > 0 } == [1]) }
        }

        @Test func `a loss that is not finite stops the run and leaves the last checkpoint`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Recipe.tiny(steps: 30)
            recipe.training.checkpointEvery = 1
            recipe.training.gradientClipping = nil
            recipe.training.learningRate = LearningRateConfiguration(peak: 1e20, lowest: 0, warmupSteps: 2)
            let error = #expect(throws: TrainingError.self) { try train(recipe, data, folder.file("run")) }
            #expect(error?.kind == .notFinite)
            let step = try #require(error?.step)
            #expect(step >= 1)
            #expect(error?.description.contains("step \(step)") == true)
            #expect(error?.problem.contains("the batch had ") == true)
            let checkpoints = folder.file("run").appendingPathComponent("checkpoints")
            let latest = try #require(CheckpointStore(folder: checkpoints, keptCount: 1).latest())
            #expect(latest.lastPathComponent == "step-0000000\(step)")
            let kept = try SafetensorsFile(contentsOf: latest.appendingPathComponent("weights.safetensors"))
            #expect(kept.keys.count > 10)
            #expect(!FileManager.default.fileExists(atPath: folder.file("run").appendingPathComponent("model").path))
        }

        @Test func `a run of another recipe is refused, one of the same is used as it is`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Recipe.tiny(steps: 3, pretraining: false, views: 1)
            try train(recipe, data, folder.file("run"))
            let before = try weights(folder.file("run"))
            // What does not change the weights may change.
            recipe.training.logEvery = 1
            recipe.training.checkpointEvery = 2
            recipe.name = "renamed"
            #expect(try train(recipe, data, folder.file("run")) == .finished(step: 3))
            #expect(try weights(folder.file("run")) == before)
            recipe.training.learningRate.peak = 5e-3
            let error = #expect(throws: TrainingError.self) { try train(recipe, data, folder.file("run")) }
            #expect(error?.kind == .checkpoint)
            #expect(error?.file?.contains("step-00000003") == true)
        }

        @Test func `a run says what it was made of`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            let recipe = Recipe.tiny(steps: 2, pretraining: false, views: 1)
            try train(recipe, data, folder.file("run"))
            let yaml = try String(contentsOf: folder.file("run").appendingPathComponent("recipe.yaml"), encoding: .utf8)
            #expect(try Recipe.parse(yaml) == recipe)
            let json = try JSONSerialization.jsonObject(
                with: Data(contentsOf: folder.file("run").appendingPathComponent("run.json"))
            )
            let record = try #require(json as? [String: Any])
            #expect(record["dataKey"] as? String == data.key)
            #expect(record["torchVersion"] as? String == Runtime.version)
            #expect(record["seed"] as? Int == 3)
            #expect((record["featuresKey"] as? String)?.count == 64)
        }

        @Test func `an unwritable folder is told before anything else`() throws {
            let folder = try TemporaryFolder()
            try Data("x".utf8).write(to: folder.file("run"))
            let error = #expect(throws: TrainingError.self) {
                _ = try TrainingRun(recipe: .tiny(), recipeFolder: folder.url, folder: folder.file("run"))
            }
            #expect(error?.kind == .fileSystem)
            #expect(error?.file == folder.file("run").path)
        }

        @Test func `a finished model answers after loading as it did before`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            try train(.tiny(), data, folder.file("run"))
            let loaded = try ModelCheckpoint.load(from: folder.file("run"))
            #expect(loaded.configuration.steps == 8)
            #expect(loaded.configuration.preprocessing == ImagePreprocessing(storedSize: 16, modelSize: 16))
            let again = folder.file("copy")
            try loaded.save(to: again)
            try loaded.save(to: again)
            let copy = try ModelCheckpoint.load(from: again)
            #expect(names(in: again) == ["configuration.json", "digests.json", "model.safetensors", "tokenizer.model"])
            func answer(_ checkpoint: ModelCheckpoint) throws -> [[Int]] {
                let prompt = try checkpoint.promptEncoder.evaluation(
                    task: .imageClassification,
                    instruction: "Which category does this image belong to: bright or dark?",
                    hasImage: true
                )
                let pixels = try Tensor([UInt8](repeating: 90, count: 16 * 16 * 3), shape: [1, 16, 16, 3])
                let features = try checkpoint.model.encodeImages(checkpoint.configuration.preprocessing(pixels))
                let batch = try PromptBatch(
                    [prompt],
                    features: features,
                    imageTokenCount: checkpoint.model.configuration.imageTokenCount
                )
                return try checkpoint.model.generate(
                    batch,
                    maximumNewTokens: 5,
                    endOfSequence: checkpoint.tokenizer.eosID
                )
            }
            #expect(try answer(loaded) == answer(copy))
            for (own, other) in zip(loaded.model.namedParameters(), copy.model.namedParameters()) {
                #expect(own.name == other.name)
                #expect(try own.parameter.value.isEqual(to: other.parameter.value), "\(own.name)")
            }
            let weights = again.appendingPathComponent("model.safetensors")
            let bytes = try Data(contentsOf: weights)
            try bytes.prefix(bytes.count / 2).write(to: weights)
            let error = #expect(throws: TrainingError.self) { try ModelCheckpoint.load(from: again) }
            #expect(error?.kind == .checkpoint)
            #expect(error?.file == weights.path)
        }

        @Test func `the frozen vision transformer is not trained jointly and bfloat16 trains too`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Recipe.tiny(steps: 40)
            recipe.precision = .bfloat16
            recipe.training.logEvery = 20
            try train(recipe, data, folder.file("run"))
            let lines = try metrics(folder.file("run"))
            #expect(lines[1].loss < lines[0].loss)
            let pretrained = try SafetensorsFile(
                contentsOf: folder.file("run").appendingPathComponent("vision/vision.safetensors")
            )
            let model = try SafetensorsFile(
                contentsOf: folder.file("run").appendingPathComponent("model/model.safetensors")
            )
            for key in pretrained.keys {
                let own = try model.tensor(named: "visual_encoder." + key)
                #expect(try own.isEqual(to: pretrained.tensor(named: key).to(own.dtype)), "\(key)")
            }
        }

        @Test func `LoRA trains adapters and connector only`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Recipe.tiny(steps: 2, pretraining: false, views: 1)
            recipe.model.fineTuning = .lowRank(LowRankConfiguration(rank: 2))
            try train(recipe, data, folder.file("run"))
            let checkpoints = folder.file("run").appendingPathComponent("checkpoints")
            let latest = try #require(CheckpointStore(folder: checkpoints, keptCount: 1).latest())
            let kept = try SafetensorsFile(contentsOf: latest.appendingPathComponent("weights.safetensors"))
            #expect(!kept.keys.isEmpty)
            #expect(kept.keys.allSatisfy { $0.hasPrefix("connector.") || $0.contains("lora_") })
            let frozen = try SafetensorsFile(contentsOf: checkpoints.appendingPathComponent("frozen.safetensors"))
            #expect(frozen.keys.contains { $0.hasPrefix("llm.") })
            #expect(frozen.keys.contains { $0.hasPrefix("visual_encoder.") })
        }
    }
}
