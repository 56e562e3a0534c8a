extension LanguageFamily {
    /// Llama 2, Uni-Med's language model, with the sizes of the 7B model of 6,738,415,616 weights.
    ///
    /// Touvron and others, 2023.
    public static let llama2 = LanguageFamily(
        name: "llama2",
        modelType: "llama",
        published: LlamaConfiguration(
            vocabularySize: 32_000,
            hiddenSize: 4096,
            intermediateSize: 11_008,
            layerCount: 32,
            headCount: 32,
            ropeTheta: 10_000,
            rmsNormEpsilon: 1e-5
        )
    )
}
