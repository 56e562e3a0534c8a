public import Foundation
public import UniMedData
public import UniMedImaging

/// SA-Med2D-20M (Ye et al., 2023), masks of structures in slices: rec and reg.
///
/// Layout, as published: `images/<modality>_<sub-modality>--<data set>--<case>--<axis>_<slice>.png`;
/// `masks/<image>--<class id>_<instance>.png`; `SAMed2D_v1.json`, which lists the masks of each image (without it the
/// folder is listed); `SAMed2D_v1_class_mapping_id.json`, for each data set the id of each structure's name. A folder
/// that holds `SAMed2Dv1` is entered. The masks of the SAM-Med2D demo, `<image>_<structure>_<instance>.png`, are read as
/// well; the longest image name that fits is the mask's.
///
/// Every mask gives one rec and one reg sample with the box around its pixels (the end is the pixel behind the last).
/// Uni-Med takes 10,000 masks of CT and of MR for training and 2,000 of each for testing (B.2) and does not say which:
/// here the cases are divided by the seed, five in six for training, and of each part masks are drawn by the seed until
/// the number is reached. Masks that turn out to be unusable are replaced by the next ones. No case is in two splits.
/// The fractions of the options are not used.
public struct SAMed2DImporter: DatasetImporter {
    /// How many masks are taken.
    public struct Selection: Sendable, Equatable {
        /// The main modalities, as the file names begin; `nil` is every one, also unknown ones.
        public var modalities: [String]?
        /// The most masks per modality for training; `nil` is all.
        public var trainCount: Int?
        /// The most masks per modality for testing; `nil` is all.
        public var testCount: Int?

        /// Makes a selection.
        public init(modalities: [String]?, trainCount: Int?, testCount: Int?) {
            self.modalities = modalities
            self.trainCount = trainCount
            self.testCount = testCount
        }

        /// Uni-Med's selection.
        public static let paper = Selection(modalities: ["ct", "mr"], trainCount: 10_000, testCount: 2_000)
        /// Everything.
        public static let all = Selection(modalities: nil, trainCount: nil, testCount: nil)
    }

    /// The importer's name.
    public static let name = "sa-med2d"
    /// The version of what this importer makes of the same files.
    public static let version = 1

    private static let listPath = "SAMed2D_v1.json"
    private static let classesPath = "SAMed2D_v1_class_mapping_id.json"
    private static let kinds = [MedicalTask.referringExpressionComprehension, .referringExpressionGeneration]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions
    private let selection: Selection

    /// Makes an importer of a folder.
    ///
    /// - Throws: ``ImportError`` when an option is not allowed.
    public init(
        root: URL,
        options: ImportOptions = ImportOptions(),
        selection: Selection = .paper
    ) throws(ImportError) {
        try options.validate()
        for (field, count) in [("trainCount", selection.trainCount), ("testCount", selection.testCount)] {
            if let count, count < 0 {
                throw ImportError(.invalid, "expected a number of masks, found \(count)", field: field)
            }
        }
        dataset = options.dataset ?? Self.name
        let outer = DatasetFolder(root: root, importer: Self.name)
        let isOuter = outer.isFolder("SAMed2Dv1") && !outer.isFolder("images")
        folder = isOuter ? DatasetFolder(root: outer.url("SAMed2Dv1"), importer: Self.name) : outer
        self.options = options
        self.selection = selection
    }

    /// The options that the result depends on.
    public var settings: [String: String] {
        var settings = [
            "seed": "\(options.seed)",
            "modalities": selection.modalities?.joined(separator: ", ") ?? "all",
            "trainCount": selection.trainCount.map(String.init) ?? "all",
            "testCount": selection.testCount.map(String.init) ?? "all",
        ]
        for (name, words) in options.objectNames { settings["objectNames.\(name)"] = words }
        return settings
    }

