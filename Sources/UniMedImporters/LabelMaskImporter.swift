public import Foundation
public import UniMedData
public import UniMedImaging

/// Label masks with a list of names: data of one's own, for referring expressions.
///
/// Layout: `images/….png` (or another kind of picture), `masks/….png` of the same name and size, 8-bit grey, where a
/// pixel's value is its label and 0 is nothing, and `labels.json`, an object from labels to names: `{"1": "liver"}`. Where
/// every folder inside `images` is named after a split these are the splits, else images are divided by the options.
///
/// The box of a label is the extent of its pixels. rec and reg come of each label whose name occurs once in its image.
/// Settings: `images`, `masks` and `labels` are other places of the three; `extent` is where a box ends, `exclusiveEnd`
/// (behind the last pixel, the default) or `inclusiveLastPixel`; `groupSeparator` makes one group (a patient) of the images
/// whose names are the same up to that text.
public struct LabelMaskImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "masks"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The names of the settings.
    public static let settingNames = ["images", "masks", "labels", "extent", "groupSeparator"]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private let extent: BoundingBox.MaskExtent

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(root: URL, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate(settings: Self.settingNames)
        dataset = options.dataset ?? Self.name
        folder = DatasetFolder(root: root, importer: Self.name)
        self.options = options
        extent = try options.choice("extent", default: .exclusiveEnd)
    }

    private var images: String { options.settings["images"] ?? "images" }
    private var masks: String { options.settings["masks"] ?? "masks" }
    private var labels: String { options.settings["labels"] ?? "labels.json" }

    /// The options that the result depends on.
    public var settings: [String: String] { options.allSettings }

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        try checkLayout()
        return try folder.files([labels, images, masks])
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        try checkLayout()
        let names = try labelNames()
        let pictures = try relativePaths(in: images)
        var masks: [String: String] = [:]
        for path in try relativePaths(in: self.masks) where masks.updateValue(path, forKey: Self.stem(of: path)) != nil
        {
            throw ImportError(
                .invalid,
                "two masks differ in nothing but their ending",
                file: folder.url("\(self.masks)/\(path)").path,
                importer: Self.name
            )
        }
        let folders = try folder.names(in: images)
        let areSplit = folders.allSatisfy { Split(word: $0) != nil && folder.isFolder("\(images)/\($0)") }
        var drafts = SampleDrafts(dataset: dataset, folder: folder, options: options)
        var used: Set<String> = []
        for path in pictures {
            report.found(1, "image")
            do throws(Skip) {
                guard DatasetFolder.isImageName(path) else { throw Skip("the file's name is not that of an image") }
                let stem = Self.stem(of: path)
                guard let mask = masks[stem] else { throw Skip("no mask") }
                guard used.insert(stem).inserted else { throw Skip("another image has the same mask") }
                let reference = try drafts.image("\(images)/\(path)").get()
                let boxes = try boxes(inMask: "\(self.masks)/\(mask)", of: reference)
                report.imported(1, "image")
                let objects: [(item: String, name: String, box: Result<BoundingBox, Skip>)] = boxes.map { label, box in
                    let item = "\(stem) label \(label)"
                    guard let name = names[label] else { return (item, "", .failure(Skip("the label has no name"))) }
                    return (item, name, .success(box))
                }
                drafts.add(
                    objects: objects,
                    in: reference,
                    id: stem,
                    group: options.group(ofFile: path),
                    split: areSplit ? path.split(separator: "/").first.flatMap { Split(word: $0) } : nil,
                    report: &report
                )
            } catch {
                report.skipped("image", error, item: path)
            }
        }
        report.found(masks.count, "mask")
        for (stem, mask) in masks.sorted(by: { $0.key < $1.key }) {
            if used.contains(stem) {
                report.imported(1, "mask")
            } else {
                report.skipped("mask", because: "no image", item: mask)
            }
        }
        return drafts.finish(report: &report)
    }

    /// The box of every label in a mask, by label.
    private func boxes(inMask path: String, of image: ImageReference) throws(Skip) -> [(UInt8, BoundingBox)] {
        let data: Data
        do {
            data = try Data(contentsOf: folder.url(path))
        } catch {
            throw Skip("the mask cannot be read")
        }
        // Of a palette's colours or of 16 bits the decoder would make other numbers than the labels.
        let header = [UInt8](data.prefix(26))
        guard header.count == 26, header.starts(with: [0x89, 0x50, 0x4E, 0x47]), header[24] == 8, header[25] == 0 else {
            throw Skip("the mask is not an 8-bit grey PNG")
        }
        let mask: RGBImage
        do {
            mask = try ImageDecoder.decode(data: data, name: path)
        } catch {
            throw Skip("the mask cannot be read: \(error.shortDescription)")
        }
        guard mask.width == image.width, mask.height == image.height else {
            throw Skip("the mask's size is not the image's")
        }
        let count = mask.width * mask.height
        let values = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            mask.pixels.withUnsafeBufferPointer { pixels in
                for index in 0..<count { buffer[index] = pixels[3 * index] }
            }
            initialized = count
        }
        var occurs = [Bool](repeating: false, count: 256)
        for value in values { occurs[Int(value)] = true }
        return (UInt8(1)...255).filter { occurs[Int($0)] }.compactMap { label in
            let pixels = values.lazy.map { $0 == label ? UInt8(1) : 0 }
            return BoundingBox(mask: pixels, width: mask.width, extent: extent).map { (label, $0) }
        }
    }

    private func labelNames() throws(ImportError) -> [UInt8: String] {
        let url = folder.url(labels)
        let texts = try importing(Self.name) { () throws(DataError) in
            try JSONMembers<String>(contentsOf: url)
        }
        func invalid(_ problem: String, _ label: String) -> ImportError {
            ImportError(.invalid, problem, file: url.path, field: label, importer: Self.name)
        }
        if let label = texts.repeated.first { throw invalid("the label has two names", label) }
        var names: [UInt8: String] = [:]
        for member in texts.members {
            let text = member.name
            let name = (try? member.result.get()) ?? ""
            guard let label = UInt8(text), label > 0, !name.collapsed.isEmpty else {
                throw invalid("expected a label from 1 to 255 with a name, found '\(name)'", text)
            }
            guard names[label] == nil else { throw invalid("the label has two names", text) }
            names[label] = options.objectNames[name] ?? name.collapsed
        }
        return names
    }

    private func checkLayout() throws(ImportError) {
        try folder.checkRoot()
        for path in [images, masks] where !folder.isFolder(path) { throw folder.missing(path, isFolder: true) }
        guard folder.isFile(labels) else { throw folder.missing(labels, isFolder: false) }
    }

    private func relativePaths(in path: String) throws(ImportError) -> [String] {
        try folder.filesBelow(path).map { String($0.dropFirst(path.count + 1)) }
    }

    private static func stem(of path: String) -> String {
        path.lastIndex(of: ".").map { String(path[..<$0]) } ?? path
    }
}
