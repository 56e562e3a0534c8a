public import Foundation
public import UniMedData
public import UniMedImaging

/// A folder of images for every class: data of one's own, for image classification.
///
/// Layout: `<class>/….png`, or `<split>/<class>/….png` where every folder at the top is named after a split. The classes
/// are the folders' names, in the order of the alphabet; `objectNames` puts other words in their place. Folders inside a
/// class belong to it. Settings: `question` asks something else than "Which category does this image belong to: …?";
/// `groupSeparator` makes one group (a patient) of the images whose names are the same up to that text.
public struct ClassFolderImporter: DatasetImporter {
    /// The importer's name.
    public static let name = "class-folders"
    /// The version of what this importer makes of the same files.
    public static let version = 1
    /// The names of the settings.
    public static let settingNames = ["question", "groupSeparator"]

    /// The data set's name in the samples.
    public let dataset: String
    private let folder: DatasetFolder
    private let options: ImportOptions

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

    /// The files that the result depends on.
    public func sourceFiles() throws(ImportError) -> [SourceFile] { try folder.files(try paths()) }

    /// The picture of a reference, decoded.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        try ImageDecoder.decode(contentsOf: folder.url(reference.path))
    }

    private struct Picture {
        let reference: ImageReference
        let label: String
        let split: Split?
    }

    /// Reads the data set.
    public func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset {
        let paths = try paths()
        var drafts = SampleDrafts(dataset: dataset, folder: folder, options: options)
        let areSplit = try folder.names(in: "").filter { folder.isFolder($0) }.allSatisfy { Split(word: $0) != nil }
        var pictures: [Picture] = []
        for path in paths {
            report.found(1, "image")
            do throws(Skip) {
                let parts = path.split(separator: "/").map(String.init)
                guard parts.count > (areSplit ? 2 : 1) else { throw Skip("the file is in no class's folder") }
                guard DatasetFolder.isImageName(path) else { throw Skip("the file's name is not that of an image") }
                let label = parts[areSplit ? 1 : 0]
                let reference = try drafts.image(path).get()
                pictures.append(
                    Picture(
                        reference: reference,
                        label: options.objectNames[label] ?? label,
                        split: areSplit ? Split(word: parts[0]) : nil
                    )
                )
                report.imported(1, "image")
            } catch {
                report.skipped("image", error, item: path)
            }
        }
        let classes = Set(pictures.map(\.label)).sorted()
        for picture in pictures {
            let sample = Sample(
                id: picture.reference.path,
                dataset: dataset,
                split: .train,
                task: .imageClassification,
                group: options.group(ofFile: picture.reference.path),
                image: picture.reference,
                question: options.settings["question"] ?? classes.classQuestion,
                choices: classes,
                answer: picture.label
            )
            drafts.add(sample, split: picture.split, report: &report)
        }
        return drafts.finish(report: &report)
    }

    private func paths() throws(ImportError) -> [String] {
        try folder.checkRoot()
        let paths = try folder.filesBelow("")
        guard paths.contains(where: { $0.contains("/") }) else {
            throw folder.missing("<class>/*.png", isFolder: false)
        }
        return paths
    }
}
