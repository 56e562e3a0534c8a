public import Foundation
public import UniMedData
public import UniMedImaging

/// MIMIC-CXR-JPG (Johnson et al., 2019) with the reports of RadFM (Wu et al., 2023): rg.
///
/// Layout: `files/p1x/p<patient>/s<study>/<image>.jpg` as published, and beside `files` the tables of RadFM,
/// `mimic_caption_train` and `mimic_caption_test` (`.csv` or `.json`), with one row an image. Their columns are not
/// documented; read are `image_path`, `img_path`, `path` or `image` for the image (any path that ends like the
/// published one) and either `findings` and `impression` or one text, `label`, `caption`, `report` or `text`. A text
/// with the headings FINDINGS and IMPRESSION is taken apart there.
///
/// The rules are Uni-Med's (B.1): reports without findings and those with findings of more than 800 characters are left
/// out, every view is a sample of its own, all of the test table is for testing, and 9,997 samples drawn by the seed are
/// for training. A patient of the test table is never in training. The fractions of the options are not used.
/// The setting `encoding` is that of the tables in CSV, `utf8` (the default) or `latin1`.
public struct MIMICCXRImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "mimic-cxr"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The names of the settings.
    public static let settingNames = ["encoding"]
    /// The number of training samples in Uni-Med.
    public static let paperTrainCount = 9_997
    /// The most characters of findings.
    public static let maximumFindings = 800

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private let trainCount: Int?
    private let encoding: DelimitedText.Encoding

    /// Makes an importer of a folder.
    ///
    /// - Parameters:
    ///   - root: The folder that holds `files`.
    ///   - options: The settings; of the splits only the seed counts.
    ///   - trainCount: The number of training samples; `nil` is all.
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(
        root: URL,
        options: ImportOptions = ImportOptions(),
        trainCount: Int? = paperTrainCount
    ) throws(ImportError) {
        try options.validate(settings: Self.settingNames)
        if let trainCount, trainCount < 0 {
            throw ImportError(.invalid, "expected a number of samples, found \(trainCount)", field: "trainCount")
        }
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
        self.trainCount = trainCount
        encoding = try options.choice("encoding", default: .utf8)
    }

    /// The options that the result depends on.
    public var settings: [String: String] {
        ["seed": "\(options.seed)", "trainCount": trainCount.map(String.init) ?? "all", "encoding": encoding.rawValue]
    }

    /// The files that the result depends on: the tables, which stand for the images they name.
    public func sourceFiles() throws(ImportError) -> [SourceFile] { try folder.files(try tables().map(\.path)) }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    private struct Candidate {
        let id: String
        let path: String
        let patient: String
        let text: String
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        var result = ImportedDataset()
        var used: Set<String> = []
        var testPatients: Set<String> = []
        // The test table comes first, so that its patients are known.
        for (path, split) in try tables() {
            var candidates = try candidates(path, used: &used, report: &report)
            var places = Int.max
            if split == .test {
                testPatients = Set(candidates.map(\.patient))
            } else {
                var generator = SeededGenerator.derived(from: options.seed, label: "reports of \(Self.name)")
                candidates.sort { $0.path < $1.path }
                candidates = generator.permutation(of: candidates.count).map { candidates[$0] }
                places = trainCount ?? .max
            }
            var taken: [(Candidate, ImageReference)] = []
            for candidate in candidates {
                if split == .train, testPatients.contains(candidate.patient) {
                    report.skipped("rg", Skip(rule: "the patient is in the test split"), item: candidate.id)
                    continue
                }
                guard taken.count < places else {
                    report.skipped(1, "rg", byRule: "not in the selection")
                    continue
                }
                do throws(ImagingError) {
                    guard folder.isFile(candidate.path) else {
                        report.skipped("rg", because: "no image file", item: candidate.id)
                        continue
                    }
                    taken.append((candidate, try folder.imageReference(candidate.path)))
                } catch {
                    report.skipped("rg", because: error.importReason, item: candidate.id)
                }
            }
            report.imported(taken.count, "rg")
            for (candidate, image) in taken.sorted(by: { $0.0.path < $1.0.path }) {
                let fields = ["modality": "X-ray"]
                result.samples.append(
                    Sample(
                        id: candidate.id,
                        dataset: dataset,
                        split: split,
                        task: .reportGeneration,
                        group: candidate.patient,
                        image: image,
                        answer: candidate.text,
                        fields: fields
                    )
                )
                result.annotations.append(
                    ImageAnnotation(dataset: dataset, split: split, image: image, fields: fields, text: candidate.text)
                )
            }
        }
        if trainCount == Self.paperTrainCount {
            PaperCounts.check(Self.name, result.samples, report: &report)
        }
        return result
    }

    private func candidates(
        _ path: String,
        used: inout Set<String>,
        report: inout ImportReport
    ) throws(ImportError) -> [Candidate] {
        let columns = [Self.pathColumns, Self.findingsColumns + Self.impressionColumns + Self.textColumns]
        let rows = try ReportTable(path, in: folder, columns: columns, encoding: encoding).rows
        report.found(rows.count, "rg")
        var candidates: [Candidate] = []
        for row in rows {
            switch row.fields.flatMap({ Self.candidate($0, id: row.id) }) {
            case .failure(let skip):
                report.skipped("rg", skip, item: row.id)
            case .success(let candidate):
                guard used.insert(candidate.path).inserted else {
                    report.skipped("rg", because: "the image is listed twice", item: row.id)
                    continue
                }
                candidates.append(candidate)
            }
        }
        return candidates
    }

    private static let pathColumns = ["image_path", "img_path", "path", "image"]
    private static let findingsColumns = ["findings", "Findings", "FINDINGS"]
    private static let impressionColumns = ["impression", "Impression", "IMPRESSION"]
    private static let textColumns = ["label", "caption", "report", "text"]

    private static func candidate(_ fields: [String: String], id: String) -> Result<Candidate, Skip> {
        guard let path = fields.firstText(of: pathColumns) else {
            return .failure(Skip("no image path"))
        }
        let parts = path.split(separator: "/").map(String.init).suffix(4)
        let starts = zip(parts, ["p", "p", "s"])
        guard parts.count == 4, !parts.contains(".."), starts.allSatisfy({ $0.hasPrefix($1) }),
            let patient = parts.dropFirst().first
        else { return .failure(Skip("the path does not end with p1x/p<patient>/s<study>/<image>")) }
        return report(of: fields).map {
            Candidate(id: id, path: "files/" + parts.joined(separator: "/"), patient: patient, text: $0)
        }
    }

    /// Findings and impression, one after the other.
    private static func report(of fields: [String: String]) -> Result<String, Skip> {
        var findings = fields.firstText(of: findingsColumns)
        var impression = fields.firstText(of: impressionColumns)
        if findings == nil, impression == nil {
            guard let text = fields.firstText(of: textColumns) else {
                return .failure(Skip("no report"))
            }
            (findings, impression) = sections(of: text)
        }
        guard let findings, !findings.isEmpty else { return .failure(Skip(rule: "no findings")) }
        guard findings.count <= maximumFindings else {
            return .failure(Skip(rule: "findings of more than \(maximumFindings) characters"))
        }
        return .success([findings, impression ?? ""].filter { !$0.isEmpty }.joined(separator: " "))
    }

    private static func sections(of text: String) -> (findings: String?, impression: String?) {
        let impression = text.range(of: "IMPRESSION:", options: .caseInsensitive)
        guard let start = text.range(of: "FINDINGS:", options: .caseInsensitive) else {
            // Without any heading the text is all findings, as RadFM's tables have it.
            return impression == nil ? (text, nil) : (nil, nil)
        }
        guard let impression, impression.lowerBound >= start.upperBound else {
            return (String(text[start.upperBound...]).collapsed, nil)
        }
        return (
            String(text[start.upperBound..<impression.lowerBound]).collapsed,
            String(text[impression.upperBound...]).collapsed
        )
    }

    private func tables() throws(ImportError) -> [(path: String, split: Split)] {
        try folder.checkRoot()
        func table(_ split: String) -> String? {
            ["mimic_caption_\(split).csv", "mimic_caption_\(split).json"].first(where: folder.isFile)
        }
        let found = [(table("test"), Split.test), (table("train"), Split.train)]
            .compactMap { path, split in path.map { (path: $0, split: split) } }
        guard !found.isEmpty else { throw folder.missing("mimic_caption_train.csv", isFolder: false) }
        guard folder.isFolder("files") else { throw folder.missing("files", isFolder: true) }
        return found
    }
}
