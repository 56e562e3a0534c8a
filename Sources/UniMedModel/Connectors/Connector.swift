public import Torch
public import TorchNN
public import UniMedData

/// Aligns aggregated image tokens with the language model's embedding space.
public protocol Connector: Module {
    /// Aligns the tokens of images, each with its own task.
    ///
    /// - Parameters:
    ///   - tokens: `[M, T, Da]`.
    ///   - tasks: The task of each image, as `M` positions in the configuration's list.
    ///   - modalities: The modality of each image, where its sample carries one; only a hard router by modality reads it.
    /// - Returns: The aligned tokens `[M, T, Dt]` and the routing weights `[M, T, N]`, which are `nil` without experts.
    /// - Throws: ``TorchError`` when the width of `tokens` is not `Da`, or `tasks` or `modalities` do not fit.
    func callAsFunction(_ tokens: Tensor, tasks: [Int], modalities: [String?]) throws(TorchError) -> (
        aligned: Tensor, routingWeights: Tensor?
    )
}

extension Connector {
    /// Aligns the tokens of images whose modality is not known.
    public func callAsFunction(_ tokens: Tensor, tasks: [Int]) throws(TorchError) -> (
        aligned: Tensor, routingWeights: Tensor?
    ) {
        try self(tokens, tasks: tasks, modalities: [String?](repeating: nil, count: tasks.count))
    }
}

/// The connector between vision and language: one projector for all images, or several experts and a router.
///
/// | in a recipe | published name | |
/// |---|---|---|
/// | `{projector: linear}` | `linear` | a baseline of the paper |
/// | `{projector: mlp, layerCount: 2}` | `mlp2x_gelu` | a baseline of the paper |
/// | `{expert: mlp, expertCount: 5, router: {…}}` | `moe_mlp` | the paper's connector |
/// | `{expert: linear, …}` | `moe_linear` | the same with linear experts |
public enum ConnectorConfiguration: Codable, Sendable, Equatable {
    /// One linear layer.
    case linear
    /// Linear layers with GELU between them, the first to the language model's width.
    case mlp(layerCount: Int = 2)
    /// Experts weighed by a router: the connector mixture-of-experts.
    case mixtureOfExperts(ConnectorMoEConfiguration)

    /// The tasks with an image, in the order of the published code.
    public static let publishedTasks: [MedicalTask] = [
        .visualQuestionAnswering, .referringExpressionComprehension, .referringExpressionGeneration, .reportGeneration,
        .imageClassification,
    ]

    /// Makes the configuration of a connector mixture-of-experts; the defaults are the paper's.
    ///
    /// - Parameters:
    ///   - expertCount: `N`; `nil` is one expert for each task or modality of a hard router, otherwise 5.
    ///   - tasks: The tasks with an image; their order is that of task tokens and of a hard router's experts.
    ///   - taskTokenSize: The width of a task token; `nil` is the width `Da` of an aggregated image token.
    public init(
        expert: ConnectorMoEConfiguration.Expert = .mlp,
        expertCount: Int? = nil,
        router: RouterConfiguration = .soft(),
        tasks: [MedicalTask] = publishedTasks,
        taskTokenSize: Int? = nil
    ) {
        self = .mixtureOfExperts(
            ConnectorMoEConfiguration(
                expert: expert,
                expertCount: expertCount,
                router: router,
                tasks: tasks,
                taskTokenSize: taskTokenSize
            )
        )
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case projector, layerCount, expert, expertCount, router, tasks, taskTokenSize
    }

    private enum Projector: String, Codable {
        case linear, mlp, mixtureOfExperts

        var settings: Set<CodingKeys> {
            switch self {
            case .linear: []
            case .mlp: [.layerCount]
            case .mixtureOfExperts: [.expert, .expertCount, .router, .tasks, .taskTokenSize]
            }
        }
    }

    /// Reads a configuration; nothing said is the paper's connector.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let projector = try container.decodeIfPresent(Projector.self, forKey: .projector) ?? .mixtureOfExperts
        for key in CodingKeys.allCases where key != .projector && !projector.settings.contains(key) {
            try container.require(
                !container.contains(key),
                key,
                "the projector \(projector.rawValue) has no \(key.rawValue)"
            )
        }
        switch projector {
        case .linear: self = .linear
        case .mlp: self = .mlp(layerCount: try container.decodePositive(.layerCount, default: 2))
        case .mixtureOfExperts: self = .mixtureOfExperts(try ConnectorMoEConfiguration(in: container))
        }
    }

    /// Writes what ``init(from:)`` reads.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .linear: try container.encode(Projector.linear, forKey: .projector)
        case .mlp(let layerCount):
            try container.encode(Projector.mlp, forKey: .projector)
            try container.encode(layerCount, forKey: .layerCount)
        case .mixtureOfExperts(let mixture):
            try container.encode(Projector.mixtureOfExperts, forKey: .projector)
            try mixture.encode(in: &container)
        }
    }

    /// The experts and their router; `nil` for one projector alone.
    public var mixture: ConnectorMoEConfiguration? {
        if case .mixtureOfExperts(let mixture) = self { mixture } else { nil }
    }

    /// `N`: the number of projection experts; 0 for one projector alone.
    public var expertCount: Int { mixture?.expertCount ?? 0 }

    /// The tasks with an image, in the order in which `tasks` of ``Connector`` counts them.
    public var tasks: [MedicalTask] { mixture?.tasks ?? Self.publishedTasks }

    /// Makes the connector: the one line that a new kind needs.
    ///
    /// - Parameters:
    ///   - inputSize: The width `Da` of an aggregated image token.
    ///   - outputSize: The width `Dt` of the language model.
    /// - Throws: ``TorchError`` when the settings do not fit together.
    public func makeConnector(
        inputSize: Int,
        outputSize: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) -> any Connector {
        switch self {
        case .linear: try LinearConnector(inputSize: inputSize, outputSize: outputSize, builder: builder)
        case .mlp(let count):
            try MLPConnector(layerCount: count, inputSize: inputSize, outputSize: outputSize, builder: builder)
        case .mixtureOfExperts(let mixture):
            try ConnectorMoE(mixture, inputSize: inputSize, outputSize: outputSize, builder: builder)
        }
    }
}