    /// The files that the result depends on.
    ///
    /// Where the list of the masks is there it stands for the millions of files it names.
    public func sourceFiles() throws(ImportError) -> [SourceFile] {
        try checkLayout()
        let lists = try folder.files([Self.listPath, Self.classesPath])
        return folder.isFile(Self.listPath) ? lists : try lists + folder.files(["images", "masks"])
    }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        try checkLayout()
        let names = try structureNames()
        var groups: [String: [Mask]] = [:]
        let found = try masks(names: names)
        let kinds = Self.kinds.map { ImportReport.kind(task: $0) }
        for kind in kinds { report.found(found.count, kind) }
        for entry in found {
            switch entry {
            case .failure(let lost):
                for kind in kinds { report.skipped(kind, because: lost.reason, item: lost.path) }
            case .success(let mask):
                guard selection.modalities?.contains(mask.modality) ?? true else {
                    for kind in kinds { report.skipped(1, kind, byRule: "not of a selected modality") }
                    continue
                }
                groups[mask.modality, default: []].append(mask)
            }
        }
        var result = ImportedDataset()
        var images = ImageTable()
        // One division for all modalities, so that a case that was seen by two of them is in one split.
        let rule = ImportOptions(validationFraction: 0, testFraction: 1.0 / 6, seed: options.seed)
        let splits = rule.splits(of: groups.values.joined().map(\.caseName), label: Self.name)
        for (modality, masks) in groups.sorted(by: { $0.key < $1.key }) {
            take(masks, modality: modality, splits: splits, images: &images, to: &result, report: &report)
        }
        result.annotations = images.annotations.values.sorted { $0.image.path < $1.image.path }
        if selection == .paper { PaperCounts.check(Self.name, result.samples, report: &report) }
        return result
    }

    // MARK: - Selection

    /// A mask, told by its name.
    private struct Mask {
        let path: String
        let imagePath: String
        let modality: String
        let structure: String
        let caseName: String
    }

    private struct LostMask: Error {
        let path: String
        let reason: String
    }

    /// The images that samples were made of.
    private struct ImageTable {
        var references: [String: Result<ImageReference, Skip>] = [:]
        var annotations: [String: ImageAnnotation] = [:]
    }

    private func take(
        _ masks: [Mask],
        modality: String,
        splits: [String: Split],
        images: inout ImageTable,
        to result: inout ImportedDataset,
        report: inout ImportReport
    ) {
        var generator = SeededGenerator.derived(from: options.seed, label: "masks of \(Self.name) \(modality)")
        // The order of the names, so that the draw does not depend on the order of a list.
        let sorted = masks.sorted { $0.path < $1.path }
        var left: [Split: Int] = [
            .train: selection.trainCount ?? .max, .test: selection.testCount ?? .max,
        ]
        var notSelected = 0
        let kinds = Self.kinds.map { ImportReport.kind(task: $0) }
        var chosen: [(mask: Mask, split: Split, image: ImageReference, box: BoundingBox)] = []
        for index in generator.permutation(of: sorted.count) {
            let mask = sorted[index]
            let split = splits[mask.caseName] ?? .train
            guard let places = left[split], places > 0 else {
                notSelected += 1
                continue
            }
            switch box(of: mask, images: &images) {
            case .failure(let skip):
                for kind in kinds { report.skipped(kind, skip, item: mask.path) }
            case .success(let (image, box)):
                left[split] = places - 1
                chosen.append((mask, split, image, box))
            }
        }
        for kind in kinds { report.skipped(notSelected, kind, byRule: "not in the selection") }
        for (mask, split, image, box) in chosen.sorted(by: { $0.mask.path < $1.mask.path }) {
            let name = options.objectNames[mask.structure] ?? mask.structure
            let fields = modality.isEmpty ? nil : ["modality": modality.uppercased()]
            let blank = ImageAnnotation(dataset: dataset, split: split, image: image, fields: fields ?? [:])
            images.annotations[image.path, default: blank].objects.append(NamedBox(name: name, box: box))
            for task in Self.kinds {
                report.imported(1, ImportReport.kind(task: task))
                result.samples.append(
                    Sample(
                        id: "\(mask.path.dropFirst("masks/".count).dropLast(".png".count)) \(task.rawValue)",
                        dataset: dataset,
                        split: split,
                        task: task,
                        group: mask.caseName,
                        image: image,
                        objectName: name,
                        box: box,
                        answer: task == .referringExpressionGeneration ? name : "",
                        fields: fields
                    )
                )
            }
        }
    }

    private func box(of mask: Mask, images: inout ImageTable) -> Result<(ImageReference, BoundingBox), Skip> {
        let entry = images.references[mask.imagePath] ?? reference(mask.imagePath)
        images.references[mask.imagePath] = entry
        return entry.flatMap { image in
            guard folder.isFile(mask.path) else { return .failure(Skip("no mask file")) }
            let pixels: RGBImage
            do throws(ImagingError) {
                pixels = try ImageDecoder.decode(contentsOf: folder.url(mask.path))
            } catch {
                return .failure(Skip("the mask cannot be read: \(error.shortDescription)"))
            }
            guard pixels.width == image.width, pixels.height == image.height else {
                return .failure(Skip("the mask's size is not the image's"))
            }
            let grey = stride(from: 0, to: pixels.pixels.count, by: 3).map { pixels.pixels[$0] }
            guard let box = BoundingBox(mask: grey, width: pixels.width, extent: .exclusiveEnd) else {
                return .failure(Skip("the mask is empty"))
            }
            return .success((image, box))
        }
    }

    private func reference(_ path: String) -> Result<ImageReference, Skip> {
        guard folder.isFile(path) else { return .failure(Skip("no image file")) }
        do {
            return .success(try folder.imageReference(path))
        } catch {
            return .failure(Skip(error.importReason))
        }
    }

    // MARK: - Names

    private func masks(names: [String: [Int: String]]) throws(ImportError) -> [Result<Mask, LostMask>] {
        var images: [String]?
        let paths: [String]
        if folder.isFile(Self.listPath) {
            let list = try importing(Self.name) { () throws(DataError) in
                try JSONMembers<[String]>(contentsOf: folder.url(Self.listPath))
            }
            var pairs: [Result<Mask, LostMask>] = []
            var known: Set<String> = []
            for image in list.members {
                switch image.result {
                case .failure(let skip):
                    pairs.append(.failure(LostMask(path: image.name, reason: "the list of masks: \(skip.reason)")))
                case .success(let masks):
                    for path in masks {
                        let isNew = known.insert(path).inserted
                        pairs.append(
                            isNew
                                ? published(path, image: image.name, names: names)
                                : .failure(LostMask(path: path, reason: "the mask is listed twice"))
                        )
                    }
                }
            }
            for image in list.repeated {
                pairs.append(.failure(LostMask(path: image, reason: "the image is listed twice")))
            }
            return pairs
        }
        paths = try folder.names(in: "masks").filter { $0.hasSuffix(".png") }.map { "masks/\($0)" }
        return try paths.map { path throws(ImportError) in
            if path.contains("--") { return published(path, image: nil, names: names) }
            if images == nil {
                images = try folder.names(in: "images").filter { $0.hasSuffix(".png") }
                    .sorted { ($0.utf8.count, $0) > ($1.utf8.count, $1) }
            }
            return demonstration(path, images: images ?? [])
        }
    }

    /// A mask of the published layout.
    private func published(_ path: String, image: String?, names: [String: [Int: String]]) -> Result<Mask, LostMask> {
        func lost(_ reason: String) -> Result<Mask, LostMask> { .failure(LostMask(path: path, reason: reason)) }
        let isInside = path.hasPrefix("masks/") && path.hasSuffix(".png") && !path.contains("..")
        guard isInside, image.map({ $0.hasPrefix("images/") && !$0.contains("..") }) ?? true else {
            return lost("the path is not in images or masks")
        }
        let parts = path.dropFirst("masks/".count).dropLast(".png".count).components(separatedBy: "--")
        guard parts.count >= 5, let ending = parts.last?.split(separator: "_"), ending.count == 2,
            let id = Int(ending[0]), Int(ending[1]) != nil
        else { return lost("the name has not the five parts of a mask's") }
        let stem = parts.dropLast().joined(separator: "--")
        if let image, image != "images/\(stem).png" { return lost("the mask's name is not that of its image") }
        guard let structure = names[parts[1]]?[id] else { return lost("the class has no name") }
        return .success(
            Mask(
                path: path,
                imagePath: "images/\(stem).png",
                modality: String(parts[0].prefix { $0 != "_" }).lowercased(),
                structure: structure,
                caseName: "\(parts[1])--\(parts[2..<parts.count - 2].joined(separator: "--"))"
            )
        )
    }

    /// A mask of the demo's layout; `images` has the longest names first.
    private func demonstration(_ path: String, images: [String]) -> Result<Mask, LostMask> {
        let name = path.dropFirst("masks/".count).dropLast(".png".count)
        guard let image = images.first(where: { name.hasPrefix("\($0.dropLast(".png".count))_") }) else {
            return .failure(LostMask(path: path, reason: "no image file"))
        }
        let stem = image.dropLast(".png".count)
        var words = name.dropFirst(stem.count + 1).split(separator: "_")
        guard let last = words.popLast(), Int(last) != nil, !words.isEmpty else {
            return .failure(LostMask(path: path, reason: "the name ends with no structure and number"))
        }
        return .success(
            Mask(
                path: path,
                imagePath: "images/\(image)",
                modality: "",
                structure: words.joined(separator: " "),
                // The last part is the slice's number.
                caseName: stem.lastIndex(of: "_").map { String(stem[..<$0]) } ?? String(stem)
            )
        )
    }

    private struct ClassNumber: Decodable {
        let value: Int

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(Int.self) {
                self.value = value
            } else {
                let text = try container.decode(String.self)
                guard let value = Int(text) else {
                    throw DecodingError.dataCorruptedError(in: container, debugDescription: "expected a class's number")
                }
                self.value = value
            }
        }
    }

    /// For each data set the name of each class, in words.
    private func structureNames() throws(ImportError) -> [String: [Int: String]] {
        guard folder.isFile(Self.classesPath) else { return [:] }
        let file = try importing(Self.name) { () throws(DataError) in
            try DataFile.readJSON([String: [String: ClassNumber]].self, from: folder.url(Self.classesPath))
        }
        return file.mapValues { classes in
            classes.sorted { $0.key < $1.key }.reduce(into: [:]) { names, entry in
                names[entry.value.value] = entry.key.replacingOccurrences(of: "_", with: " ").collapsed
            }
        }
    }

    private func checkLayout() throws(ImportError) {
        try folder.checkRoot()
        for path in ["images", "masks"] where !folder.isFolder(path) { throw folder.missing(path, isFolder: true) }
    }
}
