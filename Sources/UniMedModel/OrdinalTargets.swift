import Foundation
public import Torch

/// Soft targets for tokens that stand for neighbouring numbers, such as the coordinates of boxes.
///
/// A target in their range becomes a Gaussian over all of them, so that a near miss costs less than a far one, and every
/// box teaches the coordinates around its own. All other targets stay as they are. For models trained from scratch; the
/// published code has hard targets.
public final class OrdinalTargets {
    private let firstToken: Int
    private let count: Int
    /// `[count, count]`: the probabilities for each number.
    private let table: Tensor

    /// Makes targets for `count` consecutive token ids.
    ///
    /// - Parameters:
    ///   - firstToken: The id of the first number's token.
    ///   - count: How many there are.
    ///   - deviation: Of the Gaussian, in numbers.
    ///   - device: Where the model lives.
    /// - Precondition: `count` and `deviation` are positive.
    public init(firstToken: Int, count: Int, deviation: Double, device: Device = .cpu) throws(TorchError) {
        precondition(count > 0 && deviation > 0, "soft targets need numbers and a width")
        self.firstToken = firstToken
        self.count = count
        var values: [Float] = []
        values.reserveCapacity(count * count)
        for number in 0..<count {
            let weights = (0..<count).map { exp(-0.5 * Foundation.pow(Double($0 - number) / deviation, 2)) }
            let total = weights.reduce(0, +)
            values += weights.map { Float($0 / total) }
        }
        table = try Tensor(values, shape: [count, count]).to(device)
    }

    /// Replaces the losses of targets in the range.
    ///
    /// - Parameters:
    ///   - losses: `[targets]`.
    ///   - logits: `[targets, vocabulary]` in float32.
    ///   - targets: `[targets]` (int64).
    /// - Returns: `[targets]`.
    func replace(_ losses: Tensor, logits: Tensor, targets: Tensor) throws(TorchError) -> Tensor {
        let numbers = try targets - Double(firstToken)
        let isNumber = try numbers.compare(.greaterOrEqual, 0).and(numbers.compare(.less, Double(count)))
        let probabilities = try table.embedding(numbers.clamp(0, Double(count - 1)).to(.int64))
        let logarithms = try logits.logSoftmax().narrow(1, start: firstToken, length: count)
        return try Tensor.choose(isNumber, -(probabilities * logarithms).sum(1), losses)
    }
}
