import Foundation
import Torch

/// What a picture's own brightness teaches: soft histograms of oriented gradients, and grey values.
///
/// Differences of the grey view give a magnitude and an angle per pixel; orientation `k` of eight gets the magnitude times
/// `|cos(angle - k π/8)|⁸`. Averaged over each patch and brought to length 1 they are what every token predicts, beside
/// the patch's mean grey; over coarser cells, with a histogram of grey values, what the whole picture predicts.
struct TextureDescriptors {
    static let orientationCount = 8
    private static let levelCount = 16

    private let grid: Int
    private let patch: Int
    /// The cells along a side, coarse and fine.
    private let cells: (coarse: Int, fine: Int)
    private let cosines: Tensor
    private let sines: Tensor
    private let levels: Tensor

    init(grid: Int, patch: Int, device: Device) throws(TorchError) {
        self.grid = grid
        self.patch = patch
        func largestDivisor(upTo bound: Int) -> Int { (1...bound).last { grid.isMultiple(of: $0) } ?? 1 }
        cells = (largestDivisor(upTo: min(3, grid)), largestDivisor(upTo: min(6, grid)))
        let count = Self.orientationCount
        let angles = (0..<count).map { Double($0) * .pi / Double(count) }
        cosines = try Tensor(angles.map { Float(cos($0)) }, shape: [1, count, 1, 1]).to(device)
        sines = try Tensor(angles.map { Float(sin($0)) }, shape: [1, count, 1, 1]).to(device)
        let steps = (0..<Self.levelCount).map { Float($0) / Float(Self.levelCount - 1) }
        levels = try Tensor(steps, shape: [1, Self.levelCount, 1]).to(device)
    }

    /// The width of a token's target.
    static var tokenSize: Int { orientationCount + 1 }

    /// The width of a picture's target.
    var pictureSize: Int {
        let (coarse, fine) = (cells.coarse * cells.coarse, cells.fine * cells.fine)
        return Self.orientationCount * (coarse + fine) + fine + Self.levelCount
    }

    /// The targets of views `[B, 3, S, S]` in `0...1`: `[B, patches, 9]` and `[B, pictureSize]`.
    func callAsFunction(_ views: Tensor) throws(TorchError) -> (tokens: Tensor, pictures: Tensor) {
        let (batch, side) = (views.size(0), views.size(2))
        let grey = try views.mean(1, keepingDimensions: true)
        let dx = try difference(grey, dimension: 3)
        let dy = try difference(grey, dimension: 2)
        let magnitude = try (dx * dx + dy * dy + 1e-8).sqrt()
        let along = try (dx * cosines + dy * sines) / magnitude
        let oriented = try magnitude * (along * along).power(4)
        let perPatch = try pooled(oriented, by: patch)
        let greyPerPatch = try pooled(grey, by: patch)
        let tokens = try Tensor.cat([normalized(perPatch), greyPerPatch], dimension: 1)
            .reshape(batch, Self.tokenSize, grid * grid).transpose(1, 2)
        let half = side.isMultiple(of: 2) ? try pooled(grey, by: 2) : grey
        let near = try -((half.reshape(batch, 1, -1) - levels).abs() * Double(Self.levelCount - 1)) + 1
        let histogram = try near.clamp(0, 1).mean(2).sqrt()
        let coarse = try normalized(pooled(perPatch, by: grid / cells.coarse)).reshape(batch, -1)
        let fine = try normalized(pooled(perPatch, by: grid / cells.fine)).reshape(batch, -1)
        let greyFine = try pooled(greyPerPatch, by: grid / cells.fine).reshape(batch, -1)
        return (tokens, try Tensor.cat([coarse, fine, greyFine, histogram], dimension: 1))
    }

    /// The next element minus the one before, at the borders the border itself.
    private func difference(_ x: Tensor, dimension: Int) throws(TorchError) -> Tensor {
        let length = x.size(dimension)
        let first = try x.narrow(dimension, start: 0, length: 1)
        let last = try x.narrow(dimension, start: length - 1, length: 1)
        let next = try Tensor.cat([x.narrow(dimension, start: 1, length: length - 1), last], dimension: dimension)
        let before = try Tensor.cat([first, x.narrow(dimension, start: 0, length: length - 1)], dimension: dimension)
        return try next - before
    }

    /// The mean over squares of `size`: `[B, C, S, S]` becomes `[B, C, S/size, S/size]`.
    private func pooled(_ x: Tensor, by size: Int) throws(TorchError) -> Tensor {
        let (batch, channels, side) = (x.size(0), x.size(1), x.size(2))
        return try x.reshape(batch, channels, side / size, size, side / size, size).mean(3, 5)
    }

    private func normalized(_ x: Tensor) throws(TorchError) -> Tensor {
        try x / ((x * x).sum(1, keepingDimensions: true).sqrt() + 0.02)
    }
}
