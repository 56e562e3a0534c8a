import Testing
import UniMedData
import UniMedImaging
import UniMedImporters

@Suite("Volume phantoms and stacks")
struct VolumePhantomTests {
    private let generator = VolumePhantomGenerator(
        seed: 3,
        configuration: VolumePhantomConfiguration(side: 32, slices: 8...12, trainCount: 30, validationCount: 10)
    )

    @Test func `every box is the exact extent of what is drawn`() throws {
        var lesions = 0
        for index in 0..<generator.count {
            let (samples, annotations) = generator.study(at: index)
            let labels = generator.labels(at: index)
            let image = try #require(samples[0].image)
            let slices = try #require(image.volume?.slices)
            #expect(labels.count == slices * 32 * 32 && annotations.count == slices)
            for sample in samples where sample.task == .referringExpressionComprehension {
                let isLesion = sample.objectName == VolumePhantomGenerator.lesion
                let mask = labels.map { UInt8(isLesion ? ($0 == 3 ? 1 : 0) : ($0 >= 2 ? 1 : 0)) }
                let box = try #require(sample.box3D)
                #expect(box == BoundingBox3D(mask: mask, width: 32, height: 32))
                if isLesion { lesions += 1 }
                // The annotations of the slices are its sections.
                let boxes = annotations.compactMap { annotation in
                    annotation.objects.first { $0.name == sample.objectName }?.box
                }
                #expect(boxes.map(\.xMin).min() == box.box.xMin && boxes.map(\.yMax).max() == box.box.yMax)
                for (slice, annotation) in annotations.enumerated()
                where annotation.objects.contains(where: { $0.name == sample.objectName }) {
                    #expect(box.slices.contains(slice: slice))
                }
            }
        }
        #expect((12...36).contains(lesions))
    }

    @Test func `answers follow from what is drawn, and every class occurs`() throws {
        var answers: Set<String> = []
        for index in 0..<generator.count {
            let (samples, _) = generator.study(at: index)
            let hasLesion = generator.labels(at: index).contains(3)
            for sample in samples {
                #expect(sample.group == generator.path(at: index) && sample.split == generator.split(at: index))
                if sample.task == .visualQuestionAnswering { #expect(sample.answer == (hasLesion ? "yes" : "no")) }
                if sample.task == .imageClassification { answers.insert(sample.answer) }
            }
        }
        #expect(answers == Set(VolumePhantomGenerator.organs))
    }

    @Test func `a volume depends on its number and split alone`() throws {
        var configuration = generator.configuration
        configuration.trainCount = 50
        let more = VolumePhantomGenerator(seed: 3, configuration: configuration)
        #expect(more.labels(at: 7) == generator.labels(at: 7))
        #expect(more.labels(at: 52) == generator.labels(at: 32))
        let image = try #require(generator.study(at: 4).samples[0].image)
        let slice = try #require(generator.renderedSlice(for: image.slicePath(3)))
        #expect(slice == generator.renderedSlice(for: image.slicePath(3)))
        #expect(slice != generator.renderedSlice(for: image.slicePath(4)))
        for path in [image.path, image.slicePath(99), "volume/000040#0000", "other/000004#0000"] {
            #expect(generator.renderedSlice(for: path) == nil)
        }
    }

    @Test func `they are prepared like any other data set`() throws {
        let folder = try MadeFolder()
        let configuration = VolumePhantomConfiguration(side: 32, slices: 4...6, trainCount: 4, validationCount: 2)
        let importer = VolumePhantomImporter(VolumePhantomGenerator(seed: 1, configuration: configuration))
        let data = try DatasetPreparation(importers: [importer], imageSize: 24).prepare(into: folder.file("data")).data
        #expect(data.verify().isEmpty)
        #expect(DataStatistics(data.samples).volumeCount == 6)
        let slices = data.samples.reduce(into: [String: Int]()) { $0[$1.image?.path ?? ""] = $1.image?.volume?.slices }
        #expect(data.images.fileCount == slices.values.reduce(0, +))
        #expect(data.samples.allSatisfy { data.images.positions(of: $0) != nil })
        #expect(data.duplicates().leaks.isEmpty)
    }

    /// An importer of two volumes, one of which has a slice that cannot be read.
    private struct Broken: DatasetImporter {
        static let name = "broken"
        static let version = 1
        let dataset = "broken"
        let settings: [String: String] = [:]
        let stack: VolumeStack

        func sourceFiles() -> [SourceFile] { [] }

        func importSamples(report: inout ImportReport) -> ImportedDataset {
            var result = ImportedDataset()
            for name in ["whole", "broken"] {
                var image = stack.reference
                image.path = name
                report.found(1, "image")
                report.imported(1, "image")
                report.found(1, "cls")
                report.imported(1, "cls")
                result.samples.append(
                    Sample(
                        id: name,
                        dataset: dataset,
                        split: .train,
                        task: .imageClassification,
                        image: image,
                        question: "Which?",
                        answer: "a"
                    )
                )
                result.annotations += image.pictures.map {
                    ImageAnnotation(dataset: dataset, split: .train, image: $0)
                }
            }
            return result
        }

        func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
            if reference.path == "broken#0001" { throw ImagingError(.malformed, file: reference.path) }
            var own = reference
            let slice = ImageReference.sliceParts(ofPath: reference.path)?.slice ?? 0
            own.path = stack.reference.slicePath(slice)
            return try stack.picture(own)
        }
    }

    private let stack = VolumeStack(
        ImageVolume(
            slices: 3,
            rows: 4,
            columns: 5,
            values: (0..<60).map(Float.init),
            affine: [[-0.7, 0, 0, 0], [0, 0.7, 0, 0], [0, 0, 2.5, 0]]
        ),
        path: "a.nii",
        slicing: VolumeSlicing(window: .level(center: 30, width: 60))
    )

    @Test func `a stack says its size, spacing and axis, and gives its slices`() throws {
        #expect(
            stack.reference
                == ImageReference(
                    path: "a.nii",
                    width: 5,
                    height: 4,
                    volume: VolumeReference(slices: 3, spacing: 2.5, axis: .axial)
                )
        )
        let coronal = VolumeStack(stack.volume, path: "a.nii", slicing: VolumeSlicing(axis: .rows)).reference
        #expect(coronal.volume == VolumeReference(slices: 4, spacing: 0.7, axis: .coronal) && coronal.height == 3)
        let sagittal = VolumeStack(stack.volume, path: "a.nii", slicing: VolumeSlicing(axis: .columns)).reference
        #expect(sagittal.volume?.axis == .sagittal)
        let picture = try stack.picture(stack.reference.pictures[1])
        #expect(picture == stack.slicing.pictures(of: stack.volume)[1])
        for path in ["a.nii", "b.nii#0001", "a.nii#0003"] {
            #expect(throws: ImagingError.self) {
                try stack.picture(ImageReference(path: path, width: 5, height: 4))
            }
        }
    }

    @Test func `a volume with a slice that cannot be read is left out and counted once`() throws {
        let folder = try MadeFolder()
        let preparation = try DatasetPreparation(importers: [Broken(stack: stack)], imageSize: 8)
        let data = try preparation.prepare(into: folder.file("data")).data
        #expect(data.samples.map(\.id) == ["whole"])
        #expect(data.annotations.count == 3)
        let report = try #require(data.manifest.sources.first?.report)
        #expect(report.isBalanced && report.tallies["image"]?.skippedCount == 1)
        #expect(report.tallies["cls"]?.skippedCount == 1)
    }
}
