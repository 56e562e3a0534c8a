public import Torch
public import TorchNN
public import UniMedData

// The connector mixture-of-experts (CMoE) of Uni-Med section 3.2.2.
//
// M images, T tokens per image (Nv/α), Da width of an aggregated token (Dv·α), Dt width of the language model, N experts.

/// The settings of a ``ConnectorMoE``; the defaults are the paper's.
public struct ConnectorMoEConfiguration: Sendable, Equatable {
    /// What an expert is.
    public enum Expert: String, Codable, Sendable, CaseIterable {
        /// Two linear layers with GELU between them.
        case mlp
        /// One linear layer.
        case linear
    }

    /// What an expert is.
    ///
    /// Default: a two-layer MLP.
    public var expert: Expert
    /// `N`: the number of projection experts.
    ///
    /// Default: 5, or one for each task or modality of a hard router.
    public var expertCount: Int
    /// What weighs the experts.
    public var router: RouterConfiguration
    /// The tasks that have a vision-level task token, in the published order.
    public var tasks: [MedicalTask]
    /// The width of a task token; `nil` is the width `Da` of an aggregated image token, as in the paper.
    public var taskTokenSize: Int?

    /// Makes a configuration.
    public init(
        expert: Expert = .mlp,
        expertCount: Int? = nil,
        router: RouterConfiguration = .soft(),
        tasks: [MedicalTask] = ConnectorConfiguration.publishedTasks,
        taskTokenSize: Int? = nil
    ) {
        self.expert = expert
        self.expertCount = expertCount ?? Self.typeCount(router, tasks) ?? 5
        self.router = router
        self.tasks = tasks
        self.taskTokenSize = taskTokenSize
    }

    /// The number of types that a hard router tells apart.
    private static func typeCount(_ router: RouterConfiguration, _ tasks: [MedicalTask]) -> Int? {
        switch router {
        case .hard(by: .task): tasks.count
        case .hard(by: .modality(let modalities)): modalities.count
        case .constant, .sparse, .soft: nil
        }
    }

    /// What does not fit together, with the setting that is wrong; `nil` when all does.
    private var contradiction: (key: ConnectorConfiguration.CodingKeys, problem: String)? {
        if expertCount < 1 { return (.expertCount, "must be positive, got \(expertCount)") }
        if let taskTokenSize, taskTokenSize < 1 { return (.taskTokenSize, "must be positive, got \(taskTokenSize)") }
        if Set(tasks).count != tasks.count { return (.tasks, "a task is named twice") }
        if router.seesTaskToken, tasks.isEmpty { return (.tasks, "a router that sees task tokens needs tasks") }
        if let count = Self.typeCount(router, tasks) {
            if count == 0 { return (.tasks, "a hard router needs tasks") }
            if expertCount < count {
                return (.expertCount, "a hard router of \(count) types needs as many experts, got \(expertCount)")
            }
        }
        if case .sparse(let topK, _, _) = router, !(1...expertCount).contains(topK) {
            return (.router, "must be one of 1...\(expertCount) experts, got \(topK)")
        }
        return nil
    }

    init(in container: KeyedDecodingContainer<ConnectorConfiguration.CodingKeys>) throws {
        let router = try container.decodeIfPresent(RouterConfiguration.self, forKey: .router) ?? .soft()
        self.init(
            expert: try container.decodeIfPresent(Expert.self, forKey: .expert) ?? .mlp,
            expertCount: try container.decodeIfPresent(Int.self, forKey: .expertCount),
            router: router,
            tasks: try container.decodeIfPresent([MedicalTask].self, forKey: .tasks)
                ?? ConnectorConfiguration.publishedTasks,
            taskTokenSize: try container.decodeIfPresent(Int.self, forKey: .taskTokenSize)
        )
        switch contradiction {
        case nil: break
        case (.router, let problem)?:
            try container.nestedContainer(keyedBy: RouterConfiguration.CodingKeys.self, forKey: .router)
                .require(false, .topK, problem)
        case (let key, let problem)?: try container.require(false, key, problem)
        }
        try container.require(
            taskTokenSize == nil || router.seesTaskToken,
            .taskTokenSize,
            "the router sees no task token"
        )
    }

    func encode(in container: inout KeyedEncodingContainer<ConnectorConfiguration.CodingKeys>) throws {
        try container.encode(expert, forKey: .expert)
        try container.encode(expertCount, forKey: .expertCount)
        try container.encode(router, forKey: .router)
        try container.encode(tasks, forKey: .tasks)
        try container.encodeIfPresent(router.seesTaskToken ? taskTokenSize : nil, forKey: .taskTokenSize)
    }

