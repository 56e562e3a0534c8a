import Foundation
import Testing
import UniMedData
import UniMedImaging
import UniMedImporters

@Suite("Slake importer")
struct SlakeImporterTests {
    private func question(
        _ number: Int,
        image: String,
        answer: String = "MRI",
        language: String = "en",
        type: String = "OPEN"
    ) -> String {
        #"{"img_id":\#(number),"img_name":"\#(image)/source.jpg","question":"What is \#(number)?","#
            + #""answer":"\#(answer)","q_lang":"\#(language)","location":"Abdomen","modality":"MRI","#
            + #""answer_type":"\#(type)","base_type":"vqa","content_type":"Modality","triple":["vhead","_","_"],"#
            + #""qid":\#(number)}"#
    }

    private func layOut(_ folder: MadeFolder, images: Int = 14) throws {
        for number in 0..<images {
            try folder.writePicture("imgs/xmlab\(number)/source.jpg")
            try folder.write(
                #"[{"Liver": [1.0, 2.0, 5.0, 6.0]}, {"Lung": [0.0, 0.0, 20.5, 10.0]}]"#,
                to: "imgs/xmlab\(number)/detection.json"
            )
        }
        let questions = (0..<images).map { question($0, image: "xmlab\($0)") }
        try folder.write("[\(questions.dropLast(2).joined(separator: ","))]", to: "train.json")
        try folder.write("[\(questions.suffix(2).joined(separator: ","))]", to: "test.json")
    }

    @Test func `one image in seven is for testing, with its questions and boxes`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        let (dataset, report) = try runImport("slake", folder.url)
        #expect(dataset.annotations.count { $0.split == .test } == 2)
        #expect(dataset.annotations.count { $0.split == .train } == 12)
        #expect(dataset.samples.count { $0.task == .visualQuestionAnswering } == 14)
        #expect(report.tallies["rec"]?.imported == 28 && report.tallies["reg"]?.imported == 28)
        let again = try runImport("slake", folder.url).dataset
        #expect(again == dataset)
        let other = try runImport("slake", folder.url, options: ImportOptions(seed: 5)).dataset
        #expect(other.annotations.map(\.split) != dataset.annotations.map(\.split))
        let box = try #require(dataset.samples.first { $0.id == "xmlab3 rec 1" })
        #expect(box.objectName == "Liver" && box.answer.isEmpty)
        #expect(box.box == BoundingBox(xMin: 1, yMin: 2, xMax: 6, yMax: 8))
        // Half a pixel too wide: cut off.
        #expect(dataset.samples.first { $0.id == "xmlab3 reg 2" }?.box?.xMax == 20)
        #expect(report.warnings.isEmpty)
    }

    @Test func `the language is chosen`() throws {
        let folder = try MadeFolder()
        try layOut(folder, images: 7)
        try folder.write(
            "[\(question(1, image: "xmlab1", answer: "肝脏", language: "zh")),\(question(2, image: "xmlab2"))]",
            to: "validate.json"
        )
        let english = try runImport("slake", folder.url)
        #expect(english.report.tallies["question"]?.skipped == ["in another language": 1])
        let chinese = try runImport("slake-chinese", folder.url)
        #expect(chinese.dataset.samples.filter { $0.task == .visualQuestionAnswering }.map(\.answer) == ["肝脏"])
    }

    @Test func `faulty questions, boxes and images are skipped and counted`() throws {
        let folder = try MadeFolder()
        try layOut(folder, images: 7)
        let questions = [
            question(1, image: "xmlab1", answer: "Yes", type: "CLOSED"), question(2, image: "xmlab2", answer: " "),
            question(3, image: "xmlab99"), question(4, image: "xmlab4"), question(5, image: "xmlab5"),
            #"{"question": 5}"#, "7",
        ]
        try folder.write("[\(questions.joined(separator: ","))]", to: "train.json")
        try folder.write("[]", to: "test.json")
        try folder.remove("imgs/xmlab4/source.jpg")
        try folder.write("not a picture", to: "imgs/xmlab5/source.jpg")
        try folder.write(
            #"[{"A": [1,2,3]}, {"B": [1,2,30,4]}, {"": [1,2,3,4]}, {"C": "x"}, {}]"#,
            to: "imgs/xmlab0/detection.json"
        )
        try folder.write("[{", to: "imgs/xmlab1/detection.json")
        let (dataset, report) = try runImport("slake", folder.url)
        let vqa = dataset.samples.filter { $0.task == .visualQuestionAnswering }
        #expect(vqa.map(\.choices) == [["Yes", "No"]])
        #expect(report.tallies["vqa"]?.found == 5 && report.tallies["question"]?.found == 7)
        let skipped = try #require(report.tallies["vqa"]?.skipped)
        #expect(skipped["no answer"] == 1 && skipped["no image file"] == 2)
        #expect(skipped.keys.contains { $0.hasPrefix("the image cannot be read") })
        #expect(report.tallies["question"]?.skippedCount == 2)
        let boxes = try #require(report.tallies["rec"])
        #expect(boxes.skipped["the box has no four numbers"] == 1 && boxes.skipped["the box leaves the image"] == 1)
        #expect(boxes.skipped["the object has no name"] == 2)
        #expect(boxes.skipped["its image cannot be used"] == 4)
        #expect(report.tallies["detection file"]?.skipped == ["detection.json cannot be read": 1])
    }

    @Test func `a broken file and a folder without questions are errors`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("imgs/xmlab0/source.jpg")
        #expect(importError { _ = try runImport("slake", folder.url) }?.cause.kind == .missing)
        try folder.write("[{", to: "train.json")
        #expect(importError { _ = try runImport("slake", folder.url) }?.cause.kind == .malformed)
    }
}

