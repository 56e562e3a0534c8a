import Foundation
import Testing
import UniMedData
import UniMedImagingTesting
import UniMedImporters

/// What becomes of a data set of which one thing is damaged.
private enum Consequence: Sendable {
    /// The import is as if nothing were damaged.
    case none
    /// Things are skipped; `added` things of the kind are there beside those of the sound set.
    case skipped(_ kind: String, _ reason: String, count: Int = 1, added: Int = 0)
    /// As ``skipped(_:_:count:added:)``, found when the pictures are decoded.
    case skippedWhenDecoded(_ kind: String)
    /// The import is refused; the text is part of the error's.
    case refused(_ problem: String)
}

/// One damage to a sound data set.
private struct Variant: Sendable {
    let name: String
    let consequence: Consequence
    let damage: @Sendable (MadeFolder) throws -> Void

    init(_ name: String, _ consequence: Consequence, _ damage: @escaping @Sendable (MadeFolder) throws -> Void) {
        self.name = name
        self.consequence = consequence
        self.damage = damage
    }

    /// Line ends and byte order marks that other systems write change nothing.
    static func sound(in path: String) -> [Variant] {
        [
            Variant("UTF-8 BOM in \(path)", .none) { try $0.addByteOrderMark(to: path) },
            Variant("CRLF in \(path)", .none) { try $0.endLinesAsWindowsDoes(in: path) },
        ]
    }

    /// A picture whose file ends behind its header, and one whose file is of something else.
    static func picture(_ path: String, kind: String) -> [Variant] {
        [
            Variant("missing image", .skipped(kind, "no image file")) { try $0.remove(path) },
            Variant("truncated image", .skippedWhenDecoded(kind)) { try $0.truncate(path) },
            Variant("image of another kind", .skipped(kind, "the image cannot be read")) {
                try $0.write("GIF89a, which is not read", to: path)
            },
            Variant("empty image", .skipped(kind, "the image cannot be read")) { try $0.write("", to: path) },
        ]
    }
}

/// A sound data set in its publisher's layout, and what can be wrong with it.
private struct Layout: Sendable, CustomTestStringConvertible {
    let importer: String
    var title = ""
    var options = ImportOptions(validationFraction: 0)
    let layOut: @Sendable (MadeFolder) throws -> Void
    let variants: [Variant]

    var testDescription: String { title.isEmpty ? importer : "\(importer), \(title)" }
}

@Suite("Malformed data sets")
struct MalformedVariantTests {
    @Test(arguments: Layout.all)
    fileprivate func `every damage is skipped and counted, or refused, and nothing is lost`(layout: Layout) throws {
        let folder = try MadeFolder()
        try layout.layOut(folder)
        let sound = try runImport(layout.importer, folder.url, options: layout.options)
        #expect(!sound.dataset.samples.isEmpty && sound.report.faultCount == 0, "\(sound.report)")
        for variant in layout.variants {
            let damaged = try MadeFolder()
            try layout.layOut(damaged)
            try variant.damage(damaged)
            let title: Comment = "\(layout.testDescription): \(variant.name)"
            switch variant.consequence {
            case .none:
                let (dataset, report) = try runImport(layout.importer, damaged.url, options: layout.options)
                #expect(dataset == sound.dataset && report == sound.report, title)
            case .skipped(let kind, let reason, let count, let added):
                let (_, report) = try runImport(layout.importer, damaged.url, options: layout.options)
                expectSkipped(kind, reason, count, added, report, sound.report, title)
                // The policy that refuses faults refuses this one, unless a rule of the importer leaves it out.
                let importer = try ImporterRegistry.standard.entry(named: layout.importer)
                    .importer(root: damaged.url, options: layout.options)
                var other = ImportReport()
                if report.faultCount > 0 {
                    let error = importError { _ = try importer.checkedImport(faults: .refuse, report: &other) }
                    #expect(error?.cause.kind == .invalid, title)
                } else {
                    _ = try importer.checkedImport(faults: .refuse, report: &other)
                }
            case .skippedWhenDecoded(let kind):
                func prepare(_ faults: FaultPolicy) throws -> PreparedData {
                    let importer = try ImporterRegistry.standard.entry(named: layout.importer)
                        .importer(root: damaged.url, options: layout.options)
                    return try DatasetPreparation(importers: [importer], imageSize: 4, threadCount: 1, faults: faults)
                        .prepare(into: damaged.file("../\(damaged.url.lastPathComponent)-prepared")).data
                }
                defer { try? damaged.remove("../\(damaged.url.lastPathComponent)-prepared") }
                #expect(importError { _ = try prepare(.refuse) }?.description.contains("cannot be read") == true, title)
                let data = try prepare(.skip)
                let report = try #require(data.manifest.sources.first?.report)
                #expect(report.isBalanced, title)
                // Some layouts have one file of pictures for both splits.
                let findings = data.verify().filter { $0.kind != .pictureInSeveralSplits }
                #expect(findings.map(\.message) == [String](), title)
                let tally = try #require(report.tallies[kind], title)
                #expect(tally.found == sound.report.tallies[kind]?.found, title)
                #expect(tally.skipped.keys.contains { $0.hasPrefix("the image cannot be read") }, title)
                #expect(data.samples.count < sound.dataset.samples.count, title)
                #expect(importError { _ = try prepare(.refuse) } != nil, title)
            case .refused(let problem):
                let error = importError {
                    let (dataset, report) = try runImport(layout.importer, damaged.url, options: layout.options)
                    Issue.record("\(title): not refused: \(dataset.samples.count) samples, \(report.tallies)")
                }
                #expect(error?.description.contains(problem) == true, "\(title): \(error?.description ?? "")")
                // The file or the folder at fault is named.
                #expect(error?.cause.file != nil, title)
            }
        }
    }

    private func expectSkipped(
        _ kind: String,
        _ reason: String,
        _ count: Int,
        _ added: Int,
        _ report: ImportReport,
        _ sound: ImportReport,
        _ title: Comment
    ) {
        guard let tally = report.tallies[kind] else {
            Issue.record("\(title): nothing of the kind '\(kind)' in \(report.tallies)")
            return
        }
        #expect(tally.found == (sound.tallies[kind]?.found ?? 0) + added, title)
        let before = sound.tallies[kind]?.skipped ?? [:]
        let found = tally.skipped.filter { $0.key.contains(reason) && $0.value - before[$0.key, default: 0] == count }
        #expect(found.count == 1, "\(title): \(tally.skipped)")
    }

    @Test func `every importer of files has a table`() {
        let tested = Set(Layout.all.map(\.importer))
        for entry in ImporterRegistry.standard.entries {
            // Both read another selection, or another language, of what another entry reads.
            let isLikeAnother = entry.name.hasSuffix("-all") || entry.name == "slake-chinese"
            #expect(
                tested.contains(entry.name) || isLikeAnother,
                "\(entry.name)"
            )
        }
    }
}

// MARK: - The layouts

extension Layout {
    static let all =
        [
            pubMedQA, pubMedQAFolds, medQA, medPix, bloodCells, pascalVOC, slake, pathVQA, pathVQAParquet, saMed2D,
            saMed2DList, mimic,
            mimicJSON, mpxSingle, jsonLines, conversations, labelTable, classFolders, coco, masks, dicom,
        ] + MedMNISTImporter.subsets.map(medMNIST)

