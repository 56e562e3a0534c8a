public import Torch
public import TorchNN
public import UniMedData

// The connector mixture-of-experts (CMoE) of Uni-Med section 3.2.2.
//
// M images, T tokens per image (Nv/α), Da width of an aggregated token (Dv·α), Dt width of the language model, N experts.

/// The settings of a ``ConnectorMoE``; the defaults are the paper's.
public struct ConnectorConfiguration: Codable, Sendable, Equatable {
    /// `N`: the number of projection experts.
    ///
    /// Default: 5.
    public var expertCount: Int
    /// The soft router.
    public var router: RouterConfiguration
    /// The tasks that have a vision-level task token, in the published order.
    public var tasks: [MedicalTask]

    enum CodingKeys: String, CodingKey, CaseIterable {
        case expertCount, router, tasks
    }

    /// The tasks with an image, in the order of the published code.
    public static let publishedTasks: [MedicalTask] = [
        .visualQuestionAnswering, .referringExpressionComprehension, .referringExpressionGeneration, .reportGeneration,
        .imageClassification,
    ]

    /// Makes a configuration.
    public init(
        expertCount: Int = 5,
        router: RouterConfiguration = .init(),
        tasks: [MedicalTask] = ConnectorConfiguration.publishedTasks
    ) {
        self.expertCount = expertCount
        self.router = router
        self.tasks = tasks
    }

    /// Reads a configuration; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let defaults = ConnectorConfiguration()
        expertCount = try container.decodePositive(.expertCount, default: defaults.expertCount)
        router = try container.decodeIfPresent(RouterConfiguration.self, forKey: .router) ?? defaults.router
        tasks = try container.decodeIfPresent([MedicalTask].self, forKey: .tasks) ?? defaults.tasks
        try container.require(Set(tasks).count == tasks.count, .tasks, "a task is named twice")
        try container.require(
            !router.inputs.contains(.taskToken) || !tasks.isEmpty,
            .tasks,
            "a router that sees task tokens needs tasks"
        )
    }
}

/// The two-layer MLP experts `E_1 … E_N`, all in two products.
///
/// `Σ_k w_k (W2_k gelu(W1_k x + b1_k) + b2_k)` (Uni-Med eq. 9) with the `W1_k` stacked by rows into `[N·Dt, Da]`, each
/// expert's activations scaled by its weight, and the `W2_k` stacked by columns into `[Dt, N·Dt]`: no expert's output is
/// ever kept by itself.
public final class ProjectionExperts: Module {
    private let expertCount: Int
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

    /// The experts' weighted sum.
    ///
    /// - Parameters:
    ///   - tokens: `[M, T, Da]`.
    ///   - weights: `[M, T, N]`.
    /// - Returns: `[M, T, Dt]`.
    public func callAsFunction(_ tokens: Tensor, weights: Tensor) throws(TorchError) -> Tensor {
        let (images, count) = (tokens.size(0), tokens.size(1))
        let hidden = try tokens.linear(firstWeight.cast(to: tokens.dtype), bias: firstBias.cast(to: tokens.dtype))
            .gelu()
        let scaled = try hidden.reshape(images, count, expertCount, outputSize) * weights.unsqueeze(-1)
        let projected = try scaled.reshape(images, count, expertCount * outputSize).linear(
            secondWeight.cast(to: tokens.dtype)
        )
        return try projected + weights.matmul(secondBias.cast(to: tokens.dtype))
    }
}

/// The connector mixture-of-experts: aligns aggregated image tokens with the language model's embedding space.
public final class ConnectorMoE: Module {
    /// The settings.
    public let configuration: ConnectorConfiguration
    /// The projection experts.
    public let experts: ProjectionExperts
    /// The soft router.
    public let router: SoftRouter
    /// The vision-level special task tokens `f_t^sp`, one row each: `[tasks, Da]`.
    public let taskTokens: Parameter?

    /// Makes a connector from tokens of width `inputSize` (`Dv·α`) to `outputSize` (`Dt`).
    public init(
        _ configuration: ConnectorConfiguration,
        inputSize: Int,
        outputSize: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        self.configuration = configuration
        experts = try ProjectionExperts(
            count: configuration.expertCount,
            inputSize: inputSize,
            outputSize: outputSize,
            builder: builder
        )
        router = try SoftRouter(
            configuration.router,
            tokenSize: inputSize,
            taskSize: inputSize,
            expertCount: configuration.expertCount,
            builder: builder
        )
        taskTokens =
            configuration.router.inputs.contains(.taskToken)
            ? try builder.normal([configuration.tasks.count, inputSize], deviation: 1) : nil
    }

    /// `experts`, `router` and `task_tokens`.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = [.module("experts", experts), .module("router", router)]
        if let taskTokens { members.append(.parameter("task_tokens", taskTokens)) }
        return members
    }

    /// Aligns the tokens of images, each with its own task.
    ///
    /// - Parameters:
    ///   - tokens: `[M, T, Da]`.
    ///   - tasks: The task of each image, as `M` positions in the configuration's list (int64).
    /// - Returns: The aligned tokens `[M, T, Dt]` and the routing weights `[M, T, N]`.
    /// - Throws: ``TorchError`` when the width of `tokens` is not `Da`.
    public func callAsFunction(_ tokens: Tensor, tasks: Tensor) throws(TorchError) -> (
        aligned: Tensor, routingWeights: Tensor
    ) {
        let own = try taskTokens.map { parameter throws(TorchError) in
            try parameter.cast(to: tokens.dtype).indexSelect(0, tasks)
        }
        let weights = try router.weights(for: tokens, taskTokens: own)
        return (try experts(tokens, weights: weights), weights)
    }
}
