import Foundation
import Testing
import UniMedData

@Suite("Image shards")
struct ImageShardsTests {
    private func picture(_ value: UInt8, size: Int = 4) -> [UInt8] {
        (0..<size * size * 3).map { UInt8(truncatingIfNeeded: Int(value) + $0) }
    }

    private func write(_ folder: URL, count: Int = 5, shardByteCount: Int = 100) throws {
        var writer = ImageShardWriter(folder: folder, size: 4, shardByteCount: shardByteCount)
        for number in 0..<count {
            try writer.append(picture(UInt8(number)), dataset: "made", path: "\(number).png")
        }
        try writer.finish()
    }

    @Test func `pictures read back by position, over several files`() throws {
        let folder = try TemporaryFolder()
        try write(folder.url)
        #expect(
            folder.names == ["images-00000.bin", "images-00001.bin", "images-00002.bin", "images.index", "images.json"]
        )
        let shards = try ImageShards(opening: folder.url)
        #expect(shards.count == 5 && shards.size == 4 && shards.pictureByteCount == 48)
        for number in 0..<5 {
            let position = try #require(shards.position(dataset: "made", path: "\(number).png"))
            #expect(shards.withPixels(at: position) { Array($0) } == picture(UInt8(number)))
        }
        #expect(shards.position(dataset: "made", path: "5.png") == nil)
        #expect(shards.position(dataset: "other", path: "1.png") == nil)
        #expect(shards.position(of: makeSample("1", image: "3.png")) == 3)
        try shards.verifyDigests()
    }

    @Test func `equal pictures are stored once`() throws {
        let folder = try TemporaryFolder()
        var writer = ImageShardWriter(folder: folder.url, size: 4)
        for name in ["a", "b", "c"] {
            try writer.append(picture(name == "b" ? 1 : 0), dataset: "made", path: name)
        }
        try writer.append(picture(9), dataset: "made", path: "a")
        try writer.finish()
        let shards = try ImageShards(opening: folder.url)
        #expect(shards.count == 2 && shards.fileCount == 3)
        #expect(shards.position(dataset: "made", path: "a") == shards.position(dataset: "made", path: "c"))
    }

    @Test func `no pictures at all is a valid folder`() throws {
        let folder = try TemporaryFolder()
        try write(folder.url, count: 0)
        #expect(try ImageShards(opening: folder.url).count == 0)
    }

    @Test func `a truncated, longer or missing file is refused by name`() throws {
        let folder = try TemporaryFolder()
        try write(folder.url)
        let url = folder.file("images-00001.bin")
        let bytes = try Data(contentsOf: url)
        for changed in [bytes.dropLast(), bytes + [0], Data()] {
            try changed.write(to: url)
            let error = try #require(dataError { _ = try ImageShards(opening: folder.url) })
            #expect(error.kind == .corrupt)
            #expect(error.description == "\(url.path): expected 96 bytes, found \(changed.count)")
        }
        try FileManager.default.removeItem(at: url)
        #expect(dataError { _ = try ImageShards(opening: folder.url) }?.kind == .missing)
    }

    @Test func `a flipped bit is found by the digests`() throws {
        let folder = try TemporaryFolder()
        try write(folder.url)
        let url = folder.file("images-00002.bin")
        var bytes = try Data(contentsOf: url)
        bytes[17] ^= 4
        try bytes.write(to: url)
        let shards = try ImageShards(opening: folder.url)
        let error = try #require(dataError { try shards.verifyDigests() })
        #expect(error.kind == .corrupt && error.file == url.path)
    }

    @Test(arguments: [
        (#""size":4"#, #""size":5"#), (#""size":4"#, #""size":-4"#), (#""size":4"#, #""size":99999999999"#),
        (#""version":2"#, #""version":3"#), (#""version":2"#, #""version":1"#), (#""count":5"#, #""count":4"#),
        (#""paths""#, #""names""#),
        (#""picturesPerShard":2"#, #""picturesPerShard":3"#), (#""picturesPerShard":2"#, #""picturesPerShard":0"#),
        ("images-00001.bin", "../elsewhere.bin"), ("{", "["),
        (#""count":1"#, #""count":0"#),
    ])
    func `an index that does not fit is refused`(old: String, new: String) throws {
        let folder = try TemporaryFolder()
        try write(folder.url)
        let text = try String(contentsOf: folder.file("images.json"), encoding: .utf8)
        #expect(text.contains(old))
        try text.replacingOccurrences(of: old, with: new).write(
            to: folder.file("images.json"),
            atomically: false,
            encoding: .utf8
        )
        #expect(dataError { _ = try ImageShards(opening: folder.url) } != nil)
    }

    // MARK: The table of paths

    /// Writes the index of version 1, which lists the paths itself.
    private func writeFirstVersion(_ folder: URL, paths: [(path: String, index: Int)]) throws {
        let images = paths.map { #"{"dataset":"made","index":\#($0.index),"path":"\#($0.path)"}"# }
        let url = folder.appendingPathComponent("images.json")
        var index = try #require(JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
        index["version"] = 1
        index["paths"] = nil
        index["images"] = try JSONSerialization.jsonObject(with: Data("[\(images.joined(separator: ","))]".utf8))
        try JSONSerialization.data(withJSONObject: index).write(to: url)
        try FileManager.default.removeItem(at: folder.appendingPathComponent("images.index"))
    }

    @Test func `folders of the first version open, and are checked as before`() throws {
        let folder = try TemporaryFolder()
        try write(folder.url)
        try writeFirstVersion(folder.url, paths: (0..<5).map { ("\($0).png", $0) })
        let shards = try ImageShards(opening: folder.url)
        #expect(shards.fileCount == 5 && shards.position(dataset: "made", path: "3.png") == 3)
        #expect(shards.position(dataset: "made", path: "5.png") == nil)
        try shards.verifyDigests()
        for wrong in [[("a", 0), ("a", 1)], [("a", 5)], [("a", -1)]] {
            let folder = try TemporaryFolder()
            try write(folder.url)
            try writeFirstVersion(folder.url, paths: wrong)
            #expect(dataError { _ = try ImageShards(opening: folder.url) }?.kind == .corrupt)
        }
    }

    @Test func `thousands of paths are found, and take the same number of bytes each`() throws {
        let folder = try TemporaryFolder()
        var writer = ImageShardWriter(folder: folder.url, size: 4)
        // Names of data sets and paths must not run into each other, and equal texts of other bytes are other files.
        let files =
            (0..<4000).map { ("set\($0 % 3)", "folder/\($0 / 3).png") } + [("a", "bc"), ("ab", "c")]
            + [("a", "e\u{301}"), ("a", "\u{E9}")]
        for (number, file) in files.enumerated() {
            try writer.append(picture(UInt8(number % 200)), dataset: file.0, path: file.1)
        }
        try writer.finish()
        let shards = try ImageShards(opening: folder.url)
        #expect(shards.fileCount == files.count && shards.count == 200)
        for (number, file) in files.enumerated() {
            let position = shards.position(dataset: file.0, path: file.1)
            #expect(position == number % 200, "\(file)")
        }
        #expect(shards.position(dataset: "set0", path: "folder/1") == nil)
        #expect(shards.position(dataset: "", path: "") == nil)
        let size = try #require(folder.file("images.index").resourceValues(forKeys: [.fileSizeKey]).fileSize)
        let names = files.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count }
        #expect(size == 16 + 32 * files.count + names)
        // The part that is read as a whole does not grow with them.
        #expect(try Data(contentsOf: folder.file("images.json")).count < 400)
        #expect(shards.files.map(\.path).count == files.count)
        #expect(shards.sharedPictures.count == 200)
        #expect(shards.sharedPictures.values.reduce(0) { $0 + $1.count } == files.count)
    }

    @Test func `names of one hash are told apart`() throws {
        let folder = try TemporaryFolder()
        let entries = (0..<20).map { PicturePathTable.Entry(dataset: "made", path: "\($0).png", position: $0 / 2) }
        for hash in [{ _, _ in 7 }, { _, path in UInt64(path.utf8.count) }] as [PicturePathTable.Hash] {
            try Data(PicturePathTable.encoded(entries.reversed(), hash: hash)).write(to: folder.file("t"))
            let table = try PicturePathTable(folder.file("t"), pictureCount: 10, hash: hash)
            for entry in entries {
                #expect(table.position(dataset: entry.dataset, path: entry.path) == entry.position)
            }
            #expect(table.position(dataset: "made", path: "20.png") == nil)
            #expect(table.count == 20 && Set(table.map(\.path)).count == 20)
        }
    }

    @Test func `no damaged byte of a table reads outside it, or gives a position that is none`() throws {
        let folder = try TemporaryFolder()
        let entries = (0..<4).map { PicturePathTable.Entry(dataset: "made", path: "\($0).png", position: $0) }
        let sound = PicturePathTable.encoded(entries)
        func table(_ bytes: some Sequence<UInt8>) throws -> PicturePathTable {
            try Data(bytes).write(to: folder.file("t"))
            return try PicturePathTable(folder.file("t"), pictureCount: 4)
        }
        for index in sound.indices {
            for value in [0, 1, 0x7F, 0xFF] as [UInt8] where value != sound[index] {
                var damaged = sound
                damaged[index] = value
                guard let found = try? table(damaged) else { continue }
                // Only a position may change to another one unnoticed here; the digest in `images.json` notices it.
                #expect(found.map(\.path) == entries.map(\.path) && found.allSatisfy { (0..<4).contains($0.position) })
            }
        }
        for length in sound.indices { #expect(dataError { _ = try table(sound[..<length]) }?.kind == .corrupt) }
        #expect(dataError { _ = try table(sound + [0]) }?.kind == .corrupt)
        #expect(dataError { _ = try table(PicturePathTable.encoded(entries + entries[..<1])) }?.kind == .corrupt)
    }
}

@Suite("Prepared data")
struct PreparedDataTests {
    private let box = BoundingBox(xMin: 10, yMin: 20, xMax: 50, yMax: 80)

    /// Writes a folder with the pictures `a.png` and `b.png` (equal) and `c.png`.
    private func prepare(
        _ folder: URL,
        samples: [Sample],
        annotations: [ImageAnnotation] = [],
        report: ImportReport = ImportReport()
    ) throws -> PreparedData {
        var writer = ImageShardWriter(folder: folder, size: 2)
        for (name, value) in [("a.png", 1), ("b.png", 1), ("c.png", 3)] as [(String, UInt8)] {
            try writer.append([UInt8](repeating: value, count: 12), dataset: "made", path: name)
        }
        try writer.finish()
        let source = PreparedData.Manifest.Source(
            dataset: "made",
            importer: "made",
            importerVersion: 1,
            report: report
        )
        try PreparedData.write(
            samples: samples,
            annotations: annotations,
            sources: [source],
            key: "k",
            imageSize: 2,
            to: folder
        )
        return try PreparedData.open(at: folder)
    }

    private var soundSamples: [Sample] {
        [
            makeSample("1", group: "p1", choices: ["CT", "MR"]),
            makeSample(
                "2",
                task: .referringExpressionComprehension,
                group: "p1",
                box: box,
                objectName: "liver",
                answer: ""
            ),
            makeSample("3", split: .validation, group: "p2", image: "c.png"),
            makeSample("4", task: .questionAnswering, split: .validation, group: "p3", image: nil, answer: "yes"),
        ]
    }

    @Test func `sound data open and verify without a finding`() throws {
        let folder = try TemporaryFolder()
        let data = try prepare(folder.url, samples: soundSamples)
        #expect(Array(data.samples) == soundSamples)
        #expect(data.key == "k")
        #expect(data.verify() == [])
        #expect(data.indices(split: .validation) == [2, 3])
        #expect(data.indices(split: .validation, tasks: [.questionAnswering]) == [3])
        #expect(data.indices(split: .train, dataset: "other") == [])
    }

    @Test(arguments: [
        (DataFinding.Kind.duplicateID, makeSample("1", group: "p1")),
        (.missingImage, makeSample("x", image: "none.png")),
        (.missingImage, makeSample("x", image: nil)),
        (.unexpectedImage, makeSample("x", task: .questionAnswering)),
        (.emptyAnswer, makeSample("x", answer: " \n")),
        (.answerNotAChoice, makeSample("x", choices: ["MR"])),
        (
            .missingObject,
            makeSample("x", task: .referringExpressionGeneration, box: BoundingBox(xMin: 0, yMin: 0, xMax: 1, yMax: 1))
        ),
        (.badBox, makeSample("x", task: .referringExpressionComprehension, objectName: "liver", answer: "")),
        (.badBox, makeSample("x", box: BoundingBox(xMin: 5, yMin: 5, xMax: 5, yMax: 9))),
        (.badBox, makeSample("x", box: BoundingBox(xMin: 5, yMin: 5, xMax: 101, yMax: 9))),
        (.badBox, makeSample("x", box: BoundingBox(xMin: -1, yMin: 5, xMax: 9, yMax: 9))),
        (.leak, makeSample("x", split: .test, group: "p1")),
    ])
    func `each fault is found`(kind: DataFinding.Kind, sample: Sample) throws {
        let folder = try TemporaryFolder()
        let findings = try prepare(folder.url, samples: soundSamples + [sample]).verify()
        #expect(findings.filter { $0.severity == .error }.map(\.kind) == [kind])
        #expect(findings.allSatisfy { !$0.message.isEmpty && $0.subject.hasPrefix("made/") })
    }

    @Test func `a question that is missing is found`() throws {
        let folder = try TemporaryFolder()
        var sample = makeSample("x")
        sample.question = nil
        #expect(try prepare(folder.url, samples: [sample]).verify().map(\.kind) == [.missingQuestion])
    }

    @Test func `an annotation's box outside the image and an unbalanced report are found`() throws {
        let folder = try TemporaryFolder()
        let annotation = ImageAnnotation(
            dataset: "made",
            split: .train,
            image: ImageReference(path: "a.png", width: 10, height: 10),
            objects: [NamedBox(name: "RBC", box: BoundingBox(xMin: 0, yMin: 0, xMax: 11, yMax: 5))]
        )
        var report = ImportReport()
        report.found(3, "image")
        report.imported(1, "image")
        report.skipped("image", because: "unreadable", item: "x.png")
        let data = try prepare(folder.url, samples: soundSamples, annotations: [annotation], report: report)
        #expect(data.verify().map(\.kind) == [.unbalancedReport, .badBox])
    }

    @Test func `the same picture in two splits is a warning`() throws {
        let folder = try TemporaryFolder()
        let samples = [makeSample("1", group: "p"), makeSample("2", split: .test, group: "q", image: "b.png")]
        let findings = try prepare(folder.url, samples: samples).verify()
        #expect(findings.map(\.kind) == [.pictureInSeveralSplits])
        #expect(findings.map(\.severity) == [.warning])
    }

    @Test(arguments: ["samples.jsonl", "annotations.jsonl", "images.json", "images.index"])
    func `changed text files are refused by name`(name: String) throws {
        let folder = try TemporaryFolder()
        _ = try prepare(folder.url, samples: soundSamples)
        let url = folder.file(name)
        try (Data(contentsOf: url) + Data("\n".utf8)).write(to: url)
        let error = try #require(dataError { _ = try PreparedData.open(at: folder.url) })
        #expect(error.kind == .corrupt && error.file == url.path)
    }

    @Test func `changed picture bytes are found by verify`() throws {
        let folder = try TemporaryFolder()
        _ = try prepare(folder.url, samples: soundSamples)
        let url = folder.file("images-00000.bin")
        var bytes = try Data(contentsOf: url)
        bytes[3] ^= 1
        try bytes.write(to: url)
        let findings = try PreparedData.open(at: folder.url).verify()
        #expect(findings.map(\.kind) == [.damagedFile])
        #expect(findings.map(\.subject) == [url.path])
    }

    @Test func `a folder without a manifest, and one of another version, are refused`() throws {
        let folder = try TemporaryFolder()
        let error = try #require(dataError { _ = try PreparedData.open(at: folder.url) })
        #expect(error.description.contains("not a folder of prepared data"))
        _ = try prepare(folder.url, samples: soundSamples)
        let url = folder.file("manifest.json")
        let text = try String(contentsOf: url, encoding: .utf8)
        try text.replacingOccurrences(of: #""formatVersion":1"#, with: #""formatVersion":9"#).write(
            to: url,
            atomically: false,
            encoding: .utf8
        )
        #expect(dataError { _ = try PreparedData.open(at: folder.url) }?.field == "formatVersion")
    }
}

@Suite("Data statistics")
struct DataStatisticsTests {
    private let samples = [
        makeSample("1", group: "p1", answer: "CT"), makeSample("2", group: "p1", answer: "MR"),
        makeSample("3", group: "p2", image: "b.png", answer: "CT"),
        makeSample("4", task: .reportGeneration, split: .validation, answer: "a b c"),
        makeSample("5", task: .reportGeneration, split: .validation, image: "c.png", answer: "a"),
    ]

    @Test func `samples, images, groups, lengths and labels are counted`() throws {
        let statistics = DataStatistics(samples)
        #expect(statistics.sampleCount == 5 && statistics.imageCount == 3)
        #expect(statistics.groups.map(\.task) == [.visualQuestionAnswering, .reportGeneration])
        let questions = try #require(statistics.groups.first)
        #expect(questions.samples == 3 && questions.images == 2 && questions.groups == 2)
        #expect(questions.topAnswers.map(\.label) == ["CT", "MR"])
        #expect(questions.topAnswers.map(\.count) == [2, 1])
        #expect(questions.questionKinds.map(\.label) == ["modality"])
        #expect(questions.questionKinds.map(\.count) == [3])
        let reports = statistics.groups[1]
        #expect(reports.shortestAnswer == 1 && reports.medianAnswer == 1 && reports.longestAnswer == 3)
        let data = try JSONEncoder().encode(statistics)
        #expect(try JSONDecoder().decode(DataStatistics.self, from: data) == statistics)
    }

    @Test func `the table has a line for each group, aligned`() {
        let lines = DataStatistics(samples).table(answers: false).split(separator: "\n")
        #expect(lines.count == 5)
        #expect(lines[0].hasPrefix("data set  split       task  samples"))
        #expect(lines[2].hasPrefix("made      train       vqa         3"))
        #expect(lines[4] == "5 samples, 3 images")
        #expect(DataStatistics(samples).table().contains("most frequent: CT 2, MR 1"))
        #expect(!DataStatistics([]).table().isEmpty)
    }
}
