import Foundation
import Testing
import UniMedData

@Suite("Duplicates and leaks")
struct DuplicateTests {
    private static let size = 64

    /// A smooth picture that its seed decides: a few waves of random direction.
    private func picture(_ seed: UInt64, brightness: Double = 0, noise: Int = 0) -> [UInt8] {
        var generator = SeededGenerator.derived(from: seed, label: "waves")
        let waves = (0..<6).map { _ in
            (
                x: generator.uniform(in: -0.2..<0.2), y: generator.uniform(in: -0.2..<0.2),
                phase: generator.uniform(in: 0..<6.28)
            )
        }
        return (0..<Self.size * Self.size).flatMap { index -> [UInt8] in
            let (y, x) = index.quotientAndRemainder(dividingBy: Self.size)
            let sum = waves.reduce(0) { $0 + sin($1.x * Double(x) + $1.y * Double(y) + $1.phase) }
            let value = 128 + 18 * sum + brightness + Double(noise == 0 ? 0 : generator.integer(in: -noise...noise))
            return [UInt8](repeating: UInt8(min(max(value, 0), 255)), count: 3)
        }
    }

    private func hash(_ pixels: [UInt8]) -> PictureHash {
        pixels.withUnsafeBytes { PictureHash(pixels: $0, size: Self.size) }
    }

    private func prepare(
        _ folder: URL,
        _ pictures: [(name: String, pixels: [UInt8], split: Split, group: String)]
    ) throws -> PreparedData {
        var writer = ImageShardWriter(folder: folder, size: Self.size)
        for picture in pictures { try writer.append(picture.pixels, dataset: "made", path: picture.name) }
        try writer.finish()
        try PreparedData.write(
            samples: pictures.map { makeSample($0.name, split: $0.split, group: $0.group, image: $0.name) },
            annotations: [],
            sources: [],
            key: "key",
            imageSize: Self.size,
            to: folder
        )
        return try PreparedData.open(at: folder)
    }

    @Test func `a hash hardly changes with noise and brightness, and much with the picture`() {
        for seed in 0..<20 as Range<UInt64> {
            let original = hash(picture(seed))
            #expect(original.distance(to: hash(picture(seed, brightness: 2, noise: 1))) <= 10)
            #expect(original.distance(to: hash(picture(seed + 100))) > 10)
        }
        #expect(hash([UInt8](repeating: 9, count: Self.size * Self.size * 3)).bits == 0)
    }

    @Test func `equal and near pictures and shared groups in two splits are leaks`() throws {
        let folder = try TemporaryFolder()
        let data = try prepare(
            folder.url,
            [
                ("a", picture(1), .train, "p1"), ("b", picture(1), .test, "p2"),
                ("c", picture(2), .train, "p3"), ("d", picture(2, brightness: 1), .validation, "p4"),
                ("e", picture(3), .train, "p5"), ("f", picture(3, brightness: 1), .train, "p6"),
                ("g", picture(4), .train, "p7"), ("h", picture(5), .test, "p7"),
            ]
        )
        let report = data.duplicates()
        #expect(report.pictureCount == 7)
        #expect(report.clusters.map(\.images) == [["made/a", "made/b"], ["made/c", "made/d"], ["made/e", "made/f"]])
        #expect(report.clusters.map(\.likeness) == [.equal, .near, .near] && report.surplusCount == 3)
        #expect(report.leaks.map(\.kind) == [.equalPicture, .nearPicture, .group])
        #expect(report.leaks.map(\.splits) == [[.train, .test], [.train, .validation], [.train, .test]])
        #expect(report.leaks[2].subjects == ["made/p7"])
        #expect(report.text(names: true).contains("group in train and test: made/p7"))
        #expect(!report.text().contains("made/"))
    }

    @Test func `pictures with equal hashes that look different are not the same`() throws {
        let folder = try TemporaryFolder()
        let even = { (value: UInt8) in [UInt8](repeating: value, count: Self.size * Self.size * 3) }
        let data = try prepare(
            folder.url,
            [("a", even(0), .train, "1"), ("b", even(20), .test, "2"), ("c", even(22), .validation, "3")]
        )
        #expect(data.duplicates().clusters.map(\.images) == [["made/b", "made/c"]])
        #expect(data.duplicates(options: DuplicateOptions(meanDifference: 1)).clusters == [])
    }

    @Test func `every near pair is found, whichever bits differ`() throws {
        let folder = try TemporaryFolder()
        // Pictures of one cosine pattern with more or less noise: clusters must be those of comparing each with each.
        var pictures: [(name: String, pixels: [UInt8], split: Split, group: String)] = []
        for seed in 0..<8 as Range<UInt64> {
            for copy in 0..<4 {
                let pixels = picture(seed, brightness: Double(copy) / 2, noise: copy)
                pictures.append(("\(seed)-\(copy)", pixels, .train, "\(seed)"))
            }
        }
        let data = try prepare(folder.url, pictures)
        let hashes = pictures.map { hash($0.pixels) }
        for distance in [0, 1, 3, 5] {
            let found = data.duplicates(
                options: DuplicateOptions(hashDistance: distance, meanDifference: 255)
            ).clusters
            var labels = Array(pictures.indices)
            for first in pictures.indices {
                for second in pictures.indices where hashes[first].distance(to: hashes[second]) <= distance {
                    let (old, new) = (labels[second], labels[first])
                    for index in labels.indices where labels[index] == old { labels[index] = new }
                }
            }
            let expected = Dictionary(grouping: pictures.indices, by: { labels[$0] }).values.filter { $0.count > 1 }
                .map { members in members.map { "made/\(pictures[$0].name)" }.sorted() }
                .sorted { $0[0] < $1[0] }
            #expect(found.map(\.images) == expected)
            #expect(distance == 0 || !expected.isEmpty)
        }
    }
}
