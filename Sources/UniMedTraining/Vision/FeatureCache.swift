package import Foundation
public import Torch
import TorchCheckpoints
import TorchNN
package import UniMedData
package import UniMedModel

/// The features of the frozen vision transformer, computed once per picture and kept on disk.
///
/// One memory-mapped safetensors file of `[rows, N, Dv]` in bfloat16 beside a manifest. The cache belongs to a key: the
/// vision transformer's weights and sizes, the pictures, their preprocessing and the views; with another key it is made
/// anew. It is written under a temporary name and renamed, so that there never is a part of one.
public final class FeatureCache {
    /// What stands beside the features.
    struct Manifest: Codable, Equatable {
        var formatVersion: Int
        var key: String
        var rows: Int
        var tokens: Int
        var width: Int
        var byteCount: Int
        var sha256: String
    }

    static let formatVersion = 1
    package static let manifestName = "features.json"
    package static let fileName = "features.safetensors"
    static let tensorName = "features"

    /// The SHA-256 of everything that the features depend on.
    public let key: String
    /// `[rows, N, Dv]` in bfloat16, mapped from the file.
    public let features: Tensor

    private init(key: String, features: Tensor) {
        self.key = key
        self.features = features
    }

    /// The features of rows, in any order, repeated ones too: `[n, N, Dv]` in bfloat16.
    ///
    /// - Parameters:
    ///   - rows: Positions of pictures in the prepared data, or rows of views.
    ///   - device: Where the result lives.
    /// - Throws: ``TorchError`` when a row does not exist.
    public func gather(_ rows: [Int], device: Device = .cpu) throws(TorchError) -> Tensor {
        try features.indexSelect(0, Tensor(rows)).to(device)
    }

    // MARK: Key

    /// The key of the features of prepared data.
    package static func key(
        model: UniMed,
        data: PreparedData,
        preprocessing: ImagePreprocessing,
        plan: ViewPlan
    ) throws -> String {
        var hash = SHA256()
        hash.update("features \(formatVersion) preprocessing \(ImagePreprocessing.version) \(preprocessing.storedSize)")
        hash.update("\(model.configuration.vision) \(model.computeDType.rawValue)")
        try updateWeights(of: model, &hash)
        hash.update(data.manifest.digests[ImageShards.indexName] ?? data.key)
        plan.update(&hash)
        return hash.hexDigest()
    }

    private static func updateWeights(of model: UniMed, _ hash: inout SHA256) throws {
        for (prefix, module) in [("vision", model.vision as any Module), ("norm", model.visionNorm)] {
            for (name, parameter) in module.namedParameters(prefix: prefix + ".") {
                hash.update("\(name) \(parameter.value.summary)")
                let host = try parameter.value.to(.cpu)

                hash.update(
                    try host.withHostBytes { bytes in
                        var inner = SHA256()
                        inner.update(bytes)
                        return inner.hexDigest()
                    }
                )
            }
        }
    }

    // MARK: Files

    /// Opens the cache of a folder if it belongs to a key.
    ///
    /// - Parameter verifying: Whether all bytes are read and their digest is compared.
    /// - Returns: `nil` when there is none, it belongs to another key, or its bytes are not those that were written.
    package static func open(_ folder: URL, key: String, verifying: Bool = true) throws(TrainingError) -> FeatureCache?
    {
        let manifestFile = folder.appendingPathComponent(manifestName)
        guard let data = FileManager.default.contents(atPath: manifestFile.path),
            let manifest = try? JSONDecoder().decode(Manifest.self, from: data),
            manifest.formatVersion == formatVersion, manifest.key == key
        else { return nil }
        let url = folder.appendingPathComponent(fileName)
        guard FileManager.default.fileExists(atPath: url.path) else { return nil }
        if verifying {
            let digest = try training { try DataFile.digest(of: url) }
            guard digest.size == manifest.byteCount, digest.sha256 == manifest.sha256 else { return nil }
        }
        return try training {
            let features = try SafetensorsFile(contentsOf: url).tensor(named: tensorName)
            guard features.shape == [manifest.rows, manifest.tokens, manifest.width] else { return nil }
            return FeatureCache(key: key, features: features)
        }
    }

