extension VisionArchitecture {
    /// EVA-CLIP ViT-G/14, as the published code of Uni-Med builds it.
    ///
    /// Sun and others, 2023. q and v have a bias, k has none; exact GELU; no norm after the last block, because Uni-Med adds `ln_vision`. 39 of
    /// the checkpoint's 40 blocks are used.
    static let evaCLIP = VisionArchitecture(
        published: VisionConfiguration(
            family: .evaCLIP,
            imageSize: 224,
            patchSize: 14,
            hiddenSize: 1408,
            layerCount: 39,
            headCount: 16,
            mlpRatio: 4.3637
        ),
        projectionBias: .queryAndValue,
        activation: .gelu,
        hasPatchBias: true,
        normEpsilon: 1e-6,
        normalizesEmbeddings: false,
        normalizesOutput: false,
        checkpoints: [
            VisionCheckpoint(prefix: "", rows: [("norm.*", nil), ("fc_norm.*", nil), ("head.*", nil), ("**", "**")])
        ]
    )
}
