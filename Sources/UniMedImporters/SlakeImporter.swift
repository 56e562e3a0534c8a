public import Foundation
public import UniMedData
public import UniMedImaging

/// SLAKE (Liu et al., 2021), radiology images with questions and boxes: vqa, rec and reg.
///
/// Layout: `train.json`, `validate.json` (or `validation.json`) and `test.json`, each a list of questions;
/// `imgs/xmlab*/source.jpg` and `imgs/xmlab*/detection.json`, a list of objects `{name: [x, y, width, height]}` in
/// pixels. The masks and the questions in the images' folders are copies and are not read.
///
/// The splits are those of Uni-Med (B.1): not the publisher's, but all images divided at random 6:1 into training and
/// test, here by the seed of the options, each with its questions and boxes; of the real set that is 550 and 92 images.
/// The fractions of the options are not used. Every box gives one rec and one reg sample, also where two objects of an
/// image have the same name, since the paper counts boxes. A box may leave the image by one pixel, which is cut off.
public struct SlakeImporter: DatasetImporter {
    /// The language of the questions.
    public enum Language: String, Sendable, CaseIterable {
        case english = "en"
        case chinese = "zh"
    }

    /// The importer's name.
    public static let name = "slake"
    /// The version of what this importer makes of the same files.
    public static let version = 1

    private static let questionFiles = [["train.json"], ["validate.json", "validation.json"], ["test.json"]]
    private static let imagesPath = "imgs"

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private let language: Language

    private struct Record: Decodable {
        let img_name: String?
        let question: String?
        let answer: String?
        let q_lang: String?
        let location: String?
        let modality: String?
        let answer_type: String?
        let content_type: String?
    }

    /// Makes an importer of a folder.
    ///
    /// - Parameters:
    ///   - root: The folder that holds `imgs`.
    ///   - options: The settings; of the splits only the seed counts.
    ///   - language: The language of the questions. Objects have English names alone.
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(
        root: URL,
        options: ImportOptions = ImportOptions(),
        language: Language = .english
    ) throws(ImportError) {
        try options.validate()
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
        self.language = language
    }

