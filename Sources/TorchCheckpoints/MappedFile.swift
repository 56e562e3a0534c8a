import Foundation

/// A file in memory, as long as the object lives.
///
/// The pages are private: writing to them is possible and does not reach the file. A file that another process cuts
/// while it is mapped ends this one (SIGBUS); files that we write are renamed into place and never cut.
final class MappedFile {
    let path: String
    let bytes: UnsafeMutableRawBufferPointer

    init(path: String) throws(CheckpointError) {
        self.path = path
        func failure() -> CheckpointError {
            CheckpointError(.unreadable, file: path, String(cString: strerror(errno)))
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure() }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CheckpointError(.unreadable, file: path, "it is not a regular file")
        }
        let count = Int(status.st_size)
        if count == 0 {
            bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            return
        }
        let flags = MAP_PRIVATE | MAP_NORESERVE
        guard let base = mmap(nil, count, PROT_READ | PROT_WRITE, flags, descriptor, 0), base != MAP_FAILED else {
            throw failure()
        }
        bytes = UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(base, bytes.count) }
    }
}
