public import Foundation
import Synchronization
public import UniMedData
import UniMedImaging

/// How far the preparation of data has come.
public struct PreparationProgress: Sendable, Equatable {
    /// What is being done.
    public enum Stage: String, Sendable, CaseIterable {
        /// The data sets are read, one after the other.
        case importing
        /// The pictures are decoded, resized and written.
        case pictures
    }

    /// What is being done.
    public var stage: Stage
    /// The number of data sets or pictures that are finished.
    public var done: Int
    /// The number of all of them.
    public var total: Int

    /// Makes a report of progress.
    public init(stage: Stage, done: Int, total: Int) {
        self.stage = stage
        self.done = done
        self.total = total
    }
}

/// Makes prepared data of data sets in their original layouts.
///
/// The importers read samples and annotations; every picture that one of them names is decoded once and resized to the
/// recipe's size; all of it is written into a folder beside the destination, which then takes its name. A destination
/// that was made of the same files by the same importers with the same settings is used as it is.
public struct DatasetPreparation: Sendable {
    /// What came of a preparation.
    public struct Outcome: Sendable {
        /// The prepared data, opened.
        public let data: PreparedData
        /// Whether the folder was there already and was used as it is.
        public let wasReused: Bool
    }

    /// The importers, in the order in which their samples are written.
    public let importers: [any DatasetImporter]
    /// The width and height of every picture, in pixels.
    public let imageSize: Int
    /// The number of threads that decode and resize.
    public let threadCount: Int
    /// What becomes of things that are at fault in the data sets.
    public let faults: FaultPolicy

    /// Describes a preparation.
    ///
    /// - Parameters:
    ///   - importers: One per data set.
    ///   - imageSize: The width and height of every picture, in pixels; the aspect ratio is not kept, as in Uni-Med.
    ///   - threadCount: The number of threads that decode and resize; the result does not depend on it.
    ///   - faults: What becomes of things that are at fault in the data sets.
    /// - Throws: ``ImportError`` when there is no importer, two have the same data set's name, or a number is not
    ///   positive.
    public init(
        importers: [any DatasetImporter],
        imageSize: Int = 224,
        threadCount: Int = 2,
        faults: FaultPolicy = .skip
    ) throws(ImportError) {
        guard !importers.isEmpty else { throw ImportError(.invalid, "no data set is named", field: "data") }
        guard (1...16_384).contains(imageSize) else {
            throw ImportError(.invalid, "expected 1 to 16384 pixels, found \(imageSize)", field: "imageSize")
        }
        guard threadCount > 0 else {
            throw ImportError(.invalid, "expected a positive number, found \(threadCount)", field: "threadCount")
        }
        var names: Set<String> = []
        for importer in importers where !names.insert(importer.dataset).inserted {
            throw ImportError(.invalid, "two data sets are called '\(importer.dataset)'", field: "dataset")
        }
        self.importers = importers
        self.imageSize = imageSize
        self.threadCount = threadCount
        self.faults = faults
    }

    /// The content key: a SHA-256 over the importers, their versions and settings, and their files' names, sizes and
    /// times of change.
    ///
    /// - Throws: ``ImportError`` when a data set's folder is not there or not one.
    public func key() throws(ImportError) -> String {
        var hash = SHA256()
        hash.update("prepared data \(PreparedData.formatVersion), \(imageSize) pixels")
        for importer in importers {
            let type = type(of: importer)
            hash.update("\(type.name) \(type.version) as \(importer.dataset)")
            for (name, value) in importer.settings.sorted(by: { $0.key < $1.key }) {
                hash.update(name)
                hash.update(value)
            }
            for file in try importer.sourceFiles().sorted(by: { $0.path < $1.path }) {
                var status = stat()
                guard stat(file.url.path, &status) == 0 else {
                    let error = DataError.fileSystem("cannot be read", path: file.url.path, errorNumber: errno)
                    throw ImportError(error, importer: type.name)
                }
                hash.update(file.path)
                hash.update("\(status.st_size) \(status.modificationTime)")
            }
        }
        return hash.hexDigest()
    }

