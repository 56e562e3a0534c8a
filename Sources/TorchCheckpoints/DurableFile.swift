import DurableFiles
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
        try DurableFiles.write(to: url, failure: CheckpointError.init) { (file) throws(CheckpointError) in
            try body(DurableFileWriter(file))
        }
    }

    /// Writes a file with these bytes.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable` with the path and the system's reason.
    public static func write(_ data: Data, to url: URL) throws(CheckpointError) {
        try write(to: url) { writer throws(CheckpointError) in try writer.write(data) }
    }
}

/// Takes the bytes of a file that is being written.
public final class DurableFileWriter {
    private let file: DurableFileDescriptor

    /// The number of bytes written so far.
    public private(set) var count = 0

    fileprivate init(_ file: DurableFileDescriptor) { self.file = file }

    /// Writes to an open file, which stays open; `path` is for messages.
    package convenience init(descriptor: Int32, path: String) {
        self.init(DurableFileDescriptor(descriptor: descriptor, path: path))
    }

    /// Appends bytes.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable` with the path and the system's reason, such as a full disk.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        try file.write(bytes, position: count, failure: CheckpointError.init)
        count += bytes.count
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
}

extension CheckpointError {
    /// The error of a file that could not be written.
    fileprivate init(_ error: DurableFileError) {
        let action =
            switch error.step {
            case .create: "creating a file in its folder"
            case .write(let position): "writing byte \(position)"
            case .synchronize: "synchronizing"
            case .close: "closing"
            case .rename: "renaming the finished file"
            case .openFolder: "opening the folder"
            case .synchronizeFolder: "synchronizing the folder"
            }
        self.init(.unwritable, file: error.path, "\(action): \(error.reason)")
    }
}