    /// Makes the experts: the one line that a new kind needs.
    func makeExperts(
        inputSize: Int,
        outputSize: Int,
        builder: WeightBuilder
    ) throws(TorchError) -> any ProjectionExperts {
        if let (key, problem) = contradiction {
            throw TorchError(operation: "ConnectorMoE", message: "\(key.rawValue): \(problem)")
        }
        switch expert {
        case .mlp:
            return try MLPExperts(count: expertCount, inputSize: inputSize, outputSize: outputSize, builder: builder)
        case .linear:
            return try LinearExperts(count: expertCount, inputSize: inputSize, outputSize: outputSize, builder: builder)
        }
    }
}

/// The connector mixture-of-experts: several projectors, and a router that weighs them for every image token.
public final class ConnectorMoE: Connector {
    /// The settings.
    public let configuration: ConnectorMoEConfiguration
    /// The projection experts.
    public let experts: any ProjectionExperts
    /// What weighs them.
    public let router: any Router
    /// The vision-level special task tokens `f_t^sp` in the order of the configuration's tasks, each `[1, 1, taskTokenSize]`.
    ///
    /// Each is a weight of its own, so that the tokens of tasks that are not in a batch have no gradient and the
    /// optimizer leaves them alone. Empty when the router does not see tasks.
    public let taskTokens: [Parameter]
    /// Experts that are left out, to see what they are for: the others' weights are divided by their sum.
    ///
    /// A token all of whose experts are left out becomes zeros. Default: none.
    public var removedExperts: Set<Int> = []

    /// Makes a connector from tokens of width `inputSize` (`Dv·α`) to `outputSize` (`Dt`).
    ///
    /// - Throws: ``TorchError`` when the settings do not fit together.
    public init(
        _ configuration: ConnectorMoEConfiguration,
        inputSize: Int,
        outputSize: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        self.configuration = configuration
        let taskSize = configuration.taskTokenSize ?? inputSize
        experts = try configuration.makeExperts(inputSize: inputSize, outputSize: outputSize, builder: builder)
        router = try configuration.router.makeRouter(
            tokenSize: inputSize,
            taskSize: taskSize,
            expertCount: configuration.expertCount,
            builder: builder
        )
        var taskTokens: [Parameter] = []
        if configuration.router.seesTaskToken {
            for _ in configuration.tasks { taskTokens.append(try builder.normal([1, 1, taskSize], deviation: 0.02)) }
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
    ///   - modalities: The modality of each image, where its sample carries one; only a hard router by modality reads it.
    /// - Returns: The aligned tokens `[M, T, Dt]` and the routing weights `[M, T, N]`.
    /// - Throws: ``TorchError`` when the width of `tokens` is not `Da`, or `tasks` or `modalities` do not fit.
    public func callAsFunction(_ tokens: Tensor, tasks: [Int], modalities: [String?]) throws(TorchError) -> (
        aligned: Tensor, routingWeights: Tensor?
    ) {
        guard tasks.count == tokens.size(0), modalities.count == tasks.count,
            tasks.allSatisfy(configuration.tasks.indices.contains) || !readsTasks
        else {
            throw TorchError(
                operation: "ConnectorMoE",
                operands: [tokens.summary],
                message: "every image needs one of \(configuration.tasks.count) tasks, got \(tasks)"
            )
        }
        let routed = try router.routing(
            of: RouterInput(
                tokens: tokens,
                taskTokens: try taskTokens(of: tasks, dtype: tokens.dtype),
                tasks: tasks,
                modalities: modalities
            )
        )
        let routing = removedExperts.isEmpty ? routed : try withoutRemoved(routed, tokens: tokens)
        return (
            try experts(tokens, routing: routing),
            try routing.weights(for: tokens, expertCount: configuration.expertCount)
        )
    }

    /// The routing without the removed experts.
    private func withoutRemoved(_ routing: Routing, tokens: Tensor) throws(TorchError) -> Routing {
        let kept = (0..<configuration.expertCount).map { removedExperts.contains($0) ? Float(0) : 1 }
        let weights = try routing.weights(for: tokens, expertCount: configuration.expertCount)
        let masked = try weights * Tensor(kept).to(weights.device).to(weights.dtype)
        let sums = try masked.sum(-1, keepingDimensions: true)
        return .dense(try masked / sums.maskedFill(sums.compare(.equal, 0), 1))
    }

    private var readsTasks: Bool {
        if case .hard(by: .task) = configuration.router { true } else { !taskTokens.isEmpty }
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
