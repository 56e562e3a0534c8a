public import Foundation
public import UniMedData
public import UniMedImaging

/// What an importer makes of a data set.
public struct ImportedDataset: Sendable, Equatable {
    /// The samples of all tasks.
    public var samples: [Sample]
    /// What is known of each image, whether a task asks for it or not.
    public var annotations: [ImageAnnotation]

    /// Makes a data set.
    public init(samples: [Sample] = [], annotations: [ImageAnnotation] = []) {
        self.samples = samples
        self.annotations = annotations
    }
}

/// Settings that every importer of files understands.
public struct ImportOptions: Codable, Sendable, Equatable {
    /// The data set's name in the samples; `nil` is the name of the registry's entry.
    public var dataset: String?
    /// The part of the groups that becomes the validation split, where the data set itself names no splits.
    public var validationFraction: Double
    /// The part of the groups that becomes the test split, where the data set itself names no splits.
    public var testFraction: Double
    /// The seed of the split.
    public var seed: UInt64
    /// Other words for the names of objects, by the name in the data set, for example `WBC`: `white blood cell`.
    public var objectNames: [String: String]
    /// Settings of one importer alone, by name, for example `labelColumn`; a name that it does not know is an error.
    public var settings: [String: String]

    /// Makes settings.
    public init(
        dataset: String? = nil,
        validationFraction: Double = 0.2,
        testFraction: Double = 0,
        seed: UInt64 = 0,
        objectNames: [String: String] = [:],
        settings: [String: String] = [:]
    ) {
        self.dataset = dataset
        self.validationFraction = validationFraction
        self.testFraction = testFraction
        self.seed = seed
        self.objectNames = objectNames
        self.settings = settings
    }

    /// Checks the values.
    ///
    /// - Parameter known: The names of the settings that the importer understands.
    /// - Throws: ``ImportError`` that names the field.
    public func validate(settings known: [String] = []) throws(ImportError) {
        if let unknown = settings.keys.sorted().first(where: { !known.contains($0) }) {
            let names = known.isEmpty ? "it has none" : "there are \(known.joined(separator: ", "))"
            throw ImportError(.invalid, "the importer has no such setting; \(names)", field: "settings.\(unknown)")
        }
        for (field, value) in [("validationFraction", validationFraction), ("testFraction", testFraction)] {
            guard value >= 0, value <= 1 else {
                throw ImportError(.invalid, "expected a number from 0 to 1, found \(value)", field: field)
            }
        }
        guard validationFraction + testFraction <= 1 else {
            throw ImportError(.invalid, "together with validationFraction it is more than 1", field: "testFraction")
        }
        if let dataset, dataset.isEmpty || dataset.contains("/") {
            throw ImportError(.invalid, "expected a name without '/', found '\(dataset)'", field: "dataset")
        }
    }

    /// Divides groups (patients, cases, questions) into splits by chance.
    ///
    /// The result depends on the seed, the label and the set of groups, not on their order.
    ///
    /// - Parameters:
    ///   - groups: The groups; repeated ones count once.
    ///   - label: What is divided, so that several data sets under one seed do not share a sequence.
    /// - Returns: The split of each group.
    public func splits(of groups: some Sequence<String>, label: String) -> [String: Split] {
        let sorted = Set(groups).sorted()
        var generator = SeededGenerator.derived(from: seed, label: "split of \(label)")
        let order = generator.permutation(of: sorted.count)
        let validationCount = Int((Double(sorted.count) * validationFraction).rounded())
        let testCount = Int((Double(sorted.count) * testFraction).rounded())
        var splits: [String: Split] = [:]
        splits.reserveCapacity(sorted.count)
        for (rank, index) in order.enumerated() {
            splits[sorted[index]] =
                rank < validationCount ? .validation : rank < validationCount + testCount ? .test : .train
        }
        return splits
    }
}

/// Reads a data set in its original layout.
///
/// A new data set is one new file with a type that conforms, and one line in ``ImporterRegistry``.
public protocol DatasetImporter: Sendable {
    /// The importer's name.
    static var name: String { get }
    /// Raised whenever the importer makes something else of the same files, so that prepared data are made anew.
    static var version: Int { get }

