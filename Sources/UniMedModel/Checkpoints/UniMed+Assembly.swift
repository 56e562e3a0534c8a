import Torch
public import TorchCheckpoints
public import TorchNN

/// Where the weights of a Uni-Med model come from.
///
/// Nothing is drawn that comes from a file. Frozen weights keep the file's type and memory: a checkpoint of safetensors is
/// mapped, and of what is converted no more than one tensor is in memory twice.
public struct ModelSources {
    /// The vision transformer's; `nil` draws them.
    public var vision: (any WeightSource)?
    /// The language model's, under the names of a Hugging Face checkpoint; `nil` draws them.
    public var language: (any WeightSource)?
    /// What the published code trained, under its names: connector and LoRA; `nil` draws them.
    public var published: (any WeightSource)?
    /// The language model's adapter alone; `nil` draws it.
    ///
    /// Contradicts ``published``, which has one.
    public var adapter: PEFTAdapter?

    /// Names the sources.
    public init(
        vision: (any WeightSource)? = nil,
        language: (any WeightSource)? = nil,
        published: (any WeightSource)? = nil,
        adapter: PEFTAdapter? = nil
    ) {
        self.vision = vision
        self.language = language
        self.published = published
        self.adapter = adapter
    }
}

extension UniMed {
    /// Makes a model of weights from files; what has no file is drawn from the default generator.
    ///
    /// - Parameters:
    ///   - configuration: The sizes.
    ///   - sources: Where the weights are.
    ///   - builder: The type of drawn and trained weights, and the device of all.
    /// - Throws: ``CheckpointError`` of kind `mismatch` when weights do not fit, or an adapter does not fit the
    ///   configuration's fine-tuning.
    public static func assemble(
        _ configuration: UniMedConfiguration,
        from sources: ModelSources,
        builder: WeightBuilder = WeightBuilder()
    ) throws(CheckpointError) -> UniMed {
        precondition(sources.published == nil || sources.adapter == nil, "two sources of the adapter")
        let unplaced = WeightBuilder(dtype: builder.dtype, device: .meta)
        let model = try checked { () throws(TorchError) in
            try UniMed(
                configuration,
                builder: sources.published == nil ? builder : unplaced,
                visionBuilder: sources.vision == nil ? builder : unplaced,
                languageBuilder: sources.language == nil ? builder : unplaced
            )
        }
        if let source = sources.vision {
            if let dtype = try floatingType(of: source, source.keys) {
                try checked { () throws(TorchError) in try model.vision.castFrozenParameters(to: dtype) }
            }
            try model.vision.load(source, device: builder.device)
        }
        if let source = sources.language {
            let names = Set(model.language.namedParameters().map(\.name))
            if let dtype = try floatingType(of: source, source.keys.filter(names.contains)) {
                // An adapter that is there already is trained, so it keeps its type.
                try checked { () throws(TorchError) in try model.language.castFrozenParameters(to: dtype) }
            }
            try model.language.load(source, device: builder.device)
        }
        if let source = sources.published {
            // The published file leaves it out: it stays at weight 1 and bias 0.
            let size = configuration.vision.hiddenSize
            let norm = try checked { () throws(TorchError) in try LayerNorm(size, epsilon: 1e-5, builder: builder) }
            for (own, drawn) in zip(model.visionNorm.namedParameters(), norm.namedParameters()) {
                try checked { () throws(TorchError) in try own.parameter.replace(drawn.parameter.value) }
            }
            // The published code has no volumes.
            if let pooling = model.slicePooling {
                let width = configuration.aggregatedSize
                let fresh = try checked { () throws(TorchError) in
                    try SlicePooling(pooling.configuration, size: width, builder: builder)
                }
                for (own, drawn) in zip(pooling.namedParameters(), fresh.namedParameters()) {
                    try checked { () throws(TorchError) in try own.parameter.replace(drawn.parameter.value) }
                }
            }
            try model.loadPublished(source, device: builder.device)
        }
        if let adapter = sources.adapter {
            let linears = model.language.namedLinears().map(\.name)
            let own = try adapter.uniformConfiguration(of: linears)
            guard case .lowRank(let configured) = configuration.fineTuning, let own,
                own.rank == configured.rank, own.alpha == configured.alpha, own.targets == configured.targets
            else {
                throw CheckpointError(
                    .mismatch,
                    file: adapter.weights.path,
                    "the adapter is not the one that the model's configuration has",
                    expected: "\(configuration.fineTuning)",
                    got: own.map { "rank \($0.rank), alpha \($0.alpha)" } ?? "an adapter that differs between layers"
                )
            }
            try adapter.attach(to: model.language, builder: builder)
        }
        return model
    }

    /// The type that holds every fraction of a source without loss; `nil` when it has none.
    private static func floatingType(of source: any WeightSource, _ keys: [String]) throws(CheckpointError) -> DType? {
        var types: Set<DType> = []
        for key in keys {
            let dtype = try source.dtype(of: key)
            if dtype.isFloatingPoint { types.insert(dtype) }
        }
        if types.count <= 1 { return types.first }
        return types.contains(.float64) ? .float64 : .float32
    }

    private static func checked<Result>(
        _ body: () throws(TorchError) -> Result
    ) throws(CheckpointError) -> Result {
        do throws(TorchError) {
            return try body()
        } catch {
            throw CheckpointError(.tensor, file: nil, "\(error)")
        }
    }
}

extension Llama {
    /// The weights of this model with an adapter merged into them, computed one by one.
    ///
    /// The model itself gets the adapter.
    ///
    /// - Throws: ``CheckpointError`` when the adapter does not fit.
    public func merged(with adapter: PEFTAdapter) throws(CheckpointError) -> any WeightSource {
        try adapter.attach(to: self)
        return mergedWeightSource()
    }
}