    /// Prepares the data, or uses what is there.
    ///
    /// - Parameters:
    ///   - destination: The folder to make. One that holds other prepared data is replaced; a folder with anything else
    ///     in it is refused.
    ///   - progress: Is told how far the work has come, on the calling thread.
    /// - Returns: The data, and whether they were there already.
    /// - Throws: ``ImportError`` that names the file and field. Nothing half-written is left.
    public func prepare(
        into destination: URL,
        progress: (PreparationProgress) -> Void = { _ in }
    ) throws(ImportError) -> Outcome {
        let key = try key()
        let target = PreparationTarget(destination)
        if let data = try target.reusable(key: key) {
            try refuseFaults(of: zip(importers, data.manifest.sources.map(\.report)))
            return Outcome(data: data, wasReused: true)
        }
        var sources: [ImportedSource] = []
        for importer in importers {
            progress(PreparationProgress(stage: .importing, done: sources.count, total: importers.count))
            sources.append(try read(importer))
        }
        progress(PreparationProgress(stage: .importing, done: sources.count, total: importers.count))
        guard sources.contains(where: { !$0.result.samples.isEmpty }) else {
            throw ImportError(.invalid, "no sample could be imported: \(Self.summary(of: sources))")
        }
        do throws(DataError) {
            let folder = try target.makeTemporaryFolder()
            do throws(DataError) {
                try writePictures(of: &sources, into: folder, progress: progress)
                do throws(ImportError) {
                    try refuseFaults(of: sources.map { ($0.importer, $0.report) })
                } catch {
                    throw DataError(error.cause.kind, error.description)
                }
                try PreparedData.write(
                    samples: sources.flatMap(\.result.samples),
                    annotations: sources.flatMap(\.result.annotations),
                    sources: sources.map(\.manifestEntry),
                    key: key,
                    imageSize: imageSize,
                    to: folder
                )
                try target.take(folder)
            } catch {
                try? FileManager.default.removeItem(at: folder)
                throw error
            }
            return Outcome(data: try PreparedData.open(at: destination), wasReused: false)
        } catch {
            throw ImportError(error)
        }
    }

    // MARK: - Importing

    fileprivate struct ImportedSource {
        let importer: any DatasetImporter
        var result: ImportedDataset
        var report: ImportReport

        var manifestEntry: PreparedData.Manifest.Source {
            PreparedData.Manifest.Source(
                dataset: importer.dataset,
                importer: type(of: importer).name,
                importerVersion: type(of: importer).version,
                report: report
            )
        }
    }

    private func read(_ importer: any DatasetImporter) throws(ImportError) -> ImportedSource {
        var report = ImportReport()
        let result = try importer.checkedImport(faults: faults, report: &report)
        return ImportedSource(importer: importer, result: result, report: report)
    }

    private func refuseFaults(
        of reports: some Sequence<(any DatasetImporter, ImportReport)>
    ) throws(ImportError) {
        for (importer, report) in reports { try importer.refuseFaults(of: report, faults) }
    }

    private static func summary(of sources: [ImportedSource]) -> String {
        sources.map { source in
            let skipped = source.report.tallies.sorted { $0.key < $1.key }.flatMap { kind, tally in
                tally.skipped.sorted { $0.key < $1.key }.map { "\($0.value) \(kind) skipped, \($0.key)" }
            }
            let list = skipped.isEmpty ? "nothing found" : skipped.joined(separator: "; ")
            return "\(source.importer.dataset): \(list)"
        }
        .joined(separator: ". ")
    }

    // MARK: - Pictures

    private enum Picture: Sendable {
        case pixels([UInt8])
        case unusable(reason: String)
    }

    private struct Job: Sendable {
        let source: Int
        let reference: ImageReference
    }

    /// Decodes and writes every picture; what needs a picture that cannot be used is taken out and counted.
    private func writePictures(
        of sources: inout [ImportedSource],
        into folder: URL,
        progress: (PreparationProgress) -> Void
    ) throws(DataError) {
        var jobs: [Job] = []
        for (index, source) in sources.enumerated() {
            var known: Set<ImageReference> = []
            let references = source.result.annotations.map(\.image) + source.result.samples.compactMap(\.image)
            for reference in references where known.insert(reference).inserted {
                jobs.append(Job(source: index, reference: reference))
            }
        }
        var writer = ImageShardWriter(folder: folder, size: imageSize)
        let importers = sources.map(\.importer)
        var failures: [[String: String]] = sources.map { _ in [:] }
        progress(PreparationProgress(stage: .pictures, done: 0, total: jobs.count))
        let chunkSize = 16 * threadCount
        for start in stride(from: 0, to: jobs.count, by: chunkSize) {
            let chunk = jobs[start..<min(start + chunkSize, jobs.count)]
            for (job, picture) in zip(chunk, pictures(for: Array(chunk), importers: importers)) {
                switch picture {
                case .pixels(let pixels):
                    let dataset = importers[job.source].dataset
                    try writer.append(pixels, dataset: dataset, path: job.reference.path)
                case .unusable(let reason):
                    failures[job.source][job.reference.path] = reason
                }
            }
            progress(PreparationProgress(stage: .pictures, done: chunk.endIndex, total: jobs.count))
        }
        try writer.finish()
        for index in sources.indices { sources[index].leaveOut(failures[index]) }
    }

