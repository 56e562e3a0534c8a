import Foundation
import Testing
import UniMedData
import UniMedImaging
import UniMedImagingTesting
import UniMedImporters

private func options(_ settings: [String: String] = [:], validation: Double = 0) -> ImportOptions {
    ImportOptions(validationFraction: validation, settings: settings)
}

@Suite("JSON lines importer")
struct SampleLinesImporterTests {
    @Test func `all tasks are read, with the picture's size from its header`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("images/a.png")
        try folder.write(
            """
            {"id": "1", "task": "qa", "split": "train", "question": "Is it?", "answer": "yes", "choices": ["yes", "no"]}
            {"id": "2", "task": "vqa", "split": "val", "group": "p1", "image": "images/a.png", "question": "Q", "answer": "A"}
            {"id": "3", "task": "rec", "split": "test", "image": {"path": "images/a.png", "width": 20, "height": 10}, \
            "objectName": "liver", "box": {"xMin": 1, "yMin": 2, "xMax": 5, "yMax": 6}, "group": "p2"}

            """,
            to: "mine.jsonl"
        )
        let (dataset, report) = try runImport("json-lines", folder.url)
        #expect(
            dataset.samples.map(\.task) == [
                .questionAnswering, .visualQuestionAnswering, .referringExpressionComprehension,
            ]
        )
        #expect(dataset.samples.map(\.split) == [.train, .validation, .test])
        #expect(dataset.samples[1].image == ImageReference(path: "images/a.png", width: 20, height: 10))
        #expect(dataset.samples[2].box == BoundingBox(xMin: 1, yMin: 2, xMax: 5, yMax: 6))
        #expect(report.tallies["record"]?.imported == 3)
    }

    @Test func `a sample that was written reads back equal`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("a.png")
        let sample = Sample(
            id: "x",
            dataset: "json-lines",
            split: .test,
            task: .imageClassification,
            group: "g",
            image: ImageReference(path: "a.png", width: 20, height: 10),
            question: "Which?",
            questionKind: "k",
            choices: ["a", "b"],
            answer: "b",
            fields: ["modality": "CT"]
        )
        try JSONLines.write([sample], to: folder.file("s.jsonl"))
        #expect(try runImport("json-lines", folder.url).dataset.samples == [sample])
    }

    private func writeVolume(_ path: String, count: Int, in folder: MadeFolder) throws {
        // Names whose alphabetical order is another one.
        for slice in 0..<count { try folder.writePicture("\(path)/slice \(slice).png", value: UInt8(slice)) }
    }

    @Test func `a folder of pictures is a volume, its slices in the order of their numbers`() throws {
        let folder = try MadeFolder()
        try writeVolume("ct/1", count: 12, in: folder)
        let sample = Sample(
            id: "x",
            dataset: "json-lines",
            split: .test,
            task: .referringExpressionComprehension,
            group: "g",
            image: ImageReference(
                path: "ct/1",
                width: 20,
                height: 10,
                volume: VolumeReference(slices: 12, spacing: 2.5, axis: .coronal)
            ),
            objectName: "liver",
            box: BoundingBox(xMin: 1, yMin: 2, xMax: 5, yMax: 6),
            boxSlices: SliceRange(3...5),
            answer: ""
        )
        var short = sample
        short.id = "y"
        short.image?.volume = VolumeReference(slices: 12)
        try JSONLines.write([sample], to: folder.file("s.jsonl"))
        try folder.write(
            """
            {"id": "y", "task": "rec", "split": "test", "group": "g", "image": "ct/1", "objectName": "liver", \
            "box": {"xMin": 1, "yMin": 2, "xMax": 5, "yMax": 6}, "boxSlices": {"start": 3, "end": 6}}

            """,
            to: "t.jsonl"
        )
        #expect(try runImport("json-lines", folder.url).dataset.samples == [sample, short])
        let importer = try SampleLinesImporter(root: folder.url)
        let image = try #require(sample.image)
        for (slice, reference) in image.pictures.enumerated() {
            #expect(try importer.picture(reference).pixels[0] == UInt8(slice))
        }
        let beyond = ImageReference(path: image.slicePath(12), width: 20, height: 10)
        #expect(throws: ImagingError.self) { try importer.picture(beyond) }
        let data = try DatasetPreparation(importers: [importer], imageSize: 8).prepare(into: folder.file("out")).data
        #expect(data.verify().isEmpty && data.images.count == 12)
    }

    /// A NIfTI-1 file of 3 columns, 4 rows and 5 slices whose value says the slice.
    private var nifti: Data {
        var bytes = [UInt8](repeating: 0, count: 352)
        func put<Number>(_ value: Number, _ offset: Int) {
            withUnsafeBytes(of: value) { bytes.replaceSubrange(offset..<offset + $0.count, with: $0) }
        }
        put(Int32(348).littleEndian, 0)
        for (index, size) in [3, 3, 4, 5, 1, 1, 1, 1].enumerated() { put(Int16(size).littleEndian, 40 + 2 * index) }
        put(Int16(4).littleEndian, 70)
        put(Int16(16).littleEndian, 72)
        for (index, size) in [1, 0.5, 0.5, 2, 1, 1, 1, 1].enumerated() {
            put(Float(size).bitPattern.littleEndian, 76 + 4 * index)
        }
        put(Float(352).bitPattern.littleEndian, 108)
        put(Float(1).bitPattern.littleEndian, 112)
        put(Int16(1).littleEndian, 254)
        let rows: [[Float]] = [[-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 2, 0]]
        for (row, values) in rows.enumerated() {
            for (column, value) in values.enumerated() {
                put(value.bitPattern.littleEndian, 280 + 16 * row + 4 * column)
            }
        }
        bytes.replaceSubrange(344..<348, with: [0x6E, 0x2B, 0x31, 0])
        for slice in 0..<5 {
            for _ in 0..<12 { withUnsafeBytes(of: Int16(slice * 100).littleEndian) { bytes += $0 } }
        }
        return Data(bytes)
    }

    @Test func `a NIfTI file is a volume where the record says so`() throws {
        let folder = try MadeFolder()
        try folder.write(nifti, to: "a.nii")
        try folder.write(
            """
            {"task": "rg", "image": {"path": "a.nii", "volume": true}, "answer": "all"}
            {"task": "rg", "image": "a.nii", "answer": "one slice", "group": "other"}

            """,
            to: "s.jsonl"
        )
        let windowed = options(["window": "200/400"])
        let (dataset, _) = try runImport("json-lines", folder.url, options: windowed)
        let image = try #require(dataset.samples[0].image)
        #expect(image.volume == VolumeReference(slices: 5, spacing: 2, axis: .axial))
        #expect(image.width == 3 && image.height == 4 && dataset.samples[1].image?.volume == nil)
        let importer = try SampleLinesImporter(root: folder.url, options: windowed)
        let grey = try image.pictures.map { try importer.picture($0).pixels[0] }
        #expect(grey == [0, 64, 128, 191, 255])
        #expect(
            importError { _ = try SampleLinesImporter(root: folder.url, options: options(["window": "wide"])) } != nil
        )
    }

    @Test func `a folder of DICOM files is a volume in the order of places, for JSON lines and for CSV`() throws {
        let folder = try MadeFolder()
        // By name the order is a, b, c; in the patient it is c, a, b.
        for (index, name) in ["c", "a.dcm", "1.2.3"].enumerated() {
            var builder = DICOMBuilder(
                rows: 4,
                columns: 3,
                frames: [[UInt16](repeating: [0, 40, 120][index], count: 12)]
            )
            builder.setPlane(position: [0, 0, 2 * Double(index)])
            try folder.write(builder.data(), to: "ct/\(name)")
        }
        try folder.write(#"{"task": "rg", "image": "ct", "answer": "all"}"# + "\n", to: "s.jsonl")
        try folder.write("image,label\nct,x\n", to: "t.csv")
        for name in ["json-lines", "csv"] {
            let importer = try ImporterRegistry.standard.entry(named: name)
                .importer(root: folder.url, options: options(["window": "100/200"]))
            var report = ImportReport()
            let image = try #require(try importer.checkedImport(faults: .refuse, report: &report).samples.first?.image)
            #expect(image.volume == VolumeReference(slices: 3, spacing: 2, axis: .axial), "\(name)")
            #expect(try image.pictures.map { try importer.picture($0).pixels[0] } == [0, 51, 153], "\(name)")
            // Files of any name are part of what the result depends on.
            #expect(Set(try importer.sourceFiles().map(\.path)).isSuperset(of: ["ct/c", "ct/a.dcm", "ct/1.2.3"]))
        }
        // Two series in a folder are no volume.
        var other = DICOMBuilder(rows: 4, columns: 3, frames: [[UInt16](repeating: 0, count: 12)])
        other.set(0x0020_000E, "UI", .text("1.2.3.9"))
        try folder.write(other.data(), to: "ct/d")
        let (dataset, report) = try runImport("csv", folder.url)
        #expect(dataset.samples.isEmpty)
        #expect(report.tallies["row"]?.skipped.keys.first?.hasPrefix("the image cannot be read") == true)
    }

    @Test func `files of volumes are volumes with the setting, a pair of NIfTI files among them`() throws {
        let folder = try MadeFolder()
        try folder.write(nifti, to: "a.nii")
        var pair = NIfTIBuilder(shape: [3, 4, 5], voxels: (0..<60).map { Int16($0 / 12 * 100) })
        pair.isSingleFile = false
        try folder.write(pair.data(), to: "b.hdr")
        try folder.write(pair.voxelData(), to: "b.img")
        try folder.writePicture("c.png")
        try folder.write("image,label\na.nii,x\nb.hdr,y\nc.png,x\n", to: "t.csv")
        try folder.write(
            ["\"a.nii\"", "\"b.img\"", "\"c.png\"", #"{"path": "a.nii", "volume": false}"#].enumerated().map {
                #"{"id": "\#($0.offset)", "task": "rg", "image": \#($0.element), "answer": "all"}"# + "\n"
            }.joined(),
            to: "s.jsonl"
        )
        for name in ["csv", "json-lines"] {
            let slices = try runImport(name, folder.url).dataset.samples.map { $0.image?.volume?.slices }
            #expect(slices.allSatisfy { $0 == nil }, "\(name)")
            let volumes = try runImport(name, folder.url, options: options(["volumes": "true"])).dataset.samples
            #expect(volumes.map { $0.image?.volume?.slices }.prefix(3) == [5, 5, nil], "\(name)")
            #expect(volumes.count == 3 || volumes[3].image?.volume == nil)
            #expect(importError { _ = try runImport(name, folder.url, options: options(["volumes": "2"])) } != nil)
            let pair = try #require(volumes[1].image)
            let importer = try ImporterRegistry.standard.entry(named: name)
                .importer(root: folder.url, options: options(["window": "200/400"]))
            #expect(try pair.pictures.map { try importer.picture($0).pixels[0] } == [0, 64, 128, 191, 255], "\(name)")
            // The middle slice of the pair, where it is no volume.
            let middle = ImageReference(path: pair.path, width: 3, height: 4)
            #expect(try importer.picture(middle).width == 3)
            #expect(try Set(importer.sourceFiles().map(\.path)).isSuperset(of: ["a.nii", "b.hdr", "b.img"]))
        }
    }

    @Test func `volumes that are none, and boxes that leave theirs, are counted`() throws {
        let folder = try MadeFolder()
        try writeVolume("good", count: 3, in: folder)
        try writeVolume("odd", count: 2, in: folder)
        try folder.writePicture("odd/slice 3.png", width: 8, height: 8)
        try folder.write("nothing", to: "empty/readme.txt")
        try folder.writePicture("flat.png")
        let box = #""objectName": "a", "box": {"xMin": 1, "yMin": 1, "xMax": 2, "yMax": 2}"#
        func line(_ image: String, _ more: String = "") -> String {
            #"{"task": "rec", "image": \#(image), \#(box)\#(more)}"# + "\n"
        }
        let range = #", "boxSlices": {"start": 0, "end": 2}"#
        try folder.write(
            line(#""good""#, range) + line(#""odd""#, range) + line(#""empty""#, range) + line(#""good""#)
                + line(#""good""#, #", "boxSlices": {"start": 1, "end": 4}"#) + line(#""flat.png""#, range)
                + line(#"{"path": "good", "volume": {"slices": 4}}"#, range)
                + line(#"{"path": "flat.png", "volume": {"slices": 1}}"#)
                + line(#"{"path": "good", "volume": {"slices": 3, "spacing": -1}}"#, range),
            to: "s.jsonl"
        )
        let (dataset, report) = try runImport("json-lines", folder.url, options: options())
        #expect(dataset.samples.map(\.id) == ["s.jsonl:1"])
        #expect(report.tallies["record"]?.found == 9)
        #expect(
            report.tallies["record"]?.skipped == [
                "the slices of the volume have different sizes": 1, "the folder holds no slices": 1,
                "the record's number of slices is not the image's": 1, "the record's image is no volume": 1,
                "field 'image.volume': expected a spacing of a positive number of millimetres": 1,
            ]
        )
        #expect(
            report.tallies["rec"]?.skipped == [
                "the box has no range of slices in a volume": 1, "the range of slices leaves the volume": 1,
                "the box has a range of slices and the image is no volume": 1,
            ]
        )
    }

    @Test func `whatever a line holds, it is counted`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("a.png")
        try folder.write("no picture", to: "b.png")
        let lines = [
            #"{"task":"vqa","image":"a.png","question":"Q","answer":"A"}"#, #"{"task":"#,
            #"{"task":"qa","question":"Q","answer":"A","extra":1}"#, #"{"task":"poetry","answer":"A"}"#,
            #"{"task":"qa","question":"Q"}"#, #"{"task":"vqa","image":"none.png","question":"Q","answer":"A"}"#,
            #"{"task":"vqa","image":"../a.png","question":"Q","answer":"A"}"#,
            #"{"task":"vqa","image":"b.png","question":"Q","answer":"A"}"#,
            #"{"task":"rg","image":{"path":"a.png","width":9},"answer":"A"}"#,
            #"{"task":"rec","image":"a.png","objectName":"x","box":{"xMin":1,"yMin":1,"xMax":21,"yMax":5}}"#,
            #"{"task":"qa","question":"Q","answer":"A","choices":["B","C"]}"#,
            #"{"task":"qa","split":"other","question":"Q","answer":"A"}"#,
        ]
        var data = Data((lines.joined(separator: "\n") + "\n").utf8)
        data.append(contentsOf: Array(#"{"task":"qa","question":"\#(" ")"#.utf8) + [0xFF, 0x22, 0x7D])
        try folder.write(data, to: "mine.jsonl")
        let (dataset, report) = try runImport("json-lines", folder.url, options: options())
        #expect(dataset.samples.count == 1)
        let records = try #require(report.tallies["record"])
        #expect(records.found == 13)
        #expect(records.skipped["field 'extra': the schema has no such field"] == 1)
        #expect(records.skipped["no image file"] == 1)
        #expect(records.skipped["the image's path leaves the folder"] == 1)
        #expect(records.skipped["the record's image size is not the image's"] == 1)
        #expect(records.skipped["the split is none of train, validation and test"] == 1)
        #expect(report.tallies["rec"]?.skipped == ["the box leaves the image": 1])
        #expect(report.tallies["qa"]?.skipped == ["the answer is empty": 1, "the answer is not one of the choices": 1])
    }

    @Test func `without splits the groups are divided by the seed, and some splits are not none`() throws {
        let folder = try MadeFolder()
        let line = { (group: Int, more: String) in
            #"{"task":"qa","group":"\#(group)","question":"Q","answer":"A"\#(more)}"#
        }
        try folder.write((0..<20).map { line($0 / 2, "") }.joined(separator: "\n"), to: "a.jsonl")
        let samples = try runImport("json-lines", folder.url, options: options(validation: 0.3)).dataset.samples
        #expect(samples.count { $0.split == .validation } == 6)
        try folder.write(line(1, #","split":"test""#) + "\n" + line(2, ""), to: "a.jsonl")
        let (dataset, report) = try runImport("json-lines", folder.url)
        #expect(dataset.samples.map(\.split) == [.test])
        #expect(report.tallies["qa"]?.skipped == ["it names no split and others do": 1])
    }

    @Test func `a setting that is none is refused by name`() throws {
        for name in ["json-lines", "llava", "csv", "class-folders", "coco", "masks", "pubmedqa"] {
            let error = importError {
                _ = try ImporterRegistry.standard.entry(named: name)
                    .importer(root: URL(fileURLWithPath: "/"), options: options(["colour": "red"]))
            }
            #expect(error?.cause.field == "settings.colour")
        }
    }

    @Test(arguments: ["json-lines", "llava", "csv", "class-folders", "coco", "masks"])
    func `an empty and a missing folder are refused by name`(name: String) throws {
        let folder = try MadeFolder()
        for path in [folder.url, folder.file("none")] {
            let error = try #require(importError { _ = try runImport(name, path) })
            #expect(error.cause.kind == .missing && error.cause.file == path.path)
        }
    }
}

@Suite("LLaVA importer")
struct ConversationImporterTests {
    private func record(_ turns: [(String, String)], image: String? = "a.png", id: String = "r") throws -> String {
        var object: [String: Any] = ["id": id, "conversations": turns.map { ["from": $0.0, "value": $0.1] }]
        object["image"] = image
        return String(decoding: try JSONSerialization.data(withJSONObject: object), as: UTF8.self)
    }

    @Test func `every question with its answer is a sample of the tag's task`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("a.png")
        let one = try record([
            ("human", "<image>\n[vqa] What is it?"), ("gpt", "A liver."),
            ("human", "[refer] Where is <p>liver</p>?"), ("gpt", "{<10><20><50><60>}"),
            ("human", "[identify] {<10><20><50><60>}"), ("gpt", "liver"), ("human", "[caption]"), ("gpt", "Long."),
        ])
        let two = try record([("human", "[qa] Is it?"), ("gpt", "Yes")], image: nil, id: "s")
        try folder.write("[\(one), \(two)]", to: "talk.json")
        let (dataset, report) = try runImport("llava", folder.url)
        #expect(dataset.samples.map(\.id) == ["r 1", "r 2", "r 3", "r 4", "s"])
        #expect(
            dataset.samples.map(\.task) == [
                .visualQuestionAnswering, .referringExpressionComprehension, .referringExpressionGeneration,
                .reportGeneration, .questionAnswering,
            ]
        )
        #expect(dataset.samples[0].question == "What is it?" && dataset.samples[0].answer == "A liver.")
        #expect(dataset.samples[1].objectName == "liver" && dataset.samples[1].answer == "")
        let box = try #require(dataset.samples[1].box)
        #expect(NormalizedBox(box, width: 20, height: 10).text() == "{<10><20><50><60>}")
        #expect(dataset.samples[2].answer == "liver" && dataset.samples[2].box == box)
        #expect(Set(dataset.samples.prefix(4).map(\.group)) == ["a.png"])
        #expect(report.tallies["turn"]?.imported == 5)
    }

    @Test func `every box in hundredths comes back as it was written`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("a.png", width: 37, height: 23)
        let texts = (0..<100).map { "{<\($0)><\($0)><\($0 + 1)><\($0 + 1)>}" }
        let records = try texts.enumerated().map { number, text in
            try record([("human", "[refer] <p>x</p>"), ("gpt", text)], id: "\(number)")
        }
        try folder.write("[\(records.joined(separator: ","))]", to: "talk.json")
        let boxes = try runImport("llava", folder.url).dataset.samples.compactMap(\.box)
        #expect(boxes.map { NormalizedBox($0, width: 37, height: 23).text() } == texts)
    }

    @Test func `turns without a tag have the task of the setting, or none`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("pictures/a.png")
        try folder.write("[\(try record([("human", "<image> What?"), ("gpt", "That.")]))]", to: "talk.json")
        let settings = ["imageFolder": "pictures", "task": "vqa"]
        #expect(try runImport("llava", folder.url, options: options(settings)).dataset.samples.count == 1)
        let report = try runImport("llava", folder.url, options: options(["imageFolder": "pictures"])).report
        #expect(report.tallies["turn"]?.skipped == ["the question has no task tag and no task is set": 1])
        let error = importError { _ = try runImport("llava", folder.url, options: options(["task": "poetry"])) }
        #expect(error?.cause.field == "settings.task")
    }

    @Test func `broken records and turns are skipped and counted`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("a.png")
        let records = [
            try record([("human", "[vqa] Q"), ("human", "[vqa] R"), ("gpt", "A"), ("gpt", "B")]),
            try record([("human", "[vqa] Q"), ("gpt", " ")], id: "t"), try record([], id: "u"),
            try record([("human", "[vqa] Q"), ("gpt", "A")], image: "none.png", id: "v"),
            try record([("human", "[vqa] <image><image> Q"), ("gpt", "A")], id: "w"),
            try record([("human", "[refer] <p>x</p>"), ("gpt", "there")], id: "x"),
            try record([("human", "[vqa] <image> Q"), ("gpt", "A")], image: nil, id: "y"),
            #"{"id": 7}"#, #""text""#, #"{"id":"z","conversations":[{"from":"human","value":3}]}"#,
        ]
        try folder.write("[\(records.joined(separator: ","))]", to: "talk.json")
        let (dataset, report) = try runImport("llava", folder.url)
        #expect(dataset.samples.map(\.question) == ["R"])
        let tally = try #require(report.tallies["record"])
        #expect(tally.found == 10 && tally.imported == 5)
        #expect(tally.skipped["no image file"] == 1 && tally.skipped["the conversation is empty"] == 1)
        #expect(tally.skipped["field 'conversations.value': expected text, found another type"] == 1)
        #expect(report.tallies["turn"]?.skippedCount == 5)
        #expect(report.tallies["vqa"]?.skipped == ["the answer is empty": 1])
        try folder.write("[{", to: "talk.json")
        #expect(importError { _ = try runImport("llava", folder.url) }?.cause.kind == .malformed)
    }
}

@Suite("CSV importer")
struct LabelTableImporterTests {
    private func layOut(_ folder: MadeFolder, _ text: String, images: [String] = ["a.png", "b.png", "c.png"]) throws {
        for (number, name) in images.enumerated() { try folder.writePicture(name, value: UInt8(number)) }
        try folder.write(text, to: "table.csv")
    }

    @Test func `quoted fields, doubled quotes, line ends in fields, a BOM and CRLF are read`() throws {
        let folder = try MadeFolder()
        try layOut(
            folder,
            "\u{FEFF}image,note,label\r\na.png,\"one, \"\"two\"\"\r\nthree\",\"big, red\"\r\n\r\nb,,small\r\n"
        )
        let (dataset, report) = try runImport("csv", folder.url, options: options())
        #expect(dataset.samples.map(\.answer) == ["big, red", "small"])
        #expect(dataset.samples.map(\.id) == ["a.png", "b.png"])
        #expect(dataset.samples[0].choices == ["big, red", "small"])
        #expect(dataset.samples[0].question == "Which category does this image belong to: big, red, or small?")
        #expect(report.tallies["row"]?.found == 2)
    }

    @Test func `columns, splits, groups, separator and encoding are settings`() throws {
        let folder = try MadeFolder()
        try layOut(folder, "", images: ["p/a.png", "p/b.png", "p/c.png"])
        var data = Data("file;dx;part;who\na.png;".utf8)
        data.append(0xE9)
        data.append(contentsOf: Array(";train;1\nb.png;x;dev;2\nc.png;x;TEST;3\n".utf8))
        try folder.write(data, to: "table.csv")
        var settings = [
            "imageColumn": "file", "labelColumn": "dx", "splitColumn": "part", "groupColumn": "who",
            "imageFolder": "p", "separator": "semicolon", "question": "What?",
        ]
        let wrong = try runImport("csv", folder.url, options: options(settings))
        #expect(wrong.report.tallies["row"]?.skipped == ["not UTF-8 text (see the setting 'encoding')": 1])
        settings["encoding"] = "latin1"
        let samples = try runImport("csv", folder.url, options: options(settings)).dataset.samples
        #expect(samples.map(\.answer) == ["é", "x", "x"] && samples.map(\.group) == ["1", "2", "3"])
        #expect(samples.map(\.split) == [.train, .validation, .test] && samples[0].question == "What?")
    }

    @Test func `rows that cannot be used are skipped and counted`() throws {
        let folder = try MadeFolder()
        try layOut(
            folder,
            """
            image,label
            a.png,x
            a.png,y
            none.png,x
            ../a.png,x
            b.png
            b.png,
            b.png,"x"y
            c.png,y
            c.png,"never closed
            b.png,x

            """
        )
        let (dataset, report) = try runImport("csv", folder.url)
        #expect(dataset.samples.map(\.id) == ["a.png", "c.png"])
        let tally = try #require(report.tallies["row"])
        #expect(tally.found == 9 && tally.skipped.values.allSatisfy { $0 == 1 } && tally.skipped.count == 7)
        #expect(tally.skipped["a quoted field is never closed"] == 1)
        #expect(report.examples["row: the image is listed twice"] == ["row at line 3"])
    }

    @Test(arguments: [
        ("", "the table is empty"), ("a,b\n", "no such column"), ("image,image,label\n", "two such columns"),
    ])
    func `a table without its columns is refused`(text: String, problem: String) throws {
        let folder = try MadeFolder()
        try layOut(folder, text)
        let error = try #require(importError { _ = try runImport("csv", folder.url) })
        #expect(error.description.contains(problem))
    }
}

@Suite("Class folder importer")
struct ClassFolderImporterTests {
    @Test func `folders are classes, or splits with classes`() throws {
        let folder = try MadeFolder()
        for (number, path) in ["cat/1_a.png", "cat/1_b.png", "dog/2.png", "dog/more/3.png"].enumerated() {
            try folder.writePicture(path, value: UInt8(number))
        }
        try folder.write("no picture", to: "dog/notes.txt")
        try folder.write("no picture", to: "dog/broken.png")
        try folder.write("at the top", to: "readme.md")
        let (dataset, report) = try runImport("class-folders", folder.url, options: options(["groupSeparator": "_"]))
        #expect(dataset.samples.map(\.answer) == ["cat", "cat", "dog", "dog"])
        #expect(dataset.samples.prefix(2).map(\.group) == ["1", "1"])
        #expect(dataset.samples[0].choices == ["cat", "dog"])
        let tally = try #require(report.tallies["image"])
        #expect(tally.found == 7 && tally.imported == 4)
        #expect(tally.skipped["the file's name is not that of an image"] == 1)
        #expect(tally.skipped["the file is in no class's folder"] == 1)

        let split = try MadeFolder()
        for path in ["train/cat/a.png", "val/dog/b.png", "test/cat/c.png"] { try split.writePicture(path) }
        let samples = try runImport("class-folders", split.url).dataset.samples
        #expect(samples.map(\.split) == [.test, .train, .validation])
        #expect(samples.map(\.answer) == ["cat", "cat", "dog"])
    }
}

@Suite("COCO importer")
struct COCOImporterTests {
    private func layOut(_ folder: MadeFolder, annotations: String, to path: String = "annotations/boxes.json") throws {
        try folder.write(
            """
            {"images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10},
                        {"id": 2, "file_name": "b.png", "width": 9, "height": 10}, {"id": 3, "file_name": "none.png"}],
             "categories": [{"id": 1, "name": "liver"}, {"id": 5, "name": "kidney"}],
             "annotations": [\(annotations)]}
            """,
            to: path
        )
        for name in ["a", "b"] { try folder.writePicture("images/\(name).png") }
    }

    @Test func `objects that are alone of their category are referred to, the rest is counted`() throws {
        let folder = try MadeFolder()
        try layOut(
            folder,
            annotations: """
                {"image_id": 1, "category_id": 1, "bbox": [2, 1, 8, 5]},
                {"image_id": 1, "category_id": 5, "bbox": [0, 0, 3, 3]},
                {"image_id": 1, "category_id": 5, "bbox": [0, 0, 3, 3], "iscrowd": 1},
                {"image_id": 1, "category_id": 5, "bbox": [15, 0, 6, 3]}, {"image_id": 1, "category_id": 5, "bbox": [1]},
                {"image_id": 1, "category_id": 5, "bbox": [1, 1, 0, 3]}, {"image_id": 1, "category_id": 9, "bbox": [0, 0, 1, 1]},
                {"image_id": 2, "category_id": 1, "bbox": [0, 0, 1, 1]}, {"image_id": 8, "category_id": 1, "bbox": [0, 0, 1, 1]},
                {"image_id": "one"}
                """
        )
        let (dataset, report) = try runImport("coco", folder.url)
        #expect(dataset.samples.map(\.id) == ["images/a.png rec liver", "images/a.png reg liver"])
        #expect(dataset.samples[0].box == BoundingBox(xMin: 2, yMin: 1, xMax: 10, yMax: 6))
        #expect(dataset.annotations.map { $0.objects.map(\.name) } == [["liver", "kidney"]])
        let boxes = try #require(report.tallies["box"])
        #expect(boxes.found == 10 && boxes.imported == 2)
        #expect(boxes.skipped["the object is a crowd"] == 1 && boxes.skipped["the box leaves the image"] == 1)
        #expect(boxes.skipped["its image is left out"] == 1 && boxes.skipped["no image has its image_id"] == 1)
        #expect(
            report.tallies["image"]?.skipped == ["the annotation's size is not the image's": 1, "no image file": 1]
        )
    }

    @Test func `files named after splits are the splits`() throws {
        let folder = try MadeFolder()
        for (number, split) in ["train", "val"].enumerated() {
            try folder.writePicture("\(split)2017/\(split).png", value: UInt8(number))
            try folder.write(
                #"{"images":[{"id":1,"file_name":"\#(split).png"}],"categories":[{"id":1,"name":"x"}],"#
                    + #""annotations":[{"image_id":1,"category_id":1,"bbox":[0,0,2,2]}]}"#,
                to: "annotations/instances_\(split)2017.json"
            )
        }
        let samples = try runImport("coco", folder.url).dataset.samples
        #expect(samples.map(\.split) == [.train, .train, .validation, .validation])
    }
}

