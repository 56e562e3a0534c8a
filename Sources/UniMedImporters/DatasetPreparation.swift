public import Foundation
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
///
/// An interrupted preparation, also one that was killed, continues: the files of pictures that are finished, whose bytes
/// are those that were written, are kept. The result is the same, byte for byte, whatever the number of threads and of
/// interruptions. Two processes that prepare the same data do not meet: the second waits, and uses what the first made.
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
    /// The size of a file of pictures, after each of which an interrupted preparation can continue.
    private let shardByteCount: Int
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
        try self.init(
            importers: importers,
            imageSize: imageSize,
            threadCount: threadCount,
            shardByteCount: ImageShardWriter.standardShardByteCount,
            faults: faults
        )
    }

    /// Describes a preparation whose files of pictures have another size.
    package init(
        importers: [any DatasetImporter],
        imageSize: Int,
        threadCount: Int,
        shardByteCount: Int,
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
        self.shardByteCount = shardByteCount
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
    ///   - isCancelled: Asked between data sets and between pictures, on the calling thread.
    /// - Returns: The data, and whether they were there already.
    /// - Throws: ``ImportError`` that names the file and field; its cause's kind is `cancelled` when the caller asked to stop.
    ///   The destination is untouched; finished files of pictures are left beside it, and the next call begins with them.
    public func prepare(
        into destination: URL,
        progress: (PreparationProgress) -> Void = { _ in },
        isCancelled: () -> Bool = { false }
    ) throws(ImportError) -> Outcome {
        let key = try key()
        let target = PreparationTarget(destination, key: key)
        if let data = try target.reusable() {
            try refuseFaults(of: zip(importers, data.manifest.sources.map(\.report)))
            return Outcome(data: data, wasReused: true)
        }
        var sources: [ImportedSource] = []
        for importer in importers {
            try Self.check(isCancelled)
            progress(PreparationProgress(stage: .importing, done: sources.count, total: importers.count))
            sources.append(try read(importer))
        }
        progress(PreparationProgress(stage: .importing, done: sources.count, total: importers.count))
        guard sources.contains(where: { !$0.result.samples.isEmpty }) else {
            throw ImportError(.invalid, "no sample could be imported: \(Self.summary(of: sources))")
        }
        do throws(DataError) {
            let folder = try target.openFolder(isCancelled: isCancelled)
            // Another process may have made the data in the meantime.
            if let data = try target.finishedMeanwhile(folder) { return Outcome(data: data, wasReused: true) }
            do throws(DataError) {
                try writePictures(
                    of: &sources,
                    into: folder.url,
                    key: key,
                    isCancelled: isCancelled,
                    progress: progress
                )
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
                    to: folder.url
                )
                ImageShardWriter.removeCheckpoints(in: folder.url)
                try target.take(folder.url)
            } catch {
                target.removeUnlessWorth(folder.url)
                throw error
            }
            return Outcome(data: try PreparedData.open(at: destination), wasReused: false)
        } catch {
            throw ImportError(error)
        }
    }

    private static func check(_ isCancelled: () -> Bool) throws(ImportError) {
        if isCancelled() { throw ImportError(.cancelled, "the preparation of data was asked to stop") }
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
        case pixels([UInt8], digest: String)
        case unusable(reason: String)
    }

    /// What is kept beside a finished file of pictures.
    private struct Note: Codable {
        /// The jobs that are done.
        let jobs: Int
        /// Why pictures cannot be used: for each source by path.
        let failures: [[String: String]]
    }

    private struct Job: Sendable {
        let source: Int
        let reference: ImageReference
    }

    /// Decodes and writes every picture; what needs a picture that cannot be used is taken out and counted.
    private func writePictures(
        of sources: inout [ImportedSource],
        into folder: URL,
        key: String,
        isCancelled: () -> Bool,
        progress: (PreparationProgress) -> Void
    ) throws(DataError) {
        var jobs: [Job] = []
        for (index, source) in sources.enumerated() {
            var known: Set<ImageReference> = []
            let references = source.result.annotations.map(\.image) + source.result.samples.compactMap(\.image)
            // A slice may also have an annotation of its own.
            for reference in references.flatMap(\.pictures) where known.insert(reference).inserted {
                jobs.append(Job(source: index, reference: reference))
            }
        }
        let importers = sources.map(\.importer)
        var failures: [[String: String]] = sources.map { _ in [:] }
        var writer = try ImageShardWriter.resuming(
            in: folder,
            size: imageSize,
            shardByteCount: shardByteCount,
            key: Self.key(of: jobs, dataKey: key)
        )
        var start = 0
        if let note = writer.resumedNote {
            let kept = try Self.note(note, of: folder)
            (start, failures) = (kept.jobs, kept.failures)
        }
        progress(PreparationProgress(stage: .pictures, done: start, total: jobs.count))
        try OrderedWork.run(
            start..<jobs.count,
            threadCount: threadCount,
            window: 8 * threadCount,
            run: { [jobs] index in picture(jobs[index].reference, importer: importers[jobs[index].source]) },
            take: { (index, picture) throws(DataError) in
                if isCancelled() { throw DataError(.cancelled, "the preparation of data was asked to stop") }
                let job = jobs[index]
                switch picture {
                case .pixels(let pixels, let digest):
                    let isFileFinished = try writer.append(
                        pixels,
                        digest: digest,
                        dataset: importers[job.source].dataset,
                        path: job.reference.path
                    )
                    if isFileFinished {
                        try writer.checkpoint(note: Self.data(Note(jobs: index + 1, failures: failures)))
                    }
                case .unusable(let reason):
                    failures[job.source][job.reference.path] = reason
                }
                progress(PreparationProgress(stage: .pictures, done: index + 1, total: jobs.count))
            }
        )
        try writer.finish()
        for index in sources.indices { sources[index].leaveOut(failures[index]) }
    }

    /// What the pictures depend on, with their order.
    private static func key(of jobs: [Job], dataKey: String) -> String {
        var hash = SHA256()
        hash.update(dataKey)
        for job in jobs { hash.update("\(job.source) \(job.reference.path)") }
        return hash.hexDigest()
    }

    private static func data(_ note: Note) throws(DataError) -> Data {
        do {
            return try DataFile.encoder.encode(note)
        } catch {
            throw DataError(.invalid, "cannot be written as JSON: \(error)")
        }
    }

    private static func note(_ data: Data, of folder: URL) throws(DataError) -> Note {
        do {
            return try JSONDecoder().decode(Note.self, from: data)
        } catch {
            throw DataError.decoding(error, file: folder.path)
        }
    }

    private func picture(_ reference: ImageReference, importer: any DatasetImporter) -> Picture {
        do throws(ImagingError) {
            let picture = try importer.picture(reference)
            guard picture.width == reference.width, picture.height == reference.height else {
                return .unusable(reason: "the decoded image has another size than its header")
            }
            let pixels = PillowResizer.resize(picture, width: imageSize, height: imageSize).pixels
            return .pixels(pixels, digest: SHA256.hexDigest(of: pixels))
        } catch {
            return .unusable(reason: error.importReason)
        }
    }
}

