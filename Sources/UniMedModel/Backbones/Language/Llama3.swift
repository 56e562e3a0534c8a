import TorchNN

extension LanguageFamily {
    /// Llama 3, with the sizes of Llama 3.1 8B of 8,030,261,248 weights.
    ///
    /// Grattafiori and others, 2024. Grouped queries and, from 3.1 on, rotary wave lengths stretched in Llama 3's own way;
    /// 3.2's small models tie the vocabulary head to the embeddings. Its `config.json` is like a Llama 2's.
    public static let llama3 = LanguageFamily(
        name: "llama3",
        modelType: "llama",
        published: LlamaConfiguration(
            vocabularySize: 128_256,
            hiddenSize: 4096,
            intermediateSize: 14_336,
            layerCount: 32,
            headCount: 32,
            keyValueHeadCount: 8,
            ropeTheta: 500_000,
            rmsNormEpsilon: 1e-5,
            ropeScaling: .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192)
        )
    )
}