@Suite("SA-Med2D importer")
struct SAMed2DImporterTests {
    private func writeMask(_ folder: MadeFolder, _ path: String, x: Range<Int>, y: Range<Int>) throws {
        var pixels = [UInt8](repeating: 0, count: 20 * 10 * 3)
        for row in y { for column in x { for part in 0..<3 { pixels[(row * 20 + column) * 3 + part] = 255 } } }
        try folder.write(Data(try PNGEncoder.encode(RGBImage(width: 20, height: 10, pixels: pixels))), to: path)
    }

    private func layOut(_ folder: MadeFolder, cases: Int) throws {
        for modality in ["ct_00", "mr_t1", "us_00"] {
            for number in 0..<cases {
                let stem = "\(modality)--Set--Case_\(number)--x_0001"
                try folder.writePicture("images/\(stem).png")
                try writeMask(folder, "masks/\(stem)--0003_000.png", x: 2..<5, y: 1..<9)
            }
        }
        try folder.write(#"{"Set":{"left_kidney":"0003","spleen":4}}"#, to: "SAMed2D_v1_class_mapping_id.json")
    }

    @Test func `a mask gives its box, its name and its modality`() throws {
        let folder = try MadeFolder()
        try layOut(folder, cases: 6)
        let (dataset, report) = try runImport("sa-med2d", folder.url)
        #expect(dataset.samples.count == 24)
        #expect(report.tallies["rec"]?.skipped == ["not of a selected modality": 6])
        #expect(dataset.samples.count { $0.split == .test } == 4)
        let sample = try #require(dataset.samples.first { $0.id == "ct_00--Set--Case_1--x_0001--0003_000 reg" })
        #expect(sample.answer == "left kidney" && sample.group == "Set--Case_1" && sample.modality == "CT")
        #expect(sample.box == BoundingBox(xMin: 2, yMin: 1, xMax: 5, yMax: 9))
    }

    @Test func `the draw has the numbers asked for and follows the seed`() throws {
        let folder = try MadeFolder()
        try layOut(folder, cases: 12)
        func draw(_ seed: UInt64) throws -> (ImportedDataset, ImportReport) {
            let importer = try SAMed2DImporter(
                root: folder.url,
                options: ImportOptions(seed: seed),
                selection: .init(modalities: ["ct", "mr"], trainCount: 5, testCount: 1)
            )
            var report = ImportReport()
            return (try importer.importSamples(report: &report), report)
        }
        let (dataset, report) = try draw(1)
        #expect(report.isBalanced && report.tallies["rec"]?.skipped["not in the selection"] == 12)
        for modality in ["CT", "MR"] {
            let samples = dataset.samples.filter { $0.modality == modality && $0.objectName != nil }
            #expect(samples.count { $0.split == .train } == 10 && samples.count { $0.split == .test } == 2)
        }
        #expect(try draw(1).0 == dataset)
        #expect(try draw(2).0 != dataset)
    }

    @Test func `faulty masks are skipped and counted, in the list's form too`() throws {
        let folder = try MadeFolder()
        let stem = "ct_00--Set--Case--x_0001"
        try folder.writePicture("images/\(stem).png")
        try writeMask(folder, "masks/\(stem)--0003_000.png", x: 2..<5, y: 1..<9)
        try writeMask(folder, "masks/\(stem)--0003_001.png", x: 0..<0, y: 0..<0)
        try folder.writePicture("masks/\(stem)--0003_002.png", width: 9, height: 9)
        try folder.write("no picture", to: "masks/\(stem)--0003_003.png")
        try folder.write(#"{"Set":{"liver":3}}"#, to: "SAMed2D_v1_class_mapping_id.json")
        let names =
            (0...4).map { #""masks/\#(stem)--0003_00\#($0).png""# } + [
                #""masks/\#(stem)--0009_000.png""#, #""masks/../secret--a--b--c--0003_000.png""#, #""masks/x.png""#,
                #""masks/other--Set--Case--x_0001--0003_000.png""#,
            ]
        try folder.write(#"{"images/\#(stem).png":[\#(names.joined(separator: ","))]}"#, to: "SAMed2D_v1.json")
        let (dataset, report) = try runImport("sa-med2d", folder.url)
        #expect(dataset.samples.count == 2)
        let tally = try #require(report.tallies["rec"])
        #expect(tally.found == 9 && tally.skippedCount == 8)
        for reason in [
            "the mask is empty", "the mask's size is not the image's", "no mask file", "the class has no name",
            "the path is not in images or masks", "the name has not the five parts of a mask's",
            "the mask's name is not that of its image",
        ] {
            #expect(tally.skipped[reason] == 1, "\(reason)")
        }
    }

    // Skipped where the real data are not there.
    @Test(.enabled(if: RealData.has("sam-med2d-demo")))
    func `the demo's 30 masks give their boxes`() throws {
        let root = RealData.root.appendingPathComponent("sam-med2d-demo/data_demo")
        let (dataset, report) = try runImport("sa-med2d-all", root)
        #expect(report.tallies["rec"]?.found == 30 && report.tallies["rec"]?.imported == 30)
        #expect(Set(dataset.samples.compactMap(\.objectName)).contains("inferior vena cava"))
        #expect(Set(dataset.annotations.map(\.image.path)).count == 4)
    }
}

@Suite("RadFM importers")
struct RadFMImporterTests {
    private func layOutMIMIC(_ folder: MadeFolder) throws {
        var train = "image_path,label\n"
        for patient in 1...6 {
            let path = "p10/p1000\(patient)/s5\(patient)/image.jpg"
            try folder.writePicture("files/\(path)")
            train += "/mnt/cxr/files/\(path),\"FINDINGS: Clear, \"\"lungs\"\" \(patient).\nIMPRESSION: Normal.\"\n"
        }
        try folder.write(train, to: "mimic_caption_train.csv")
        try folder.writePicture("files/p11/p10006/s1/other.jpg")
        try folder.write(
            #"[{"image_path":"files/p11/p10006/s1/other.jpg","findings":"Heart large.","impression":"Edema."}]"#,
            to: "mimic_caption_test.json"
        )
    }

    @Test func `reports are findings and impression, patients keep to one split`() throws {
        let folder = try MadeFolder()
        try layOutMIMIC(folder)
        let (dataset, report) = try runImport("mimic-cxr", folder.url)
        #expect(dataset.samples.filter { $0.split == .test }.map(\.answer) == ["Heart large. Edema."])
        #expect(dataset.samples.count { $0.split == .train } == 5)
        #expect(report.tallies["rg"]?.skipped == ["the patient is in the test split": 1])
        #expect(dataset.samples.contains { $0.answer == #"Clear, "lungs" 3. Normal."# && $0.group == "p10003" })
    }

    @Test func `the number of training samples is drawn by the seed`() throws {
        let folder = try MadeFolder()
        try layOutMIMIC(folder)
        func draw(_ seed: UInt64) throws -> [String] {
            let importer = try MIMICCXRImporter(root: folder.url, options: ImportOptions(seed: seed), trainCount: 2)
            var report = ImportReport()
            let samples = try importer.importSamples(report: &report).samples
            #expect(report.isBalanced && report.tallies["rg"]?.skipped["not in the selection"] == 3)
            return samples.filter { $0.split == .train }.map(\.id)
        }
        #expect(try draw(1).count == 2 && draw(1) == draw(1))
        #expect(try Set((0..<8).map(draw)).count > 1)
    }

    @Test func `faulty rows are skipped and counted`() throws {
        let folder = try MadeFolder()
        try folder.writePicture("files/p10/p1/s1/a.jpg")
        let long = String(repeating: "x", count: 801)
        var data = Data(
            """
            image_path,label
            p10/p1/s1/a.jpg,Clear.
            p10/p1/s1/a.jpg,Again.
            p10/p1/s1/b.jpg,No file.
            ,No path.
            elsewhere/c.jpg,Bad path.
            p10/p1/s1/d.jpg,\(long)
            p10/p1/s1/e.jpg,IMPRESSION: only.
            p10/p1/s1/f.jpg,nan
            p10/p1/s1/g.jpg,one,too many

            """.utf8
        )
        data += Data([UInt8(ascii: "a"), UInt8(ascii: ","), 0xB0, 0x0A])
        data += Data("x,\"open".utf8)
        try folder.write(data, to: "mimic_caption_train.csv")
        let (dataset, report) = try runImport("mimic-cxr", folder.url)
        #expect(dataset.samples.map(\.answer) == ["Clear."])
        let tally = try #require(report.tallies["rg"])
        #expect(tally.found == 11 && tally.skippedCount == 10)
        for reason in [
            "the image is listed twice", "no image file", "no image path", "findings of more than 800 characters",
            "no findings", "no report", "the row has more or fewer fields than the header",
            "not UTF-8 text (see the setting 'encoding')", "a quoted field is never closed",
            "the path does not end with p1x/p<patient>/s<study>/<image>",
        ] {
            #expect(tally.skipped[reason] == 1, "\(reason)")
        }
    }

    @Test func `captions of single images are reports, modalities and planes are not`() throws {
        let folder = try MadeFolder()
        for name in ["a", "b"] { try folder.writePicture("images/\(name).jpg") }
        try folder.write(
            "name,context,type\na.jpg,\"A mass,\nlarge.\",caption\na.jpg,CT,modality\nc.jpg,Gone,caption\n"
                + "../x.jpg,Out,caption\nb.jpg,Taken,caption\na.jpg,,caption\n",
            to: "MedPix_single_train.csv"
        )
        try folder.write("name,context,type\r\nb.jpg,Test.,caption\r\n", to: "MedPix_single_test.csv")
        let (dataset, report) = try runImport("mpx-single", folder.url)
        #expect(dataset.samples.map(\.answer) == ["Test.", "A mass, large."])
        #expect(
            report.tallies["rg"]?.skipped == [
                "a modality, not a caption": 1, "no image file": 1, "no image name": 1,
                "the image is in the test split": 1, "no caption": 1,
            ]
        )
    }
}

@Suite("PathVQA importer")
struct PathVQAImporterTests {
    // What `pickle.dumps` writes for a list of dictionaries in protocol 2, made by hand.
    private func pickle(_ records: [[(String, String)]]) -> Data {
        func text(_ text: String) -> [UInt8] {
            let size = UInt32(text.utf8.count)
            return [0x58] + (0..<4).map { UInt8(truncatingIfNeeded: size >> (8 * UInt32($0))) } + Array(text.utf8)
        }
        var bytes: [UInt8] = [0x80, 2, 0x5D, 0x71, 0, 0x28]
        for record in records {
            bytes += [0x7D, 0x71, 1, 0x28]
            for (key, value) in record { bytes += text(key) + text(value) }
            bytes.append(0x75)
        }
        return Data(bytes + [0x65, 0x2E])
    }

    @Test func `questions keep to the publisher's splits`() throws {
        let folder = try MadeFolder()
        for split in ["train", "val", "test"] {
            try folder.writePicture("images/\(split)/\(split)_0001.jpg")
            try folder.write(
                pickle([
                    [("image", "\(split)_0001"), ("question", "Where is it?"), ("answer", "in the lung")],
                    [("image", "\(split)_0001"), ("question", "Is it?"), ("answer", "yes")],
                ]),
                to: "qas/\(split)/\(split)_qa.pkl"
            )
        }
        let (dataset, report) = try runImport("path-vqa", folder.url)
        #expect(dataset.samples.map(\.split) == [.train, .train, .validation, .validation, .test, .test])
        #expect(dataset.samples.map(\.choices).prefix(2) == [nil, ["yes", "no"]])
        #expect(dataset.annotations.count == 3 && report.tallies["image"]?.imported == 3)
    }

    @Test func `faulty records are skipped and counted`() throws {
        let folder = try MadeFolder()
        try folder.write("no picture", to: "images/train/bad.jpg")
        try folder.writePicture("images/train/good.jpg")
        try folder.write(
            pickle([
                [("image", "good"), ("question", "Q?"), ("answer", " ")], [("image", "good"), ("answer", "A")],
                [("image", "none"), ("question", "Q?"), ("answer", "A")], [("question", "Q?"), ("answer", "A")],
                [("image", "bad"), ("question", "Q?"), ("answer", "A")],
                [("image", "good"), ("question", "Q?"), ("answer", "A"), ("unknown", "field")],
            ]),
            to: "qas/train/train_qa.pkl"
        )
        let (dataset, report) = try runImport("path-vqa", folder.url)
        #expect(dataset.samples.count == 1)
        let skipped = try #require(report.tallies["vqa"]?.skipped)
        #expect(skipped["no answer"] == 1 && skipped["no question"] == 1)
        #expect(skipped["no image file"] == 1 && skipped["no image name"] == 1)
        #expect(skipped.values.reduce(0, +) == 5)
    }

    private static let runsCode: [UInt8] = [0x80, 2, 0x63] + Array("os\nsystem\n".utf8) + [0x2E]
    private static let holdsItself: [UInt8] = [0x80, 2, 0x5D, 0x71, 0, 0x68, 0, 0x61, 0x2E]
    private static let claimsTooMuch: [UInt8] = [0x80, 4, 0x8D] + [UInt8](repeating: 0xFF, count: 8)
    private static let isDeep: [UInt8] =
        [0x80, 2] + [UInt8](repeating: 0x5D, count: 99) + [UInt8](repeating: 0x61, count: 98) + [0x2E]
    private static let hostile: [([UInt8], String)] = [
        (runsCode, "asks for code to be run"), (holdsItself, "twice"), ([0x80, 2, 0x5D], "ends too early"),
        (claimsTooMuch, "ends too early"), ([0x80, 2, 0x65], "a mark is missing"), (isDeep, "too deeply"),
    ]

    @Test(arguments: hostile)
    func `hostile pickles are refused`(bytes: [UInt8], expected: String) throws {
        let folder = try MadeFolder()
        try folder.write(Data(bytes), to: "qas/train/train_qa.pkl")
        let error = try #require(importError { _ = try runImport("path-vqa", folder.url) })
        #expect(error.description.contains("train_qa.pkl") && error.description.contains(expected), "\(error)")
    }

    @Test(arguments: ParquetFixture.forms)
    func `the Parquet form of the hub is read, its pictures from their rows`(form: String) throws {
        let folder = try MadeFolder()
        let place = form.hasPrefix("zstd") ? "" : "data/"
        for split in ["train-00000-of-00002", "train-00001-of-00002", "validation", "test-00000-of-00001-abc"] {
            try folder.write(Data(contentsOf: ParquetFixture.url(form)), to: "\(place)\(split).parquet")
        }
        let (dataset, report) = try runImport("path-vqa", folder.url)
        // Of 30 rows two have no picture, one no question and one no answer; two rows share a picture.
        #expect(report.tallies["vqa"]?.found == 120 && report.tallies["vqa"]?.imported == 104)
        #expect(report.tallies["vqa"]?.skipped == ["no image": 8, "no question": 4, "no answer": 4])
        #expect(report.tallies["image"]?.imported == 45)
        #expect(dataset.samples.count { $0.split == .train } == 52 && dataset.samples.count { $0.split == .test } == 26)
        let rows = try ParquetFixture.rows()
        let importer = try ImporterRegistry.standard.entry(named: "path-vqa").importer(root: folder.url)
        var other = ImportReport()
        #expect(try importer.importSamples(report: &other) == dataset)
        for sample in dataset.samples {
            let number = try #require(sample.id.split(separator: "-").last.flatMap { Int($0) })
            let row = rows[number - 1]
            #expect(sample.question == row.question && sample.answer == row.answer)
            #expect(sample.choices == (row.answer == "yes" ? ["yes", "no"] : nil))
            let image = try #require(sample.image)
            #expect(image.width == 6 && image.height == 4 && sample.group == image.path)
            #expect(try importer.picture(image) == ImageDecoder.decode(data: #require(row.picture), name: "row"))
        }
        #expect(try importer.sourceFiles().count == 4)
        // Backwards as well: pages are found by their rows.
        let images = dataset.samples.compactMap(\.image)
        for image in images.reversed() { _ = try importer.picture(image) }
        let data = try DatasetPreparation(importers: [importer], imageSize: 4, threadCount: 2)
            .prepare(into: folder.file("out")).data
        #expect(data.images.count == 15 && data.images.fileCount == 45 && data.samples.count == 104)
    }
}

@Suite("MedMNIST importer")
struct MedMNISTImporterTests {
    private func array(_ shape: [Int], _ values: [UInt8], header: String? = nil) -> [UInt8] {
        let list = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
        var text = header ?? "{'descr': '|u1', 'fortran_order': False, 'shape': (\(list)), }"
        text += String(repeating: " ", count: 117 - text.utf8.count) + "\n"
        return [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(text.utf8) + values
    }

    /// A zip archive without compression.
    private func archive(_ entries: [(String, [UInt8])]) -> Data {
        func little(_ value: Int, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        func checksum(_ bytes: [UInt8]) -> Int {
            var value: UInt32 = .max
            for byte in bytes {
                value ^= UInt32(byte)
                for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
            }
            return Int(~value)
        }
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for (name, bytes) in entries {
            let common =
                little(20, 2) + little(0, 4) + little(0, 2) + little(33, 2) + little(checksum(bytes), 4)
                + little(bytes.count, 4) + little(bytes.count, 4) + little(name.utf8.count, 2) + little(0, 2)
            directory +=
                [0x50, 0x4B, 1, 2] + little(20, 2) + common + little(0, 6) + little(0, 4) + little(file.count, 4)
                + Array(name.utf8)
            file += [0x50, 0x4B, 3, 4] + common + Array(name.utf8) + bytes
        }
        let end =
            [0x50, 0x4B, 5, 6] + little(0, 4) + little(entries.count, 2) + little(entries.count, 2)
            + little(directory.count, 4) + little(file.count, 4) + little(0, 2)
        return Data(file + directory + end)
    }

    private func arrays(side: Int = 2, colour: Bool = true, labels: [UInt8] = [4, 0]) -> [(String, [UInt8])] {
        let shape = [2, side, side] + (colour ? [3] : [])
        let values = (0..<shape.reduce(1, *)).map { UInt8($0 % 251) }
        return ["train", "val", "test"].flatMap { name in
            [("\(name)_images.npy", array(shape, values)), ("\(name)_labels.npy", array([2, 1], labels))]
        }
    }

    @Test func `pictures, classes and splits are the file's`() throws {
        let folder = try MadeFolder()
        try folder.write(archive(arrays()), to: "dermamnist.npz")
        let (dataset, report) = try runImport("dermamnist", folder.url)
        #expect(dataset.samples.map(\.split) == [.train, .train, .validation, .validation, .test, .test])
        #expect(dataset.samples[0].answer == "melanoma" && report.tallies["cls"]?.imported == 6)
        #expect(
            dataset.samples[0].question
                == "Which category does this multi-source dermatoscopic image of common pigmented skin lesions belong "
                + "to: actinic keratoses and intraepithelial carcinoma, basal cell carcinoma, benign keratosis-like "
                + "lesions, dermatofibroma, melanoma, melanocytic nevi, or vascular lesions?"
        )
        let importer = try MedMNISTImporter(root: folder.url, subset: "dermamnist")
        for index in [1, 0] {
            let image = try #require(dataset.samples[index].image)
            let picture = try importer.picture(image)
            #expect(picture.pixels == (0..<12).map { UInt8(12 * index + $0) })
        }
    }

    @Test func `grey pictures are repeated and the largest size is read`() throws {
        let folder = try MadeFolder()
        try folder.write(archive(arrays(labels: [6, 1])), to: "organsmnist.npz")
        try folder.write(archive(arrays(side: 5, colour: false, labels: [6, 11])), to: "organsmnist_224.npz")
        let (dataset, report) = try runImport("organsmnist", folder.url)
        #expect(dataset.samples.map(\.answer) == ["liver", "liver", "liver"])
        #expect(report.tallies["cls"]?.skipped == ["the label is no class": 3])
        let image = try #require(dataset.samples[0].image)
        #expect(image.path == "organsmnist_224.npz/train/0" && image.width == 5)
        let picture = try MedMNISTImporter(root: folder.url, subset: "organsmnist").picture(image)
        #expect(picture.pixels.prefix(6) == [0, 0, 0, 1, 1, 1])
    }

    @Test func `more rows than are kept can be read in any order`() throws {
        let folder = try MadeFolder()
        let count = 600
        let values = (0..<count * 4).map { UInt8(truncatingIfNeeded: $0 / 4) }
        let images = array([count, 2, 2], values)
        let labels = array([count, 1], [UInt8](repeating: 0, count: count))
        let entries = ["train", "val", "test"].flatMap { [("\($0)_images.npy", images), ("\($0)_labels.npy", labels)] }
        try folder.write(archive(entries), to: "organamnist.npz")
        let importer = try MedMNISTImporter(root: folder.url, subset: "organamnist")
        for index in [0, 599, 3, 70, 300, 64, 63] {
            let reference = ImageReference(path: "organamnist.npz/val/\(index)", width: 2, height: 2)
            #expect(try importer.picture(reference).pixels == [UInt8](repeating: UInt8(index % 256), count: 12))
        }
        #expect(throws: ImagingError.self) {
            try importer.picture(ImageReference(path: "organamnist.npz/val/600", width: 2, height: 2))
        }
    }

    private func volumeArrays(side: Int, count: Int = 2, labels: [UInt8] = [4, 0]) -> [(String, [UInt8])] {
        let shape = [count, side, side, side]
        let values = (0..<shape.reduce(1, *)).map { UInt8($0 % 251) }
        return ["train", "val", "test"].flatMap { name in
            [("\(name)_images.npy", array(shape, values)), ("\(name)_labels.npy", array([count, 1], labels))]
        }
    }

    @Test func `3-D sets are volumes, also where their last size looks like colours`() throws {
        let folder = try MadeFolder()
        for (side, name) in [(3, "organmnist3d.npz"), (4, "organmnist3d_64.npz")] {
            try folder.write(archive(volumeArrays(side: side)), to: name)
            let (dataset, report) = try runImport("organmnist3d", folder.url)
            #expect(dataset.samples.map(\.split) == [.train, .train, .validation, .validation, .test, .test])
            #expect(dataset.samples[0].answer == "left femur" && report.tallies["cls"]?.imported == 6)
            let image = try #require(dataset.samples[1].image)
            #expect(image.volume == VolumeReference(slices: side) && image.path == "\(name)/train/1")
            let importer = try MedMNISTImporter(root: folder.url, subset: "organmnist3d")
            let area = side * side
            for slice in [side - 1, 0] {
                let picture = try importer.picture(image.pictures[slice])
                let first = (area * side + slice * area) % 251
                #expect(
                    picture.width == side
                        && picture.pixels.prefix(6).map(Int.init) == [
                            first, first, first, first + 1, first + 1, first + 1,
                        ]
                )
            }
            #expect(throws: ImagingError.self) { try importer.picture(image) }
            let beyond = ImageReference(path: image.slicePath(side), width: side, height: side)
            #expect(throws: ImagingError.self) { try importer.picture(beyond) }
        }
    }

    @Test func `a 3-D set is prepared slice by slice`() throws {
        let folder = try MadeFolder()
        try folder.write(archive(volumeArrays(side: 5, labels: [1, 0])), to: "nodulemnist3d.npz")
        let importer = try MedMNISTImporter(root: folder.url, subset: "nodulemnist3d")
        let preparation = try DatasetPreparation(importers: [importer], imageSize: 8)
        let data = try preparation.prepare(into: folder.file("prepared")).data
        #expect(data.samples.map(\.answer) == ["malignant", "benign", "malignant", "benign", "malignant", "benign"])
        #expect(data.verify().filter { $0.severity == .error }.isEmpty)
        for sample in data.samples {
            let image = try #require(sample.image)
            let positions = try #require(data.images.positions(of: sample))
            #expect(positions.count == 5)
            for (slice, position) in positions.enumerated() {
                let picture = try importer.picture(image.pictures[slice])
                #expect(
                    Array(data.images.pixels(at: position)) == PillowResizer.resize(picture, width: 8, height: 8).pixels
                )
            }
        }
    }