extension DatasetPreparation.ImportedSource {
    /// Takes out what needs the pictures of some paths.
    fileprivate mutating func leaveOut(_ failures: [String: String]) {
        guard !failures.isEmpty else { return }
        let images = result.annotations.map(\.image) + result.samples.compactMap(\.image)
        let volumes = Set(images.filter { $0.volume != nil }.map(\.path))
        /// The volume of a slice, without which the volume is not used; anything else itself.
        func owner(_ path: String) -> String {
            guard let (volume, _) = ImageReference.sliceParts(ofPath: path), volumes.contains(volume) else {
                return path
            }
            return volume
        }
        var reasons: [String: String] = [:]
        for (path, reason) in failures.sorted(by: { $0.key < $1.key }) where reasons[owner(path)] == nil {
            reasons[owner(path)] = reason
        }
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
        result.annotations.removeAll { reasons[owner($0.image.path)] != nil }
    }
}

/// The folder that a preparation makes, and the one beside it in which it is made.
///
/// The folder in making is named after the key, so that the next process finds it, and is locked by the one that works in
/// it: the lock ends with the process, however it ends.
private struct PreparationTarget {
    /// A folder in making, locked as long as this lives.
    final class Folder {
        let url: URL
        private let descriptor: Int32

        init(_ url: URL, descriptor: Int32) {
            self.url = url
            self.descriptor = descriptor
        }

