import Foundation

/// A file that only grows; what is appended is with the operating system when the call returns.
final class AppendFile {
    private let descriptor: Int32
    private let path: String
    /// The number of bytes in the file.
    private(set) var position: Int

    /// Opens or makes a file.
    ///
    /// - Parameter position: The bytes to keep: what stands behind them is cut off. `nil` keeps all.
    init(_ url: URL, keeping position: Int?) throws(TrainingError) {
        path = url.path
        descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw AppendFile.failure("cannot be written", url.path) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        self.position = min(position ?? size, size)
        if self.position < size, ftruncate(descriptor, off_t(self.position)) != 0 {
            throw AppendFile.failure("cannot be shortened to the checkpoint", path)
        }
        guard lseek(descriptor, off_t(self.position), SEEK_SET) >= 0 else {
            throw AppendFile.failure("cannot be written", path)
        }
    }

    deinit { close(descriptor) }

    func append(_ bytes: [UInt8]) throws(TrainingError) {
        var start = 0
        while start < bytes.count {
            let written = bytes.withUnsafeBytes { buffer in
                write(descriptor, buffer.baseAddress.map { $0 + start }, bytes.count - start)
            }
            if written < 0 {
                if errno == EINTR { continue }
                throw AppendFile.failure("cannot be written", path)
            }
            start += written
            position += written
        }
    }

    /// Waits until the bytes are on the disk.
    func synchronize() throws(TrainingError) {
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw AppendFile.failure("cannot be synchronised to the disk", path)
        }
    }

    private static func failure(_ action: String, _ path: String) -> TrainingError {
        TrainingError(.fileSystem, "\(action): \(String(cString: strerror(errno)))", file: path)
    }
}
