public import Torch
public import TorchNN

/// The hard router: each type of token has an expert of its own.
///
/// Uni-Med eq. 12. The expert of a task is the one at the task's position in the connector's list, as in the published code, which has no
/// router by modality. The published code keeps a network beside it that nothing reads; there is none here.
public final class HardRouter: Router {
    /// What has an expert of its own.
    public enum TokenType: Sendable, Equatable {
        /// Each task of the connector's list.
        case task
        /// Each of these modalities, as samples name them in their field `modality`.
        case modality([String])
    }

    /// What has an expert of its own.
    public let type: TokenType

    /// Makes a router.
    public init(by type: TokenType) { self.type = type }

    /// Nothing.
    public var members: [ModuleMember] { [] }

    /// Each image's expert.
    ///
    /// - Throws: ``TorchError`` for an image whose modality is not known or has no expert.
    public func routing(of images: RouterInput) throws(TorchError) -> Routing {
        switch type {
        case .task: return .single(images.tasks)
        case .modality(let known):
            var experts: [Int] = []
            for modality in images.modalities {
                guard let expert = modality.flatMap({ known.firstIndex(of: $0) }) else {
                    throw TorchError(
                        operation: "HardRouter",
                        operands: [images.tokens.summary],
                        message: "an image has \(modality.map { "the modality '\($0)'" } ?? "no modality"); there are "
                            + "experts for \(known.joined(separator: ", "))"
                    )
                }
                experts.append(expert)
            }
            return .single(experts)
        }
    }
}
