public import Torch
public import TorchNN

/// The constant router: equal weights for all experts.
///
/// Uni-Med eq. 11. The published code keeps a network beside it that nothing reads; there is none here.
public final class ConstantRouter: Router {
    /// Makes a router.
    public init() {}

    /// Nothing.
    public var members: [ModuleMember] { [] }

    /// Equal shares.
    public func routing(of images: RouterInput) throws(TorchError) -> Routing { .equal }
}
