public import Foundation
public import UniMedData
public import UniMedImaging

/// Conversations in the format of LLaVA: data of one's own, for every task.
///
/// Layout: a JSON list of `{"id", "image", "conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}`
/// and the pictures at paths relative to the folder. Every question with its answer becomes a sample, without the turns
/// before it; all of a record share a group (`group`, else the picture, else the record). `<image>` is taken out.
///
/// The task of a turn is its published tag (`[vqa] …`), else the setting `task`. What the tasks take from the turn:
///
/// | task | question | answer |
/// | --- | --- | --- |
/// | qa, vqa, cls | the text | the answer |
/// | rg | | the answer |
/// | rec | the name, in `<p>…</p>` | a box in hundredths, `{<x0><y0><x1><y1>}` |
/// | reg | a box in hundredths | the name |
public struct ConversationImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "llava"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The settings: `file` (else the only `*.json`), `imageFolder`, and `task`, a short code for turns without a tag.
    public static let settingNames = ["file", "imageFolder", "task"]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private let task: MedicalTask?

    private struct Record: Decodable {
        let id: Identifier?
        let image: String?
        let split: String?
        let group: String?
        let conversations: [Turn]
    }

    private struct Turn: Decodable {
        let from: String
        let value: String
    }

    /// A record's name, as text or as a number.
    private struct Identifier: Decodable {
        let text: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int.self) {
                text = "\(number)"
            } else {
                text = try container.decode(String.self)
            }
        }
    }

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate(settings: Self.settingNames)
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
        task =
            options.settings["task"] == nil
            ? nil : try options.choice("task", default: MedicalTask.visualQuestionAnswering)
    }

    /// The options that the result depends on.
    public var settings: [String: String] { options.allSettings }

    /// The files that the result depends on: the conversations, and every picture in the folder.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        let file = try folder.onlyFile(options.settings["file"], ending: ".json", setting: "file")
        return try folder.files([file] + folder.filesBelow("").filter(DatasetFolder.isImageName))
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let file = try folder.onlyFile(options.settings["file"], ending: ".json", setting: "file")
        let records = try importing(Self.name) { () throws(DataError) in
            try DataFile.readJSON([LenientRecord<Record>].self, from: folder.url(file))
        }
        var drafts = SampleDrafts(dataset: dataset, folder: folder, options: options)
        report.found(records.count, "record")
        for (number, record) in records.enumerated() {
            let item = "record \(number + 1)"
            do throws(Skip) {
                try add(try record.result.get(), item: item, to: &drafts, report: &report)
                report.imported(1, "record")
            } catch {
                report.skipped("record", error, item: item)
            }
        }
        return drafts.finish(report: &report)
    }

    private func add(
        _ record: Record,
        item: String,
        to drafts: inout SampleDrafts,
        report: inout ImportReport
    ) throws(Skip) {
        let id = record.id?.text ?? item
        let split = record.split.flatMap { Split(word: $0) }
        guard record.split == nil || split != nil else {
            throw Skip("the split is none of train, validation and test")
        }
        guard !record.conversations.isEmpty else { throw Skip("the conversation is empty") }
        var image: ImageReference?
        if let name = record.image {
            let path = options.settings["imageFolder"].map { "\($0)/\(name)" } ?? name
            image = try drafts.image(path).get()
        }
        let turns = record.conversations
        var position = 0
        var number = 0
        while position < turns.count {
            let turn = "\(item) turn \(position + 1)"
            report.found(1, "turn")
            guard turns[position].from == "human" else {
                report.skipped("turn", because: "an answer without a question, or a turn of someone else", item: turn)
                position += 1
                continue
            }
            guard position + 1 < turns.count, turns[position + 1].from == "gpt" else {
                report.skipped("turn", because: "a question without an answer", item: turn)
                position += 1
                continue
            }
            number += 1
            do throws(Skip) {
                let sample = try sample(
                    of: turns[position].value,
                    answer: turns[position + 1].value,
                    id: turns.count > 2 ? "\(id) \(number)" : id,
                    group: record.group ?? image?.path ?? id,
                    image: image
                )
                report.imported(1, "turn")
                drafts.add(sample, split: split, item: turn, report: &report)
            } catch {
                report.skipped("turn", error, item: turn)
            }
            position += 2
        }
    }

    private func sample(
        of question: String,
        answer: String,
        id: String,
        group: String,
        image: ImageReference?
    ) throws(Skip) -> Sample {
        let mark = "<image>"
        let marks = question.components(separatedBy: mark).count - 1
        guard marks <= 1 else { throw Skip("the question asks about more than one image") }
        guard marks == 0 || image != nil else {
            throw Skip("the question asks about an image and the record names none")
        }
        var text = question.replacingOccurrences(of: mark, with: " ").collapsed
        let tagged = MedicalTask.allCases.first { text.hasPrefix($0.promptTag) }
        if let tagged { text = String(text.dropFirst(tagged.promptTag.count)).collapsed }
        guard let task = tagged ?? task else { throw Skip("the question has no task tag and no task is set") }
        let answer = answer.collapsed
        var sample = Sample(
            id: id,
            dataset: dataset,
            split: .train,
            task: task,
            group: group,
            image: image,
            answer: answer
        )
        switch task {
        case .questionAnswering, .visualQuestionAnswering, .imageClassification: sample.question = text
        case .reportGeneration: break
        case .referringExpressionComprehension:
            guard let start = text.range(of: "<p>"),
                let end = text.range(of: "</p>", range: start.upperBound..<text.endIndex)
            else {
                throw Skip("the question names no object in <p>…</p>")
            }
            sample.objectName = String(text[start.upperBound..<end.lowerBound]).collapsed
            sample.box = try box(in: answer, of: image)
            sample.answer = ""
        case .referringExpressionGeneration:
            sample.box = try box(in: text, of: image)
            sample.objectName = answer
        }
        sample.objectName = sample.objectName.map { options.objectNames[$0] ?? $0 }
        if task == .referringExpressionGeneration { sample.answer = sample.objectName ?? answer }
        return sample
    }

    private func box(in text: String, of image: ImageReference?) throws(Skip) -> BoundingBox {
        guard let image else { throw Skip("the task needs an image") }
        guard let box = NormalizedBox(parsing: text) else { throw Skip("no box of the form {<x0><y0><x1><y1>}") }
        return BoundingBox(
            xMin: Self.pixels(box.xMin, of: image.width),
            yMin: Self.pixels(box.yMin, of: image.height),
            xMax: Self.pixels(box.xMax, of: image.width),
            yMax: Self.pixels(box.yMax, of: image.height)
        )
    }

    /// An edge in pixels that becomes the same hundredth again, although normalising truncates.
    private static func pixels(_ hundredths: Int, of size: Int) -> Double {
        var edge = Double(hundredths) / 100 * Double(size)
        while Int(edge / Double(size) * 100) < hundredths { edge = edge.nextUp }
        return edge
    }
}
