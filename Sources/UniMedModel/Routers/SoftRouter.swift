public import Torch
public import TorchNN

/// The soft router `R_soft`, the paper's: a weight for every projection expert and every image token.
///
/// Uni-Med eq. 8, which prints the result as `Dv/α × N`; the sizes fit only as `Nv/α × N`.
public final class SoftRouter: Router {
    /// How scores become weights that sum to 1.
    public enum Normalization: String, Codable, Sendable {
        /// The sigmoids divided by their sum: Uni-Med eq. 14 and the published code.
        case sigmoid
        /// SoftMax: Uni-Med eq. 8.
        case softmax
    }

    /// How scores become weights.
    public let normalization: Normalization
    private let network: RouterNetwork

    /// Makes a router.
    public init(_ normalization: Normalization, network: RouterNetwork) {
        self.normalization = normalization
        self.network = network
    }

    /// The network's `fc1` and `fc2`.
    public var members: [ModuleMember] { network.members }

    /// The weights of all experts, each positive.
    public func routing(of images: RouterInput) throws(TorchError) -> Routing {
        let scores = try network.scores(of: images)
        switch normalization {
        case .softmax: return .dense(try scores.softmax())
        case .sigmoid:
            let sigmoids = try scores.sigmoid()
            return .dense(try sigmoids / sigmoids.sum(-1, keepingDimensions: true))
        }
    }
}
