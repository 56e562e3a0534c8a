public import Foundation

/// Files that are either written completely or not at all.
///
/// The bytes go to a temporary name in the same folder, are synchronised to the disk, and the file is then renamed. A
/// reader, and a process that starts after a crash, sees the old contents or the new ones, never a part.
public enum AtomicFile {
    /// Takes the bytes of a file that is being written.
    public struct Writer: ~Copyable {
        private let descriptor: Int32
        private let path: String
        private var buffer: [UInt8] = []
        /// The number of bytes taken so far.
        public private(set) var count = 0

        private static let bufferSize = 1 << 16

        fileprivate init(descriptor: Int32, path: String) {
            self.descriptor = descriptor
            self.path = path
            buffer.reserveCapacity(Writer.bufferSize)
        }

        /// Appends bytes.
        ///
        /// - Throws: ``DataError`` of kind ``DataError/Kind/fileSystem``, for example when no space is left.
        public mutating func write(_ bytes: UnsafeRawBufferPointer) throws(DataError) {
            count += bytes.count
            if buffer.count + bytes.count > Writer.bufferSize { try flush() }
            if bytes.count > Writer.bufferSize {
                try put(bytes)
            } else {
                buffer.append(contentsOf: bytes)
            }
        }

        /// Appends bytes.
        public mutating func write(_ bytes: [UInt8]) throws(DataError) {
            var failure: DataError?
            bytes.withUnsafeBytes { pointer in
                do throws(DataError) { try write(pointer) } catch { failure = error }
            }
            if let failure { throw failure }
        }

        /// Appends bytes.
        public mutating func write(_ data: Data) throws(DataError) {
            var failure: DataError?
            data.withUnsafeBytes { pointer in
                do throws(DataError) { try write(pointer) } catch { failure = error }
            }
            if let failure { throw failure }
        }

        /// Appends a text's UTF-8 bytes.
        public mutating func write(_ text: String) throws(DataError) {
            try write(Array(text.utf8))
        }

        fileprivate mutating func flush() throws(DataError) {
            guard !buffer.isEmpty else { return }
            var failure: DataError?
            buffer.withUnsafeBytes { pointer in
                do throws(DataError) { try put(pointer) } catch { failure = error }
            }
            buffer.removeAll(keepingCapacity: true)
            if let failure { throw failure }
        }

        private func put(_ bytes: UnsafeRawBufferPointer) throws(DataError) {
            var rest = bytes
            while let start = rest.baseAddress, !rest.isEmpty {
                let written = Foundation.write(descriptor, start, rest.count)
                if written < 0 {
                    if errno == EINTR { continue }
                    throw DataError.fileSystem("cannot be written", path: path, errorNumber: errno)
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
        }
    }

    /// Writes a file through a closure that is given its writer.
    ///
    /// The file appears, complete, when the closure has returned; when the closure throws, nothing is left behind.
    ///
    /// - Parameters:
    ///   - url: The file to create or replace. Its folder must exist.
    ///   - body: Writes the bytes.
    /// - Throws: ``DataError`` with the path and the system's reason, or what `body` throws.
    public static func write(to url: URL, _ body: (inout Writer) throws -> Void) throws {
        let path = url.path
        let folder = url.deletingLastPathComponent().path
        let suffix = String(UInt64.random(in: .min ... .max), radix: 36)
        let temporary = folder + "/." + url.lastPathComponent + "." + suffix + ".partial"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw DataError.fileSystem("cannot be written", path: path, errorNumber: errno)
        }
        var isOpen = true
        do {
            var writer = Writer(descriptor: descriptor, path: path)
            try body(&writer)
            try writer.flush()
            try check(fsync(descriptor), "cannot be synchronised to the disk", path)
            isOpen = false
            try check(close(descriptor), "cannot be written", path)
            try check(rename(temporary, path), "cannot be given its name", path)
        } catch {
            if isOpen { close(descriptor) }
            unlink(temporary)
            throw error
        }
        try synchronizeFolder(folder)
    }

    /// Writes bytes as a file.
    ///
    /// - Throws: ``DataError`` with the path and the system's reason.
    public static func write(_ data: Data, to url: URL) throws(DataError) {
        do {
            try write(to: url) { writer in try writer.write(data) }
        } catch let error as DataError {
            throw error
        } catch {
            preconditionFailure("writing bytes throws data errors only, not \(error)")
        }
    }

    /// Synchronises a folder, so that the names in it survive a power failure.
    package static func synchronizeFolder(_ path: String) throws(DataError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw DataError.fileSystem("cannot be opened", path: path, errorNumber: errno) }
        defer { close(descriptor) }
        // Some network file systems cannot synchronise folders and say so with EINVAL; the rename itself has happened.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw DataError.fileSystem("cannot be synchronised to the disk", path: path, errorNumber: errno)
        }
    }

    private static func check(_ status: Int32, _ action: String, _ path: String) throws(DataError) {
        guard status == 0 else { throw DataError.fileSystem(action, path: path, errorNumber: errno) }
    }
}
