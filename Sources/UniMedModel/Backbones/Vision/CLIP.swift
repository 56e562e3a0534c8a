extension VisionArchitecture {
    /// OpenAI's CLIP ViT-L/14.
    ///
    /// Radford and others, 2021. A norm before the first block, no bias where patches are embedded, quick GELU, no norm of the patches' output
    /// (CLIP's own last norm is the class token's). 23 of the 24 blocks are used, so that the output is the penultimate
    /// layer's, as in LLaVA and BLIP-2; `layerCount: 24` takes the last layer's.
    static let clip = VisionArchitecture(
        published: VisionConfiguration(
            family: .clip,
            imageSize: 224,
            patchSize: 14,
            hiddenSize: 1024,
            layerCount: 23,
            headCount: 16,
            mlpRatio: 4
        ),
        projectionBias: .all,
        activation: .quickGELU,
        hasPatchBias: false,
        normEpsilon: 1e-5,
        normalizesEmbeddings: true,
        normalizesOutput: false,
        checkpoints: [
            // `CLIPModel` of transformers, and `CLIPVisionModel` before and from version 5 on.
            transformersCheckpoint(prefix: "vision_model."), transformersCheckpoint(prefix: "", mark: "embeddings."),
            // The published model's own names, which OpenCLIP keeps.
            VisionCheckpoint(
                prefix: "visual.",
                rows: [
                    ("visual.class_embedding", "cls_token"), ("visual.positional_embedding", "pos_embed"),
                    ("visual.conv1.weight", "patch_embed.proj.weight"), ("visual.ln_pre.*", "norm_pre.*"),
                    ("visual.transformer.resblocks.*.ln_1.*", "blocks.*.norm1.*"),
                    ("visual.transformer.resblocks.*.attn.in_proj_weight", "blocks.*.attn.qkv.weight"),
                    ("visual.transformer.resblocks.*.attn.in_proj_bias", "blocks.*.attn.qkv.bias"),
                    ("visual.transformer.resblocks.*.attn.out_proj.*", "blocks.*.attn.proj.*"),
                    ("visual.transformer.resblocks.*.ln_2.*", "blocks.*.norm2.*"),
                    ("visual.transformer.resblocks.*.mlp.c_fc.*", "blocks.*.mlp.fc1.*"),
                    ("visual.transformer.resblocks.*.mlp.c_proj.*", "blocks.*.mlp.fc2.*"), ("visual.ln_post.*", nil),
                    ("visual.proj", nil), ("transformer.**", nil), ("token_embedding.*", nil),
                    ("positional_embedding", nil), ("ln_final.*", nil), ("text_projection", nil), ("logit_scale", nil),
                ],
                isFlat: true
            ),
            // This model's names, which are timm's.
            VisionCheckpoint(
                prefix: "",
                rows: [("norm.*", nil), ("fc_norm.*", nil), ("head.*", nil), ("**", "**")]
            ),
        ]
    )

    /// The names in transformers; `pre_layrnorm` is spelt so.
    private static func transformersCheckpoint(prefix: String, mark: String? = nil) -> VisionCheckpoint {
        let vision: [(file: String, model: String?)] = [
            ("embeddings.class_embedding", "cls_token"), ("embeddings.position_embedding.weight", "pos_embed"),
            ("embeddings.patch_embedding.weight", "patch_embed.proj.weight"), ("pre_layrnorm.*", "norm_pre.*"),
            ("encoder.layers.*.layer_norm1.*", "blocks.*.norm1.*"),
            ("encoder.layers.*.self_attn.qkv_proj.*", "blocks.*.attn.qkv.*"),
            ("encoder.layers.*.self_attn.out_proj.*", "blocks.*.attn.proj.*"),
            ("encoder.layers.*.layer_norm2.*", "blocks.*.norm2.*"), ("encoder.layers.*.mlp.*.*", "blocks.*.mlp.*.*"),
            ("post_layernorm.*", nil), ("embeddings.position_ids", nil),
        ]
        let rest: [(file: String, model: String?)] = [
            ("text_model.**", nil), ("visual_projection.*", nil), ("text_projection.*", nil), ("logit_scale", nil),
        ]
        return VisionCheckpoint(
            prefix: mark ?? prefix,
            rows: vision.map { (prefix + $0.file, $0.model) } + rest,
            separateProjections: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            fusedProjection: "self_attn.qkv_proj",
            isFlat: true
        )
    }
}
