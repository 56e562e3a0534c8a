public import Foundation
public import UniMedData

/// PubMedQA's labelled questions (Jin et al., 2019) for question answering.
///
/// Layout: `data/ori_pqal.json` (or the file itself in the root), one object keyed by PubMed number. The question is
/// asked without its abstract, as Uni-Med does (appendix C); the answer is yes, no or maybe. Where the project's
/// `test_ground_truth.json` lies beside it, its questions are the test split; the others are divided by the options.
///
/// The other layout is that which the project's `preprocess/split_dataset.py` makes: `data/pqal_fold<0…9>/train_set.json`
/// and `dev_set.json`, and `data/test_set.json`, whose questions are the test split. It is read when the setting `fold`
/// names a fold, and the first fold of it where `ori_pqal.json` is not there. A question in two of its files is an error.
public struct PubMedQAImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "pubmedqa"
    /// The version of what this importer makes of the same files.
    public static let version = 2
    /// The names of the settings.
    public static let settingNames = ["fold"]
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

    private typealias Records = JSONMembers<Record>

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate(settings: Self.settingNames)
        if let fold = options.settings["fold"], !(Int(fold).map((0...9).contains) ?? false) {
            throw ImportError(.invalid, "expected a fold from 0 to 9, found '\(fold)'", field: "settings.fold")
        }
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
    }

    /// The options that the result depends on.
    public var settings: [String: String] { options.allSettings }

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        switch try layout() {
        case .whole(let file): try folder.files([file, testFile(beside: file)])
        case .fold(let files): try folder.files(files.map(\.path))
        }
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        var result = ImportedDataset()
        switch try layout() {
        case .whole(let path):
            let records = try records(path)
            var test: Set<String> = []
            let testPath = testFile(beside: path)
            if folder.isFile(testPath) {
                let answers = try importing(Self.name) { () throws(DataError) in
                    try DataFile.readJSON([String: String].self, from: folder.url(testPath))
                }
                test = Set(answers.keys)
            }
            let names = records.members.map(\.name)
            let splits = options.splits(of: names.filter { !test.contains($0) }, label: dataset)
            add(records, to: &result, report: &report) { splits[$0] ?? .test }
        case .fold(let files):
            var known: [String: Split] = [:]
            for (path, split) in files {
                let records = try records(path)
                for name in records.members.map(\.name) {
                    guard let other = known.updateValue(split, forKey: name) else { continue }
                    throw ImportError(
                        .invalid,
                        "the question is also in the \(other.rawValue) split",
                        file: folder.url(path).path,
                        field: name,
                        importer: Self.name
                    )
                }
                add(records, to: &result, report: &report) { _ in split }
            }
            result.samples.sort { $0.id < $1.id }
        }
        PaperCounts.check(Self.name, result.samples, report: &report)
        return result
    }

    private func records(_ path: String) throws(ImportError) -> Records {
        try importing(Self.name) { () throws(DataError) in try Records(contentsOf: folder.url(path)) }
    }

    private func add(
        _ records: Records,
        to result: inout ImportedDataset,
        report: inout ImportReport,
        split: (String) -> Split
    ) {
        let kind = ImportReport.kind(task: .questionAnswering)
        report.found(records.members.count + records.repeated.count, kind)
        for name in records.repeated {
            report.skipped(kind, because: "another question has the same number", item: name)
        }
        for record in records.members.sorted(by: { $0.name < $1.name }) {
            switch record.result.flatMap({ sample($0, number: record.name, split: split(record.name)) }) {
            case .failure(let skip): report.skipped(kind, skip, item: record.name)
            case .success(let sample):
                report.imported(1, kind)
                result.samples.append(sample)
            }
        }
    }

    private func sample(_ record: Record, number: String, split: Split) -> Result<Sample, Skip> {
        let question = record.QUESTION?.collapsed ?? ""
        let answer = record.final_decision?.collapsed.lowercased() ?? ""
        guard !question.isEmpty else { return .failure(Skip("no question")) }
        guard Self.answers.contains(answer) else {
            return .failure(Skip("the decision is not yes, no or maybe"))
        }
        return .success(
            Sample(
                id: number,
                dataset: dataset,
                split: split,
                task: .questionAnswering,
                group: number,
                question: question,
                choices: Self.answers,
                answer: answer
            )
        )
    }

    // MARK: - Files

    private enum Layout {
        case whole(String)
        case fold([(path: String, split: Split)])
    }

    private func layout() throws(ImportError) -> Layout {
        let whole = ["data/ori_pqal.json", "ori_pqal.json"]
        try folder.checkRoot()
        for place in ["data/", ""] {
            let folds = options.settings["fold"].map { [$0] } ?? (0...9).map(String.init)
            let isWanted = options.settings["fold"] != nil || !whole.contains(where: folder.isFile)
            guard isWanted, let fold = folds.map({ "\(place)pqal_fold\($0)" }).first(where: folder.isFolder) else {
                continue
            }
            let files: [(path: String, split: Split)] = [
                ("\(fold)/train_set.json", .train), ("\(fold)/dev_set.json", .validation),
                ("\(place)test_set.json", .test),
            ]
            for (path, _) in files where !folder.isFile(path) { throw folder.missing(path, isFolder: false) }
            return .fold(files)
        }
        if let fold = options.settings["fold"] { throw folder.missing("data/pqal_fold\(fold)", isFolder: true) }
        return .whole(try folder.firstFile(of: whole))
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
