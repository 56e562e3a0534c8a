public import Torch

/// `y = x Wᵀ + b`, with an optional low-rank adapter, or a mixture of them, beside it.
public final class Linear: Module {
    /// `[out, in]`.
    public let weight: Parameter
    /// `[out]`.
    public let bias: Parameter?
    /// LoRA: added to the product of the (then usually frozen) weight.
    public private(set) var adapter: LowRankAdapter?
    /// LoRA-MoE: added to the product of the (then usually frozen) weight.
    public private(set) var experts: LowRankExperts?
    /// The weight without what is merged into it.
    private var original: Tensor?

    /// How the weight is drawn.
    public enum Initialization: Sendable {
        /// Evenly from `±1/√in`, weight and bias, as PyTorch's linear layer.
        case uniformFanIn
        /// Normally with this deviation; the bias is 0.
        case normal(Double)
    }

    /// Makes a layer.
    public init(
        _ inputSize: Int,
        _ outputSize: Int,
        bias hasBias: Bool = true,
        initialization: Initialization = .uniformFanIn,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        switch initialization {
        case .uniformFanIn:
            let bound = 1 / Double(inputSize).squareRoot()
            weight = try builder.uniform([outputSize, inputSize], bound: bound)
            bias = hasBias ? try builder.uniform([outputSize], bound: bound) : nil
        case .normal(let deviation):
            weight = try builder.normal([outputSize, inputSize], deviation: deviation)
            bias = hasBias ? try builder.constant([outputSize], 0) : nil
        }
    }