@Suite("Mask importer")
struct LabelMaskImporterTests {
    /// A grey PNG of 8 bits, 20 by 10: the encoder of the library writes colour alone, so this one is stored, not packed.
    private func grey(_ rectangles: [(UInt8, Range<Int>, Range<Int>)], bitDepth: UInt8 = 8) -> Data {
        func chunk(_ name: String, _ body: [UInt8]) -> [UInt8] {
            let content = Array(name.utf8) + body
            return bigEndian(UInt32(body.count)) + content + bigEndian(crc(content))
        }
        var rows: [UInt8] = []
        for y in 0..<10 {
            rows.append(0)
            for x in 0..<20 {
                rows.append(rectangles.last { $0.1.contains(x) && $0.2.contains(y) }?.0 ?? 0)
            }
        }
        let length = UInt16(rows.count)
        let stored: [UInt8] =
            [0x78, 0x01, 0x01, UInt8(length & 255), UInt8(length >> 8), UInt8(~length & 255), UInt8(~length >> 8)]
            + rows + bigEndian(adler(rows))
        return Data(
            [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
                + chunk("IHDR", bigEndian(20) + bigEndian(10) + [bitDepth, 0, 0, 0, 0]) + chunk("IDAT", stored)
                + chunk("IEND", [])
        )
    }

    private func bigEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> UInt32(24 - 8 * $0) & 255) } }

    private func crc(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(UInt32.max) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
        }
    }

    private func adler(_ bytes: [UInt8]) -> UInt32 {
        var (a, b) = (UInt32(1), UInt32(0))
        for byte in bytes {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return b << 16 | a
    }

    @Test func `a box is the extent of a label's pixels`() throws {
        let folder = try MadeFolder()
        try folder.write(#"{"1": "liver", "200": "spleen"}"#, to: "labels.json")
        for name in ["a", "b", "c", "d"] { try folder.writePicture("images/\(name).png") }
        try folder.write(grey([(1, 2..<7, 1..<4), (200, 9..<10, 5..<6), (3, 15..<18, 2..<4)]), to: "masks/a.png")
        try folder.writePicture("masks/b.png")
        try folder.write(grey([]), to: "masks/d.png")
        try folder.write(grey([]), to: "masks/alone.png")
        let (dataset, report) = try runImport("masks", folder.url, options: options())
        #expect(
            dataset.samples.map(\.id) == ["a rec liver", "a reg liver", "a rec spleen", "a reg spleen"]
        )
        #expect(dataset.samples[0].box == BoundingBox(xMin: 2, yMin: 1, xMax: 7, yMax: 4))
        #expect(dataset.samples[2].box == BoundingBox(xMin: 9, yMin: 5, xMax: 10, yMax: 6))
        #expect(report.tallies["box"]?.skipped == ["the label has no name": 1])
        #expect(report.tallies["image"]?.skipped == ["the mask is not an 8-bit grey PNG": 1, "no mask": 1])
        #expect(report.tallies["mask"]?.skipped == ["no image": 1])
        let inclusive = options(["extent": "inclusiveLastPixel"])
        let other = try runImport("masks", folder.url, options: inclusive)
        #expect(other.dataset.samples[0].box == BoundingBox(xMin: 2, yMin: 1, xMax: 6, yMax: 3))
        #expect(other.report.tallies["box"]?.skipped["the box has no area"] == 1)
    }

    @Test(arguments: [#"{"0": "nothing"}"#, #"{"256": "x"}"#, #"{"one": "x"}"#, #"{"1": " "}"#, #"["x"]"#])
    func `a list of names that is none is refused`(text: String) throws {
        let folder = try MadeFolder()
        try folder.writePicture("images/a.png")
        try folder.write(grey([]), to: "masks/a.png")
        try folder.write(text, to: "labels.json")
        let error = try #require(importError { _ = try runImport("masks", folder.url) })
        #expect(error.cause.file == folder.file("labels.json").path)
    }
}
