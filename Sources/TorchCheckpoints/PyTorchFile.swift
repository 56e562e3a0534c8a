public import Foundation
public import Torch

/// A file that `torch.save` wrote (`.pth`, `.pt`, `pytorch_model.bin`), read without running anything in it.
///
/// The file is a zip archive with a pickle and the storages of the tensors, or, before PyTorch 1.6, several pickles with the
/// storages behind them. A pickle is a program; the reader here knows only the instructions and names that plain values
/// and tensors need, and refuses everything else with one line that says what was named. Storages are read when a tensor
/// is asked for, with their checksums where the file has them.
public final class PyTorchFile {
    /// The path of the file.
    public let path: String

    /// The saved value.
    public let root: CheckpointValue

    /// The largest pickle that is read, in bytes; the tensors' elements are not in it.
    public static let maximumPickleSize = 64 << 20

    /// Opens a file and reads its values; no tensor is read.
    ///
    /// - Throws: ``CheckpointError`` of kind `unreadable`, `malformed` or `unsupported`.
    public init(contentsOf url: URL) throws(CheckpointError) {
        path = url.path
        if case .sequence = FileForm(firstBytes: try Checkpoint.firstBytes(of: url, count: FileForm.neededBytes)) {
            root = try PyTorchFile.sequence(path: path)
            return
        }
        let archive = try ZipArchive(path: path)
        let pickles = archive.names.filter { $0.hasSuffix("/data.pkl") && $0.count(where: { $0 == "/" }) == 1 }
        guard pickles.count == 1, let pickle = pickles.first else {
            throw CheckpointError(
                .malformed,
                file: path,
                "not an archive that torch.save wrote",
                expected: "one '<name>/data.pkl'",
                got: "\(pickles.count)"
            )
        }
        let prefix = String(pickle.dropLast("data.pkl".count))
        if archive.size(of: prefix + "byteorder") != nil {
            let order = try archive.read(prefix + "byteorder", maximum: 16)
            guard order == Array("little".utf8) else {
                throw CheckpointError(
                    .unsupported,
                    file: path,
                    key: prefix + "byteorder",
                    "the byte order is not supported",
                    expected: "little",
                    got: CheckpointError.shortened(String(decoding: order, as: UTF8.self))
                )
            }
        }
        let bytes = try archive.read(pickle, maximum: Self.maximumPickleSize)
        let reader = StorageReader(archive: archive, prefix: prefix)
        root = try Unpickler.value(of: bytes, reader: reader)
    }

    /// The value of a file before PyTorch 1.6: pickles of a version, of the writer's properties, of the value and of the
    /// storages' names, and then the storages.
    private static func sequence(path: String) throws(CheckpointError) -> CheckpointValue {
        let file = try MappedFile(path: path)
        let reader = StorageReader(file: file)
        let bytes = Array(file.bytes.prefix(maximumPickleSize))
        func unsupported(_ problem: String, expected: String, got: CheckpointValue?) -> CheckpointError {
            CheckpointError(
                .unsupported,
                file: path,
                problem,
                expected: expected,
                got: got.map { value in value.int.map(String.init) ?? value.bool.map(String.init) ?? value.kind }
            )
        }
        var position = FileForm.sequenceSignature.count
        let version = try Unpickler.value(of: bytes, from: &position, reader: reader)
        guard version.int == 1001 else {
            throw unsupported("the version of the file is not supported", expected: "1001", got: version)
        }
        let properties = try Unpickler.value(of: bytes, from: &position, reader: reader)
        guard properties["little_endian"]?.bool == true else {
            throw unsupported(
                "the byte order is not supported",
                expected: "little_endian: true",
                got: properties["little_endian"]
            )
        }
        let value = try Unpickler.value(of: bytes, from: &position, reader: reader)
        let names = try Unpickler.value(of: bytes, from: &position, reader: reader)
        let keys = names.elements?.compactMap(\.string)
        guard let keys, keys.count == names.elements?.count else {
            throw CheckpointError(.malformed, file: path, "the names of the storages are no list of texts")
        }
        try reader.locate(keys, from: position)
        return value
    }

    /// The value at a path of text keys, such as `["model"]`.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`, which names the keys that are there.
    public func value(at keys: [String]) throws(CheckpointError) -> CheckpointValue {
        var value = root
        for (depth, key) in keys.enumerated() {
            guard let next = value[key] else {
                let there = value.dictionary.map { listed($0.keys.map(\.description)) } ?? value.kind
                throw CheckpointError(
                    .missingKey,
                    file: path,
                    key: keys.prefix(depth + 1).joined(separator: "/"),
                    got: there
                )
            }
            value = next
        }
        return value
    }

    /// A state dictionary as named tensors.
    ///
    /// - Parameter keys: Where it is; empty for a file that holds nothing else. The published training checkpoints have
    ///   it at `["model"]`.
    /// - Returns: The tensors by name; their elements are read when they are asked for.
    /// - Throws: ``CheckpointError`` of kind `missingKey`, or `unsupported` when an entry there is not a tensor.
    public func weights(at keys: [String] = []) throws(CheckpointError) -> PyTorchWeights {
        guard let dictionary = try value(at: keys).dictionary else {
            throw CheckpointError(
                .unsupported,
                file: path,
                key: keys.isEmpty ? nil : keys.joined(separator: "/"),
                "not a state dictionary",
                got: try value(at: keys).kind
            )
        }
        var tensors: [String: ArchivedTensor] = [:]
        var names: [String] = []
        for (key, value) in dictionary.entries {
            guard case .string(let name) = key, let tensor = value.tensor else {
                let nested = dictionary.entries.filter { $0.value.dictionary != nil }.map(\.key.description)
                let hint = nested.isEmpty ? "" : " (dictionaries are at \(listed(nested)))"
                throw CheckpointError(
                    .unsupported,
                    file: path,
                    key: (keys + [key.description]).joined(separator: "/"),
                    "not a tensor, so this is no state dictionary\(hint)",
                    got: value.kind
                )
            }
            tensors[name] = tensor
            names.append(name)
        }
        return PyTorchWeights(path: path, keys: names, tensors: tensors)
    }
}

/// A state dictionary of a ``PyTorchFile``.
public struct PyTorchWeights: WeightSource {
    /// The path of the file.
    public let path: String

    /// The names of the tensors, in the order of the file.
    public let keys: [String]

    let tensors: [String: ArchivedTensor]

    private func entry(_ key: String) throws(CheckpointError) -> ArchivedTensor {
        guard let tensor = tensors[key] else { throw CheckpointError(.missingKey, file: path, key: key) }
        return tensor
    }

    /// The size of each dimension of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func shape(of key: String) throws(CheckpointError) -> [Int] { try entry(key).shape }

    /// The element type of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func dtype(of key: String) throws(CheckpointError) -> DType { try entry(key).dtype }

    /// A tensor, which shares memory with the tensors of the same storage that are alive.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`, or `malformed` when the file's bytes are damaged.
    public func tensor(named key: String) throws(CheckpointError) -> Tensor { try entry(key).tensor(key: key) }
}

/// The first names of a list, for messages.
func listed(_ names: some Collection<String>, first count: Int = 5) -> String {
    let shown = names.prefix(count).map { "'\(CheckpointError.shortened($0))'" }.joined(separator: ", ")
    return names.count > count ? "\(shown) and \(names.count - count) more" : shown
}
