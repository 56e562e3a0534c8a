import Foundation

/// The records of a file with one JSON object a line, each read when it is asked for.
///
/// The file and its index are mapped into memory: what is not used takes none, whatever the number of records. An index has
/// 16 bytes for each record: where its line begins and ends, and a small number that is known without reading it.
///
/// Reading a record takes some ten microseconds. Who needs one again and again keeps it.
public struct RecordList<Record: Decodable & Sendable>: RandomAccessCollection, Sendable {
    private let storage: RecordStorage
    /// The records that are in the list; `nil` is all of the file.
    private let selection: [Int32]?

    init(_ storage: RecordStorage) {
        self.storage = storage
        selection = nil
    }

    private init(_ storage: RecordStorage, selection: [Int32]) {
        self.storage = storage
        self.selection = selection
    }

    /// The first position: 0.
    public var startIndex: Int { 0 }
    /// The number of records.
    public var endIndex: Int { selection?.count ?? storage.count }

    /// Reads a record.
    ///
    /// - Precondition: The position is in `0 ..< count`.
    public subscript(position: Int) -> Record {
        // Nothing is lost in between: the bytes' digest was checked when they were opened, and every line was written from a
        // record, or read once.
        do {
            return try JSONDecoder().decode(Record.self, from: line(at: position))
        } catch {
            preconditionFailure("\(storage.path), line \(index(position) + 1): no record, although the digest is right")
        }
    }

    /// Some of the records, in the given order.
    ///
    /// - Parameter positions: Positions in this list; 4 bytes are kept for each.
    /// - Precondition: Every position is in `0 ..< count`.
    public func selecting(_ positions: some Sequence<Int>) -> RecordList {
        RecordList(storage, selection: positions.map { Int32(index($0)) })
    }

    /// The small number of a record: ``RecordTag``.
    func tag(at position: Int) -> UInt32 { storage.tag(at: index(position)) }

    private func index(_ position: Int) -> Int {
        precondition(position >= 0 && position < endIndex, "record \(position) of \(endIndex)")
        return selection.map { Int($0[position]) } ?? position
    }

    private func line(at position: Int) -> Data { storage.line(at: index(position)) }
}

extension RecordList<Sample> {
    /// The task of a sample, without reading it.
    public func task(at position: Int) -> MedicalTask { SampleTag(tag(at: position)).task }

    /// The split of a sample, without reading it.
    public func split(at position: Int) -> Split { SampleTag(tag(at: position)).split }
}

/// What is known of a record without reading it.
protocol RecordTag {
    /// The number that stands in the index.
    var recordTag: UInt32 { get }
}

extension ImageAnnotation: RecordTag {
    var recordTag: UInt32 { 0 }
}

extension Sample: RecordTag {
    var recordTag: UInt32 { SampleTag(task: task, split: split).value }
}

/// Task and split of a sample in one number.
struct SampleTag {
    let value: UInt32

    private static let tasks = MedicalTask.allCases
    private static let splits = Split.allCases

    init(_ value: UInt32) { self.value = value }

    init(task: MedicalTask, split: Split) {
        let (task, split) = (Self.tasks.firstIndex(of: task) ?? 0, Self.splits.firstIndex(of: split) ?? 0)
        value = UInt32(task * Self.splits.count + split)
    }

    var task: MedicalTask { Self.tasks[Int(value) / Self.splits.count % Self.tasks.count] }
    var split: Split { Self.splits[Int(value) % Self.splits.count] }
}

/// The mapped file of records, and where its lines are.
final class RecordStorage: Sendable {
    /// What an index has for a record, least byte first: the line's place (8 bytes), length (4) and tag (4).
    static let entrySize = 16

    let path: String
    let count: Int
    private let records: MappedFile?
    private let index: Index

    private enum Index: Sendable {
        case mapped(MappedFile?)
        case made([UInt8])
    }

