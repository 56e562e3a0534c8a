package import Foundation

/// Which picture each image file has: a file that is mapped into memory and searched where it lies.
///
/// An open table keeps nothing on the heap, whatever the number of image files; on the disk each of them takes 32 bytes
/// and its names. All numbers have the least byte first:
///
/// | what | bytes |
/// | --- | --- |
/// | `UMPATHS1` | 8 |
/// | the number of image files | 8 |
/// | for each, ascending by hash: the hash of its names, and where its record begins | 8 + 8 |
/// | for each, ascending by names: position, lengths of data set and path, data set, path | 8 + 4 + 4 + names |
///
/// Names of one hash stand in the order of their records and are told apart by comparing them.
///
/// Sendable unchecked because the bytes are never written and end with the object.
package final class PicturePathTable: @unchecked Sendable {
    /// An image file and the position of its picture.
    package struct Entry: Sendable, Equatable {
        package let dataset: String
        package let path: String
        package let position: Int

        package init(dataset: String, path: String, position: Int) {
            self.dataset = dataset
            self.path = path
            self.position = position
        }
    }

    /// A hash of names that is the same on every machine and in every run.
    package typealias Hash = @Sendable (_ dataset: String, _ path: String) -> UInt64

    /// The number of image files.
    package let count: Int
    private let bytes: UnsafeRawBufferPointer
    /// The mapped file; `nil` where the bytes were made in memory, and belong to this object.
    private let file: MappedFile?
    private let hash: Hash

    private static let magic = Array("UMPATHS1".utf8)
    private static let headerSize = 16
    private static let slotSize = 16
    private static let recordHeaderSize = 16

    /// Maps a table and checks it: every name is found where it stands, and every position is that of a picture.
    ///
    /// - Throws: ``DataError`` with the file's path.
    package convenience init(
        _ url: URL,
        pictureCount: Int,
        hash: @escaping Hash = PicturePathTable.standardHash
    ) throws(DataError) {
        guard let file = try MappedFile.whole(url) else {
            throw DataError(.corrupt, "the file is empty", file: url.path)
        }
        try self.init(bytes: file.bytes, file: file, hash: hash, pictureCount: pictureCount, path: url.path)
        file.release()
    }

    /// A table in memory, for folders of earlier versions.
    ///
    /// - Throws: ``DataError`` with the path of the index that lists the entries.
    init(_ entries: [Entry], pictureCount: Int, path: String) throws(DataError) {
        if let wrong = entries.first(where: { !(0..<pictureCount).contains($0.position) }) {
            throw DataError(.corrupt, "there are \(pictureCount) pictures, none at \(wrong.position)", file: path)
        }
        let made = Self.encoded(entries, hash: Self.standardHash)
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: made.count, alignment: 16)
        copy.copyBytes(from: made)
        bytes = UnsafeRawBufferPointer(copy)
        file = nil
        count = entries.count
        hash = Self.standardHash
        try check(pictureCount: pictureCount, path: path)
    }

    private init(
        bytes: UnsafeRawBufferPointer,
        file: MappedFile,
        hash: @escaping Hash,
        pictureCount: Int,
        path: String
    ) throws(DataError) {
        self.bytes = bytes
        self.file = file
        self.hash = hash
        guard bytes.count >= Self.headerSize, bytes.prefix(Self.magic.count).elementsEqual(Self.magic) else {
            throw DataError(.corrupt, "it does not begin as a table of paths", file: path)
        }
        let claimed = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        let smallest = UInt64(Self.slotSize + Self.recordHeaderSize)
        guard claimed <= UInt64(bytes.count - Self.headerSize) / smallest else {
            throw DataError(.corrupt, "\(claimed) entries do not fit into \(bytes.count) bytes", file: path)
        }
        count = Int(claimed)
        try check(pictureCount: pictureCount, path: path)
    }

    deinit { if file == nil { bytes.deallocate() } }

    /// The position of an image file's picture; `nil` when there is none.
    package func position(dataset: String, path: String) -> Int? {
        withExtendedLifetime(self) { record(dataset: dataset, path: path).map { number(at: $0) } }
    }

    /// The bytes of a table.
    ///
    /// - Parameters:
    ///   - entries: Image files, each once.
    ///   - hash: Tells where they stand; who reads them needs the same.
    package static func encoded(_ entries: [Entry], hash: Hash = standardHash) -> [UInt8] {
        let sorted = entries.sorted { first, second in
            if first.dataset != second.dataset {
                return first.dataset.utf8.lexicographicallyPrecedes(second.dataset.utf8)
            }
            return first.path.utf8.lexicographicallyPrecedes(second.path.utf8)
        }
        var records: [UInt8] = []
        var slots: [(hash: UInt64, place: Int)] = []
        slots.reserveCapacity(sorted.count)
        let start = headerSize + sorted.count * slotSize
        for entry in sorted {
            slots.append((hash(entry.dataset, entry.path), start + records.count))
            records += littleEndian(UInt64(entry.position))
            records += littleEndian(UInt32(entry.dataset.utf8.count))
            records += littleEndian(UInt32(entry.path.utf8.count))
            records += entry.dataset.utf8
            records += entry.path.utf8
        }
        slots.sort { ($0.hash, $0.place) < ($1.hash, $1.place) }
        var result = magic + littleEndian(UInt64(sorted.count))
        result.reserveCapacity(start + records.count)
        for slot in slots { result += littleEndian(slot.hash) + littleEndian(UInt64(slot.place)) }
        return result + records
    }

    /// FNV-1a of 64 bits over the data set's name, a zero byte and the path.
    package static let standardHash: Hash = { dataset, path in
        var state: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
        for byte in dataset.utf8 { add(byte) }
        add(0)
        for byte in path.utf8 { add(byte) }
        return state
    }

    private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian, Array.init)
    }

    // MARK: - Reading

    private func check(pictureCount: Int, path: String) throws(DataError) {
        var place = Self.headerSize + count * Self.slotSize
        for number in 0..<count {
            guard let record = record(at: place) else {
                throw DataError(.corrupt, "image file \(number) is not inside the table", file: path)
            }
            guard (0..<pictureCount).contains(self.number(at: place)) else {
                let problem = "\(self.number(at: place)) is outside the \(pictureCount) pictures"
                throw DataError(.corrupt, problem, file: path, field: "images[\(number)].index")
            }
            guard let dataset = String(validating: record.dataset, as: UTF8.self),
                let name = String(validating: record.path, as: UTF8.self)
            else { throw DataError(.corrupt, "the names of image file \(number) are not UTF-8 text", file: path) }
            guard let found = self.record(dataset: dataset, path: name), found == place else {
                throw DataError(
                    .corrupt,
                    "\(dataset)/\(name) is listed twice or cannot be found",
                    file: path,
                    field: "images[\(number)]"
                )
            }
            place = record.end
        }
        guard place == bytes.count else {
            throw DataError(.corrupt, "\(bytes.count - place) bytes follow the last image file", file: path)
        }
    }

    /// Where the record of names begins.
    private func record(dataset: String, path: String) -> Int? {
        let wanted = hash(dataset, path)
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if slot(middle).hash < wanted { low = middle + 1 } else { high = middle }
        }
        while low < count, slot(low).hash == wanted {
            let place = Int(clamping: slot(low).place)
            if let record = record(at: place), record.dataset.elementsEqual(dataset.utf8),
                record.path.elementsEqual(path.utf8)
            {
                return place
            }
            low += 1
        }
        return nil
    }

    private func slot(_ index: Int) -> (hash: UInt64, place: UInt64) {
        let offset = Self.headerSize + index * Self.slotSize
        return (
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
        )
    }

    /// The names of a record and where it ends; `nil` when it is not inside the table.
    private func record(
        at place: Int
    ) -> (dataset: Slice<UnsafeRawBufferPointer>, path: Slice<UnsafeRawBufferPointer>, end: Int)? {
        let first = Self.headerSize + count * Self.slotSize
        guard place >= first, place <= bytes.count - Self.recordHeaderSize else { return nil }
        func length(_ offset: Int) -> Int {
            Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place + offset, as: UInt32.self)))
        }
        let names = place + Self.recordHeaderSize
        let (datasetLength, pathLength) = (length(8), length(12))
        guard datasetLength + pathLength <= bytes.count - names else { return nil }
        let middle = names + datasetLength
        return (bytes[names..<middle], bytes[middle..<middle + pathLength], middle + pathLength)
    }

    /// The position that a record holds.
    private func number(at place: Int) -> Int {
        Int(clamping: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)))
    }
}

extension PicturePathTable: Sequence {
    /// Reads the entries one after the other, in the order of data sets and paths.
    package struct Iterator: IteratorProtocol {
        fileprivate let table: PicturePathTable
        fileprivate var place: Int

        package mutating func next() -> Entry? {
            guard let record = table.record(at: place) else { return nil }
            defer { place = record.end }
            return Entry(
                dataset: String(decoding: record.dataset, as: UTF8.self),
                path: String(decoding: record.path, as: UTF8.self),
                position: table.number(at: place)
            )
        }
    }

    package func makeIterator() -> Iterator { Iterator(table: self, place: Self.headerSize + count * Self.slotSize) }

    package var underestimatedCount: Int { count }
}
