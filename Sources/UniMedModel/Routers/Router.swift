public import Torch
public import TorchNN

/// Weighs the projection experts of a connector for every image token.
///
/// Uni-Med section 3.1.2 and appendix A.1.
public protocol Router: Module {
    /// Decides how the experts share in a batch of images.
    func routing(of images: RouterInput) throws(TorchError) -> Routing
}

/// What a router may look at: the images of a batch.
public struct RouterInput {
    /// The aggregated image tokens: `[images, tokens, Dv·α]`.
    public let tokens: Tensor
    /// Each image's learned task token: `[images, taskSize]`; `nil` where no router sees it.
    public let taskTokens: Tensor?
    /// Each image's task, as a position in the connector's list.
    public let tasks: [Int]
    /// Each image's modality, where its sample carries one.
    public let modalities: [String?]

    /// Makes an input.
    public init(tokens: Tensor, taskTokens: Tensor? = nil, tasks: [Int], modalities: [String?]) {
        self.tokens = tokens
        self.taskTokens = taskTokens
        self.tasks = tasks
        self.modalities = modalities
    }
}

/// How much each expert counts, in the form that costs least to follow.
public enum Routing {
    /// Every expert counts the same.
    case equal
    /// One expert for each image; the others count nothing.
    case single([Int])
    /// A few experts for each token and their weights, both `[images, tokens or 1, K]`; the others count nothing.
    ///
    /// One row for an image stands for all its tokens.
    case sparse(experts: Tensor, weights: Tensor)
    /// All experts: `[images, tokens or 1, experts]`; one row for an image stands for all its tokens.
    case dense(Tensor)

    /// The weight of every expert for every token: `[images, tokens, experts]`.
    ///
    /// - Parameters:
    ///   - tokens: The tokens `[images, tokens, width]` they are for, whose type and device they have.
    ///   - expertCount: `N`.
    public func weights(for tokens: Tensor, expertCount: Int) throws(TorchError) -> Tensor {
        let shape = [tokens.size(0), tokens.size(1), expertCount]
        let rows: Tensor
        switch self {
        case .equal:
            rows = try Tensor.full([1, 1, 1], 1 / Double(expertCount), dtype: tokens.dtype, device: tokens.device)
        case .single(let experts):
            var ones = [Float](repeating: 0, count: experts.count * expertCount)
            for (image, expert) in experts.enumerated() { ones[image * expertCount + expert] = 1 }
            rows = try Tensor(ones, shape: [experts.count, 1, expertCount]).to(tokens.device).to(tokens.dtype)
        case .sparse(let experts, let weights):
            rows = try Tensor.zeros(
                [experts.size(0), experts.size(1), expertCount],
                dtype: weights.dtype,
                device: weights.device
            ).scatter(-1, experts, weights)
        case .dense(let weights): rows = weights
        }
        return try rows.expand(shape)
    }
}
