import Foundation
import UniMedData
import UniMedImaging
import UniMedImporters

extension FuzzFormat {
    /// Samples as JSON lines, as data of one's own and as prepared data have them.
    static let sampleLines = dataset(
        "json-lines",
        file: "samples.jsonl",
        importer: "json-lines",
        corpus: [
            """
            {"id": "1", "task": "qa", "split": "train", "question": "Is it?", "answer": "yes", "choices": ["yes", "no"]}
            {"id": "2", "task": "vqa", "split": "val", "group": "p1", "image": "a.png", "question": "µ", "answer": "A"}

            """,
            """
            {"dataset": "made", "id": "3", "task": "rec", "split": "test", "image": {"path": "a.png", "width": 13, \
            "height": 11}, "objectName": "liver", "box": {"xMin": 1, "yMin": 2.5, "xMax": 5e0, "yMax": 6}, "group": "p"}
            {"id": "4", "task": "rg", "split": "train", "image": "a.png", "answer": "Clear \\u00b5 \\ud83d\\ude00.", \
            "fields": {"modality": "CT"}}
            """,
        ]
    )

    /// Prepared samples, read strictly.
    static let preparedSamples = FuzzFormat(
        name: "prepared-samples",
        corpus: {
            let sample = Sample(
                id: "x",
                dataset: "made",
                split: .test,
                task: .imageClassification,
                group: "g",
                image: ImageReference(path: "a.png", width: 20, height: 10),
                question: "Which \"µ\"?",
                choices: ["a", "b"],
                answer: "b",
                fields: ["modality": "CT"]
            )
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            let line = try encoder.encode(sample) + Data("\n".utf8)
            return [line, line + line]
        },
        damage: { Mutation.damaged($0, others: $1, using: &$2) },
        read: { file, folder in
            let url = folder.appending(path: "prepared.jsonl")
            try file.write(to: url)
            do throws(DataError) {
                for sample in try JSONLines.read(Sample.self, from: url) {
                    if let box = sample.box, let image = sample.image { _ = box.problem(in: image) }
                }
                return .accepted
            } catch {
                return .refused
            }
        }
    )

    /// Tables of images and labels.
    static let labelTable = dataset(
        "csv",
        file: "table.csv",
        importer: "csv",
        corpus: [
            "image,note,label\na.png,\"one, \"\"two\"\"\nthree\",\"big, red\"\n", "\u{FEFF}image,label\r\na,µ\r\n",
        ]
    )

    /// Annotations of Pascal VOC.
    static let pascalVOC = dataset(
        "pascal-voc",
        file: "Annotations/a.xml",
        importer: "pascal-voc",
        picture: "JPEGImages/a.png",
        corpus: [
            """
            <?xml version="1.0"?>
            <annotation><filename>a.jpg</filename><size><width>13</width><height>11</height><depth>3</depth></size>
              <object><name>WBC &amp; µ</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5.5</xmax><ymax>6</ymax></bndbox>
                <part><name>x</name></part></object>
              <object><name>RBC</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object>
            </annotation>
            """,
            "<annotation><object><name>WBC</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax></bndbox>"
                + "</object></annotation>",
        ]
    )

    /// Annotations of COCO.
    static let coco = dataset(
        "coco",
        file: "annotations/all.json",
        importer: "coco",
        corpus: [
            """
            {"info": {"year": 2024}, "images": [{"id": 1, "file_name": "a.png", "width": 13, "height": 11}],
             "annotations": [{"id": 9, "image_id": 1, "category_id": 7, "bbox": [1, 2.5, 3, 4], "iscrowd": 0}],
             "categories": [{"id": 7, "name": "liver", "supercategory": "organ"}]}
            """
        ]
    )

    /// Conversations in the format of LLaVA.
    static let conversations = dataset(
        "llava",
        file: "talk.json",
        importer: "llava",
        corpus: [
            """
            [{"id": 1, "image": "a.png", "conversations": [{"from": "human", "value": "<image>\\n[vqa] What?"},
              {"from": "gpt", "value": "That."}, {"from": "human", "value": "[refer] <p>liver</p>"},
              {"from": "gpt", "value": "{<10><20><50><60>}"}]},
             {"id": "s", "conversations": [{"from": "human", "value": "[qa] Is it?"}, {"from": "gpt", "value": "Yes"}]}]
            """
        ]
    )

    /// The questions of PubMedQA: an object whose members are records.
    static let pubMedQA = dataset(
        "pubmedqa",
        file: "ori_pqal.json",
        importer: "pubmedqa",
        corpus: [
            """
            {"10": {"QUESTION": "Is it {1}?", "CONTEXTS": ["a \\"b\\"", "c]"], "final_decision": "yes"},
             "1\\u0031": {"QUESTION": "Is it µ?", "final_decision": "maybe"}}
            """
        ]
    )

    /// Pickles of PathVQA.
    static let pathVQA = dataset(
        "path-vqa",
        file: "qas/train/train_qa.pkl",
        importer: "path-vqa",
        picture: "images/train/a.jpg",
        corpus: [pathVQAPickle(isFramed: false), pathVQAPickle(isFramed: true)]
    )

    /// PathVQA in Parquet files.
    static let parquet = FuzzFormat.dataset(
        "parquet",
        file: "data/train-00000-of-00001.parquet",
        importer: "path-vqa",
        corpus: ParquetBuilder.Codec.allCases.enumerated().flatMap { number, codec in
            [false, true].map { hasDictionary in
                var builder = ParquetBuilder(
                    rows: [("a.png", "yes"), (nil, "in the µ"), ("a.png", "no")].map { path, answer in
                        ParquetBuilder.Row(picture: PictureSeeds.png[0], path: path, question: "Is it?", answer: answer)
                    }
                )
                builder.codec = codec
                builder.hasDictionary = hasDictionary
                builder.pageVersion = (number + (hasDictionary ? 1 : 0)) % 2 + 1
                return builder.data()
            }
        }
    )

