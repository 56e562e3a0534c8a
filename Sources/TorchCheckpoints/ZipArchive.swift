private import CZip
import Foundation

/// An archive whose entries are stored without compression, as PyTorch writes them.
///
/// Sizes are checked before anything is read: the entries together are not larger than the archive, so that no archive
/// can make a reader take more memory than the archive's own size.
final class ZipArchive {
    let path: String
    private let handle: OpaquePointer
    private let entries: [String: (index: UInt64, size: Int)]

    /// The names of the entries.
    var names: some Collection<String> { entries.keys }

    init(path: String) throws(CheckpointError) {
        let size = try FileManager.default.sizeOfRegularFile(path)
        var code: Int32 = 0
        guard let handle = zip_open(path, ZIP_RDONLY, &code) else {
            var error = zip_error_t()
            zip_error_init_with_code(&error, code)
            let reason = String(cString: zip_error_strerror(&error))
            zip_error_fini(&error)
            throw CheckpointError(.malformed, file: path, "not a readable zip archive: \(reason)")
        }
        do throws(CheckpointError) {
            entries = try Self.entries(of: handle, path: path, archiveSize: size)
        } catch {
            zip_discard(handle)
            throw error
        }
        self.path = path
        self.handle = handle
    }

    deinit { zip_discard(handle) }

    private static func entries(
        of handle: OpaquePointer,
        path: String,
        archiveSize: Int
    ) throws(CheckpointError) -> [String: (index: UInt64, size: Int)] {
        var entries: [String: (index: UInt64, size: Int)] = [:]
        var total = 0
        for index in 0..<UInt64(max(zip_get_num_entries(handle, 0), 0)) {
            var status = zip_stat_t()
            guard zip_stat_index(handle, index, 0, &status) == 0, let name = status.name else {
                throw CheckpointError(.malformed, file: path, "entry \(index) of the archive is damaged")
            }
            let key = String(cString: name)
            let needed = UInt64(ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD)
            guard status.valid & needed == needed, status.comp_method == UInt16(ZIP_CM_STORE),
                status.encryption_method == UInt16(ZIP_EM_NONE)
            else {
                throw CheckpointError(.unsupported, file: path, key: key, "an entry that is compressed or encrypted")
            }
            let (sum, overflow) = total.addingReportingOverflow(Int(clamping: status.size))
            guard status.size == status.comp_size, !overflow, sum <= archiveSize else {
                throw CheckpointError(
                    .malformed,
                    file: path,
                    key: key,
                    "the entries claim more bytes than the archive has",
                    expected: "at most \(archiveSize)"
                )
            }
            total = sum
            guard entries.updateValue((index, Int(status.size)), forKey: key) == nil else {
                throw CheckpointError(.malformed, file: path, key: key, "an entry is there twice")
            }
        }
        return entries
    }

    /// The size of an entry in bytes, `nil` when there is none.
    func size(of name: String) -> Int? { entries[name]?.size }

    /// Reads a whole entry; its checksum is checked.
    func read(_ name: String, into buffer: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        guard let entry = entries[name], entry.size == buffer.count else {
            throw CheckpointError(.missingKey, file: path, key: name, "the archive has no such entry")
        }
        func damaged(_ reason: String) -> CheckpointError {
            CheckpointError(.malformed, file: path, key: name, "the entry is damaged: \(reason)")
        }
        guard let file = zip_fopen_index(handle, entry.index, 0) else {
            throw damaged(String(cString: zip_strerror(handle)))
        }
        defer { zip_fclose(file) }
        var position = 0
        while true {
            // Reading at the end is what compares the checksum.
            var scratch: UInt8 = 0
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[position...])
            let read: Int64
            if let base = rest.baseAddress, !rest.isEmpty {
                read = zip_fread(file, base, UInt64(rest.count))
            } else {
                read = zip_fread(file, &scratch, 1)
            }
            if read < 0 { throw damaged(String(cString: zip_file_strerror(file))) }
            if read == 0 { break }
            guard read <= rest.count else { throw damaged("it is longer than its directory says") }
            position += Int(read)
        }
        guard position == buffer.count else { throw damaged("it ends too early") }
    }

    /// Reads a small entry; its checksum is checked.
    func read(_ name: String, maximum: Int) throws(CheckpointError) -> [UInt8] {
        guard let size = size(of: name) else {
            throw CheckpointError(.malformed, file: path, key: name, "the archive has no such entry")
        }
        guard size <= maximum else {
            throw CheckpointError(
                .malformed,
                file: path,
                key: name,
                "an entry is too large",
                expected: "at most \(maximum) bytes",
                got: "\(size)"
            )
        }
        var bytes = [UInt8](repeating: 0, count: size)
        var failure: CheckpointError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(CheckpointError) { try read(name, into: buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }
}

extension FileManager {
    /// The size of a file in bytes.
    func sizeOfRegularFile(_ path: String) throws(CheckpointError) -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw CheckpointError(.unreadable, file: path, String(cString: strerror(errno)))
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CheckpointError(.unreadable, file: path, "it is not a regular file")
        }
        return Int(status.st_size)
    }
}
