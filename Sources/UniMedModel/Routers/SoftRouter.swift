public import Torch
public import TorchNN

/// The settings of a ``SoftRouter``.
public struct RouterConfiguration: Codable, Sendable, Equatable {
    /// What the router sees.
    public enum Input: String, Codable, Sendable, CaseIterable {
        /// The aggregated image token: routing by content.
        case imageToken
        /// The learned token of the task: routing by task.
        case taskToken
    }

    /// How scores become weights that sum to 1.
    public enum Normalization: String, Codable, Sendable {
        /// The sigmoids divided by their sum: Uni-Med eq. 14 and the published code.
        case sigmoid
        /// SoftMax: Uni-Med eq. 8.
        case softmax
    }

    /// What the router sees.
    ///
    /// Default: both, task token first.
    public var inputs: Set<Input>
    /// How scores become weights.
    ///
    /// Default: the normalised sigmoid.
    public var normalization: Normalization
    /// The width of the hidden layer; `nil` is 4 times the input, as in the published code.
    public var hiddenSize: Int?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case inputs, normalization, hiddenSize
    }

    /// Makes a configuration.
    public init(
        inputs: Set<Input> = [.imageToken, .taskToken],
        normalization: Normalization = .sigmoid,
        hiddenSize: Int? = nil
    ) {
        self.inputs = inputs
        self.normalization = normalization
        self.hiddenSize = hiddenSize
    }

    /// Reads a configuration; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let defaults = RouterConfiguration()
        inputs = try container.decodeIfPresent(Set<Input>.self, forKey: .inputs) ?? defaults.inputs
        normalization =
            try container.decodeIfPresent(Normalization.self, forKey: .normalization) ?? defaults.normalization
        hiddenSize = try container.decodeIfPresent(Int.self, forKey: .hiddenSize)
        try container.require(!inputs.isEmpty, .inputs, "a soft router sees imageToken, taskToken or both")
        try container.require(hiddenSize ?? 1 > 0, .hiddenSize, "must be positive, got \(hiddenSize ?? 0)")
    }

    /// Writes the inputs in a fixed order.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(inputs.sorted { $0.rawValue < $1.rawValue }, forKey: .inputs)
        try container.encode(normalization, forKey: .normalization)
        try container.encodeIfPresent(hiddenSize, forKey: .hiddenSize)
    }
}

/// The soft router `R_soft` of the connector: a two-layer MLP that weighs every projection expert for every image token.
///
/// Uni-Med eq. 8. The published code concatenates the task token, repeated for every image token, with the image token:
/// `W [task ; token] + b`. Here the first layer is kept in two halves, `W_task task + (W_token token + b)`: the same sum,
/// with the task's half computed once per image instead of once per token.
public final class SoftRouter: Module {
    /// The settings.
    public let configuration: RouterConfiguration
    /// The task half of the first layer: `[hidden, taskSize]`.
    private let taskWeight: Parameter?
    /// The token half of the first layer: `[hidden, tokenSize]`.
    private let tokenWeight: Parameter?
    private let hiddenBias: Parameter
    private let output: Linear

    /// Makes a router.
    ///
    /// - Parameters:
    ///   - tokenSize: The width `Dv·α` of an aggregated image token.
    ///   - taskSize: The width of a task token; `Dv·α` in the paper.
    ///   - expertCount: `N`.
    public init(
        _ configuration: RouterConfiguration,
        tokenSize: Int,
        taskSize: Int,
        expertCount: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        self.configuration = configuration
        let seesTask = configuration.inputs.contains(.taskToken)
        let seesToken = configuration.inputs.contains(.imageToken)
        let inputSize = (seesTask ? taskSize : 0) + (seesToken ? tokenSize : 0)
        let hidden = configuration.hiddenSize ?? 4 * inputSize
        let bound = 1 / Double(inputSize).squareRoot()
        taskWeight = seesTask ? try builder.uniform([hidden, taskSize], bound: bound) : nil
        tokenWeight = seesToken ? try builder.uniform([hidden, tokenSize], bound: bound) : nil
        hiddenBias = try builder.uniform([hidden], bound: bound)
        output = try Linear(hidden, expertCount, builder: builder)
    }

    /// `fc1` in its halves and `fc2`; ``PublishedCheckpoint`` joins the halves.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = []
        if let taskWeight { members.append(.parameter("fc1.task_weight", taskWeight)) }
        if let tokenWeight { members.append(.parameter("fc1.token_weight", tokenWeight)) }
        return members + [.parameter("fc1.bias", hiddenBias), .module("fc2", output)]
    }

    /// The weight of each projection expert for each aggregated image token.
    ///
    /// Eq. 8 prints the result as `Dv/α × N`; the sizes fit only as `Nv/α × N`.
    ///
    /// - Parameters:
    ///   - tokens: `[images, tokens, tokenSize]`.
    ///   - taskTokens: `[images, taskSize]`: each image's task token; not read by a router without task input.
    /// - Returns: `[images, tokens, experts]`; each row is positive and sums to 1.
    /// - Throws: ``TorchError`` when the widths do not fit.
    public func weights(for tokens: Tensor, taskTokens: Tensor?) throws(TorchError) -> Tensor {
        let bias = try hiddenBias.cast(to: tokens.dtype)
        var hidden: Tensor
        switch (taskWeight, tokenWeight, taskTokens) {
        case (let taskWeight?, let tokenWeight?, let taskTokens?):
            let task = try taskTokens.linear(taskWeight.cast(to: tokens.dtype), bias: bias)  // [images, hidden]
            hidden = try tokens.linear(tokenWeight.cast(to: tokens.dtype)) + task.unsqueeze(1)
        case (let taskWeight?, nil, let taskTokens?):
            // [images, 1, hidden]
            hidden = try taskTokens.linear(taskWeight.cast(to: tokens.dtype), bias: bias).unsqueeze(1)
        case (nil, let tokenWeight?, _):
            hidden = try tokens.linear(tokenWeight.cast(to: tokens.dtype), bias: bias)
        default:
            throw TorchError(
                operation: "SoftRouter",
                operands: [tokens.summary],
                message: "the router needs a task token per image"
            )
        }
        hidden = try hidden.gelu()
        let scores = try output(hidden)
        let weights: Tensor
        switch configuration.normalization {
        case .softmax: weights = try scores.softmax()
        case .sigmoid:
            let sigmoids = try scores.sigmoid()
            weights = try sigmoids / sigmoids.sum(-1, keepingDimensions: true)
        }
        return tokenWeight == nil ? try weights.expand([tokens.size(0), tokens.size(1), weights.size(2)]) : weights
    }
}
