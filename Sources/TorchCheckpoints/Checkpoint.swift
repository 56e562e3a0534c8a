public import Foundation
public import Torch

/// Opens weights, whatever form they have.
public enum Checkpoint {
    /// Opens a file or folder of weights.
    ///
    /// A file's form is told from its first bytes: a zip archive, or a sequence of pickles before PyTorch 1.6, is what
    /// `torch.save` wrote, anything else must be safetensors. Other known forms, such as a pickle without an archive, are refused by name. In a folder the first of
    /// these is opened: `model.safetensors.index.json`, `model.safetensors`, `pytorch_model.bin.index.json`,
    /// `pytorch_model.bin`, `adapter_model.safetensors`, `adapter_model.bin`.
    ///
    /// - Parameters:
    ///   - url: The file or folder.
    ///   - keys: Where in a `.pth` file the state dictionary is, such as `["model"]`; empty for a file that is one.
    /// - Returns: The weights; their elements are read when they are asked for.
    /// - Throws: ``CheckpointError``.
    public static func open(_ url: URL, at keys: [String] = []) throws(CheckpointError) -> any WeightSource {
        var status = stat()
        guard stat(url.path, &status) == 0 else {
            throw CheckpointError(.unreadable, file: url.path, String(cString: strerror(errno)))
        }
        if status.st_mode & S_IFMT == S_IFDIR { return try openFolder(url, at: keys) }
        return try openFile(url, at: keys)
    }

    /// Opens a file of weights; a folder is an error.
    static func openFile(_ url: URL, at keys: [String]) throws(CheckpointError) -> any WeightSource {
        switch FileForm(firstBytes: try firstBytes(of: url, count: FileForm.neededBytes)) {
        case .archive, .sequence: return try PyTorchFile(contentsOf: url).weights(at: keys)
        case .refused(let reason): throw CheckpointError(.unsupported, file: url.path, reason)
        case .safetensors:
            guard keys.isEmpty else {
                throw CheckpointError(
                    .unsupported,
                    file: url.path,
                    key: keys.joined(separator: "/"),
                    "only a .pth file has dictionaries in it"
                )
            }
            return try SafetensorsFile(contentsOf: url)
        }
    }

    private static func openFolder(_ folder: URL, at keys: [String]) throws(CheckpointError) -> any WeightSource {
        let names = [
            "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
            "adapter_model.safetensors", "adapter_model.bin",
        ]
        for name in names {
            let file = folder.appending(path: name)
            guard FileManager.default.fileExists(atPath: file.path) else { continue }
            return name.hasSuffix(".index.json")
                ? try ShardedWeights(index: file, at: keys) : try openFile(file, at: keys)
        }
        throw CheckpointError(
            .unreadable,
            file: folder.path,
            "no weights in the folder",
            expected: listed(names, first: 6)
        )
    }

    /// Whether a file is what `torch.save` writes, an archive or the form before PyTorch 1.6, told from its first bytes.
    ///
    /// - Throws: ``CheckpointError`` of kind `unreadable`.
    public static func isArchive(_ url: URL) throws(CheckpointError) -> Bool {
        let form = FileForm(firstBytes: try firstBytes(of: url, count: FileForm.neededBytes))
        return form == .archive || form == .sequence
    }

    static func firstBytes(of url: URL, count: Int) throws(CheckpointError) -> [UInt8] {
        let descriptor = Foundation.open(url.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CheckpointError(.unreadable, file: url.path, String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        let got = read(descriptor, &bytes, count)
        guard got >= 0 else {
            throw CheckpointError(.unreadable, file: url.path, String(cString: strerror(errno)))
        }
        return Array(bytes.prefix(got))
    }
}

/// Weights in several files with an index that says which tensor is where.
public final class ShardedWeights: WeightSource {
    /// The path of the index.
    public let path: String

    /// The names of the tensors, in the order of the index.
    public let keys: [String]

    private let shards: [String: any WeightSource]
    private let shardOfKey: [String: String]

    /// Opens an index (`model.safetensors.index.json`) and its files, which must hold exactly what the index says.
    ///
    /// - Parameters:
    ///   - index: The index.
    ///   - dictionary: Where in its `.bin` files the state dictionaries are; empty for files that are one.
    /// - Throws: ``CheckpointError`` of kind `unreadable`, `malformed` or `unsupported`, which names index or file.
    public init(index: URL, at dictionary: [String] = []) throws(CheckpointError) {
        path = index.path
        let file = try MappedFile(path: index.path)
        guard file.bytes.count <= SafetensorsFile.maximumHeaderLength else {
            throw CheckpointError(
                .malformed,
                file: index.path,
                "the index is too large",
                expected: "at most \(SafetensorsFile.maximumHeaderLength) bytes",
                got: "\(file.bytes.count)"
            )
        }
        let json: HeaderJSON
        do throws(HeaderJSON.ParseError) {
            json = try HeaderJSON(parsing: UnsafeRawBufferPointer(file.bytes))
        } catch {
            throw CheckpointError(.malformed, file: index.path, "not JSON: \(error.message) at byte \(error.offset)")
        }
        guard case .object(let fields) = json, let map = fields.first(where: { $0.key == "weight_map" })?.value,
            case .object(let entries) = map
        else {
            throw CheckpointError(.malformed, file: index.path, key: "weight_map", "there is no table of tensors")
        }
        var shards: [String: any WeightSource] = [:]
        var shardOfKey: [String: String] = [:]
        for (key, value) in entries {
            guard case .string(let name) = value, !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
                throw CheckpointError(.malformed, file: index.path, key: key, "not the name of a file beside the index")
            }
            shardOfKey[key] = name
            if shards[name] == nil {
                let shard = index.deletingLastPathComponent().appending(path: name)
                shards[name] = try Checkpoint.openFile(shard, at: dictionary)
            }
        }
        for (name, shard) in shards {
            let there = Set(shard.keys)
            let missing = shardOfKey.filter { $0.value == name && !there.contains($0.key) }.keys.sorted()
            let unexpected = there.filter { shardOfKey[$0] != name }.sorted()
            guard missing.isEmpty, unexpected.isEmpty else {
                var problems: [String] = []
                if !missing.isEmpty {
                    problems.append("lacks \(missing.count) tensors of the index (\(listed(missing)))")
                }
                if !unexpected.isEmpty {
                    problems.append(
                        "has \(unexpected.count) tensors that the index does not say (\(listed(unexpected)))"
                    )
                }
                throw CheckpointError(.malformed, file: shard.path, problems.joined(separator: " and "))
            }
        }
        self.shards = shards
        self.shardOfKey = shardOfKey
        keys = entries.map(\.key)
    }

    private func shard(of key: String) throws(CheckpointError) -> any WeightSource {
        guard let name = shardOfKey[key], let shard = shards[name] else {
            throw CheckpointError(.missingKey, file: path, key: key)
        }
        return shard
    }

    /// The size of each dimension of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func shape(of key: String) throws(CheckpointError) -> [Int] { try shard(of: key).shape(of: key) }

    /// The element type of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func dtype(of key: String) throws(CheckpointError) -> DType { try shard(of: key).dtype(of: key) }

    /// A tensor of one of the files.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`, or `malformed` when the file's bytes are damaged.
    public func tensor(named key: String) throws(CheckpointError) -> Tensor { try shard(of: key).tensor(named: key) }
}
