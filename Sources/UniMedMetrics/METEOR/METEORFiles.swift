import CZip
import CZlib
import Foundation

/// Reading of METEOR's data files.
enum METEORFiles {
    static func data(_ file: URL) throws(MetricError) -> Data {
        do {
            return try Data(contentsOf: file)
        } catch {
            throw .unreadableResource(path: file.path, reason: error.localizedDescription)
        }
    }

    static func string(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

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
    static func entries(_ names: [String], ofArchive file: URL) throws(MetricError) -> [Data] {
        var code: Int32 = 0
        guard let archive = zip_open(file.path, ZIP_RDONLY, &code) else {
            throw .unreadableResource(path: file.path, reason: "expected a ZIP archive, got error \(code)")
        }
        defer { zip_discard(archive) }
        var result: [Data] = []
        for name in names {
            var status = zip_stat_t()
            guard zip_stat(archive, name, 0, &status) == 0, status.size < 1 << 30,
                let entry = zip_fopen(archive, name, 0)
            else { throw .unreadableResource(path: file.path, reason: "expected the entry \(name), got none") }
            defer { zip_fclose(entry) }
            let count = Int(status.size)
            var data = Data(count: count)
            let read = data.withUnsafeMutableBytes { zip_fread(entry, $0.baseAddress, UInt64(count)) }
            guard read == count else {
                throw .unreadableResource(path: file.path, reason: "the entry \(name) cannot be read")
            }
            result.append(data)
        }
        return result
    }

    /// Calls with the second and third of every three lines of a file compressed by gzip.
    static func forEachLineOfThree(
        ofGzip file: URL,
        _ body: (UnsafeBufferPointer<UInt8>, UnsafeBufferPointer<UInt8>) -> Void
    ) throws(MetricError) {
        guard let stream = gzopen(file.path, "rb") else {
            throw .unreadableResource(path: file.path, reason: "expected a file compressed by gzip, got none")
        }
        defer { gzclose(stream) }
        gzbuffer(stream, 1 << 18)
        let capacity = 1 << 20
        var buffer = [UInt8](repeating: 0, count: capacity)
        var filled = 0
        while true {
            let start = filled
            let read = buffer.withUnsafeMutableBytes { bytes in
                bytes.baseAddress.map { Int(gzread(stream, $0 + start, UInt32(capacity - start))) } ?? -1
            }
            guard read >= 0 else {
                throw .unreadableResource(path: file.path, reason: "the compressed data is damaged")
            }
            filled += read
            if read == 0, filled > 0, buffer[filled - 1] != 0x0A, filled < capacity {
                buffer[filled] = 0x0A
                filled += 1
            }
            let used = buffer.withUnsafeBufferPointer { whole(UnsafeBufferPointer(rebasing: $0[0..<filled]), body) }
            if read == 0 { break }
            guard used > 0 || filled < capacity else {
                throw .unreadableResource(path: file.path, reason: "a line is longer than \(capacity) bytes")
            }
            buffer.withUnsafeMutableBufferPointer { bytes in
                for index in used..<filled { bytes[index - used] = bytes[index] }
            }
            filled -= used
        }
    }

    /// Calls for every three whole lines; returns how many bytes they were.
    private static func whole(
        _ bytes: UnsafeBufferPointer<UInt8>,
        _ body: (UnsafeBufferPointer<UInt8>, UnsafeBufferPointer<UInt8>) -> Void
    ) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        func lineEnd(_ start: Int) -> Int? {
            guard start < bytes.count, let found = memchr(base + start, 0x0A, bytes.count - start) else { return nil }
            return UnsafeRawPointer(found) - UnsafeRawPointer(base)
        }
        var used = 0
        while let first = lineEnd(used), let second = lineEnd(first + 1), let third = lineEnd(second + 1) {
            body(
                UnsafeBufferPointer(rebasing: bytes[(first + 1)..<second]),
                UnsafeBufferPointer(rebasing: bytes[(second + 1)..<third])
            )
            used = third + 1
        }
        return used
    }
}
