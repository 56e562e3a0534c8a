public import Foundation

/// A prepared folder: the samples and annotations of one or more data sets and their decoded pictures.
///
/// | file | what |
/// | --- | --- |
/// | `manifest.json` | format version, content key, counts, digests of the other files |
/// | `samples.jsonl` | one ``Sample`` a line |
/// | `annotations.jsonl` | one ``ImageAnnotation`` a line |
/// | `samples.index`, `annotations.index` | where the lines are: ``RecordList`` |
/// | `images.json`, `images.index`, `images-00000.bin`, … | ``ImageShards`` |
public struct PreparedData: Sendable {
    /// The folder's table of contents.
    public struct Manifest: Codable, Sendable, Equatable {
        /// One source of data: an importer's run.
        public struct Source: Codable, Sendable, Equatable {
            /// The data set's name.
            public var dataset: String
            /// The importer's name.
            public var importer: String
            /// The importer's version.
            public var importerVersion: Int
            /// What was found, imported, and skipped by reason.
            public var report: ImportReport

            /// Makes a source.
            public init(dataset: String, importer: String, importerVersion: Int, report: ImportReport) {
                self.dataset = dataset
                self.importer = importer
                self.importerVersion = importerVersion
                self.report = report
            }
        }

        /// The layout of the folder; this program reads version 1.
        public var formatVersion: Int
        /// The SHA-256 of everything that the folder depends on: importers, their versions and options, source files.
        public var key: String
        /// The width and height of every picture, in pixels.
        public var imageSize: Int
        /// The number of samples.
        public var sampleCount: Int
        /// The number of annotations.
        public var annotationCount: Int
        /// The sources, in the order in which they were imported.
        public var sources: [Source]
        /// The SHA-256 of each text file of the folder.
        public var digests: [String: String]
    }

    /// The version of the folder's layout that this program writes and reads.
    public static let formatVersion = 1
    /// The name of the table of contents.
    public static let manifestName = "manifest.json"
    static let samplesName = "samples.jsonl"
    static let annotationsName = "annotations.jsonl"
    static let samplesIndexName = "samples.index"
    static let annotationsIndexName = "annotations.index"

    /// The folder.
    public let folder: URL
    /// The table of contents.
    public let manifest: Manifest
    /// Every sample, in the order of the sources; read from the file when it is asked for.
    public let samples: RecordList<Sample>
    /// Every annotation, in the order of the sources; read from the file when it is asked for.
    public let annotations: RecordList<ImageAnnotation>
    /// The pictures.
    public let images: ImageShards

    /// The content key: equal keys mean equal contents.
    public var key: String { manifest.key }

    /// Reads a folder's table of contents alone.
    ///
    /// - Throws: ``DataError`` that names the file and the field.
    public static func manifest(at folder: URL) throws(DataError) -> Manifest {
        let url = folder.appendingPathComponent(manifestName)
        guard FileManager.default.fileExists(atPath: url.path) else {
            throw DataError(.missing, "no \(manifestName) in it: not a folder of prepared data", file: folder.path)
        }
        let manifest = try DataFile.readJSON(Manifest.self, from: url)
        guard manifest.formatVersion == formatVersion else {
            throw DataError(
                .invalid,
                "expected \(formatVersion), found \(manifest.formatVersion); prepare the data again",
                file: url.path,
                field: "formatVersion"
            )
        }
        return manifest
    }

    /// Opens a prepared folder.
    ///
    /// The digests of the text files and the sizes of the picture files are checked. ``verify()`` checks everything.
    ///
    /// - Throws: ``DataError`` that names the file, and the line and field where there is one.
    public static func open(at folder: URL) throws(DataError) -> PreparedData {
        let manifest = try manifest(at: folder)
        // Folders of earlier versions have no indexes.
        let indexes = [samplesIndexName, annotationsIndexName, ImageShards.pathsName].filter {
            manifest.digests[$0] != nil
        }
        for name in [samplesName, annotationsName, ImageShards.indexName] + indexes {
            let url = folder.appendingPathComponent(name)
            let found = try DataFile.digest(of: url).sha256
            guard let expected = manifest.digests[name], found == expected else {
                throw DataError(
                    .corrupt,
                    "the bytes are not those that were written (SHA-256 \(found), "
                        + "expected \(manifest.digests[name] ?? "one in the manifest"))",
                    file: url.path
                )
            }
        }
        let images = try ImageShards(opening: folder)
        guard images.size == manifest.imageSize else {
            throw DataError(
                .mismatch,
                "expected \(manifest.imageSize), found \(images.size)",
                file: folder.appendingPathComponent(ImageShards.indexName).path,
                field: "size"
            )
        }
        return PreparedData(
            folder: folder,
            manifest: manifest,
            samples: try records(samplesName, samplesIndexName, in: folder, manifest),
            annotations: try records(annotationsName, annotationsIndexName, in: folder, manifest),
            images: images
        )
    }

    private static func records<Record: Decodable & RecordTag>(
        _ name: String,
        _ indexName: String,
        in folder: URL,
        _ manifest: Manifest
    ) throws(DataError) -> RecordList<Record> {
        let url = folder.appendingPathComponent(name)
        let storage =
            manifest.digests[indexName] == nil
            ? try RecordStorage(url, reading: Record.self)
            : try RecordStorage(url, index: folder.appendingPathComponent(indexName))
        return RecordList(storage)
    }

    /// Writes the text files of a folder whose pictures are already there.
    package static func write(
        samples: some Collection<Sample>,
        annotations: some Collection<ImageAnnotation>,
        sources: [Manifest.Source],
        key: String,
        imageSize: Int,
        to folder: URL
    ) throws(DataError) {
        try JSONLines.write(
            samples,
            to: folder.appendingPathComponent(samplesName),
            index: folder.appendingPathComponent(samplesIndexName)
        )
        try JSONLines.write(
            annotations,
            to: folder.appendingPathComponent(annotationsName),
            index: folder.appendingPathComponent(annotationsIndexName)
        )
        var digests: [String: String] = [:]
        for name in [
            samplesName, annotationsName, samplesIndexName, annotationsIndexName, ImageShards.indexName,
            ImageShards.pathsName,
        ] {
            digests[name] = try DataFile.digest(of: folder.appendingPathComponent(name)).sha256
        }
        let manifest = Manifest(
            formatVersion: formatVersion,
            key: key,
            imageSize: imageSize,
            sampleCount: samples.count,
            annotationCount: annotations.count,
            sources: sources,
            digests: digests
        )
        try DataFile.writeJSON(manifest, to: folder.appendingPathComponent(manifestName))
    }

    /// The indices of the samples of a part of the data, in order.
    ///
    /// - Parameters:
    ///   - split: The part.
    ///   - tasks: The tasks; all by default.
    ///   - dataset: The data set; all by default.
    /// - Returns: Positions in ``samples``, ascending.
    public func indices(
        split: Split,
        tasks: Set<MedicalTask> = Set(MedicalTask.allCases),
        dataset: String? = nil
    ) -> [Int] {
        samples.indices.filter { index in
            guard samples.split(at: index) == split, tasks.contains(samples.task(at: index)) else { return false }
            return dataset.map { samples[index].dataset == $0 } ?? true
        }
    }
}
