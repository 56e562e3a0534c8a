public import Foundation
public import UniMedData
public import UniMedImaging

/// MedPix 2.0 (Siragusa et al., 2025), CT and MR images of teaching cases with captions.
///
/// Layout: `images/*.png`, `Descriptions.json`, and `splitted_dataset/descriptions_{train,dev,test}.jsonl`, which tell
/// the split of each case; without that folder cases are divided by the options. Four tasks come of an image:
///
/// | task | question | answer |
/// | --- | --- | --- |
/// | rg | | the caption, unless it is empty or a placeholder |
/// | vqa modality | What modality is used to take this image? | CT or MR, from `Type` |
/// | vqa plane | What is the scanning plane of this image? | axial (also transverse), coronal or sagittal |
/// | vqa region | Which part of the body does this image belong to? | `Location Category` |
/// | cls | Which category does this image belong to: … | `Location Category` |
///
/// Values that are none (planes such as "Drawing" or "Multiple or Montage", the modality of a photograph) are left out
/// and counted.
public struct MedPixImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "medpix"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The modalities.
    public static let modalities = ["CT", "MR"]
    /// The planes that are asked for.
    public static let planes = ["axial", "coronal", "sagittal"]
    /// The five location categories, in lower case.
    public static let regions = [
        "abdomen", "head", "reproductive and urinary system", "spine and muscles", "thorax",
    ]

    private static let descriptionsPath = "Descriptions.json"
    private static let splitsPath = "splitted_dataset"
    private static let imagesPath = "images"

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions

    private struct Record: Decodable {
        struct Details: Decodable {
            let caption: String?
            let modality: String?
            let plane: String?

            enum CodingKeys: String, CodingKey {
                case caption = "Caption"
                case modality = "Modality"
                case plane = "Plane"
            }
        }
        let type: String?
        let caseName: String?
        let image: String?
        let details: Details?
        let location: String?
        let region: String?

        enum CodingKeys: String, CodingKey {
            case type = "Type"
            case caseName = "U_id"
            case image
            case details = "Description"
            case location = "Location"
            case region = "Location Category"
        }
    }

    private struct CaseRecord: Decodable {
        let U_id: String
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
        let descriptions = try folder.firstFile(of: [Self.descriptionsPath])
        return try folder.files([descriptions] + splitFiles().map(\.path) + [Self.imagesPath])
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let path = try folder.firstFile(of: [Self.descriptionsPath])
        let records = try importing(Self.name) { () throws(DataError) in
            try DataFile.readJSON([LenientRecord<Record>].self, from: folder.url(path))
        }
        let splits = try caseSplits(of: records.compactMap { try? $0.result.get() })
        let kinds = Kind.allCases.map(\.reportKind)
        for kind in ["image"] + kinds { report.found(records.count, kind) }
        var result = ImportedDataset()
        var names: Set<String> = []
        for (index, entry) in records.enumerated() {
            let item = (try? entry.result.get().image) ?? "record \(index + 1)"
            switch entry.result.flatMap({ usable($0, splits: splits, names: &names) }) {
            case .failure(let skip):
                for kind in ["image"] + kinds { report.skipped(kind, skip, item: item) }
            case .success(let usable):
                report.imported(1, "image")
                for kind in Kind.allCases {
                    switch sample(kind, of: usable) {
                    case .success(let sample):
                        report.imported(1, kind.reportKind)
                        result.samples.append(sample)
                    case .failure(let skip):
                        report.skipped(kind.reportKind, skip, item: item)
                    }
                }
                result.annotations.append(
                    ImageAnnotation(
                        dataset: dataset,
                        split: usable.split,
                        image: usable.image,
                        fields: usable.fields,
                        text: usable.caption
                    )
                )
            }
        }
        return result
    }

    // MARK: - One image

    /// What is asked about an image.
    private enum Kind: CaseIterable {
        case caption
        case modality
        case plane
        case region
        case category

        var task: MedicalTask {
            switch self {
            case .caption: .reportGeneration
            case .modality, .plane, .region: .visualQuestionAnswering
            case .category: .imageClassification
            }
        }

        var questionKind: String? {
            switch self {
            case .caption: nil
            case .modality: "modality"
            case .plane: "plane"
            case .region: "region"
            case .category: "region"
            }
        }

        var reportKind: String { ImportReport.kind(task: task, questionKind: questionKind) }

        var question: String? {
            switch self {
            case .caption: nil
            case .modality: "What modality is used to take this image?"
            case .plane: "What is the scanning plane of this image?"
            case .region: "Which part of the body does this image belong to?"
            case .category:
                "Which category does this image belong to: "
                    + MedPixImporter.regions.dropLast().joined(separator: ", ")
                    + ", or \(MedPixImporter.regions.last ?? "")?"
            }
        }

        var choices: [String]? {
            switch self {
            case .caption: nil
            case .modality: MedPixImporter.modalities
            case .plane: MedPixImporter.planes
            case .region, .category: MedPixImporter.regions
            }
        }
    }

    /// A record with its image found and its values read.
    private struct UsableRecord {
        let name: String
        let caseName: String
        let split: Split
        let image: ImageReference
        let modality: Result<String, Skip>
        let plane: Result<String, Skip>
        let region: Result<String, Skip>
        let report: Result<String, Skip>
        let location: String?
        let sequence: String?

        var caption: String? { try? report.get() }

        var fields: [String: String] {
            var fields: [String: String] = [:]
            fields["modality"] = try? modality.get()
            fields["plane"] = try? plane.get()
            fields["region"] = try? region.get()
            fields["location"] = location
            fields["sequence"] = sequence
            return fields
        }
    }

    private func usable(
        _ record: Record,
        splits: [String: Split],
        names: inout Set<String>
    ) -> Result<UsableRecord, Skip> {
        guard let name = record.image, !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
            return .failure(Skip("no image name"))
        }
        guard let caseName = record.caseName, !caseName.isEmpty else { return .failure(Skip("no case")) }
        guard names.insert(name).inserted else { return .failure(Skip("the image is listed twice")) }
        guard let split = splits[caseName] else { return .failure(Skip("the case is in no split")) }
        let path = "\(Self.imagesPath)/\(name).png"
        guard folder.isFile(path) else { return .failure(Skip("no image file")) }
        let image: ImageReference
        do {
            image = try folder.imageReference(path)
        } catch {
            return .failure(Skip(error.importReason))
        }
        return .success(
            UsableRecord(
                name: name,
                caseName: caseName,
                split: split,
                image: image,
                modality: Self.modality(of: record),
                plane: Self.plane(of: record),
                region: Self.region(of: record),
                report: Self.caption(of: record),
                location: Self.value(record.location, except: ["left blank", "bethesda, md", "n/a"])?.lowercased(),
                sequence: Self.value(record.details?.modality, except: ["drawing", "n/a"])
            )
        )
    }

    private func sample(_ kind: Kind, of record: UsableRecord) -> Result<Sample, Skip> {
        let answer =
            switch kind {
            case .caption: record.report
            case .modality: record.modality
            case .plane: record.plane
            case .region, .category: record.region
            }
        return answer.map { answer in
            Sample(
                id: "\(record.name) \(kind.reportKind)",
                dataset: dataset,
                split: record.split,
                task: kind.task,
                group: record.caseName,
                image: record.image,
                question: kind.question,
                questionKind: kind.questionKind,
                choices: kind.choices,
                answer: answer,
                fields: record.fields
            )
        }
    }

    // MARK: - Values

    private static func modality(of record: Record) -> Result<String, Skip> {
        let notScans: Set<String> = ["drawing", "photograph", "gross pathology"]
        for value in [record.details?.plane, record.details?.modality] {
            if let value = value?.collapsed.lowercased(), notScans.contains(value) {
                return .failure(Skip(rule: "the image is a \(value), not a scan"))
            }
        }
        switch record.type?.collapsed.uppercased() {
        case "CT": return .success("CT")
        case "MR", "MRI": return .success("MR")
        default: return .failure(Skip("the type is neither CT nor MR"))
        }
    }

    private static func plane(of record: Record) -> Result<String, Skip> {
        guard let plane = record.details?.plane?.collapsed.lowercased(), !plane.isEmpty else {
            return .failure(Skip(rule: "no plane"))
        }
        if plane == "transverse" { return .success("axial") }
        return planes.contains(plane)
            ? .success(plane) : .failure(Skip(rule: "not a plane that is asked for: \(plane)"))
    }

    private static func region(of record: Record) -> Result<String, Skip> {
        guard let region = record.region?.collapsed.lowercased(), !region.isEmpty else {
            return .failure(Skip("no location category"))
        }
        return regions.contains(region) ? .success(region) : .failure(Skip("not a location category: \(region)"))
    }

    private static func caption(of record: Record) -> Result<String, Skip> {
        guard let caption = value(record.details?.caption, except: ["n/a"]) else {
            return .failure(Skip("no caption"))
        }
        guard !caption.lowercased().hasPrefix("replace this") else {
            return .failure(Skip(rule: "the caption is a placeholder"))
        }
        return .success(caption)
    }

    private static func value(_ text: String?, except junk: Set<String>) -> String? {
        guard let text = text?.collapsed, !text.isEmpty, !junk.contains(text.lowercased()) else { return nil }
        return text
    }

    // MARK: - Splits

    private static let splitNames: [(suffix: String, split: Split)] = [
        ("train", .train), ("dev", .validation), ("validation", .validation), ("test", .test),
    ]

    private func splitFiles() -> [(path: String, split: Split)] {
        Self.splitNames
            .map { ("\(Self.splitsPath)/descriptions_\($0.suffix).jsonl", $0.split) }
            .filter { folder.isFile($0.0) }
    }

    private func caseSplits(of records: [Record]) throws(ImportError) -> [String: Split] {
        let files = splitFiles()
        guard !files.isEmpty else { return options.splits(of: records.compactMap(\.caseName), label: dataset) }
        var splits: [String: Split] = [:]
        for file in files {
            let url = folder.url(file.path)
            try importing(Self.name) { () throws(DataError) in
                try JSONLines.forEach(CaseRecord.self, in: url) { (record, line) throws(DataError) in
                    if let other = splits[record.U_id], other != file.split {
                        throw DataError(
                            .invalid,
                            "the case \(record.U_id) is also in the \(other.rawValue) split",
                            file: url.path,
                            line: line,
                            field: "U_id"
                        )
                    }
                    splits[record.U_id] = file.split
                }
            }
        }
        return splits
    }
}
