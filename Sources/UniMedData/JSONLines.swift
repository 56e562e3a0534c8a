public import Foundation

/// Files with one JSON object a line, such as samples and annotations.
public enum JSONLines {
    /// Reads every record of a file; empty lines are allowed and skipped.
    ///
    /// - Throws: ``DataError`` that names the file, the line (from 1) and the field.
    public static func read<Record: Decodable>(_ type: Record.Type, from url: URL) throws(DataError) -> [Record] {
        var records: [Record] = []
        try forEach(type, in: url) { record, _ in records.append(record) }
        return records
    }

    /// Reads the records of a file one after the other.
    ///
    /// - Parameters:
    ///   - type: The type of every record.
    ///   - url: The file.
    ///   - body: Is given each record and its line, counted from 1.
    /// - Throws: ``DataError`` that names the file, the line and the field; or what `body` throws.
    public static func forEach<Record: Decodable>(
        _ type: Record.Type,
        in url: URL,
        _ body: (Record, Int) throws(DataError) -> Void
    ) throws(DataError) {
        try forEachResult(type, in: url) { (record, line) throws(DataError) in try body(try record.get(), line) }
    }

    /// Reads the records of a file one after the other; a line that is no record does not end the reading.
    ///
    /// - Parameters:
    ///   - type: The type of every record.
    ///   - url: The file.
    ///   - body: Is given each record, or why the line is none, and its line, counted from 1.
    /// - Throws: ``DataError`` when the file cannot be read; or what `body` throws.
    public static func forEachResult<Record: Decodable>(
        _ type: Record.Type,
        in url: URL,
        _ body: (Result<Record, DataError>, Int) throws(DataError) -> Void
    ) throws(DataError) {
        let data = try DataFile.read(url)
        let decoder = JSONDecoder()
        var number = 0
        var start = data.starts(with: [0xEF, 0xBB, 0xBF]) ? data.index(data.startIndex, offsetBy: 3) : data.startIndex
        while start < data.endIndex {
            let end = data[start...].firstIndex(of: UInt8(ascii: "\n")) ?? data.endIndex
            number += 1
            let line = data[start..<end]
            start = end < data.endIndex ? data.index(after: end) : end
            guard line.contains(where: { $0 > UInt8(ascii: " ") }) else { continue }
            let record: Result<Record, DataError>
            do {
                record = .success(try decoder.decode(type, from: line))
            } catch {
                record = .failure(DataError.decoding(error, file: url.path, line: number))
            }
            try body(record, number)
        }
    }

    /// Writes records as a file that appears complete or not at all.
    ///
    /// Keys are sorted and numbers printed so that they read back equal: equal records give equal bytes.
    ///
    /// - Throws: ``DataError`` with the path and the system's reason.
    public static func write<Record: Encodable>(_ records: some Sequence<Record>, to url: URL) throws(DataError) {
        let encoder = DataFile.encoder
        do {
            try AtomicFile.write(to: url) { writer in
                for record in records {
                    try writer.write(try encoder.encode(record))
                    try writer.write("\n")
                }
            }
        } catch let error as DataError {
            throw error
        } catch {
            throw DataError(.invalid, "cannot be written as JSON: \(error)", file: url.path)
        }
    }
}

/// Reading and writing of whole small files.
package enum DataFile {
    /// The encoder of everything that is kept: sorted keys, no escaped slashes.
    package static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }

    /// A file's bytes.
    package static func read(_ url: URL) throws(DataError) -> Data {
        do {
            return try Data(contentsOf: url)
        } catch {
            let path = url.path
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
                throw DataError(.missing, "no such file", file: path)
            }
            if isFolder.boolValue { throw DataError(.malformed, "expected a file, found a folder", file: path) }
            throw DataError(.fileSystem, "cannot be read: \(error.localizedDescription)", file: path)
        }
    }

    /// The lines of a file of UTF-8 text, without a byte order mark; they end with LF, CRLF or CR.
    package static func readLines(_ url: URL) throws(DataError) -> [String] {
        let data = try read(url)
        let content = data.starts(with: [0xEF, 0xBB, 0xBF]) ? data.dropFirst(3) : data
        guard let text = String(validating: content, as: UTF8.self) else {
            throw DataError(.malformed, "not UTF-8 text", file: url.path)
        }
        return text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map(String.init)
    }

    /// A file's one JSON value.
    package static func readJSON<Value: Decodable>(_ type: Value.Type, from url: URL) throws(DataError) -> Value {
        let data = try read(url)
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch {
            throw DataError.decoding(error, file: url.path)
        }
    }

    /// Writes one JSON value as a file.
    package static func writeJSON(_ value: some Encodable, to url: URL) throws(DataError) {
        let data: Data
        do {
            data = try encoder.encode(value)
        } catch {
            throw DataError(.invalid, "cannot be written as JSON: \(error)", file: url.path)
        }
        try AtomicFile.write(data, to: url)
    }

    /// A file's size in bytes and SHA-256 digest, read in pieces.
    package static func digest(of url: URL) throws(DataError) -> (size: Int, sha256: String) {
        let descriptor = open(url.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw DataError.fileSystem("cannot be read", path: url.path, errorNumber: errno) }
        defer { close(descriptor) }
        var hash = SHA256()
        var size = 0
        let capacity = 1 << 20
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = Foundation.read(descriptor, buffer.baseAddress, capacity)
            if count < 0 {
                if errno == EINTR { continue }
                throw DataError.fileSystem("cannot be read", path: url.path, errorNumber: errno)
            }
            if count == 0 { break }
            hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            size += count
        }
        return (size, hash.hexDigest())
    }
}
