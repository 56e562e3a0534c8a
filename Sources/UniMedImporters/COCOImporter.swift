public import Foundation
public import UniMedData
public import UniMedImaging

/// Boxes in the layout of COCO: data of one's own, for referring expressions.
///
/// Layout: `annotations/*.json` (or `*.json`) with `images`, `annotations` and `categories`; where every file's name says
/// a split (`instances_train2017.json`) these are the splits, else images are divided by the options. The pictures are
/// sought at `file_name` in the folder, in `images`, and in a folder named as the file without `instances_`; the setting
/// `imageFolder` names another one, `file` one file of annotations, and `groupSeparator` makes one group (a patient) of the
/// images whose names are the same up to that text.
///
/// A box `[x, y, width, height]` is in pixels from the upper left corner. rec and reg come of each object whose category
/// occurs once in its image. Crowds, boxes without area or outside the image, and objects of unknown images or categories
/// are left out and counted.
public struct COCOImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "coco"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The names of the settings.
    public static let settingNames = ["file", "imageFolder", "groupSeparator"]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions

    private struct File: Decodable {
        let images: [LenientRecord<Picture>]
        let annotations: [LenientRecord<Object>]
        let categories: [Category]
    }

    private struct Picture: Decodable {
        let id: Int
        let file_name: String
        let width: Int?
        let height: Int?
    }

    private struct Object: Decodable {
        let image_id: Int
        let category_id: Int
        let bbox: [Double]
        let iscrowd: Int?
    }

    private struct Category: Decodable {
        let id: Int
        let name: String
    }

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate(settings: Self.settingNames)
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
    }

    /// The options that the result depends on.
    public var settings: [String: String] { options.allSettings }

    /// The files that the result depends on: the annotations, and every picture in the folder.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        try folder.files(try annotationFiles() + folder.filesBelow("").filter(DatasetFolder.isImageName))
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let paths = try annotationFiles()
        let areSplit = paths.allSatisfy { Split(fileName: Self.stem(of: $0)) != nil }
        var drafts = SampleDrafts(dataset: dataset, folder: folder, options: options)
        var known: Set<String> = []
        for path in paths {
            let file = try importing(Self.name) { () throws(DataError) in
                try DataFile.readJSON(File.self, from: folder.url(path))
            }
            try read(file, path: path, isSplit: areSplit, known: &known, drafts: &drafts, report: &report)
        }
        return drafts.finish(report: &report)
    }

    private func read(
        _ file: File,
        path: String,
        isSplit: Bool,
        known: inout Set<String>,
        drafts: inout SampleDrafts,
        report: inout ImportReport
    ) throws(ImportError) {
        let stem = Self.stem(of: path)
        var categories: [Int: String] = [:]
        for category in file.categories {
            let name = category.name.collapsed
            guard categories.updateValue(options.objectNames[name] ?? name, forKey: category.id) == nil else {
                throw ImportError(
                    .invalid,
                    "two categories have the id \(category.id)",
                    file: folder.url(path).path,
                    field: "categories",
                    importer: Self.name
                )
            }
        }
        var pictures: [(id: Int, reference: ImageReference)] = []
        var listed: Set<Int> = []
        for (number, record) in file.images.enumerated() {
            report.found(1, "image")
            do throws(Skip) {
                let picture = try record.result.get()
                guard listed.insert(picture.id).inserted else { throw Skip("another image has the same id") }
                let reference = try reference(picture, stem: stem, drafts: &drafts)
                guard known.insert(reference.path).inserted else { throw Skip("the image is listed twice") }
                pictures.append((picture.id, reference))
                report.imported(1, "image")
            } catch {
                report.skipped("image", error, item: "\(stem) image \(number + 1)")
            }
        }
        var objects: [Int: [(item: String, name: String, box: Result<BoundingBox, Skip>)]] = [:]
        let usable = Set(pictures.map(\.id))
        for (number, record) in file.annotations.enumerated() {
            let item = "\(stem) annotation \(number + 1)"
            do throws(Skip) {
                let object = try record.result.get()
                guard usable.contains(object.image_id) else {
                    throw Skip(listed.contains(object.image_id) ? "its image is left out" : "no image has its image_id")
                }
                guard let name = categories[object.category_id] else { throw Skip("no category has its category_id") }
                objects[object.image_id, default: []].append((item, name, Self.box(of: object)))
            } catch {
                report.found(1, "box")
                report.skipped("box", error, item: item)
            }
        }
        for (id, reference) in pictures {
            drafts.add(
                objects: objects[id] ?? [],
                in: reference,
                id: reference.path,
                group: options.group(ofFile: reference.path),
                split: isSplit ? Split(fileName: stem) : nil,
                report: &report
            )
        }
    }

    private func reference(
        _ picture: Picture,
        stem: String,
        drafts: inout SampleDrafts
    ) throws(Skip) -> ImageReference {
        let name = picture.file_name
        guard DatasetFolder.isInside(name) else { throw Skip("the image's path leaves the folder") }
        let bare = stem.hasPrefix("instances_") ? String(stem.dropFirst("instances_".count)) : stem
        let places =
            options.settings["imageFolder"].map { ["\($0)/\(name)"] }
            ?? [name, "images/\(name)", "\(bare)/\(name)", "images/\(bare)/\(name)"]
        let reference = try drafts.image(places.first { folder.isFile($0) } ?? places[0]).get()
        for (stated, actual) in [(picture.width, reference.width), (picture.height, reference.height)] {
            if let stated, stated != actual { throw Skip("the annotation's size is not the image's") }
        }
        return reference
    }

    private static func box(of object: Object) -> Result<BoundingBox, Skip> {
        guard (object.iscrowd ?? 0) == 0 else { return .failure(Skip("the object is a crowd")) }
        guard object.bbox.count == 4 else { return .failure(Skip("the box has no four numbers")) }
        let (x, y, width, height) = (object.bbox[0], object.bbox[1], object.bbox[2], object.bbox[3])
        return .success(BoundingBox(xMin: x, yMin: y, xMax: x + width, yMax: y + height))
    }

    private static func stem(of path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return name.lowercased().hasSuffix(".json") ? String(name.dropLast(".json".count)) : name
    }

    private func annotationFiles() throws(ImportError) -> [String] {
        if let file = options.settings["file"] {
            return [try folder.onlyFile(file, ending: ".json", setting: "file")]
        }
        try folder.checkRoot()
        if folder.isFolder("annotations") {
            let names = try folder.names(in: "annotations").filter { $0.lowercased().hasSuffix(".json") }
            if !names.isEmpty { return names.map { "annotations/" + $0 } }
        }
        return try folder.filesEnding(".json")
    }
}
