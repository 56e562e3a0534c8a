public import Foundation
import Synchronization
public import UniMedData
public import UniMedImaging

/// MedMNIST v2 (Yang et al., 2023), small pictures or volumes with a class: cls.
///
/// Layout: `<name>.npz` at 28 pixels or `<name>_{64,128,224}.npz` (of several the largest is read), with
/// `{train,val,test}_images`, bytes of `[count, height, width]` or `[count, height, width, 3]`, and `…_labels`,
/// `[count, 1]`, or `[count, findings]` of 0 and 1 for ChestMNIST. Any other number of pixels is read as well. The splits
/// are the publisher's. The questions of DermaMNIST and OrganSMNIST are Uni-Med's (appendix C); the others are made
/// likewise. The names of the classes are the publisher's, without the abbreviations that are not words.
///
/// The 3-D sets, `[count, slices, height, width]` at 28 or (`<name>_64.npz`) 64 voxels a side, become volumes whose slices
/// follow the first of the three dimensions.
public struct MedMNISTImporter: DatasetImporter {
    /// One of the sets.
    public struct Subset: Sendable, Equatable {
        /// The name of the file, without size and extension.
        public let name: String
        /// What the picture is, for the question.
        public let subject: String
        /// The classes in the order of their numbers.
        public let classes: [String]
        /// Whether a picture has any number of the classes.
        public let isMultiLabel: Bool
        /// How the pictures were taken.
        public let modality: String
        /// Whether the pictures are volumes.
        public let isVolume: Bool

        init(
            _ name: String,
            subject: String,
            modality: String,
            isMultiLabel: Bool = false,
            isVolume: Bool = false,
            classes: [String]
        ) {
            self.name = name
            self.isVolume = isVolume
            self.subject = subject
            self.classes = classes
            self.isMultiLabel = isMultiLabel
            self.modality = modality
        }

        /// The question that lists the classes.
        public var question: String {
            let list = classes.dropLast().joined(separator: ", ") + (classes.count > 2 ? "," : "")
            let last = classes.last ?? ""
            return isMultiLabel
                ? "Which of these findings does this \(subject) show: \(list) or \(last)?"
                : "Which category does this \(subject) belong to: \(list) or \(last)?"
        }
    }

    private static let organs = [
        "bladder", "left femur", "right femur", "heart", "left kidney", "right kidney", "liver", "left lung",
        "right lung", "pancreas", "spleen",
    ]

    /// All sets: the twelve of pictures, then the six of volumes.
    public static let subsets = pictureSubsets + volumeSubsets

    private static let volumeSubsets = [
        Subset(
            "organmnist3d",
            subject: "CT volume",
            modality: "CT",
            isVolume: true,
            classes: [
                "liver", "right kidney", "left kidney", "right femur", "left femur", "bladder", "heart", "right lung",
                "left lung", "spleen", "pancreas",
            ]
        ),
        Subset(
            "nodulemnist3d",
            subject: "CT volume of a lung nodule",
            modality: "CT",
            isVolume: true,
            classes: ["benign", "malignant"]
        ),
        Subset(
            "adrenalmnist3d",
            subject: "shape of an adrenal gland in a CT volume",
            modality: "CT",
            isVolume: true,
            classes: ["normal", "hyperplasia"]
        ),
        Subset(
            "fracturemnist3d",
            subject: "CT volume of a rib",
            modality: "CT",
            isVolume: true,
            classes: ["buckle rib fracture", "nondisplaced rib fracture", "displaced rib fracture"]
        ),
        Subset(
            "vesselmnist3d",
            subject: "shape of a brain vessel in an MR angiography volume",
            modality: "MRA",
            isVolume: true,
            classes: ["vessel", "aneurysm"]
        ),
        Subset(
            "synapsemnist3d",
            subject: "electron microscope volume of a synapse",
            modality: "electron microscopy",
            isVolume: true,
            classes: ["inhibitory synapse", "excitatory synapse"]
        ),
    ]

