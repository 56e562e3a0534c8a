public import Torch
public import UniMedData
public import UniMedModel

/// How pictures as they are kept become what the vision transformer takes.
public struct ImageInput {
    /// The side at which pictures are kept, in pixels.
    public let storedSize: Int
    private let normalize: (Tensor) throws(TorchError) -> Tensor

    /// Describes an input.
    ///
    /// - Parameters:
    ///   - storedSize: The side at which pictures are kept, in pixels.
    ///   - normalize: Turns `[B, storedSize, storedSize, 3]` (uint8) into normalised pixels `[B, 3, H, W]`.
    public init(storedSize: Int, normalize: @escaping (Tensor) throws(TorchError) -> Tensor) {
        self.storedSize = storedSize
        self.normalize = normalize
    }

    /// Pictures that are kept at the size the model takes.
    public static func sameSize(as model: UniMed) -> ImageInput {
        ImageInput(storedSize: model.configuration.vision.imageSize) { pixels throws(TorchError) in
            try ImageTensor.normalized(pixels)
        }
    }

    /// Pictures `[B, storedSize, storedSize, 3]` (uint8) as the vision transformer takes them.
    public func callAsFunction(_ pixels: Tensor) throws(TorchError) -> Tensor { try normalize(pixels) }
}

/// Where the vision features of prepared pictures come from.
public protocol ImageFeatureSource {
    /// The features of pictures.
    ///
    /// - Parameter positions: Positions in the shards, at least one; a position may come more than once.
    /// - Returns: `[positions, N, Dv]`.
    /// - Throws: `TorchError` when a tensor operation fails.
    func features(at positions: [Int]) throws(TorchError) -> Tensor
}

/// Features that the model's vision transformer computes when they are asked for, the last ones kept in memory.
public final class ComputedFeatures: ImageFeatureSource {
    private let model: UniMed
    private let images: ImageShards
    private let input: ImageInput
    private let batchSize: Int
    private let memoryLimit: Int
    private var kept: [Int: Tensor] = [:]
    private var keptBytes = 0

    /// Makes a source.
    ///
    /// - Parameters:
    ///   - model: The model whose vision transformer looks at the pictures.
    ///   - images: The pictures.
    ///   - input: How they become what the model takes; `nil` for pictures that are kept at the model's size.
    ///   - batchSize: The number of pictures that are looked at together.
    ///   - memoryLimit: The bytes of features that are kept; default 512 MiB.
    public init(
        model: UniMed,
        images: ImageShards,
        input: ImageInput? = nil,
        batchSize: Int = 32,
        memoryLimit: Int = 512 << 20
    ) {
        self.model = model
        self.images = images
        self.input = input ?? .sameSize(as: model)
        self.batchSize = max(1, batchSize)
        self.memoryLimit = memoryLimit
    }

    /// The features of pictures: `[positions, N, Dv]`.
    public func features(at positions: [Int]) throws(TorchError) -> Tensor {
        var missing: [Int] = []
        for position in positions where kept[position] == nil && !missing.contains(position) {
            missing.append(position)
        }
        if keptBytes > memoryLimit {
            kept = kept.filter { positions.contains($0.key) }
            keptBytes = kept.values.reduce(0) { $0 + $1.byteCount }
        }
        for start in stride(from: 0, to: missing.count, by: batchSize) {
            let part = Array(missing[start..<min(missing.count, start + batchSize)])
            let features = try model.encodeImages(input(images.tensor(at: part).to(model.device)))
            for (row, position) in part.enumerated() {
                let one = try features.narrow(0, start: row, length: 1).clone()
                kept[position] = one
                keptBytes += one.byteCount
            }
        }
        return try Tensor.cat(positions.compactMap { kept[$0] })
    }
}

extension ImageShards {
    /// Pictures as a tensor: `[positions, size, size, 3]` (uint8).
    func tensor(at positions: [Int]) throws(TorchError) -> Tensor {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(positions.count * pictureByteCount)
        for position in positions { withPixels(at: position) { bytes.append(contentsOf: $0) } }
        return try Tensor(bytes, shape: [positions.count, size, size, 3])
    }
}
