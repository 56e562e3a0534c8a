import Foundation
public import Torch
package import UniMedData
import UniMedModel

/// One way of looking at a picture: where each place of the view lies in the picture, and how its brightness is changed.
package struct ImageView: Sendable, Equatable {
    /// Rows of `[a b tx; c d ty]`: places of the view in `-1...1` become places of the picture in `-1...1`.
    package var matrix: [Double]
    /// The exponent of brightness.
    package var gamma = 1.0
    package var contrast = 1.0
    package var brightness = 0.0
    /// The deviation of the noise added to each pixel.
    package var noise = 0.0
    /// The factor of each colour.
    package var cast = [1.0, 1.0, 1.0]

    package init(matrix: [Double]) { self.matrix = matrix }

    /// The picture as it is.
    package static let identity = ImageView(matrix: [1, 0, 0, 0, 1, 0])

    var isIdentity: Bool { self == .identity }

    /// How a view is drawn.
    package enum Purpose {
        /// For pretraining: crops at full strength, and mirrored to either side whatever answers say.
        case pretraining
        /// For joint training: answers and boxes still hold.
        case answers(index: Int)
    }

    /// Draws a view.
    package static func drawn(
        _ augmentation: AugmentationConfiguration,
        for purpose: Purpose,
        _ generator: inout SeededGenerator
    ) -> ImageView {
        let isSquare = augmentation.symmetry == .square
        let strength: Double
        let mirrors: Bool
        switch purpose {
        case .pretraining:
            strength = 1
            mirrors = augmentation.mirrorsInPretraining || augmentation.symmetry != .none
        case .answers(let index):
            // Where every symmetry holds, every second view shows the whole picture.
            strength = isSquare && index % 2 == 1 ? 0 : augmentation.strength
            mirrors = augmentation.symmetry != .none
        }
        let area = generator.uniform(in: augmentation.minimumArea..<1.1)
        let ratio = exp(generator.uniform(in: -1..<1) * log(4.0 / 3))
        let width = 1 + strength * ((area * ratio).squareRoot() - 1)
        let height = 1 + strength * ((area / ratio).squareRoot() - 1)
        let x = generator.uniform(in: -1..<1) * abs(1 - width)
        let y = generator.uniform(in: -1..<1) * abs(1 - height)
        let angle = generator.uniform(in: -1..<1) * augmentation.rotation * strength * .pi / 180
        let flipX = generator.uniform() < 0.5 && mirrors ? -1.0 : 1
        let flipY = generator.uniform() < 0.5 && isSquare ? -1.0 : 1
        let transposes = generator.uniform() < 0.5 && isSquare
        let (c, s) = (cos(angle), sin(angle))
        let first = [c * width * flipX, s * width * flipX]
        let second = [-s * height * flipY, c * height * flipY]
        let (left, right) = transposes ? (second, first) : (first, second)
        var view = ImageView(matrix: [left[0], right[0], x, left[1], right[1], y])
        view.gamma = exp(generator.uniform(in: -0.4..<0.4))
        view.contrast = generator.uniform(in: 0.7..<1.3)
        view.brightness = generator.uniform(in: -0.15..<0.15)
        view.noise = generator.uniform(in: 0..<0.04)
        let half = augmentation.colorCast
        view.cast = (0..<3).map { _ in 1 + (generator.uniform() * 2 - 1) * half }
        return view
    }

    /// The place in the picture, in `0...1`, of a place in the view, in `0...1`.
    package func source(x: Double, y: Double) -> (x: Double, y: Double) {
        let (u, v) = (x * 2 - 1, y * 2 - 1)
        return (
            (matrix[0] * u + matrix[1] * v + matrix[2]) * 0.5 + 0.5,
            (matrix[3] * u + matrix[4] * v + matrix[5]) * 0.5 + 0.5
        )
    }

    /// A box of the picture, in `0...1`, as the smallest box around it in the view, which may leave `0...1`.
    package func box(_ box: BoundingBox) -> BoundingBox {
        let determinant = matrix[0] * matrix[4] - matrix[1] * matrix[3]
        precondition(determinant != 0, "a view has an extent")
        var xs: [Double] = []
        var ys: [Double] = []
        for x in [box.xMin, box.xMax] {
            for y in [box.yMin, box.yMax] {
                let (u, v) = (x * 2 - 1 - matrix[2], y * 2 - 1 - matrix[5])
                xs.append((matrix[4] * u - matrix[1] * v) / determinant * 0.5 + 0.5)
                ys.append((matrix[0] * v - matrix[3] * u) / determinant * 0.5 + 0.5)
            }
        }
        return BoundingBox(xMin: xs.min() ?? 0, yMin: ys.min() ?? 0, xMax: xs.max() ?? 0, yMax: ys.max() ?? 0)
    }

    /// A box of the picture, in `0...1`, cut to the view; `nil` when its centre is outside.
    package func visibleBox(_ box: BoundingBox) -> BoundingBox? {
        let full = self.box(box)
        let (x, y) = ((full.xMin + full.xMax) / 2, (full.yMin + full.yMax) / 2)
        guard (0..<1).contains(x), (0..<1).contains(y) else { return nil }
        return BoundingBox(
            xMin: max(0, full.xMin),
            yMin: max(0, full.yMin),
            xMax: min(1, full.xMax),
            yMax: min(1, full.yMax)
        )
    }
}

