import Foundation
import Testing
import UniMedData
import UniMedImaging
import UniMedImporters

@Suite("Preparation of data")
struct DatasetPreparationTests {
    /// Lays out blood cells and questions in miniature: four images, two of which are equal.
    private func layOut(_ folder: MadeFolder) throws {
        for (number, id) in ["a", "b", "c", "d"].enumerated() {
            try folder.writePicture("voc/JPEGImages/\(id).png", value: UInt8(number / 2))
            try folder.write(
                "<annotation><object><name>WBC</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax>"
                    + "<ymax>6</ymax></bndbox></object></annotation>",
                to: "voc/Annotations/\(id).xml"
            )
        }
        try folder.write(
            #"{"1":{"QUESTION":"Is it?","final_decision":"yes"},"2":{"QUESTION":"Was it?","final_decision":"no"}}"#,
            to: "qa/ori_pqal.json"
        )
    }

    private func preparation(
        _ folder: MadeFolder,
        imageSize: Int = 8,
        threadCount: Int = 2,
        options: ImportOptions = ImportOptions(validationFraction: 0)
    ) throws -> DatasetPreparation {
        let registry = ImporterRegistry.standard
        return try DatasetPreparation(
            importers: [
                registry.entry(named: "bccd").importer(root: folder.file("voc"), options: options),
                registry.entry(named: "pubmedqa").importer(root: folder.file("qa"), options: options),
            ],
            imageSize: imageSize,
            threadCount: threadCount
        )
    }

