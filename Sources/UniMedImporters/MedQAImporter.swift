public import Foundation
public import UniMedData

/// MedQA's questions of the US medical licensing examination (Jin et al., 2021) for question answering.
///
/// Layout: `questions/US/*.jsonl`, one question a line with its lettered options. With several files the splits are
/// told by the names (train, dev or validation, test) and other files are left out; a single file is divided by the
/// options. The options stand in the sample's choices in the order of their letters, the answer is the option's text.
public struct MedQAImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "medqa"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    private static let folderPath = "questions/US"

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions

    private struct Record: Decodable {
        let question: String?
        let answer: String?
        let options: [String: String]?
        let answer_idx: String?
    }

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate()
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
    }

    /// The options that the result depends on.
    public var settings: [String: String] { options.splitSettings }

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        try folder.files(try questionFiles())
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let files = try questionFiles()
        let kind = ImportReport.kind(task: .questionAnswering)
        var result = ImportedDataset()
        report.found(files.count, "file")
        for path in files {
            let name = String(path.dropFirst(Self.folderPath.count + 1).dropLast(".jsonl".count))
            let split = files.count == 1 ? Split.train : Self.split(ofFileNamed: name)
            guard let split else {
                report.skipped("file", Skip(rule: "its name is not that of a split"), item: path)
                continue
            }
            var isEmpty = true
            try importing(Self.name) { () throws(DataError) in
                try JSONLines.forEachResult(Record.self, in: folder.url(path)) { record, line in
                    let id = "\(name)-\(line)"
                    isEmpty = false
                    report.found(1, kind)
                    switch record.mapError(Skip.init).flatMap({ sample($0, id: id, split: split) }) {
                    case .success(let sample):
                        report.imported(1, kind)
                        result.samples.append(sample)
                    case .failure(let skip):
                        report.skipped(kind, skip, item: id)
                    }
                }
            }
            report.read(file: path, isEmpty: isEmpty)
        }
        if files.count == 1 {
            let splits = options.splits(of: result.samples.compactMap(\.group), label: dataset)
            for index in result.samples.indices {
                guard let group = result.samples[index].group, let split = splits[group] else { continue }
                result.samples[index].split = split
            }
        }
        PaperCounts.check(Self.name, result.samples, report: &report)
        return result
    }

    private func sample(_ record: Record, id: String, split: Split) -> Result<Sample, Skip> {
        let question = record.question?.collapsed ?? ""
        guard !question.isEmpty else { return .failure(Skip("no question")) }
        guard let lettered = record.options, lettered.count > 1 else { return .failure(Skip("fewer than two options")) }
        let choices = lettered.sorted { $0.key < $1.key }.map(\.value.collapsed)
        guard choices.allSatisfy({ !$0.isEmpty }) else { return .failure(Skip("an option is empty")) }
        guard let letter = record.answer_idx, let answer = lettered[letter]?.collapsed else {
            return .failure(Skip("no option has the answer's letter"))
        }
        guard record.answer?.collapsed == answer else {
            return .failure(Skip("the answer is not the option of its letter"))
        }
        return .success(
            Sample(
                id: id,
                dataset: dataset,
                split: split,
                task: .questionAnswering,
                // Equal questions share a group, so that a repeated question cannot be in two splits.
                group: String(SHA256.hexDigest(of: Array(question.utf8)).prefix(16)),
                question: question,
                choices: choices,
                answer: answer
            )
        )
    }

    private static func split(ofFileNamed name: String) -> Split? {
        let words = Set(name.lowercased().split { !$0.isLetter }.map(String.init))
        let found: [Split] =
            (words.contains("train") ? [.train] : [])
            + (words.isDisjoint(with: ["dev", "val", "valid", "validation"]) ? [] : [.validation])
            + (words.contains("test") ? [.test] : [])
        return found.count == 1 ? found[0] : nil
    }

    private func questionFiles() throws(ImportError) -> [String] {
        try folder.checkRoot()
        guard folder.isFolder(Self.folderPath) else { throw folder.missing(Self.folderPath, isFolder: true) }
        let names = try folder.names(in: Self.folderPath).filter { $0.hasSuffix(".jsonl") }
        guard !names.isEmpty else { throw folder.missing(Self.folderPath + "/*.jsonl", isFolder: false) }
        return names.map { Self.folderPath + "/" + $0 }
    }
}
