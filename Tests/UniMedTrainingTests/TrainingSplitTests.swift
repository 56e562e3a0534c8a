import Foundation
import Testing
import UniMedData
import UniMedTraining

@Suite("Digests of the training split")
struct TrainingSplitTests {
    private let folder: TemporaryFolder
    private let data: PreparedData

    init() throws {
        folder = try TemporaryFolder()
        data = try SyntheticData.make(in: folder.file("data"), count: 20)
    }

    @Test func `what was trained on is found by image, study and text, and nothing else`() throws {
        let split = TrainingSplit(of: data)
        #expect(split.images.count == 16 && split.studies.count == 16 && split.texts.count == 16)
        let unseen = data.indices(split: .validation)
        #expect(split.leaks(of: unseen, in: data).values.allSatisfy(\.isEmpty) && !unseen.isEmpty)
        let seen = split.leaks(of: data.indices(split: .train), in: data)
        for (position, kinds) in seen {
            let sample = data.samples[position]
            let expected: [LeakKind] = sample.task == .questionAnswering ? [.study, .text] : [.image, .study]
            #expect(kinds == expected, "\(sample.id)")
        }
        #expect(seen.count == 16 * 7)
    }

    @Test func `the same pictures under other names are found`() throws {
        let split = TrainingSplit(of: data)
        let other = folder.file("other")
        try FileManager.default.createDirectory(at: other, withIntermediateDirectories: true)
        var pictures = ImageShardWriter(folder: other, size: SyntheticData.size)
        var samples: [Sample] = []
        for position in data.indices(split: .train, tasks: [.imageClassification]) {
            var sample = data.samples[position]
            let place = try #require(data.images.position(of: sample))
            sample.dataset = "renamed"
            sample.group = "study of \(position)"
            sample.split = .test
            sample.image?.path = "renamed-\(position).png"
            let pixels = data.images.withPixels(at: place) { [UInt8]($0) }
            try pictures.append(pixels, dataset: "renamed", path: "renamed-\(position).png")
            samples.append(sample)
        }
        try pictures.finish()
        try PreparedData.write(
            samples: samples,
            annotations: [ImageAnnotation](),
            sources: [],
            key: "renamed",
            imageSize: SyntheticData.size,
            to: other
        )
        let renamed = try PreparedData.open(at: other)
        let leaks = split.leaks(of: renamed.indices(split: .test), in: renamed)
        #expect(leaks.count == 16 && leaks.values.allSatisfy { $0 == [.image] })
    }

    @Test func `the file is found beside a run and beside its model`() throws {
        let (run, split) = (folder.file("run"), TrainingSplit(of: data))
        let model = run.appendingPathComponent("model")
        try FileManager.default.createDirectory(at: model, withIntermediateDirectories: true)
        #expect(try TrainingSplit.find(for: run) == nil)
        try split.write(to: run)
        #expect(try TrainingSplit.find(for: run) == split)
        #expect(try TrainingSplit.find(for: model) == nil)
        try Data("{}".utf8).write(to: model.appendingPathComponent("configuration.json"))
        #expect(try TrainingSplit.find(for: model) == split)
    }
}
