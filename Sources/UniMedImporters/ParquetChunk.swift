import Foundation
package import UniMedData

/// One value of a column.
package enum ParquetValue: Sendable, Equatable {
    case null
    case boolean(Bool)
    case integer(Int64)
    case bytes([UInt8])

    /// The text of bytes that are UTF-8; `nil` for anything else.
    package var text: String? {
        guard case .bytes(let bytes) = self else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// The decoded values of a page.
package struct ParquetPage: Sendable {
    enum Content: Sendable {
        case booleans([Bool?])
        case integers([Int64?])
        /// Bytes of the page or of the dictionary, and which of them are each value's.
        case bytes([UInt8], [Range<Int>?])
    }

    let content: Content

    /// The number of values.
    package var count: Int {
        switch content {
        case .booleans(let values): values.count
        case .integers(let values): values.count
        case .bytes(_, let values): values.count
        }
    }

    /// A value.
    ///
    /// - Precondition: The index is in `0 ..< count`.
    package subscript(index: Int) -> ParquetValue {
        switch content {
        case .booleans(let values): values[index].map { .boolean($0) } ?? .null
        case .integers(let values): values[index].map { .integer($0) } ?? .null
        case .bytes(let storage, let values): values[index].map { .bytes(Array(storage[$0])) } ?? .null
        }
    }
}

/// A column's values of a group of rows: its pages, each decoded when it is asked for.
package struct ParquetChunk: Sendable {
    private struct PagePlace: Sendable {
        let firstRow: Int
        let valueCount: Int
        let encoding: Int
        let body: Range<Int>
        let size: Int
        /// The bytes of the levels in front of the values of a page of version 2; `nil` for version 1.
        let levels: (repetition: Int, definition: Int)?
        let isCompressed: Bool
    }

    /// The number of rows.
    package let rowCount: Int
    private let file: ParquetFile
    private let column: ParquetFile.Column
    private let type: ParquetType
    private let codec: ParquetCodec
    private let pages: [PagePlace]
    private let dictionary: ParquetPage?

    init(_ file: ParquetFile, column index: Int, group: Int) throws(ParquetProblem) {
        self.file = file
        column = file.columns[index]
        let place = file.groups[group].chunks[index]
        rowCount = file.groups[group].rowCount
        guard !column.isRepeated else { throw ParquetProblem("lists are not read", isUnsupported: true) }
        guard let type = column.type, [.boolean, .int32, .int64, .byteArray].contains(type) else {
            throw ParquetProblem("values of this type are not read", isUnsupported: true)
        }
        guard let codec = ParquetCodec(rawValue: place.codec) else {
            throw ParquetProblem(
                "compressed by another codec than Snappy, gzip and Zstandard",
                isUnsupported: true
            )
        }
        self.type = type
        self.codec = codec
        let rowCount = rowCount
        let outcome: Result<([PagePlace], ParquetPage?), ParquetProblem> = file.data.withUnsafeBytes { bytes in
            do throws(ParquetProblem) {
                return .success(try Self.scan(bytes, place, rowCount: rowCount, type: type, codec: codec))
            } catch {
                return .failure(error)
            }
        }
        (pages, dictionary) = try outcome.get()
    }

    /// The number of pages.
    package var pageCount: Int { pages.count }

    /// The page that holds a row, and the row's place in it.
    ///
    /// - Precondition: The row is in `0 ..< rowCount`.
    package func place(ofRow row: Int) -> (page: Int, index: Int) {
        precondition((0..<rowCount).contains(row), "row \(row) of \(rowCount)")
        var (low, high) = (0, pages.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if pages[middle].firstRow <= row { low = middle } else { high = middle }
        }
        return (low, row - pages[low].firstRow)
    }

    /// Decodes a page.
    ///
    /// - Throws: `DataError` that names the file and the column.
    /// - Precondition: The page is in `0 ..< pageCount`.
    package func page(_ index: Int) throws(DataError) -> ParquetPage {
        let outcome: Result<ParquetPage, ParquetProblem> = file.data.withUnsafeBytes { bytes in
            do throws(ParquetProblem) {
                return .success(try decode(pages[index], bytes))
            } catch {
                return .failure(error)
            }
        }
        do throws(ParquetProblem) {
            return try outcome.get()
        } catch {
            throw error.dataError(file.path, column: column.path)
        }
    }

    /// Calls a closure with every value, in the order of rows; one page is in memory at a time.
    package func forEach(_ body: (ParquetValue) throws(DataError) -> Void) throws(DataError) {
        for index in pages.indices {
            let page = try page(index)
            for place in 0..<page.count { try body(page[place]) }
        }
    }

    // MARK: - Pages

    private static func scan(
        _ bytes: UnsafeRawBufferPointer,
        _ place: ParquetFile.ChunkPlace,
        rowCount: Int,
        type: ParquetType,
        codec: ParquetCodec
    ) throws(ParquetProblem) -> ([PagePlace], ParquetPage?) {
        var pages: [PagePlace] = []
        var dictionary: ParquetPage?
        var position = place.range.lowerBound
        var row = 0
        while row < rowCount {
            guard position < place.range.upperBound else {
                throw ParquetProblem("the pages have fewer values than rows")
            }
            var reader = ThriftReader(bytes, from: position, to: place.range.upperBound)
            let header = try reader.structure()
            let (size, stored) = (try header.int(2), try header.int(3))
            guard (0...ParquetFile.maximumPageSize).contains(size), stored >= 0,
                stored <= place.range.upperBound - reader.position, stored <= ParquetFile.maximumPageSize
            else { throw ParquetProblem("a page's size is not sensible") }
            let body = reader.position..<reader.position + stored
            position = body.upperBound
            let kind = try header.int(1)
            let description: [Int: ThriftValue]
            var levels: (repetition: Int, definition: Int)?
            var isCompressed = true
            switch kind {
            case 0: description = try header.structure(5)
            case 1: continue
            case 2: description = try header.structure(7)
            case 3:
                description = try header.structure(8)
                levels = (try description.int(6), try description.int(5))
                isCompressed = try description.flag(7, default: true)
            default: throw ParquetProblem("a page of an unknown kind")
            }
            let count = try description.int(1)
            guard (0...ParquetFile.maximumPageValues).contains(count) else {
                throw ParquetProblem("a page says that it has \(count) values")
            }
            let encoding = try description.int(kind == 3 ? 4 : 2)
            if kind == 2 {
                guard dictionary == nil, pages.isEmpty else {
                    throw ParquetProblem("a dictionary is not the first page")
                }
                guard encoding == 0 || encoding == 2 else {
                    throw ParquetProblem("a dictionary of encoding \(encoding) is not read", isUnsupported: true)
                }
                let values = try codec.decompressed(bytes, body, size: size)
                var input = PageInput(values)
                dictionary = ParquetPage(content: try input.plain(type, presence: Presence(all: count)))
                continue
            }
            guard count <= rowCount - row else { throw ParquetProblem("the pages have more values than rows") }
            if let levels {
                let longest = min(stored, size)
                guard (0...longest).contains(levels.repetition),
                    (0...longest - levels.repetition).contains(levels.definition)
                else { throw ParquetProblem("a page's levels are longer than the page") }
            }
            pages.append(
                PagePlace(
                    firstRow: row,
                    valueCount: count,
                    encoding: encoding,
                    body: body,
                    size: size,
                    levels: levels,
                    isCompressed: isCompressed
                )
            )
            row += count
        }
        return (pages, dictionary)
    }

    private func decode(_ place: PagePlace, _ bytes: UnsafeRawBufferPointer) throws(ParquetProblem) -> ParquetPage {
        let presence: Presence
        var input: PageInput
        let levelBits = Int.bitWidth - column.definitionLevel.leadingZeroBitCount
        if let levels = place.levels {
            let start = place.body.lowerBound + levels.repetition
            let end = start + levels.definition
            if column.definitionLevel > 0 {
                var head = PageInput(Array(bytes[start..<end]))
                presence = try head.presence(place.valueCount, bits: levelBits, level: column.definitionLevel)
            } else {
                presence = Presence(all: place.valueCount)
            }
            let size = place.size - levels.repetition - levels.definition
            let values = end..<place.body.upperBound
            let codec = place.isCompressed ? codec : .uncompressed
            input = PageInput(size == 0 ? [] : try codec.decompressed(bytes, values, size: size))
        } else {
            input = PageInput(try codec.decompressed(bytes, place.body, size: place.size))
            if column.definitionLevel > 0 {
                var head = try input.lengthPrefixed()
                presence = try head.presence(place.valueCount, bits: levelBits, level: column.definitionLevel)
            } else {
                presence = Presence(all: place.valueCount)
            }
        }
        switch place.encoding {
        case 0: return ParquetPage(content: try input.plain(type, presence: presence))
        case 2, 8:
            guard let dictionary else { throw ParquetProblem("a page needs a dictionary and there is none") }
            return ParquetPage(content: try input.looked(up: dictionary, presence: presence))
        case 3 where type == .boolean:
            var runs = try input.lengthPrefixed()
            let values = try runs.runs(presence.count, bits: 1)
            return ParquetPage(content: .booleans(presence.spread(values.map { $0 == 1 })))
        default:
            throw ParquetProblem("values of encoding \(place.encoding) are not read", isUnsupported: true)
        }
    }
}

/// Which values of a page are there; the others are null.
struct Presence {
    /// `nil` where all are.
    private let flags: [Bool]?
    private let total: Int
    /// The number of values that are there.
    let count: Int

    init(all count: Int) {
        flags = nil
        total = count
        self.count = count
    }

    init(_ flags: [Bool]) {
        self.flags = flags
        total = flags.count
        count = flags.count { $0 }
    }

    /// Puts values where they are there.
    ///
    /// - Precondition: There are ``count`` values.
    func spread<Value>(_ values: [Value]) -> [Value?] {
        precondition(values.count == count, "\(values.count) values for \(count) places")
        guard let flags else { return values }
        var next = 0
        return flags.map { isThere in
            guard isThere else { return nil }
            defer { next += 1 }
            return values[next]
        }
    }
}

/// Reads the values of a decompressed page.
struct PageInput {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        position = 0
        end = bytes.count
    }

    private init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    private mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(
        _: Number.Type
    ) throws(ParquetProblem) -> Number {
        let size = MemoryLayout<Number>.size
        guard size <= end - position else { throw ParquetProblem("a page ends too early") }
        defer { position += size }
        return bytes.withUnsafeBytes {
            Number(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: Number.self))
        }
    }

    /// The bytes behind a length of 32 bits.
    mutating func lengthPrefixed() throws(ParquetProblem) -> PageInput {
        let range = try byteRange()
        return PageInput(bytes, range)
    }

    private mutating func byteRange() throws(ParquetProblem) -> Range<Int> {
        let length = Int(try number(UInt32.self))
        guard length <= end - position else { throw ParquetProblem("a page ends too early") }
        defer { position += length }
        return position..<position + length
    }

    /// Values one after the other.
    mutating func plain(_ type: ParquetType, presence: Presence) throws(ParquetProblem) -> ParquetPage.Content {
        let count = presence.count
        switch type {
        case .boolean:
            guard (count + 7) / 8 <= end - position else { throw ParquetProblem("a page ends too early") }
            let values = (0..<count).map { bytes[position + $0 / 8] >> UInt8($0 % 8) & 1 == 1 }
            return .booleans(presence.spread(values))
        case .int32, .int64:
            let size = type == .int32 ? 4 : 8
            guard count <= (end - position) / size else { throw ParquetProblem("a page ends too early") }
            var values: [Int64] = []
            values.reserveCapacity(count)
            for _ in 0..<count {
                values.append(type == .int32 ? Int64(try number(Int32.self)) : try number(Int64.self))
            }
            return .integers(presence.spread(values))
        case .byteArray:
            guard count <= (end - position) / 4 else { throw ParquetProblem("a page ends too early") }
            var values: [Range<Int>] = []
            values.reserveCapacity(count)
            for _ in 0..<count { values.append(try byteRange()) }
            return .bytes(bytes, presence.spread(values))
        case .int96, .float, .double, .fixedLengthByteArray:
            throw ParquetProblem("values of this type are not read", isUnsupported: true)
        }
    }

    /// Values by their numbers in a dictionary.
    mutating func looked(up dictionary: ParquetPage, presence: Presence) throws(ParquetProblem) -> ParquetPage.Content {
        var indices: [Int] = []
        if presence.count > 0 {
            let bits = Int(try number(UInt8.self))
            guard bits <= 32 else { throw ParquetProblem("numbers of \(bits) bits in a dictionary") }
            indices = try runs(presence.count, bits: bits)
        }
        guard indices.allSatisfy({ $0 < dictionary.count }) else {
            throw ParquetProblem("a value is not in the dictionary")
        }
        switch dictionary.content {
        case .booleans(let values): return .booleans(presence.spread(indices.map { values[$0] }).map { $0 ?? nil })
        case .integers(let values): return .integers(presence.spread(indices.map { values[$0] }).map { $0 ?? nil })
        case .bytes(let storage, let values):
            return .bytes(storage, presence.spread(indices.map { values[$0] }).map { $0 ?? nil })
        }
    }

    /// Which of so many values have a level.
    mutating func presence(_ count: Int, bits: Int, level: Int) throws(ParquetProblem) -> Presence {
        let levels = try runs(count, bits: bits)
        guard levels.allSatisfy({ $0 <= level }) else { throw ParquetProblem("a level is above the schema's") }
        return Presence(levels.map { $0 == level })
    }

    /// So many numbers in runs of equal ones and in groups of packed ones.
    mutating func runs(_ count: Int, bits: Int) throws(ParquetProblem) -> [Int] {
        precondition((0...32).contains(bits), "numbers have at most 32 bits")
        var values: [Int] = []
        values.reserveCapacity(count)
        while values.count < count {
            var head: UInt64 = 0
            var shift: UInt64 = 0
            while true {
                let next = try number(UInt8.self)
                guard shift < 35 else { throw ParquetProblem("a run's length is too long") }
                head |= UInt64(next & 0x7F) << shift
                shift += 7
                if next & 0x80 == 0 { break }
            }
            let rest = count - values.count
            if head & 1 == 0 {
                var value = 0
                for place in 0..<(bits + 7) / 8 { value |= Int(try number(UInt8.self)) << (8 * place) }
                guard head > 1, bits == 32 || value < 1 << bits else { throw ParquetProblem("a run is damaged") }
                values += repeatElement(value, count: min(rest, Int(head >> 1)))
            } else {
                let taken = min(rest, Int(head >> 1) * 8)
                guard taken > 0, (taken * bits + 7) / 8 <= end - position else {
                    throw ParquetProblem("a page ends too early")
                }
                let mask = UInt64(1) << UInt64(bits) - 1
                bytes.withUnsafeBufferPointer { bytes in
                    for index in 0..<taken {
                        let first = index * bits
                        var window: UInt64 = 0
                        let start = position + first / 8
                        for place in 0..<5 where start + place < end {
                            window |= UInt64(bytes[start + place]) << UInt64(8 * place)
                        }
                        values.append(Int(window >> UInt64(first % 8) & mask))
                    }
                }
                position = min(end, position + Int(head >> 1) * bits)
            }
        }
        return values
    }
}
