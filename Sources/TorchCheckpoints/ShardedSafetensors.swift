public import Foundation

/// Weights in several safetensors files with an index, as Hugging Face's libraries write and read them.
public enum ShardedSafetensors {
    /// The size of a file, in bytes, that those libraries do not exceed unless asked to.
    public static let standardShardSize = 5_000_000_000

    /// Writes tensors to one file, `model.safetensors`, or to several with an index when they are larger than a file may be.
    ///
    /// Several are called `model-00001-of-00003.safetensors` and so on, and `model.safetensors.index.json` says which
    /// tensor is where; it is written last. Tensors are asked for one by one and keep the order of the source between
    /// files. A tensor that is larger than a file may be has a file of its own.
    ///
    /// - Parameters:
    ///   - source: The tensors.
    ///   - folder: The folder; it must be there.
    ///   - name: The beginning of the files' names.
    ///   - maximumShardSize: The most bytes of tensors in one file. Default: ``standardShardSize``.
    ///   - metadata: Texts for each header; transformers wants to read the format there.
    /// - Returns: The names of the files, the index last.
    /// - Throws: ``CheckpointError`` of kind `unwritable`, or what the source throws.
    @discardableResult
    public static func write(
        _ source: any WeightSource,
        to folder: URL,
        name: String = "model",
        maximumShardSize: Int = standardShardSize,
        metadata: [String: String] = ["format": "pt"]
    ) throws(CheckpointError) -> [String] {
        var shards: [[String]] = [[]]
        var (size, total) = (0, 0)
        for key in source.keys {
            guard let count = byteCount(try source.shape(of: key), try source.dtype(of: key)) else {
                throw CheckpointError(.unwritable, file: folder.path, key: key, "its shape is too large")
            }
            if size + count > maximumShardSize, !shards[shards.count - 1].isEmpty {
                shards.append([])
                size = 0
            }
            shards[shards.count - 1].append(key)
            size += count
            total += count
        }
        guard shards.count > 1 else {
            let file = "\(name).safetensors"
            try SafetensorsFile.write(source, metadata: metadata, to: folder.appending(path: file))
            return [file]
        }
        func padded(_ number: Int) -> String {
            let digits = "\(number)"
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        var files: [String] = []
        var rows: [(key: String, file: String)] = []
        for (index, keys) in shards.enumerated() {
            let file = "\(name)-\(padded(index + 1))-of-\(padded(shards.count)).safetensors"
            try SafetensorsFile.write(source, keys: keys, metadata: metadata, to: folder.appending(path: file))
            files.append(file)
            rows += keys.map { (key: $0, file: file) }
        }
        let table = rows.sorted { $0.key < $1.key }
            .map { "    \(HeaderJSON.quoted($0.key)): \(HeaderJSON.quoted($0.file))" }.joined(separator: ",\n")
        let index = "{\n  \"metadata\": {\n    \"total_size\": \(total)\n  },\n  \"weight_map\": {\n\(table)\n  }\n}\n"
        let file = "\(name).safetensors.index.json"
        try DurableFile.write(Data(index.utf8), to: folder.appending(path: file))
        return files + [file]
    }
}
