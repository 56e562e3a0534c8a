private import CTorch

/// How the losses of a batch become one number.
public enum LossReduction: Int32, Sendable {
    case none, mean, sum
}

extension Tensor {
    /// `x Wᵀ + b` with `weight` `[out, in]` and `bias` `[out]`: `[..., in]` becomes `[..., out]`.
    public func linear(_ weight: Tensor, bias: Tensor? = nil) throws(TorchError) -> Tensor {
        try Tensor.make("linear", self, weight, bias) { ct_linear(handle, weight.handle, bias?.handle, $0) }
    }

    /// Consecutive groups of rows, each through a linear layer of its own: `[rows, in]` becomes `[rows, out]`.
    ///
    /// No product is done for a group without rows; the gradient of its weight is zero.
    ///
    /// - Parameters:
    ///   - weight: `[groups, out, in]`, also a view with other strides, such as of weights stacked by columns.
    ///   - bias: `[groups, out]`.
    ///   - sizes: The number of rows of each group, which add up to all rows.
    public func groupedLinear(_ weight: Tensor, bias: Tensor, sizes: [Int]) throws(TorchError) -> Tensor {
        try Tensor.make("groupedLinear", self, weight, bias) {
            ct_grouped_linear(handle, weight.handle, bias.handle, sizes, Int32(sizes.count), $0)
        }
    }

    /// Two-dimensional convolution of `[batch, in, height, width]` with `weight` `[out, in, kernel, kernel]`.
    public func convolution(_ weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0) throws(TorchError)
        -> Tensor
    {
        try Tensor.make("convolution", self, weight, bias) {
            ct_conv2d(handle, weight.handle, bias?.handle, stride, padding, $0)
        }
    }

    /// The logistic function.
    public func sigmoid() throws(TorchError) -> Tensor { try Tensor.make("sigmoid", self) { ct_sigmoid(handle, $0) } }

    /// `x · sigmoid(x)`.
    public func silu() throws(TorchError) -> Tensor { try Tensor.make("silu", self) { ct_silu(handle, $0) } }

    /// The gated unit of SwiGLU, `silu(gate) · up`, of gate and up side by side: `[..., 2 width]` becomes `[..., width]`.
    public func gatedUnit() throws(TorchError) -> Tensor {
        try Tensor.make("gatedUnit", self) { ct_gated_unit(handle, $0) }
    }

    /// The larger of `x` and 0.
    public func relu() throws(TorchError) -> Tensor { try Tensor.make("relu", self) { ct_relu(handle, $0) } }

    /// The Gaussian error linear unit, exact (erf) unless the tanh form is asked for.
    public func gelu(tanhApproximation: Bool = false) throws(TorchError) -> Tensor {
        try Tensor.make("gelu", self) { ct_gelu(handle, tanhApproximation, $0) }
    }

    /// The softmax along one dimension.
    public func softmax(_ dimension: Int = -1) throws(TorchError) -> Tensor {
        try Tensor.make("softmax", self) { ct_softmax(handle, dimension, $0) }
    }

    /// Scaled-dot-product attention of packed sequences to themselves: one kernel of the CPU for float32 and bfloat16, which
    /// pads nothing and lays nothing out anew.
    ///
    /// - Parameters:
    ///   - lengths: Those of the sequences, whose tokens stand one after the other; tokens behind them become 0.
    ///   - headCount: `H`, of this tensor `[tokens, H + 2 K, D]`: queries, then keys, then values.
    ///   - keyHeadCount: `K`, a divisor of `H`.
    ///   - scale: What the scores are multiplied by.
    ///   - causal: Whether a token sees only itself and those before it.
    ///   - window: With `causal`, how many tokens a token sees, itself included. Default: all before it.
    /// - Returns: `[tokens, H · D]`.
    public func selfAttention(
        lengths: [Int],
        headCount: Int,
        keyHeadCount: Int,
        scale: Double,
        causal: Bool,
        window: Int? = nil
    ) throws(TorchError) -> Tensor {
        try Tensor.make("selfAttention", self) {
            ct_self_attention(
                handle,
                lengths,
                Int32(lengths.count),
                headCount,
                keyHeadCount,
                scale,
                causal,
                window ?? .max,
                $0
            )
        }
    }

    /// The logarithm of the softmax along one dimension.
    public func logSoftmax(_ dimension: Int = -1) throws(TorchError) -> Tensor {
        try Tensor.make("logSoftmax", self) { ct_log_softmax(handle, dimension, $0) }
    }

    /// Layer normalisation over the last dimension, with `weight` and `bias` of its size.
    public func layerNorm(weight: Tensor?, bias: Tensor?, epsilon: Double) throws(TorchError) -> Tensor {
        try Tensor.make("layerNorm", self, weight, bias) {
            ct_layer_norm(handle, weight?.handle, bias?.handle, size(-1), epsilon, $0)
        }
    }

    /// Root-mean-square normalisation over the last dimension, with `weight` of its size.
    public func rmsNorm(weight: Tensor?, epsilon: Double) throws(TorchError) -> Tensor {
        try Tensor.make("rmsNorm", self, weight) { ct_rms_norm(handle, weight?.handle, size(-1), epsilon, $0) }
    }

