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
            ) { if $0.done > 0 { made($0.done) } }
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

        /// Begins the cache of ten pictures and eight views, and stops after a number of rows.
        private func interrupt(_ folder: URL, _ model: UniMed, _ data: PreparedData, after rows: Int) throws {
            let control = TrainingControl()
            let cache = try FeatureCache.openOrMake(
                folder,
                model: model,
                data: data,
                preprocessing: preprocessing,
                plan: plan(data),
                batchSize: 3,
                pieceByteCount: 1,
                control: control
            ) { if $0.done >= rows { control.cancel() } }
            #expect(cache == nil)
        }

        @Test func `an interrupted cache is not taken for one, continues, and has the same bytes in the end`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 10)
            let model = try model()
            func finish(_ features: URL) throws -> (starts: [Int], bytes: Data, manifest: Data) {
                var starts: [Int] = []
                let cache = try FeatureCache.openOrMake(
                    features,
                    model: model,
                    data: data,
                    preprocessing: preprocessing,
                    plan: plan(data),
                    batchSize: 3
                ) { starts.append($0.done) }
                #expect(cache != nil)
                #expect(names(in: features) == [FeatureCache.manifestName, FeatureCache.fileName])
                return (
                    starts, try Data(contentsOf: features.appendingPathComponent(FeatureCache.fileName)),
                    try Data(contentsOf: features.appendingPathComponent(FeatureCache.manifestName))
                )
            }
            let whole = try finish(folder.file("whole"))
            #expect(whole.starts == [0, 3, 6, 9, 12, 15, 18])

            let features = folder.file("features")
            try interrupt(features, model, data, after: 6)
            #expect(names(in: features) == [FeatureCache.partialName, FeatureCache.progressName])
            try interrupt(features, model, data, after: 12)
            let continued = try finish(features)
            #expect(continued.starts == [12, 15, 18])
            #expect(continued.bytes == whole.bytes && continued.manifest == whole.manifest)

            let partial = features.appendingPathComponent(FeatureCache.partialName)
            let progress = features.appendingPathComponent(FeatureCache.progressName)
            let damages: [(String, Int, () throws -> Void)] = [
                (
                    "bytes behind the last piece", 9,
                    { try (Data(contentsOf: partial) + Data(count: 700)).write(to: partial) }
                ),
                (
                    "half a line of progress", 9,
                    { try (Data(contentsOf: progress) + Data("{\"ke".utf8)).write(to: progress) }
                ),
                ("a lost end", 6, { try Data(contentsOf: partial).dropLast(5).write(to: partial) }),
                (
                    "another byte in the second piece", 3,
                    {
                        var bytes = try Data(contentsOf: partial)
                        bytes[bytes.count - 6 * 512 + 40] ^= 1
                        try bytes.write(to: partial)
                    }
                ),
                ("no file", 0, { try FileManager.default.removeItem(at: partial) }),
                ("no progress", 0, { try FileManager.default.removeItem(at: progress) }),
                (
                    "a name without a manifest", 9,
                    {
                        let file = features.appendingPathComponent(FeatureCache.fileName)
                        try FileManager.default.moveItem(at: partial, to: file)
                    }
                ),
            ]
            for (name, expected, damage) in damages {
                try FileManager.default.removeItem(at: features)
                try interrupt(features, model, data, after: 9)
                try damage()
                let repaired = try finish(features)
                #expect(repaired.starts.first == expected, "\(name)")
                #expect(repaired.bytes == whole.bytes && repaired.manifest == whole.manifest, "\(name)")
            }
        }

        @Test func `float32 features are kept as they are computed, bfloat16 ones rounded`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 5)
            let model = try model()
            func cache(_ dtype: DType) throws -> FeatureCache {
                try #require(
                    try FeatureCache.openOrMake(
                        folder.file(dtype.rawValue),
                        model: model,
                        data: data,
                        preprocessing: preprocessing,
                        plan: plan(data, views: 1),
                        dtype: dtype
                    )
                )
            }
            let (exact, rounded) = (try cache(.float32), try cache(.bfloat16))
            #expect(exact.features.dtype == .float32 && rounded.features.dtype == .bfloat16)
            #expect(exact.key != rounded.key)
            #expect(try rounded.features.isEqual(to: exact.features.to(.bfloat16)))
            #expect(try !exact.features.isEqual(to: rounded.features.to(.float32)))
        }

        @Test func `features of something else are refused where asked for, with what changed`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 5)
            let other = try SyntheticData.make(in: folder.file("other"), count: 5, seed: 2)
            func open(_ model: UniMed, _ data: PreparedData, views: Int = 1) throws -> FeatureCache? {
                try FeatureCache.openOrMake(
                    folder.file("features"),
                    model: model,
                    data: data,
                    preprocessing: preprocessing,
                    plan: plan(data, views: views),
                    mismatch: .refuse
                )
            }
            let model = try model()
            #expect(try open(model, data) != nil)
            func refusal(_ model: UniMed, _ data: PreparedData, views: Int = 1) -> String {
                let error = #expect(throws: TrainingError.self) { try open(model, data, views: views) }
                #expect(error?.kind == .data && error?.file == folder.file("features").path)
                return error?.problem ?? ""
            }
            #expect(
                refusal(try self.model(seed: 0.3), data).contains("others: the vision transformer's weights changed")
            )
            #expect(refusal(model, other).contains("others: the pictures changed"))
            #expect(refusal(model, data, views: 2).contains("others: the views changed"))
            model.computeDType = .bfloat16
            #expect(refusal(model, data).contains("others: the precision of the computation changed"))
            model.computeDType = .float32
            #expect(try open(model, data) != nil)
        }

        @Test func `a vision transformer that is trained has no features to keep`() throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"), count: 5)
            let model = try model()
            let parameter = try #require(model.vision.namedParameters().first?.parameter)
            try parameter.unfreeze()
            let error = #expect(throws: TrainingError.self) { try self.open(folder.file("features"), model, data) }
            #expect(error?.kind == .recipe && error?.field == "features")
        }
    }
}
