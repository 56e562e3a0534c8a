import TorchCheckpoints

extension LanguageFamily {
    /// Mistral, with the sizes of the first 7B model of 7,241,732,096 weights.
    ///
    /// Jiang and others, 2023. Grouped queries and a sliding window of 4096 tokens in every layer; later versions have none
    /// (`slidingWindow: null`).
    public static let mistral = LanguageFamily(
        name: "mistral",
        modelType: "mistral",
        published: LlamaConfiguration(
            vocabularySize: 32_000,
            hiddenSize: 4096,
            intermediateSize: 14_336,
            layerCount: 32,
            headCount: 32,
            keyValueHeadCount: 8,
            ropeTheta: 10_000,
            rmsNormEpsilon: 1e-5,
            slidingWindow: SlidingWindow(size: 4096)
        ),
        defaultKeyValueHeadCount: 8,
        slidingWindow: { (file) throws(CheckpointError) in
            guard let size = file.slidingWindow(default: 4096) else { return nil }
            return SlidingWindow(size: try file.positive("sliding_window", size))
        }
    )
}
