private import CZip
import Foundation
import Synchronization
import UniMedData

/// Arrays of bytes in an npz file (a zip of npy files), read one row after the other.
///
/// A row is everything under one index of the first dimension, for example one picture. Rows are decompressed in order
/// and a few blocks are kept, so that memory does not grow with the file; reading backwards starts the entry anew.
final class NumPyArchive: Sendable {
    /// An array's place and shape.
    struct Entry: Sendable, Equatable {
        let shape: [Int]
        fileprivate let index: UInt64
        fileprivate let headerSize: Int

        /// The number of rows.
        var count: Int { shape[0] }
        /// The bytes of one row.
        fileprivate(set) var rowSize: Int
    }

    /// The arrays by name, without `.npy`.
    let entries: [String: Entry]
    private let path: String
    private let state: Mutex<State>

    private static let maximumRowSize = 1 << 26
    private static let blockSize = 64
    private static let keptBlocks = 4

    init(contentsOf url: URL) throws(DataError) {
        path = url.path
        guard FileManager.default.fileExists(atPath: path) else {
            throw DataError(.missing, "no such file", file: path)
        }
        var code: Int32 = 0
        guard let handle = zip_open(path, ZIP_RDONLY, &code) else {
            throw DataError(.malformed, "not a readable npz file", file: path)
        }
        var entries: [String: Entry] = [:]
        do throws(DataError) {
            for index in 0..<UInt64(max(zip_get_num_entries(handle, 0), 0)) {
                let (name, entry) = try Self.entry(index, of: handle, path: path)
                guard entries.updateValue(entry, forKey: name) == nil else {
                    throw DataError(.malformed, "an array is there twice", file: path, field: name)
                }
            }
        } catch {
            zip_discard(handle)
            throw error
        }
        self.entries = entries
        state = Mutex(State(handle: Handle(pointer: handle)))
    }