    private static func pathVQAPickle(isFramed: Bool) -> Data {
        func text(_ text: String) -> [UInt8] { (isFramed ? [0x8C] : [0x58]) + size(text.utf8.count) + Array(text.utf8) }
        func size(_ count: Int) -> [UInt8] {
            (0..<(isFramed ? 1 : 4)).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
        }
        var body: [UInt8] = [0x5D] + (isFramed ? [0x94] : [0x71, 0]) + [0x28]
        for answer in ["yes", "in the µ"] {
            body += [0x7D] + (isFramed ? [0x94] : [0x71, 1]) + [0x28]
            for (key, value) in [("image", "a"), ("question", "Is it?"), ("answer", answer)] {
                body += text(key) + (isFramed ? [0x94] : [0x71, 2]) + text(value)
            }
            // A number, a label with its score, and a text of the memo.
            body +=
                text("n") + [0x4A, 1, 0, 0, 0] + text("label") + [0x7D] + text("x") + [0x47, 0x3F]
                + [UInt8](repeating: 0, count: 7)
            body += [0x73] + text("m") + (isFramed ? [0x68, 0x02] : [0x68, 2]) + [0x75]
        }
        body += [0x65, 0x2E]
        var frame = Data([0x95])
        frame.append(little: UInt64(body.count))
        return Data([0x80, isFramed ? 4 : 2]) + (isFramed ? frame : Data()) + Data(body)
    }

    /// Arrays of MedMNIST: the archive, or an array in it with a sound checksum.
    static let medMNIST = dataset(
        "npz",
        file: "dermamnist.npz",
        importer: "dermamnist",
        corpus: [ZipBuilder(entries: arrays).data()],
        damage: { file, others, generator in
            guard Int.random(in: 0..<4, using: &generator) > 0 else {
                return Mutation.damaged(file, others: others, using: &generator)
            }
            var entries = arrays
            let index = Int.random(in: 0..<entries.count, using: &generator)
            // Mostly the header: pixels of other values are sound pixels.
            let bytes = entries[index].bytes
            let head = min(bytes.count, 128)
            let others = entries.map { Data($0.bytes.prefix(128)) }
            entries[index].bytes =
                Mutation.damaged(bytes.prefix(head), others: others, using: &generator)
                + bytes.dropFirst(head)
            return ZipBuilder(entries: entries).data()
        }
    )

    private static let arrays: [ZipBuilder.Entry] = ["train", "val", "test"].flatMap { name in
        [
            ZipBuilder.Entry(name: "\(name)_images.npy", bytes: array([2, 2, 2, 3], (0..<24).map { UInt8($0) })),
            ZipBuilder.Entry(name: "\(name)_labels.npy", bytes: array([2, 1], [4, 0])),
        ]
    }

    private static func array(_ shape: [Int], _ values: [UInt8]) -> Data {
        let list = shape.map(String.init).joined(separator: ", ")
        var text = "{'descr': '|u1', 'fortran_order': False, 'shape': (\(list)), }"
        text += String(repeating: " ", count: 117 - text.utf8.count) + "\n"
        return Data([0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(text.utf8) + values)
    }

    // MARK: - Data sets

    private static func dataset(
        _ name: String,
        file path: String,
        importer: String,
        picture: String = "a.png",
        corpus: [String]
    ) -> FuzzFormat {
        dataset(name, file: path, importer: importer, picture: picture, corpus: corpus.map { Data($0.utf8) })
    }

    /// A data set of which one file is damaged: what it holds is imported or skipped, and its pictures are read.
    private static func dataset(
        _ name: String,
        file path: String,
        importer: String,
        picture: String = "a.png",
        corpus: [Data],
        damage: @escaping @Sendable (Data, [Data], inout SplitMix64) -> Data = {
            Mutation.damaged($0, others: $1, using: &$2)
        }
    ) -> FuzzFormat {
        FuzzFormat(
            name: name,
            corpus: { corpus },
            damage: damage,
            read: { file, folder in
                let root = folder.appending(path: "dataset-\(name)")
                let target = root.appending(path: path)
                let pictureFile = root.appending(path: picture)
                if !FileManager.default.fileExists(atPath: pictureFile.path) {
                    for url in [target, pictureFile] {
                        try FileManager.default.createDirectory(
                            at: url.deletingLastPathComponent(),
                            withIntermediateDirectories: true
                        )
                    }
                    try PictureSeeds.png[0].write(to: pictureFile)
                }
                try file.write(to: target)
                return try outcome(of: ImporterRegistry.standard.entry(named: importer).importer(root: root))
            }
        )
    }

    /// Something that an importer lost.
    private struct Inconsistency: Error, CustomStringConvertible {
        let description: String
    }

    private static func outcome(of importer: any DatasetImporter) throws -> Outcome {
        var report = ImportReport()
        let result: ImportedDataset
        do throws(ImportError) {
            result = try importer.importSamples(report: &report)
        } catch {
            return .refused
        }
        if let problem = importer.inconsistency(of: result, report: report) {
            throw Inconsistency(description: problem)
        }
        var isWhole = report.faultCount == 0 && !result.samples.isEmpty
        for reference in Set(result.samples.compactMap(\.image)).prefix(4) {
            do throws(ImagingError) { _ = try importer.picture(reference) } catch { isWhole = false }
        }
        return isWhole ? .accepted : .refused
    }
}
