public import TorchNN

/// Everything that determines the shape of a Uni-Med model; the defaults are the paper's.
public struct UniMedConfiguration: Codable, Sendable, Equatable {
    /// The frozen vision transformer.
    public var vision: VisionConfiguration
    /// How neighbouring image tokens are aggregated.
    public var resampler: ResamplerConfiguration
    /// How the model looks at volumes; `nil` for a model of images alone, as the paper's.
    public var volume: VolumeConfiguration?
    /// What aligns image tokens with the language model: the paper's connector mixture-of-experts, or a baseline.
    public var connector: ConnectorConfiguration
    /// The language model.
    public var language: LlamaConfiguration
    /// What of the language model is trained.
    public var fineTuning: FineTuning
    /// Whether prompts name their task, as in `[vqa]` (Uni-Med table 1; table 5 shows both).
    ///
    /// Default: they do.
    public var taskIdentifiers: Bool

    enum CodingKeys: String, CodingKey, CaseIterable {
        case vision, resampler, volume, connector, language, fineTuning, taskIdentifiers
    }

    /// Makes a configuration.
    public init(
        vision: VisionConfiguration = .init(),
        resampler: ResamplerConfiguration = .projection(rate: 4),
        volume: VolumeConfiguration? = nil,
        connector: ConnectorConfiguration = .init(),
        language: LlamaConfiguration = .init(),
        fineTuning: FineTuning = .lowRank(LowRankConfiguration()),
        taskIdentifiers: Bool = true
    ) {
        self.vision = vision
        self.resampler = resampler
        self.volume = volume
        self.connector = connector
        self.language = language
        self.fineTuning = fineTuning
        self.taskIdentifiers = taskIdentifiers
    }

    /// Reads a configuration; what is not named has the paper's value.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        vision = try container.decodeIfPresent(VisionConfiguration.self, forKey: .vision) ?? .init()
        resampler =
            try container.decodeIfPresent(ResamplerConfiguration.self, forKey: .resampler) ?? .projection(rate: 4)
        volume = try container.decodeIfPresent(VolumeConfiguration.self, forKey: .volume)
        connector = try container.decodeIfPresent(ConnectorConfiguration.self, forKey: .connector) ?? .init()
        language = try container.decodeIfPresent(LlamaConfiguration.self, forKey: .language) ?? .init()
        fineTuning =
            try container.decodeIfPresent(FineTuning.self, forKey: .fineTuning) ?? .lowRank(LowRankConfiguration())
        taskIdentifiers = try container.decodeIfPresent(Bool.self, forKey: .taskIdentifiers) ?? true
        if let problem = resampler.problem(gridSize: vision.gridSize) {
            try container.require(false, .resampler, problem + " of the vision transformer")
        }
        if let (key, problem) = volume?.contradiction(
            imageTokenCount: imageTokenCount,
            aggregatedSize: aggregatedSize
        ) {
            try container.nestedContainer(keyedBy: VolumeConfiguration.CodingKeys.self, forKey: .volume)
                .require(false, key, problem)
        }
    }

    /// Writes every value; task identifiers where there are none.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(vision, forKey: .vision)
        try container.encode(resampler, forKey: .resampler)
        // Left out where there is none, so that the keys of runs that know nothing of it stay what they are.
        try container.encodeIfPresent(volume, forKey: .volume)
        try container.encode(connector, forKey: .connector)
        try container.encode(language, forKey: .language)
        try container.encode(fineTuning, forKey: .fineTuning)
        // Left out where it is the default, so that the keys of runs that know nothing of it stay what they are.
        if !taskIdentifiers { try container.encode(false, forKey: .taskIdentifiers) }
    }

    /// The number of tokens an image has in the language model: `Nv / α`.
    public var imageTokenCount: Int { vision.patchCount / resampler.rate }

    /// The width of an aggregated image token, `Dv · α` or `Dv` where they are pooled: what the connector sees.
    public var aggregatedSize: Int { resampler.outputSize(of: vision.hiddenSize) }
}
