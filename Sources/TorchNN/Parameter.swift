public import Torch

/// A weight of a module: trained, or frozen and only read.
public final class Parameter {
    /// The weight itself.
    ///
    /// Trained weights stay in the type they are updated in, usually float32.
    public private(set) var value: Tensor

    /// Whether gradients are collected and an optimizer updates the weight.
    public private(set) var isTrainable: Bool

    /// Makes a weight.
    public init(_ value: Tensor, trainable: Bool = true) throws(TorchError) {
        self.value = value
        isTrainable = trainable && value.dtype.isFloatingPoint
        try value.requireGradient(isTrainable)
    }

    /// The weight in the type of a computation: the same tensor where it has it already, otherwise a copy whose gradient
    /// flows back into ``value``.
    public func cast(to dtype: DType) throws(TorchError) -> Tensor {
        value.dtype == dtype ? value : try value.to(dtype)
    }

    /// Stops training the weight and forgets its gradient.
    public func freeze() throws(TorchError) {
        isTrainable = false
        value = try value.detach()
    }

    /// Starts training the weight.
    public func unfreeze() throws(TorchError) {
        isTrainable = true
        try value.requireGradient()
    }

    /// Overwrites the elements, keeping type, device and memory.
    ///
    /// - Throws: ``TorchError`` when the shapes differ; nothing is broadcast.
    public func load(_ source: Tensor) throws(TorchError) {
        guard source.shape == value.shape else {
            throw TorchError(
                operation: "load",
                operands: [value.summary, source.summary],
                message: "the shapes differ"
            )
        }
        _ = try withoutGradients { () throws(TorchError) -> Tensor in try value.detach().copy(from: source) }
    }

    /// Replaces the tensor, for example by one in another type, on another device or mapped from a file.
    ///
    /// - Throws: ``TorchError`` when the shapes differ.
    public func replace(_ tensor: Tensor) throws(TorchError) {
        guard tensor.shape == value.shape else {
            throw TorchError(
                operation: "replace",
                operands: [value.summary, tensor.summary],
                message: "the shapes differ"
            )
        }
        value = try tensor.detach()
        try value.requireGradient(isTrainable)
    }
}

/// Draws initial weights of one type on one device, from the default generator.
///
/// On ``Device/meta`` weights have a shape but no memory: a model of any size can be described without allocating it.
public struct WeightBuilder: Sendable {
    /// The type of the weights.
    ///
    /// Default: float32.
    public var dtype: DType
    /// The device the weights live on.
    ///
    /// Default: the CPU.
    public var device: Device

    /// Makes a builder.
    public init(dtype: DType = .float32, device: Device = .cpu) {
        self.dtype = dtype
        self.device = device
    }

    /// Weights drawn evenly from `-bound...bound`.
    public func uniform(_ shape: [Int], bound: Double) throws(TorchError) -> Parameter {
        try Parameter(Tensor.empty(shape, dtype: dtype, device: device).fillUniform(-bound, bound))
    }

    /// Weights drawn from a normal distribution around 0.
    public func normal(_ shape: [Int], deviation: Double) throws(TorchError) -> Parameter {
        try Parameter(Tensor.empty(shape, dtype: dtype, device: device).fillNormal(deviation: deviation))
    }

    /// Weights of one value.
    public func constant(_ shape: [Int], _ value: Double) throws(TorchError) -> Parameter {
        try Parameter(Tensor.full(shape, value, dtype: dtype, device: device))
    }
}