    private static let pictureSubsets = [
        Subset(
            "dermamnist",
            subject: "multi-source dermatoscopic image of common pigmented skin lesions",
            modality: "dermatoscopy",
            classes: [
                "actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma",
                "benign keratosis-like lesions", "dermatofibroma", "melanoma", "melanocytic nevi", "vascular lesions",
            ]
        ),
        Subset("organsmnist", subject: "CT image", modality: "CT", classes: organs),
        Subset("organamnist", subject: "CT image", modality: "CT", classes: organs),
        Subset("organcmnist", subject: "CT image", modality: "CT", classes: organs),
        Subset(
            "pathmnist",
            subject: "pathology image of colorectal tissue",
            modality: "pathology",
            classes: [
                "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa",
                "cancer-associated stroma", "colorectal adenocarcinoma epithelium",
            ]
        ),
        Subset(
            "chestmnist",
            subject: "chest X-ray image",
            modality: "X-ray",
            isMultiLabel: true,
            classes: [
                "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia",
                "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural thickening", "hernia",
            ]
        ),
        Subset(
            "octmnist",
            subject: "retinal OCT image",
            modality: "OCT",
            classes: ["choroidal neovascularization", "diabetic macular edema", "drusen", "normal"]
        ),
        Subset("pneumoniamnist", subject: "chest X-ray image", modality: "X-ray", classes: ["normal", "pneumonia"]),
        Subset(
            "retinamnist",
            subject: "fundus image, by severity of diabetic retinopathy,",
            modality: "fundus photography",
            classes: ["0", "1", "2", "3", "4"]
        ),
        Subset(
            "breastmnist",
            subject: "breast ultrasound image",
            modality: "ultrasound",
            classes: ["malignant", "normal or benign"]
        ),
        Subset(
            "bloodmnist",
            subject: "microscope image of a blood cell",
            modality: "microscopy",
            classes: [
                "basophil", "eosinophil", "erythroblast", "immature granulocyte", "lymphocyte", "monocyte",
                "neutrophil", "platelet",
            ]
        ),
        Subset(
            "tissuemnist",
            subject: "microscope image of a kidney cortex cell",
            modality: "microscopy",
            classes: [
                "collecting duct or connecting tubule", "distal convoluted tubule", "glomerular endothelial cells",
                "interstitial endothelial cells", "leukocytes", "podocytes", "proximal tubule segments",
                "thick ascending limb",
            ]
        ),
    ]

    /// The importer's name.
    public static let name = "medmnist"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The answer of a picture without any of several findings.
    public static let noFinding = "no finding"

    private static let splitNames: [(name: String, split: Split)] = [
        ("train", .train), ("val", .validation), ("test", .test),
    ]

    /// The data set's name in the samples.
    public let dataset: String
    /// The set.
    public let subset: Subset
    private let folder: DatasetFolder
    private let archive = ArchiveCache()

    /// Makes an importer of a folder.
    ///
    /// - Parameters:
    ///   - root: The folder that holds the npz file.
    ///   - subset: One of ``subsets``, by the name of its file.
    ///   - options: The settings.
    /// - Throws: ``ImportError`` when an option is not allowed or there is no such set.
    public init(root: URL, subset: String, options: ImportOptions = ImportOptions()) throws(ImportError) {
        try options.validate()
        guard let known = Self.subsets.first(where: { $0.name == subset }) else {
            let names = Self.subsets.map(\.name).joined(separator: ", ")
            throw ImportError(.invalid, "no set is called '\(subset)'; there are \(names)", field: "subset")
        }
        self.subset = known
        dataset = options.dataset ?? subset
        folder = DatasetFolder(root: root, importer: Self.name)
    }

