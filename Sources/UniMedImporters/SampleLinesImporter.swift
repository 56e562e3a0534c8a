public import Foundation
public import UniMedData
public import UniMedImaging

/// Samples as JSON lines in the schema of `UniMedData.Sample`: data of one's own, for every task.
///
/// Layout: one or more `*.jsonl` files, one object a line, with pictures at paths relative to the folder. `task` is a
/// short code (`qa`, `vqa`, `rg`, `rec`, `reg`, `cls`). Optional beside what the task needs: `id` (else file and line),
/// `split` (else all are divided by group), `group`, `dataset` (ignored: the recipe names it), and the picture's size:
/// `image` is `{"path": …, "width": …, "height": …}` or the path alone. A size that is not the picture's, a field that
/// the schema does not have, and a line that is no JSON are skipped and counted.
///
/// A path of a folder is a volume: the pictures in it, all of one size, are its slices in the order of their names,
/// where numbers count as numbers. A folder of DICOM files is a volume whose slices are in the order of their places in
/// the patient, whatever the names; it holds one series. `image` may then have `volume`, `{"slices": 40, "spacing":
/// 2.5, "axis": "axial"}`, with the number of slices that the folder has. A file of a volume (NIfTI, of a pair either
/// file; NRRD; DICOM with several frames) is one where `image` has `volume`, `true` or as before, and its middle slice
/// where it has none or `false`; with the setting `volumes` it is one where it has none, too. Slices stand as those of
/// DICOM files, and the setting `window` says how values become grey. A box in a volume needs `boxSlices`, `{"start":
/// 3, "end": 6}` for the slices 3 to 5.
public struct SampleLinesImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "json-lines"
    /// The version of what this importer makes of the same files.
    public static let version = 2
    /// The settings: `file` names one file to read instead of all; `window` is `percentiles` (0.01 and 0.99, the default),
    /// `full-range`, a preset such as `soft-tissue`, or `center/width`, for volumes; `volumes` is `true` where files of
    /// volumes are volumes without being called so, else `false`.
    public static let settingNames = ["file", "window", "volumes"]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private let volumes: VolumeStackCache
    private let takesVolumes: Bool

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate(settings: Self.settingNames)
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
        volumes = VolumeStackCache(folder, slicing: VolumeSlicing(window: try options.volumeWindow()))
        takesVolumes = try options.flag("volumes")
    }

    /// The options that the result depends on.
    public var settings: [String: String] { options.allSettings }

    /// The files that the result depends on: the records, and every picture in the folder.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        let lines = try lineFiles()
        return try folder.files(lines + folder.filesBelow("").filter(DatasetFolder.isSourceName))
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try volumes.picture(reference, in: folder)
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        var drafts = SampleDrafts(dataset: dataset, folder: folder, options: options)
        for path in try lineFiles() {
            var isEmpty = true
            report.found(1, "file")
            try importing(Self.name) { () throws(DataError) in
                try JSONLines.forEachResult(Record.self, in: folder.url(path)) { record, line in
                    let item = "\(path):\(line)"
                    isEmpty = false
                    report.found(1, "record")
                    switch record {
                    case .failure(let error):
                        report.skipped("record", Skip(error), item: item)
                    case .success(let record):
                        add(record, item: item, to: &drafts, report: &report)
                    }
                }
            }
            report.read(file: path, isEmpty: isEmpty)
        }
        return drafts.finish(report: &report)
    }

    private func add(_ record: Record, item: String, to drafts: inout SampleDrafts, report: inout ImportReport) {
        var split: Split?
        if let word = record.split {
            split = Split(word: word)
            guard split != nil else {
                report.skipped("record", because: "the split is none of train, validation and test", item: item)
                return
            }
        }
        var image: ImageReference?
        if let given = record.image {
            switch self.image(given, &drafts) {
            case .failure(let skip):
                report.skipped("record", skip, item: item)
                return
            case .success(let found):
                guard given.width ?? found.width == found.width, given.height ?? found.height == found.height else {
                    report.skipped("record", because: "the record's image size is not the image's", item: item)
                    return
                }
                image = found
                if let volume = given.volume {
                    guard let known = found.volume, volume.slices == known.slices else {
                        report.skipped(
                            "record",
                            because: "the record's number of slices is not the image's",
                            item: item
                        )
                        return
                    }
                    image?.volume = VolumeReference(
                        slices: known.slices,
                        spacing: volume.spacing ?? known.spacing,
                        axis: volume.axis ?? known.axis
                    )
                }
            }
        }
        report.imported(1, "record")
        let sample = Sample(
            id: record.id ?? item,
            dataset: dataset,
            split: split ?? .train,
            task: record.task,
            // Samples of one picture must not be in two splits.
            group: record.group ?? image?.path,
            image: image,
            question: record.question,
            questionKind: record.questionKind,
            objectName: record.objectName.map { options.objectNames[$0] ?? $0 },
            box: record.box,
            boxSlices: record.boxSlices,
            choices: record.choices,
            answer: record.answer ?? "",
            fields: record.fields
        )
        drafts.add(sample, split: split, item: item, report: &report)
    }

    /// The reference of a picture or a volume.
    private func image(_ given: Picture, _ drafts: inout SampleDrafts) -> Result<ImageReference, Skip> {
        let areVolumes = given.isVolume ?? takesVolumes
        let found = volumes.image(given.path, filesAreVolumes: areVolumes, in: folder, drafts: &drafts)
        if case .success(let image) = found, given.isVolume == true, image.volume == nil {
            return .failure(Skip("the record's image is no volume"))
        }
        return found
    }

    private func lineFiles() throws(ImportError) -> [String] {
        if let file = options.settings["file"] {
            return [try folder.onlyFile(file, ending: ".jsonl", setting: "file")]
        }
        return try folder.filesEnding(".jsonl")
    }

    // MARK: - Records

    private struct Picture: Decodable {
        let path: String
        let width: Int?
        let height: Int?
        /// What the record says of the volume.
        let volume: VolumeReference?
        /// Whether the record says that it is one; `nil` where it says nothing.
        let isVolume: Bool?

        enum CodingKeys: String, CodingKey, CaseIterable { case path, width, height, volume }

        init(from decoder: any Decoder) throws {
            if let path = try? decoder.singleValueContainer().decode(String.self) {
                (self.path, width, height, volume, isVolume) = (path, nil, nil, nil, nil)
                return
            }
            try decoder.rejectOtherKeys(CodingKeys.allCases.map(\.rawValue))
            let container = try decoder.container(keyedBy: CodingKeys.self)
            path = try container.decode(String.self, forKey: .path)
            width = try container.decodeIfPresent(Int.self, forKey: .width)
            height = try container.decodeIfPresent(Int.self, forKey: .height)
            if let flag = try? container.decode(Bool.self, forKey: .volume) {
                (volume, isVolume) = (nil, flag)
                return
            }
            volume = try container.decodeIfPresent(VolumeReference.self, forKey: .volume)
            isVolume = volume == nil ? nil : true
            guard volume?.spacing.map({ $0 > 0 && $0.isFinite }) ?? true else {
                throw DecodingError.dataCorruptedError(
                    forKey: .volume,
                    in: container,
                    debugDescription: "expected a spacing of a positive number of millimetres"
                )
            }
        }
    }

    private struct Record: Decodable {
        let id: String?
        let split: String?
        let task: MedicalTask
        let group: String?
        let image: Picture?
        let question: String?
        let questionKind: String?
        let objectName: String?
        let box: BoundingBox?
        let boxSlices: SliceRange?
        let choices: [String]?
        let answer: String?
        let fields: [String: String]?

        enum CodingKeys: String, CodingKey, CaseIterable {
            case id, dataset, split, task, group, image, question, questionKind, objectName, box, boxSlices, choices,
                answer, fields
        }

        init(from decoder: any Decoder) throws {
            try decoder.rejectOtherKeys(CodingKeys.allCases.map(\.rawValue))
            let container = try decoder.container(keyedBy: CodingKeys.self)
            id = try container.decodeIfPresent(String.self, forKey: .id)
            split = try container.decodeIfPresent(String.self, forKey: .split)
            task = try container.decode(MedicalTask.self, forKey: .task)
            group = try container.decodeIfPresent(String.self, forKey: .group)
            image = try container.decodeIfPresent(Picture.self, forKey: .image)
            question = try container.decodeIfPresent(String.self, forKey: .question)
            questionKind = try container.decodeIfPresent(String.self, forKey: .questionKind)
            objectName = try container.decodeIfPresent(String.self, forKey: .objectName)
            box = try container.decodeIfPresent(BoundingBox.self, forKey: .box)
            boxSlices = try container.decodeIfPresent(SliceRange.self, forKey: .boxSlices)
            choices = try container.decodeIfPresent([String].self, forKey: .choices)
            answer = try container.decodeIfPresent(String.self, forKey: .answer)
            fields = try container.decodeIfPresent([String: String].self, forKey: .fields)
        }
    }
}

extension Decoder {
    /// Refuses an object with a key that is not one of a list.
    fileprivate func rejectOtherKeys(_ known: [String]) throws {
        let container = try container(keyedBy: AnyName.self)
        guard let unknown = container.allKeys.map(\.stringValue).sorted().first(where: { !known.contains($0) }) else {
            return
        }
        let problem = "the schema has no such field"
        let path = codingPath + [AnyName(stringValue: unknown)]
        throw DecodingError.dataCorrupted(DecodingError.Context(codingPath: path, debugDescription: problem))
    }
}

private struct AnyName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