    /// The data set's name in the samples.
    var dataset: String { get }
    /// Every setting that the result depends on, as text: part of the key of prepared data.
    var settings: [String: String] { get }

    /// The files that the result depends on.
    ///
    /// - Throws: ``ImportError`` when the folder does not hold the data set.
    func sourceFiles() throws(ImportError) -> [SourceFile]

    /// Reads the data set.
    ///
    /// Nothing is lost silently: of everything the report says how many were found, imported, and skipped and why.
    ///
    /// - Parameter report: Is filled with the counts.
    /// - Returns: The samples and annotations, in an order that depends on the files' contents alone.
    /// - Throws: ``ImportError`` that names the file and field, when the data set cannot be read as what it should be.
    func importSamples(report: inout ImportReport) throws(ImportError) -> ImportedDataset

    /// The picture of a reference in the samples, in its original size.
    ///
    /// Of a volume the slices are asked for, one by one and in order: see `ImageReference.pictures`, and ``VolumeStack`` for
    /// a volume in memory.
    ///
    /// - Parameter reference: One of the references that ``importSamples(report:)`` made, or a slice of one.
    /// - Returns: As many pixels as the reference says.
    /// - Throws: `ImagingError` when the picture cannot be decoded.
    func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage
}

extension DatasetImporter {
    /// The picture of a data set without pictures: always an error.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        throw ImagingError(.unreadableFile, file: reference.path)
    }
}

/// A file that an imported data set depends on.
public struct SourceFile: Sendable, Equatable {
    /// The path relative to the data set's root.
    public var path: String
    /// The file.
    public var url: URL

    /// Makes a source file.
    public init(path: String, url: URL) {
        self.path = path
        self.url = url
    }
}

/// The folder of a data set, and what importers ask of it.
struct DatasetFolder: Sendable {
    let root: URL
    let importer: String

    init(root: URL, importer: String) {
        self.root = root.standardizedFileURL
        self.importer = importer
    }

    func url(_ path: String) -> URL { root.appendingPathComponent(path) }

    func isFile(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: url(path).path, isDirectory: &isFolder) && !isFolder.boolValue
    }

    func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: url(path).path, isDirectory: &isFolder) && isFolder.boolValue
    }

    /// The names in a folder, sorted, without hidden ones.
    func names(in path: String) throws(ImportError) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: url(path).path)
                .filter { !$0.hasPrefix(".") }.sorted()
        } catch {
            throw missing(path, isFolder: true)
        }
    }

    /// The first of several places where a file may be.
    func firstFile(of paths: [String]) throws(ImportError) -> String {
        try checkRoot()
        for path in paths where isFile(path) { return path }
        throw ImportError(
            .missing,
            "no \(paths.joined(separator: " or ")) in it: not a folder of this data set",
            file: root.path,
            importer: importer
        )
    }

    func checkRoot() throws(ImportError) {
        guard isFolder("") else {
            throw ImportError(.missing, "no such folder", file: root.path, importer: importer)
        }
    }

    func missing(_ path: String, isFolder: Bool) -> ImportError {
        ImportError(
            .missing,
            "no \(isFolder ? "folder" : "file") \(path) in it: not a folder of this data set",
            file: root.path,
            importer: importer
        )
    }

    /// The files at paths, which name files or whole folders; those that do not exist are left out.
    func files(_ paths: [String]) throws(ImportError) -> [SourceFile] {
        try checkRoot()
        var files: [SourceFile] = []
        for path in paths {
            if isFile(path) {
                files.append(SourceFile(path: path, url: url(path)))
            } else if isFolder(path) {
                for name in try names(in: path) { files += try self.files([path + "/" + name]) }
            }
        }
        return files
    }

    /// The size of an image, from its header.
    func imageReference(_ path: String) throws(ImagingError) -> ImageReference {
        let size = try ImageFile.size(of: url(path))
        return ImageReference(path: path, width: size.width, height: size.height)
    }
}

extension ImagingError {
    /// The reason under which an image that cannot be used is counted.
    var importReason: String { "the image cannot be read: \(shortDescription)" }
}

extension String {
    /// The text with every run of whitespace as one space, and none at the ends.
    var collapsed: String { split(whereSeparator: \.isWhitespace).joined(separator: " ") }
}
