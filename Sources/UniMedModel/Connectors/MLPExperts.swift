public import Torch
public import TorchNN

/// The two-layer MLP experts of the paper, all in two products.
///
/// `Σ_k w_k (W2_k gelu(W1_k x + b1_k) + b2_k)` (Uni-Med eq. 9) with the `W1_k` stacked by rows into `[N·Dt, Da]`, each
/// expert's activations scaled by its weight, and the `W2_k` stacked by columns into `[Dt, N·Dt]`: no expert's output is
/// ever kept by itself.
public final class MLPExperts: ProjectionExperts {
    /// `N`.
    public let expertCount: Int
    private let outputSize: Int
    /// `[N·Dt, Da]`.
    private let firstWeight: Parameter
    /// `[N·Dt]`.
    private let firstBias: Parameter
    /// `[Dt, N·Dt]`.
    private let secondWeight: Parameter
    /// `[N, Dt]`.
    private let secondBias: Parameter

    /// Makes experts with random weights.
    public init(
        count: Int,
        inputSize: Int,
        outputSize: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        expertCount = count
        self.outputSize = outputSize
        let firstBound = 1 / Double(inputSize).squareRoot()
        let secondBound = 1 / Double(outputSize).squareRoot()
        firstWeight = try builder.uniform([count * outputSize, inputSize], bound: firstBound)
        firstBias = try builder.uniform([count * outputSize], bound: firstBound)
        secondWeight = try builder.uniform([outputSize, count * outputSize], bound: secondBound)
        secondBias = try builder.uniform([count, outputSize], bound: secondBound)
    }

    /// The stacked weights; ``PublishedCheckpoint`` takes them apart.
    public var members: [ModuleMember] {
        [
            .parameter("first.weight", firstWeight), .parameter("first.bias", firstBias),
            .parameter("second.weight", secondWeight), .parameter("second.bias", secondBias),
        ]
    }

    /// Rows of the first layer and of the biases, columns of the second layer.
    public var expertDimensions: [String: Int] {
        ["first.weight": 0, "first.bias": 0, "second.weight": 1, "second.bias": 0]
    }

    /// The experts' mean: the second product sums over experts, and one factor scales its result.
    public func mean(of tokens: Tensor) throws(TorchError) -> Tensor {
        let sum = try hidden(tokens).linear(secondWeight.cast(to: tokens.dtype)) * (1 / Double(expertCount))
        return try sum + secondBias.cast(to: tokens.dtype).mean(0)
    }

    /// The experts' weighted sum.
    public func weighted(_ tokens: Tensor, by weights: Tensor) throws(TorchError) -> Tensor {
        let (images, count) = (tokens.size(0), tokens.size(1))
        let scaled = try hidden(tokens).reshape(images, count, expertCount, outputSize) * weights.unsqueeze(-1)
        let projected = try scaled.reshape(images, count, expertCount * outputSize).linear(
            secondWeight.cast(to: tokens.dtype)
        )
        return try projected + weights.matmul(secondBias.cast(to: tokens.dtype))
    }

    /// Every row through one expert.
    public func separate(_ rows: Tensor, sizes: [Int]) throws(TorchError) -> Tensor {
        let first = try firstWeight.cast(to: rows.dtype).reshape(expertCount, outputSize, -1)
        let firstBias = try firstBias.cast(to: rows.dtype).reshape(expertCount, outputSize)
        // The columns of each expert, where they lie.
        let second = try secondWeight.cast(to: rows.dtype).reshape(outputSize, expertCount, outputSize).permute(1, 0, 2)
        return try rows.groupedLinear(first, bias: firstBias, sizes: sizes).gelu()
            .groupedLinear(second, bias: secondBias.cast(to: rows.dtype), sizes: sizes)
    }

    /// The activations of all experts: `[M, T, N·Dt]`.
    private func hidden(_ tokens: Tensor) throws(TorchError) -> Tensor {
        try tokens.linear(firstWeight.cast(to: tokens.dtype), bias: firstBias.cast(to: tokens.dtype)).gelu()
    }
}
