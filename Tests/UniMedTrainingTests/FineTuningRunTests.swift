import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting
import UniMedTraining

@Suite("Micro-batches")
struct MicroBatchesTests {
    @Test func `shares are those of the answer tokens`() throws {
        let shares = try #require(MicroBatches.shares(targetCounts: [[3, 1], [12]], lengthExponent: 0))
        #expect(shares == [0.25, 0.75])
        // With exponent 1 every answer has the same say, however long.
        let even = try #require(MicroBatches.shares(targetCounts: [[3, 1], [12]], lengthExponent: 1))
        #expect(even.map { ($0 * 3).rounded() } == [2, 1])
        let half = try #require(MicroBatches.shares(targetCounts: [[4], [9, 0]], lengthExponent: 0.5))
        #expect(abs(half[0] - 0.4) < 1e-12)
    }

    @Test func `a part without answer tokens counts nothing, none at all is no batch`() {
        #expect(MicroBatches.shares(targetCounts: [[0], [5]], lengthExponent: 1) == [0, 1])
        #expect(MicroBatches.shares(targetCounts: [[7]], lengthExponent: 0.3) == [1])
        #expect(MicroBatches.shares(targetCounts: [[0], []], lengthExponent: 0) == nil)
    }

    @Test(arguments: [0, 0.5, 1])
    func `weighed parts have the gradients of the whole batch`(lengthExponent: Double) throws {
        let model = try TinyModel.make(
            TinyModel.configuration(fineTuning: .lowRank(LowRankConfiguration(rank: 2, dropout: 0)))
        )
        let encoder = PromptEncoder(tokenizer: ByteTokenizer(), imageTokenCount: 4)
        let answers = ["a", "a much longer answer than the others", "two", "a few words", "b", "yes, it is"]
        let prompts = try answers.enumerated().map { index, answer in
            try encoder.training(
                task: index.isMultiple(of: 2) ? .questionAnswering : .visualQuestionAnswering,
                instruction: "Question \(index)?",
                answer: answer,
                hasImage: !index.isMultiple(of: 2)
            )
        }
        let features = try TinyModel.features(count: 3)
        /// The loss and gradients of parts of a size.
        func train(_ size: Int) throws -> (loss: Double, gradients: [(name: String, gradient: Tensor)]) {
            let parts = try stride(from: 0, to: prompts.count, by: size).map { start in
                let part = prompts[start..<min(start + size, prompts.count)]
                let images = part.count { $0.hasImage }
                let before = prompts[..<start].count { $0.hasImage }
                return try PromptBatch(
                    Array(part),
                    features: images == 0 ? nil : features.narrow(0, start: before, length: images),
                    imageTokenCount: 4
                )
            }
            let shares = try #require(
                MicroBatches.shares(targetCounts: parts.map(\.targetCounts), lengthExponent: lengthExponent)
            )
            var loss = 0.0
            for (part, share) in zip(parts, shares) {
                let own = try model.loss(part, lengthExponent: lengthExponent).loss * share
                loss += try own.item()
                try own.backward()
            }
            return (
                loss,
                try model.trainableParameters().compactMap { name, parameter in
                    guard let gradient = parameter.value.gradient else { return nil }
                    try parameter.value.setGradient(nil)
                    return (name, gradient)
                }
            )
        }
        let whole = try train(6)
        for size in [1, 2, 4] {
            let parts = try train(size)
            #expect(abs(parts.loss - whole.loss) < 1e-5)
            #expect(parts.gradients.map(\.name) == whole.gradients.map(\.name))
            for (own, expected) in zip(parts.gradients, whole.gradients) {
                // Other orders of the same sums, in float32.
                let size = try expected.gradient.norm().item()
                let distance = try (own.gradient - expected.gradient).norm().item()
                #expect(distance <= 1e-4 * size, "\(own.name): \(distance) of \(size)")
            }
        }
    }
}

extension DefaultGeneratorTests {
    @Suite("Fine-tuning runs")
    struct FineTuningRunTests {
        private func weights(_ folder: URL) throws -> [String: Tensor] {
            try SafetensorsFile(contentsOf: folder.appendingPathComponent("model/model.safetensors")).tensors()
        }

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

