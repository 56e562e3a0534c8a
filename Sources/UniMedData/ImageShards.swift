public import Foundation

/// Decoded and resized pictures in a few large files that are mapped into memory.
///
/// A folder holds `images.json` (sizes and digests), `images.index` (which file has which picture) and
/// `images-00000.bin`, `images-00001.bin`, … Each picture takes `size * size * 3` bytes: 8-bit RGB, rows from the top,
/// no header, no padding. Equal pictures are stored once. Reading is a memory access; no image library is needed. All
/// but `images.json`, whose size does not depend on the number of image files, is mapped: an open folder takes the same
/// memory whatever their number. Folders of earlier versions have their paths in `images.json` and keep them in memory.
public final class ImageShards: Sendable {
    /// The width and height of every picture, in pixels.
    public let size: Int
    /// The number of different pictures.
    public let count: Int
    private let shards: [MappedFile]
    private let picturesPerShard: Int
    private let index: Index
    private let paths: PicturePathTable
    private let folder: URL

    package static let indexName = "images.json"
    package static let pathsName = "images.index"

    /// The names of an image file, which are the same when their bytes are.
    struct Key: Hashable, Sendable {
        let dataset: String
        let path: String

        static func == (first: Key, second: Key) -> Bool {
            first.dataset.utf8.elementsEqual(second.dataset.utf8) && first.path.utf8.elementsEqual(second.path.utf8)
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(PicturePathTable.standardHash(dataset, path))
        }
    }

    struct Index: Codable, Sendable {
        struct Shard: Codable, Sendable {
            let file: String
            let count: Int
            let sha256: String
        }
        struct Entry: Codable, Sendable {
            let dataset: String
            let path: String
            let index: Int
        }
        /// The file with the paths.
        struct Paths: Codable, Sendable {
            let count: Int
            let sha256: String
        }
        var version = 2
        let size: Int
        let picturesPerShard: Int
        let shards: [Shard]
        /// The paths, in version 1.
        var images: [Entry]?
        /// Where the paths are, from version 2 on.
        var paths: Paths?
    }

    /// Opens the pictures of a folder.
    ///
    /// The index and the files' sizes are checked, their digests are not: see ``verifyDigests()``.
    ///
    /// - Throws: ``DataError`` that names the file: missing, truncated, or an index that does not fit the files.
    public convenience init(opening folder: URL) throws(DataError) {
        let url = folder.appendingPathComponent(ImageShards.indexName)
        try self.init(folder: folder, index: DataFile.readJSON(Index.self, from: url))
    }

    init(folder: URL, index: Index) throws(DataError) {
        let path = folder.appendingPathComponent(ImageShards.indexName).path
        func fault(_ problem: String, _ field: String) -> DataError {
            DataError(.corrupt, problem, file: path, field: field)
        }
        guard index.version == 1 || index.version == 2 else {
            throw fault("expected 1 or 2, found \(index.version)", "version")
        }
        guard (1...16_384).contains(index.size) else { throw fault("\(index.size) is not a size in pixels", "size") }
        guard index.picturesPerShard > 0 else { throw fault("must be positive", "picturesPerShard") }
        let pictureSize = index.size * index.size * 3
        var shards: [MappedFile] = []
        var count = 0
        for (number, shard) in index.shards.enumerated() {
            let field = "shards[\(number)]"
            guard !shard.file.contains("/"), !shard.file.hasPrefix(".") else {
                throw fault("a file of the same folder is expected", field + ".file")
            }
            let isLast = number == index.shards.count - 1
            guard shard.count > 0, shard.count <= index.picturesPerShard,
                isLast || shard.count == index.picturesPerShard
            else {
                throw fault("\(shard.count) does not fit \(index.picturesPerShard) pictures a file", field + ".count")
            }
            let url = folder.appendingPathComponent(shard.file)
            shards.append(try MappedFile(url, expectedSize: shard.count * pictureSize))
            count += shard.count
        }
        if index.version == 1 {
            guard let images = index.images else { throw fault("missing", "images") }
            paths = try PicturePathTable(
                images.map { PicturePathTable.Entry(dataset: $0.dataset, path: $0.path, position: $0.index) },
                pictureCount: count,
                path: path
            )
        } else {
            guard let expected = index.paths else { throw fault("missing", "paths") }
            let url = folder.appendingPathComponent(ImageShards.pathsName)
            paths = try PicturePathTable(url, pictureCount: count)
            guard paths.count == expected.count else {
                throw fault("expected \(expected.count) image files, found \(paths.count)", "paths.count")
            }
        }
        var index = index
        index.images = nil
        self.folder = folder
        self.index = index
        self.shards = shards
        self.count = count
        size = index.size
        picturesPerShard = index.picturesPerShard
    }

