public import Torch
public import TorchNN

/// An MLP for all images: linear layers with exact GELU between them (`mlp2x_gelu`, `mlp3x_gelu` in the published code).
public final class MLPConnector: Connector {
    private let layers: ModuleList<Linear>

    /// Makes a connector with random weights, the first layer from `inputSize` to `outputSize`, all others square.
    public init(
        layerCount: Int,
        inputSize: Int,
        outputSize: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        guard layerCount > 0 else {
            throw TorchError(operation: "MLPConnector", message: "an MLP of \(layerCount) layers")
        }
        var layers: [Linear] = []
        for layer in 0..<layerCount {
            layers.append(try Linear(layer == 0 ? inputSize : outputSize, outputSize, builder: builder))
        }
        self.layers = ModuleList(layers)
    }

    /// `projector.0`, `projector.1`, ….
    public var members: [ModuleMember] { [.module("projector", layers)] }

    /// `[M, T, Da]` becomes `[M, T, Dt]`; task and modality are not read.
    public func callAsFunction(_ tokens: Tensor, tasks: [Int], modalities: [String?]) throws(TorchError) -> (
        aligned: Tensor, routingWeights: Tensor?
    ) {
        var hidden = tokens
        for (number, layer) in layers.elements.enumerated() {
            hidden = try layer(number == 0 ? hidden : hidden.gelu())
        }
        return (hidden, nil)
    }
}
