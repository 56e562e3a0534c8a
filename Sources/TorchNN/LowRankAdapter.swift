public import Torch

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
    /// The layers that have an adapter, by the last part of their names, such as `q_proj`; `nil` is every linear layer but
    /// the vocabulary head.
    public var targets: Set<String>?

    enum CodingKeys: String, CodingKey {
        case rank, alpha, dropout, targets
    }

    /// Makes a configuration.
    public init(rank: Int = 8, alpha: Double = 16, dropout: Double = 0.05, targets: Set<String>? = nil) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targets = targets
    }

    /// Reads a configuration; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = LowRankConfiguration()
        rank = try container.decodeIfPresent(Int.self, forKey: .rank) ?? defaults.rank
        alpha = try container.decodeIfPresent(Double.self, forKey: .alpha) ?? defaults.alpha
        dropout = try container.decodeIfPresent(Double.self, forKey: .dropout) ?? defaults.dropout
        targets = try container.decodeIfPresent(Set<String>.self, forKey: .targets)
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

    /// Writes the targets in a fixed order.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(rank, forKey: .rank)
        try container.encode(alpha, forKey: .alpha)
        try container.encode(dropout, forKey: .dropout)
        try container.encodeIfPresent(targets?.sorted(), forKey: .targets)
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

    /// Whether a parameter's full name is one of an adapter's, or of a mixture of them.
    public static func owns(_ name: String) -> Bool {
        name.hasSuffix(".lora_A.weight") || name.hasSuffix(".lora_B.weight") || name.contains(".lora_experts.")
    }

    /// The update of the weight, `(alpha / r) B A`: `[out, in]`.
    public func update() throws(TorchError) -> Tensor { try up.value.matmul(down.value) * scaling }

    /// The update for inputs `[..., in]`: `[..., out]`.
    public func callAsFunction(_ x: Tensor, training: Bool) throws(TorchError) -> Tensor {
        try widened((training ? x.dropout(dropout) : x).linear(down.cast(to: x.dtype)))
    }

    /// `(alpha / r) B` times the narrow product `A x`: `[..., r]` becomes `[..., out]`.
    private func widened(_ narrow: Tensor) throws(TorchError) -> Tensor {
        // Scaling the narrow product, r wide, is cheaper than scaling the output.
        try (narrow * scaling).linear(up.cast(to: narrow.dtype))
    }

    /// The updates of layers that share their input.
    ///
    /// Adapters with the same dropout share the zeroed input, so that it is drawn and kept once, and the product with
    /// their `A` one above the other. (PEFT zeroes every layer's input for itself; for each layer it is the same
    /// distribution.)
    ///
    /// - Parameter x: `[..., in]`.
    /// - Returns: One `[..., out]` for each adapter.
    public static func updates(of adapters: [LowRankAdapter], _ x: Tensor, training: Bool) throws(TorchError)
        -> [Tensor]
    {
        guard let first = adapters.first else { return [] }
        var updates: [Tensor] = []
        guard adapters.count > 1, !training || adapters.allSatisfy({ $0.dropout == first.dropout }) else {
            for adapter in adapters { updates.append(try adapter(x, training: training)) }
            return updates
        }
        var matrices: [Tensor] = []
        for adapter in adapters { matrices.append(try adapter.down.cast(to: x.dtype)) }
        let narrow = try (training ? x.dropout(first.dropout) : x).linear(Tensor.cat(matrices))
        let parts = try narrow.split(matrices.map { $0.size(0) }, dimension: -1)
        for (adapter, part) in zip(adapters, parts) { updates.append(try adapter.widened(part)) }
        return updates
    }
}
