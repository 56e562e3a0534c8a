package import Foundation
public import Torch
import TorchCheckpoints
import TorchNN
package import UniMedData
package import UniMedModel

/// The features of the frozen vision transformer, computed once per picture and kept on disk.
///
/// One memory-mapped safetensors file of `[rows, N, Dv]` in bfloat16 or float32 beside a manifest. The cache belongs to a
/// key: the vision transformer's weights and sizes, the pictures, their preprocessing and the views. It is written piece by
/// piece under a temporary name: an interrupted one continues after the last piece whose bytes are those that were written,
/// and is the same in the end.
public final class FeatureCache: FeatureSource {
    /// What stands beside the features.
    struct Manifest: Codable, Equatable {
        var formatVersion: Int
        var key: String
        /// What the key is made of, each with a digest of its own; missing in caches of earlier versions.
        var parts: [String: String]?
        var rows: Int
        var tokens: Int
        var width: Int
        var byteCount: Int
        var sha256: String
    }

    /// What the features depend on.
    struct Identity {
        /// The SHA-256 of all of it.
        let key: String
        /// The SHA-256 of each part, by its name.
        let parts: [String: String]
    }

    /// What is done with a cache of other features.
    package enum Mismatch {
        /// It is replaced.
        case rebuild
        /// It is an error that says what differs.
        case refuse
    }

    /// A line of progress beside the file in making: a piece that is on the disk.
    private struct Piece: Codable {
        let key: String
        /// The rows that are done with it.
        let rows: Int
        let sha256: String
    }

    static let formatVersion = 1
    package static let manifestName = "features.json"
    package static let fileName = "features.safetensors"
    package static let partialName = "features.partial"
    package static let progressName = "features.progress"
    static let tensorName = "features"

    /// The SHA-256 of everything that the features depend on.
    public let key: String
    /// `[rows, N, Dv]` in bfloat16 or float32, mapped from the file.
    public let features: Tensor
    package var isRead: Bool { true }

    private init(key: String, features: Tensor) {
        self.key = key
        self.features = features
    }

    /// The features of rows, in any order, repeated ones too: `[n, N, Dv]` in the type of the cache.
    ///
    /// - Parameters:
    ///   - rows: Positions of pictures in the prepared data, or rows of views.
    ///   - device: Where the result lives.
    /// - Throws: ``TorchError`` when a row does not exist.
    public func gather(_ rows: [Int], device: Device = .cpu) throws(TorchError) -> Tensor {
        try features.copyRows(rows).to(device)
    }

    // MARK: Key

    /// What the features of prepared data depend on.
    static func identity(
        _ encoder: FeatureEncoder,
        data: PreparedData,
        dtype: DType
    ) throws(TrainingError) -> Identity {
        try training {
            var weights = SHA256()
            try updateWeights(of: encoder.model, &weights)
            var views = SHA256()
            encoder.plan.update(&views)
            let (vision, compute) = (encoder.model.configuration.vision, encoder.model.computeDType.rawValue)
            let preprocessing = "\(ImagePreprocessing.version) \(encoder.preprocessing.storedSize)"
            let parts = [
                "the vision transformer's weights": weights.hexDigest(),
                "the vision transformer's configuration, with its image size": digest("\(vision)"),
                "the precision of the computation": compute,
                "the preprocessing, with the size of the stored pictures": preprocessing,
                "the pictures": data.manifest.digests[ImageShards.indexName] ?? data.key,
                "the views": views.hexDigest(),
                "the type of the features": dtype.rawValue,
            ]
            var hash = SHA256()
            hash.update("features \(formatVersion)")
            for (name, part) in parts.sorted(by: { $0.key < $1.key }) {
                hash.update(name)
                hash.update(part)
            }
            return Identity(key: hash.hexDigest(), parts: parts)
        }
    }

    private static func digest(_ text: String) -> String { SHA256.hexDigest(of: Array(text.utf8)) }

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

    /// The manifest of a folder; `nil` when there is none that can be read.
    private static func manifest(_ folder: URL) -> Manifest? {
        guard
            let data = FileManager.default.contents(atPath: folder.appendingPathComponent(manifestName).path),
            let manifest = try? JSONDecoder().decode(Manifest.self, from: data),
            manifest.formatVersion == formatVersion
        else { return nil }
        return manifest
    }

