public import Foundation
public import Torch

/// Opens weights, whatever form they have.
public enum Checkpoint {
    /// Opens a file or folder of weights.
    ///
    /// A file's form is told from its first bytes: a zip archive is what `torch.save` wrote, anything else must be
    /// safetensors. In a folder the first of these is opened: `model.safetensors.index.json`, `model.safetensors`,
    /// `pytorch_model.bin.index.json`, `pytorch_model.bin`, `adapter_model.safetensors`, `adapter_model.bin`.
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
        let isArchive = try firstBytes(of: url, count: 4) == [0x50, 0x4B, 0x03, 0x04]
        if isArchive { return try PyTorchFile(contentsOf: url).weights(at: keys) }
        if try isOldPickle(url) {
            throw CheckpointError(
                .unsupported,
                file: url.path,
                "a file in the form before PyTorch 1.6; save it again with a newer version"
            )
        }
        guard keys.isEmpty else {
            throw CheckpointError(.unsupported, file: url.path, key: keys.joined(separator: "/"), "not in a .pth file")
        }
        return try SafetensorsFile(contentsOf: url)
    }

    private static func openFolder(_ folder: URL, at keys: [String]) throws(CheckpointError) -> any WeightSource {
        let names = [
            "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
            "adapter_model.safetensors", "adapter_model.bin",
        ]
        for name in names {
            let file = folder.appending(path: name)
            guard FileManager.default.fileExists(atPath: file.path) else { continue }
            return name.hasSuffix(".index.json") ? try ShardedWeights(index: file) : try open(file, at: keys)
        }
        throw CheckpointError(
            .unreadable,
            file: folder.path,
            "no weights in the folder",
            expected: listed(names, first: 6)
        )
    }

    private static func firstBytes(of url: URL, count: Int) throws(CheckpointError) -> [UInt8] {
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

    /// Whether a file begins with the number that PyTorch wrote first before version 1.6.
    private static func isOldPickle(_ url: URL) throws(CheckpointError) -> Bool {
        let number: [UInt8] = [0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
        return try firstBytes(of: url, count: number.count) == number
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
    /// - Throws: ``CheckpointError`` of kind `unreadable`, `malformed` or `unsupported`, which names index or file.
    public init(index: URL) throws(CheckpointError) {
        path = index.path
        let file = try MappedFile(path: index.path)
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
                shards[name] = try Checkpoint.open(index.deletingLastPathComponent().appending(path: name))
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
