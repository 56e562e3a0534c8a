extension VisionArchitecture {
    /// BiomedCLIP ViT-B/16, timm's plain vision transformer.
    ///
    /// Zhang and others, 2023. Biases everywhere, exact GELU, and a norm after the last block.
    static let biomedCLIP = VisionArchitecture(
        published: VisionConfiguration(
            family: .biomedCLIP,
            imageSize: 224,
            patchSize: 16,
            hiddenSize: 768,
            layerCount: 12,
            headCount: 12,
            mlpRatio: 4
        ),
        projectionBias: .all,
        activation: .gelu,
        hasPatchBias: true,
        normEpsilon: 1e-6,
        normalizesEmbeddings: false,
        normalizesOutput: true,
        checkpoints: [
            // OpenCLIP's file, `open_clip_pytorch_model.bin`, with the text model beside it.
            VisionCheckpoint(
                prefix: "visual.",
                rows: [
                    ("visual.trunk.**", "**"), ("visual.head.**", nil), ("text.**", nil), ("logit_scale", nil),
                ]
            ),
            // This model's names, which are timm's.
            VisionCheckpoint(prefix: "", rows: [("fc_norm.*", nil), ("head.*", nil), ("**", "**")]),
        ]
    )
}
