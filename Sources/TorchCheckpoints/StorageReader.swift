import Foundation
import Torch

/// A storage that a pickle names: a run of elements in the archive.
struct StorageRecord {
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

/// Reads storages of an archive, each once for as long as somebody holds it.
final class StorageReader {
    private struct Weak {
        weak var memory: StorageMemory?
    }

    private let archive: ZipArchive
    private let prefix: String
    private var memories: [String: Weak] = [:]

    var path: String { archive.path }

    init(archive: ZipArchive, prefix: String) {
        self.archive = archive
        self.prefix = prefix
    }

    /// The size of a storage in bytes, `nil` when the archive has none of that name.
    func size(of key: String) -> Int? { archive.size(of: prefix + "data/" + key) }

    func memory(of storage: StorageRecord) throws(CheckpointError) -> StorageMemory {
        if let memory = memories[storage.key]?.memory { return memory }
        let count = storage.count * storage.dtype.byteCount
        guard let memory = StorageMemory(count: count) else {
            throw CheckpointError(.unreadable, file: path, "no memory for \(count) bytes")
        }
        try archive.read(prefix + "data/" + storage.key, into: memory.bytes)
        memories[storage.key] = Weak(memory: memory)
        return memory
    }
}