        private func expectEqual(_ a: URL, _ b: URL) throws {
            let (own, expected) = (try weights(a), try weights(b))
            #expect(Set(own.keys) == Set(expected.keys))
            for (name, tensor) in own { #expect(try tensor.isEqual(to: #require(expected[name])), "\(name)") }
            #expect(try metrics(a) == metrics(b))
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

        private static func plain(_ steps: Int) -> Recipe {
            var recipe = Recipe.tiny(steps: steps, pretraining: false, views: 1)
            recipe.training.checkpointEvery = 3
            return recipe
        }

        @Test func `steps of several batches are those of one large batch`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Self.plain(4)
            recipe.training.dropout = DropoutRates()
            recipe.training.lengthExponent = 0.5
            recipe.training.logEvery = 1
            try train(recipe, data, folder.file("whole"))
            recipe.training.batchSize = 2
            recipe.training.accumulation = 3
            try train(recipe, data, folder.file("parts"))
            for (own, expected) in zip(try metrics(folder.file("parts")), try metrics(folder.file("whole"))) {
                #expect(own.step == expected.step && own.samplesSeen == expected.samplesSeen)
                #expect(own.taskSamples == expected.taskSamples)
                // The same sums in another order, and weights that differ as little after the first step.
                #expect(abs(own.loss - expected.loss) < 1e-3 * expected.loss)
                #expect(abs(own.gradientNorm - expected.gradientNorm) < 5e-3 * expected.gradientNorm)
                #expect(Set(own.taskLosses.keys) == Set(expected.taskLosses.keys))
                for (task, loss) in own.taskLosses {
                    #expect(abs(loss - (expected.taskLosses[task] ?? 0)) < 2e-3 * loss, "\(task)")
                }
                for (task, weights) in own.routingWeights {
                    #expect(weights.count == expected.routingWeights[task]?.count)
                    #expect(abs(weights.reduce(0, +) - 1) < 1e-4, "\(task)")
                }
            }
            #expect(try metrics(folder.file("parts")).count == 4)
        }

        @Test func `checkpointed blocks make the same run, and may be switched on in the middle of one`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Self.plain(6)
            recipe.model.fineTuning = .lowRank(LowRankConfiguration(rank: 2, dropout: 0.2))
            try train(recipe, data, folder.file("plain"))
            let control = TrainingControl()
            let outcome = try train(recipe, data, folder.file("switched"), control: control) { progress in
                if progress.stage == .training, progress.done == 3 { control.cancel() }
            }
            #expect(outcome == .interrupted(step: 3))
            recipe.training.gradientCheckpointing = true
            try train(recipe, data, folder.file("switched"))
            try expectEqual(folder.file("switched"), folder.file("plain"))
        }

        @Test(arguments: [Recipe.Precision.float32, .bfloat16])
        func `all of it together resumes bit for bit after a kill`(precision: Recipe.Precision) throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Self.plain(7)
            recipe.precision = precision
            recipe.weights.frozenType = .bfloat16
            recipe.model.fineTuning = .lowRankExperts(LowRankExpertsConfiguration(rank: 2, expertCount: 3))
            recipe.training.batchSize = 3
            recipe.training.accumulation = 2
            recipe.training.gradientCheckpointing = true
            recipe.training.optimizer.stateType = .bfloat16
            let (whole, killed) = (folder.file("whole"), folder.file("killed"))
            try train(recipe, data, whole) { progress in
                // What is on disk while step 6 is being done is what a kill at that moment leaves.
                guard progress.stage == .training, progress.done == 5 else { return }
                do {
                    try FileManager.default.copyItem(at: whole, to: killed)
                } catch {
                    Issue.record(error)
                }
            }
            #expect(try train(recipe, data, killed) == .finished(step: 7))
            try expectEqual(killed, whole)

            let checkpoints = whole.appendingPathComponent("checkpoints")
            let latest = try #require(CheckpointStore(folder: checkpoints, keptCount: 1).latest())
            let kept = try SafetensorsFile(contentsOf: latest.appendingPathComponent("optimizer.safetensors"))
            for key in kept.keys where key.hasSuffix(".exp_avg") || key.hasSuffix(".exp_avg_sq") {
                #expect(try kept.dtype(of: key) == .bfloat16, "\(key)")
            }
            let trained = try SafetensorsFile(contentsOf: latest.appendingPathComponent("weights.safetensors"))
            #expect(trained.keys.contains { $0.contains("lora_experts.router") })
            for key in trained.keys { #expect(try trained.dtype(of: key) == .float32, "\(key)") }
            let loaded = try ModelCheckpoint.load(from: whole)
            #expect(loaded.model.language.namedParameters().contains { $0.name.contains("lora_experts.A") })
        }

        @Test func `narrow optimizer state keeps the loss curve`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Self.plain(60)
            recipe.training.checkpointEvery = 60
            recipe.training.logEvery = 15
            recipe.training.optimizer.beta2 = 0.999
            try train(recipe, data, folder.file("float32"))
            recipe.training.optimizer.stateType = .bfloat16
            try train(recipe, data, folder.file("bfloat16"))
            let (wide, narrow) = (try metrics(folder.file("float32")), try metrics(folder.file("bfloat16")))
            #expect(wide.count == 4 && wide[3].loss < wide[0].loss - 1)
            for (expected, own) in zip(wide, narrow) {
                #expect(abs(own.loss - expected.loss) < 0.02 * expected.loss, "step \(own.step)")
            }
            // It is another optimizer: a run with the one is not continued with the other.
            let error = #expect(throws: TrainingError.self) { try train(recipe, data, folder.file("float32")) }
            #expect(error?.kind == .checkpoint)
        }

        @Test(arguments: [false, true])
        func `a run that trains the connector alone passes questions without pictures by`(isCheckpointed: Bool) throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Self.plain(12)
            recipe.model.fineTuning = .frozen
            recipe.training.composition = .singleTask
            recipe.training.gradientCheckpointing = isCheckpointed
            var rates = Dictionary(uniqueKeysWithValues: MedicalTask.allCases.map { ($0, 0.0) })
            rates[.questionAnswering] = 1
            rates[.imageClassification] = 1
            recipe.data.rates = .explicit(rates)
            #expect(try train(recipe, data, folder.file("run")) == .finished(step: 12))
            let lines = try metrics(folder.file("run"))
            #expect(lines.reduce(0) { $0 + ($1.taskSamples["qa"] ?? 0) } > 0)
        }
    }
}
