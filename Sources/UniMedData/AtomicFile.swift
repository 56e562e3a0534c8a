import DurableFiles
public import Foundation

/// Files that are either written completely or not at all.
///
/// The bytes go to a temporary name in the same folder, are synchronised to the disk, and the file is then renamed. A
/// reader, and a process that starts after a crash, sees the old contents or the new ones, never a part.
public enum AtomicFile {
    /// Takes the bytes of a file that is being written.
    public struct Writer: ~Copyable {
        private let file: DurableFileDescriptor
        private var buffer: [UInt8] = []
        /// The number of bytes taken so far.
        public private(set) var count = 0

        private static let bufferSize = 1 << 16

        fileprivate init(_ file: DurableFileDescriptor) {
            self.file = file
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
            try file.write(bytes, position: max(0, count - bytes.count), failure: DataError.init)
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
        try DurableFiles.write(to: url, failure: { DataError($0) as any Error }) { (file) throws(any Error) in
            var writer = Writer(file)
            try body(&writer)
            try writer.flush()
        }
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
        try DurableFiles.synchronizeFolder(path, failure: DataError.init)
    }
}

extension DataError {
    /// The error of a file that could not be written.
    fileprivate init(_ error: DurableFileError) {
        let action =
            switch error.step {
            case .create, .write, .close: "cannot be written"
            case .synchronize, .synchronizeFolder: "cannot be synchronised to the disk"
            case .rename: "cannot be given its name"
            case .openFolder: "cannot be opened"
            }
        self = .fileSystem(action, path: error.path, errorNumber: error.errorNumber)
    }
}
