public import Foundation

/// Why the operating system refused to write a file: the step, the file, and the system's reason.
public struct DurableFileError: Error, Sendable, Equatable {
    /// What was tried.
    public enum Step: Sendable, Equatable {
        /// A new file in the folder.
        case create
        /// Bytes, behind those of this number.
        case write(position: Int)
        /// The bytes' way to the disk.
        case synchronize
        /// The file's end.
        case close
        /// The file's name, when it was complete.
        case rename
        /// The folder, to synchronise it.
        case openFolder
        /// The way of the folder's names to the disk.
        case synchronizeFolder
    }

    /// What was tried.
    public let step: Step
    /// The path of the file or folder.
    public let path: String
    /// The value of `errno`.
    public let errorNumber: Int32

    /// The system's reason, in words.
    public var reason: String { String(cString: strerror(errorNumber)) }
}

/// Files that are there completely or not at all.
///
/// Bytes go to a temporary name in the same folder, which is synchronised with the disk and then renamed; then the folder
/// is synchronised. A reader, and a process that starts after a crash, sees the old contents or the new ones, never a
/// part. The rooms above have errors of their own: they say how one is made of a ``DurableFileError``.
public enum DurableFiles {
    /// Writes a file with what a closure gives to the writer.
    ///
    /// The file appears, complete, when the closure has returned; when it throws, nothing is left behind and an earlier
    /// file stays as it was.
    ///
    /// - Parameters:
    ///   - url: The file to create or replace. Its folder must exist.
    ///   - failure: Makes the error of the calling room.
    ///   - body: Writes the bytes.
    /// - Throws: What `failure` makes, or what `body` throws.
    public static func write<Failure: Error>(
        to url: URL,
        failure: (DurableFileError) -> Failure,
        _ body: (DurableFileDescriptor) throws(Failure) -> Void
    ) throws(Failure) {
        let path = url.path
        let folder = url.deletingLastPathComponent().path
        let random = String(UInt64.random(in: 0...UInt64.max), radix: 36)
        let temporary = folder + "/.\(url.lastPathComponent).\(getpid()).\(random).partial"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw failure(error(.create, path)) }
        var isOpen = true
        do throws(Failure) {
            try body(DurableFileDescriptor(descriptor: descriptor, path: path))
            guard fsync(descriptor) == 0 else { throw failure(error(.synchronize, path)) }
            isOpen = false
            guard close(descriptor) == 0 else { throw failure(error(.close, path)) }
            guard rename(temporary, path) == 0 else { throw failure(error(.rename, path)) }
        } catch {
            if isOpen { close(descriptor) }
            unlink(temporary)
            throw error
        }
        try synchronizeFolder(folder, failure: failure)
    }

    /// Synchronises a folder, so that the names in it survive a power failure.
    public static func synchronizeFolder<Failure: Error>(
        _ path: String,
        failure: (DurableFileError) -> Failure
    ) throws(Failure) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(error(.openFolder, path)) }
        defer { close(descriptor) }
        // Some network file systems cannot synchronise folders and say so; the rename itself has happened.
        guard fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP else {
            throw failure(error(.synchronizeFolder, path))
        }
    }

    fileprivate static func error(_ step: DurableFileError.Step, _ path: String) -> DurableFileError {
        DurableFileError(step: step, path: path, errorNumber: errno)
    }
}

/// An open file that is being written; it is closed by who opened it.
public struct DurableFileDescriptor {
    private let descriptor: Int32
    private let path: String

    /// Takes an open file; `path` is for errors.
    public init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// Appends bytes at once.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - position: How many bytes were written before, for errors.
    ///   - failure: Makes the error of the calling room.
    /// - Throws: What `failure` makes, for example when the disk is full.
    public func write<Failure: Error>(
        _ bytes: UnsafeRawBufferPointer,
        position: Int,
        failure: (DurableFileError) -> Failure
    ) throws(Failure) {
        var rest = bytes
        while let start = rest.baseAddress, !rest.isEmpty {
            let written = Foundation.write(descriptor, start, rest.count)
            if written < 0 {
                if errno == EINTR { continue }
                throw failure(DurableFiles.error(.write(position: position + bytes.count - rest.count), path))
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }
}