/// Turns pictures as they are kept into what the vision transformer takes.
///
/// Training, evaluation and asking go through this one type. A picture that is kept at the model's size is taken as it is;
/// at another size it is read bilinearly (`grid_sample`, corners not aligned), which at twice the size is the mean of four
/// pixels.
public struct ImagePreprocessing: Codable, Sendable, Equatable {
    /// Raised whenever the same pictures become something else.
    public static let version = 1

    /// The side at which pictures are kept, in pixels.
    public var storedSize: Int
    /// The side that the model takes, in pixels.
    public var modelSize: Int

    enum CodingKeys: String, CodingKey {
        case storedSize, modelSize
    }

    /// Makes a preprocessing.
    public init(storedSize: Int, modelSize: Int) {
        self.storedSize = storedSize
        self.modelSize = modelSize
    }

    /// Normalised pixels of pictures.
    ///
    /// - Parameter pixels: `[B, storedSize, storedSize, 3]` (uint8).
    /// - Returns: `[B, 3, modelSize, modelSize]` in float32, with CLIP's mean and deviation.
    /// - Throws: ``TorchError`` when the pictures have another size.
    public func callAsFunction(_ pixels: Tensor) throws(TorchError) -> Tensor {
        guard pixels.shape.count == 4, Array(pixels.shape.dropFirst()) == [storedSize, storedSize, 3] else {
            throw TorchError(
                operation: "preprocessing",
                operands: [pixels.summary],
                message: "expected [batch, \(storedSize), \(storedSize), 3]"
            )
        }
        if storedSize == modelSize { return try ImageTensor.normalized(pixels) }
        let views = [ImageView](repeating: .identity, count: pixels.size(0))
        return try ImageTensor.normalized(unit: unit(pixels, views, generator: nil))
    }

    /// Views of pictures on a scale of 0 to 1: `[B, 3, modelSize, modelSize]`.
    package func unit(_ pixels: Tensor, _ views: [ImageView], generator: Generator?) throws(TorchError) -> Tensor {
        try unit(pixels, views) { (shape) throws(TorchError) in try Tensor.normal(shape, generator: generator) }
    }

    /// Views of pictures on a scale of 0 to 1, each with noise that follows from its own seed: `[B, 3, modelSize, modelSize]`.
    package func unit(
        _ pixels: Tensor,
        _ views: [ImageView],
        noiseSeeds: [UInt64],
        generator: Generator
    ) throws(TorchError) -> Tensor {
        try unit(pixels, views) { (shape) throws(TorchError) in
            let one = [1] + shape.dropFirst()
            var parts: [Tensor] = []
            for seed in noiseSeeds {
                try generator.seed(seed)
                parts.append(try Tensor.normal(one, generator: generator))
            }
            return try Tensor.cat(parts)
        }
    }

    private func unit(
        _ pixels: Tensor,
        _ views: [ImageView],
        noise: ([Int]) throws(TorchError) -> Tensor
    ) throws(TorchError) -> Tensor {
        let count = views.count
        let picture = try pixels.permute(0, 3, 1, 2).to(.float32) / 255
        if storedSize == modelSize, views.allSatisfy(\.isIdentity) { return picture }
        let matrices = try Tensor(views.flatMap { $0.matrix.map { Float($0) } }, shape: [count, 2, 3]).to(pixels.device)
        let grid = try matrices.affineGrid(batch: count, channels: 3, height: modelSize, width: modelSize)
        let sampled = try picture.contiguous().gridSample(grid)
        if views.allSatisfy({ $0.hasPlainBrightness }) { return sampled }
        func column(_ value: (ImageView) -> Double) throws(TorchError) -> Tensor {
            try Tensor(views.map { Float(value($0)) }, shape: [count, 1, 1, 1]).to(pixels.device)
        }
        // x ** gamma, which is 0 where x is.
        let bright = try (sampled.clamp(1e-6, 1).log() * column(\.gamma)).exp()
        let shifted = try (bright - 0.5) * column(\.contrast) + (column(\.brightness) + 0.5)
        let noise = try noise(sampled.shape).to(pixels.device)
        let cast = try Tensor(views.flatMap { $0.cast.map { Float($0) } }, shape: [count, 3, 1, 1]).to(pixels.device)
        return try ((shifted + noise * column(\.noise)) * cast).clamp(0, 1)
    }
}

extension ImageView {
    fileprivate var hasPlainBrightness: Bool {
        gamma == 1 && contrast == 1 && brightness == 0 && noise == 0 && cast == [1, 1, 1]
    }
}

extension ImageShards {
    /// Pictures as a tensor: `[count, size, size, 3]` (uint8).
    func tensor(of positions: [Int]) throws(TorchError) -> Tensor {
        let length = pictureByteCount
        let bytes = [UInt8](unsafeUninitializedCapacity: positions.count * length) { buffer, initialized in
            for (row, position) in positions.enumerated() {
                withPixels(at: position) { pixels in
                    guard let source = pixels.baseAddress, let target = buffer.baseAddress else { return }
                    (target + row * length).initialize(from: source.assumingMemoryBound(to: UInt8.self), count: length)
                }
            }
            initialized = positions.count * length
        }
        return try Tensor(bytes, shape: [positions.count, size, size, 3])
    }
}
