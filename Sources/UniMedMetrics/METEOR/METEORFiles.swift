import CLibDeflate
import CZip
import Foundation

/// Reading of METEOR's data files.
enum METEORFiles {
    static func bytes(_ file: URL) throws(MetricError) -> [UInt8] {
        do {
            return [UInt8](try Data(contentsOf: file))
        } catch {
            throw .unreadableResource(path: file.path, reason: error.localizedDescription)
        }
    }

    static func string(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

    static func number(_ bytes: some Collection<UInt8>) -> Int? {
        var value = 0
        guard !bytes.isEmpty, bytes.count < 10 else { return nil }
        for byte in bytes {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }

    /// The contents of entries of a ZIP archive.
    static func entries(_ names: [String], ofArchive file: URL) throws(MetricError) -> [[UInt8]] {
        var code: Int32 = 0
        guard let archive = zip_open(file.path, ZIP_RDONLY, &code) else {
            throw .unreadableResource(path: file.path, reason: "expected a ZIP archive, got error \(code)")
        }
        defer { zip_discard(archive) }
        var result: [[UInt8]] = []
        for name in names {
            var status = zip_stat_t()
            guard zip_stat(archive, name, 0, &status) == 0, status.size < 1 << 30,
                let entry = zip_fopen(archive, name, 0)
            else { throw .unreadableResource(path: file.path, reason: "expected the entry \(name), got none") }
            defer { zip_fclose(entry) }
            let count = Int(status.size)
            var bytes = [UInt8](repeating: 0, count: count)
            let read = bytes.withUnsafeMutableBytes { zip_fread(entry, $0.baseAddress, UInt64(count)) }
            guard read == count else {
                throw .unreadableResource(path: file.path, reason: "the entry \(name) cannot be read")
            }
            result.append(bytes)
        }
        return result
    }

    /// The contents of a file that is compressed by gzip; one that is not is taken as it is.
    static func contents(ofGzip file: URL) throws(MetricError) -> [UInt8] {
        let compressed = try bytes(file)
        guard isGzip(compressed[...]) else { return compressed }
        guard let decompressor = libdeflate_alloc_decompressor() else {
            throw .unreadableResource(path: file.path, reason: "no memory for decompression")
        }
        defer { libdeflate_free_decompressor(decompressor) }
        var result: [UInt8] = []
        var rest = compressed[...]
        // A file may have several members, one after the other.
        while isGzip(rest) {
            guard let member = firstMember(of: rest, decompressor) else {
                throw .unreadableResource(path: file.path, reason: "the compressed data is damaged")
            }
            result = result.isEmpty ? member.bytes : result + member.bytes
            rest = rest.dropFirst(member.compressedCount)
        }
        return result
    }

    private static func isGzip(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.starts(with: [0x1F, 0x8B]) }

    /// The first member of compressed data, or `nil` when it is damaged.
    private static func firstMember(
        of compressed: ArraySlice<UInt8>,
        _ decompressor: OpaquePointer
    ) -> (bytes: [UInt8], compressedCount: Int)? {
        // Nothing grows by more than this; the file's last four bytes are the length of its last member.
        let limit = compressed.count * 1032
        var capacity = min(compressed.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }, limit)
        while true {
            var consumed = 0
            var status = LIBDEFLATE_BAD_DATA
            let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                status = compressed.withUnsafeBytes {
                    libdeflate_gzip_decompress_ex(
                        decompressor,
                        $0.baseAddress,
                        $0.count,
                        buffer.baseAddress,
                        capacity,
                        &consumed,
                        &count
                    )
                }
                if status != LIBDEFLATE_SUCCESS { count = 0 }
            }
            if status == LIBDEFLATE_SUCCESS { return (bytes, consumed) }
            guard status == LIBDEFLATE_INSUFFICIENT_SPACE, capacity < limit else { return nil }
            capacity = min(max(2 * capacity, 1 << 16), limit)
        }
    }
}
