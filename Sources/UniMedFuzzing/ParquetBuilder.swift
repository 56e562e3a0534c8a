public import Foundation

/// Writes small Parquet files with the columns of PathVQA: `image` (`bytes` and `path`), `question` and `answer`.
public struct ParquetBuilder: Sendable {
    /// How pages are compressed; the blocks hold their bytes as they are.
    public enum Codec: Int, Sendable, CaseIterable {
        /// Not at all.
        case uncompressed = 0
        /// Snappy.
        case snappy = 1
        /// Zstandard.
        case zstandard = 6
    }

    /// A question about a picture; what is `nil` is null.
    public struct Row: Sendable {
        var values: [[UInt8]?]

        /// Makes a row.
        public init(picture: Data?, path: String?, question: String?, answer: String?) {
            values = [picture.map { Array($0) }] + [path, question, answer].map { $0.map { Array($0.utf8) } }
        }
    }

    /// The rows; each group has two.
    public var rows: [Row]
    /// How pages are compressed.
    public var codec = Codec.uncompressed
    /// The version of data pages, 1 or 2.
    public var pageVersion = 1
    /// Whether values stand in a dictionary.
    public var hasDictionary = false

    private static let rowsPerGroup = 2
    private static let columns: [(path: [String], level: Int)] = [
        (["image", "bytes"], 2), (["image", "path"], 2), (["question"], 1), (["answer"], 1),
    ]

    /// Describes a file.
    public init(rows: [Row]) { self.rows = rows }

    /// The file.
    public func data() -> Data {
        var file = Array("PAR1".utf8)
        var groups: [Thrift] = []
        for start in stride(from: 0, to: rows.count, by: Self.rowsPerGroup) {
            let part = Array(rows[start..<min(start + Self.rowsPerGroup, rows.count)])
            groups.append(group(part, file: &file))
        }
        var footer = Thrift()
        footer.integer(1, 2)
        footer.structures(2, schema)
        footer.long(3, rows.count)
        footer.structures(4, groups)
        let bytes = footer.finished
        return Data(file + bytes + Self.little(bytes.count) + Array("PAR1".utf8))
    }

    private var schema: [Thrift] {
        func element(_ name: String, type: Int? = nil, repetition: Int? = nil, children: Int? = nil) -> Thrift {
            var element = Thrift()
            if let type { element.integer(1, type) }
            if let repetition { element.integer(3, repetition) }
            element.bytes(4, Array(name.utf8))
            if let children { element.integer(5, children) }
            return element
        }
        return [
            element("schema", children: 3), element("image", repetition: 1, children: 2),
            element("bytes", type: 6, repetition: 1), element("path", type: 6, repetition: 1),
            element("question", type: 6, repetition: 1), element("answer", type: 6, repetition: 1),
        ]
    }

    private func group(_ rows: [Row], file: inout [UInt8]) -> Thrift {
        var chunks: [Thrift] = []
        for (index, column) in Self.columns.enumerated() {
            let values = rows.map { $0.values[index] }
            let start = file.count
            var dictionaryPlace: Int?
            var entries: [[UInt8]] = []
            if hasDictionary {
                dictionaryPlace = start
                for value in values.compactMap(\.self) where !entries.contains(value) { entries.append(value) }
                var head = Thrift()
                head.integer(1, entries.count)
                head.integer(2, 0)
                file += page(2, field: 7, head, levels: [], Self.plain(entries))
            }
            let pagePlace = file.count
            let levels = Self.levels(values.map { $0 == nil ? column.level - 1 : column.level }, top: column.level)
            let there = values.compactMap(\.self)
            let body =
                hasDictionary
                ? [8] + there.flatMap { [2, UInt8(entries.firstIndex(of: $0) ?? 0)] } : Self.plain(there)
            var head = Thrift()
            head.integer(1, values.count)
            if pageVersion == 1 {
                head.integer(2, hasDictionary ? 8 : 0)
                head.integer(3, 3)
                head.integer(4, 3)
                file += page(0, field: 5, head, levels: [], Self.little(levels.count) + levels + body)
            } else {
                head.integer(2, values.count - there.count)
                head.integer(3, values.count)
                head.integer(4, hasDictionary ? 8 : 0)
                head.integer(5, levels.count)
                head.integer(6, 0)
                file += page(3, field: 8, head, levels: levels, body)
            }
            var metadata = Thrift()
            metadata.integer(1, 6)
            metadata.integers(2, [hasDictionary ? 8 : 0, 3])
            metadata.texts(3, column.path)
            metadata.integer(4, codec.rawValue)
            metadata.long(5, values.count)
            metadata.long(6, file.count - start)
            metadata.long(7, file.count - start)
            metadata.long(9, pagePlace)
            if let dictionaryPlace { metadata.long(11, dictionaryPlace) }
            var chunk = Thrift()
            chunk.long(2, start)
            chunk.structure(3, metadata)
            chunks.append(chunk)
        }
        var group = Thrift()
        group.structures(1, chunks)
        group.long(2, file.count)
        group.long(3, rows.count)
        return group
    }

