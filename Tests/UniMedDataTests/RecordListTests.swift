import Foundation
import Testing
import UniMedData

@Suite("Record list")
struct RecordListTests {
    private static let splits: [Split] = [.train, .train, .validation, .test]

    private func samples(_ count: Int) -> [Sample] {
        (0..<count).map { number in
            let task = MedicalTask.allCases[number % 6]
            var sample = makeSample("\(number)", task: task, split: Self.splits[number % 4], answer: "é \(number)\n")
            if !task.usesImage { sample.image = nil }
            return sample
        }
    }

    private func prepare(_ folder: URL, _ samples: [Sample]) throws -> PreparedData {
        var writer = ImageShardWriter(folder: folder, size: 2)
        try writer.append([UInt8](repeating: 7, count: 12), dataset: "made", path: "a.png")
        try writer.finish()
        try PreparedData.write(samples: samples, annotations: [], sources: [], key: "k", imageSize: 2, to: folder)
        return try PreparedData.open(at: folder)
    }

    @Test func `every record is the one that was written, task and split are known without reading it`() throws {
        let folder = try TemporaryFolder()
        let expected = samples(1000)
        let data = try prepare(folder.url, expected)
        #expect(Array(data.samples) == expected)
        #expect(data.annotations.isEmpty)
        #expect(data.samples.indices.map { data.samples.task(at: $0) } == expected.map(\.task))
        #expect(data.samples.indices.map { data.samples.split(at: $0) } == expected.map(\.split))
        #expect(try Data(contentsOf: folder.file("samples.index")).count == 16 * 1000)
        let chosen = data.samples.selecting(data.indices(split: .validation)).selecting([3, 0])
        #expect(Array(chosen) == [expected[14], expected[2]])
        #expect(chosen.task(at: 0) == expected[14].task && chosen.split(at: 1) == .validation)
    }

    @Test func `a folder without indexes, of an earlier version, is read all the same`() throws {
        let folder = try TemporaryFolder()
        let expected = samples(50)
        var manifest = try prepare(folder.url, expected).manifest
        for name in ["samples.index", "annotations.index"] {
            manifest.digests[name] = nil
            try FileManager.default.removeItem(at: folder.file(name))
        }
        try DataFile.writeJSON(manifest, to: folder.file("manifest.json"))
        let data = try PreparedData.open(at: folder.url)
        #expect(Array(data.samples) == expected)
        #expect(
            data.indices(split: .test, tasks: [.reportGeneration])
                == expected.indices.filter {
                    expected[$0].split == .test && expected[$0].task == .reportGeneration
                }
        )
    }

    @Test func `an index that does not fit its records is refused`() throws {
        let folder = try TemporaryFolder()
        let manifest = try prepare(folder.url, samples(5)).manifest
        let whole = try Data(contentsOf: folder.file("samples.index"))
        var outside = whole
        outside[4 * 16 + 3] = 0x7f
        for bytes in [whole.dropLast(), outside, Data(repeating: 0xff, count: 16)] {
            try bytes.write(to: folder.file("samples.index"))
            #expect(dataError { _ = try PreparedData.open(at: folder.url) }?.file == folder.file("samples.index").path)
            // Also with the right digest.
            var changed = manifest
            changed.digests["samples.index"] = SHA256.hexDigest(of: Array(bytes))
            try DataFile.writeJSON(changed, to: folder.file("manifest.json"))
            let error = dataError { _ = try PreparedData.open(at: folder.url) }
            #expect(error?.kind == .corrupt && error?.file == folder.file("samples.index").path)
            try DataFile.writeJSON(manifest, to: folder.file("manifest.json"))
        }
    }
}
