public import Torch

// LoRA-MoE (Uni-Med appendix A.2): N low-rank adapters and a router beside a frozen linear layer.
//
// N experts, r rank of each, K experts that the sparse router keeps.

/// How a mixture of low-rank adapters weighs its experts.
///
/// Uni-Med eq. 11, 13 and 14.
public enum LowRankRouterConfiguration: Sendable, Equatable {
    /// The small network `g` that scores the experts; the paper does not say what it is.
    public enum Network: Sendable, Equatable {
        /// One linear layer.
        case linear
        /// Two linear layers with the exact GELU between them, as the connector's router; `nil` is 4 times the input.
        ///
        /// Beside each layer of a large language model it has more weights than the model itself.
        case mlp(hiddenSize: Int?)
    }

    /// What takes the place of the scores that the sparse router drops.
    public enum DroppedScore: String, Sendable, Codable, CaseIterable {
        /// Dropped experts weigh nothing: what the published code's connector does.
        case minusInfinity
        /// Dropped experts weigh as those with score 0: eq. 13 as printed.
        case zero
    }

    /// How scores become weights that sum to 1.
    public enum Normalization: String, Sendable, Codable, CaseIterable {
        /// The sigmoids divided by their sum: eq. 14.
        case sigmoid
        /// SoftMax: eq. 8.
        case softmax
    }

    /// All experts weigh `1 / N` (eq. 11).
    case constant
    /// The SoftMax of the `topK` highest scores (eq. 13).
    case sparse(topK: Int, dropped: DroppedScore = .minusInfinity, network: Network = .linear)
    /// All scores, normalised (eq. 14).
    case soft(Normalization = .sigmoid, network: Network = .linear)

    /// The network that scores the experts; `nil` where nothing is scored.
    public var network: Network? {
        switch self {
        case .constant: nil
        case .sparse(_, _, let network), .soft(_, let network): network
        }
    }
}

/// The sizes of a mixture of low-rank adapters; the defaults are the paper's (appendix A.2).
public struct LowRankExpertsConfiguration: Sendable, Equatable {
    /// The rank `r` of each expert.
    ///
    /// Default: 4.
    public var rank: Int
    /// The update is scaled by `alpha / rank`.
    ///
    /// Default: 8.
    public var alpha: Double
    /// The share of the experts' inputs zeroed during training; the router sees all of its input.
    ///
    /// Default: 0.05, as for LoRA in the published code.
    public var dropout: Double
    /// `N`.
    ///
    /// Default: 5.
    public var expertCount: Int
    /// How the experts are weighed.
    ///
    /// Default: the two best of each token.
    public var router: LowRankRouterConfiguration
    /// The layers that have experts, by the last part of their names, such as `q_proj`; `nil` is every linear layer but the
    /// vocabulary head.
    public var targets: Set<String>?

    /// Makes a configuration.
    public init(
        rank: Int = 4,
        alpha: Double = 8,
        dropout: Double = 0.05,
        expertCount: Int = 5,
        router: LowRankRouterConfiguration = .sparse(topK: 2),
        targets: Set<String>? = nil
    ) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.expertCount = expertCount
        self.router = router
        self.targets = targets
    }
}

/// LoRA-MoE: the update `(alpha / r) Σ_k R(x)_k B_k A_k x` of a linear layer.
///
/// Uni-Med eq. 15.
///
/// The `A_k` are stacked by rows and the `B_k` by columns: one product, each expert's `r` numbers scaled by its weight,
/// one product. No expert's output is kept by itself. The sparse router's dropped experts are weighed with 0 in the same
/// products: taking each expert's tokens apart and putting them together again is slower at every rank that LoRA uses
/// (on a CPU, 520 tokens of width 4096 in bfloat16, forward and backward: 3.7 times with 5 experts of rank 4, 3.1 times
/// with 16 of rank 64), since the inputs that it moves are far wider than what it saves.
public final class LowRankExperts: Module {
    /// The `A_k` one above the other: `[N·r, in]`, drawn at random.
    public let down: Parameter
    /// The `B_k` side by side: `[out, N·r]`, zero at first, so that the adapted layer starts as the original one.
    public let up: Parameter
    /// The settings.
    public let configuration: LowRankExpertsConfiguration
    private let network: (any Module)?

