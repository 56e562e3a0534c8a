public import Foundation
public import UniMedData

/// PubMedQA's labelled questions (Jin et al., 2019) for question answering.
///
/// Layout: `data/ori_pqal.json` (or the file itself in the root), one object keyed by PubMed number. The question is
/// asked without its abstract, as Uni-Med does (appendix C); the answer is yes, no or maybe. Where the project's
/// `test_ground_truth.json` lies beside it, its questions are the test split; the others are divided by the options.
public struct PubMedQAImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "pubmedqa"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The three answers.
    public static let answers = ["yes", "no", "maybe"]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions

    private struct Record: Decodable {
        let QUESTION: String?
        let final_decision: String?
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
        let path = try mainFile()
        return try folder.files([path, testFile(beside: path)])
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let path = try mainFile()
        let records = try importing(Self.name) { () throws(DataError) in
            try DataFile.readJSON([String: Record].self, from: folder.url(path))
        }
        var test: Set<String> = []
        let testPath = testFile(beside: path)
        if folder.isFile(testPath) {
            let answers = try importing(Self.name) { () throws(DataError) in
                try DataFile.readJSON([String: String].self, from: folder.url(testPath))
            }
            test = Set(answers.keys)
        }
        let splits = options.splits(of: records.keys.filter { !test.contains($0) }, label: dataset)
        let kind = ImportReport.kind(task: .questionAnswering)
        report.found(records.count, kind)
        var result = ImportedDataset()
        for (number, record) in records.sorted(by: { $0.key < $1.key }) {
            let question = record.QUESTION?.collapsed ?? ""
            let answer = record.final_decision?.collapsed.lowercased() ?? ""
            guard !question.isEmpty else {
                report.skipped(kind, because: "no question", item: number)
                continue
            }
            guard Self.answers.contains(answer) else {
                report.skipped(kind, because: "the decision is not yes, no or maybe", item: number)
                continue
            }
            report.imported(1, kind)
            result.samples.append(
                Sample(
                    id: number,
                    dataset: dataset,
                    split: splits[number] ?? .test,
                    task: .questionAnswering,
                    group: number,
                    question: question,
                    choices: Self.answers,
                    answer: answer
                )
            )
        }
        return result
    }

    private func mainFile() throws(ImportError) -> String {
        try folder.firstFile(of: ["data/ori_pqal.json", "ori_pqal.json"])
    }

    private func testFile(beside path: String) -> String {
        path.replacingOccurrences(of: "ori_pqal.json", with: "test_ground_truth.json")
    }
}

extension ImportOptions {
    /// The options that decide about splits, for the key of prepared data.
    var splitSettings: [String: String] {
        ["validationFraction": "\(validationFraction)", "testFraction": "\(testFraction)", "seed": "\(seed)"]
    }
}