    /// The set's name.
    public var settings: [String: String] { ["subset": subset.name] }

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] { try folder.files([try file()]) }

    /// The picture of a reference.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        let parts = reference.path.split(separator: "/").map(String.init)
        let slice = subset.isVolume ? ImageReference.sliceParts(ofPath: parts.last ?? "") : nil
        guard parts.count == 3, let index = Int(slice?.path ?? parts[2]), (slice != nil) == subset.isVolume,
            Self.splitNames.contains(where: { $0.name == parts[1] })
        else { throw ImagingError(.unreadableFile, file: reference.path, detail: "no picture has this path") }
        do throws(DataError) {
            let archive = try self.archive.open(folder.url(parts[0]))
            var bytes = try archive.row(index, of: "\(parts[1])_images")
            if let slice {
                let start = slice.slice * reference.width * reference.height
                guard start + reference.width * reference.height <= bytes.count else {
                    throw DataError(.mismatch, "the volume has no such slice")
                }
                bytes = Array(bytes[start..<start + reference.width * reference.height])
            }
            let pixelCount = reference.width * reference.height
            if bytes.count == 3 * pixelCount {
                return RGBImage(width: reference.width, height: reference.height, pixels: bytes)
            }
            guard bytes.count == pixelCount else {
                throw DataError(.mismatch, "the picture has another size than the reference says")
            }
            let pixels = bytes.flatMap { [$0, $0, $0] }
            return RGBImage(width: reference.width, height: reference.height, pixels: pixels)
        } catch {
            throw ImagingError(.malformed, file: reference.path, detail: error.problem)
        }
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let path = try file()
        let archive = try importing(Self.name) { () throws(DataError) -> NumPyArchive in
            try self.archive.open(folder.url(path))
        }
        var result = ImportedDataset()
        for (name, split) in Self.splitNames {
            try importing(Self.name) { () throws(DataError) in
                try add(name, split: split, path: path, archive: archive, to: &result, report: &report)
            }
        }
        PaperCounts.check(subset.name, result.samples, report: &report)
        return result
    }

    private func add(
        _ name: String,
        split: Split,
        path: String,
        archive: NumPyArchive,
        to result: inout ImportedDataset,
        report: inout ImportReport
    ) throws(DataError) {
        let url = folder.url(path)
        guard let images = archive.entries["\(name)_images"] else {
            throw DataError(.missing, "the file has no such array", file: url.path, field: "\(name)_images")
        }
        guard let labels = archive.entries["\(name)_labels"], labels.count == images.count else {
            let problem = "expected \(images.count) labels, one per picture"
            throw DataError(.mismatch, problem, file: url.path, field: "\(name)_labels")
        }
        let isColour = images.shape.count == 4 && images.shape[3] == 3
        guard subset.isVolume ? images.shape.count == 4 : images.shape.count == 3 || isColour else {
            let expected =
                subset.isVolume
                ? "volumes of [count, slices, height, width]"
                : "pictures of [count, height, width] or [count, height, width, 3]; this is no set of volumes"
            throw DataError(.invalid, "expected " + expected, file: url.path, field: "\(name)_images")
        }
        let perPicture = subset.isMultiLabel ? subset.classes.count : 1
        guard labels.rowSize == perPicture else {
            let problem = "expected \(perPicture) numbers per picture, found \(labels.rowSize)"
            throw DataError(.mismatch, problem, file: url.path, field: "\(name)_labels")
        }
        let kind = ImportReport.kind(task: .imageClassification)
        let fields = ["modality": subset.modality]
        report.found(images.count, kind)
        report.found(images.count, "image")
        for index in 0..<images.count {
            let id = "\(name)-\(index)"
            guard let answer = answer(for: try archive.row(index, of: "\(name)_labels")) else {
                for kind in ["image", kind] { report.skipped(kind, because: "the label is no class", item: id) }
                continue
            }
            let image = ImageReference(
                path: "\(path)/\(name)/\(index)",
                width: images.shape[subset.isVolume ? 3 : 2],
                height: images.shape[subset.isVolume ? 2 : 1],
                volume: subset.isVolume ? VolumeReference(slices: images.shape[1]) : nil
            )
            for kind in ["image", kind] { report.imported(1, kind) }
            result.samples.append(
                Sample(
                    id: id,
                    dataset: dataset,
                    split: split,
                    task: .imageClassification,
                    image: image,
                    question: subset.question,
                    choices: subset.isMultiLabel ? nil : subset.classes,
                    answer: answer,
                    fields: fields
                )
            )
            result.annotations.append(
                ImageAnnotation(dataset: dataset, split: split, image: image, fields: fields)
            )
        }
    }

    private func answer(for label: [UInt8]) -> String? {
        guard subset.isMultiLabel else {
            guard let number = label.first, subset.classes.indices.contains(Int(number)) else { return nil }
            return subset.classes[Int(number)]
        }
        guard label.allSatisfy({ $0 <= 1 }) else { return nil }
        let names = zip(subset.classes, label).filter { $0.1 == 1 }.map(\.0)
        return names.isEmpty ? Self.noFinding : names.joined(separator: ", ")
    }

    private func file() throws(ImportError) -> String {
        try folder.checkRoot()
        // Of the sizes there are the largest; 28 pixels have no number in the name.
        let sizes = try folder.names(in: "").compactMap { name -> (size: Int, name: String)? in
            if name == "\(subset.name).npz" { return (28, name) }
            guard name.hasPrefix("\(subset.name)_"), name.hasSuffix(".npz"),
                let size = Int(name.dropFirst(subset.name.count + 1).dropLast(4))
            else { return nil }
            return (size, name)
        }
        guard let largest = sizes.max(by: { $0.size < $1.size }) else {
            throw folder.missing("\(subset.name).npz", isFolder: false)
        }
        return largest.name
    }
}

/// Keeps an archive open between pictures.
private final class ArchiveCache: Sendable {
    private let opened = Mutex<[URL: NumPyArchive]>([:])

    func open(_ url: URL) throws(DataError) -> NumPyArchive {
        let outcome: Result<NumPyArchive, DataError> = opened.withLock { opened in
            if let archive = opened[url] { return .success(archive) }
            do throws(DataError) {
                let archive = try NumPyArchive(contentsOf: url)
                opened[url] = archive
                return .success(archive)
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }
}