    /// `weight`, `bias`, and those of ``LowRankAdapter`` or ``LowRankExperts`` where there are any that are not merged.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = [.parameter("weight", weight)]
        if let bias { members.append(.parameter("bias", bias)) }
        guard !isMerged else { return members }
        if let adapter { members += adapter.members }
        if let experts { members += experts.members }
        return members
    }

    /// Patterns, as in `KeyMap` of `TorchCheckpoints`, of the names that adapters add to those of a model.
    public static let adapterKeyPatterns = [
        "**.lora_A.weight", "**.lora_B.weight", "**.lora_experts.*.weight", "**.lora_experts.router.*",
        "**.lora_experts.router.*.*",
    ]

    // MARK: Adapters

    /// Puts a low-rank adapter beside the weight, which is frozen.
    ///
    /// - Throws: ``TorchError`` while another one is merged into the weight.
    public func attach(_ configuration: LowRankConfiguration, builder: WeightBuilder = WeightBuilder())
        throws(TorchError)
    {
        try freezeForAdapter()
        experts = nil
        adapter = try LowRankAdapter(
            inputSize: weight.value.size(1),
            outputSize: weight.value.size(0),
            configuration,
            builder: builder
        )
    }

    /// Puts a mixture of low-rank adapters beside the weight, which is frozen.
    ///
    /// - Throws: ``TorchError`` while another one is merged into the weight.
    public func attach(_ configuration: LowRankExpertsConfiguration, builder: WeightBuilder = WeightBuilder())
        throws(TorchError)
    {
        try freezeForAdapter()
        adapter = nil
        experts = try LowRankExperts(
            inputSize: weight.value.size(1),
            outputSize: weight.value.size(0),
            configuration,
            builder: builder
        )
    }

    private func freezeForAdapter() throws(TorchError) {
        guard !isMerged else {
            throw TorchError(operation: "attach", message: "an adapter is merged into the weight; unmerge it first")
        }
        try weight.freeze()
        try bias?.freeze()
    }

    /// Whether an adapter is merged into the weight and can be taken out again.
    public var isMerged: Bool { original != nil }

    /// The weight with the adapter's update, such as `W + (alpha / r) B A`: `[out, in]`, without gradient.
    ///
    /// The sum is taken in float32 and rounded once to the weight's type.
    ///
    /// - Throws: ``TorchError`` for a mixture whose router looks at its input: its update differs from token to token.
    public func mergedWeight() throws(TorchError) -> Tensor {
        try withoutGradients { () throws(TorchError) -> Tensor in
            let own = try weight.value.detach()
            guard !isMerged else { return own }
            let update: Tensor
            if let adapter {
                update = try adapter.update()
            } else if let experts {
                update = try experts.update()
            } else {
                return own
            }
            return try (own.to(.float32) + update.to(.float32)).to(own.dtype)
        }
    }

    /// Merges the adapter into the weight, so that the layer is one product.
    ///
    /// Subtracting the update again would not give the weight back: both the sum and the difference are rounded. So the
    /// weight becomes another tensor and the original one is kept as it is, for ``unmerge()``. While merged, the layer
    /// has the names and the weights of a plain one, and cannot be trained. Without an adapter, or when it is merged
    /// already, nothing happens.
    ///
    /// - Parameter keepingOriginal: Whether ``unmerge()`` shall be possible; otherwise the adapter is gone, and with it
    ///   the memory of the original weight.
    /// - Throws: ``TorchError`` for a mixture whose router looks at its input.
    public func merge(keepingOriginal: Bool = true) throws(TorchError) {
        guard !isMerged, adapter != nil || experts != nil else { return }
        let (merged, own) = (try mergedWeight(), weight.value)
        try weight.replace(merged)
        if keepingOriginal {
            original = own
        } else {
            adapter = nil
            experts = nil
        }
    }

    /// Takes the merged adapter out again: weight and adapter are those from before, bit for bit.
    public func unmerge() throws(TorchError) {
        guard let original else { return }
        try weight.replace(original)
        self.original = nil
    }

    private func requireUnmerged(_ training: Bool) throws(TorchError) {
        guard isMerged, training else { return }
        throw TorchError(operation: "Linear", message: "the adapter is merged into the weight; unmerge it to train it")
    }

    // MARK: Products

    /// Applies the layer to the last dimension: `[..., in]` becomes `[..., out]`.
    public func callAsFunction(_ x: Tensor, training: Bool = false) throws(TorchError) -> Tensor {
        try requireUnmerged(training)
        let product = try x.linear(weight.cast(to: x.dtype), bias: bias?.cast(to: x.dtype))
        guard !isMerged else { return product }
        if let adapter { return try product + adapter(x, training: training) }
        if let experts { return try product + experts(x, training: training) }
        return product
    }

    /// Applies several layers that share their input and have no bias.
    ///
    /// Their adapters share the dropped-out input and the product with all `A` where they can; see
    /// ``LowRankAdapter/updates(of:_:training:)``. On the CPU it is one product with the layers' weights joined. On an
    /// accelerator, where large models run, each layer has its own: joined weights would be copies, which the backward
    /// pass keeps, and larger than what is computed with them.
    ///
    /// - Returns: The layers' outputs side by side: `[..., out₀ + out₁ + …]`.
    public static func side(by layers: [Linear], _ x: Tensor, training: Bool = false) throws(TorchError) -> Tensor {
        guard joinsWeights(for: x) else {
            return try Tensor.cat(separately(layers, x, training: training), dimension: -1)
        }
        return try joined(layers, x, training: training)
    }

    /// The gated unit of SwiGLU, `silu(gate(x)) · up(x)`, of two layers without bias, as ``side(by:_:training:)``.
    ///
    /// - Returns: `[..., out]`.
    public static func gatedUnit(
        _ gate: Linear,
        _ up: Linear,
        _ x: Tensor,
        training: Bool = false
    ) throws(TorchError) -> Tensor {
        guard joinsWeights(for: x) else {
            let parts = try separately([gate, up], x, training: training)
            return try parts[0].silu() * parts[1]
        }
        return try joined([gate, up], x, training: training).gatedUnit()
    }

    private static func joinsWeights(for x: Tensor) -> Bool { x.device.isCPU }

    /// One product for each layer.
    package static func separately(_ layers: [Linear], _ x: Tensor, training: Bool) throws(TorchError) -> [Tensor] {
        precondition(layers.allSatisfy { $0.bias == nil }, "layers side by side have no bias")
        for layer in layers { try layer.requireUnmerged(training) }
        let adapters = layers.compactMap { $0.isMerged ? nil : $0.adapter }
        var lowRank = try LowRankAdapter.updates(of: adapters, x, training: training)[...]
        var outputs: [Tensor] = []
        for layer in layers {
            let product = try x.linear(layer.weight.cast(to: x.dtype))
            if layer.isMerged {
                outputs.append(product)
            } else if layer.adapter != nil {
                outputs.append(try product + lowRank.removeFirst())
            } else if let experts = layer.experts {
                outputs.append(try product + experts(x, training: training))
            } else {
                outputs.append(product)
            }
        }
        return outputs
    }

    /// One product for all layers.
    private static func joined(_ layers: [Linear], _ x: Tensor, training: Bool) throws(TorchError) -> Tensor {
        precondition(layers.allSatisfy { $0.bias == nil }, "layers side by side have no bias")
        var weights: [Tensor] = []
        for layer in layers {
            try layer.requireUnmerged(training)
            weights.append(try layer.weight.cast(to: x.dtype))
        }
        let product = try x.linear(Tensor.cat(weights))
        let adapters = layers.map { $0.isMerged ? nil : $0.adapter }
        guard zip(layers, adapters).contains(where: { $1 != nil || (!$0.isMerged && $0.experts != nil) }) else {
            return product
        }
        var lowRank = try LowRankAdapter.updates(of: adapters.compactMap { $0 }, x, training: training)[...]
        var updates: [Tensor] = []
        for (layer, adapter) in zip(layers, adapters) {
            if adapter != nil {
                updates.append(lowRank.removeFirst())
            } else if !layer.isMerged, let experts = layer.experts {
                updates.append(try experts(x, training: training))
            } else {
                updates.append(
                    try Tensor.zeros(
                        Array(x.shape.dropLast()) + [layer.weight.value.size(0)],
                        dtype: x.dtype,
                        device: x.device
                    )
                )
            }
        }
        return try product + Tensor.cat(updates, dimension: -1)
    }
}
