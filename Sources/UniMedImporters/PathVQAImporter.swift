public import Foundation
public import UniMedData
public import UniMedImaging

/// PathVQA (He et al., 2020), pathology images with questions: vqa.
///
/// Layout: `qas/{train,val,test}/{split}_qa.pkl`, pickled lists of `{"image", "question", "answer"}`, or
/// `qas/{split}_vqa.pkl` with `{"img_id", "sent", "label"}` as prepared by the publishers for LXMERT (there the answer
/// is the label with the highest score); `images/{split}/<image>.jpg`. A folder that holds `pvqa` is entered. The
/// pickles are read as plain data: nothing in them is ever run. The publisher's splits are kept, as in Uni-Med.
///
/// The parquet form is refused with the way to convert it; no reader of it is at hand.
public struct PathVQAImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "path-vqa"
    /// The version of what this importer makes of the same files.
    public static let version = 1

    private static let splitNames: [(name: String, split: Split)] = [
        ("train", .train), ("val", .validation), ("test", .test),
    ]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate()
        dataset = options.dataset ?? Self.name
        let outer = DatasetFolder(root: root, importer: Self.name)
        let isOuter = outer.isFolder("pvqa") && !outer.isFolder("qas")
        folder = isOuter ? DatasetFolder(root: outer.url("pvqa"), importer: Self.name) : outer
    }

    /// None: the splits are the publisher's.
    public var settings: [String: String] { [:] }

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        try folder.files(try questionFiles().map(\.path) + ["images"])
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let kind = ImportReport.kind(task: .visualQuestionAnswering)
        var result = ImportedDataset()
        var images: [String: Result<ImageReference, Skip>] = [:]
        for file in try questionFiles() {
            let value = try importing(Self.name) { () throws(DataError) in
                try PlainPickle.read(folder.url(file.path))
            }
            guard case .list(let records) = value else {
                throw ImportError(
                    .malformed,
                    "expected a list of questions",
                    file: folder.url(file.path).path,
                    importer: Self.name
                )
            }
            report.found(records.count, kind)
            for (index, record) in records.enumerated() {
                let id = "\(file.name)-\(index + 1)"
                switch sample(record, id: id, file: file, images: &images, result: &result, report: &report) {
                case .failure(let skip):
                    report.skipped(kind, skip, item: id)
                case .success(let sample):
                    report.imported(1, kind)
                    result.samples.append(sample)
                }
            }
        }
        PaperCounts.check(Self.name, result.samples, report: &report)
        return result
    }

    private func sample(
        _ record: PickleValue,
        id: String,
        file: QuestionFile,
        images: inout [String: Result<ImageReference, Skip>],
        result: inout ImportedDataset,
        report: inout ImportReport
    ) -> Result<Sample, Skip> {
        guard case .dictionary = record else { return .failure(Skip("not a dictionary")) }
        guard let question = (record["question"] ?? record["sent"])?.text?.collapsed, !question.isEmpty else {
            return .failure(Skip("no question"))
        }
        guard let answer = Self.answer(of: record)?.collapsed, !answer.isEmpty else {
            return .failure(Skip("no answer"))
        }
        guard let name = (record["image"] ?? record["img_id"])?.text, !name.isEmpty, !name.contains("/"),
            !name.hasPrefix(".")
        else { return .failure(Skip("no image name")) }
        let path = "images/\(file.name)/\(name)" + (name.hasSuffix(".jpg") ? "" : ".jpg")
        let entry = images[path] ?? image(path, split: file.split, result: &result, report: &report)
        images[path] = entry
        return entry.map { image in
            let isClosed = ["yes", "no"].contains(answer.lowercased())
            return Sample(
                id: id,
                dataset: dataset,
                split: file.split,
                task: .visualQuestionAnswering,
                group: "\(file.name)/\(name)",
                image: image,
                question: question,
                choices: isClosed ? (answer.first?.isUppercase == true ? ["Yes", "No"] : ["yes", "no"]) : nil,
                answer: isClosed
                    ? (answer.first?.isUppercase == true ? answer.capitalized : answer.lowercased()) : answer
            )
        }
    }

    private func image(
        _ path: String,
        split: Split,
        result: inout ImportedDataset,
        report: inout ImportReport
    ) -> Result<ImageReference, Skip> {
        report.found(1, "image")
        var entry: Result<ImageReference, Skip> = .failure(Skip("no image file"))
        if folder.isFile(path) {
            do {
                let reference = try folder.imageReference(path)
                report.imported(1, "image")
                result.annotations.append(ImageAnnotation(dataset: dataset, split: split, image: reference))
                return .success(reference)
            } catch {
                entry = .failure(Skip(error.importReason))
            }
        }
        if case .failure(let skip) = entry { report.skipped("image", skip, item: path) }
        return entry
    }

    /// The answer's text, or the label with the highest score (of equal ones the first).
    private static func answer(of record: PickleValue) -> String? {
        if let answer = record["answer"] { return answer.text }
        guard case .dictionary(let labels)? = record["label"] else { return nil }
        var best: (text: String, score: Double)?
        for label in labels {
            let score: Double
            switch label.value {
            case .integer(let value): score = Double(value)
            case .number(let value): score = value
            default: continue
            }
            guard let text = label.key.text else { continue }
            if best.map({ score > $0.score }) ?? true { best = (text, score) }
        }
        return best?.text
    }

    // MARK: - Files

    private struct QuestionFile {
        let name: String
        let split: Split
        let path: String
    }

    private func questionFiles() throws(ImportError) -> [QuestionFile] {
        try folder.checkRoot()
        let files = Self.splitNames.compactMap { name, split in
            ["qas/\(name)/\(name)_qa.pkl", "qas/\(name)_vqa.pkl"].first(where: folder.isFile)
                .map { QuestionFile(name: name, split: split, path: $0) }
        }
        guard files.isEmpty else { return files }
        for path in ["", "data"] where folder.isFolder(path) {
            guard let name = try folder.names(in: path).first(where: { $0.hasSuffix(".parquet") }) else { continue }
            throw ImportError(
                .invalid,
                "the parquet form is not read; convert it: write each image to images/<split>/<name>.jpg and the list of "
                    + "{image, question, answer} with Python's pickle.dump to qas/<split>/<split>_qa.pkl "
                    + "(splits train, val, test), for example with pandas.read_parquet",
                file: folder.url(path).appendingPathComponent(name).path,
                importer: Self.name
            )
        }
        throw folder.missing("qas/train/train_qa.pkl", isFolder: false)
    }
}
