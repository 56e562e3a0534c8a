private import CZlib
private import CZstd

/// How the pages of a Parquet file are compressed, by its numbers.
enum ParquetCodec: Int, Sendable {
    case uncompressed = 0
    case snappy = 1
    case gzip = 2
    case zstandard = 6

    /// The bytes of a page.
    ///
    /// - Parameters:
    ///   - bytes: The file.
    ///   - range: Where the page is.
    ///   - size: How many bytes it has when it is not compressed.
    func decompressed(
        _ bytes: UnsafeRawBufferPointer,
        _ range: Range<Int>,
        size: Int
    ) throws(ParquetProblem) -> [UInt8] {
        let source = UnsafeRawBufferPointer(rebasing: bytes[range])
        guard size > 0 else { return [] }
        switch self {
        case .uncompressed:
            guard source.count == size else { throw ParquetProblem("a page has another size than its header says") }
            return Array(source)
        case .snappy: return try Snappy.decompressed(source, size: size)
        case .gzip: return try Self.filled(size) { target in Self.inflate(source, target) }
        case .zstandard:
            return try Self.filled(size) { target in
                let count = ZSTD_decompress(target.baseAddress, target.count, source.baseAddress, source.count)
                return ZSTD_isError(count) == 0 && count == target.count
            }
        }
    }

    private static func filled(
        _ size: Int,
        _ body: (UnsafeMutableRawBufferPointer) -> Bool
    ) throws(ParquetProblem) -> [UInt8] {
        var isSound = false
        let result = [UInt8](unsafeUninitializedCapacity: size) { target, count in
            isSound = body(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[..<size]))
            count = isSound ? size : 0
        }
        guard isSound else { throw ParquetProblem("a page's compressed data are damaged") }
        return result
    }

    private static func inflate(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer) -> Bool {
        var stream = z_stream()
        stream.next_in = UnsafeMutablePointer(mutating: source.bindMemory(to: UInt8.self).baseAddress)
        stream.avail_in = UInt32(source.count)
        stream.next_out = target.bindMemory(to: UInt8.self).baseAddress
        stream.avail_out = UInt32(target.count)
        // 15 bits of window, and 32 for either header: that of gzip or that of zlib.
        guard inflateInit2_(&stream, 15 + 32, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            return false
        }
        defer { inflateEnd(&stream) }
        return CZlib.inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_out == 0
    }
}

/// Snappy's format of blocks, in the description of its makers (`format_description.txt`).
///
/// Debian's library has no pkg-config file, and the format is a few lines: literals and copies of what came before.
enum Snappy {
    /// The content of a block.
    ///
    /// - Parameter size: How many bytes it has.
    static func decompressed(_ source: UnsafeRawBufferPointer, size: Int) throws(ParquetProblem) -> [UInt8] {
        var isSound = false
        let result = [UInt8](unsafeUninitializedCapacity: size) { target, count in
            isSound = decompress(source, UnsafeMutableBufferPointer(rebasing: target[..<size]))
            count = isSound ? size : 0
        }
        guard isSound else { throw ParquetProblem("a page's compressed data are damaged") }
        return result
    }

    /// Fills a buffer; `false` when the block is damaged or holds more or fewer bytes.
    private static func decompress(_ source: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<UInt8>)
        -> Bool
    {
        var position = 0
        var length: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            guard position < source.count, shift <= 28 else { return false }
            let byte = source[position]
            position += 1
            length |= UInt64(byte & 0x7F) << shift
            shift += 7
            if byte & 0x80 == 0 { break }
        }
        guard length == UInt64(target.count) else { return false }
        var filled = 0
        while position < source.count {
            let tag = source[position]
            position += 1
            /// The next bytes as a number; `nil` when there are not so many.
            func number(_ count: Int) -> Int? {
                guard count <= source.count - position else { return nil }
                var value = 0
                for place in 0..<count { value |= Int(source[position + place]) << (8 * place) }
                position += count
                return value
            }
            var count = Int(tag >> 2) + 1
            if tag & 3 == 0 {
                if count > 60 {
                    guard let stored = number(count - 60) else { return false }
                    count = stored + 1
                }
                guard count <= source.count - position, count <= target.count - filled,
                    let start = source.baseAddress, let end = target.baseAddress
                else { return false }
                UnsafeMutableRawPointer(end + filled).copyMemory(from: start + position, byteCount: count)
                position += count
            } else {
                let offset: Int
                if tag & 3 == 1 {
                    guard let low = number(1) else { return false }
                    count = Int(tag >> 2 & 7) + 4
                    offset = Int(tag >> 5) << 8 | low
                } else {
                    guard let stored = number(tag & 3 == 2 ? 2 : 4) else { return false }
                    offset = stored
                }
                guard offset > 0, offset <= filled, count <= target.count - filled else { return false }
                // One after the other: a copy may reach into what it writes.
                for place in filled..<filled + count { target[place] = target[place - offset] }
            }
            filled += count
        }
        return filled == target.count
    }
}
