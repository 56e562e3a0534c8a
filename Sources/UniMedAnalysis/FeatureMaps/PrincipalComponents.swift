public import Torch

/// Points in the directions in which they vary most.
public struct PrincipalComponents {
    /// `[n, count]` (float64), centred.
    ///
    /// In each direction the coordinate farthest from 0 is positive, so that signs are determined.
    public let points: Tensor
    /// The share of all variance that lies in each direction.
    public let varianceShares: [Double]

    /// Computes the first components.
    ///
    /// - Parameters:
    ///   - points: `[n, width]`.
    ///   - count: The number of directions, at most `n` and `width`.
    /// - Throws: `TorchError` when there are not as many directions.
    public init(_ points: Tensor, count: Int = 2) throws(TorchError) {
        guard points.rank == 2, (1...min(points.size(0), points.size(1))).contains(count) else {
            throw TorchError(
                operation: "PrincipalComponents",
                operands: [points.summary],
                message: "there are no \(count) directions"
            )
        }
        let x = try points.detach().to(.cpu).to(.float64)
        let centred = try x - x.mean(0, keepingDimensions: true)
        // The smaller of the two matrices of products has all there is to know.
        let isWide = x.size(1) > x.size(0)
        let transposed = try centred.transpose(0, 1)
        let products = try isWide ? centred.matmul(transposed) : transposed.matmul(centred)
        let (values, vectors) = try products.symmetricEigen()
        let size = values.count
        let largest = try values.narrow(0, start: size - count, length: count).flip(0).clamp(0, .infinity)
        let directions = try vectors.narrow(1, start: size - count, length: count).flip(1)
        let projected = try isWide ? directions * largest.sqrt().unsqueeze(0) : centred.matmul(directions)
        let extremes = try projected.gather(0, projected.abs().transpose(0, 1).argmax(1).unsqueeze(0))
        let isNegative = try extremes.compare(.less, 0).to(.float64)
        self.points = try projected * (isNegative * -2 + 1)
        let total = try values.clamp(0, .infinity).sum().item()
        varianceShares = try largest.array(of: Double.self).map { total > 0 ? $0 / total : 0 }
    }
}
