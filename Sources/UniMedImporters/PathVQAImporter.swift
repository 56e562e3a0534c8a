public import Foundation
import Synchronization
public import UniMedData
public import UniMedImaging

/// PathVQA (He et al., 2020), pathology images with questions: vqa.
///
/// Layout: `qas/{train,val,test}/{split}_qa.pkl`, pickled lists of `{"image", "question", "answer"}`, or
/// `qas/{split}_vqa.pkl` with `{"img_id", "sent", "label"}` as prepared by the publishers for LXMERT (there the answer
/// is the label with the highest score); `images/{split}/<image>.jpg`. A folder that holds `pvqa` is entered. The
/// pickles are read as plain data: nothing in them is ever run. The publisher's splits are kept, as in Uni-Med.
///
/// The parquet form of the Hugging Face hub is read as well, where there is no folder `qas`:
/// `data/{train,validation,test}-*.parquet` (or the same files in the folder itself) with the columns `image` (a
/// structure of `bytes` and `path`), `question` and `answer`. It has a copy of its picture in every row: equal ones are
/// one picture, named after its bytes. Pictures are decoded from their row when they are asked for; one page of a file
/// is in memory.
public struct PathVQAImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "path-vqa"
    /// The version of what this importer makes of the same files.
    public static let version = 2

    private static let splitNames: [(name: String, split: Split)] = [
        ("train", .train), ("val", .validation), ("test", .test),
    ]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let rows = ParquetRows()

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
        let files = try questionFiles()
        return try folder.files(files.map(\.path) + (files.contains(where: \.isParquet) ? [] : ["images"]))
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        guard let bytes = try rows.picture(reference.path) else {
            return try ImageDecoder.decode(contentsOf: folder.url(reference.path))
        }
        return try ImageDecoder.decode(data: Data(bytes), name: reference.path)
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let kind = ImportReport.kind(task: .visualQuestionAnswering)
        var result = ImportedDataset()
        var images: [String: Result<ImageReference, Skip>] = [:]
        for file in try questionFiles() {
            if file.isParquet {
                try importing(Self.name) { () throws(DataError) in
                    try add(parquet: file, images: &images, result: &result, report: &report)
                }
                continue
            }
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
            sample(question, answer, id: id, split: file.split, group: "\(file.name)/\(name)", image: image)
        }
    }

    private func sample(
        _ question: String,
        _ answer: String,
        id: String,
        split: Split,
        group: String,
        image: ImageReference
    ) -> Sample {
        let isClosed = ["yes", "no"].contains(answer.lowercased())
        let isUpper = answer.first?.isUppercase == true
        return Sample(
            id: id,
            dataset: dataset,
            split: split,
            task: .visualQuestionAnswering,
            group: group,
            image: image,
            question: question,
            choices: isClosed ? (isUpper ? ["Yes", "No"] : ["yes", "no"]) : nil,
            answer: isClosed ? (isUpper ? answer.capitalized : answer.lowercased()) : answer
        )
    }

    // MARK: - Parquet

    private func add(
        parquet file: QuestionFile,
        images: inout [String: Result<ImageReference, Skip>],
        result: inout ImportedDataset,
        report: inout ImportReport
    ) throws(DataError) {
        let kind = ImportReport.kind(task: .visualQuestionAnswering)
        let parquet = try ParquetFile(contentsOf: folder.url(file.path))
        let columns = (
            image: try parquet.column("image", "bytes"), question: try parquet.column("question"),
            answer: try parquet.column("answer")
        )
        let stem = file.path.split(separator: "/").last.map { String($0.dropLast(".parquet".count)) } ?? file.path
        var number = 0
        for (group, count) in parquet.groupRowCounts.enumerated() {
            // The texts of a group of rows are small beside its pictures.
            var questions: [ParquetValue] = []
            try parquet.chunk(column: columns.question, group: group).forEach { questions.append($0) }
            var answers: [ParquetValue] = []
            try parquet.chunk(column: columns.answer, group: group).forEach { answers.append($0) }
            report.found(count, kind)
            var row = 0
            try parquet.chunk(column: columns.image, group: group).forEach { (picture) throws(DataError) in
                number += 1
                defer { row += 1 }
                let id = "\(stem)-\(number)"
                do throws(Skip) {
                    let question = try Self.text(questions[row], otherwise: "no question")
                    let answer = try Self.text(answers[row], otherwise: "no answer")
                    guard case .bytes(let bytes) = picture, !bytes.isEmpty else { throw Skip("no image") }
                    let place = ParquetRows.Place(file: parquet, column: columns.image, group: group, row: row)
                    let digest = SHA256.hexDigest(of: bytes)
                    let path = "\(file.name)/\(digest.prefix(32))"
                    if images[path] == nil {
                        report.found(1, "image")
                        do throws(ImagingError) {
                            let size = try ImageFile.size(ofData: Data(bytes), name: path)
                            let reference = ImageReference(path: path, width: size.width, height: size.height)
                            images[path] = .success(reference)
                            rows.add(place, path: path)
                            report.imported(1, "image")
                            result.annotations.append(
                                ImageAnnotation(dataset: dataset, split: file.split, image: reference)
                            )
                        } catch {
                            images[path] = .failure(Skip(error.importReason))
                            report.skipped("image", because: error.importReason, item: id)
                        }
                    }
                    let image = try images[path]?.get()
                    guard let image else { throw Skip("no image") }
                    result.samples.append(
                        sample(question, answer, id: id, split: file.split, group: path, image: image)
                    )
                    report.imported(1, kind)
                } catch {
                    report.skipped(kind, error, item: id)
                }
            }
        }
    }

    private static func text(_ value: ParquetValue, otherwise reason: String) throws(Skip) -> String {
        if value == .null { throw Skip(reason) }
        guard let text = value.text else { throw Skip("a text is not UTF-8") }
        guard !text.collapsed.isEmpty else { throw Skip(reason) }
        return text.collapsed
    }

    private func image(
        _ path: String,
        split: Split,
        result: inout ImportedDataset,
        report: inout ImportReport
    ) -> Result<ImageReference, Skip> {
        report.found(1, "image")
        let entry = folder.image(path)
        switch entry {
        case .failure(let skip): report.skipped("image", skip, item: path)
        case .success(let reference):
            report.imported(1, "image")
            result.annotations.append(ImageAnnotation(dataset: dataset, split: split, image: reference))
        }
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

        var isParquet: Bool { path.hasSuffix(".parquet") }
    }

    private func questionFiles() throws(ImportError) -> [QuestionFile] {
        try folder.checkRoot()
        let files = Self.splitNames.compactMap { name, split in
            ["qas/\(name)/\(name)_qa.pkl", "qas/\(name)_vqa.pkl"].first(where: folder.isFile)
                .map { QuestionFile(name: name, split: split, path: $0) }
        }
        guard files.isEmpty else { return files }
        for inside in ["data", ""] where folder.isFolder(inside) {
            let names = try folder.names(in: inside).filter { $0.hasSuffix(".parquet") }
            guard !names.isEmpty else { continue }
            var parts: [(name: String, split: Split)] = []
            for name in names { parts.append((name, try split(of: name, in: inside))) }
            // In the order of the splits; the parts of one are numbered.
            return Self.splitNames.flatMap { name, split in
                parts.filter { $0.split == split }.map {
                    QuestionFile(name: name, split: split, path: inside.isEmpty ? $0.name : "\(inside)/\($0.name)")
                }
            }
        }
        throw folder.missing("qas/train/train_qa.pkl or data/train-*.parquet", isFolder: false)
    }

    /// The split that a Parquet file's name begins with.
    private func split(of name: String, in inside: String) throws(ImportError) -> Split {
        guard let split = Split(word: name.prefix { $0.isLetter }) else {
            throw ImportError(
                .invalid,
                "expected a name that begins with train, validation or test",
                file: folder.url(inside).appendingPathComponent(name).path,
                importer: Self.name
            )
        }
        return split
    }
}

