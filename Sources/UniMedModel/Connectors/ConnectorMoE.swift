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
    /// The width of a task token; `nil` is the width `Da` of an aggregated image token, as in the paper.
    public var taskTokenSize: Int?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case expertCount, router, tasks, taskTokenSize
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
        tasks: [MedicalTask] = ConnectorConfiguration.publishedTasks,
        taskTokenSize: Int? = nil
    ) {
        self.expertCount = expertCount
        self.router = router
        self.tasks = tasks
        self.taskTokenSize = taskTokenSize
    }

    /// Reads a configuration; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let defaults = ConnectorConfiguration()
        expertCount = try container.decodePositive(.expertCount, default: defaults.expertCount)
        router = try container.decodeIfPresent(RouterConfiguration.self, forKey: .router) ?? defaults.router
        tasks = try container.decodeIfPresent([MedicalTask].self, forKey: .tasks) ?? defaults.tasks
        taskTokenSize = try container.decodeIfPresent(Int.self, forKey: .taskTokenSize)
        try container.require(
            taskTokenSize ?? 1 > 0,
            .taskTokenSize,
            "must be positive, got \(taskTokenSize ?? 0)"
        )
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
    /// The vision-level special task tokens `f_t^sp` in the order of the configuration's tasks, each `[1, 1, taskTokenSize]`.
    ///
    /// Each is a weight of its own, so that the tokens of tasks that are not in a batch have no gradient and the
    /// optimizer leaves them alone. Empty when the router does not see tasks.
    public let taskTokens: [Parameter]

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
            taskSize: configuration.taskTokenSize ?? inputSize,
            expertCount: configuration.expertCount,
            builder: builder
        )
        var taskTokens: [Parameter] = []
        if configuration.router.inputs.contains(.taskToken) {
            for _ in configuration.tasks {
                taskTokens.append(
                    try builder.normal([1, 1, configuration.taskTokenSize ?? inputSize], deviation: 0.02)
                )
            }
        }
        self.taskTokens = taskTokens
    }

    /// `experts`, `router`, and `task_tokens.vqa` and so on.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = [.module("experts", experts), .module("router", router)]
        for (task, token) in zip(configuration.tasks, taskTokens) {
            members.append(.parameter("task_tokens.\(task.identifier)", token))
        }
        return members
    }

    /// Aligns the tokens of images, each with its own task.
    ///
    /// - Parameters:
    ///   - tokens: `[M, T, Da]`.
    ///   - tasks: The task of each image, as `M` positions in the configuration's list.
    /// - Returns: The aligned tokens `[M, T, Dt]` and the routing weights `[M, T, N]`.
    /// - Throws: ``TorchError`` when the width of `tokens` is not `Da` or `tasks` does not fit.
    public func callAsFunction(_ tokens: Tensor, tasks: [Int]) throws(TorchError) -> (
        aligned: Tensor, routingWeights: Tensor
    ) {
        guard tasks.count == tokens.size(0),
            tasks.allSatisfy(configuration.tasks.indices.contains) || taskTokens.isEmpty
        else {
            throw TorchError(
                operation: "ConnectorMoE",
                operands: [tokens.summary],
                message: "every image needs one of \(configuration.tasks.count) tasks, got \(tasks)"
            )
        }
        let weights = try router.weights(for: tokens, taskTokens: taskTokens(of: tasks, dtype: tokens.dtype))
        return (try experts(tokens, weights: weights), weights)
    }

    /// The task token of each image, `[M, taskTokenSize]`; `nil` without task tokens.
    private func taskTokens(of tasks: [Int], dtype: DType) throws(TorchError) -> Tensor? {
        guard let first = taskTokens.first else { return nil }
        // Only the tokens that are needed take part, so that the others get no gradient, not even zeros.
        var rows: [Tensor] = []
        var rowOfTask: [Int: Int] = [:]
        var places: [Int] = []
        for task in tasks {
            if rowOfTask[task] == nil {
                rowOfTask[task] = rows.count
                rows.append(try taskTokens[task].cast(to: dtype).reshape(1, -1))
            }
            places.append(rowOfTask[task] ?? 0)
        }
        return try Tensor.cat(rows).indexSelect(0, Tensor(places).to(first.value.device))
    }
}
