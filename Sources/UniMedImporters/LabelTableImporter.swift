public import Foundation
public import UniMedData
public import UniMedImaging

/// A table of images and their labels (CSV, RFC 4180): data of one's own, for image classification.
///
/// Layout: a file with a header line and one image a row, and the pictures at paths relative to the folder. The classes
/// are the labels of the table, in the order of the alphabet; `objectNames` puts other words in their place. A
/// picture's ending may be left out of the table. A path of a folder is a volume, as with ``SampleLinesImporter``: the
/// pictures in it in the order of their names, or the slices of a DICOM series in that of their places in the patient.
/// Settings, with what they are when they are not given:
///
/// | setting | what | default |
/// | --- | --- | --- |
/// | `file` | the table | the only `*.csv` |
/// | `imageColumn`, `labelColumn` | the columns that are needed | `image`, `label` |
/// | `splitColumn`, `groupColumn` | the split, and the patient or study | none |
/// | `imageFolder` | the folder that the paths start from | the data set's |
/// | `separator` | `comma`, `semicolon` or `tab` | `comma` |
/// | `encoding` | `utf8` or `latin1` | `utf8` |
/// | `volumes` | `true` makes files of volumes (NIfTI, NRRD, multi-frame DICOM) volumes, not their middle slice | `false` |
/// | `window` | how values of volumes become grey, as for ``SampleLinesImporter`` | `percentiles` |
/// | `question` | what is asked | Which category does this image belong to: …? |
public struct LabelTableImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "csv"
    /// The version of what this importer makes of the same files.
    public static let version = 2
    /// The names of the settings.
    public static let settingNames = [
        "file", "imageColumn", "labelColumn", "splitColumn", "groupColumn", "imageFolder", "separator", "encoding",
        "volumes", "window", "question",
    ]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private let delimiter: DelimitedText.Delimiter
    private let encoding: DelimitedText.Encoding
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
        delimiter = try options.choice("separator", default: .comma)
        encoding = try options.choice("encoding", default: .utf8)
        volumes = VolumeStackCache(folder, slicing: VolumeSlicing(window: try options.volumeWindow()))
        takesVolumes = try options.flag("volumes")
    }

    /// The options that the result depends on.
    public var settings: [String: String] { options.allSettings }

    /// The files that the result depends on: the table, and every picture in the folder.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        try folder.files([try tablePath()] + folder.filesBelow("").filter(DatasetFolder.isSourceName))
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try volumes.picture(reference, in: folder)
    }

    private struct Row {
        let item: String
        let image: ImageReference
        let label: String
        let group: String?
        let split: Split?
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let table = try DelimitedTable(
            contentsOf: folder.url(try tablePath()),
            delimiter: delimiter,
            encoding: encoding,
            importer: Self.name
        )
        let columns = try Columns(table, options: options)
        var drafts = SampleDrafts(dataset: dataset, folder: folder, options: options)
        var rows: [Row] = []
        var images: Set<ImageReference> = []
        for record in table.rows {
            let item = "row at line \(record.line)"
            report.found(1, "row")
            do throws(Skip) {
                let row = try row(try record.fields.get(), columns, item: item, drafts: &drafts)
                guard images.insert(row.image).inserted else { throw Skip("the image is listed twice") }
                rows.append(row)
                report.imported(1, "row")
            } catch {
                report.skipped("row", error, item: item)
            }
        }
        let classes = Set(rows.map(\.label)).sorted()
        for row in rows {
            let sample = Sample(
                id: row.image.path,
                dataset: dataset,
                split: .train,
                task: .imageClassification,
                group: row.group ?? row.image.path,
                image: row.image,
                question: options.settings["question"] ?? classes.classQuestion,
                choices: classes,
                answer: row.label
            )
            drafts.add(sample, split: row.split, item: row.item, report: &report)
        }
        return drafts.finish(report: &report)
    }

    private func row(
        _ fields: [String],
        _ columns: Columns,
        item: String,
        drafts: inout SampleDrafts
    ) throws(Skip) -> Row {
        let label = fields[columns.label].collapsed
        guard !label.isEmpty else { throw Skip("no label") }
        let name = fields[columns.image].trimmingCharacters(in: .whitespaces)
        guard !name.isEmpty else { throw Skip("no image name") }
        var split: Split?
        if let column = columns.split {
            split = Split(word: fields[column].trimmingCharacters(in: .whitespaces))
            guard split != nil else { throw Skip("the split is none of train, validation and test") }
        }
        var group: String?
        if let column = columns.group {
            group = fields[column].trimmingCharacters(in: .whitespaces)
            guard group != "" else { throw Skip("no group") }
        }
        let path = options.settings["imageFolder"].map { "\($0)/\(name)" } ?? name
        let endings = [""] + DatasetFolder.imageExtensions.map { "." + $0 }
        let isInside = DatasetFolder.isInside(path)
        let file = isInside ? endings.map { path + $0 }.first { folder.isFile($0) } : nil
        return Row(
            item: item,
            image: try volumes.image(file ?? path, filesAreVolumes: takesVolumes, in: folder, drafts: &drafts).get(),
            label: options.objectNames[label] ?? label,
            group: group,
            split: split
        )
    }

    private func tablePath() throws(ImportError) -> String {
        try folder.onlyFile(options.settings["file"], ending: delimiter == .tab ? ".tsv" : ".csv", setting: "file")
    }

    /// Where the columns are.
    private struct Columns {
        let image: Int
        let label: Int
        let split: Int?
        let group: Int?

        init(_ table: DelimitedTable, options: ImportOptions) throws(ImportError) {
            func optionalColumn(_ setting: String) throws(ImportError) -> Int? {
                guard let name = options.settings[setting] else { return nil }
                return try table.column(name)
            }
            image = try table.column(options.settings["imageColumn"] ?? "image")
            label = try table.column(options.settings["labelColumn"] ?? "label")
            split = try optionalColumn("splitColumn")
            group = try optionalColumn("groupColumn")
        }
    }
}

extension [String] {
    /// The question that lists the classes.
    var classQuestion: String {
        let list = count > 1 ? dropLast().joined(separator: ", ") + ", or \(last ?? "")" : joined()
        return "Which category does this image belong to: \(list)?"
    }
}