    @Test func `a set of volumes takes no pictures, and one of pictures no volumes`() throws {
        let folder = try MadeFolder()
        try folder.write(archive(arrays(colour: false)), to: "vesselmnist3d.npz")
        try folder.write(archive(volumeArrays(side: 4)), to: "bloodmnist.npz")
        let flat = importError { _ = try runImport("vesselmnist3d", folder.url) }
        #expect(flat?.cause.field == "train_images" && flat?.description.contains("[count, slices") == true)
        #expect(importError { _ = try runImport("bloodmnist", folder.url) }?.cause.field == "train_images")
    }

    @Test func `malformed archives are errors that name the array`() throws {
        let folder = try MadeFolder()
        func problem(_ change: (inout [(String, [UInt8])]) -> Void) throws -> String {
            var entries = arrays()
            change(&entries)
            try folder.write(archive(entries), to: "dermamnist.npz")
            return try #require(importError { _ = try runImport("dermamnist", folder.url) }).description
        }
        #expect(try problem { $0.removeLast() }.contains("test_labels"))
        #expect(try problem { $0[0].1.removeLast() }.contains("not as long as its shape says"))
        #expect(try problem { $0[0].1 = [1, 2, 3] }.contains("not a NumPy array"))
        #expect(try problem { $0[0].1 = array([2, 2, 2, 2, 2], [UInt8](repeating: 0, count: 32)) }.contains("volumes"))
        let wide = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2, 3), }"
        #expect(try problem { $0[0].1 = array([], [], header: wide) }.contains("array of bytes"))
        let huge = "{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775807, 4, 4), }"
        #expect(try problem { $0[0].1 = array([], [], header: huge) }.contains("not as long"))
        try folder.write("no archive", to: "dermamnist.npz")
        #expect(importError { _ = try runImport("dermamnist", folder.url) }?.cause.kind == .malformed)
        try folder.remove("dermamnist.npz")
        #expect(importError { _ = try runImport("dermamnist", folder.url) }?.cause.kind == .missing)
    }
}
