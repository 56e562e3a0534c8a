public import Torch
public import TorchNN
public import UniMedData
public import UniMedModel

/// A whole Uni-Med small enough for tests.
public enum TinyModel {
    /// The sizes: 16 patches, 4 image tokens, 2 layers everywhere, the vocabulary of ``ByteTokenizer``.
    public static func configuration(
        fineTuning: FineTuning = .full,
        router: RouterConfiguration = .init(hiddenSize: 32),
        expertCount: Int = 3
    ) -> UniMedConfiguration {
        UniMedConfiguration(
            vision: VisionConfiguration(imageSize: 16, patchSize: 4, hiddenSize: 12, layerCount: 2, headCount: 2),
            resampler: .projection(rate: 4),
            connector: ConnectorConfiguration(expertCount: expertCount, router: router),
            language: LlamaConfiguration(
                vocabularySize: ByteTokenizer.size,
                hiddenSize: 24,
                intermediateSize: 40,
                layerCount: 2,
                headCount: 4,
                keyValueHeadCount: 2
            ),
            fineTuning: fineTuning
        )
    }

    /// A model with weights that follow from a seed, whatever else draws random numbers.
    public static func make(
        _ configuration: UniMedConfiguration = configuration(),
        seed: UInt64 = 1
    ) throws(TorchError) -> UniMed {
        let model = try UniMed(configuration)
        try randomize(model, seed: seed)
        return model
    }

    /// Draws every weight anew: norms around 1, all else around 0, also what is zero in a new model.
    public static func randomize(_ module: any Module, seed: UInt64) throws(TorchError) {
        let generator = try Generator(seed: seed)
        for (name, parameter) in module.namedParameters() {
            let value = parameter.value
            let isNorm = value.rank == 1 && name.hasSuffix("weight")
            let width = value.rank > 1 ? Double(value.size(-1)) : 4
            try value.detach().fillNormal(
                mean: isNorm ? 1 : 0,
                deviation: isNorm ? 0.1 : 1 / width.squareRoot(),
                generator: generator
            )
        }
    }

    /// Vision features `[count, 16, 12]` that follow from a seed.
    public static func features(count: Int, seed: UInt64 = 7) throws(TorchError) -> Tensor {
        try Tensor.normal([count, 16, 12], generator: Generator(seed: seed))
    }
}