    /// The bytes of one row.
    func row(_ index: Int, of name: String) throws(DataError) -> [UInt8] {
        guard let entry = entries[name], (0..<entry.count).contains(index) else {
            throw DataError(.missing, "the archive has no such row", file: path, field: name)
        }
        let outcome: Result<[UInt8], DataError> = state.withLock { state in
            do throws(DataError) {
                let block = index / Self.blockSize
                let bytes = try state.block(block, name: name, entry: entry, path: path)
                let start = (index - block * Self.blockSize) * entry.rowSize
                return .success(Array(bytes[start..<start + entry.rowSize]))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    // MARK: - Reading

    /// The open archive; closed with the last reference.
    private final class Handle: @unchecked Sendable {
        let pointer: OpaquePointer

        init(pointer: OpaquePointer) { self.pointer = pointer }

        deinit { zip_discard(pointer) }
    }

    private struct State: @unchecked Sendable {
        let handle: Handle
        var streams: [String: (file: OpaquePointer, next: Int)] = [:]
        var blocks: [(name: String, number: Int, bytes: [UInt8])] = []

        init(handle: Handle) { self.handle = handle }

        mutating func block(_ number: Int, name: String, entry: Entry, path: String) throws(DataError) -> [UInt8] {
            if let kept = blocks.first(where: { $0.name == name && $0.number == number }) { return kept.bytes }
            func damaged() -> DataError { DataError(.malformed, "the array is damaged", file: path, field: name) }
            if let stream = streams[name], stream.next > number {
                zip_fclose(stream.file)
                streams[name] = nil
            }
            if streams[name] == nil {
                guard let file = zip_fopen_index(handle.pointer, entry.index, 0) else { throw damaged() }
                streams[name] = (file, 0)
                var header = [UInt8](repeating: 0, count: entry.headerSize)
                guard NumPyArchive.read(file, into: &header) else { throw damaged() }
            }
            while let stream = streams[name], stream.next <= number {
                let rows = min(NumPyArchive.blockSize, entry.count - stream.next * NumPyArchive.blockSize)
                var bytes = [UInt8](repeating: 0, count: rows * entry.rowSize)
                guard NumPyArchive.read(stream.file, into: &bytes) else {
                    zip_fclose(stream.file)
                    streams[name] = nil
                    throw damaged()
                }
                streams[name] = (stream.file, stream.next + 1)
                if blocks.count >= NumPyArchive.keptBlocks { blocks.removeFirst() }
                blocks.append((name, stream.next, bytes))
            }
            guard let last = blocks.last, last.name == name, last.number == number else { throw damaged() }
            return last.bytes
        }
    }

    deinit {
        state.withLock { state in
            for stream in state.streams.values { zip_fclose(stream.file) }
            state.streams = [:]
        }
    }

    /// Fills a buffer; `false` when the entry ends before or its data are damaged.
    private static func read(_ file: OpaquePointer, into bytes: inout [UInt8]) -> Bool {
        bytes.withUnsafeMutableBytes { buffer in
            var position = 0
            while position < buffer.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[position...])
                let count = zip_fread(file, rest.baseAddress, UInt64(rest.count))
                guard count > 0, count <= rest.count else { return false }
                position += Int(count)
            }
            return true
        }
    }

    /// Reads an entry's header and checks that the entry is as long as the shape says.
    private static func entry(
        _ index: UInt64,
        of handle: OpaquePointer,
        path: String
    ) throws(DataError) -> (String, Entry) {
        var status = zip_stat_t()
        guard zip_stat_index(handle, index, 0, &status) == 0, status.valid & UInt64(ZIP_STAT_SIZE) != 0,
            let text = status.name
        else { throw DataError(.malformed, "entry \(index) of the archive is damaged", file: path) }
        var name = String(cString: text)
        if name.hasSuffix(".npy") { name.removeLast(4) }
        func problem(_ kind: DataError.Kind, _ text: String) -> DataError {
            DataError(kind, text, file: path, field: name)
        }
        guard let file = zip_fopen_index(handle, index, 0) else { throw problem(.malformed, "cannot be opened") }
        defer { zip_fclose(file) }
        var start = [UInt8](repeating: 0, count: 10)
        guard read(file, into: &start), start.starts(with: [0x93] + Array("NUMPY".utf8)) else {
            throw problem(.malformed, "not a NumPy array")
        }
        var length = Int(start[8]) | Int(start[9]) << 8
        var prefix = 10
        if start[6] >= 2 {
            var more = [UInt8](repeating: 0, count: 2)
            guard read(file, into: &more) else { throw problem(.malformed, "the header ends too early") }
            length |= Int(more[0]) << 16 | Int(more[1]) << 24
            prefix = 12
        }
        guard (1...1 << 16).contains(length) else { throw problem(.malformed, "the header's length is not sensible") }
        var header = [UInt8](repeating: 0, count: length)
        guard read(file, into: &header), let text = String(validating: header, as: UTF8.self) else {
            throw problem(.malformed, "the header ends too early")
        }
        guard value(of: "fortran_order", in: text)?.hasPrefix("False") == true else {
            throw problem(.invalid, "expected an array in C order")
        }
        guard let type = value(of: "descr", in: text), ["'|u1'", "'u1'"].contains(where: type.hasPrefix) else {
            throw problem(.invalid, "expected an array of bytes (u1)")
        }
        guard let list = value(of: "shape", in: text), list.hasPrefix("("), let end = list.firstIndex(of: ")") else {
            throw problem(.malformed, "the header has no shape")
        }
        let words = list[list.index(after: list.startIndex)..<end].split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        let shape = words.compactMap { Int($0) }
        guard shape.count == words.count, !shape.isEmpty, shape.allSatisfy({ $0 >= 0 }) else {
            throw problem(.malformed, "the shape is not a list of sizes")
        }
        var rowSize = 1
        for size in shape.dropFirst() {
            let (product, overflow) = rowSize.multipliedReportingOverflow(by: size)
            guard !overflow, product <= maximumRowSize else { throw problem(.invalid, "a row is too large") }
            rowSize = product
        }
        let (total, overflow) = rowSize.multipliedReportingOverflow(by: shape[0])
        guard !overflow, rowSize > 0, UInt64(total) + UInt64(prefix + length) == status.size else {
            throw problem(.malformed, "the array is not as long as its shape says")
        }
        return (name, Entry(shape: shape, index: index, headerSize: prefix + length, rowSize: rowSize))
    }

    /// What stands behind a key of the header, a Python dictionary.
    private static func value(of key: String, in header: String) -> Substring? {
        guard let range = header.range(of: "'\(key)':") else { return nil }
        return header[range.upperBound...].drop { $0 == " " }
    }
}