    private static let pubMedQA = Layout(
        importer: "pubmedqa",
        layOut: { folder in
            let records = (1...4).map { number in
                #""\#(number)": {"QUESTION": "Is it \#(number)?", "CONTEXTS": ["µ"], "final_decision": "yes"}"#
            }
            try folder.write("{\n\(records.joined(separator: ",\n"))\n}\n", to: "data/ori_pqal.json")
        },
        variants: Variant.sound(in: "data/ori_pqal.json") + [
            Variant("unknown field", .none) {
                try $0.replace("CONTEXTS", with: "NEW_FIELD", in: "data/ori_pqal.json")
            },
            Variant("broken record", .skipped("qa", "not valid JSON")) {
                try $0.replace(#""QUESTION": "Is it 2?""#, with: #""QUESTION" "Is it 2?""#, in: "data/ori_pqal.json")
            },
            Variant("record of another type", .skipped("qa", "expected an object")) {
                try $0.replace(#""3": {"#, with: #""3": 5, "9": {"#, in: "data/ori_pqal.json")
                try $0.replace(
                    #", "9": {"QUESTION": "Is it 3?", "CONTEXTS": ["µ"], "final_decision": "yes"}"#,
                    with: "",
                    in: "data/ori_pqal.json"
                )
            },
            Variant("missing question", .skipped("qa", "no question")) {
                try $0.replace("QUESTION", with: "OTHER", in: "data/ori_pqal.json")
            },
            Variant("empty answer", .skipped("qa", "the decision is not yes, no or maybe")) {
                try $0.replace(#""yes""#, with: #""""#, in: "data/ori_pqal.json")
            },
            Variant("not UTF-8", .skipped("qa", "not valid JSON")) {
                try $0.spoil("Is it 3", in: "data/ori_pqal.json")
            },
            Variant("duplicate id", .skipped("qa", "another question has the same number", added: 1)) {
                try $0.replace(
                    "{\n",
                    with: "{\n\"4\": {\"QUESTION\": \"Is it 4?\", \"CONTEXTS\": [\"µ\"], "
                        + "\"final_decision\": \"yes\"},\n",
                    in: "data/ori_pqal.json"
                )
            },
            Variant("truncated file", .refused("not valid JSON")) { try $0.truncate("data/ori_pqal.json") },
            Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "data/ori_pqal.json") },
            Variant("missing file", .refused("no data/ori_pqal.json")) { try $0.remove("data/ori_pqal.json") },
        ]
    )

    private static let pubMedQAFolds = Layout(
        importer: "pubmedqa",
        title: "folds",
        layOut: { folder in
            for (number, path) in ["pqal_fold0/train_set", "pqal_fold0/dev_set", "test_set"].enumerated() {
                let records = (1...2).map {
                    #""\#(number)\#($0)": {"QUESTION": "Is it \#(number)\#($0)?", "final_decision": "no"}"#
                }
                try folder.write("{\n\(records.joined(separator: ",\n"))\n}", to: "data/\(path).json")
            }
        },
        variants: Variant.sound(in: "data/pqal_fold0/train_set.json") + [
            Variant("empty answer", .skipped("qa", "the decision is not yes, no or maybe")) {
                try $0.replace(#""no""#, with: #""""#, in: "data/pqal_fold0/dev_set.json")
            },
            Variant("a question in two splits", .refused("also in the train split")) {
                try $0.replace(#""22""#, with: #""01""#, in: "data/test_set.json")
            },
            Variant("duplicate id", .skipped("qa", "another question has the same number")) {
                try $0.replace(#""22""#, with: #""21""#, in: "data/test_set.json")
            },
            Variant("missing development set", .refused("no file data/pqal_fold0/dev_set.json")) {
                try $0.remove("data/pqal_fold0/dev_set.json")
            },
            Variant("missing test set", .refused("no file data/test_set.json")) { try $0.remove("data/test_set.json") },
            Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "data/test_set.json") },
        ]
    )

    private static let medQA = Layout(
        importer: "medqa",
        layOut: { folder in
            for name in ["train", "dev", "test"] {
                let lines = (1...3).map { number in
                    #"{"question":"Which \#(name) \#(number)?","answer":"µ","options":{"A":"x","B":"µ"},"#
                        + #""meta_info":"step1","answer_idx":"B","metamap_phrases":["m"]}"# + "\n"
                }
                try folder.write(lines.joined(), to: "questions/US/\(name).jsonl")
            }
        },
        variants: Variant.sound(in: "questions/US/train.jsonl") + [
            Variant("unknown field", .none) {
                try $0.replace("metamap_phrases", with: "new_field", in: "questions/US/train.jsonl")
            },
            Variant("broken line", .skipped("qa", "not valid JSON")) {
                try $0.replace(
                    #"{"question":"Which dev 2"#,
                    with: #"{"question":Which dev 2"#,
                    in: "questions/US/dev.jsonl"
                )
            },
            Variant("truncated file", .skipped("qa", "not valid JSON", added: 0)) {
                try $0.truncate("questions/US/test.jsonl", to: 0.95)
            },
            Variant("field of another type", .skipped("qa", "field 'question': expected text")) {
                try $0.replace(#""Which test 1?""#, with: "[1]", in: "questions/US/test.jsonl")
            },
            Variant("missing field", .skipped("qa", "no option has the answer's letter")) {
                try $0.replace("answer_idx", with: "letter", in: "questions/US/test.jsonl")
            },
            Variant("empty answer", .skipped("qa", "the answer is not the option of its letter")) {
                try $0.replace(#""answer":"µ""#, with: #""answer":"""#, in: "questions/US/test.jsonl")
            },
            Variant("not UTF-8", .skipped("qa", "not valid JSON")) {
                try $0.spoil("Which train 2", in: "questions/US/train.jsonl")
            },
            Variant("empty file", .skipped("file", "the file is empty")) {
                try $0.write("", to: "questions/US/dev.jsonl")
            },
            Variant("file of another name", .skipped("file", "its name is not that of a split", added: 1)) {
                try $0.write("", to: "questions/US/qbank.jsonl")
            },
            Variant("missing folder", .refused("no folder questions/US")) { try $0.remove("questions/US") },
        ]
    )

    private static let medPix = Layout(
        importer: "medpix",
        layOut: { folder in
            func record(_ number: Int) -> String {
                #"{"Type":"CT","U_id":"MPX\#(number)","image":"MPX\#(number)_a","Description":{"ACR Codes":"6.3","#
                    + #""Age":"43","Caption":"Caption µ \#(number).","Plane":"Axial","Modality":"CT"},"#
                    + #""Location":"Chest","Location Category":"Thorax"}"#
            }
            for number in 1...4 { try folder.writePattern("images/MPX\(number)_a.png", seed: number) }
            try folder.write("[\n\((1...4).map(record).joined(separator: ",\n"))\n]", to: "Descriptions.json")
            for (name, numbers) in [("train", 1...2), ("dev", 3...4)] {
                let lines = numbers.map { record($0) + "\n" }
                try folder.write(lines.joined(), to: "splitted_dataset/descriptions_\(name).jsonl")
            }
        },
        variants: Variant.sound(in: "Descriptions.json") + Variant.sound(in: "splitted_dataset/descriptions_dev.jsonl")
            + Variant.picture("images/MPX2_a.png", kind: "image") + [
                Variant("unknown field", .none) { try $0.replace("ACR Codes", with: "New", in: "Descriptions.json") },
                Variant("record of another type", .skipped("image", "field 'Description.Plane': expected text")) {
                    try $0.replace(#""Axial""#, with: "3", in: "Descriptions.json")
                },
                Variant("empty caption", .skipped("rg", "no caption")) {
                    try $0.replace("Caption µ 3.", with: " ", in: "Descriptions.json")
                },
                Variant("missing image name", .skipped("image", "no image name")) {
                    try $0.replace(#""image""#, with: #""picture""#, in: "Descriptions.json")
                },
                Variant("duplicate id", .skipped("image", "the image is listed twice")) {
                    try $0.replace(#""image":"MPX2_a""#, with: #""image":"MPX1_a""#, in: "Descriptions.json")
                },
                Variant("case in no split", .skipped("image", "the case is in no split")) {
                    try $0.replace(#""U_id":"MPX4""#, with: #""U_id":"MPX9""#, in: "Descriptions.json")
                },
                Variant("case in two splits", .refused("also in the train split")) {
                    try $0.replace(
                        #""U_id":"MPX3""#,
                        with: #""U_id":"MPX1""#,
                        in: "splitted_dataset/descriptions_dev.jsonl"
                    )
                },
                Variant("broken line of a split", .refused("descriptions_dev.jsonl, line 1")) {
                    try $0.replace(#"{"Type""#, with: #"{Type"#, in: "splitted_dataset/descriptions_dev.jsonl")
                },
                Variant("not UTF-8", .skipped("image", "not UTF-8 text")) {
                    try $0.spoil("Caption µ 2", in: "Descriptions.json")
                },
                Variant("broken JSON", .refused("not valid JSON")) { try $0.truncate("Descriptions.json") },
                Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "Descriptions.json") },
            ]
    )

    private static func blood(_ importer: String) -> Layout {
        Layout(
            importer: importer,
            layOut: { folder in
                for (number, id) in ["a", "b", "c"].enumerated() {
                    try folder.write(
                        "<annotation>\n<size><width>20</width><height>10</height></size>\n<object><name>WBC µ</name>"
                            + "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>15</xmax><ymax>6</ymax></bndbox></object>\n"
                            + "</annotation>\n",
                        to: "Annotations/\(id).xml"
                    )
                    try folder.writePattern("JPEGImages/\(id).jpg", seed: number)
                }
                try folder.write("a\nb\n", to: "ImageSets/Main/train.txt")
                try folder.write("c\n", to: "ImageSets/Main/val.txt")
            },
            variants: Variant.sound(in: "Annotations/a.xml") + Variant.sound(in: "ImageSets/Main/train.txt")
                + Variant.picture("JPEGImages/b.jpg", kind: "image") + [
                    Variant("unknown field", .none) {
                        try $0.replace("<object>", with: "<object><new>x</new>", in: "Annotations/a.xml")
                    },
                    Variant("missing annotation", .skipped("image", "no annotation file")) {
                        try $0.remove("Annotations/a.xml")
                    },
                    Variant("broken XML", .skipped("image", "the annotation cannot be read")) {
                        try $0.truncate("Annotations/b.xml")
                    },
                    Variant("empty annotation", .skipped("image", "the annotation cannot be read")) {
                        try $0.write("", to: "Annotations/b.xml")
                    },
                    Variant("not UTF-8", .skipped("image", "the annotation cannot be read")) {
                        try $0.spoil("WBC", in: "Annotations/b.xml")
                    },
                    Variant("box outside the image", .skipped("rec", "the box leaves the image")) {
                        try $0.replace("<xmax>15", with: "<xmax>25", in: "Annotations/a.xml")
                    },
                    Variant("box without area", .skipped("box", "the box has no area")) {
                        try $0.replace("<xmax>15", with: "<xmax>1", in: "Annotations/a.xml")
                    },
                    Variant("missing edge", .skipped("box", "the box has no four numbers")) {
                        try $0.replace("<xmin>1</xmin>", with: "", in: "Annotations/a.xml")
                    },
                    Variant("empty name", .skipped("reg", "the object has no name")) {
                        try $0.replace("WBC µ", with: " ", in: "Annotations/a.xml")
                    },
                    Variant("another size", .skipped("image", "the annotation's size is not the image's")) {
                        try $0.replace("<width>20", with: "<width>21", in: "Annotations/a.xml")
                    },
                    Variant("duplicate id", .skipped("image", "another image has the same name", added: 1)) {
                        try $0.writePattern("JPEGImages/a.png")
                    },
                    Variant("file of another kind", .skipped("file", "the name is not that of an image", added: 1)) {
                        try $0.write("x", to: "JPEGImages/Thumbs.db")
                    },
                    Variant("image in no list", .skipped("image", "in no split's list")) {
                        try $0.write("", to: "ImageSets/Main/val.txt")
                    },
                    Variant("image in two lists", .refused("also in the train split")) {
                        try $0.write("a\nc\n", to: "ImageSets/Main/val.txt")
                    },
                    Variant("list that is not UTF-8", .refused("not UTF-8 text")) {
                        try $0.spoil("a", in: "ImageSets/Main/train.txt")
                    },
                ]
        )
    }

    private static let bloodCells = blood("bccd")
    private static let pascalVOC = blood("pascal-voc")

    private static let slake = Layout(
        importer: "slake",
        layOut: { folder in
            var questions: [String] = []
            for number in 0..<7 {
                try folder.writePattern("imgs/xmlab\(number)/source.jpg", seed: number)
                try folder.write(
                    "[{\"Liver\": [1.0, 2.0, 5.0, 6.0]},\n{\"Lung µ\": [0.0, 0.0, 20.0, 10.0]}]",
                    to: "imgs/xmlab\(number)/detection.json"
                )
                questions.append(
                    #"{"img_id":\#(number),"img_name":"xmlab\#(number)/source.jpg","question":"What µ \#(number)?","#
                        + #""answer":"A\#(number)","q_lang":"en","modality":"CT","base_type":"vqa","qid":\#(number)}"#
                )
            }
            try folder.write("[\n\(questions.prefix(5).joined(separator: ",\n"))\n]", to: "train.json")
            try folder.write("[\n\(questions.suffix(2).joined(separator: ",\n"))\n]", to: "validate.json")
            try folder.write("[]", to: "test.json")
        },
        variants: Variant.sound(in: "train.json") + Variant.sound(in: "imgs/xmlab0/detection.json")
            + Variant.picture("imgs/xmlab2/source.jpg", kind: "image") + [
                Variant("missing image of a question", .skipped("vqa", "no image file")) {
                    try $0.remove("imgs/xmlab2/source.jpg")
                },
                Variant("missing image of two boxes", .skipped("rec", "its image cannot be used", count: 2)) {
                    try $0.remove("imgs/xmlab2/source.jpg")
                },
                Variant("unknown field", .none) { try $0.replace("base_type", with: "new", in: "train.json") },
                Variant("record of another type", .skipped("question", "field 'question': expected text")) {
                    try $0.replace(#""What µ 1?""#, with: "1", in: "train.json")
                },
                Variant("missing field", .skipped("vqa", "no answer")) {
                    try $0.replace(#""answer""#, with: #""reply""#, in: "train.json")
                },
                Variant("empty answer", .skipped("vqa", "no answer")) {
                    try $0.replace(#""A3""#, with: #""""#, in: "train.json")
                },
                Variant("not UTF-8", .skipped("question", "not UTF-8 text")) {
                    try $0.spoil("What µ 2", in: "train.json")
                },
                Variant("box outside the image", .skipped("reg", "the box leaves the image")) {
                    try $0.replace("20.0, 10.0", with: "30.0, 10.0", in: "imgs/xmlab1/detection.json")
                },
                Variant("box of three numbers", .skipped("rec", "the box has no four numbers")) {
                    try $0.replace("[1.0, ", with: "[", in: "imgs/xmlab1/detection.json")
                },
                Variant("broken detections", .skipped("detection file", "detection.json cannot be read")) {
                    try $0.truncate("imgs/xmlab1/detection.json")
                },
                Variant("missing detections", .skipped("detection file", "no detection.json")) {
                    try $0.remove("imgs/xmlab1/detection.json")
                },
                Variant("duplicate question", .none) {
                    // Questions are named after their places, and the publisher's numbers are not read.
                    try $0.replace(#""qid":2"#, with: #""qid":1"#, in: "train.json")
                },
                Variant("broken JSON", .refused("not valid JSON")) { try $0.truncate("train.json") },
                Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "test.json") },
                Variant("missing folder of images", .refused("no folder imgs")) { try $0.remove("imgs") },
            ]
    )

    private static let pathVQA = Layout(
        importer: "path-vqa",
        layOut: { folder in
            for (place, split) in ["train", "test"].enumerated() {
                for number in 1...2 {
                    try folder.writePattern("images/\(split)/\(split)_\(number).jpg", seed: 10 * place + number)
                }
                try folder.write(
                    Synthetic.pickle(
                        (1...2).map {
                            [("image", "\(split)_\($0)"), ("question", "What µ \($0)?"), ("answer", "A\($0)")]
                        }
                    ),
                    to: "qas/\(split)/\(split)_qa.pkl"
                )
            }
        },
        variants: Variant.picture("images/train/train_1.jpg", kind: "vqa") + [
            Variant("unknown field", .none) {
                let record = [("image", "test_1"), ("question", "What µ 1?"), ("answer", "A1"), ("new", "x")]
                let second = [("image", "test_2"), ("question", "What µ 2?"), ("answer", "A2")]
                try $0.write(Synthetic.pickle([record, second]), to: "qas/test/test_qa.pkl")
            },
            Variant("missing field", .skipped("vqa", "no question")) {
                try $0.replace("question", with: "inquired", in: "qas/train/train_qa.pkl")
            },
            Variant("empty answer", .skipped("vqa", "no answer")) {
                try $0.replace("A1", with: "  ", in: "qas/train/train_qa.pkl")
            },
            Variant("not UTF-8", .refused("a text is not UTF-8")) {
                try $0.spoil("What", in: "qas/train/train_qa.pkl")
            },
            Variant("truncated file", .refused("ends too early")) { try $0.truncate("qas/train/train_qa.pkl") },
            Variant("empty file", .refused("ends too early")) { try $0.write("", to: "qas/train/train_qa.pkl") },
            Variant("missing files", .refused("no file qas/train/train_qa.pkl")) { try $0.remove("qas") },
        ]
    )

    private static let pathVQAParquet = Layout(
        importer: "path-vqa",
        title: "Parquet",
        layOut: { folder in
            for split in ["train", "test"] {
                try folder.write(Data(contentsOf: ParquetFixture.url("sound")), to: "data/\(split)-0.parquet")
            }
        },
        variants: [
            Variant("truncated image", .skippedWhenDecoded("vqa")) {
                try $0.replace("IDAT", with: "IDAX", in: "data/train-0.parquet")
            },
            Variant("image of another kind", .skipped("vqa", "the image cannot be read")) {
                try $0.replace("PNG", with: "GIF", in: "data/train-0.parquet")
            },
            Variant("empty answer", .skipped("vqa", "no answer")) {
                try $0.replace("kidney", with: "      ", in: "data/train-0.parquet")
            },
            Variant("not UTF-8", .skipped("vqa", "a text is not UTF-8")) {
                try $0.spoil("what", in: "data/test-0.parquet")
            },
            Variant("column of another name", .refused("other columns than the schema")) {
                try $0.replace("question", with: "inquiry?", in: "data/train-0.parquet")
            },
            Variant("truncated file", .refused("cut off")) { try $0.truncate("data/train-0.parquet") },
            Variant("empty file", .refused("cut off")) { try $0.write("", to: "data/train-0.parquet") },
            Variant("file of another name", .refused("begins with train")) {
                try $0.write("", to: "data/part-0.parquet")
            },
            Variant("missing files", .refused("no file qas/train/train_qa.pkl")) { try $0.remove("data") },
        ]
    )

    private static let saMed2D = Layout(
        importer: "sa-med2d",
        layOut: { folder in
            for number in 0..<6 {
                let stem = "ct_00--Set--Case_\(number)--x_0001"
                try folder.writePattern("images/\(stem).png", seed: number)
                try folder.write(Synthetic.mask(255, x: 2..<5, y: 1..<9), to: "masks/\(stem)--0003_000.png")
            }
            try folder.write("{\n\"Set\": {\"left_kidney µ\": \"0003\"}\n}", to: "SAMed2D_v1_class_mapping_id.json")
        },
        variants: Variant.sound(in: "SAMed2D_v1_class_mapping_id.json")
            + Variant.picture("images/ct_00--Set--Case_1--x_0001.png", kind: "rec") + [
                Variant("truncated mask", .skipped("rec", "the mask cannot be read")) {
                    try $0.truncate("masks/ct_00--Set--Case_1--x_0001--0003_000.png")
                },
                Variant("empty mask", .skipped("reg", "the mask is empty")) {
                    try $0.write(
                        Synthetic.mask(0, x: 0..<0, y: 0..<0),
                        to: "masks/ct_00--Set--Case_1--x_0001--0003_000.png"
                    )
                },
                Variant("mask larger than the image", .skipped("reg", "the mask's size is not the image's")) {
                    try $0.write(
                        Synthetic.mask(255, x: 2..<25, y: 1..<9, width: 30),
                        to: "masks/ct_00--Set--Case_1--x_0001--0003_000.png"
                    )
                },
                Variant("name without its parts", .skipped("rec", "the name has not the five parts", added: 1)) {
                    try $0.write(Synthetic.mask(255, x: 2..<5, y: 1..<9), to: "masks/ct--x.png")
                },
                Variant("class without a name", .skipped("rec", "the class has no name", added: 1)) {
                    try $0.write(
                        Synthetic.mask(255, x: 2..<5, y: 1..<9),
                        to: "masks/ct_00--Set--Case_1--x_0001--0009_000.png"
                    )
                },
                Variant("broken names", .refused("not valid JSON")) {
                    try $0.truncate("SAMed2D_v1_class_mapping_id.json")
                },
                Variant("empty names", .refused("not valid JSON")) {
                    try $0.write("", to: "SAMed2D_v1_class_mapping_id.json")
                },
                Variant("names that are not UTF-8", .refused("SAMed2D_v1_class_mapping_id.json")) {
                    try $0.spoil("left_kidney", in: "SAMed2D_v1_class_mapping_id.json")
                },
            ]
    )

    private static let saMed2DList = Layout(
        importer: "sa-med2d",
        title: "list of masks",
        layOut: { folder in
            try saMed2D.layOut(folder)
            let entries = (0..<6).map { number in
                let stem = "ct_00--Set--Case_\(number)--x_0001"
                return #""images/\#(stem).png": ["masks/\#(stem)--0003_000.png"]"#
            }
            try folder.write("{\n\(entries.joined(separator: ",\n"))\n}", to: "SAMed2D_v1.json")
        },
        variants: Variant.sound(in: "SAMed2D_v1.json") + [
            Variant("missing mask", .skipped("rec", "no mask file")) {
                try $0.remove("masks/ct_00--Set--Case_1--x_0001--0003_000.png")
            },
            Variant("duplicate mask", .skipped("rec", "the mask is listed twice", added: 1)) {
                let mask = #""masks/ct_00--Set--Case_1--x_0001--0003_000.png""#
                try $0.replace(mask, with: "\(mask), \(mask)", in: "SAMed2D_v1.json")
            },
            Variant("duplicate image", .skipped("rec", "the image is listed twice", added: 1)) {
                try $0.replace(
                    "{\n",
                    with: "{\n\"images/ct_00--Set--Case_5--x_0001.png\": "
                        + "[\"masks/ct_00--Set--Case_5--x_0001--0003_000.png\"],\n",
                    in: "SAMed2D_v1.json"
                )
            },
            Variant("masks of another type", .skipped("rec", "the list of masks: expected")) {
                try $0.replace(#"["masks/ct_00--Set--Case_1--x_0001--0003_000.png"]"#, with: "5", in: "SAMed2D_v1.json")
            },
            Variant("path that leaves the folder", .skipped("rec", "the path is not in images or masks")) {
                try $0.replace(#"["masks/ct"#, with: #"["masks/../ct"#, in: "SAMed2D_v1.json")
            },
            Variant("broken JSON", .refused("not valid JSON")) { try $0.truncate("SAMed2D_v1.json") },
            Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "SAMed2D_v1.json") },
        ]
    )

    private static let mimic = Layout(
        importer: "mimic-cxr",
        layOut: { folder in
            for (name, patients) in [("train", 1...3), ("test", 4...5)] {
                var table = "image_path,label\n"
                for patient in patients {
                    let path = "p10/p1000\(patient)/s5\(patient)/image.jpg"
                    try folder.writePattern("files/\(path)", seed: patient)
                    table += "/mnt/files/\(path),\"FINDINGS: Clear µ \(patient).\nIMPRESSION: Normal.\"\n"
                }
                try folder.write(table, to: "mimic_caption_\(name).csv")
            }
        },
        variants: Variant.sound(in: "mimic_caption_train.csv")
            + Variant.picture("files/p10/p10002/s52/image.jpg", kind: "rg") + [
                Variant("unknown column", .none) {
                    try $0.write(
                        "image_path,new,label\n"
                            + (4...5).map {
                                "/mnt/files/p10/p1000\($0)/s5\($0)/image.jpg,x,"
                                    + "\"FINDINGS: Clear µ \($0).\nIMPRESSION: Normal.\"\n"
                            }.joined(),
                        to: "mimic_caption_test.csv"
                    )
                },
                Variant("missing column", .refused("no such column; there are image_path, other")) {
                    try $0.replace("image_path,label", with: "image_path,other", in: "mimic_caption_train.csv")
                },
                Variant("missing column of paths", .refused("no such column")) {
                    try $0.replace("image_path", with: "where", in: "mimic_caption_train.csv")
                },
                Variant("row with too many fields", .skipped("rg", "more or fewer fields than the header")) {
                    try $0.replace("image.jpg,", with: "image.jpg,,", in: "mimic_caption_train.csv")
                },
                Variant("quote that is not closed", .skipped("rg", "a quoted field is never closed", added: -1)) {
                    try $0.replace(
                        "Normal.\"\n/mnt/files/p10/p10003",
                        with: "Normal.\n/mnt/files/p10/p10003",
                        in: "mimic_caption_train.csv"
                    )
                    try $0.replace("3.\nIMPRESSION: Normal.\"", with: "3.", in: "mimic_caption_train.csv")
                    try $0.replace("\"FINDINGS: Clear µ 3", with: "FINDINGS: Clear µ 3", in: "mimic_caption_train.csv")
                },
                Variant("empty report", .skipped("rg", "no report")) {
                    try $0.replace(
                        "\"FINDINGS: Clear µ 2.\nIMPRESSION: Normal.\"",
                        with: "",
                        in: "mimic_caption_train.csv"
                    )
                },
                Variant("not UTF-8", .skipped("rg", "not UTF-8 text")) {
                    try $0.spoil("Clear", in: "mimic_caption_train.csv")
                },
                Variant("duplicate image", .skipped("rg", "the image is listed twice")) {
                    try $0.replace("p10/p10002/s52", with: "p10/p10001/s51", in: "mimic_caption_train.csv")
                },
                Variant("path of another form", .skipped("rg", "the path does not end with")) {
                    try $0.replace("p10/p10002/s52", with: "elsewhere", in: "mimic_caption_train.csv")
                },
                Variant("empty file", .refused("the table is empty")) {
                    try $0.write("", to: "mimic_caption_train.csv")
                },
                Variant("missing tables", .refused("no file mimic_caption_train.csv")) {
                    try $0.remove("mimic_caption_train.csv")
                    try $0.remove("mimic_caption_test.csv")
                },
            ]
    )

    private static let mimicJSON = Layout(
        importer: "mimic-cxr",
        title: "JSON",
        layOut: { folder in
            let records = try (1...3).map { patient in
                let path = "p10/p1000\(patient)/s5\(patient)/image.jpg"
                try folder.writePattern("files/\(path)", seed: patient)
                return #"{"image_path":"files/\#(path)","findings":"Clear µ \#(patient).","impression":"Normal."}"#
            }
            try folder.write("[\n\(records.joined(separator: ",\n"))\n]", to: "mimic_caption_train.json")
        },
        variants: Variant.sound(in: "mimic_caption_train.json") + [
            Variant("record of another type", .skipped("rg", "expected an object")) {
                try $0.replace("[\n{", with: "[\n5,{", in: "mimic_caption_train.json")
                try $0.replace(
                    #"{"image_path":"files/p10/p10001/s51/image.jpg","findings":"Clear µ 1.","impression":"Normal."},"#,
                    with: "",
                    in: "mimic_caption_train.json"
                )
            },
            Variant("missing field", .skipped("rg", "no image path")) {
                try $0.replace("image_path", with: "where", in: "mimic_caption_train.json")
            },
            Variant("empty answer", .skipped("rg", "no findings")) {
                try $0.replace("Clear µ 1.", with: " ", in: "mimic_caption_train.json")
            },
            Variant("not UTF-8", .skipped("rg", "not UTF-8 text")) {
                try $0.spoil("Clear", in: "mimic_caption_train.json")
            },
            Variant("broken JSON", .refused("not valid JSON")) { try $0.truncate("mimic_caption_train.json") },
            Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "mimic_caption_train.json") },
        ]
    )

    private static let mpxSingle = Layout(
        importer: "mpx-single",
        layOut: { folder in
            for (name, numbers) in [("train", 1...3), ("test", 4...5)] {
                var table = "name,context,type\n"
                for number in numbers {
                    try folder.writePattern("images/m\(number).jpg", seed: number)
                    table += "m\(number).jpg,\"Mass µ \(number),\nlarge.\",caption\n"
                }
                try folder.write(table, to: "MedPix_single_\(name).csv")
            }
        },
        variants: Variant.sound(in: "MedPix_single_train.csv") + Variant.picture("images/m2.jpg", kind: "rg") + [
            Variant("missing column", .refused("field 'context'")) {
                try $0.replace("name,context", with: "name,text", in: "MedPix_single_train.csv")
            },
            Variant("row with too few fields", .skipped("rg", "more or fewer fields than the header")) {
                try $0.replace("large.\",caption", with: "large.\"", in: "MedPix_single_train.csv")
            },
            Variant("empty answer", .skipped("rg", "no caption")) {
                try $0.replace("\"Mass µ 2,\nlarge.\"", with: "", in: "MedPix_single_train.csv")
            },
            Variant("another type", .skipped("rg", "not a caption")) {
                try $0.replace("large.\",caption", with: "large.\",riddle", in: "MedPix_single_train.csv")
            },
            Variant("image of the test split", .skipped("rg", "the image is in the test split")) {
                try $0.replace("m2.jpg", with: "m4.jpg", in: "MedPix_single_train.csv")
            },
            Variant("not UTF-8", .skipped("rg", "not UTF-8 text")) {
                try $0.spoil("Mass", in: "MedPix_single_train.csv")
            },
            Variant("two columns of one name", .refused("two such columns")) {
                try $0.replace("name,context,type", with: "name,context,name", in: "MedPix_single_train.csv")
            },
            Variant("empty file", .refused("the table is empty")) { try $0.write("", to: "MedPix_single_test.csv") },
        ]
    )

    /// The content of a set's file: two pictures or volumes a split, all of the class 0 and of the class 1.
    private static func medMNISTFile(
        _ subset: MedMNISTImporter.Subset,
        labels: [UInt8] = [0, 1],
        shape: [Int]? = nil,
        without missing: String? = nil
    ) -> Data {
        let shape = shape ?? (subset.isVolume ? [2, 3, 4, 5] : [2, 4, 5, 3])
        let pixels = (0..<shape.reduce(1, *)).map { UInt8($0 % 251) }
        // Several findings are a number each.
        let width = subset.isMultiLabel ? subset.classes.count : 1
        let values = labels.flatMap { [$0] + [UInt8](repeating: 0, count: width - 1) }
        let entries = ["train", "val", "test"].flatMap { name in
            [
                ("\(name)_images.npy", Synthetic.array(shape, pixels)),
                ("\(name)_labels.npy", Synthetic.array([labels.count, width], values)),
            ]
        }
        return Synthetic.archive(entries.filter { $0.0 != missing })
    }

    private static func medMNIST(_ subset: MedMNISTImporter.Subset) -> Layout {
        let file = "\(subset.name).npz"
        return Layout(
            importer: subset.name,
            layOut: { try $0.write(medMNISTFile(subset), to: file) },
            variants: [
                Variant("label that is no class", .skipped("cls", "the label is no class", count: 3)) {
                    try $0.write(medMNISTFile(subset, labels: [0, 200]), to: file)
                },
                Variant("fewer labels than pictures", .refused("one per picture")) {
                    try $0.write(medMNISTFile(subset, labels: [0]), to: file)
                },
                Variant(
                    "pictures of another shape",
                    .refused(subset.isVolume ? "expected volumes" : "no set of volumes")
                ) {
                    // A volume with three columns could be a picture in colour, and is none where pictures are
                    // expected.
                    try $0.write(medMNISTFile(subset, shape: subset.isVolume ? [2, 4, 5] : [2, 3, 4, 5]), to: file)
                },
                Variant("missing images", .refused("val_images")) {
                    try $0.write(medMNISTFile(subset, without: "val_images.npy"), to: file)
                },
                Variant("missing labels", .refused("test_labels")) {
                    try $0.write(medMNISTFile(subset, without: "test_labels.npy"), to: file)
                },
                Variant("array longer than its shape", .refused("not as long as its shape says")) {
                    let header = "'shape': (2, "
                    try $0.replace(header, with: "'shape': (1, ", in: file)
                },
                Variant("truncated file", .refused("not a readable npz file")) { try $0.truncate(file) },
                Variant("empty file", .refused(file)) { try $0.write("", to: file) },
                Variant("missing file", .refused("no file \(file)")) { try $0.remove(file) },
            ]
        )
    }

    /// A slice of 8 by 6 pixels.
    private static func slice(_ series: String, value: Int, z: Double?, patient: String = "P1") -> DICOMBuilder {
        let frame = (0..<6 * 8).map { UInt16(value + $0) }
        var builder = DICOMBuilder(rows: 6, columns: 8, frames: [frame], bitsStored: 12)
        builder.set(0x0010_0020, "LO", .text(patient))
        builder.set(0x0020_000D, "UI", .text(series + ".9"))
        builder.set(0x0020_000E, "UI", .text(series))
        if let z { builder.setPlane(position: [0, 0, z], spacing: [0.5, 0.5]) }
        return builder
    }

    private static let dicom = Layout(
        importer: "dicom",
        layOut: { folder in
            for (index, name) in ["scan/c", "scan/a", "scan/b"].enumerated() {
                try folder.write(slice("1.2.77.1", value: 100 * (index + 1), z: Double(index)).data(), to: name)
            }
            try folder.write(slice("1.2.77.2", value: 500, z: nil, patient: "P2").data(), to: "single.dcm")
            try folder.write(
                """
                file,series,slice,volume,task,question,answer,object,xMin,yMin,xMax,yMax,zMin,zMax
                scan/c,,,,vqa,What µ?,lung,,,,,,,
                ,1.2.77.1,1,,vqa,Which?,heart,,,,,,,
                ,1.2.77.1,,true,rec,,,liver,1,2,5,6,0,2
                single.dcm,,,,reg,,,kidney,0,0,8,6,,

                """,
                to: "labels.csv"
            )
        },
        variants: Variant.sound(in: "labels.csv") + [
            Variant("missing image", .skipped("row", "the file is no DICOM file with a picture")) {
                try $0.remove("single.dcm")
            },
            Variant("image of another kind", .skipped("row", "the file is no DICOM file with a picture")) {
                try $0.write("GIF89a, which is not read", to: "single.dcm")
            },
            Variant("empty image", .skipped("row", "the file is no DICOM file with a picture")) {
                try $0.write("", to: "single.dcm")
            },
            Variant("truncated image", .skipped("DICOM file", "the image cannot be read")) {
                try $0.truncate("single.dcm")
            },
            Variant("image without a series", .skipped("DICOM file", "the image cannot be read")) {
                var builder = slice("1.2.77.2", value: 500, z: nil)
                builder.set(0x0020_000E, "UI", nil)
                try $0.write(builder.data(), to: "single.dcm")
            },
            Variant("two slices at one place", .skipped("DICOM file", "at the same place", added: 1)) {
                try $0.write(slice("1.2.77.1", value: 900, z: 1).data(), to: "scan/d")
            },
            Variant("slices without places as a volume", .skipped("row", "the volume cannot be read")) {
                for name in ["a", "b", "c"] {
                    try $0.write(slice("1.2.77.1", value: 100, z: nil).data(), to: "scan/\(name)")
                }
            },
            Variant("text burned in", .skipped("row", "burned")) {
                var builder = slice("1.2.77.2", value: 500, z: nil, patient: "P2")
                builder.set(0x0028_0301, "CS", .text("YES"))
                try $0.write(builder.data(), to: "single.dcm")
            },
            Variant("a volume with a slice with text burned in", .skipped("row", "burned")) {
                var builder = slice("1.2.77.1", value: 300, z: 2)
                builder.set(0x0028_0301, "CS", .text("YES"))
                try $0.write(builder.data(), to: "scan/b")
            },
            Variant("unknown column", .refused("no such column is known")) {
                try $0.replace("question", with: "note", in: "labels.csv")
            },
            Variant("row with too few fields", .skipped("row", "more or fewer fields than the header")) {
                try $0.replace("single.dcm,", with: "", in: "labels.csv")
            },
            Variant("unknown task", .skipped("row", "the task is none")) {
                try $0.replace("reg", with: "walk", in: "labels.csv")
            },
            Variant("series that is not there", .skipped("row", "there is no such series")) {
                try $0.replace("1.2.77.1,1", with: "1.2.78,1", in: "labels.csv")
            },
            Variant("slice that is not there", .skipped("row", "there is no such slice")) {
                try $0.replace("1.2.77.1,1", with: "1.2.77.1,3", in: "labels.csv")
            },
            Variant("slice that is no number", .skipped("row", "the slice is no number from 0")) {
                try $0.replace("1.2.77.1,1", with: "1.2.77.1,-1", in: "labels.csv")
            },
            Variant("slice that is a volume", .skipped("row", "names a slice and says that it is a volume")) {
                try $0.replace("1.2.77.1,,true", with: "1.2.77.1,0,true", in: "labels.csv")
            },
            Variant("file of one slice as a volume", .skipped("row", "one slice and no volume")) {
                try $0.replace("single.dcm,,,,", with: "single.dcm,,,true,", in: "labels.csv")
            },
            Variant("volume that is neither true nor false", .skipped("row", "neither true nor false")) {
                try $0.replace(",true,", with: ",yes,", in: "labels.csv")
            },
            Variant("path that leaves the folder", .skipped("row", "the image's path leaves the folder")) {
                try $0.replace("single.dcm", with: "../single.dcm", in: "labels.csv")
            },
            Variant("empty answer", .skipped("vqa", "the answer is empty")) {
                try $0.replace("heart", with: "", in: "labels.csv")
            },
            Variant("box outside the image", .skipped("reg", "the box leaves the image")) {
                try $0.replace("0,0,8,6", with: "0,0,9,6", in: "labels.csv")
            },
            Variant("box of three numbers", .skipped("row", "the box is not four numbers")) {
                try $0.replace("0,0,8,6", with: "0,0,8,", in: "labels.csv")
            },
            Variant("range of slices outside the volume", .skipped("rec", "the range of slices leaves the volume")) {
                try $0.replace("5,6,0,2", with: "5,6,0,4", in: "labels.csv")
            },
            Variant("range of slices of one number", .skipped("row", "the range of slices is not two numbers")) {
                try $0.replace("5,6,0,2", with: "5,6,0,", in: "labels.csv")
            },
            Variant("no range of slices", .skipped("rec", "the box has no range of slices in a volume")) {
                try $0.replace("5,6,0,2", with: "5,6,,", in: "labels.csv")
            },
            Variant("not UTF-8", .skipped("row", "not UTF-8 text")) { try $0.spoil("Which?", in: "labels.csv") },
            Variant("empty file", .refused("the table is empty")) { try $0.write("", to: "labels.csv") },
            Variant("missing table", .refused("no table of questions")) { try $0.remove("labels.csv") },
            Variant("two tables", .refused("more than one table")) { try $0.write("", to: "more.jsonl") },
            Variant("no pictures", .refused("no DICOM file with a picture")) {
                try $0.remove("scan")
                try $0.remove("single.dcm")
            },
        ]
    )

    private static let jsonLines = Layout(
        importer: "json-lines",
        layOut: { folder in
            for name in ["a", "b"] { try folder.writePattern("images/\(name).png", seed: name.utf8.count) }
            try folder.write(
                """
                {"id": "1", "task": "vqa", "image": "images/a.png", "question": "What µ?", "answer": "A1"}
                {"id": "2", "task": "qa", "question": "Is it 2?", "answer": "yes"}
                {"id": "3", "task": "rec", "image": "images/b.png", "objectName": "liver", \
                "box": {"xMin": 1, "yMin": 2, "xMax": 5, "yMax": 6}}

                """,
                to: "mine.jsonl"
            )
        },
        variants: Variant.sound(in: "mine.jsonl")
            + Variant.picture("images/a.png", kind: "record").filter {
                // Records are read before pictures are decoded; then it is the sample that is left out.
                $0.name != "truncated image"
            } + [
                Variant("truncated image", .skippedWhenDecoded("vqa")) { try $0.truncate("images/a.png") },
                Variant("unknown field", .skipped("record", "the schema has no such field")) {
                    try $0.replace(#""question""#, with: #""new": 1, "question""#, in: "mine.jsonl")
                },
                Variant("broken line", .skipped("record", "not valid JSON")) {
                    try $0.replace(#"{"id": "2""#, with: #"{"id": "2"#, in: "mine.jsonl")
                },
                Variant("box outside the image", .skipped("rec", "the box leaves the image")) {
                    try $0.replace(#""xMax": 5"#, with: #""xMax": 21"#, in: "mine.jsonl")
                },
                Variant("missing field", .skipped("record", "field 'task': missing")) {
                    try $0.replace(#""task": "qa", "#, with: "", in: "mine.jsonl")
                },
                Variant("empty answer", .skipped("vqa", "the answer is empty")) {
                    try $0.replace(#""A1""#, with: #""""#, in: "mine.jsonl")
                },
                Variant("not UTF-8", .skipped("record", "not valid JSON")) { try $0.spoil("Is it", in: "mine.jsonl") },
                Variant("duplicate id", .skipped("qa", "another sample has the same name")) {
                    try $0.replace(#""id": "2""#, with: #""id": "1""#, in: "mine.jsonl")
                },
                Variant("empty file", .skipped("file", "the file is empty", added: 1)) {
                    try $0.write("", to: "more.jsonl")
                },
                Variant("missing file", .refused("no file *.jsonl")) { try $0.remove("mine.jsonl") },
            ]
    )

    private static let conversations = Layout(
        importer: "llava",
        layOut: { folder in
            var records: [String] = []
            for number in 1...3 {
                try folder.writePattern("p\(number).png", seed: number)
                records.append(
                    #"{"id": "r\#(number)", "image": "p\#(number).png", "conversations": [{"from": "human", "#
                        + #""value": "[vqa] What µ \#(number)?"}, {"from": "gpt", "value": "A\#(number)"}]}"#
                )
            }
            records.append(
                #"{"id": "box", "image": "p1.png", "conversations": [{"from": "human", "value": "[refer] <p>liver</p>"}, "#
                    + #"{"from": "gpt", "value": "{<10><20><50><60>}"}]}"#
            )
            try folder.write("[\n\(records.joined(separator: ",\n"))\n]\n", to: "talk.json")
        },
        variants: Variant.sound(in: "talk.json")
            + Variant.picture("p2.png", kind: "record").filter {
                $0.name != "truncated image"
            } + [
                Variant("truncated image", .skippedWhenDecoded("vqa")) { try $0.truncate("p2.png") },
                Variant("unknown field", .none) {
                    try $0.replace(#"{"id""#, with: #"{"new": 1, "id""#, in: "talk.json")
                },
                Variant("record of another type", .skipped("record", "expected text")) {
                    try $0.replace(#""value": "A1""#, with: #""value": 1"#, in: "talk.json")
                },
                Variant("missing field", .skipped("record", "missing")) {
                    try $0.replace("conversations", with: "talk", in: "talk.json")
                },
                Variant("empty answer", .skipped("vqa", "the answer is empty")) {
                    try $0.replace(#""A3""#, with: #""""#, in: "talk.json")
                },
                Variant("question without an answer", .skipped("turn", "a question without an answer")) {
                    try $0.replace(#", {"from": "gpt", "value": "A3"}"#, with: "", in: "talk.json")
                },
                Variant("box outside the image", .skipped("rec", "the box leaves the image")) {
                    try $0.replace("<50>", with: "<150>", in: "talk.json")
                },
                Variant("duplicate id", .skipped("vqa", "another sample has the same name")) {
                    try $0.replace(#""r3""#, with: #""r2""#, in: "talk.json")
                },
                Variant("not UTF-8", .skipped("record", "not UTF-8 text")) {
                    try $0.spoil("What µ 2", in: "talk.json")
                },
                Variant("broken JSON", .refused("not valid JSON")) { try $0.truncate("talk.json") },
                Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "talk.json") },
            ]
    )

    private static let labelTable = Layout(
        importer: "csv",
        layOut: { folder in
            for name in ["a", "b", "c"] { try folder.writePattern("\(name).png", seed: Int(name.utf8.first ?? 0)) }
            try folder.write("image,note,label\na.png,\"1, µ\",x\nb.png,2,y\nc.png,3,x\n", to: "table.csv")
        },
        variants: Variant.sound(in: "table.csv")
            + Variant.picture("b.png", kind: "row").filter {
                $0.name != "truncated image"
            } + [
                Variant("truncated image", .skippedWhenDecoded("cls")) { try $0.truncate("b.png") },
                Variant("missing column", .refused("field 'label'")) {
                    try $0.replace("label", with: "dx", in: "table.csv")
                },
                Variant("two columns of one name", .refused("two such columns")) {
                    try $0.replace("note", with: "label", in: "table.csv")
                },
                Variant("row with too few fields", .skipped("row", "more or fewer fields than the header")) {
                    try $0.replace("b.png,2,y", with: "b.png,y", in: "table.csv")
                },
                Variant("empty answer", .skipped("row", "no label")) {
                    try $0.replace("2,y", with: "2,", in: "table.csv")
                },
                Variant("not UTF-8", .skipped("row", "not UTF-8 text (see the setting 'encoding')")) {
                    try $0.spoil("2,y", in: "table.csv")
                },
                Variant("duplicate id", .skipped("row", "the image is listed twice")) {
                    try $0.replace("c.png", with: "a.png", in: "table.csv")
                },
                Variant("text behind a quote", .skipped("row", "text after the end of a quoted field")) {
                    try $0.replace("\"1, µ\"", with: "\"1\"x", in: "table.csv")
                },
                Variant("path that leaves the folder", .skipped("row", "the image's path leaves the folder")) {
                    try $0.replace("c.png", with: "../c.png", in: "table.csv")
                },
                Variant("empty file", .refused("the table is empty")) { try $0.write("", to: "table.csv") },
                Variant("missing file", .refused("no file *.csv")) { try $0.remove("table.csv") },
            ]
    )

    private static let classFolders = Layout(
        importer: "class-folders",
        layOut: { folder in
            for (number, path) in ["x/a.png", "x/b.png", "y µ/c.png"].enumerated() {
                try folder.writePattern(path, seed: number)
            }
        },
        variants: Variant.picture("x/b.png", kind: "image").filter { $0.name != "missing image" } + [
            Variant("file of another kind", .skipped("image", "the file's name is not that of an image", added: 1)) {
                try $0.write("x", to: "x/notes.txt")
            },
            Variant("file in no folder", .skipped("image", "the file is in no class's folder", added: 1)) {
                try $0.writePattern("z.png")
            },
            Variant("empty answer", .skipped("cls", "the answer is empty", added: 1)) {
                try $0.writePattern(" /d.png")
            },
            Variant("no folders", .refused("no file <class>/*.png")) {
                try $0.remove("x")
                try $0.remove("y µ")
            },
        ]
    )

    private static let coco = Layout(
        importer: "coco",
        layOut: { folder in
            for name in ["a", "b"] { try folder.writePattern("images/\(name).png", seed: Int(name.utf8.first ?? 0)) }
            try folder.write(
                """
                {"info": {}, "images": [
                {"id": 1, "file_name": "a.png", "width": 20, "height": 10},
                {"id": 2, "file_name": "b.png", "width": 20, "height": 10}],
                "annotations": [
                {"id": 11, "image_id": 1, "category_id": 7, "bbox": [2, 1, 8, 5], "area": 40},
                {"id": 12, "image_id": 2, "category_id": 8, "bbox": [0, 0, 20, 10], "area": 200}],
                "categories": [{"id": 7, "name": "liver µ"}, {"id": 8, "name": "kidney"}]}

                """,
                to: "annotations/all.json"
            )
        },
        variants: Variant.sound(in: "annotations/all.json")
            + Variant.picture("images/a.png", kind: "image").filter {
                $0.name != "truncated image"
            } + [
                Variant("truncated image", .skippedWhenDecoded("rec")) { try $0.truncate("images/a.png") },
                Variant("object of a missing image", .skipped("box", "its image is left out")) {
                    try $0.remove("images/a.png")
                },
                Variant("unknown field", .none) {
                    try $0.replace(#""area""#, with: #""new""#, in: "annotations/all.json")
                },
                Variant("box outside the image", .skipped("rec", "the box leaves the image")) {
                    try $0.replace("[2, 1, 8, 5]", with: "[2, 1, 28, 5]", in: "annotations/all.json")
                },
                Variant("box of three numbers", .skipped("reg", "the box has no four numbers")) {
                    try $0.replace("[2, 1, 8, 5]", with: "[2, 1, 8]", in: "annotations/all.json")
                },
                Variant("missing field", .skipped("box", "bbox': missing")) {
                    try $0.replace("bbox", with: "box", in: "annotations/all.json")
                },
                Variant("unknown category", .skipped("box", "no category has its category_id")) {
                    try $0.replace(#""category_id": 8"#, with: #""category_id": 9"#, in: "annotations/all.json")
                },
                Variant("empty name", .skipped("rec", "the object has no name")) {
                    try $0.replace("kidney", with: " ", in: "annotations/all.json")
                },
                Variant("duplicate image id", .skipped("image", "another image has the same id")) {
                    try $0.replace(#"{"id": 2, "file"#, with: #"{"id": 1, "file"#, in: "annotations/all.json")
                },
                Variant("duplicate category id", .refused("two categories have the id")) {
                    try $0.replace(#"{"id": 8, "name""#, with: #"{"id": 7, "name""#, in: "annotations/all.json")
                },
                Variant("missing list", .refused("field 'categories': missing")) {
                    try $0.replace("categories", with: "names", in: "annotations/all.json")
                },
                Variant("not UTF-8", .skipped("image", "not UTF-8 text")) {
                    try $0.spoil("b.png", in: "annotations/all.json")
                },
                Variant("broken JSON", .refused("not valid JSON")) { try $0.truncate("annotations/all.json") },
                Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "annotations/all.json") },
            ]
    )

    private static let masks = Layout(
        importer: "masks",
        layOut: { folder in
            try folder.write("{\n\"1\": \"liver µ\",\n\"2\": \"spleen\"}\n", to: "labels.json")
            for (number, name) in ["a", "b"].enumerated() {
                try folder.writePattern("images/\(name).png", seed: number)
                try folder.write(Synthetic.mask(UInt8(number + 1), x: 2..<7, y: 1..<4), to: "masks/\(name).png")
            }
        },
        variants: Variant.sound(in: "labels.json")
            + Variant.picture("images/b.png", kind: "image").filter {
                $0.name != "missing image" && $0.name != "truncated image"
            } + [
                Variant("missing image", .skipped("mask", "no image")) { try $0.remove("images/b.png") },
                Variant("truncated image", .skippedWhenDecoded("rec")) { try $0.truncate("images/b.png") },
                Variant("missing mask", .skipped("image", "no mask")) { try $0.remove("masks/b.png") },
                Variant("truncated mask", .skipped("image", "the mask cannot be read")) {
                    try $0.truncate("masks/b.png")
                },
                Variant("empty mask file", .skipped("image", "the mask is not an 8-bit grey PNG")) {
                    try $0.write("", to: "masks/b.png")
                },
                Variant("mask larger than the image", .skipped("image", "the mask's size is not the image's")) {
                    try $0.write(Synthetic.mask(1, x: 2..<25, y: 1..<4, width: 30), to: "masks/b.png")
                },
                Variant("unknown label", .skipped("box", "the label has no name")) {
                    try $0.write(Synthetic.mask(9, x: 2..<7, y: 1..<4), to: "masks/b.png")
                },
                Variant("duplicate masks", .refused("two masks differ in nothing but their ending")) {
                    try $0.writePattern("masks/a.jpg")
                },
                Variant("duplicate label", .refused("the label has two names")) {
                    try $0.replace("\"2\"", with: "\"1\"", in: "labels.json")
                },
                Variant("empty name", .refused("with a name")) {
                    try $0.replace("spleen", with: " ", in: "labels.json")
                },
                Variant("not UTF-8", .refused("labels.json")) { try $0.spoil("spleen", in: "labels.json") },
                Variant("broken JSON", .refused("not valid JSON")) { try $0.truncate("labels.json") },
                Variant("empty file", .refused("not valid JSON")) { try $0.write("", to: "labels.json") },
                Variant("missing file", .refused("no file labels.json")) { try $0.remove("labels.json") },
            ]
    )
}
