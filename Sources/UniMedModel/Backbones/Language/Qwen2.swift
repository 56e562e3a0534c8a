import TorchCheckpoints

extension LanguageFamily {
    /// Qwen2 and Qwen2.5, with the sizes of their 7B models of 7,615,616,512 weights.
    ///
    /// Yang and others, 2024. Grouped queries, and a bias on queries, keys and values. A sliding window is in every `config.json` but takes part
    /// only where `use_sliding_window` is true, and then from layer `max_window_layers` on.
    public static let qwen2 = LanguageFamily(
        name: "qwen2",
        modelType: "qwen2",
        published: LlamaConfiguration(
            vocabularySize: 152_064,
            hiddenSize: 3584,
            intermediateSize: 18_944,
            layerCount: 28,
            headCount: 28,
            keyValueHeadCount: 4,
            ropeTheta: 1_000_000,
            rmsNormEpsilon: 1e-6,
            hasAttentionBias: true
        ),
        defaultKeyValueHeadCount: 32,
        hasAttentionBias: true,
        slidingWindow: { (file) throws(CheckpointError) in
            guard file.usesSlidingWindow ?? false, let size = file.slidingWindow(default: 4096) else { return nil }
            let first = try file.firstSlidingLayer() ?? file.maximumWindowLayers ?? 28
            guard first < file.layerCount else { return nil }
            return SlidingWindow(size: try file.positive("sliding_window", size), firstLayer: max(first, 0))
        }
    )
}