    /// Maps a file with its index.
    ///
    /// - Throws: ``DataError`` when a line of the index is not in the file.
    init(_ url: URL, index: URL) throws(DataError) {
        path = url.path
        records = try MappedFile.whole(url)
        let entries = try MappedFile.whole(index)
        let size = entries?.bytes.count ?? 0
        guard size.isMultiple(of: Self.entrySize) else {
            throw DataError(.corrupt, "\(size) bytes are not entries of \(Self.entrySize) bytes", file: index.path)
        }
        count = size / Self.entrySize
        self.index = .mapped(entries)
        let length = records?.bytes.count ?? 0
        for position in 0..<count {
            let range = range(at: position)
            guard range.start <= length, range.count <= length - range.start else {
                throw DataError(.corrupt, "entry \(position) is outside the records", file: index.path)
            }
        }
        entries?.release()
    }

    /// Maps a file without an index: every record is read once.
    ///
    /// - Throws: ``DataError`` that names the line and the field.
    init<Record: Decodable & RecordTag>(_ url: URL, reading type: Record.Type) throws(DataError) {
        path = url.path
        records = try MappedFile.whole(url)
        var entries: [UInt8] = []
        var count = 0
        if let bytes = records?.bytes {
            let decoder = JSONDecoder()
            var (start, line) = (0, 0)
            while start < bytes.count {
                let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
                line += 1
                defer { start = end + 1 }
                guard bytes[start..<end].contains(where: { $0 > UInt8(ascii: " ") }) else { continue }
                let record: Record
                do {
                    record = try decoder.decode(type, from: Data(bytes[start..<end]))
                } catch {
                    throw DataError.decoding(error, file: url.path, line: line)
                }
                entries += Self.entry(start: start, count: end - start, tag: record.recordTag)
                count += 1
            }
        }
        self.count = count
        index = .made(entries)
    }

    static func entry(start: Int, count: Int, tag: UInt32) -> [UInt8] {
        withUnsafeBytes(of: UInt64(start).littleEndian, Array.init)
            + withUnsafeBytes(of: UInt32(count).littleEndian, Array.init)
            + withUnsafeBytes(of: tag.littleEndian, Array.init)
    }

    func line(at position: Int) -> Data {
        let range = range(at: position)
        guard let records else { preconditionFailure("an empty file has no records") }
        return withExtendedLifetime(records) { Data(records.bytes[range.start..<range.start + range.count]) }
    }

    func tag(at position: Int) -> UInt32 { load(UInt32.self, at: position * Self.entrySize + 12) }

    private func range(at position: Int) -> (start: Int, count: Int) {
        let start = load(UInt64.self, at: position * Self.entrySize)
        return (Int(clamping: start), Int(load(UInt32.self, at: position * Self.entrySize + 8)))
    }

    private func load<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) -> Value {
        switch index {
        case .mapped(let file):
            guard let file else { preconditionFailure("an empty index has no entries") }
            return withExtendedLifetime(file) {
                Value(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offset, as: type))
            }
        case .made(let entries):
            return entries.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type)) }
        }
    }
}

extension JSONLines {
    /// Writes records with the index of a ``RecordList``.
    static func write<Record: Encodable & RecordTag>(
        _ records: some Sequence<Record>,
        to url: URL,
        index: URL
    ) throws(DataError) {
        var entries: [UInt8] = []
        var start = 0
        let encoder = DataFile.encoder
        do {
            try AtomicFile.write(to: url) { writer in
                for record in records {
                    let line = try encoder.encode(record)
                    try writer.write(line)
                    try writer.write("\n")
                    entries += RecordStorage.entry(start: start, count: line.count, tag: record.recordTag)
                    start += line.count + 1
                }
            }
        } catch let error as DataError {
            throw error
        } catch {
            throw DataError(.invalid, "cannot be written as JSON: \(error)", file: url.path)
        }
        try AtomicFile.write(Data(entries), to: index)
    }
}