    @Test func `samples, annotations and pictures of all data sets come together`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        var steps: [PreparationProgress] = []
        let outcome = try preparation(folder).prepare(into: folder.file("out/prepared")) { steps.append($0) }
        #expect(!outcome.wasReused)
        let data = outcome.data
        #expect(data.samples.count == 4 * 3 + 2 && data.annotations.count == 4)
        #expect(data.images.size == 8 && data.images.count == 2 && data.images.fileCount == 4)
        #expect(data.verify() == [])
        let position = try #require(data.images.position(dataset: "bccd", path: "JPEGImages/c.png"))
        #expect(data.images.withPixels(at: position) { Array($0) } == [UInt8](repeating: 1, count: 192))
        #expect(data.manifest.sources.map(\.dataset) == ["bccd", "pubmedqa"])
        #expect(data.manifest.sources.map(\.importer) == ["pascal-voc", "pubmedqa"])
        #expect(data.manifest.sources.map(\.report.isBalanced) == [true, true])
        #expect(steps.first == PreparationProgress(stage: .importing, done: 0, total: 2))
        #expect(steps.last == PreparationProgress(stage: .pictures, done: 4, total: 4))
        let out = try FileManager.default.contentsOfDirectory(atPath: folder.file("out").path)
        #expect(out == ["prepared"])
    }

    @Test func `pictures are those of the reference's resizing`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        let picture = RGBImage(width: 20, height: 10, pixels: (0..<600).map { UInt8(truncatingIfNeeded: $0 * 37) })
        try folder.write(Data(try PNGEncoder.encode(picture)), to: "voc/JPEGImages/a.png")
        let data = try preparation(folder).prepare(into: folder.file("out")).data
        let position = try #require(data.images.position(dataset: "bccd", path: "JPEGImages/a.png"))
        let expected = PillowResizer.resize(picture, width: 8, height: 8).pixels
        #expect(data.images.withPixels(at: position) { Array($0) } == expected)
    }

    @Test func `unchanged data are reused, whatever the number of threads`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        let first = try preparation(folder).prepare(into: folder.file("out"))
        let again = try preparation(folder, threadCount: 1).prepare(into: folder.file("out"))
        #expect(again.wasReused && again.data.key == first.data.key)
        let elsewhere = try preparation(folder, threadCount: 1).prepare(into: folder.file("other"))
        for name in ["samples.jsonl", "annotations.jsonl", "images.json", "images-00000.bin", "manifest.json"] {
            #expect(
                try Data(contentsOf: folder.file("out/\(name)")) == Data(contentsOf: folder.file("other/\(name)")),
                "\(name)"
            )
        }
        #expect(!elsewhere.wasReused)
    }

    @Test func `anything that the result depends on changes the key`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        let key = try preparation(folder).key()
        #expect(try preparation(folder).key() == key)
        #expect(try preparation(folder, imageSize: 9).key() != key)
        #expect(try preparation(folder, options: ImportOptions(validationFraction: 0.5)).key() != key)
        #expect(try preparation(folder, options: ImportOptions(validationFraction: 0, seed: 1)).key() != key)
        let renamed = ImportOptions(validationFraction: 0, objectNames: ["WBC": "cell"])
        #expect(try preparation(folder, options: renamed).key() != key)
        try folder.writePicture("voc/JPEGImages/e.png")
        let grown = try preparation(folder).key()
        #expect(grown != key)
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1)],
            ofItemAtPath: folder.file("voc/Annotations/a.xml").path
        )
        #expect(try preparation(folder).key() != grown)
    }

    @Test func `changed sources and damaged data are prepared again`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        _ = try preparation(folder).prepare(into: folder.file("out"))
        try folder.remove("voc/Annotations/d.xml")
        let changed = try preparation(folder).prepare(into: folder.file("out"))
        #expect(!changed.wasReused && changed.data.annotations.count == 3)
        try folder.write("damaged", to: "out/samples.jsonl")
        let repaired = try preparation(folder).prepare(into: folder.file("out"))
        #expect(!repaired.wasReused && repaired.data.verify() == [])
        try folder.write("damaged", to: "out/manifest.json")
        #expect(try !preparation(folder).prepare(into: folder.file("out")).wasReused)
        #expect(folder.names == ["out", "qa", "voc"])
    }

    @Test func `a picture that does not decode is left out with all that needs it, and counted`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        let whole = try Data(contentsOf: folder.file("voc/JPEGImages/b.png"))
        // The header is whole, so that only decoding finds the damage.
        try folder.write(whole.prefix(45), to: "voc/JPEGImages/b.png")
        let data = try preparation(folder).prepare(into: folder.file("out")).data
        #expect(data.annotations.count == 3 && data.samples.count == 3 * 3 + 2)
        #expect(data.verify() == [])
        let report = data.manifest.sources[0].report
        #expect(report.isBalanced)
        for kind in ["image", "rec", "reg", "vqa count WBC"] {
            #expect(report.tallies[kind]?.found == 4)
            #expect(report.tallies[kind]?.imported == 3, "\(kind)")
            #expect(report.tallies[kind]?.skipped.keys.first?.hasPrefix("the image cannot be read") == true)
        }
    }

    @Test func `a folder with something else in it is not overwritten`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        try folder.write("mine", to: "out/thesis.txt")
        let error = try #require(importError { _ = try preparation(folder).prepare(into: folder.file("out")) })
        #expect(error.description.contains("holds something else than prepared data"))
        #expect(try String(contentsOf: folder.file("out/thesis.txt"), encoding: .utf8) == "mine")
        try folder.write("a file", to: "taken")
        let taken = try #require(importError { _ = try preparation(folder).prepare(into: folder.file("taken")) })
        #expect(taken.description.contains("expected a folder to write into, found a file"))
        try FileManager.default.createDirectory(at: folder.file("empty"), withIntermediateDirectories: true)
        #expect(try preparation(folder).prepare(into: folder.file("empty")).data.samples.count == 14)
    }

    @Test func `a place that cannot be written leaves nothing behind`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        try folder.write("a file", to: "taken")
        let target = folder.file("taken/out")
        let error = try #require(importError { _ = try preparation(folder).prepare(into: target) })
        #expect(error.cause.kind == .fileSystem)
        #expect(error.description.contains(folder.file("taken").path))
        #expect(folder.names == ["qa", "taken", "voc"])
    }

    @Test func `data sets without a usable sample, empty and missing folders are errors`() throws {
        let folder = try MadeFolder()
        try folder.write(#"{"1":{"QUESTION":"","final_decision":"yes"}}"#, to: "qa/ori_pqal.json")
        let entry = try ImporterRegistry.standard.entry(named: "pubmedqa")
        let nothing = try DatasetPreparation(importers: [entry.importer(root: folder.file("qa"))])
        let error = try #require(importError { _ = try nothing.prepare(into: folder.file("out")) })
        #expect(error.description == "no sample could be imported: pubmedqa: 1 qa skipped, no question")
        #expect(folder.names == ["qa"])
        let missing = try DatasetPreparation(importers: [entry.importer(root: folder.file("none"))])
        #expect(importError { _ = try missing.prepare(into: folder.file("out")) }?.cause.kind == .missing)
    }

    @Test func `contradictory descriptions of a preparation are refused by field`() throws {
        let folder = try MadeFolder()
        let registry = ImporterRegistry.standard
        let importer = try registry.entry(named: "medqa").importer(root: folder.url)
        #expect(importError { _ = try DatasetPreparation(importers: []) }?.cause.field == "data")
        #expect(importError { _ = try DatasetPreparation(importers: [importer, importer]) }?.cause.field == "dataset")
        #expect(
            importError { _ = try DatasetPreparation(importers: [importer], imageSize: 0) }?.cause.field == "imageSize"
        )
        #expect(
            importError { _ = try DatasetPreparation(importers: [importer], threadCount: 0) }?.cause.field
                == "threadCount"
        )
        let error = try #require(importError { _ = try registry.entry(named: "medpics") })
        #expect(error.description.contains("no importer is called 'medpics'; there are pubmedqa, medqa, medpix"))
        for options in [
            ImportOptions(validationFraction: -0.1), ImportOptions(validationFraction: .nan),
            ImportOptions(validationFraction: 0.6, testFraction: 0.6), ImportOptions(dataset: "a/b"),
        ] {
            #expect(
                importError { _ = try registry.entry(named: "medqa").importer(root: folder.url, options: options) }
                    != nil
            )
        }
    }

    // Skipped where the real data are not there.
    @Test(.enabled(if: ["medpix2", "bccd", "pubmedqa", "medqa"].allSatisfy(RealData.has)))
    func `the real data sets prepare without a loss and verify without an error`() throws {
        let folder = try MadeFolder()
        let importers = try [("medpix", "medpix2"), ("bccd", "bccd"), ("pubmedqa", "pubmedqa"), ("medqa", "medqa")]
            .map { name, path in
                try ImporterRegistry.standard.entry(named: name).importer(
                    root: RealData.root.appendingPathComponent(path)
                )
            }
        let preparation = try DatasetPreparation(importers: importers)
        let data = try preparation.prepare(into: folder.file("out")).data
        #expect(data.images.fileCount == 892)
        #expect(data.annotations.count == 892)
        #expect(data.verify().filter { $0.severity == .error } == [])
        #expect(try preparation.prepare(into: folder.file("out")).wasReused)
    }
}