    /// Opens the cache of a folder, or makes it when it is not there or belongs to another key.
    ///
    /// - Parameters:
    ///   - batchSize: The pictures that go through the vision transformer at once.
    ///   - control: Asked between batches; a cancelled cache leaves nothing behind.
    /// - Returns: `nil` when it was cancelled.
    package static func openOrMake(
        _ folder: URL,
        model: UniMed,
        data: PreparedData,
        preprocessing: ImagePreprocessing,
        plan: ViewPlan,
        batchSize: Int = 32,
        control: TrainingControl = TrainingControl(),
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> FeatureCache? {
        let key = try training {
            try self.key(model: model, data: data, preprocessing: preprocessing, plan: plan)
        }
        if let cache = try open(folder, key: key) { return cache }
        guard
            try make(
                folder,
                key: key,
                model: model,
                data: data,
                preprocessing: preprocessing,
                plan: plan,
                batchSize: batchSize,
                control: control,
                progress: progress
            )
        else { return nil }
        guard let cache = try open(folder, key: key, verifying: false) else {
            throw TrainingError(.fileSystem, "the features just written cannot be read back", file: folder.path)
        }
        return cache
    }

    private struct Cancelled: Error {}

    private static func make(
        _ folder: URL,
        key: String,
        model: UniMed,
        data: PreparedData,
        preprocessing: ImagePreprocessing,
        plan: ViewPlan,
        batchSize: Int,
        control: TrainingControl,
        progress: ProgressHandler
    ) throws(TrainingError) -> Bool {
        let (rows, tokens) = (plan.rowCount, model.configuration.vision.patchCount)
        let width = model.configuration.vision.hiddenSize
        let byteCount = rows * tokens * width * 2
        let header = header(rows: rows, tokens: tokens, width: width, byteCount: byteCount)
        let url = folder.appendingPathComponent(fileName)
        let generator = try training { try Generator(seed: 0) }
        do {
            try RunFolder.create(folder)
            // Without its manifest an old file belongs to no key.
            try RunFolder.remove(folder.appendingPathComponent(manifestName))
            var digest = ""
            try UniMedData.AtomicFile.write(to: url) { writer in
                var hash = SHA256()
                header.withUnsafeBytes { hash.update($0) }
                try writer.write(header)
                for start in stride(from: 0, to: rows, by: batchSize) {
                    if control.isCancelled { throw Cancelled() }
                    let end = min(start + batchSize, rows)
                    let views = (start..<end).map { plan.view(atRow: $0) }
                    let pixels = try data.images.tensor(of: views.map(\.position))
                    // The noise follows from the rows, so that a rebuilt cache is the same.
                    try generator.seed(UInt64(start))
                    let unit = try preprocessing.unit(pixels, views.map(\.view), generator: generator)
                    let features = try model.encodeImages(ImageTensor.normalized(unit: unit)).to(.bfloat16)
                    let bytes = try features.withHostBytes { Array($0) }
                    bytes.withUnsafeBytes { hash.update($0) }
                    try writer.write(bytes)
                    progress(StageProgress(stage: .features, done: end, total: rows, unit: "pictures"))
                }
                digest = hash.hexDigest()
            }
            let manifest = Manifest(
                formatVersion: formatVersion,
                key: key,
                rows: rows,
                tokens: tokens,
                width: width,
                byteCount: header.count + byteCount,
                sha256: digest
            )
            try DataFile.writeJSON(manifest, to: folder.appendingPathComponent(manifestName))
            return true
        } catch is Cancelled {
            return false
        } catch {
            throw TrainingError(error)
        }
    }

    /// The header of a safetensors file with one tensor, padded so that the tensor begins at a multiple of 64 bytes.
    private static func header(rows: Int, tokens: Int, width: Int, byteCount: Int) -> [UInt8] {
        let entry = "\"dtype\":\"BF16\",\"shape\":[\(rows),\(tokens),\(width)],\"data_offsets\":[0,\(byteCount)]"
        var json = Array("{\"\(tensorName)\":{\(entry)}}".utf8)
        json += [UInt8](repeating: UInt8(ascii: " "), count: (64 - (8 + json.count) % 64) % 64)
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
    }
}
