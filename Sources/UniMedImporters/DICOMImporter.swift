public import Foundation
import Synchronization
public import UniMedData
public import UniMedImaging

/// A folder of DICOM files and a table of what is asked about them: data of one's own, for every task with a picture.
///
/// Layout: DICOM files in any folders, told by their content, and a table in the folder: CSV (RFC 4180) with a header, or
/// JSON lines with the same names. A row names a picture by one of
///
/// - `file`: the path of a DICOM file relative to the folder;
/// - `series`: a Series Instance UID, or the name that an earlier preparation with the same salt gave it;
/// - `study`: the same of a Study Instance UID, where the study has one series;
///
/// with `slice`, the number of a slice (of a frame, where a file has several) from 0 in the order of places in the
/// patient; without it the middle one is taken. With `volume`, `true`, or with the setting `volumes`, a row that names
/// a series, a study or a file of several frames without a slice means all of its slices, as a volume, in the order of
/// their places; `false` means the middle one. The other columns are `task` (its short code), `question`, `answer`,
/// `choices` (separated by `|`), `object`, `xMin`, `yMin`, `xMax`, `yMax` (pixels of the picture as it is stored), in a
/// volume `zMin` and `zMax` (slices: 3 to 6 are the slices 3, 4 and 5), and `split`; those that a task does not need
/// may be missing.
///
/// Nothing that identifies a person leaves the importer: pictures, samples and groups are named by salted hashes, and
/// of the headers only ``DICOMTechnicalFields`` are kept. Pictures whose pixels may tell who the patient is
/// (``DICOMFile/PixelRisk``) are refused; so is a volume with such a slice. The window of a volume is one for all
/// slices: the setting's, or with `file` the one that the middle slice names, or where it names none the percentiles
/// 0.01 and 0.99. Settings, with what they are when they are not given:
///
/// | setting | what | default |
/// | --- | --- | --- |
/// | `table` | the table | the only `*.csv` or `*.jsonl` |
/// | `window` | how grey values become 8 bits, as ``GrayRendering/init(_:)`` reads it | `file` |
/// | `volumes` | `true` makes rows without a slice volumes | `false` |
/// | `salt` | a secret that names depend on | made of the Series Instance UIDs of the folder |
/// | `allow-burned-in` | `true` takes pictures that have or may have text burned in | `false` |
/// | `allow-recognizable-features` | `true` takes pictures by which the person can be recognized | `false` |
public struct DICOMImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "dicom"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The names of the settings.
    public static let settingNames = [
        "table", "window", "volumes", "salt", "allow-burned-in", "allow-recognizable-features",
    ]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private let rendering: GrayRendering
    private let allowed: Set<DICOMFile.PixelRisk>
    private let takesVolumes: Bool
    private let places: Places
    private let volumes: VolumeStackCache

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate(settings: Self.settingNames)
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
        let window = options.settings["window"] ?? "file"
        guard let rendering = GrayRendering(window) else {
            throw ImportError(
                .invalid,
                "expected \(GrayRendering.forms), found '\(window)'",
                field: "settings.window"
            )
        }
        self.rendering = rendering
        var allowed: Set<DICOMFile.PixelRisk> = []
        takesVolumes = try options.flag("volumes")
        if takesVolumes, case .channels = rendering {
            let problem = "volumes have one window, and the setting 'volumes' is true"
            throw ImportError(.invalid, problem, field: "settings.window")
        }
        let places = Places()
        self.places = places
        volumes = VolumeStackCache { (name) throws(ImagingError) in
            guard let series = places.seriesByStack.withLock({ $0[name] }) else {
                throw ImagingError(.unreadableFile, file: name, detail: "no series has this name")
            }
            return try Self.stack(of: series, name: name, rendering: rendering)
        }
        if try options.flag("allow-burned-in") {
            allowed.formUnion([.burnedInAnnotation, .secondaryCapture])
        }
        if try options.flag("allow-recognizable-features") {
            allowed.insert(.recognizableFeatures)
        }
        self.allowed = allowed
    }

    /// The options that the result depends on.
    public var settings: [String: String] { options.allSettings }

    /// The files that the result depends on: all in the folder.
    public func sourceFiles() throws(ImportError) -> [SourceFile] { try folder.files(folder.filesBelow("")) }

    // MARK: - Pictures

    /// Where the picture of a reference is.
    private struct Place: Sendable {
        let url: URL
        let frame: Int
    }

    /// What references mean; filled when the data set is read, since they do not say it themselves.
    private final class Places: Sendable {
        let byReference = Mutex<[String: Place]>([:])
        /// The series of volumes.
        let seriesByStack = Mutex<[String: DICOMSeries]>([:])
    }

    /// The picture of a reference, decoded.
    ///
    /// - Throws: `ImagingError` that names the reference, not the file.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        if let (name, _) = ImageReference.sliceParts(ofPath: reference.path) {
            return try volumes.picture(reference, ofVolume: name)
        }
        guard let place = places.byReference.withLock({ $0[reference.path] }) else {
            throw ImagingError(.unreadableFile, file: reference.path)
        }
        do throws(ImagingError) {
            return try DICOMFile(contentsOf: place.url).picture(frame: place.frame, rendering: rendering)
        } catch {
            throw ImagingError(error.kind, file: reference.path, detail: error.detail)
        }
    }

    /// A series as a volume, and its window; errors name the series, not its files.
    private static func stack(
        of series: DICOMSeries,
        name: String,
        rendering: GrayRendering
    ) throws(ImagingError) -> (ImageVolume, VolumeSlicing) {
        let middle = series.slices[series.slices.count / 2]
        let window: VolumeSlicing.Window
        switch rendering {
        case .file:
            window = middle.window.map { .level(center: $0.center, width: $0.width) } ?? VolumeSlicing().window
        case .channels: throw ImagingError(.unsupported, file: name, detail: "volumes have one window")
        case .fullRange, .percentiles, .window: window = VolumeSlicing.Window(rendering) ?? VolumeSlicing().window
        }
        do throws(ImagingError) {
            var volume = try series.volume()
            guard middle.isInverted else { return (volume, VolumeSlicing(window: window)) }
            // Small values are white: the negative of the values is shown, in the negative of the window.
            for index in volume.values.indices { volume.values[index].negate() }
            switch window {
            case .level(let center, let width):
                return (volume, VolumeSlicing(window: .level(center: -center, width: width)))
            case .percentiles(let lower, let upper):
                return (volume, VolumeSlicing(window: .percentiles(lower: 1 - upper, upper: 1 - lower)))
            }
        } catch {
            throw ImagingError(error.kind, file: name, detail: error.detail)
        }
    }

    // MARK: - Names

    /// Salted hashes in place of identifiers.
    private struct Names {
        let salt: String

        init(given: String?, series: [DICOMSeries]) {
            if let given {
                salt = given
                return
            }
            // Who does not have the files does not know these, and the same files give the same names.
            var hash = SHA256()
            hash.update("salt of a folder of DICOM files")
            for identifier in Set(series.map(\.instanceUID)).sorted() { hash.update(identifier) }
            salt = hash.hexDigest()
        }

        func name(_ kind: String, _ identifier: String) -> String {
            var hash = SHA256()
            for part in [salt, kind, identifier] { hash.update("\(part.utf8.count):\(part)") }
            return "\(kind)-\(hash.hexDigest().prefix(24))"
        }
    }

    /// The series of a folder, by everything that a row may call them.
    private struct Catalogue {
        let series: [DICOMSeries]
        let names: Names
        /// The names of the stacks of slices: those of their series, with a number where a series has several.
        private(set) var stackNames: [String] = []
        private(set) var byFile: [String: (series: Int, slice: Int)] = [:]
        private(set) var bySeries: [String: [Int]] = [:]
        private(set) var byStudy: [String: [Int]] = [:]

        init(series: [DICOMSeries], names: Names) {
            self.series = series
            self.names = names
            for (index, one) in series.enumerated() {
                for (number, slice) in one.slices.enumerated() {
                    byFile[slice.url.standardizedFileURL.path] = (index, number)
                }
                let name = names.name("series", one.instanceUID)
                let number = bySeries[name]?.count ?? 0
                stackNames.append(number == 0 ? name : "\(name).\(number + 1)")
                for key in [one.instanceUID, name] {
                    bySeries[key, default: []].append(index)
                }
                guard let study = one.studyUID else { continue }
                for key in [study, names.name("study", study)] { byStudy[key, default: []].append(index) }
            }
        }

        /// Pictures of one patient stay together; without a patient those of a study, or of a series.
        func group(of series: DICOMSeries) -> String {
            if let patient = series.patientID { return names.name("patient", patient) }
            if let study = series.studyUID { return names.name("study", study) }
            return names.name("series", series.instanceUID)
        }
    }

    // MARK: - Reading

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        try folder.checkRoot()
        let table = try tableFile()
        let rows = try table.hasSuffix(".csv") ? csvRows(table) : jsonRows(table)
        let catalogue = try catalogue(report: &report)
        var drafts = SampleDrafts(dataset: dataset, folder: folder, options: options)
        var places: [String: Place] = [:]
        var described: Set<String> = []
        for row in rows {
            let item = "row at line \(row.line)"
            report.found(1, "row")
            do throws(Skip) {
                let fields = try row.fields.get()
                let (series, slice, frame) = try picture(fields, catalogue)
                let found = catalogue.series[series]
                let file = found.slices[slice]
                let isVolume = try isVolume(fields, found)
                let pictures = isVolume ? found.slices : [file]
                if let risk = pictures.lazy.flatMap(\.pixelRisks).first(where: { !allowed.contains($0) }) {
                    throw Skip(risk.rawValue)
                }
                let stack = catalogue.stackNames[series]
                let path = isVolume ? stack : "\(stack)/\(file.frameCount > 1 ? frame : slice)"
                let image =
                    isVolume
                    ? try volume(found, named: stack)
                    : ImageReference(path: path, width: found.columns, height: found.rows)
                let group = catalogue.group(of: found)
                let (sample, split) = try sample(fields, item: item, image: image, group: group, of: file)
                if !isVolume { places[path] = Place(url: file.url, frame: frame) }
                report.imported(1, "row")
                drafts.add(sample, split: split, item: item, report: &report)
                if described.insert(path).inserted {
                    drafts.annotate(image, split: split, group: group, fields: file.technical.fields)
                }
            } catch {
                // A picture that is refused is sound: the rule is the importer's.
                let isRule = DICOMFile.PixelRisk(rawValue: error.reason) != nil
                report.skipped("row", because: error.reason, item: item, isFault: !isRule)
            }
        }
        self.places.byReference.withLock { $0 = places }
        return drafts.finish(report: &report)
    }

    /// Finds the series, and counts the files.
    private func catalogue(report: inout ImportReport) throws(ImportError) -> Catalogue {
        let scan: DICOMSeries.Scan
        do throws(ImagingError) {
            scan = try DICOMSeries.scan(folder.root)
        } catch {
            throw ImportError(.missing, error.shortDescription, file: folder.root.path, importer: Self.name)
        }
        guard !scan.series.isEmpty else {
            throw ImportError(
                .missing,
                "no DICOM file with a picture in it",
                file: folder.root.path,
                importer: Self.name
            )
        }
        let read = scan.series.reduce(0) { $0 + $1.slices.count }
        let repeated = scan.series.flatMap(\.findings).reduce(0) { sum, finding in
            if case .duplicates(let count) = finding { return sum + count }
            return sum
        }
        report.found(read + repeated + scan.rejected.count, "DICOM file")
        report.imported(read, "DICOM file")
        report.skipped(repeated, "DICOM file", byRule: "another slice lies at the same place")
        // Paths may name patients: the files are told by their number.
        for (number, error) in scan.rejected.enumerated() {
            let item = "file \(number + 1) of those that cannot be used, in the order of paths"
            report.skipped("DICOM file", because: error.importReason, item: item, isFault: error.kind != .noImage)
        }
        warn(of: scan.series, report: &report)
        return Catalogue(series: scan.series, names: Names(given: options.settings["salt"], series: scan.series))
    }

    /// Tells what is noteworthy, in numbers only.
    private func warn(of series: [DICOMSeries], report: inout ImportReport) {
        var counts: [String: Int] = [:]
        for finding in series.flatMap(\.findings) {
            switch finding {
            case .duplicates: counts["with slices at the same place", default: 0] += 1
            case .gap: counts["gaps where slices are missing, in series", default: 0] += 1
            case .unequalSpacing: counts["with unequal distances of slices", default: 0] += 1
            case .tilt: counts["with a tilted gantry", default: 0] += 1
            case .noPlaces: break
            }
        }
        for (what, count) in counts.sorted(by: { $0.key < $1.key }) { report.warn("\(count) series \(what)") }
        for risk in DICOMFile.PixelRisk.allCases {
            let count = series.flatMap(\.slices).count { $0.pixelRisks.contains(risk) }
            guard count > 0 else { continue }
            report.warn("\(count) DICOM files: \(risk.rawValue); \(allowed.contains(risk) ? "allowed" : "refused")")
        }
    }

    private func picture(
        _ fields: [String: String],
        _ catalogue: Catalogue
    ) throws(Skip) -> (series: Int, slice: Int, frame: Int) {
        let named = ["file", "series", "study"].filter { !(fields[$0] ?? "").isEmpty }
        guard named.count == 1 else { throw Skip("the row names none or several of file, series and study") }
        let value = fields[named[0]] ?? ""
        var number: Int?
        if let text = fields["slice"], !text.isEmpty {
            guard let parsed = Int(text), parsed >= 0 else { throw Skip("the slice is no number from 0") }
            number = parsed
        }
        if named[0] == "file" {
            guard DatasetFolder.isInside(value) else { throw Skip("the image's path leaves the folder") }
            guard let place = catalogue.byFile[folder.url(value).standardizedFileURL.path] else {
                throw Skip("the file is no DICOM file with a picture")
            }
            let frames = catalogue.series[place.series].slices[place.slice].frameCount
            guard (number ?? 0) < frames else { throw Skip("there is no such slice") }
            return (place.series, place.slice, number ?? (frames > 1 ? frames / 2 : 0))
        }
        let found = (named[0] == "series" ? catalogue.bySeries : catalogue.byStudy)[value] ?? []
        guard let only = found.first else { throw Skip("there is no such \(named[0])") }
        guard found.count == 1 else { throw Skip("the \(named[0]) has several stacks of slices: name a file") }
        let series = catalogue.series[only]
        let frames = series.slices[0].frameCount
        let count = frames > 1 ? frames : series.slices.count
        guard (number ?? 0) < count else { throw Skip("there is no such slice") }
        let chosen = number ?? count / 2
        return frames > 1 ? (only, 0, chosen) : (only, chosen, 0)
    }

    /// Whether a row means all slices.
    private func isVolume(_ fields: [String: String], _ series: DICOMSeries) throws(Skip) -> Bool {
        let word = fields["volume"] ?? ""
        guard ["", "true", "false"].contains(word) else { throw Skip("the field 'volume' is neither true nor false") }
        let isSlice = !(fields["slice"] ?? "").isEmpty
        guard word != "true" || !isSlice else { throw Skip("the row names a slice and says that it is a volume") }
        // A file of one frame is a slice of its series.
        let isFile = !(fields["file"] ?? "").isEmpty && series.slices[0].frameCount == 1
        guard word != "true" || !isFile else { throw Skip("the file is one slice and no volume: name its series") }
        return word.isEmpty ? takesVolumes && !isSlice && !isFile : word == "true"
    }

    /// The reference of a series as a volume.
    private func volume(_ series: DICOMSeries, named name: String) throws(Skip) -> ImageReference {
        places.seriesByStack.withLock { $0[name] = series }
        do throws(ImagingError) {
            return try volumes.reference(name)
        } catch {
            throw Skip("the volume cannot be read: \(error.shortDescription)")
        }
    }

    private func sample(
        _ fields: [String: String],
        item: String,
        image: ImageReference,
        group: String,
        of file: DICOMSeries.Slice
    ) throws(Skip) -> (Sample, Split?) {
        guard let task = MedicalTask(rawValue: fields["task"] ?? "") else { throw Skip("the task is none") }
        var split: Split?
        if let word = fields["split"], !word.isEmpty {
            split = Split(word: word)
            guard split != nil else { throw Skip("the split is none of train, validation and test") }
        }
        func text(_ name: String) -> String? { fields[name].flatMap { $0.isEmpty ? nil : $0 } }
        let edges = ["xMin", "yMin", "xMax", "yMax"].compactMap(text)
        var box: BoundingBox?
        if !edges.isEmpty {
            let numbers = edges.compactMap(Double.init)
            guard numbers.count == 4, numbers.allSatisfy(\.isFinite) else { throw Skip("the box is not four numbers") }
            box = BoundingBox(xMin: numbers[0], yMin: numbers[1], xMax: numbers[2], yMax: numbers[3])
        }
        let depths = ["zMin", "zMax"].compactMap(text)
        var slices: SliceRange?
        if !depths.isEmpty {
            let numbers = depths.compactMap(Double.init)
            guard numbers.count == 2, numbers.allSatisfy(\.isFinite) else {
                throw Skip("the range of slices is not two numbers")
            }
            slices = SliceRange(start: numbers[0], end: numbers[1])
        }
        let object = text("object").map { options.objectNames[$0] ?? $0 }
        let choices = text("choices")?.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        let isGeneration = task == .referringExpressionGeneration
        let sample = Sample(
            id: item,
            dataset: dataset,
            split: .train,
            task: task,
            group: group,
            image: image,
            question: text("question"),
            objectName: object,
            box: box,
            boxSlices: slices,
            choices: choices,
            answer: text("answer") ?? (isGeneration ? object : nil) ?? "",
            fields: file.technical.fields.isEmpty ? nil : file.technical.fields
        )
        return (sample, split)
    }

    // MARK: - The table

    private struct Row {
        let line: Int
        let fields: Result<[String: String], Skip>
    }

    private static let columns: Set<String> = [
        "file", "series", "study", "slice", "task", "question", "answer", "choices", "object", "xMin", "yMin", "xMax",
        "yMax", "zMin", "zMax", "volume", "split",
    ]

    private func tableFile() throws(ImportError) -> String {
        if let given = options.settings["table"] {
            guard DatasetFolder.isInside(given), folder.isFile(given) else {
                throw folder.missing(given, isFolder: false)
            }
            guard given.hasSuffix(".csv") || given.hasSuffix(".jsonl") else {
                throw ImportError(.invalid, "expected a name that ends in .csv or .jsonl", field: "settings.table")
            }
            return given
        }
        let found = try folder.names(in: "").filter { $0.hasSuffix(".csv") || $0.hasSuffix(".jsonl") }
        guard found.count == 1 else {
            throw ImportError(
                found.isEmpty ? .missing : .invalid,
                found.isEmpty
                    ? "no table of questions and answers (*.csv or *.jsonl) in it"
                    : "more than one table in it; the setting 'table' names the one to read",
                file: folder.root.path,
                importer: Self.name
            )
        }
        return found[0]
    }

    private func csvRows(_ path: String) throws(ImportError) -> [Row] {
        let file = try DelimitedTable(contentsOf: folder.url(path), importer: Self.name)
        if let unknown = file.columns.first(where: { !Self.columns.contains($0) }) {
            throw ImportError(
                .malformed,
                "no such column is known; there are \(Self.columns.sorted().joined(separator: ", "))",
                file: folder.url(path).path,
                line: 1,
                field: unknown,
                importer: Self.name
            )
        }
        return try file.records().map { row in
            let trimmed = row.fields.map { $0.mapValues { $0.trimmingCharacters(in: .whitespaces) } }
            return Row(line: row.line, fields: trimmed)
        }
    }

    /// A text or a number.
    private struct Scalar: Decodable {
        let text: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                text = ""
            } else if let whole = try? container.decode(Int.self) {
                text = String(whole)
            } else if let flag = try? container.decode(Bool.self) {
                text = String(flag)
            } else if let number = try? container.decode(Double.self) {
                text = String(number)
            } else {
                text = try container.decode(String.self)
            }
        }
    }

    private func jsonRows(_ path: String) throws(ImportError) -> [Row] {
        var rows: [Row] = []
        try importing(Self.name) { () throws(DataError) in
            try JSONLines.forEachResult([String: Scalar].self, in: folder.url(path)) { record, line in
                switch record {
                case .failure(let error): rows.append(Row(line: line, fields: .failure(Skip(error))))
                case .success(let fields):
                    let isKnown = fields.keys.allSatisfy(Self.columns.contains)
                    rows.append(
                        Row(
                            line: line,
                            fields: isKnown
                                ? .success(fields.mapValues(\.text))
                                : .failure(Skip("the schema has no such field"))
                        )
                    )
                }
            }
        }
        return rows
    }
}
