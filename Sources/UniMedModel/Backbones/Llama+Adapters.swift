public import Torch
public import TorchNN

extension Llama {
    /// The linear layers that a fine-tuning's targets choose, or all but the vocabulary head.
    private func adaptableLayers(_ targets: Set<String>?) throws(TorchError) -> [Linear] {
        var layers: [(name: String, layer: Linear)] = []
        for (name, layer) in modules(of: Linear.self) where name != "lm_head" && !LowRankAdapter.owns(name + ".weight")
        {
            layers.append((String(name.split(separator: ".").last ?? ""), layer))
        }
        guard let targets else { return layers.map(\.layer) }
        let names = Set(layers.map(\.name))
        let unknown = targets.subtracting(names).sorted()
        guard unknown.isEmpty else {
            let known = names.sorted().joined(separator: ", ")
            throw TorchError(
                operation: "attachAdapters",
                message: "no linear layer is named \(unknown.joined(separator: ", ")); there are \(known)"
            )
        }
        return layers.filter { targets.contains($0.name) }.map(\.layer)
    }

    /// Puts LoRA beside the linear layers that the configuration names, or all but the vocabulary head, and freezes all
    /// other weights.
    ///
    /// - Throws: ``TorchError`` when there is no layer of a name.
    public func attachAdapters(_ configuration: LowRankConfiguration, builder: WeightBuilder = WeightBuilder())
        throws(TorchError)
    {
        let layers = try adaptableLayers(configuration.targets)
        try freeze()
        for layer in layers { try layer.attach(configuration, builder: builder) }
    }

    /// Puts LoRA-MoE beside the linear layers that the configuration names, or all but the vocabulary head, and freezes
    /// all other weights (Uni-Med appendix A.2).
    ///
    /// - Throws: ``TorchError`` when there is no layer of a name.
    public func attachAdapters(_ configuration: LowRankExpertsConfiguration, builder: WeightBuilder = WeightBuilder())
        throws(TorchError)
    {
        let layers = try adaptableLayers(configuration.targets)
        try freeze()
        for layer in layers { try layer.attach(configuration, builder: builder) }
    }

    /// Merges every adapter into its weight: faster answers, no training until ``unmergeAdapters()``.
    ///
    /// - Parameter keepingOriginals: Whether ``unmergeAdapters()`` shall be possible; the adapted layers are then twice in
    ///   memory.
    /// - Throws: ``TorchError`` for LoRA-MoE whose router looks at its input. What was merged already is taken out again
    ///   where its original is kept.
    public func mergeAdapters(keepingOriginals: Bool = true) throws(TorchError) {
        var merged: [Linear] = []
        do throws(TorchError) {
            for (_, layer) in modules(of: Linear.self) where !layer.isMerged {
                try layer.merge(keepingOriginal: keepingOriginals)
                merged.append(layer)
            }
        } catch {
            for layer in merged { try layer.unmerge() }
            throw error
        }
    }

    /// Takes every merged adapter out again: all weights are those from before, bit for bit.
    public func unmergeAdapters() throws(TorchError) {
        for (_, layer) in modules(of: Linear.self) { try layer.unmerge() }
    }
}
