import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting
import UniMedTokenizers
import UniMedTraining

extension DefaultGeneratorTests {
    @Suite("Training on volumes")
    struct VolumeTrainingTests {
        /// Volumes of 5 to 8 slices beside the made pictures.
        private func data(_ folder: URL) throws -> PreparedData {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            var generator = SeededGenerator(seed: 2)
            var writer = ImageShardWriter(folder: folder, size: 16)
            var samples: [Sample] = []
            var annotations: [ImageAnnotation] = []
            for number in 0..<20 {
                let split: Split = number % 5 == 0 ? .validation : .train
                let slices = 5 + number % 4
                let first = generator.integer(below: slices - 1)
                let isVolume = number % 3 != 0
                let image = ImageReference(
                    path: "study-\(number)",
                    width: 160,
                    height: 160,
                    volume: isVolume ? VolumeReference(slices: slices, spacing: 3) : nil
                )
                for (slice, picture) in image.pictures.enumerated() {
                    let isBright = slice == first || slice == first + 1
                    let pixels = (0..<16 * 16 * 3).map { index -> UInt8 in
                        let inside = (4..<10).contains(index / 48) && (4..<10).contains(index / 3 % 16)
                        return UInt8((inside && isBright ? 220 : 60) + generator.integer(below: 9))
                    }
                    try writer.append(pixels, dataset: SyntheticData.dataset, path: picture.path)
                    annotations.append(
                        ImageAnnotation(
                            dataset: SyntheticData.dataset,
                            split: split,
                            image: picture,
                            fields: ["square": isBright ? "yes" : "no"]
                        )
                    )
                }
                for task in [MedicalTask.referringExpressionComprehension, .referringExpressionGeneration] {
                    samples.append(
                        Sample(
                            id: "\(number) \(task.rawValue)",
                            dataset: SyntheticData.dataset,
                            split: split,
                            task: task,
                            image: image,
                            objectName: "square",
                            box: BoundingBox(xMin: 40, yMin: 40, xMax: 100, yMax: 100),
                            boxSlices: isVolume ? SliceRange(first...first + 1) : nil,
                            answer: task == .referringExpressionGeneration ? "square" : ""
                        )
                    )
                }
            }
            try writer.finish()
            try PreparedData.write(
                samples: samples,
                annotations: annotations,
                sources: [],
                key: "volumes",
                imageSize: 16,
                to: folder
            )
            return try PreparedData.open(at: folder)
        }

        private func recipe(_ volume: VolumeConfiguration?) -> Recipe {
            var recipe = Recipe.tiny()
            recipe.model.volume = volume
            return recipe
        }

        private func examples(_ data: PreparedData, _ volume: VolumeConfiguration) throws -> TrainingExamples {
            let recipe = recipe(volume)
            return try TrainingExamples(
                data,
                configuration: recipe.data,
                encoder: PromptEncoder(
                    tokenizer: ByteTokenizer(),
                    imageTokenCount: recipe.model.imageTokenCount,
                    volume: volume
                ),
                plan: ViewPlan(data, recipe: recipe.data, views: 2, seed: 1),
                seed: 1,
                volume: volume
            )
        }

        private func draw(_ index: Int, _ seed: UInt64, _ examples: TrainingExamples) -> MixtureDraw {
            MixtureDraw(sampleIndex: index, task: examples.tasks[index], seed: seed)
        }

        @Test func `an example has the rows and places of the chosen slices`() throws {
            let folder = try TemporaryFolder()
            let data = try data(folder.file("data"))
            let volume = VolumeConfiguration(slices: 4, choice: .content, tokens: 8)
            let examples = try examples(data, volume)
            for index in examples.entries.indices {
                let sample = examples.samples[examples.entries[index]]
                let example = try examples.example(for: draw(index, 7, examples))
                let positions = try #require(data.images.positions(of: sample))
                guard let reference = sample.image?.volume else {
                    #expect(example.featureRows.count == 1 && example.prompt.slices.isEmpty)
                    continue
                }
                let weights = data.images.sliceWeights(at: positions, for: volume.selection)
                let chosen = volume.selection.slices(weights: weights)
                #expect(example.featureRows == chosen.map { positions[$0] })
                #expect(example.prompt.slices == chosen.map { SlicePosition(slice: $0, of: reference) })
                // Without jitter every draw looks at the same slices.
                #expect(try examples.example(for: draw(index, 8, examples)).featureRows == example.featureRows)
            }
        }

        @Test func `jitter follows from the draw's seed`() throws {
            let folder = try TemporaryFolder()
            let data = try data(folder.file("data"))
            let examples = try examples(data, VolumeConfiguration(slices: 3, jitter: true))
            let index = try #require(
                examples.entries.indices.first { examples.samples[examples.entries[$0]].image?.volume != nil }
            )
            let rows = try (0..<20).map { try examples.example(for: draw(index, UInt64($0), examples)).featureRows }
            let again = try (0..<20).map { try examples.example(for: draw(index, UInt64($0), examples)).featureRows }
            #expect(rows == again && Set(rows).count > 3)
            #expect(rows.allSatisfy { zip($0, $0.dropFirst()).allSatisfy { $0 < $1 } })
        }

        @Test func `slices have no views of their own`() throws {
            let folder = try TemporaryFolder()
            let data = try data(folder.file("data"))
            let plan = ViewPlan(data, recipe: Recipe.tiny().data, views: 2, seed: 1)
            #expect(!plan.augmented.isEmpty)
            for sample in data.samples where sample.image?.volume != nil {
                for position in data.images.positions(of: sample) ?? [] { #expect(plan.viewCount(of: position) == 1) }
            }
        }

        @Test func `a run trains what volumes add, keeps it, and continues bit for bit`() throws {
            let folder = try TemporaryFolder()
            let data = try data(folder.file("data"))
            let recipe = recipe(VolumeConfiguration(slices: 4, jitter: true, tokens: 8, heads: 2))
            func train(_ name: String, _ control: TrainingControl = TrainingControl(), stop: Int? = nil) throws
                -> TrainingOutcome
            {
                let run = folder.file(name)
                return try TrainingRun(recipe: recipe, recipeFolder: folder.url, folder: run)
                    .train(data, control: control) { progress in
                        if progress.stage == .training, progress.done == stop { control.cancel() }
                    }
            }
            #expect(try train("whole") == .finished(step: 8))
            #expect(try train("parts", stop: 4) == .interrupted(step: 4))
            #expect(try train("parts") == .finished(step: 8))
            let checkpoints = try ["whole", "parts"].map { try ModelCheckpoint.load(from: folder.file($0)) }
            let weights = try checkpoints.map { checkpoint in
                try #require(checkpoint.model.slicePooling).query.value.array(of: Float.self)
            }
            #expect(weights[0] == weights[1])
            #expect(weights[0].contains { $0 != 0 })
            #expect(checkpoints[0].configuration.model.volume == recipe.model.volume)
            let file = try SafetensorsFile(contentsOf: folder.file("whole/model/model.safetensors"))
            #expect(file.keys.contains("volume_pooling.query") && file.keys.contains("volume_pooling.position_gain"))
        }

        @Test func `data with volumes and a recipe without are refused before anything is trained`() throws {
            let folder = try TemporaryFolder()
            let data = try data(folder.file("data"))
            let run = try TrainingRun(recipe: recipe(nil), recipeFolder: folder.url, folder: folder.file("run"))
            let error = #expect(throws: TrainingError.self) { try run.train(data) }
            #expect(error?.field == "model.volume")
            #expect(!names(in: folder.file("run")).contains("tokenizer"))
        }
    }
}
