import Foundation
import Testing
import UniMedData

@Suite("Volumes")
struct VolumeTests {
    private let volume = ImageReference(
        path: "ct/7.nii.gz",
        width: 100,
        height: 80,
        volume: VolumeReference(slices: 40, spacing: 2.5, axis: .axial)
    )

    // MARK: Records

    @Test func `records of before there were volumes are read, and written as they were`() throws {
        let old = #"{"path":"a.png","width":3,"height":2}"#
        let image = try JSONDecoder().decode(ImageReference.self, from: Data(old.utf8))
        #expect(image == ImageReference(path: "a.png", width: 3, height: 2))
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        #expect(String(decoding: try encoder.encode(image), as: UTF8.self) == #"{"height":2,"path":"a.png","width":3}"#)
        let sample = try encoder.encode(makeSample("1"))
        #expect(!String(decoding: sample, as: UTF8.self).contains("boxSlices"))
        let again = try JSONDecoder().decode(ImageReference.self, from: encoder.encode(volume))
        #expect(again == volume)
    }

    @Test func `slices have paths of their own that lead back to the volume`() throws {
        #expect(volume.slicePath(12) == "ct/7.nii.gz#0012")
        #expect(volume.pictures.count == 40 && volume.pictures[39].path == "ct/7.nii.gz#0039")
        #expect(volume.pictures.allSatisfy { $0.volume == nil && $0.width == 100 && $0.height == 80 })
        for slice in [0, 9999, 12_345] {
            let parts = try #require(ImageReference.sliceParts(ofPath: volume.slicePath(slice)))
            #expect(parts.path == volume.path && parts.slice == slice)
        }
        for path in ["a.png", "a#1.png", "a#12", "a#00x2", "a#"] {
            #expect(ImageReference.sliceParts(ofPath: path) == nil)
        }
        let image = ImageReference(path: "a.png", width: 1, height: 1)
        #expect(image.pictures == [image])
    }

    private func prepared(_ folder: TemporaryFolder, _ samples: [Sample], brightness: [String: [UInt8]]) throws
        -> PreparedData
    {
        var writer = ImageShardWriter(folder: folder.url, size: 16)
        for (path, values) in brightness.sorted(by: { $0.key < $1.key }) {
            let stack = ImageReference(path: path, width: 16, height: 16, volume: VolumeReference(slices: values.count))
            for (picture, value) in zip(stack.pictures, values) {
                let pixels = (0..<16 * 16 * 3).map { $0 / 3 % 16 < 8 ? value : UInt8(0) }
                try writer.append(pixels, dataset: "made", path: picture.path)
            }
        }
        try writer.finish()
        try PreparedData.write(samples: samples, annotations: [], sources: [], key: "k", imageSize: 16, to: folder.url)
        return try PreparedData.open(at: folder.url)
    }

    private func sample(_ id: String, _ path: String, split: Split = .train, slices: Int = 3) -> Sample {
        var sample = makeSample(id, split: split)
        sample.image = ImageReference(path: path, width: 16, height: 16, volume: VolumeReference(slices: slices))
        return sample
    }

    @Test func `prepared data hold a volume's slices in order, equal ones once`() throws {
        let folder = try TemporaryFolder()
        let data = try prepared(folder, [sample("1", "a")], brightness: ["a": [10, 200, 10]])
        #expect(data.images.count == 2)
        let positions = try #require(data.images.positions(of: data.samples[0]))
        #expect(positions.map { data.images.pixels(at: $0)[0] } == [10, 200, 10])
        #expect(data.images.position(of: data.samples[0]) == nil)
        #expect(data.verify().isEmpty)
        #expect(DataStatistics(data.samples).volumeCount == 1)
        #expect(DataStatistics(data.samples).table().hasSuffix("1 samples, 1 images, 1 of them volumes\n"))
    }

    @Test func `a volume that lacks a slice, and a box that leaves the volume, are found`() throws {
        let folder = try TemporaryFolder()
        var lacking = sample("1", "a", slices: 4)
        lacking.objectName = "liver"
        var outside = sample("2", "a")
        outside.task = .referringExpressionComprehension
        outside.answer = ""
        outside.objectName = "liver"
        outside.box = BoundingBox(xMin: 1, yMin: 1, xMax: 4, yMax: 4)
        func kinds(_ range: SliceRange?) throws -> [DataFinding.Kind] {
            outside.boxSlices = range
            try? FileManager.default.removeItem(at: folder.url)
            try FileManager.default.createDirectory(at: folder.url, withIntermediateDirectories: true)
            return try prepared(folder, [lacking, outside], brightness: ["a": [1, 100, 200]]).verify().map(\.kind)
        }
        #expect(try kinds(SliceRange(0...2)) == [.missingImage])
        #expect(try kinds(SliceRange(0...3)) == [.missingImage, .badBox])
        #expect(try kinds(SliceRange(start: 2, end: 2)) == [.missingImage, .badBox])
        #expect(try kinds(nil) == [.missingImage, .badBox])
        var flat = makeSample("3", box: BoundingBox(xMin: 1, yMin: 1, xMax: 4, yMax: 4))
        flat.boxSlices = SliceRange(0...1)
        #expect(flat.sliceProblem != nil)
    }

