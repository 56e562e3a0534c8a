import Foundation
import Testing
import Torch
import TorchNN
import UniMedData
import UniMedModel
import UniMedTraining

extension DefaultGeneratorTests {
    @Suite("Feature cache")
    struct FeatureCacheTests {
        private func model(seed: Double = 0.02) throws -> UniMed {
            let model = try UniMed(Recipe.tiny().model)
            for (name, parameter) in model.vision.namedParameters() where name.hasSuffix("proj.weight") {
                let values = (0..<parameter.value.count).map { Float(sin(Double($0) * 1.7) * seed) }
                try parameter.load(Tensor(values, shape: parameter.value.shape))
            }
            return model
        }

        private let preprocessing = ImagePreprocessing(storedSize: 16, modelSize: 16)

        private func plan(_ data: PreparedData, views: Int = 2) -> ViewPlan {
            ViewPlan(data, recipe: Recipe.tiny().data, views: views, seed: 1)
        }

        private func open(
            _ folder: URL,
            _ model: UniMed,
            _ data: PreparedData,
            views: Int = 2,
            control: TrainingControl = TrainingControl(),
            made: (Int) -> Void = { _ in }
        ) throws -> FeatureCache? {
            try FeatureCache.openOrMake(
                folder,
                model: model,
                data: data,
                preprocessing: preprocessing,
                plan: plan(data, views: views),
                batchSize: 7,
                control: control
            ) { made($0.done) }
        }

        @Test func `rows are the encoder's features of pictures, gathered in any order`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 10)
            let model = try model()
            let cache = try #require(try open(folder.file("features"), model, data))
            #expect(cache.features.shape == [18, 16, 16])
            let gathered = try cache.gather([3, 0, 3])
            #expect(gathered.shape == [3, 16, 16])
            let bytes = [3, 0, 3].flatMap { Array(data.images.pixels(at: $0)) }
            let pixels = try Tensor(bytes, shape: [3, 16, 16, 3])
            let expected = try model.encodeImages(preprocessing(pixels)).to(.bfloat16)
            // Products of other batch sizes may round differently in the last bit.
            let difference = try (gathered.to(.float32) - expected.to(.float32)).abs().maximum().item()
            #expect(difference < 0.05)
            // A view has features of its own.
            let row = plan(data).row(of: 1, view: 1)
            #expect(row == 10)
            #expect(try !cache.gather([row]).isEqual(to: cache.gather([1])))
            #expect(throws: TorchError.self) { try cache.gather([18]) }
        }

        @Test func `it is used again, and made anew when anything it depends on differs`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 10)
            let features = folder.file("features")
            let model = try model()
            var made = 0
            let first = try #require(try open(features, model, data) { _ in made += 1 })
            #expect(made == 3)
            let second = try #require(try open(features, model, data) { _ in made += 1 })
            #expect(made == 3)
            #expect(second.key == first.key)
            #expect(try second.features.isEqual(to: first.features))

            let otherViews = try #require(try open(features, model, data, views: 3) { _ in made += 1 })
            #expect(otherViews.key != first.key && made > 3)
            made = 0
            let otherModel = try #require(try open(features, self.model(seed: 0.5), data) { _ in made += 1 })
            #expect(otherModel.key != first.key && made > 0)
            made = 0
            let otherData = try SyntheticData.make(in: folder.file("other"), count: 10, seed: 2)
            let ofOtherData = try #require(try open(features, model, otherData) { _ in made += 1 })
            #expect(ofOtherData.key != first.key && made > 0)
        }

        @Test func `a damaged or cut cache is made anew`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 5)
            let features = folder.file("features")
            let model = try model()
            let intact = try #require(try open(features, model, data)).features.to(.float32).array(of: Float.self)
            let file = features.appendingPathComponent(FeatureCache.fileName)
            let bytes = try Data(contentsOf: file)
            var flipped = bytes
            flipped[flipped.count - 9] ^= 0x40
            for damaged in [flipped, bytes.dropLast(5), Data()] {
                try damaged.write(to: file)
                var made = 0
                let cache = try #require(try open(features, model, data) { _ in made += 1 })
                #expect(made > 0)
                #expect(try cache.features.to(.float32).array(of: Float.self) == intact)
            }
        }

        @Test func `a cancelled cache leaves nothing that could be taken for one`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 10)
            let control = TrainingControl()
            let model = try model()
            let cache = try open(folder.file("features"), model, data, control: control) { _ in control.cancel() }
            #expect(cache == nil)
            #expect(names(in: folder.file("features")).isEmpty)
            #expect(try open(folder.file("features"), model, data) != nil)
        }
    }
}
