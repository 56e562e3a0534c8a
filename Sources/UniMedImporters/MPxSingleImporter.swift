public import Foundation
public import UniMedData
public import UniMedImaging

/// MPx-Single (Wu et al., 2023), single MedPix images with captions, as RadFM distributes them: rg.
///
/// Layout: `MedPix_single_train.csv` and `MedPix_single_test.csv` (of RadFM_data_csv) with the columns `name` (the
/// image), `context` and `type`; `images/<name>` (of MedPix-Images). Rows of the type `caption` are reports; those
/// whose answer is a modality or a plane are no reports and are left out. Without a `type` column every row is one.
/// The splits are RadFM's, as in Uni-Med; an image of the test table is never in training. The setting `encoding` is that
/// of the tables, `utf8` (the default) or `latin1`.
public struct MPxSingleImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "mpx-single"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The names of the settings.
    public static let settingNames = ["encoding"]

    private static let tables: [(path: String, split: Split)] = [
        ("MedPix_single_test.csv", .test), ("MedPix_single_train.csv", .train),
    ]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let encoding: DelimitedText.Encoding

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate(settings: Self.settingNames)
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        encoding = try options.choice("encoding", default: .utf8)
    }

    /// The encoding of the tables; the splits are theirs.
    public var settings: [String: String] { ["encoding": encoding.rawValue] }

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        try folder.files(try tables().map(\.path) + ["images"])
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        var result = ImportedDataset()
        var testImages: Set<String> = []
        for (path, split) in try tables() {
            let rows = try ReportTable(path, in: folder, columns: [["name"], ["context"]], encoding: encoding).rows
            report.found(rows.count, "rg")
            for row in rows {
                switch row.fields.flatMap({ sample($0, id: row.id, split: split, testImages: testImages) }) {
                case .failure(let skip):
                    report.skipped("rg", skip, item: row.id)
                case .success(let sample):
                    report.imported(1, "rg")
                    result.samples.append(sample)
                }
            }
            if split == .test { testImages = Set(result.samples.compactMap(\.image?.path)) }
        }
        var annotated: Set<String> = []
        for sample in result.samples {
            guard let image = sample.image, annotated.insert(image.path).inserted else { continue }
            result.annotations.append(
                ImageAnnotation(dataset: dataset, split: sample.split, image: image, text: sample.answer)
            )
        }
        PaperCounts.check(Self.name, result.samples, report: &report)
        return result
    }

    private func sample(
        _ fields: [String: String],
        id: String,
        split: Split,
        testImages: Set<String>
    ) -> Result<Sample, Skip> {
        if let type = fields["type"]?.collapsed, type != "caption" {
            let isAnswer = ["modality", "plane"].contains(type)
            return .failure(isAnswer ? Skip(rule: "a \(type), not a caption") : Skip("not a caption"))
        }
        guard let name = fields["name"]?.trimmingCharacters(in: .whitespaces), !name.isEmpty, !name.contains(".."),
            !name.hasPrefix("/")
        else { return .failure(Skip("no image name")) }
        guard let caption = fields.firstText(of: ["context"]) else { return .failure(Skip("no caption")) }
        let path = "images/\(name)"
        guard !testImages.contains(path) else { return .failure(Skip(rule: "the image is in the test split")) }
        guard folder.isFile(path) else { return .failure(Skip("no image file")) }
        let image: ImageReference
        do {
            image = try folder.imageReference(path)
        } catch {
            return .failure(Skip(error.importReason))
        }
        return .success(
            Sample(
                id: id,
                dataset: dataset,
                split: split,
                task: .reportGeneration,
                group: name,
                image: image,
                answer: caption
            )
        )
    }

    private func tables() throws(ImportError) -> [(path: String, split: Split)] {
        try folder.checkRoot()
        let found = Self.tables.filter { folder.isFile($0.path) }
        guard !found.isEmpty else { throw folder.missing("MedPix_single_train.csv", isFolder: false) }
        guard folder.isFolder("images") else { throw folder.missing("images", isFolder: true) }
        return found
    }
}