    /// The options that the result depends on.
    public var settings: [String: String] {
        var settings = ["seed": "\(options.seed)", "language": language.rawValue]
        for (name, words) in options.objectNames { settings["objectNames.\(name)"] = words }
        return settings
    }

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        var paths = try questionPaths()
        for name in try imageNames() {
            paths += ["\(Self.imagesPath)/\(name)/source.jpg", "\(Self.imagesPath)/\(name)/detection.json"]
        }
        return try folder.files(paths)
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let paths = try questionPaths()
        let names = try imageNames()
        let splits = Self.splits(of: names, seed: options.seed)
        var images: [String: Result<ImageReference, Skip>] = [:]
        report.found(names.count, "image")
        for name in names {
            let path = "\(Self.imagesPath)/\(name)/source.jpg"
            images[name] = .failure(Skip("no image file"))
            if folder.isFile(path) {
                do {
                    images[name] = .success(try folder.imageReference(path))
                } catch {
                    images[name] = .failure(Skip(error.importReason))
                }
            }
            switch images[name] {
            case .failure(let skip): report.skipped("image", skip, item: name)
            default: report.imported(1, "image")
            }
        }
        var result = ImportedDataset()
        var fields: [String: [String: String]] = [:]
        for path in paths {
            try addQuestions(path, images: images, splits: splits, fields: &fields, to: &result, report: &report)
        }
        for name in names {
            guard case .success(let image) = images[name], let split = splits[name] else {
                addLostBoxes(name, report: &report)
                continue
            }
            let objects = addBoxes(name, image: image, split: split, fields: fields[name], to: &result, report: &report)
            result.annotations.append(
                ImageAnnotation(
                    dataset: dataset,
                    split: split,
                    image: image,
                    objects: objects,
                    fields: fields[name] ?? [:]
                )
            )
        }
        if language == .english { PaperCounts.check(Self.name, result.samples, report: &report) }
        return result
    }

    /// The paper's rule: one image in seven is for testing.
    package static func splits(of names: [String], seed: UInt64) -> [String: Split] {
        let rule = ImportOptions(validationFraction: 0, testFraction: 1.0 / 7, seed: seed)
        return rule.splits(of: names, label: name)
    }

    // MARK: - Questions

    private func addQuestions(
        _ path: String,
        images: [String: Result<ImageReference, Skip>],
        splits: [String: Split],
        fields: inout [String: [String: String]],
        to result: inout ImportedDataset,
        report: inout ImportReport
    ) throws(ImportError) {
        let records = try importing(Self.name) { () throws(DataError) in
            try DataFile.readJSON([LenientRecord<Record>].self, from: folder.url(path))
        }
        let kind = ImportReport.kind(task: .visualQuestionAnswering)
        report.found(records.count, "question")
        for (index, entry) in records.enumerated() {
            let id = "\(path.dropLast(".json".count))-\(index + 1)"
            switch entry.result {
            case .failure(let skip):
                report.skipped("question", skip, item: id)
            case .success(let record):
                guard record.q_lang.map({ $0 == language.rawValue }) ?? true else {
                    report.skipped("question", Skip(rule: "in another language"), item: id)
                    continue
                }
                report.imported(1, "question")
                report.found(1, kind)
                switch sample(record, id: id, images: images, splits: splits, fields: &fields) {
                case .failure(let skip):
                    report.skipped(kind, skip, item: id)
                case .success(let sample):
                    report.imported(1, kind)
                    result.samples.append(sample)
                }
            }
        }
    }

    private func sample(
        _ record: Record,
        id: String,
        images: [String: Result<ImageReference, Skip>],
        splits: [String: Split],
        fields: inout [String: [String: String]]
    ) -> Result<Sample, Skip> {
        guard let question = record.question?.collapsed, !question.isEmpty else { return .failure(Skip("no question")) }
        guard let answer = record.answer?.collapsed, !answer.isEmpty else { return .failure(Skip("no answer")) }
        guard let path = record.img_name, path.hasSuffix("/source.jpg") else {
            return .failure(Skip("the image is not called <folder>/source.jpg"))
        }
        let name = String(path.dropLast("/source.jpg".count))
        guard let split = splits[name], let entry = images[name] else { return .failure(Skip("no image file")) }
        return entry.map { image in
            var known: [String: String] = [:]
            if let modality = record.modality?.collapsed, !modality.isEmpty { known["modality"] = modality }
            if let location = record.location?.collapsed, !location.isEmpty { known["region"] = location }
            fields[name] = (fields[name] ?? [:]).merging(known) { first, _ in first }
            let isClosed = record.answer_type?.uppercased() == "CLOSED" && ["yes", "no"].contains(answer.lowercased())
            return Sample(
                id: id,
                dataset: dataset,
                split: split,
                task: .visualQuestionAnswering,
                group: name,
                image: image,
                question: question,
                choices: isClosed ? (answer.first?.isUppercase == true ? ["Yes", "No"] : ["yes", "no"]) : nil,
                answer: answer,
                fields: known.isEmpty ? nil : known
            )
        }
    }

    // MARK: - Boxes

    private static let referring: [MedicalTask] = [.referringExpressionComprehension, .referringExpressionGeneration]
    private static let boxKinds = referring.map { ImportReport.kind(task: $0) }

    private typealias Detections = [LenientRecord<[String: [Double]]>]

    private func detections(_ name: String) -> Result<Detections, Skip> {
        let path = "\(Self.imagesPath)/\(name)/detection.json"
        guard folder.isFile(path) else { return .failure(Skip("no detection.json")) }
        do throws(DataError) {
            return .success(try DataFile.readJSON(Detections.self, from: folder.url(path)))
        } catch {
            return .failure(Skip("detection.json cannot be read"))
        }
    }

    /// Counts the boxes of an image that cannot be used.
    private func addLostBoxes(_ name: String, report: inout ImportReport) {
        guard case .success(let entries) = detections(name) else { return }
        for kind in Self.boxKinds {
            report.found(entries.count, kind)
            for _ in entries { report.skipped(kind, because: "its image cannot be used", item: name) }
        }
    }

    private func addBoxes(
        _ name: String,
        image: ImageReference,
        split: Split,
        fields: [String: String]?,
        to result: inout ImportedDataset,
        report: inout ImportReport
    ) -> [NamedBox] {
        report.found(1, "detection file")
        let entries: Detections
        switch detections(name) {
        case .failure(let skip):
            report.skipped("detection file", skip, item: name)
            return []
        case .success(let found):
            report.imported(1, "detection file")
            entries = found
        }
        var objects: [NamedBox] = []
        for (index, entry) in entries.enumerated() {
            let named = entry.result.flatMap { Self.boxes(in: $0, image: image) }
            for kind in Self.boxKinds { report.found((try? named.get().count) ?? 1, kind) }
            switch named {
            case .failure(let skip):
                for kind in Self.boxKinds {
                    report.skipped(kind, skip, item: "\(name) object \(index + 1)")
                }
            case .success(let boxes):
                for (part, box) in boxes.enumerated() {
                    let object = NamedBox(name: options.objectNames[box.name] ?? box.name, box: box.box)
                    objects.append(object)
                    for task in Self.referring {
                        report.imported(1, ImportReport.kind(task: task))
                        result.samples.append(
                            Sample(
                                id: "\(name) \(task.rawValue) \(index + 1)" + (part == 0 ? "" : ".\(part + 1)"),
                                dataset: dataset,
                                split: split,
                                task: task,
                                group: name,
                                image: image,
                                objectName: object.name,
                                box: object.box,
                                answer: task == .referringExpressionGeneration ? object.name : "",
                                fields: fields
                            )
                        )
                    }
                }
            }
        }
        return objects
    }

    private static func boxes(in entry: [String: [Double]], image: ImageReference) -> Result<[NamedBox], Skip> {
        guard !entry.isEmpty else { return .failure(Skip("the object has no name")) }
        var boxes: [NamedBox] = []
        for (name, numbers) in entry.sorted(by: { $0.key < $1.key }) {
            guard !name.collapsed.isEmpty else { return .failure(Skip("the object has no name")) }
            guard numbers.count == 4 else { return .failure(Skip("the box has no four numbers")) }
            var box = BoundingBox(
                xMin: numbers[0],
                yMin: numbers[1],
                xMax: numbers[0] + numbers[2],
                yMax: numbers[1] + numbers[3]
            )
            let (width, height) = (Double(image.width), Double(image.height))
            if (-1..<0).contains(box.xMin) { box.xMin = 0 }
            if (-1..<0).contains(box.yMin) { box.yMin = 0 }
            if box.xMax > width, box.xMax <= width + 1 { box.xMax = width }
            if box.yMax > height, box.yMax <= height + 1 { box.yMax = height }
            if let problem = box.problem(in: image) { return .failure(Skip(problem)) }
            boxes.append(NamedBox(name: name.collapsed, box: box))
        }
        return .success(boxes)
    }

    // MARK: - Files

    private func questionPaths() throws(ImportError) -> [String] {
        try folder.checkRoot()
        let paths = Self.questionFiles.compactMap { $0.first(where: folder.isFile) }
        guard !paths.isEmpty else { throw folder.missing("train.json", isFolder: false) }
        guard folder.isFolder(Self.imagesPath) else { throw folder.missing(Self.imagesPath, isFolder: true) }
        return paths
    }

    private func imageNames() throws(ImportError) -> [String] {
        try folder.names(in: Self.imagesPath).filter { folder.isFolder("\(Self.imagesPath)/\($0)") }
    }
}
