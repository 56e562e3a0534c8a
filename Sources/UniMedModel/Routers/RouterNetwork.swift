public import Torch
public import TorchNN

/// The settings of a ``RouterNetwork``.
public struct RouterNetworkConfiguration: Sendable, Equatable {
    /// What a network sees.
    public enum Input: String, Codable, Sendable, CaseIterable {
        /// The aggregated image token: routing by content.
        case imageToken
        /// The learned token of the task: routing by task.
        case taskToken
    }

    /// What the network sees, at least one of them.
    ///
    /// Default: both, task token first.
    public var inputs: Set<Input>
    /// The width of the hidden layer; `nil` is 4 times the input, as in the published code.
    public var hiddenSize: Int?

    /// Makes a configuration.
    public init(inputs: Set<Input> = [.imageToken, .taskToken], hiddenSize: Int? = nil) {
        self.inputs = inputs
        self.hiddenSize = hiddenSize
    }

    /// The width of the task's and the image's part of the input.
    package func inputSizes(tokenSize: Int, taskSize: Int) -> (task: Int, token: Int) {
        (inputs.contains(.taskToken) ? taskSize : 0, inputs.contains(.imageToken) ? tokenSize : 0)
    }

    /// The width of the hidden layer for inputs of these widths.
    package func hiddenSize(tokenSize: Int, taskSize: Int) -> Int {
        let sizes = inputSizes(tokenSize: tokenSize, taskSize: taskSize)
        return hiddenSize ?? 4 * (sizes.task + sizes.token)
    }
}

/// The small network `g` of sparse and soft routers: a two-layer MLP that scores every expert for every image token.
///
/// The published code concatenates the task token, repeated for every image token, with the image token:
/// `W [task ; token] + b`. Here the first layer is kept in two halves, `W_task task + (W_token token + b)`: the same sum,
/// with the task's half computed once per image instead of once per token.
public final class RouterNetwork: Module {
    /// The settings.
    public let configuration: RouterNetworkConfiguration
    /// The task half of the first layer: `[hidden, taskSize]`.
    private let taskWeight: Parameter?
    /// The token half of the first layer: `[hidden, tokenSize]`.
    private let tokenWeight: Parameter?
    private let hiddenBias: Parameter
    private let output: Linear

    /// Makes a network.
    ///
    /// - Parameters:
    ///   - tokenSize: The width `Dv·α` of an aggregated image token.
    ///   - taskSize: The width of a task token; `Dv·α` in the paper.
    ///   - expertCount: `N`.
    public init(
        _ configuration: RouterNetworkConfiguration,
        tokenSize: Int,
        taskSize: Int,
        expertCount: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        let sizes = configuration.inputSizes(tokenSize: tokenSize, taskSize: taskSize)
        guard sizes.task + sizes.token > 0 else {
            throw TorchError(operation: "RouterNetwork", message: "a router sees imageToken, taskToken or both")
        }
        self.configuration = configuration
        let hidden = configuration.hiddenSize(tokenSize: tokenSize, taskSize: taskSize)
        let bound = 1 / Double(sizes.task + sizes.token).squareRoot()
        taskWeight = sizes.task > 0 ? try builder.uniform([hidden, sizes.task], bound: bound) : nil
        tokenWeight = sizes.token > 0 ? try builder.uniform([hidden, sizes.token], bound: bound) : nil
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

    /// The score of each projection expert for each aggregated image token.
    ///
    /// - Returns: `[images, tokens, experts]`; `[images, 1, experts]` where only the task is seen, which an image's tokens
    ///   share.
    /// - Throws: ``TorchError`` when the widths do not fit or a task token is missing.
    public func scores(of images: RouterInput) throws(TorchError) -> Tensor {
        let tokens = images.tokens
        let bias = try hiddenBias.cast(to: tokens.dtype)
        let hidden: Tensor
        switch (taskWeight, tokenWeight, images.taskTokens) {
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
                operation: "RouterNetwork",
                operands: [tokens.summary],
                message: "the router needs a task token per image"
            )
        }
        return try output(hidden.gelu())
    }
}