    /// Opens the cache of a folder if it belongs to a key.
    ///
    /// - Parameter verifying: Whether all bytes are read and their digest is compared.
    /// - Returns: `nil` when there is none, it belongs to another key, or its bytes are not those that were written.
    package static func open(_ folder: URL, key: String, verifying: Bool = true) throws(TrainingError) -> FeatureCache?
    {
        guard let manifest = manifest(folder), manifest.key == key else { return nil }
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
    ///   - dtype: bfloat16 or float32.
    ///   - mismatch: What is done with a finished cache of another key.
    ///   - batchSize: The pictures that go through the vision transformer at once.
    ///   - pieceByteCount: The bytes after which an interrupted cache can continue, about.
    ///   - control: Asked between batches; a cancelled cache is continued by the next call.
    /// - Returns: `nil` when it was cancelled.
    package static func openOrMake(
        _ folder: URL,
        model: UniMed,
        data: PreparedData,
        preprocessing: ImagePreprocessing,
        plan: ViewPlan,
        dtype: DType = .bfloat16,
        mismatch: Mismatch = .rebuild,
        batchSize: Int = 32,
        pieceByteCount: Int = 16 << 20,
        control: TrainingControl = TrainingControl(),
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> FeatureCache? {
        let encoder = try FeatureEncoder(model: model, images: data.images, preprocessing: preprocessing, plan: plan)
        let identity = try identity(encoder, data: data, dtype: dtype)
        if let cache = try open(folder, key: identity.key) { return cache }
        if case .refuse = mismatch, let other = manifest(folder), other.key != identity.key {
            throw refusal(other, identity, folder)
        }
        let isMade = try make(
            folder,
            identity: identity,
            encoder: encoder,
            dtype: dtype,
            batchSize: batchSize,
            pieceByteCount: pieceByteCount,
            control: control,
            progress: progress
        )
        guard isMade else { return nil }
        guard let cache = try open(folder, key: identity.key, verifying: false) else {
            throw TrainingError(.fileSystem, "the features just written cannot be read back", file: folder.path)
        }
        return cache
    }

    private static func refusal(_ other: Manifest, _ identity: Identity, _ folder: URL) -> TrainingError {
        let differing = identity.parts.filter { other.parts?[$0.key] != $0.value }.keys.sorted()
        let what = other.parts == nil ? "what they depend on" : differing.joined(separator: "; ")
        return TrainingError(
            .data,
            "the features there are others: \(what) changed; unimed data encode --rebuild makes them anew",
            file: folder.path,
            field: "features"
        )
    }

    private static func make(
        _ folder: URL,
        identity: Identity,
        encoder: FeatureEncoder,
        dtype: DType,
        batchSize: Int,
        pieceByteCount: Int,
        control: TrainingControl,
        progress: ProgressHandler
    ) throws(TrainingError) -> Bool {
        let vision = encoder.model.configuration.vision
        let (rows, tokens, width) = (encoder.plan.rowCount, vision.patchCount, vision.hiddenSize)
        let rowByteCount = tokens * width * (dtype == .float32 ? 4 : 2)
        let header = header(dtype: dtype, rows: rows, tokens: tokens, width: width, byteCount: rows * rowByteCount)
        let partial = folder.appendingPathComponent(partialName)
        let progressFile = folder.appendingPathComponent(progressName)
        try RunFolder.create(folder)
        do {
            // Of the whole file, and of the present piece.
            var whole = SHA256()
            header.withUnsafeBytes { whole.update($0) }
            let kept = try resume(folder, key: identity.key, header: header, rowByteCount: rowByteCount, &whole)
            let file = try AppendFile(partial, keeping: kept.rows == 0 ? 0 : header.count + kept.rows * rowByteCount)
            let pieces = try AppendFile(progressFile, keeping: kept.progressByteCount)
            if kept.rows == 0 { try file.append(header) }
            progress(StageProgress(stage: .features, done: kept.rows, total: rows, unit: "pictures"))
            var piece = SHA256()
            var pieceBytes = 0
            var done = kept.rows
            while done < rows, !control.isCancelled {
                let end = min(done + batchSize, rows)
                let bytes = try encoder.features(Array(done..<end)).to(dtype).withHostBytes { Array($0) }
                guard bytes.count == (end - done) * rowByteCount else {
                    throw TorchError(operation: "features", message: "\(bytes.count) bytes of \(end - done) pictures")
                }
                bytes.withUnsafeBytes {
                    whole.update($0)
                    piece.update($0)
                }
                try file.append(bytes)
                pieceBytes += bytes.count
                done = end
                if pieceBytes >= pieceByteCount || done == rows || control.isCancelled {
                    try file.synchronize()
                    let line = Piece(key: identity.key, rows: done, sha256: piece.hexDigest())
                    try pieces.append(Array(DataFile.encoder.encode(line)) + [UInt8(ascii: "\n")])
                    try pieces.synchronize()
                    piece = SHA256()
                    pieceBytes = 0
                }
                progress(StageProgress(stage: .features, done: done, total: rows, unit: "pictures"))
            }
            guard done == rows else { return false }
            try RunFolder.rename(partial, to: folder.appendingPathComponent(fileName))
            let manifest = Manifest(
                formatVersion: formatVersion,
                key: identity.key,
                parts: identity.parts,
                rows: rows,
                tokens: tokens,
                width: width,
                byteCount: header.count + rows * rowByteCount,
                sha256: whole.hexDigest()
            )
            try DataFile.writeJSON(manifest, to: folder.appendingPathComponent(manifestName))
            try RunFolder.remove(progressFile)
            return true
        } catch {
            throw TrainingError(error)
        }
    }

    /// Finds the pieces of an interrupted cache whose bytes are those that were written; removes what belongs to another key.
    ///
    /// - Parameter whole: Takes the bytes of the pieces.
    private static func resume(
        _ folder: URL,
        key: String,
        header: [UInt8],
        rowByteCount: Int,
        _ whole: inout SHA256
    ) throws -> (rows: Int, progressByteCount: Int) {
        let final = folder.appendingPathComponent(fileName)
        let partial = folder.appendingPathComponent(partialName)
        let progressFile = folder.appendingPathComponent(progressName)
        let manifestFile = folder.appendingPathComponent(manifestName)
        let lines = (FileManager.default.contents(atPath: progressFile.path) ?? Data())
            .split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast()
        let pieces = lines.map { try? JSONDecoder().decode(Piece.self, from: Data($0)) }
        let isOurs =
            !pieces.isEmpty && pieces.allSatisfy { $0?.key == key || $0 == nil } && pieces.first?.map(\.key) == key
        if isOurs, !FileManager.default.fileExists(atPath: partial.path),
            !FileManager.default.fileExists(atPath: manifestFile.path),
            FileManager.default.fileExists(atPath: final.path)
        {
            // It was interrupted between its name and its manifest.
            try RunFolder.rename(final, to: partial)
        }
        // Without its manifest a file belongs to no key.
        for url in [manifestFile, final] { try RunFolder.remove(url) }
        guard isOurs, let handle = try? FileHandle(forReadingFrom: partial) else {
            for url in [partial, progressFile] { try RunFolder.remove(url) }
            return (0, 0)
        }
        defer { try? handle.close() }
        var kept = (rows: 0, progressByteCount: 0)
        guard try handle.read(upToCount: header.count) == Data(header) else { return kept }
        for (line, piece) in zip(lines, pieces) {
            guard let piece, piece.rows > kept.rows else { break }
            let count = (piece.rows - kept.rows) * rowByteCount
            guard let bytes = try handle.read(upToCount: count), bytes.count == count,
                bytes.withUnsafeBytes({ SHA256.hexDigest(of: $0) }) == piece.sha256
            else { break }
            bytes.withUnsafeBytes { whole.update($0) }
            kept.rows = piece.rows
            kept.progressByteCount += line.count + 1
        }
        return kept
    }

    /// The header of a safetensors file with one tensor, padded so that the tensor begins at a multiple of 64 bytes.
    private static func header(dtype: DType, rows: Int, tokens: Int, width: Int, byteCount: Int) -> [UInt8] {
        let type = dtype == .float32 ? "F32" : "BF16"
        let entry = "\"dtype\":\"\(type)\",\"shape\":[\(rows),\(tokens),\(width)],\"data_offsets\":[0,\(byteCount)]"
        var json = Array("{\"\(tensorName)\":{\(entry)}}".utf8)
        json += [UInt8](repeating: UInt8(ascii: " "), count: (64 - (8 + json.count) % 64) % 64)
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
    }
}
