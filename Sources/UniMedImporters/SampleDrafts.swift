import Foundation
import UniMedData
import UniMedImaging

/// What the importers of data of one's own share: samples whose split is known only when all of them are.
///
/// A sample is counted as found when it is added. It is imported, or skipped with a reason, by ``finish(report:)`` at
/// the latest. Either every record names its split or none does; then groups are divided by the options.
struct SampleDrafts {
    private struct Draft {
        var sample: Sample
        let split: Split?
        let item: String
    }

    private struct DraftAnnotation {
        var annotation: ImageAnnotation
        let split: Split?
        let group: String
    }

    let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private var drafts: [Draft] = []
    private var annotations: [DraftAnnotation] = []
    private var ids: Set<String> = []
    private var references: [String: Result<ImageReference, Skip>] = [:]

    init(dataset: String, folder: DatasetFolder, options: ImportOptions) {
        self.dataset = dataset
        self.folder = folder
        self.options = options
    }

    /// A picture's reference; its header is read once.
    mutating func image(_ path: String) -> Result<ImageReference, Skip> {
        if let known = references[path] { return known }
        let result = readImage(path)
        references[path] = result
        return result
    }

    private func readImage(_ path: String) -> Result<ImageReference, Skip> {
        guard DatasetFolder.isInside(path) else { return .failure(Skip("the image's path leaves the folder")) }
        if folder.isFolder(path) { return readVolume(path) }
        return folder.image(path)
    }

    /// The volume of a folder of slices.
    private func readVolume(_ path: String) -> Result<ImageReference, Skip> {
        var reference: ImageReference?
        let names = folder.sliceNames(in: path)
        for name in names {
            do throws(ImagingError) {
                let slice = try folder.imageReference(path + "/" + name)
                if let reference, reference.width != slice.width || reference.height != slice.height {
                    return .failure(Skip("the slices of the volume have different sizes"))
                }
                reference = slice
            } catch {
                return .failure(Skip(error.importReason))
            }
        }
        guard var reference else { return .failure(Skip("the folder holds no slices")) }
        reference.path = path
        reference.volume = VolumeReference(slices: names.count)
        return .success(reference)
    }

    /// Adds a sample, or counts why it cannot be one.
    ///
    /// - Parameters:
    ///   - sample: Its split is ignored.
    ///   - split: The split that the data name.
    ///   - item: What the report calls the sample.
    ///   - report: Is filled with the counts.
    mutating func add(_ sample: Sample, split: Split?, item: String? = nil, report: inout ImportReport) {
        let kind = ImportReport.kind(of: sample)
        let item = item ?? sample.id
        report.found(1, kind)
        if let problem = sample.importProblem {
            report.skipped(kind, because: problem, item: item)
        } else if !ids.insert(sample.id).inserted {
            report.skipped(kind, because: "another sample has the same name", item: item)
        } else {
            drafts.append(Draft(sample: sample, split: split, item: item))
        }
    }

    /// Adds what is known of an image beside its samples.
    mutating func annotate(
        _ image: ImageReference,
        split: Split?,
        group: String,
        objects: [NamedBox] = [],
        fields: [String: String] = [:]
    ) {
        let annotation = ImageAnnotation(
            dataset: dataset,
            split: .train,
            image: image,
            objects: objects,
            fields: fields
        )
        annotations.append(DraftAnnotation(annotation: annotation, split: split, group: group))
    }

    /// The data set, with a split for every sample.
    func finish(report: inout ImportReport) -> ImportedDataset {
        let areNamed = drafts.contains { $0.split != nil } || annotations.contains { $0.split != nil }
        var drawn: [String: Split] = [:]
        if !areNamed {
            let groups = drafts.map { $0.sample.group ?? $0.sample.id } + annotations.map(\.group)
            drawn = options.splits(of: groups, label: dataset)
        }
        var result = ImportedDataset()
        for draft in drafts {
            var sample = draft.sample
            let kind = ImportReport.kind(of: sample)
            guard let split = areNamed ? draft.split : drawn[sample.group ?? sample.id] else {
                report.skipped(kind, because: "it names no split and others do", item: draft.item)
                continue
            }
            sample.split = split
            report.imported(1, kind)
            result.samples.append(sample)
        }
        for draft in annotations {
            guard let split = areNamed ? draft.split : drawn[draft.group] else { continue }
            var annotation = draft.annotation
            annotation.split = split
            result.annotations.append(annotation)
        }
        return result
    }
}

