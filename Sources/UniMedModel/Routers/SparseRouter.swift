public import Torch
public import TorchNN

/// The sparse router: for every image token the `K` experts with the largest scores.
///
/// Uni-Med eq. 13.
public final class SparseRouter: Router {
    /// How the kept scores become weights that sum to 1.
    public enum Normalization: String, Codable, Sendable {
        /// The softmax of the kept scores, the others being minus infinity: the published code.
        ///
        /// The other experts have weight 0, and no product is done for them.
        case published
        /// The softmax of all scores, the others being 0: eq. 13 as printed.
        ///
        /// Every expert has some weight, and all products are done.
        case paper
    }

    /// `K`: how many experts a token has.
    public let topK: Int
    /// How scores become weights.
    public let normalization: Normalization
    private let network: RouterNetwork

    /// Makes a router.
    public init(topK: Int, _ normalization: Normalization, network: RouterNetwork) {
        self.topK = topK
        self.normalization = normalization
        self.network = network
    }

    /// The network's `fc1` and `fc2`.
    public var members: [ModuleMember] { network.members }

    /// The chosen experts and their weights; with ``Normalization/paper`` the weights of all experts.
    public func routing(of images: RouterInput) throws(TorchError) -> Routing {
        let scores = try network.scores(of: images)
        let (values, experts) = try scores.topK(topK)
        switch normalization {
        case .published: return .sparse(experts: experts, weights: try values.softmax())
        case .paper:
            let kept = try Tensor.zeros(scores.shape, dtype: scores.dtype, device: scores.device)
                .scatter(-1, experts, values)
            return .dense(try kept.softmax())
        }
    }
}