    /// Makes a mixture.
    ///
    /// - Precondition: Sizes are positive, and a sparse router keeps at least one and at most all of the experts.
    public init(
        inputSize: Int,
        outputSize: Int,
        _ configuration: LowRankExpertsConfiguration,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        let (count, rank) = (configuration.expertCount, configuration.rank)
        precondition(count > 0 && rank > 0, "a mixture has experts, and they have a rank")
        if case .sparse(let topK, _, _) = configuration.router {
            precondition((1...count).contains(topK), "a sparse router keeps 1 to \(count) experts, not \(topK)")
        }
        self.configuration = configuration
        // Normal, as the paper says, and as large as LoRA's.
        down = try builder.normal([count * rank, inputSize], deviation: 1 / (3 * Double(inputSize)).squareRoot())
        up = try builder.constant([outputSize, count * rank], 0)
        switch configuration.router.network {
        case .linear: network = try Linear(inputSize, count, builder: builder)
        case .mlp(let hiddenSize):
            network = try RouterMLP(inputSize, hiddenSize ?? 4 * inputSize, count, builder: builder)
        case nil: network = nil
        }
    }

    /// `lora_experts.A.weight`, `lora_experts.B.weight` and, where there is one, `lora_experts.router`.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = [
            .parameter("lora_experts.A.weight", down), .parameter("lora_experts.B.weight", up),
        ]
        if let network { members.append(.module("lora_experts.router", network)) }
        return members
    }

    /// `alpha / r`.
    public var scaling: Double { configuration.alpha / Double(configuration.rank) }

    /// The score of each expert for inputs `[..., in]`: `[..., N]`; `nil` for the constant router.
    public func scores(of x: Tensor) throws(TorchError) -> Tensor? {
        switch network {
        case let linear as Linear: try linear(x)
        case let mlp as RouterMLP: try mlp(x)
        default: nil
        }
    }

    /// The weight of each expert for inputs `[..., in]`: `[..., N]` in float32, each row summing to 1.
    public func routingWeights(for x: Tensor) throws(TorchError) -> Tensor {
        let count = configuration.expertCount
        guard let scores = try scores(of: x)?.to(.float32) else {
            return try Tensor.full(Array(x.shape.dropLast()) + [count], 1 / Double(count), device: x.device)
        }
        switch configuration.router {
        case .constant, .soft(.softmax, _): return try scores.softmax()
        case .soft(.sigmoid, _):
            let sigmoids = try scores.sigmoid()
            return try sigmoids / sigmoids.sum(-1, keepingDimensions: true)
        case .sparse(let topK, let dropped, _):
            let (values, indices) = try scores.topK(topK)
            // [..., K, N]: by position, so that exactly K are kept also where scores are equal.
            let isKept = try indices.unsqueeze(-1)
                .compare(.equal, Tensor.arange(0, Double(count), device: x.device)).to(.float32)
            switch dropped {
            case .minusInfinity: return try (values.softmax().unsqueeze(-1) * isKept).sum(-2)
            case .zero: return try (scores * isKept.sum(-2)).softmax()
            }
        }
    }

    /// The update for inputs `[..., in]`: `[..., out]`.
    public func callAsFunction(_ x: Tensor, training: Bool) throws(TorchError) -> Tensor {
        let (count, rank) = (configuration.expertCount, configuration.rank)
        let input = training ? try x.dropout(configuration.dropout) : x
        var narrow = try input.linear(down.cast(to: x.dtype))
        if network == nil {
            narrow = try narrow * (scaling / Double(count))
        } else {
            let leading = Array(x.shape.dropLast())
            let weights = try (routingWeights(for: x) * scaling).to(x.dtype)
            narrow = try (narrow.reshape(leading + [count, rank]) * weights.unsqueeze(-1))
                .reshape(leading + [count * rank])
        }
        return try narrow.linear(up.cast(to: x.dtype))
    }

    /// The update of the weight, `(alpha / r) Σ_k B_k A_k / N`: `[out, in]`.
    ///
    /// - Throws: ``TorchError`` unless the router is constant: with another one there is no such update.
    public func update() throws(TorchError) -> Tensor {
        guard network == nil else {
            throw TorchError(
                operation: "update",
                operands: [down.value.summary, up.value.summary],
                message: "experts that a router weighs token by token cannot be merged into one weight"
            )
        }
        return try up.value.matmul(down.value) * (scaling / Double(configuration.expertCount))
    }
}

/// A router of two linear layers with the exact GELU between them.
private final class RouterMLP: Module {
    private let first: Linear
    private let second: Linear

    init(_ inputSize: Int, _ hiddenSize: Int, _ outputSize: Int, builder: WeightBuilder) throws(TorchError) {
        first = try Linear(inputSize, hiddenSize, builder: builder)
        second = try Linear(hiddenSize, outputSize, builder: builder)
    }

    var members: [ModuleMember] { [.module("fc1", first), .module("fc2", second)] }

    func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor { try second(first(x).gelu()) }
}
