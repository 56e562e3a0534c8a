public import Foundation
public import UniMedData
public import UniMedImaging

/// Any data set in the layout of Pascal VOC with boxes, for example the blood cells of BCCD.
///
/// Layout: `Annotations/<id>.xml`, `JPEGImages/<id>.jpg` (or `.jpeg`, `.png`), `ImageSets/Main/<split>.txt` with one id
/// a line; without those lists images are divided by the options. What comes of an image:
///
/// - rec and reg for each object whose name occurs once in the image ("the RBC" among twelve is no reference),
/// - vqa "How many … are in the image?" for each name of the data set, 0 included,
/// - an annotation with every box.
///
/// Boxes are taken as they are, in pixels from the upper left corner. Boxes without area or outside the image are
/// left out and counted; images whose size is not that of the annotation are, too.
public struct PascalVOCImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "pascal-voc"
    /// The version of what this importer makes of the same files.
    public static let version = 1

    private static let annotationsPath = "Annotations"
    private static let imagesPath = "JPEGImages"
    private static let splitsPath = "ImageSets/Main"

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions

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
    public var settings: [String: String] {
        var settings = options.splitSettings
        for (name, words) in options.objectNames { settings["objectNames.\(name)"] = words }
        return settings
    }

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        try folder.checkRoot()
        for path in [Self.annotationsPath, Self.imagesPath] where !folder.isFolder(path) {
            throw folder.missing(path, isFolder: true)
        }
        return try folder.files([Self.annotationsPath, Self.imagesPath, Self.splitsPath])
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let files = try files(report: &report)
        let splits = try splits(of: files.keys)
        report.found(files.count, "image")
        var usable: [UsableImage] = []
        for (id, file) in files.sorted(by: { $0.key < $1.key }) {
            switch read(id: id, file: file, splits: splits) {
            case .success(let image):
                report.imported(1, "image")
                usable.append(image)
            case .failure(let skip):
                report.skipped("image", skip, item: id)
            }
        }
        let names = Set(usable.flatMap { $0.annotation.objects.map(\.name) }).filter { !$0.isEmpty }.sorted()
        var result = ImportedDataset()
        for image in usable { add(image, names: names, to: &result, report: &report) }
        return result
    }

    // MARK: - One image

    private struct ImageFiles {
        var image: String?
        var annotation: String?
    }

    private struct UsableImage {
        let id: String
        let split: Split
        let reference: ImageReference
        let annotation: PascalVOCAnnotation
    }

    private func read(id: String, file: ImageFiles, splits: [String: Split]) -> Result<UsableImage, Skip> {
        guard let imagePath = file.image else { return .failure(Skip("no image file")) }
        guard let annotationPath = file.annotation else { return .failure(Skip("no annotation file")) }
        guard let split = splits[id] else { return .failure(Skip("in no split's list")) }
        var annotation: PascalVOCAnnotation
        do {
            annotation = try PascalVOCAnnotation(contentsOf: folder.url(annotationPath))
        } catch {
            return .failure(Skip("the annotation cannot be read: \(error.problem)"))
        }
        let reference: ImageReference
        do {
            reference = try folder.imageReference(imagePath)
        } catch {
            return .failure(Skip(error.importReason))
        }
        for (stated, actual) in [(annotation.width, reference.width), (annotation.height, reference.height)] {
            // Some tools write 0 for a size they do not know.
            if let stated, stated != 0, stated != actual {
                return .failure(Skip("the annotation's size is not the image's"))
            }
        }
        for index in annotation.objects.indices {
            let name = annotation.objects[index].name.collapsed
            annotation.objects[index].name = options.objectNames[name] ?? name
        }
        return .success(UsableImage(id: id, split: split, reference: reference, annotation: annotation))
    }

    private func add(
        _ image: UsableImage,
        names: [String],
        to result: inout ImportedDataset,
        report: inout ImportReport
    ) {
        let objects = image.annotation.objects
        let occurrences = objects.reduce(into: [String: Int]()) { $0[$1.name, default: 0] += 1 }
        let referring: [MedicalTask] = [.referringExpressionComprehension, .referringExpressionGeneration]
        let kinds = ["box"] + referring.map { ImportReport.kind(task: $0) }
        var sound: [NamedBox] = []
        for kind in kinds { report.found(objects.count, kind) }
        for (number, object) in objects.enumerated() {
            let item = "\(image.id) object \(number + 1)"
            switch box(of: object, in: image.reference) {
            case .failure(let skip):
                for kind in kinds { report.skipped(kind, skip, item: item) }
            case .success(let named):
                report.imported(1, "box")
                sound.append(named)
                for task in referring {
                    guard occurrences[named.name] == 1 else {
                        report.skipped(ImportReport.kind(task: task), .notUnique, item: item)
                        continue
                    }
                    report.imported(1, ImportReport.kind(task: task))
                    result.samples.append(sample(task, of: named, in: image))
                }
            }
        }
        for name in names {
            let count = sound.count { $0.name == name }
            let kind = "count \(name)"
            let reportKind = ImportReport.kind(task: .visualQuestionAnswering, questionKind: kind)
            report.found(1, reportKind)
            report.imported(1, reportKind)
            result.samples.append(
                Sample(
                    id: "\(image.id) \(kind)",
                    dataset: dataset,
                    split: image.split,
                    task: .visualQuestionAnswering,
                    group: image.id,
                    image: image.reference,
                    question: "How many \(name) are in the image?",
                    questionKind: kind,
                    answer: "\(count)"
                )
            )
        }
        result.annotations.append(
            ImageAnnotation(dataset: dataset, split: image.split, image: image.reference, objects: sound)
        )
    }

    private func sample(_ task: MedicalTask, of object: NamedBox, in image: UsableImage) -> Sample {
        Sample(
            id: "\(image.id) \(task.rawValue) \(object.name)",
            dataset: dataset,
            split: image.split,
            task: task,
            group: image.id,
            image: image.reference,
            objectName: object.name,
            box: object.box,
            answer: task == .referringExpressionComprehension ? "" : object.name
        )
    }

    private func box(
        of object: PascalVOCAnnotation.Object,
        in image: ImageReference
    ) -> Result<NamedBox, Skip> {
        guard !object.name.isEmpty else { return .failure(Skip("the object has no name")) }
        guard let box = object.box else { return .failure(Skip("the box has no four numbers")) }
        if let problem = box.problem(in: image) { return .failure(Skip(problem)) }
        return .success(NamedBox(name: object.name, box: box))
    }

    // MARK: - Files

    /// The image and annotation file of every id that has one of them.
    private func files(report: inout ImportReport) throws(ImportError) -> [String: ImageFiles] {
        try folder.checkRoot()
        var files: [String: ImageFiles] = [:]
        for path in [Self.annotationsPath, Self.imagesPath] where !folder.isFolder(path) {
            throw folder.missing(path, isFolder: true)
        }
        for name in try folder.names(in: Self.annotationsPath) {
            guard name.hasSuffix(".xml") else {
                report.found(1, "file")
                report.skipped("file", Skip(rule: "the name is not that of an annotation"), item: name)
                continue
            }
            files[String(name.dropLast(4)), default: ImageFiles()].annotation = "\(Self.annotationsPath)/\(name)"
        }
        for name in try folder.names(in: Self.imagesPath) {
            guard DatasetFolder.isImageName(name), let dot = name.lastIndex(of: ".") else {
                report.found(1, "file")
                report.skipped("file", Skip(rule: "the name is not that of an image"), item: name)
                continue
            }
            let id = String(name[..<dot])
            guard files[id]?.image == nil else {
                report.found(1, "image")
                report.skipped("image", because: "another image has the same name", item: name)
                continue
            }
            files[id, default: ImageFiles()].image = "\(Self.imagesPath)/\(name)"
        }
        guard !files.isEmpty else {
            throw ImportError(.missing, "no image and no annotation in it", file: folder.root.path, importer: Self.name)
        }
        return files
    }

    private static let splitNames: [(name: String, split: Split)] = [
        ("train", .train), ("val", .validation), ("validation", .validation), ("test", .test),
    ]

    private func splits(of ids: some Sequence<String>) throws(ImportError) -> [String: Split] {
        var splits: [String: Split] = [:]
        var hasList = false
        for (name, split) in Self.splitNames {
            let path = "\(Self.splitsPath)/\(name).txt"
            guard folder.isFile(path) else { continue }
            hasList = true
            let url = folder.url(path)
            let lines = try importing(Self.name) { () throws(DataError) in try DataFile.readLines(url) }
            for (number, line) in lines.enumerated() {
                // The lists of single classes have a second column, the lists of all images have one.
                guard let id = line.split(whereSeparator: \.isWhitespace).first.map(String.init) else { continue }
                if let other = splits[id], other != split {
                    throw ImportError(
                        .invalid,
                        "\(id) is also in the \(other.rawValue) split",
                        file: url.path,
                        line: number + 1,
                        importer: Self.name
                    )
                }
                splits[id] = split
            }
        }
        return hasList ? splits : options.splits(of: ids, label: dataset)
    }
}