    /// Rotary embedding of heads `[tokens, heads, width]`: `x · cos + swapped(x) · sin`, the halves of a head swapped.
    ///
    /// - Parameters:
    ///   - cosines: `[tokens, 1, width]`, of this tensor's type.
    ///   - signedSines: `[tokens, 1, width]`, negative in the first half.
    ///   - headCount: How many heads are turned, from the first; the others are copied.
    public func rotated(cosines: Tensor, signedSines: Tensor, headCount: Int) throws(TorchError) -> Tensor {
        try Tensor.make("rotate", self, cosines, signedSines) {
            ct_rotate(handle, cosines.handle, signedSines.handle, headCount, $0)
        }
    }

    /// Rows of a table `[rows, width]` (this tensor) by index (int64): `[...]` becomes `[..., width]`.
    public func embedding(_ indices: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("embedding", self, indices) { ct_embedding(handle, indices.handle, $0) }
    }

    /// LibTorch's fused scaled-dot-product attention; this tensor is the query.
    ///
    /// - Parameters:
    ///   - key: `[batch, heads, keys, headSize]`; this tensor is `[batch, heads, queries, headSize]`.
    ///   - value: `[batch, heads, keys, headSize]`.
    ///   - mask: Broadcast to `[batch, heads, queries, keys]`: bool (true takes part), or numbers added to the scores.
    ///   - causal: Whether a query sees only keys at or before its own position; excludes a mask.
    ///   - scale: The factor of the scores, usually `headSize ** -0.5`.
    ///   - grouped: Whether keys and values have fewer heads than the query, each shared by a group.
    public func attention(
        key: Tensor,
        value: Tensor,
        mask: Tensor? = nil,
        causal: Bool = false,
        scale: Double,
        grouped: Bool = false
    ) throws(TorchError) -> Tensor {
        let result = try Tensor.make("attention", self, key, value) {
            ct_attention(handle, key.handle, value.handle, mask?.handle, causal, scale, grouped, $0)
        }
        withExtendedLifetime(mask) {}
        return result
    }

    /// The cross entropy of logits `[n, classes]` (this tensor) with targets `[n]` (int64).
    ///
    /// - Parameters:
    ///   - ignoredTarget: Targets of this value take no part, also not in the mean.
    ///   - labelSmoothing: The share of the target's probability spread over all classes, in `0...1`.
    public func crossEntropy(
        _ targets: Tensor,
        ignoredTarget: Int = -100,
        reduction: LossReduction = .mean,
        labelSmoothing: Double = 0
    ) throws(TorchError) -> Tensor {
        try Tensor.make("crossEntropy", self, targets) {
            ct_cross_entropy(handle, targets.handle, ignoredTarget, reduction.rawValue, labelSmoothing, $0)
        }
    }

    /// The binary cross entropy of logits (this tensor) with targets in `0...1` of the same shape.
    ///
    /// - Parameters:
    ///   - weight: Multiplies every element's loss, with broadcasting.
    ///   - positiveWeight: Multiplies the loss of positive targets, with broadcasting.
    public func binaryCrossEntropy(
        _ targets: Tensor,
        weight: Tensor? = nil,
        positiveWeight: Tensor? = nil,
        reduction: LossReduction = .mean
    ) throws(TorchError) -> Tensor {
        let result = try Tensor.make("binaryCrossEntropy", self, targets, weight) {
            ct_binary_cross_entropy(
                handle,
                targets.handle,
                weight?.handle,
                positiveWeight?.handle,
                reduction.rawValue,
                $0
            )
        }
        withExtendedLifetime(positiveWeight) {}
        return result
    }

    /// Zeroes elements at random with the default generator and scales the others by `1 / (1 - probability)`.
    public func dropout(_ probability: Double) throws(TorchError) -> Tensor {
        if probability == 0 { return self }
        return try Tensor.make("dropout", self) { ct_dropout(handle, probability, $0) }
    }

    /// Bicubic interpolation of `[batch, channels, height, width]` (A = -0.75, no antialias, corners not aligned).
    public func bicubic(height: Int, width: Int) throws(TorchError) -> Tensor {
        try Tensor.make("bicubic", self) { ct_bicubic(handle, height, width, $0) }
    }

    /// How positions outside a picture are read.
    public enum Border: Int32, Sendable {
        case zeros, edge, reflection
    }

    /// Reads a picture `[batch, channels, h, w]` bilinearly at the positions `[batch, height, width, 2]`, each in `-1...1`.
    public func gridSample(_ grid: Tensor, border: Border = .zeros) throws(TorchError) -> Tensor {
        try Tensor.make("gridSample", self, grid) { ct_grid_sample(handle, grid.handle, 0, border.rawValue, $0) }
    }

    /// The sampling grid `[batch, height, width, 2]` of affine maps `[batch, 2, 3]` (this tensor).
    public func affineGrid(batch: Int, channels: Int, height: Int, width: Int) throws(TorchError) -> Tensor {
        try Tensor.make("affineGrid", self) { ct_affine_grid(handle, batch, channels, height, width, $0) }
    }
}