// MARK: - What the importers have in common

extension SampleDrafts {
    /// Adds an image with boxes: rec and reg for each object whose name occurs once in it, and its annotation.
    ///
    /// An object that cannot be used still makes its name occur once more: "the kidney" of two is no reference.
    mutating func add(
        objects: [(item: String, name: String, box: Result<BoundingBox, Skip>)],
        in image: ImageReference,
        id: String,
        group: String,
        split: Split?,
        report: inout ImportReport
    ) {
        let tasks: [MedicalTask] = [.referringExpressionComprehension, .referringExpressionGeneration]
        let occurrences = objects.reduce(into: [String: Int]()) { $0[$1.name, default: 0] += 1 }
        var sound: [NamedBox] = []
        report.found(objects.count, "box")
        for object in objects {
            var problem: String?
            var box: BoundingBox?
            switch object.box {
            case .failure(let skip): problem = skip.reason
            case .success(let found):
                box = found
                problem = object.name.isEmpty ? "the object has no name" : found.problem(in: image)
            }
            guard let box, problem == nil else {
                for kind in tasks.map({ ImportReport.kind(task: $0) }) {
                    report.found(1, kind)
                    report.skipped(kind, because: problem ?? "no box", item: object.item)
                }
                report.skipped("box", because: problem ?? "no box", item: object.item)
                continue
            }
            report.imported(1, "box")
            sound.append(NamedBox(name: object.name, box: box))
            for task in tasks {
                guard occurrences[object.name] == 1 else {
                    report.found(1, ImportReport.kind(task: task))
                    report.skipped(ImportReport.kind(task: task), .notUnique, item: object.item)
                    continue
                }
                let sample = Sample(
                    id: "\(id) \(task.rawValue) \(object.name)",
                    dataset: dataset,
                    split: .train,
                    task: task,
                    group: group,
                    image: image,
                    objectName: object.name,
                    box: box,
                    answer: task == .referringExpressionComprehension ? "" : object.name
                )
                add(sample, split: split, item: object.item, report: &report)
            }
        }
        annotate(image, split: split, group: group, objects: sound)
    }
}

extension Split {
    /// The split of a word that data sets use for it; `nil` when it is none.
    init?(word: some StringProtocol) {
        switch word.lowercased() {
        case "train", "training": self = .train
        case "val", "valid", "validation", "dev": self = .validation
        case "test", "testing": self = .test
        default: return nil
        }
    }

    /// The split that a file's name says in one of its words, such as `instances_train2017`.
    init?(fileName: some StringProtocol) {
        let found = Set(fileName.split { !$0.isLetter }.compactMap { Split(word: $0) })
        guard found.count == 1, let split = found.first else { return nil }
        self = split
    }
}

extension Sample {
    /// Why this cannot be a sample of its task; `nil` when it can.
    var importProblem: String? {
        if id.collapsed.isEmpty { return "it has no name" }
        if task.usesImage, image == nil { return "the task needs an image" }
        if !task.usesImage, image != nil { return "question answering uses no image" }
        switch task {
        case .questionAnswering, .visualQuestionAnswering, .imageClassification:
            if question?.collapsed.isEmpty ?? true { return "no question" }
        case .referringExpressionComprehension, .referringExpressionGeneration:
            if objectName?.collapsed.isEmpty ?? true { return "the object has no name" }
            if box == nil { return "no box" }
        case .reportGeneration: break
        }
        if let box, let image, let problem = box.problem(in: image) { return problem }
        if let problem = sliceProblem { return problem }
        if task != .referringExpressionComprehension, answer.collapsed.isEmpty { return "the answer is empty" }
        if let choices, !choices.contains(answer) { return "the answer is not one of the choices" }
        return nil
    }
}

extension DatasetFolder {
    /// The endings of the names of pictures that can be read, in lower case.
    static let imageExtensions = ["png", "jpg", "jpeg", "tif", "tiff", "dcm", "nii", "nrrd"]

    /// Whether a file of this name may hold a picture or a part of a volume, so that results depend on it.
    ///
    /// Beside pictures these are the two files of a NIfTI pair, and DICOM files, whose names often have no ending, or
    /// end in a number as their identifiers do.
    static func isSourceName(_ path: String) -> Bool {
        let name = (path.split(separator: "/").last.map(String.init) ?? path).lowercased()
        if isImageName(name) || [".hdr.gz", ".img.gz"].contains(where: name.hasSuffix) { return true }
        guard let dot = name.lastIndex(of: ".") else { return true }
        let ending = name[name.index(after: dot)...]
        return ["hdr", "img", "ima", "dicom"].contains(ending) || ending.allSatisfy(\.isNumber)
    }

