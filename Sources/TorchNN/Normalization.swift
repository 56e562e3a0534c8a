public import Torch

/// Layer normalisation over the last dimension.
public final class LayerNorm: Module {
    /// `[width]`, 1 at first.
    public let weight: Parameter
    /// `[width]`, 0 at first.
    public let bias: Parameter
    private let epsilon: Double

    /// Makes a layer.
    public init(_ width: Int, epsilon: Double = 1e-5, builder: WeightBuilder = WeightBuilder()) throws(TorchError) {
        weight = try builder.constant([width], 1)
        bias = try builder.constant([width], 0)
        self.epsilon = epsilon
    }

    /// `weight` and `bias`.
    public var members: [ModuleMember] { [.parameter("weight", weight), .parameter("bias", bias)] }

    /// Normalises the last dimension; means and variances are taken in float32 also for narrower inputs.
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try x.layerNorm(weight: weight.cast(to: x.dtype), bias: bias.cast(to: x.dtype), epsilon: epsilon)
    }
}

/// Root-mean-square normalisation over the last dimension, as Llama uses it.
public final class RMSNorm: Module {
    /// `[width]`, 1 at first.
    public let weight: Parameter
    private let epsilon: Double

    /// Makes a layer.
    public init(_ width: Int, epsilon: Double = 1e-5, builder: WeightBuilder = WeightBuilder()) throws(TorchError) {
        weight = try builder.constant([width], 1)
        self.epsilon = epsilon
    }

    /// `weight`.
    public var members: [ModuleMember] { [.parameter("weight", weight)] }

    /// Normalises the last dimension.
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        try x.rmsNorm(weight: weight.cast(to: x.dtype), epsilon: epsilon)
    }
}

/// A table of vectors, read by index.
public final class Embedding: Module {
    /// `[rows, width]`.
    public let weight: Parameter

    /// Makes a table.
    public init(
        _ rows: Int,
        _ width: Int,
        deviation: Double = 0.02,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        weight = try builder.normal([rows, width], deviation: deviation)
    }

    /// `weight`.
    public var members: [ModuleMember] { [.parameter("weight", weight)] }

    /// The vectors of `indices` (int64): `[...]` becomes `[..., width]`.
    public func callAsFunction(_ indices: Tensor) throws(TorchError) -> Tensor {
        try weight.value.embedding(indices)
    }
}