/// Where the pictures of Parquet files are, and the pages that were decoded last.
private final class ParquetRows: Sendable {
    struct Place: Sendable {
        let file: ParquetFile
        let column: Int
        let group: Int
        let row: Int
    }

    private struct State {
        var places: [String: Place] = [:]
        /// The last used comes last.
        var pages: [(file: String, group: Int, chunk: ParquetChunk, page: Int, content: ParquetPage)] = []
    }

    private static let keptPages = 2
    private let state = Mutex(State())

    func add(_ place: Place, path: String) { state.withLock { $0.places[path] = place } }

    /// The bytes of a picture; `nil` when its path is not that of a row.
    func picture(_ path: String) throws(ImagingError) -> [UInt8]? {
        let outcome: Result<[UInt8]?, DataError> = state.withLock { state in
            guard let place = state.places[path] else { return .success(nil) }
            do throws(DataError) {
                let chunk: ParquetChunk
                if let known = state.pages.last(where: { $0.file == place.file.path && $0.group == place.group }) {
                    chunk = known.chunk
                } else {
                    chunk = try place.file.chunk(column: place.column, group: place.group)
                }
                let (page, index) = chunk.place(ofRow: place.row)
                let kept = state.pages.first {
                    $0.file == place.file.path && $0.group == place.group && $0.page == page
                }
                let content: ParquetPage
                if let kept {
                    content = kept.content
                } else {
                    content = try chunk.page(page)
                    if state.pages.count >= Self.keptPages { state.pages.removeFirst() }
                    state.pages.append((place.file.path, place.group, chunk, page, content))
                }
                guard case .bytes(let bytes) = content[index] else {
                    throw DataError(.corrupt, "the file has changed", file: place.file.path)
                }
                return .success(bytes)
            } catch {
                return .failure(error)
            }
        }
        do throws(DataError) {
            return try outcome.get()
        } catch {
            throw ImagingError(.malformed, file: path, detail: error.problem)
        }
    }
}