    /// A page with its header; the levels of version 2 are not compressed.
    private func page(_ kind: Int, field: Int, _ head: Thrift, levels: [UInt8], _ body: [UInt8]) -> [UInt8] {
        let stored = levels + compressed(body)
        var header = Thrift()
        header.integer(1, kind)
        header.integer(2, levels.count + body.count)
        header.integer(3, stored.count)
        header.structure(field, head)
        return header.finished + stored
    }

    private func compressed(_ bytes: [UInt8]) -> [UInt8] {
        switch codec {
        case .uncompressed: return bytes
        case .snappy:
            var result = Thrift.varint(UInt64(bytes.count))
            // A literal, with its length less one in two bytes.
            for start in stride(from: 0, to: bytes.count, by: 1 << 16) {
                let part = bytes[start..<min(start + (1 << 16), bytes.count)]
                result += [61 << 2] + Self.little(part.count - 1).prefix(2) + part
            }
            return result
        case .zstandard:
            // One segment with its size in four bytes, and one block as it is.
            let block = bytes.count << 3 | 1
            return [0x28, 0xB5, 0x2F, 0xFD, 0xA0] + Self.little(bytes.count) + Self.little(block).prefix(3) + bytes
        }
    }

    private static func plain(_ values: [[UInt8]]) -> [UInt8] { values.flatMap { little($0.count) + $0 } }

    /// Levels in runs of one each.
    private static func levels(_ levels: [Int], top: Int) -> [UInt8] { levels.flatMap { [2, UInt8($0)] } }

    private static func little(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
}

/// Writes structures of Thrift's compact protocol.
private struct Thrift {
    private var bytes: [UInt8] = []
    private var last = 0

    /// The structure with its end.
    var finished: [UInt8] { bytes + [0] }

    private mutating func field(_ number: Int, _ type: UInt8) {
        bytes.append(UInt8(number - last) << 4 | type)
        last = number
    }

    /// A number of 32 bits.
    mutating func integer(_ number: Int, _ value: Int) {
        field(number, 5)
        bytes += Self.zigzag(value)
    }

    /// A number of 64 bits.
    mutating func long(_ number: Int, _ value: Int) {
        field(number, 6)
        bytes += Self.zigzag(value)
    }

    mutating func integers(_ number: Int, _ values: [Int]) {
        field(number, 9)
        bytes.append(UInt8(values.count) << 4 | 5)
        for value in values { bytes += Self.zigzag(value) }
    }

    private static func zigzag(_ value: Int) -> [UInt8] {
        varint(UInt64(bitPattern: Int64(value) << 1 ^ Int64(value) >> 63))
    }

    mutating func bytes(_ number: Int, _ value: [UInt8]) {
        field(number, 8)
        bytes += Self.varint(UInt64(value.count)) + value
    }

    mutating func texts(_ number: Int, _ values: [String]) {
        field(number, 9)
        bytes.append(UInt8(values.count) << 4 | 8)
        for value in values { bytes += Self.varint(UInt64(value.utf8.count)) + Array(value.utf8) }
    }

    mutating func structure(_ number: Int, _ value: Thrift) {
        field(number, 12)
        bytes += value.finished
    }

    mutating func structures(_ number: Int, _ values: [Thrift]) {
        field(number, 9)
        bytes += [0xF0 | 12] + Self.varint(UInt64(values.count))
        for value in values { bytes += value.finished }
    }

    static func varint(_ value: UInt64) -> [UInt8] {
        var (rest, result) = (value, [UInt8]())
        while rest > 0x7F {
            result.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return result + [UInt8(rest)]
    }
}