    /// Whether a folder holds DICOM files, told by the content of those that are no pictures of another kind.
    func isDICOMFolder(_ path: String) -> Bool {
        guard isFolder(path), let names = try? names(in: path) else { return false }
        let others = ["png", "jpg", "jpeg", "tif", "tiff", "nii", "nrrd", "gz", "hdr", "img"]
        return names.contains { name in
            let ending = name.lowercased().split(separator: ".").last.map(String.init) ?? ""
            return !others.contains(ending) && isFile("\(path)/\(name)") && VolumeFile.isDICOM(url("\(path)/\(name)"))
        }
    }

    /// Whether a relative path stays inside its folder.
    static func isInside(_ path: String) -> Bool {
        !path.isEmpty && !path.hasPrefix("/") && !path.utf8.contains(0)
            && !path.split(separator: "/", omittingEmptySubsequences: false).contains { ["", ".", ".."].contains($0) }
    }

    static func isImageName(_ name: String) -> Bool {
        if name.lowercased().hasSuffix(".nii.gz") { return true }
        guard let dot = name.lastIndex(of: ".") else { return false }
        return imageExtensions.contains(name[name.index(after: dot)...].lowercased())
    }

    /// The names of the pictures in a folder that is a volume, in the order of its slices.
    func sliceNames(in path: String) -> [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: url(path).path)) ?? []
        return all.filter { !$0.hasPrefix(".") && Self.isImageName($0) }
            .sorted { $0.compare($1, options: [.numeric, .forcedOrdering]) == .orderedAscending }
    }

    /// The paths of all files below a folder, sorted, without hidden ones.
    func filesBelow(_ path: String) throws(ImportError) -> [String] {
        var result: [String] = []
        for name in try names(in: path) {
            let inside = path.isEmpty ? name : path + "/" + name
            if isFolder(inside) { result += try filesBelow(inside) } else { result.append(inside) }
        }
        return result
    }

    /// The file that a setting names, or the only one in the folder with an ending.
    func onlyFile(_ given: String?, ending: String, setting: String) throws(ImportError) -> String {
        if let given {
            try checkRoot()
            guard Self.isInside(given), isFile(given) else { throw missing(given, isFolder: false) }
            return given
        }
        let found = try filesEnding(ending)
        guard found.count == 1 else {
            throw ImportError(
                .invalid,
                "more than one file ends in \(ending); the setting '\(setting)' names the one to read",
                file: root.path,
                importer: importer
            )
        }
        return found[0]
    }

    /// The names in the folder with an ending; at least one.
    func filesEnding(_ ending: String) throws(ImportError) -> [String] {
        try checkRoot()
        let found = try names(in: "").filter { $0.lowercased().hasSuffix(ending) && isFile($0) }
        guard !found.isEmpty else { throw missing("*" + ending, isFolder: false) }
        return found
    }
}

extension ImportOptions {
    /// Every option that the result of an importer with settings of its own depends on.
    var allSettings: [String: String] {
        var all = splitSettings
        for (name, words) in objectNames { all["objectNames.\(name)"] = words }
        for (name, value) in settings { all["settings.\(name)"] = value }
        return all
    }

    /// The group of a file: its path, or its name up to the setting `groupSeparator`.
    func group(ofFile path: String) -> String {
        guard let separator = settings["groupSeparator"], !separator.isEmpty else { return path }
        let name = path.split(separator: "/").last.map(String.init) ?? path
        guard let range = name.range(of: separator) else { return name }
        return String(name[..<range.lowerBound])
    }

    /// A setting that is `true` or `false`; `false` where it is not given.
    func flag(_ name: String) throws(ImportError) -> Bool {
        enum Answer: String, CaseIterable {
            case yes = "true"
            case no = "false"
        }
        return try choice(name, default: Answer.no) == .yes
    }

    /// A setting with one of a few values.
    func choice<Value: RawRepresentable & CaseIterable>(
        _ name: String,
        default standard: Value
    ) throws(ImportError) -> Value where Value.RawValue == String {
        guard let text = settings[name] else { return standard }
        guard let value = Value(rawValue: text) else {
            let values = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw ImportError(.invalid, "expected one of \(values), found '\(text)'", field: "settings.\(name)")
        }
        return value
    }
}