    @Test func `volumes leak when all of their slices are the same, not when some are`() throws {
        let folder = try TemporaryFolder()
        let samples = [
            sample("1", "a"), sample("2", "b", split: .test), sample("3", "c", split: .test),
        ]
        let data = try prepared(
            folder,
            samples,
            brightness: ["a": [0, 100, 200], "b": [0, 100, 200], "c": [0, 200, 100]]
        )
        let report = data.duplicates(options: DuplicateOptions(hashDistance: 0, meanDifference: 0))
        #expect(report.clusters.map(\.images) == [["made/a", "made/b"]])
        #expect(report.leakCount(.equalPicture) == 1)
    }

    // MARK: Boxes

    @Test func `a box of six numbers is written and read in both styles`() throws {
        let box = NormalizedBox3D(box: NormalizedBox(xMin: 16, yMin: 36, xMax: 42, yMax: 61), zMin: 5, zMax: 100)
        #expect(box.text() == "{<16><36><42><61><5><100>}")
        #expect(box.text(.paper) == "<16><36><42><61><5><100>")
        for text in [box.text(), box.text(.paper), "it is at < 16 ><36> <42><61><5><100>."] {
            #expect(NormalizedBox3D(parsing: text) == box)
        }
        #expect(NormalizedBox3D(parsing: box.text(), search: .publishedCode) == box)
        #expect(NormalizedBox3D(parsing: box.text(.paper), search: .publishedCode) == nil)
        #expect(NormalizedBox3D(parsing: "{<16><36><42><61>}") == nil)
        // A reader of pictures takes no box of volumes in the published form.
        #expect(NormalizedBox(parsing: box.text(), search: .publishedCode) == nil)
    }

    @Test func `voxels and hundredths lead back to each other`() throws {
        var generator = SeededGenerator(seed: 4)
        for _ in 0..<200 {
            let size = (
                generator.integer(in: 10...600), generator.integer(in: 10...600), generator.integer(in: 2...300)
            )
            let first = generator.integer(below: size.2)
            let last = generator.integer(in: first...(size.2 - 1))
            let box = BoundingBox3D(
                box: BoundingBox(xMin: 1, yMin: 2, xMax: Double(size.0) - 3, yMax: Double(size.1) - 4),
                slices: SliceRange(first...last)
            )
            let normalized = NormalizedBox3D(box, width: size.0, height: size.1, slices: size.2)
            #expect((0...100).contains(normalized.zMin) && (0...100).contains(normalized.zMax))
            let back = normalized.voxels(width: size.0, height: size.1, slices: size.2)
            // Truncation to hundredths.
            let step = Double(size.2) / 100 + 1e-9
            #expect(back.slices.start <= box.slices.start + 1e-9 && box.slices.start - back.slices.start < step)
            #expect(back.slices.end <= box.slices.end + 1e-9 && box.slices.end - back.slices.end < step)
        }
    }

    @Test func `a box says the same of the chosen slices as of all`() throws {
        let range = SliceRange(10...19)
        let normalized = NormalizedBox3D(
            BoundingBox3D(box: BoundingBox(xMin: 0, yMin: 0, xMax: 50, yMax: 40), slices: range),
            width: 100,
            height: 80,
            slices: 40
        )
        let reference = try #require(volume.volume)
        let chosen = SliceSelection(count: 8).slices(weights: [Double](repeating: 1, count: 40))
        for slice in chosen {
            let place = SlicePosition(slice: slice, of: reference).relative * 100
            let isInside = place > Double(normalized.zMin) && place < Double(normalized.zMax)
            #expect(range.contains(slice: slice) == isInside)
        }
        #expect(chosen.count { range.contains(slice: $0) } == 2)
    }

