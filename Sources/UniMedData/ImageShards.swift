public import Foundation

/// Decoded and resized pictures in a few large files that are mapped into memory.
///
/// A folder holds `images.json` (the index) and `images-00000.bin`, `images-00001.bin`, … Each picture takes
/// `size * size * 3` bytes: 8-bit RGB, rows from the top, no header, no padding. Equal pictures are stored once.
/// Reading is a memory access; no image library is needed.
public final class ImageShards: Sendable {
    /// The width and height of every picture, in pixels.
    public let size: Int
    /// The number of different pictures.
    public let count: Int
    private let shards: [MappedFile]
    private let picturesPerShard: Int
    private let index: Index
    private let positions: [Key: Int]
    private let folder: URL

    package static let indexName = "images.json"

    struct Key: Hashable, Sendable {
        let dataset: String
        let path: String
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
        var version = 1
        let size: Int
        let picturesPerShard: Int
        let shards: [Shard]
        let images: [Entry]
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
        guard index.version == 1 else { throw fault("expected 1, found \(index.version)", "version") }
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
        var positions: [Key: Int] = [:]
        positions.reserveCapacity(index.images.count)
        for (number, entry) in index.images.enumerated() {
            guard (0..<count).contains(entry.index) else {
                throw fault("\(entry.index) is outside the \(count) pictures", "images[\(number)].index")
            }
            let key = Key(dataset: entry.dataset, path: entry.path)
            guard positions.updateValue(entry.index, forKey: key) == nil else {
                throw fault("\(entry.dataset)/\(entry.path) is listed twice", "images[\(number)]")
            }
        }
        self.folder = folder
        self.index = index
        self.shards = shards
        self.count = count
        self.positions = positions
        size = index.size
        picturesPerShard = index.picturesPerShard
    }

    /// The number of bytes of one picture: `size * size * 3`.
    public var pictureByteCount: Int { size * size * 3 }

    /// The number of image files that the pictures were made from; equal pictures are stored once.
    public var fileCount: Int { index.images.count }

    /// The position of an image file's picture; `nil` when there is none.
    ///
    /// - Parameters:
    ///   - dataset: The data set's name.
    ///   - path: The file's path relative to the root of its data set, as in ``ImageReference``.
    /// - Returns: An index for ``pixels(at:)``.
    public func position(dataset: String, path: String) -> Int? {
        positions[Key(dataset: dataset, path: path)]
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
    }

    /// Every image file with its picture's position, in the order in which they were written.
    package var files: [(dataset: String, path: String, position: Int)] {
        index.images.map { ($0.dataset, $0.path, $0.index) }
    }

    /// The files that share one picture, by position; only positions with more than one file.
    package var sharedPictures: [Int: [(dataset: String, path: String)]] {
        Dictionary(grouping: index.images, by: \.index)
            .filter { $0.value.count > 1 }
            .mapValues { $0.map { ($0.dataset, $0.path) } }
    }
}

/// Writes the pictures that ``ImageShards`` reads.
public struct ImageShardWriter: ~Copyable {
    /// The width and height of every picture, in pixels.
    public let size: Int
    private let folder: URL
    private let picturesPerShard: Int
    private var pending: [UInt8] = []
    private var shards: [ImageShards.Index.Shard] = []
    private var entries: [ImageShards.Index.Entry] = []
    private var positions: [String: Int] = [:]
    private var keys: Set<ImageShards.Key> = []

    /// Starts writing.
    ///
    /// - Parameters:
    ///   - folder: An existing folder.
    ///   - size: The width and height of every picture, in pixels.
    ///   - shardByteCount: The size that a file does not exceed unless one picture does; default 256 MiB.
    /// - Precondition: `size` is in `1 ... 16384`.
    public init(folder: URL, size: Int, shardByteCount: Int = 256 << 20) {
        precondition((1...16_384).contains(size), "pictures have between 1 and 16384 pixels a side")
        self.folder = folder
        self.size = size
        picturesPerShard = max(1, shardByteCount / (size * size * 3))
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
        precondition(pixels.count == size * size * 3, "a picture of \(size) x \(size) has three bytes a pixel")
        guard keys.insert(ImageShards.Key(dataset: dataset, path: path)).inserted else { return }
        let digest = SHA256.hexDigest(of: pixels)
        let position: Int
        if let known = positions[digest] {
            position = known
        } else {
            position = positions.count
            positions[digest] = position
            pending += pixels
            if pending.count == picturesPerShard * pixels.count { try writePending() }
        }
        entries.append(ImageShards.Index.Entry(dataset: dataset, path: path, index: position))
    }

    /// Writes what is left and the index.
    ///
    /// - Throws: ``DataError`` when a file cannot be written.
    public consuming func finish() throws(DataError) {
        if !pending.isEmpty { try writePending() }
        let index = ImageShards.Index(
            size: size,
            picturesPerShard: picturesPerShard,
            shards: shards,
            images: entries.sorted { ($0.dataset, $0.path) < ($1.dataset, $1.path) }
        )
        try DataFile.writeJSON(index, to: folder.appendingPathComponent(ImageShards.indexName))
    }

    private mutating func writePending() throws(DataError) {
        let file = String(format: "images-%05d.bin", shards.count)
        let count = pending.count / (size * size * 3)
        let digest = SHA256.hexDigest(of: pending)
        do {
            let bytes = pending
            try AtomicFile.write(to: folder.appendingPathComponent(file)) { writer in try writer.write(bytes) }
        } catch let error as DataError {
            throw error
        } catch {
            preconditionFailure("writing bytes throws data errors only, not \(error)")
        }
        shards.append(ImageShards.Index.Shard(file: file, count: count, sha256: digest))
        pending.removeAll(keepingCapacity: true)
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

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
}
