public import Torch
public import TorchNN

/// One linear layer for all images: the simplest connector of the paper's comparison (table 2).
public final class LinearConnector: Connector {
    private let projector: Linear

    /// Makes a connector with random weights.
    public init(inputSize: Int, outputSize: Int, builder: WeightBuilder = WeightBuilder()) throws(TorchError) {
        projector = try Linear(inputSize, outputSize, builder: builder)
    }

    /// `projector`.
    public var members: [ModuleMember] { [.module("projector", projector)] }

    /// `[M, T, Da]` becomes `[M, T, Dt]`; task and modality are not read.
    public func callAsFunction(_ tokens: Tensor, tasks: [Int], modalities: [String?]) throws(TorchError) -> (
        aligned: Tensor, routingWeights: Tensor?
    ) {
        (try projector(tokens), nil)
    }
}