    /// The number of bytes of one picture: `size * size * 3`.
    public var pictureByteCount: Int { size * size * 3 }

    /// The number of image files that the pictures were made from; equal pictures are stored once.
    public var fileCount: Int { paths.count }

    /// The position of an image file's picture; `nil` when there is none.
    ///
    /// - Parameters:
    ///   - dataset: The data set's name.
    ///   - path: The file's path relative to the root of its data set, as in ``ImageReference``.
    /// - Returns: An index for ``pixels(at:)``.
    public func position(dataset: String, path: String) -> Int? {
        paths.position(dataset: dataset, path: path)
    }

    /// The position of a sample's picture; `nil` when the sample has none or it is not here.
    public func position(of sample: Sample) -> Int? {
        sample.image.flatMap { position(dataset: sample.dataset, path: $0.path) }
    }

    /// The bytes of a picture, `[size, size, 3]`, valid while this object lives.
    ///
    /// - Precondition: `index` is in `0 ..< count`.
    public func pixels(at index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < count, "picture \(index) of \(count)")
        let (shard, position) = index.quotientAndRemainder(dividingBy: picturesPerShard)
        let start = position * pictureByteCount
        return UnsafeRawBufferPointer(rebasing: shards[shard].bytes[start..<start + pictureByteCount])
    }

    /// Calls a closure with the bytes of a picture, `[size, size, 3]`, and keeps this object alive meanwhile.
    ///
    /// - Precondition: `index` is in `0 ..< count`.
    public func withPixels<Result>(at index: Int, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result
    {
        try withExtendedLifetime(self) { try body(pixels(at: index)) }
    }

    /// Reads every file completely and compares its digest.
    ///
    /// - Throws: ``DataError`` of kind ``DataError/Kind/corrupt`` that names the first file with other bytes.
    public func verifyDigests() throws(DataError) {
        for (shard, mapped) in zip(index.shards, shards) {
            var hash = SHA256()
            hash.update(mapped.bytes)
            let digest = hash.hexDigest()
            guard digest == shard.sha256 else {
                throw DataError(
                    .corrupt,
                    "the bytes are not those that were written (SHA-256 \(digest), expected \(shard.sha256))",
                    file: folder.appendingPathComponent(shard.file).path
                )
            }
        }
        guard let expected = index.paths?.sha256 else { return }
        let url = folder.appendingPathComponent(ImageShards.pathsName)
        let digest = try DataFile.digest(of: url).sha256
        guard digest == expected else {
            throw DataError(
                .corrupt,
                "the bytes are not those that were written (SHA-256 \(digest), expected \(expected))",
                file: url.path
            )
        }
    }

    /// Every image file with its picture's position, in the order of data sets and paths, each read when it is reached.
    package var files: PicturePathTable { paths }

    /// The files that share one picture, by position; only positions with more than one file.
    package var sharedPictures: [Int: [(dataset: String, path: String)]] {
        var uses = [UInt8](repeating: 0, count: count)
        for file in paths where uses[file.position] < 2 { uses[file.position] += 1 }
        var shared: [Int: [(dataset: String, path: String)]] = [:]
        for file in paths where uses[file.position] > 1 {
            shared[file.position, default: []].append((file.dataset, file.path))
        }
        return shared
    }
}

/// Writes the pictures that ``ImageShards`` reads.
///
/// A picture is known by the SHA-256 of its bytes: one that was written before is not written again. A file is complete
/// or not there at all; beside each stands a checkpoint, from which an interrupted writer continues after the last finished
/// file. The files' bytes follow from the pictures and their order alone.
public struct ImageShardWriter: ~Copyable {
    /// What stands beside a finished file until all are finished.
    struct Checkpoint: Codable, Sendable {
        /// What is written: only a writer of the same continues.
        let key: String
        let shard: ImageShards.Index.Shard
        /// The SHA-256 of each picture in the file.
        let pictures: [String]
        /// The image files since the last finished file.
        let images: [ImageShards.Index.Entry]
        /// What the caller keeps, for example how far it was.
        let note: Data
    }

    /// The width and height of every picture, in pixels.
    public let size: Int
    private let folder: URL
    private let picturesPerShard: Int
    private let key: String?
    private var pending: [UInt8] = []
    private var pendingDigests: [String] = []
    private var shards: [ImageShards.Index.Shard] = []
    private var entries: [ImageShards.Index.Entry] = []
    private var checkpointedEntries = 0
    /// The pictures of the last file, until its checkpoint is written.
    private var finishedDigests: [String] = []
    /// The note of the last finished file of the writer that this one continues; `nil` where it starts.
    package private(set) var resumedNote: Data?
    private var positions: [String: Int] = [:]
    private var keys: Set<ImageShards.Key> = []