    @Test func `the box around a mask ends behind its last slice`() throws {
        var mask = [UInt8](repeating: 0, count: 4 * 3 * 5)
        mask[1 * 15 + 1 * 5 + 2] = 1
        mask[2 * 15 + 2 * 5 + 3] = 9
        let box = try #require(BoundingBox3D(mask: mask, width: 5, height: 3))
        #expect(box.box == BoundingBox(xMin: 2, yMin: 1, xMax: 4, yMax: 3))
        #expect(box.slices == SliceRange(1...2) && box.volume == 8)
        #expect(BoundingBox3D(mask: [UInt8](repeating: 0, count: 30), width: 5, height: 3) == nil)
    }

    // MARK: Slices

    @Test func `even slices are the middles of equal parts`() {
        let selection = SliceSelection(count: 4)
        #expect(selection.slices(weights: [Double](repeating: 1, count: 8)) == [1, 3, 5, 7])
        #expect(selection.slices(weights: [Double](repeating: 1, count: 12)) == [1, 4, 7, 10])
        #expect(selection.slices(weights: [Double](repeating: 1, count: 3)) == [0, 1, 2])
        #expect(selection.slices(weights: [5, 1, 1, 1]) == [0, 1, 2, 3])
        #expect(SliceSelection(count: 1).slices(weights: [Double](repeating: 1, count: 9)) == [4])
    }

    @Test func `every selection is ascending, without repetition and of the wanted number`() {
        var seeds = SeededGenerator(seed: 9)
        for _ in 0..<200 {
            let weights = (0..<seeds.integer(in: 1...70)).map { _ in seeds.uniform() < 0.1 ? 50 : seeds.uniform() + 1e-3
            }
            for choice in SliceSelection.Choice.allCases {
                let selection = SliceSelection(count: seeds.integer(in: 1...20), choice: choice)
                var generator: SeededGenerator? = SeededGenerator(seed: seeds.next())
                for chosen in [
                    selection.slices(weights: weights), selection.slices(weights: weights, generator: &generator),
                ] {
                    #expect(chosen.count == min(selection.count, weights.count))
                    #expect(zip(chosen, chosen.dropFirst()).allSatisfy { $0 < $1 })
                    #expect(chosen.allSatisfy(weights.indices.contains))
                }
            }
        }
    }

    @Test func `jitter stays in each slice's part and follows from the seed`() {
        let weights = [Double](repeating: 1, count: 40)
        let selection = SliceSelection(count: 8)
        var seen: Set<[Int]> = []
        for seed in 0..<20 {
            var generator: SeededGenerator? = SeededGenerator(seed: UInt64(seed))
            var again: SeededGenerator? = SeededGenerator(seed: UInt64(seed))
            let chosen = selection.slices(weights: weights, generator: &generator)
            #expect(chosen == selection.slices(weights: weights, generator: &again))
            for (part, slice) in chosen.enumerated() { #expect((part * 5..<part * 5 + 5).contains(slice)) }
            seen.insert(chosen)
        }
        #expect(seen.count > 15)
    }

    @Test func `content chooses where something is to be seen, and nowhere none`() throws {
        let folder = try TemporaryFolder()
        // Forty slices, black but for ten that differ.
        let brightness = (0..<40).map { (20..<30).contains($0) ? UInt8(100 + ($0 % 2) * 100) : 0 }
        let data = try prepared(folder, [sample("1", "a", slices: 40)], brightness: ["a": brightness])
        let positions = try #require(data.images.positions(of: data.samples[0]))
        let selection = SliceSelection(count: 12, choice: .content)
        let weights = data.images.sliceWeights(at: positions, for: selection)
        #expect(abs(weights.reduce(0, +) - 1) < 1e-9 && weights.allSatisfy { $0 > 0 })
        let chosen = selection.slices(weights: weights)
        let even = SliceSelection(count: 12).slices(weights: weights)
        let range = SliceRange(20...29)
        #expect(chosen.count { range.contains(slice: $0) } > even.count { range.contains(slice: $0) })
        #expect(chosen.count { range.contains(slice: $0) } >= 7)
        #expect(chosen.contains { $0 < 20 } && chosen.contains { $0 >= 30 })
        #expect(selection.slices(weights: data.images.sliceWeights(at: positions, for: selection)) == chosen)
    }

    @Test func `positions are centres of slices`() {
        let reference = VolumeReference(slices: 10, spacing: 3)
        #expect(SlicePosition(slice: 0, of: reference) == SlicePosition(relative: 0.05, millimetres: 1.5))
        #expect(SlicePosition(slice: 9, of: reference) == SlicePosition(relative: 0.95, millimetres: 28.5))
        #expect(SlicePosition(slice: 4, of: VolumeReference(slices: 10)).millimetres == 4.5)
    }
}
