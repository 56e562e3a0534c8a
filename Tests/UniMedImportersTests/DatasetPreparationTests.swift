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
        for name in [
            "samples.jsonl", "annotations.jsonl", "images.json", "images.index", "images-00000.bin", "manifest.json",
        ] {
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

    /// Twelve pictures, of which one does not decode and two are equal, in files of two pictures.
    private func layOutMany(_ folder: MadeFolder) throws {
        for number in 0..<12 {
            let id = String(format: "%02d", number)
            let pixels = (0..<600).map { UInt8(truncatingIfNeeded: $0 * (number == 7 ? 4 : number + 1)) }
            let picture = Data(try PNGEncoder.encode(RGBImage(width: 20, height: 10, pixels: pixels)))
            try folder.write(number == 5 ? picture.prefix(45) : picture, to: "voc/JPEGImages/\(id).png")
            try folder.write(
                "<annotation><object><name>WBC</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax>"
                    + "<ymax>6</ymax></bndbox></object></annotation>",
                to: "voc/Annotations/\(id).xml"
            )
        }
    }

    private func preparationOfMany(_ folder: MadeFolder, threadCount: Int = 2) throws -> DatasetPreparation {
        let importer = try ImporterRegistry.standard.entry(named: "bccd").importer(root: folder.file("voc"))
        return try DatasetPreparation(
            importers: [importer],
            imageSize: 8,
            threadCount: threadCount,
            shardByteCount: 2 * 8 * 8 * 3
        )
    }

    /// The bytes of every file of a folder.
    private func contents(_ folder: URL) throws -> [String: Data] {
        var contents: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            contents[name] = try Data(contentsOf: folder.appendingPathComponent(name))
        }
        return contents
    }

    /// What differs when a file of pictures is written again.
    private func identity(of folder: URL, file number: Int) throws -> [Int] {
        var status = stat()
        let path = folder.appendingPathComponent("images-0000\(number).bin").path
        try #require(stat(path, &status) == 0, "\(path)")
        return [Int(status.st_ino), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    }

    /// The folder in making beside a destination.
    private func unfinished(_ folder: MadeFolder) throws -> URL {
        folder.file(try #require(folder.names.first { $0.hasPrefix(".out.partial-") }))
    }

    @Test(arguments: 0...11)
    func `interrupted after any picture, it ends with the same bytes and does finished files once`(count: Int) throws {
        let folder = try MadeFolder()
        try layOutMany(folder)
        _ = try preparationOfMany(folder, threadCount: 1).prepare(into: folder.file("whole"))
        let whole = try contents(folder.file("whole"))
        #expect(whole.keys.filter { $0.hasSuffix(".bin") }.count == 5)
        #expect(!whole.keys.contains("images-00000.json"))

        var done = 0
        let error = importError {
            _ = try preparationOfMany(folder).prepare(
                into: folder.file("out"),
                progress: { if $0.stage == .pictures { done = max(done, $0.done) } },
                isCancelled: { done >= count }
            )
        }
        #expect(error?.cause.kind == .cancelled)
        #expect(!folder.names.contains("out"))
        // Eleven files give ten different pictures; the sixth file does not decode, the eighth is equal to the fourth.
        let finished = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4][count]
        var begin = -1
        let kept = try (0..<finished).map { try identity(of: unfinished(folder), file: $0) }
        let outcome = try preparationOfMany(folder).prepare(into: folder.file("out")) { step in
            if step.stage == .pictures, begin < 0 { begin = step.done }
        }
        #expect(begin == [0, 2, 4, 7, 10][finished])
        #expect(!outcome.wasReused && outcome.data.verify() == [])
        #expect(try contents(folder.file("out")) == whole)
        for (number, file) in kept.enumerated() {
            #expect(try identity(of: folder.file("out"), file: number) == file)
        }
        #expect(folder.names == ["out", "voc", "whole"])
    }

    @Test func `what a kill leaves half-written or damaged is done again`() throws {
        let folder = try MadeFolder()
        try layOutMany(folder)
        _ = try preparationOfMany(folder).prepare(into: folder.file("whole"))
        let whole = try contents(folder.file("whole"))
        func interrupt() throws -> URL {
            var done = 0
            _ = importError {
                _ = try preparationOfMany(folder).prepare(
                    into: folder.file("out"),
                    progress: { if $0.stage == .pictures { done = $0.done } },
                    isCancelled: { done >= 9 }
                )
            }
            return try unfinished(folder)
        }
        let damages: [(String, (URL) throws -> Void, Int)] = [
            ("a part of a file", { try Data("x".utf8).write(to: $0.appendingPathComponent(".images-3.x.partial")) }, 7),
            (
                "a file without its checkpoint",
                { try FileManager.default.removeItem(at: $0.appendingPathComponent("images-00002.json")) }, 4
            ),
            (
                "a checkpoint without its file",
                { try FileManager.default.removeItem(at: $0.appendingPathComponent("images-00001.bin")) }, 2
            ),
            ("a cut file", { try Data(count: 17).write(to: $0.appendingPathComponent("images-00001.bin")) }, 2),
            (
                "a file with other bytes",
                { try Data(count: 384).write(to: $0.appendingPathComponent("images-00000.bin")) }, 0
            ),
            ("a cut checkpoint", { try Data("{".utf8).write(to: $0.appendingPathComponent("images-00001.json")) }, 2),
        ]
        for (name, damage, expected) in damages {
            try damage(try interrupt())
            var begin = -1
            _ = try preparationOfMany(folder).prepare(into: folder.file("out")) { step in
                if step.stage == .pictures, begin < 0 { begin = step.done }
            }
            #expect(begin == expected, "\(name)")
            #expect(try contents(folder.file("out")) == whole, "\(name)")
            try folder.remove("out")
        }
    }

    @Test func `a folder in making of other data is removed, one that somebody works in is waited for`() throws {
        let folder = try MadeFolder()
        try layOutMany(folder)
        try folder.write("old", to: ".out.partial-0123456789abcdef/images-00000.bin")
        let preparation = try preparationOfMany(folder)
        let key = try preparation.key()
        let name = ".out.partial-\(key.prefix(16))"
        try folder.write("mine", to: "\(name)/images-00000.bin")
        let descriptor = open(folder.file(name).path, O_RDONLY | O_DIRECTORY)
        try #require(descriptor >= 0 && flock(descriptor, LOCK_EX) == 0)
        var asked = 0
        let error = importError {
            _ = try preparation.prepare(
                into: folder.file("out"),
                isCancelled: {
                    asked += 1
                    return asked > 3
                }
            )
        }
        #expect(error?.cause.kind == .cancelled)
        #expect(try String(contentsOf: folder.file("\(name)/images-00000.bin"), encoding: .utf8) == "mine")
        #expect(folder.names == [name, "voc"])
        close(descriptor)
        #expect(try preparation.prepare(into: folder.file("out")).data.verify() == [])
        #expect(folder.names == ["out", "voc"])
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