    /// The size that a file does not exceed unless one picture does, by default: 64 MiB.
    public static let standardShardByteCount = 64 << 20

    /// Starts writing.
    ///
    /// - Parameters:
    ///   - folder: An existing folder.
    ///   - size: The width and height of every picture, in pixels.
    ///   - shardByteCount: The size that a file does not exceed unless one picture does; also what is kept in memory.
    /// - Precondition: `size` is in `1 ... 16384`.
    public init(folder: URL, size: Int, shardByteCount: Int = standardShardByteCount) {
        self.init(folder: folder, size: size, shardByteCount: shardByteCount, key: nil)
    }

    private init(folder: URL, size: Int, shardByteCount: Int, key: String?) {
        precondition((1...16_384).contains(size), "pictures have between 1 and 16384 pixels a side")
        self.folder = folder
        self.size = size
        self.key = key
        picturesPerShard = max(1, shardByteCount / (size * size * 3))
    }

    /// Continues after the last finished file of an interrupted writer, or starts.
    ///
    /// Every finished file is read and its bytes are compared with their digests; from the first one with other bytes on
    /// everything is written again. What is not a finished file is removed.
    ///
    /// - Parameters:
    ///   - folder: An existing folder of this writer alone.
    ///   - key: What is written; the files of another key are removed.
    /// - Returns: A writer that expects ``checkpoint(note:)`` after each finished file.
    package static func resuming(
        in folder: URL,
        size: Int,
        shardByteCount: Int = standardShardByteCount,
        key: String
    ) throws(DataError) -> ImageShardWriter {
        var writer = ImageShardWriter(folder: folder, size: size, shardByteCount: shardByteCount, key: key)
        var finished: Set<String> = []
        while let checkpoint = writer.finishedShard(number: writer.shards.count) {
            finished.formUnion([checkpoint.shard.file, checkpointName(writer.shards.count)])
            writer.take(checkpoint)
        }
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            for name in names where !finished.contains(name) {
                try FileManager.default.removeItem(at: folder.appendingPathComponent(name))
            }
        } catch {
            throw DataError(.fileSystem, "cannot be cleared: \(error.localizedDescription)", file: folder.path)
        }
        return writer
    }

    /// Removes the checkpoints of a folder, which a finished one does not need.
    package static func removeCheckpoints(in folder: URL) {
        var number = 0
        while unlink(folder.appendingPathComponent(checkpointName(number)).path) == 0 { number += 1 }
    }

    private static func fileName(_ number: Int) -> String { String(format: "images-%05d.bin", number) }
    private static func checkpointName(_ number: Int) -> String { String(format: "images-%05d.json", number) }

    /// The checkpoint of a finished file whose bytes are those that were written.
    private func finishedShard(number: Int) -> Checkpoint? {
        let url = folder.appendingPathComponent(Self.checkpointName(number))
        guard let checkpoint = try? DataFile.readJSON(Checkpoint.self, from: url), checkpoint.key == key,
            checkpoint.shard.file == Self.fileName(number), checkpoint.shard.count == picturesPerShard,
            checkpoint.pictures.count == picturesPerShard,
            let file = try? MappedFile(
                folder.appendingPathComponent(checkpoint.shard.file),
                expectedSize: picturesPerShard * size * size * 3
            )
        else { return nil }
        let pictureSize = size * size * 3
        for (index, expected) in checkpoint.pictures.enumerated() {
            let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[index * pictureSize..<(index + 1) * pictureSize])
            guard SHA256.hexDigest(of: bytes) == expected else { return nil }
        }
        return checkpoint
    }

    private mutating func take(_ checkpoint: Checkpoint) {
        shards.append(checkpoint.shard)
        for digest in checkpoint.pictures { positions[digest] = positions.count }
        for entry in checkpoint.images { keys.insert(ImageShards.Key(dataset: entry.dataset, path: entry.path)) }
        entries += checkpoint.images
        checkpointedEntries = entries.count
        resumedNote = checkpoint.note
    }

    /// Adds the picture of an image file.
    ///
    /// - Parameters:
    ///   - pixels: `[size, size, 3]` bytes.
    ///   - dataset: The data set's name.
    ///   - path: The file's path relative to the root of its data set; only the first picture of a path counts.
    /// - Throws: ``DataError`` when a file cannot be written.
    /// - Precondition: `pixels` holds `size * size * 3` bytes.
    public mutating func append(_ pixels: [UInt8], dataset: String, path: String) throws(DataError) {
        _ = try append(pixels, digest: SHA256.hexDigest(of: pixels), dataset: dataset, path: path)
    }

    /// Adds the picture of an image file whose SHA-256 is known.
    ///
    /// - Returns: Whether the picture completed a file, so that it is time for ``checkpoint(note:)``.
    package mutating func append(
        _ pixels: [UInt8],
        digest: String,
        dataset: String,
        path: String
    ) throws(DataError) -> Bool {
        precondition(pixels.count == size * size * 3, "a picture of \(size) x \(size) has three bytes a pixel")
        guard keys.insert(ImageShards.Key(dataset: dataset, path: path)).inserted else { return false }
        if let known = positions[digest] {
            entries.append(ImageShards.Index.Entry(dataset: dataset, path: path, index: known))
            return false
        }
        entries.append(ImageShards.Index.Entry(dataset: dataset, path: path, index: positions.count))
        positions[digest] = positions.count
        pending += pixels
        pendingDigests.append(digest)
        guard pendingDigests.count == picturesPerShard else { return false }
        try writePending()
        return true
    }

    /// Writes what the last finished file needs so that another writer can continue after it.
    ///
    /// - Parameter note: What the caller needs to continue.
    package mutating func checkpoint(note: Data) throws(DataError) {
        guard let key, let shard = shards.last, !finishedDigests.isEmpty else { return }
        let checkpoint = Checkpoint(
            key: key,
            shard: shard,
            pictures: finishedDigests,
            images: Array(entries[checkpointedEntries...]),
            note: note
        )
        let name = Self.checkpointName(shards.count - 1)
        try DataFile.writeJSON(checkpoint, to: folder.appendingPathComponent(name))
        checkpointedEntries = entries.count
        finishedDigests = []
    }

    /// Writes what is left and the index.
    ///
    /// - Throws: ``DataError`` when a file cannot be written.
    public consuming func finish() throws(DataError) {
        if !pending.isEmpty { try writePending() }
        let table = PicturePathTable.encoded(
            entries.map { PicturePathTable.Entry(dataset: $0.dataset, path: $0.path, position: $0.index) }
        )
        try AtomicFile.write(Data(table), to: folder.appendingPathComponent(ImageShards.pathsName))
        let index = ImageShards.Index(
            size: size,
            picturesPerShard: picturesPerShard,
            shards: shards,
            paths: ImageShards.Index.Paths(count: entries.count, sha256: SHA256.hexDigest(of: table))
        )
        try DataFile.writeJSON(index, to: folder.appendingPathComponent(ImageShards.indexName))
    }

    private mutating func writePending() throws(DataError) {
        let file = Self.fileName(shards.count)
        let digest = SHA256.hexDigest(of: pending)
        do {
            let bytes = pending
            try AtomicFile.write(to: folder.appendingPathComponent(file)) { writer in try writer.write(bytes) }
        } catch let error as DataError {
            throw error
        } catch {
            preconditionFailure("writing bytes throws data errors only, not \(error)")
        }
        shards.append(ImageShards.Index.Shard(file: file, count: pendingDigests.count, sha256: digest))
        finishedDigests = pendingDigests
        pending.removeAll(keepingCapacity: true)
        pendingDigests.removeAll(keepingCapacity: true)
    }
}

