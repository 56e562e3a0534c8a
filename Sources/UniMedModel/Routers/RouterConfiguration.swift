import Torch
import TorchNN

/// Which router weighs the projection experts, one of the four kinds of Uni-Med's appendix A.1.
///
/// | `type` in a recipe | weights | settings beside it |
/// |---|---|---|
/// | `constant` | all equal | |
/// | `hard` | 1 for the expert of the task (or modality) | `by`, `modalities` |
/// | `sparse` | of the `topK` largest scores | `topK`, `normalization`, `inputs`, `hiddenSize` |
/// | `soft` | of all scores | `normalization`, `inputs`, `hiddenSize` |
public enum RouterConfiguration: Codable, Sendable, Equatable {
    /// What the network of a sparse or soft router sees.
    public typealias Input = RouterNetworkConfiguration.Input

    /// Equal weights.
    case constant
    /// One expert for each task or modality.
    case hard(by: HardRouter.TokenType = .task)
    /// The experts with the `topK` largest scores.
    case sparse(
        topK: Int = 2,
        _ normalization: SparseRouter.Normalization = .published,
        network: RouterNetworkConfiguration = .init()
    )
    /// All experts: the paper's connector.
    case soft(_ normalization: SoftRouter.Normalization = .sigmoid, network: RouterNetworkConfiguration = .init())

    /// Makes a soft router.
    public init(
        inputs: Set<Input> = [.imageToken, .taskToken],
        normalization: SoftRouter.Normalization = .sigmoid,
        hiddenSize: Int? = nil
    ) {
        self = .soft(normalization, network: RouterNetworkConfiguration(inputs: inputs, hiddenSize: hiddenSize))
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case type, inputs, hiddenSize, normalization, topK, by, modalities
    }

    private enum Kind: String, Codable {
        case constant, hard, sparse, soft

        var settings: Set<CodingKeys> {
            switch self {
            case .constant: []
            case .hard: [.by, .modalities]
            case .sparse: [.inputs, .hiddenSize, .normalization, .topK]
            case .soft: [.inputs, .hiddenSize, .normalization]
            }
        }
    }

    private enum TokenTypeName: String, Codable {
        case task, modality
    }

    /// Reads `{type: sparse, topK: 2, inputs: [imageToken]}`; nothing said is the paper's soft router.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let kind = try container.decodeIfPresent(Kind.self, forKey: .type) ?? .soft
        for key in CodingKeys.allCases where key != .type && !kind.settings.contains(key) {
            try container.require(!container.contains(key), key, "a \(kind.rawValue) router has no \(key.rawValue)")
        }
        switch kind {
        case .constant: self = .constant
        case .hard:
            switch try container.decodeIfPresent(TokenTypeName.self, forKey: .by) ?? .task {
            case .task:
                try container.require(!container.contains(.modalities), .modalities, "belongs to by: modality")
                self = .hard(by: .task)
            case .modality:
                let modalities = try container.decode([String].self, forKey: .modalities)
                try container.require(!modalities.isEmpty, .modalities, "a router by modality needs modalities")
                try container.require(
                    Set(modalities).count == modalities.count,
                    .modalities,
                    "a modality is named twice"
                )
                self = .hard(by: .modality(modalities))
            }
        case .sparse:
            self = .sparse(
                topK: try container.decodePositive(.topK, default: 2),
                try container.decodeIfPresent(SparseRouter.Normalization.self, forKey: .normalization) ?? .published,
                network: try Self.network(in: container)
            )
        case .soft:
            self = .soft(
                try container.decodeIfPresent(SoftRouter.Normalization.self, forKey: .normalization) ?? .sigmoid,
                network: try Self.network(in: container)
            )
        }
    }

    private static func network(
        in container: KeyedDecodingContainer<CodingKeys>
    ) throws -> RouterNetworkConfiguration {
        let defaults = RouterNetworkConfiguration()
        let inputs = try container.decodeIfPresent(Set<Input>.self, forKey: .inputs) ?? defaults.inputs
        let hiddenSize = try container.decodeIfPresent(Int.self, forKey: .hiddenSize)
        try container.require(!inputs.isEmpty, .inputs, "a router sees imageToken, taskToken or both")
        try container.require(hiddenSize ?? 1 > 0, .hiddenSize, "must be positive, got \(hiddenSize ?? 0)")
        return RouterNetworkConfiguration(inputs: inputs, hiddenSize: hiddenSize)
    }

    /// Writes the inputs in a fixed order.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .constant: try container.encode(Kind.constant, forKey: .type)
        case .hard(let type):
            try container.encode(Kind.hard, forKey: .type)
            switch type {
            case .task: try container.encode(TokenTypeName.task, forKey: .by)
            case .modality(let modalities):
                try container.encode(TokenTypeName.modality, forKey: .by)
                try container.encode(modalities, forKey: .modalities)
            }
        case .sparse(let topK, let normalization, _):
            try container.encode(Kind.sparse, forKey: .type)
            try container.encode(topK, forKey: .topK)
            try container.encode(normalization, forKey: .normalization)
        case .soft(let normalization, _):
            try container.encode(Kind.soft, forKey: .type)
            try container.encode(normalization, forKey: .normalization)
        }
        if let network {
            try container.encode(network.inputs.sorted { $0.rawValue < $1.rawValue }, forKey: .inputs)
            try container.encodeIfPresent(network.hiddenSize, forKey: .hiddenSize)
        }
    }

    /// The network that scores the experts; `nil` for a router without weights of its own.
    public var network: RouterNetworkConfiguration? {
        switch self {
        case .constant, .hard: nil
        case .sparse(_, _, let network), .soft(_, let network): network
        }
    }

    /// Whether the router sees the learned token of the task.
    public var seesTaskToken: Bool { network?.inputs.contains(.taskToken) ?? false }

    /// Makes the router: the one line that a new kind needs.
    ///
    /// - Parameters:
    ///   - tokenSize: The width `Dv·α` of an aggregated image token.
    ///   - taskSize: The width of a task token.
    ///   - expertCount: `N`.
    func makeRouter(
        tokenSize: Int,
        taskSize: Int,
        expertCount: Int,
        builder: WeightBuilder
    ) throws(TorchError) -> any Router {
        func scores(_ network: RouterNetworkConfiguration) throws(TorchError) -> RouterNetwork {
            try RouterNetwork(
                network,
                tokenSize: tokenSize,
                taskSize: taskSize,
                expertCount: expertCount,
                builder: builder
            )
        }
        switch self {
        case .constant: return ConstantRouter()
        case .hard(let type): return HardRouter(by: type)
        case .sparse(let topK, let normalization, let network):
            return SparseRouter(topK: topK, normalization, network: try scores(network))
        case .soft(let normalization, let network): return SoftRouter(normalization, network: try scores(network))
        }
    }
}
