public import Torch
public import TorchNN

/// Linear experts: `Σ_k w_k (W_k x + b_k)`.
public final class LinearExperts: ProjectionExperts {
    /// `N`.
    public let expertCount: Int
    private let outputSize: Int
    /// `[N·Dt, Da]`.
    private let weight: Parameter
    /// `[N, Dt]`.
    private let bias: Parameter

    /// Makes experts with random weights.
    public init(
        count: Int,
        inputSize: Int,
        outputSize: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        expertCount = count
        self.outputSize = outputSize
        let bound = 1 / Double(inputSize).squareRoot()
        weight = try builder.uniform([count * outputSize, inputSize], bound: bound)
        bias = try builder.uniform([count, outputSize], bound: bound)
    }

    /// The stacked weights; ``PublishedCheckpoint`` takes them apart.
    public var members: [ModuleMember] { [.parameter("weight", weight), .parameter("bias", bias)] }

    /// Rows of the weight and of the bias.
    public var expertDimensions: [String: Int] { ["weight": 0, "bias": 0] }

    /// One product: a mean of linear layers is the linear layer of mean weights.
    public func mean(of tokens: Tensor) throws(TorchError) -> Tensor {
        try tokens.linear(
            weights(as: tokens.dtype).mean(0),
            bias: bias.cast(to: tokens.dtype).mean(0)
        )
    }

    /// All experts in one product and the weighted sum of their outputs.
    ///
    /// Where the tokens of an image share their weights, the experts become one linear layer for each image first.
    public func weighted(_ tokens: Tensor, by weights: Tensor) throws(TorchError) -> Tensor {
        let (images, count, width) = (tokens.size(0), tokens.size(1), tokens.size(2))
        let bias = try bias.cast(to: tokens.dtype)
        if weights.size(1) == 1, count > expertCount {
            let perImage = try weights.reshape(images, expertCount)
            let stacked = try weight.cast(to: tokens.dtype).reshape(expertCount, outputSize * width)
            let merged = try perImage.matmul(stacked).reshape(images, outputSize, width)
            return try Tensor.multiplyAdd(
                perImage.matmul(bias).unsqueeze(1),
                tokens,
                merged.transpose(1, 2)
            )
        }
        let outputs = try tokens.linear(weight.cast(to: tokens.dtype), bias: bias.reshape(-1))
        return try (outputs.reshape(images, count, expertCount, outputSize) * weights.unsqueeze(-1)).sum(2)
    }

    /// Every row through one expert.
    public func separate(_ rows: Tensor, sizes: [Int]) throws(TorchError) -> Tensor {
        try rows.groupedLinear(weights(as: rows.dtype), bias: bias.cast(to: rows.dtype), sizes: sizes)
    }

    /// `[N, Dt, Da]`.
    private func weights(as dtype: DType) throws(TorchError) -> Tensor {
        try weight.cast(to: dtype).reshape(expertCount, outputSize, -1)
    }
}