/// A file mapped into memory for reading.
///
/// Sendable unchecked because the mapping is read-only and ends with the object.
final class MappedFile: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(_ url: URL, expectedSize: Int) throws(DataError) {
        let path = url.path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { throw DataError(.missing, "no such file", file: path) }
            throw DataError.fileSystem("cannot be read", path: path, errorNumber: errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw DataError.fileSystem("cannot be read", path: path, errorNumber: errno)
        }
        guard Int(status.st_size) == expectedSize else {
            throw DataError(.corrupt, "expected \(expectedSize) bytes, found \(status.st_size)", file: path)
        }
        guard let address = mmap(nil, expectedSize, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw DataError.fileSystem("cannot be mapped into memory", path: path, errorNumber: errno)
        }
        bytes = UnsafeRawBufferPointer(start: address, count: expectedSize)
    }

    /// Maps a whole file; `nil` for an empty one, which cannot be mapped.
    static func whole(_ url: URL) throws(DataError) -> MappedFile? {
        var status = stat()
        guard stat(url.path, &status) == 0 else {
            if errno == ENOENT { throw DataError(.missing, "no such file", file: url.path) }
            throw DataError.fileSystem("cannot be read", path: url.path, errorNumber: errno)
        }
        return status.st_size == 0 ? nil : try MappedFile(url, expectedSize: Int(status.st_size))
    }

    /// Gives the pages that were read back to the system; they are read again when they are needed.
    func release() { _ = madvise(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, MADV_DONTNEED) }

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
}
