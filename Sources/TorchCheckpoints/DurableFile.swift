public import Foundation

/// Files that are there completely or not at all.
///
/// Bytes go to a temporary file in the same folder, which is synchronized with the disk and then renamed; then the
/// folder is synchronized. A failure (or a kill) leaves an earlier file of that name as it was.
public enum DurableFile {
    /// Writes a file with what `body` gives to the writer.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable` with the path and the system's reason, or what `body` throws.
    public static func write(
        to url: URL,
        _ body: (DurableFileWriter) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        let path = url.path
        let folder = url.deletingLastPathComponent().path
        let random = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        let temporary = folder + "/.\(url.lastPathComponent).\(getpid()).\(random).partial"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw failure(path, "creating a file in its folder") }
        let writer = DurableFileWriter(descriptor: descriptor, path: path)
        do throws(CheckpointError) {
            try body(writer)
            try writer.finish()
            guard rename(temporary, path) == 0 else { throw failure(path, "renaming the finished file") }
        } catch {
            unlink(temporary)
            throw error
        }
        try synchronizeFolder(folder)
    }

    /// Writes a file with these bytes.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable` with the path and the system's reason.
    public static func write(_ data: Data, to url: URL) throws(CheckpointError) {
        try write(to: url) { writer throws(CheckpointError) in try writer.write(data) }
    }

    /// Makes names in a folder durable.
    private static func synchronizeFolder(_ folder: String) throws(CheckpointError) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(folder, "opening the folder") }
        defer { close(descriptor) }
        // Some network file systems cannot synchronize a folder and say so.
        guard fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP else {
            throw failure(folder, "synchronizing the folder")
        }
    }

    static func failure(_ path: String, _ action: String) -> CheckpointError {
        CheckpointError(.unwritable, file: path, "\(action): \(String(cString: strerror(errno)))")
    }
}

/// Takes the bytes of a file that is being written.
public final class DurableFileWriter {
    private var descriptor: Int32
    private let path: String

    /// The number of bytes written so far.
    public private(set) var count = 0

    /// Takes over an open file; `path` is for messages.
    package init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Appends bytes.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable` with the path and the system's reason, such as a full disk.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var rest = bytes[...]
        while let base = UnsafeRawBufferPointer(rebasing: rest).baseAddress, !rest.isEmpty {
            let written = Foundation.write(descriptor, base, rest.count)
            if written < 0 {
                if errno == EINTR { continue }
                throw DurableFile.failure(path, "writing byte \(count)")
            }
            count += written
            rest = rest.dropFirst(written)
        }
    }

    /// Appends bytes.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable` with the path and the system's reason, such as a full disk.
    public func write(_ data: Data) throws(CheckpointError) {
        var failure: CheckpointError?
        data.withUnsafeBytes { bytes in
            do throws(CheckpointError) { try write(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Appends a text's UTF-8 bytes.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable` with the path and the system's reason, such as a full disk.
    public func write(_ text: String) throws(CheckpointError) { try write(Data(text.utf8)) }

    func finish() throws(CheckpointError) {
        guard fsync(descriptor) == 0 else { throw DurableFile.failure(path, "synchronizing") }
        let closing = descriptor
        descriptor = -1
        guard close(closing) == 0 else { throw DurableFile.failure(path, "closing") }
    }
}
