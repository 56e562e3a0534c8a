public import Torch

/// `y = x Wᵀ + b`, with an optional low-rank adapter beside it.
public final class Linear: Module {
    /// `[out, in]`.
    public let weight: Parameter
    /// `[out]`.
    public let bias: Parameter?
    /// LoRA: added to the product of the (then usually frozen) weight.
    public private(set) var adapter: LowRankAdapter?

    /// How the weight is drawn.
    public enum Initialization: Sendable {
        /// Evenly from `±1/√in`, weight and bias, as PyTorch's linear layer.
        case uniformFanIn
        /// Normally with this deviation; the bias is 0.
        case normal(Double)
    }

    /// Makes a layer.
    public init(
        _ inputSize: Int,
        _ outputSize: Int,
        bias hasBias: Bool = true,
        initialization: Initialization = .uniformFanIn,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        switch initialization {
        case .uniformFanIn:
            let bound = 1 / Double(inputSize).squareRoot()
            weight = try builder.uniform([outputSize, inputSize], bound: bound)
            bias = hasBias ? try builder.uniform([outputSize], bound: bound) : nil
        case .normal(let deviation):
            weight = try builder.normal([outputSize, inputSize], deviation: deviation)
            bias = hasBias ? try builder.constant([outputSize], 0) : nil
        }
    }

    /// `weight`, `bias`, and `lora_A.weight`, `lora_B.weight` where there is an adapter.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = [.parameter("weight", weight)]
        if let bias { members.append(.parameter("bias", bias)) }
        if let adapter { members += adapter.members }
        return members
    }

    /// Puts a low-rank adapter beside the weight, which is frozen.
    public func attach(_ configuration: LowRankConfiguration, builder: WeightBuilder = WeightBuilder())
        throws(TorchError)
    {
        try weight.freeze()
        try bias?.freeze()
        adapter = try LowRankAdapter(
            inputSize: weight.value.size(1),
            outputSize: weight.value.size(0),
            configuration,
            builder: builder
        )
    }

    /// The weight with the adapter's update, `W + (alpha / r) B A`: `[out, in]`, without gradient.
    public func mergedWeight() throws(TorchError) -> Tensor {
        try withoutGradients { () throws(TorchError) -> Tensor in
            guard let adapter else { return try weight.value.detach() }
            return try weight.value.detach() + adapter.update().to(weight.value.dtype)
        }
    }

    /// Applies the layer to the last dimension: `[..., in]` becomes `[..., out]`.
    public func callAsFunction(_ x: Tensor, training: Bool = false) throws(TorchError) -> Tensor {
        let product = try x.linear(weight.cast(to: x.dtype), bias: bias?.cast(to: x.dtype))
        guard let adapter else { return product }
        return try product + adapter(x, training: training)
    }

    /// Applies several layers that share their input and have no bias as one product.
    ///
    /// - Returns: The layers' outputs side by side: `[..., out₀ + out₁ + …]`.
    public static func side(by layers: [Linear], _ x: Tensor, training: Bool = false) throws(TorchError) -> Tensor {
        precondition(layers.allSatisfy { $0.bias == nil }, "layers side by side have no bias")
        var weights: [Tensor] = []
        for layer in layers { weights.append(try layer.weight.cast(to: x.dtype)) }
        let product = try x.linear(Tensor.cat(weights))
        guard layers.contains(where: { $0.adapter != nil }) else { return product }
        var updates: [Tensor] = []
        for layer in layers {
            if let adapter = layer.adapter {
                updates.append(try adapter(x, training: training))
            } else {
                updates.append(
                    try Tensor.zeros(
                        Array(x.shape.dropLast()) + [layer.weight.value.size(0)],
                        dtype: x.dtype,
                        device: x.device
                    )
                )
            }
        }
        return try product + Tensor.cat(updates, dimension: -1)
    }
}

/// The size of LoRA's update and how strongly it is applied.
public struct LowRankConfiguration: Codable, Sendable, Equatable {
    /// The rank `r` of the update.
    ///
    /// Default: 8 (Uni-Med, section 4.1).
    public var rank: Int
    /// The update is scaled by `alpha / rank`.
    ///
    /// Default: 16 (published code).
    public var alpha: Double
    /// The share of inputs zeroed during training.
    ///
    /// Default: 0.05 (published code).
    public var dropout: Double

    enum CodingKeys: String, CodingKey {
        case rank, alpha, dropout
    }

    /// Makes a configuration.
    public init(rank: Int = 8, alpha: Double = 16, dropout: Double = 0.05) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
    }

    /// Reads a configuration; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = LowRankConfiguration()
        rank = try container.decodeIfPresent(Int.self, forKey: .rank) ?? defaults.rank
        alpha = try container.decodeIfPresent(Double.self, forKey: .alpha) ?? defaults.alpha
        dropout = try container.decodeIfPresent(Double.self, forKey: .dropout) ?? defaults.dropout
        guard rank > 0 else {
            throw DecodingError.dataCorruptedError(
                forKey: .rank,
                in: container,
                debugDescription: "must be positive, got \(rank)"
            )
        }
        guard (0..<1).contains(dropout) else {
            throw DecodingError.dataCorruptedError(
                forKey: .dropout,
                in: container,
                debugDescription: "must be in 0..<1, got \(dropout)"
            )
        }
    }
}

/// LoRA: the low-rank update `(alpha / r) · B A x` of a linear layer.
///
/// Hu et al. 2021; Uni-Med section 3.2.3.
public final class LowRankAdapter: Module {
    /// `A`: `[r, in]`, drawn at random.
    public let down: Parameter
    /// `B`: `[out, r]`, zero at first, so that the adapted layer starts as the original one.
    public let up: Parameter
    /// `alpha / r`.
    public let scaling: Double
    /// The share of inputs zeroed during training.
    public let dropout: Double

    /// Makes an adapter.
    public init(
        inputSize: Int,
        outputSize: Int,
        _ configuration: LowRankConfiguration,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        // PEFT's Kaiming-uniform with a = √5: a bound of 1/√in.
        down = try builder.uniform([configuration.rank, inputSize], bound: 1 / Double(inputSize).squareRoot())
        up = try builder.constant([outputSize, configuration.rank], 0)
        scaling = configuration.alpha / Double(configuration.rank)
        dropout = configuration.dropout
    }

    /// `lora_A.weight` and `lora_B.weight`, as PEFT names them.
    public var members: [ModuleMember] { [.parameter("lora_A.weight", down), .parameter("lora_B.weight", up)] }

    /// Whether a parameter's full name is one of an adapter's.
    public static func owns(_ name: String) -> Bool {
        name.hasSuffix(".lora_A.weight") || name.hasSuffix(".lora_B.weight")
    }

    /// The update of the weight, `(alpha / r) B A`: `[out, in]`.
    public func update() throws(TorchError) -> Tensor { try up.value.matmul(down.value) * scaling }

    /// The update for inputs `[..., in]`: `[..., out]`.
    public func callAsFunction(_ x: Tensor, training: Bool) throws(TorchError) -> Tensor {
        let input = training ? try x.dropout(dropout) : x
        // Scaling the narrow product, r wide, is cheaper than scaling the output.
        let narrow = try input.linear(down.cast(to: x.dtype)) * scaling
        return try narrow.linear(up.cast(to: x.dtype))
    }
}
