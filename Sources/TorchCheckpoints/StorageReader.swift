import Foundation
import Torch

/// A storage that a pickle names: a run of elements in the archive.
struct StorageRecord: Equatable {
    let key: String
    let dtype: DType
    /// In elements.
    let count: Int
}

/// The memory of a storage.
final class StorageMemory {
    let bytes: UnsafeMutableRawBufferPointer

    /// Memory of this size, `nil` when there is not enough.
    init?(count: Int) {
        var base: UnsafeMutableRawPointer?
        guard posix_memalign(&base, 64, max(count, 1)) == 0, let base else { return nil }
        bytes = UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    deinit { free(bytes.baseAddress) }
}

/// Reads storages of a file, each once for as long as somebody holds it.
final class StorageReader {
    private struct Weak {
        weak var memory: StorageMemory?
    }

    /// Where storages are.
    private enum Place {
        /// Entries of an archive, behind this prefix.
        case archive(ZipArchive, prefix: String)
        /// Behind each other at the end of a file, in an order that is read last.
        case file(MappedFile)
    }

    private let place: Place
    private var memories: [String: Weak] = [:]
    /// In a file: what its pickle named, and where the elements begin.
    private var named: [String: StorageRecord] = [:]
    private var offsets: [String: Int] = [:]

    let path: String

    init(archive: ZipArchive, prefix: String) {
        place = .archive(archive, prefix: prefix)
        path = archive.path
    }

    init(file: MappedFile) {
        place = .file(file)
        path = file.path
    }

    /// Whether a reference to a storage may have the field for views, which files before PyTorch 1.6 have.
    var hasViewField: Bool { if case .file = place { true } else { false } }

    /// Checks a storage that a pickle names, before it is believed.
    func check(_ storage: StorageRecord) throws(StorageProblem) {
        let (bytes, overflow) = storage.count.multipliedReportingOverflow(by: storage.dtype.byteCount)
        guard storage.count >= 0, !overflow else { throw .size(nil) }
        switch place {
        case .archive(let archive, let prefix):
            guard let size = archive.size(of: prefix + "data/" + storage.key) else { throw .missing }
            guard bytes == size else { throw .size(size) }
        case .file(let file):
            // Where it is, and that it is there, is known when the pickles are read.
            guard bytes <= file.bytes.count else { throw .size(file.bytes.count) }
            if let known = named[storage.key], known != storage { throw .size(known.count * known.dtype.byteCount) }
            named[storage.key] = storage
        }
    }

    /// Takes over where the storages of a file are: each is its number of elements (8 bytes) and then the elements.
    ///
    /// - Parameters:
    ///   - keys: The storages in the order of the file.
    ///   - start: Where the first begins.
    func locate(_ keys: [String], from start: Int) throws(CheckpointError) {
        guard case .file(let file) = place else { return }
        func malformed(_ problem: String, _ key: String) -> CheckpointError {
            CheckpointError(.malformed, file: path, key: CheckpointError.shortened(key), problem)
        }
        var position = start
        for key in keys {
            guard let record = named[key] else { throw malformed("a storage that no tensor is in", key) }
            guard offsets[key] == nil else { throw malformed("the storage is there twice", key) }
            guard file.bytes.count - position >= 8 else { throw malformed("the file ends before the storage", key) }
            let count = file.bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self).littleEndian
            position += 8
            guard count == UInt64(record.count) else {
                throw malformed("the storage does not have the size that the pickle says", key)
            }
            let size = record.count * record.dtype.byteCount
            guard file.bytes.count - position >= size else { throw malformed("the file ends within the storage", key) }
            offsets[key] = position
            position += size
        }
        for key in named.keys where offsets[key] == nil {
            throw malformed("the file does not have the storage", key)
        }
    }

    func memory(of storage: StorageRecord) throws(CheckpointError) -> StorageMemory {
        if let memory = memories[storage.key]?.memory { return memory }
        let count = storage.count * storage.dtype.byteCount
        guard let memory = StorageMemory(count: count) else {
            throw CheckpointError(.unreadable, file: path, "no memory for \(count) bytes")
        }
        switch place {
        case .archive(let archive, let prefix):
            try archive.read(prefix + "data/" + storage.key, into: memory.bytes)
        case .file(let file):
            guard let offset = offsets[storage.key] else {
                throw CheckpointError(.missingKey, file: path, key: storage.key, "the file does not have the storage")
            }
            memory.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: file.bytes[offset..<offset + count]))
        }
        memories[storage.key] = Weak(memory: memory)
        return memory
    }
}

/// What is wrong with a storage that a pickle names.
enum StorageProblem: Error {
    /// There is none of that name.
    case missing
    /// It has another size, so many bytes where that is known.
    case size(Int?)
}
