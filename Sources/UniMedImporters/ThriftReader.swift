/// A value of Thrift's compact protocol.
enum ThriftValue {
    case boolean(Bool)
    case integer(Int64)
    case double
    case bytes([UInt8])
    case list([ThriftValue])
    case structure([Int: ThriftValue])

    func structure() throws(ParquetProblem) -> [Int: ThriftValue] {
        guard case .structure(let fields) = self else { throw ParquetProblem("a structure is expected") }
        return fields
    }

    func text() throws(ParquetProblem) -> String {
        guard case .bytes(let bytes) = self, let text = String(validating: bytes, as: UTF8.self) else {
            throw ParquetProblem("a text is expected")
        }
        return text
    }
}

extension [Int: ThriftValue] {
    /// The number of a field.
    func int(_ field: Int, default standard: Int? = nil) throws(ParquetProblem) -> Int {
        guard let value = self[field] else {
            if let standard { return standard }
            throw ParquetProblem("the description lacks the field \(field)")
        }
        guard case .integer(let number) = value else { throw ParquetProblem("field \(field): a number is expected") }
        return Int(number)
    }

    func flag(_ field: Int, default standard: Bool) throws(ParquetProblem) -> Bool {
        guard let value = self[field] else { return standard }
        guard case .boolean(let flag) = value else { throw ParquetProblem("field \(field): a flag is expected") }
        return flag
    }

    func text(_ field: Int) throws(ParquetProblem) -> String {
        guard let value = self[field] else { throw ParquetProblem("the description lacks the field \(field)") }
        return try value.text()
    }

    func list(_ field: Int) throws(ParquetProblem) -> [ThriftValue] {
        guard case .list(let values)? = self[field] else { throw ParquetProblem("field \(field): a list is expected") }
        return values
    }

    func structure(_ field: Int) throws(ParquetProblem) -> [Int: ThriftValue] {
        guard let value = self[field] else { throw ParquetProblem("the description lacks the field \(field)") }
        return try value.structure()
    }
}

/// Reads Thrift's compact protocol, with checked bounds and depth.
struct ThriftReader {
    private let bytes: UnsafeRawBufferPointer
    private let end: Int
    /// Where the next byte is.
    private(set) var position: Int

    private static let maximumDepth = 16

    init(_ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) {
        self.bytes = bytes
        self.end = end
        position = start
    }

    /// Reads a structure.
    mutating func structure() throws(ParquetProblem) -> [Int: ThriftValue] { try structure(depth: 0) }

    private mutating func structure(depth: Int) throws(ParquetProblem) -> [Int: ThriftValue] {
        guard depth < Self.maximumDepth else { throw ParquetProblem("the description is too deep") }
        var fields: [Int: ThriftValue] = [:]
        var last = 0
        while true {
            let head = try byte()
            if head == 0 { return fields }
            let delta = Int(head >> 4)
            let number = delta == 0 ? Int(try zigzag()) : last + delta
            guard (1...Int(Int16.max)).contains(number) else { throw ParquetProblem("a field has no sensible number") }
            last = number
            switch head & 15 {
            case 1: fields[number] = .boolean(true)
            case 2: fields[number] = .boolean(false)
            default: fields[number] = try value(head & 15, depth: depth + 1)
            }
        }
    }

    /// A value outside a field's header, where flags have a byte of their own.
    private mutating func value(_ type: UInt8, depth: Int) throws(ParquetProblem) -> ThriftValue {
        guard depth < Self.maximumDepth else { throw ParquetProblem("the description is too deep") }
        switch type {
        case 1, 2: return .boolean(try byte() == 1)
        case 3: return .integer(Int64(Int8(bitPattern: try byte())))
        case 4, 5, 6: return .integer(try zigzag())
        case 7:
            try skip(8)
            return .double
        case 8:
            let length = try count()
            let start = position
            try skip(length)
            return .bytes(Array(bytes[start..<start + length]))
        case 9, 10:
            let head = try byte()
            let size = head >> 4 == 15 ? try count() : Int(head >> 4)
            guard size <= end - position else { throw ParquetProblem("a list is longer than the description") }
            var values: [ThriftValue] = []
            values.reserveCapacity(size)
            for _ in 0..<size { values.append(try value(head & 15, depth: depth + 1)) }
            return .list(values)
        case 11:
            let size = try count()
            guard size <= end - position else { throw ParquetProblem("a map is longer than the description") }
            if size > 0 {
                let types = try byte()
                for _ in 0..<size {
                    _ = try value(types >> 4, depth: depth + 1)
                    _ = try value(types & 15, depth: depth + 1)
                }
            }
            return .list([])
        case 12: return .structure(try structure(depth: depth))
        default: throw ParquetProblem("the description has a value of an unknown type")
        }
    }

    private mutating func byte() throws(ParquetProblem) -> UInt8 {
        guard position < end else { throw ParquetProblem("the description ends too early") }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func skip(_ count: Int) throws(ParquetProblem) {
        guard count <= end - position else { throw ParquetProblem("the description ends too early") }
        position += count
    }

    private mutating func varint() throws(ParquetProblem) -> UInt64 {
        var result: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            let next = try byte()
            result |= UInt64(next & 0x7F) << shift
            if next & 0x80 == 0 { return result }
        }
        throw ParquetProblem("a number is too long")
    }

    private mutating func zigzag() throws(ParquetProblem) -> Int64 {
        let number = try varint()
        return Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1)
    }

    private mutating func count() throws(ParquetProblem) -> Int {
        let number = try varint()
        guard number <= UInt64(end - position) else { throw ParquetProblem("the description ends too early") }
        return Int(number)
    }
}