        deinit { close(descriptor) }
    }

    let destination: URL
    private let key: String
    private let parent: URL
    private let prefix: String

    init(_ destination: URL, key: String) {
        self.destination = destination.standardizedFileURL
        self.key = key
        parent = self.destination.deletingLastPathComponent()
        prefix = ".\(self.destination.lastPathComponent).partial-"
    }

    /// The data that are there, when they have the key and can be opened.
    func reusable() throws(ImportError) -> PreparedData? {
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

    /// The data that another process made while this one waited, or left finished and without their name.
    func finishedMeanwhile(_ folder: Folder) throws(DataError) -> PreparedData? {
        if let data = try? reusable() {
            try? FileManager.default.removeItem(at: folder.url)
            return data
        }
        guard let manifest = try? PreparedData.manifest(at: folder.url), manifest.key == key,
            (try? PreparedData.open(at: folder.url)) != nil
        else { return nil }
        ImageShardWriter.removeCheckpoints(in: folder.url)
        try take(folder.url)
        return try PreparedData.open(at: destination)
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

    /// Opens the folder in making, after removing those that nobody works in and that have another key.
    ///
    /// Waits while another process works in it.
    func openFolder(isCancelled: () -> Bool) throws(DataError) -> Folder {
        let manager = FileManager.default
        do {
            try manager.createDirectory(at: parent, withIntermediateDirectories: true)
        } catch {
            throw DataError(.fileSystem, "cannot be made: \(error.localizedDescription)", file: parent.path)
        }
        let url = parent.appendingPathComponent(prefix + key.prefix(16))
        removeAbandoned(but: url.lastPathComponent)
        while true {
            guard mkdir(url.path, 0o755) == 0 || errno == EEXIST else {
                throw DataError.fileSystem("cannot be made", path: url.path, errorNumber: errno)
            }
            let descriptor = open(url.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            if descriptor < 0, errno == ENOENT { continue }
            guard descriptor >= 0 else {
                throw DataError.fileSystem("cannot be opened", path: url.path, errorNumber: errno)
            }
            let folder = Folder(url, descriptor: descriptor)
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                guard errno == EWOULDBLOCK || errno == EINTR else {
                    throw DataError.fileSystem("cannot be locked", path: url.path, errorNumber: errno)
                }
                if isCancelled() { throw DataError(.cancelled, "the preparation of data was asked to stop") }
                usleep(50_000)
            }
            // The process before may have given the folder its name, so that this lock is one on something else.
            var (locked, named) = (stat(), stat())
            if fstat(descriptor, &locked) == 0, stat(url.path, &named) == 0, locked.st_ino == named.st_ino {
                return folder
            }
        }
    }

    private func removeAbandoned(but name: String) {
        let manager = FileManager.default
        for other in (try? manager.contentsOfDirectory(atPath: parent.path)) ?? []
        where other.hasPrefix(prefix) && other != name {
            if other.hasSuffix(Self.replaced) {
                let digits = other.dropFirst(prefix.count).prefix { $0.isNumber }
                guard let process = Int32(digits), process != getpid(), kill(process, 0) != 0, errno == ESRCH else {
                    continue
                }
            }
            let url = parent.appendingPathComponent(other)
            let descriptor = open(url.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { try? manager.removeItem(at: url) }
            close(descriptor)
        }
    }

    private static let replaced = "-replaced"

    /// Removes the folder in making unless the next call can continue from it.
    func removeUnlessWorth(_ folder: URL) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        if !names.contains(where: { $0.hasSuffix(".bin") }) { try? FileManager.default.removeItem(at: folder) }
    }

    /// Gives a finished folder the destination's name, in place of what is there.
    func take(_ folder: URL) throws(DataError) {
        let old = parent.appendingPathComponent("\(prefix)\(getpid())\(Self.replaced)")
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