    /// Decodes and resizes some pictures on ``threadCount`` threads, in the order of the jobs.
    private func pictures(for jobs: [Job], importers: [any DatasetImporter]) -> [Picture] {
        let results = Mutex<[Picture?]>(Array(repeating: nil, count: jobs.count))
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(threadCount, jobs.count)) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < jobs.count else { return }
                let picture = picture(jobs[index].reference, importer: importers[jobs[index].source])
                results.withLock { $0[index] = picture }
            }
        }
        return results.withLock { $0 }.map { $0 ?? .unusable(reason: "not decoded") }
    }

    private func picture(_ reference: ImageReference, importer: any DatasetImporter) -> Picture {
        do throws(ImagingError) {
            let picture = try importer.picture(reference)
            guard picture.width == reference.width, picture.height == reference.height else {
                return .unusable(reason: "the decoded image has another size than its header")
            }
            return .pixels(PillowResizer.resize(picture, width: imageSize, height: imageSize).pixels)
        } catch {
            return .unusable(reason: error.importReason)
        }
    }
}

extension DatasetPreparation.ImportedSource {
    /// Takes out what needs the pictures of some paths.
    fileprivate mutating func leaveOut(_ reasons: [String: String]) {
        guard !reasons.isEmpty else { return }
        for (path, reason) in reasons.sorted(by: { $0.key < $1.key }) {
            if report.tallies["image"] != nil {
                report.withdrawn("image", because: reason, item: path)
            }
        }
        for sample in result.samples {
            guard let path = sample.image?.path, let reason = reasons[path] else { continue }
            report.withdrawn(ImportReport.kind(of: sample), because: reason, item: sample.id)
        }
        result.samples.removeAll { sample in sample.image.map { reasons[$0.path] != nil } ?? false }
        result.annotations.removeAll { reasons[$0.image.path] != nil }
    }
}

/// The folder that a preparation makes, and the one beside it in which it is made.
private struct PreparationTarget {
    let destination: URL
    private let parent: URL
    private let prefix: String

    init(_ destination: URL) {
        self.destination = destination.standardizedFileURL
        parent = self.destination.deletingLastPathComponent()
        prefix = ".\(self.destination.lastPathComponent).partial-"
    }

    /// The data that are there, when they have the key and can be opened.
    func reusable(key: String) throws(ImportError) -> PreparedData? {
        guard FileManager.default.fileExists(atPath: destination.path) else { return nil }
        let manifest: PreparedData.Manifest
        do throws(DataError) {
            manifest = try PreparedData.manifest(at: destination)
        } catch {
            try checkReplaceable()
            return nil
        }
        guard manifest.key == key else { return nil }
        // Damaged data with the right key are made again.
        return try? PreparedData.open(at: destination)
    }

    private func checkReplaceable() throws(ImportError) {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: destination.path)
        } catch {
            throw ImportError(.invalid, "expected a folder to write into, found a file", file: destination.path)
        }
        guard names.isEmpty || names.contains(PreparedData.manifestName) else {
            throw ImportError(
                .invalid,
                "the folder holds something else than prepared data and is not overwritten",
                file: destination.path
            )
        }
    }

    /// Makes the folder beside the destination, after removing those of processes that have ended.
    func makeTemporaryFolder() throws(DataError) -> URL {
        let manager = FileManager.default
        do {
            try manager.createDirectory(at: parent, withIntermediateDirectories: true)
        } catch {
            throw DataError(.fileSystem, "cannot be made: \(error.localizedDescription)", file: parent.path)
        }
        for name in (try? manager.contentsOfDirectory(atPath: parent.path)) ?? [] where name.hasPrefix(prefix) {
            let digits = name.dropFirst(prefix.count).prefix { $0.isNumber }
            guard let process = Int32(digits), process != getpid() else { continue }
            if kill(process, 0) != 0, errno == ESRCH {
                try? manager.removeItem(at: parent.appendingPathComponent(name))
            }
        }
        let folder = parent.appendingPathComponent("\(prefix)\(getpid())")
        try? manager.removeItem(at: folder)
        guard mkdir(folder.path, 0o755) == 0 else {
            throw DataError.fileSystem("cannot be made", path: folder.path, errorNumber: errno)
        }
        return folder
    }

    /// Gives a finished folder the destination's name, in place of what is there.
    func take(_ folder: URL) throws(DataError) {
        let old = parent.appendingPathComponent("\(prefix)\(getpid())-replaced")
        let replaces = FileManager.default.fileExists(atPath: destination.path)
        if replaces { try move(destination, to: old) }
        do throws(DataError) {
            try move(folder, to: destination)
        } catch {
            if replaces { try? move(old, to: destination) }
            throw error
        }
        try AtomicFile.synchronizeFolder(parent.path)
        if replaces { try? FileManager.default.removeItem(at: old) }
    }

    private func move(_ source: URL, to target: URL) throws(DataError) {
        guard rename(source.path, target.path) == 0 else {
            throw DataError.fileSystem("cannot be given its name", path: target.path, errorNumber: errno)
        }
    }
}

extension stat {
    /// The time of the last change of the contents, in nanoseconds since 1970.
    fileprivate var modificationTime: Int {
        #if os(Linux)
            st_mtim.tv_sec * 1_000_000_000 + st_mtim.tv_nsec
        #else
            st_mtimespec.tv_sec * 1_000_000_000 + st_mtimespec.tv_nsec
        #endif
    }
}
