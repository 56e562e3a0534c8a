public import TorchNN

/// The sizes of a ``Llama``; the defaults are LLaMA2-7B's.
public struct LlamaConfiguration: Codable, Sendable, Equatable {
    /// The number of token ids.
    ///
    /// Default: 32,000.
    public var vocabularySize: Int
    /// `Dt`.
    ///
    /// Default: 4096.
    public var hiddenSize: Int
    /// The width of a block's MLP.
    ///
    /// Default: 11,008.
    public var intermediateSize: Int
    /// The number of blocks.
    ///
    /// Default: 32.
    public var layerCount: Int
    /// The number of attention heads.
    ///
    /// Default: 32.
    public var headCount: Int
    /// The number of heads of keys and values.
    ///
    /// Default: as `headCount`.
    public var keyValueHeadCount: Int
    /// The width of one head.
    ///
    /// Default: `hiddenSize / headCount`.
    public var headSize: Int
    /// The base of the rotary wave lengths.
    ///
    /// Default: 10,000.
    public var ropeTheta: Double
    /// How the rotary wave lengths are stretched.
    ///
    /// Default: not at all.
    public var ropeScaling: RotaryScaling?
    /// Added to the mean square in norms.
    ///
    /// Default: 1e-5.
    public var rmsNormEpsilon: Double
    /// Whether the vocabulary head is the embedding table.
    ///
    /// Default: false.
    public var tiesEmbeddings: Bool
    /// Whether the products that make queries, keys and values have a bias.
    ///
    /// Default: false.
    public var hasAttentionBias: Bool
    /// Where a token sees only the tokens shortly before it.
    ///
    /// Default: nowhere.
    public var slidingWindow: SlidingWindow?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case family, vocabularySize, hiddenSize, intermediateSize, layerCount, headCount, keyValueHeadCount, headSize
        case ropeTheta, ropeScaling, rmsNormEpsilon, tiesEmbeddings, hasAttentionBias, slidingWindow
    }

    /// Makes a configuration.
    public init(
        vocabularySize: Int = 32_000,
        hiddenSize: Int = 4096,
        intermediateSize: Int = 11_008,
        layerCount: Int = 32,
        headCount: Int = 32,
        keyValueHeadCount: Int? = nil,
        headSize: Int? = nil,
        ropeTheta: Double = 10_000,
        rmsNormEpsilon: Double = 1e-5,
        tiesEmbeddings: Bool = false,
        ropeScaling: RotaryScaling? = nil,
        hasAttentionBias: Bool = false,
        slidingWindow: SlidingWindow? = nil
    ) {
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount ?? headCount
        self.headSize = headSize ?? hiddenSize / headCount
        self.ropeTheta = ropeTheta
        self.rmsNormEpsilon = rmsNormEpsilon
        self.tiesEmbeddings = tiesEmbeddings
        self.ropeScaling = ropeScaling
        self.hasAttentionBias = hasAttentionBias
        self.slidingWindow = slidingWindow
    }

    /// Reads a configuration; what is not named has its default.
    ///
    /// `family: llama3` takes the published values of ``LanguageFamily/llama3`` as defaults, and so on; it is not kept,
    /// because all that it says is said by the values. `ropeScaling: null` and `slidingWindow: null` switch off what a
    /// family has. A number of heads that is named has as many heads of keys and values, unless they are named too.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        var defaults = LlamaConfiguration()
        if let name = try container.decodeIfPresent(String.self, forKey: .family) {
            let family = LanguageFamily.all.first { $0.name == name }
            let names = LanguageFamily.all.map(\.name).joined(separator: ", ")
            try container.require(family != nil, .family, "unknown family '\(name)'; known: \(names)")
            if let family { defaults = family.published }
        }
        vocabularySize = try container.decodePositive(.vocabularySize, default: defaults.vocabularySize)
        hiddenSize = try container.decodePositive(.hiddenSize, default: defaults.hiddenSize)
        intermediateSize = try container.decodePositive(.intermediateSize, default: defaults.intermediateSize)
        layerCount = try container.decodePositive(.layerCount, default: defaults.layerCount)
        headCount = try container.decodePositive(.headCount, default: defaults.headCount)
        keyValueHeadCount = try container.decodePositive(
            .keyValueHeadCount,
            default: container.contains(.headCount) ? headCount : defaults.keyValueHeadCount
        )
        headSize = try container.decodePositive(.headSize, default: max(hiddenSize / headCount, 1))
        ropeTheta = try container.decodeIfPresent(Double.self, forKey: .ropeTheta) ?? defaults.ropeTheta
        rmsNormEpsilon = try container.decodeIfPresent(Double.self, forKey: .rmsNormEpsilon) ?? defaults.rmsNormEpsilon
        tiesEmbeddings = try container.decodeIfPresent(Bool.self, forKey: .tiesEmbeddings) ?? defaults.tiesEmbeddings
        hasAttentionBias =
            try container.decodeIfPresent(Bool.self, forKey: .hasAttentionBias) ?? defaults.hasAttentionBias
        ropeScaling =
            container.contains(.ropeScaling)
            ? try container.decodeIfPresent(RotaryScaling.self, forKey: .ropeScaling) : defaults.ropeScaling
        slidingWindow =
            container.contains(.slidingWindow)
            ? try container.decodeIfPresent(SlidingWindow.self, forKey: .slidingWindow) : defaults.slidingWindow
        try container.require(
            headCount.isMultiple(of: keyValueHeadCount),
            .keyValueHeadCount,
            "\(keyValueHeadCount) does not divide headCount \(headCount)"
        )
        try container.require(
            headSize.isMultiple(of: 2),
            .headSize,
            "rotary embedding needs an even head, got \(headSize)"
        )
        try container.require(ropeTheta > 0, .ropeTheta, "must be positive, got \(ropeTheta)")
        try container.require(rmsNormEpsilon > 0, .rmsNormEpsilon, "must be positive, got \(rmsNormEpsilon)")
        if let slidingWindow {
            try container.require(
                slidingWindow.firstLayer < layerCount,
                .slidingWindow,
                "begins in layer \(slidingWindow.firstLayer), but there are \(layerCount) layers"
            )
        }
    }

    /// Writes every value; what a plain Llama does not have is left out.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(vocabularySize, forKey: .vocabularySize)
        try container.encode(hiddenSize, forKey: .hiddenSize)
        try container.encode(intermediateSize, forKey: .intermediateSize)
        try container.encode(layerCount, forKey: .layerCount)
        try container.encode(headCount, forKey: .headCount)
        try container.encode(keyValueHeadCount, forKey: .keyValueHeadCount)
        try container.encode(headSize, forKey: .headSize)
        try container.encode(ropeTheta, forKey: .ropeTheta)
        try container.encode(rmsNormEpsilon, forKey: .rmsNormEpsilon)
        try container.encode(tiesEmbeddings, forKey: .tiesEmbeddings)
        try container.encodeIfPresent(ropeScaling, forKey: .ropeScaling)
        if hasAttentionBias { try container.encode(true, forKey: .hasAttentionBias) }
        try container.encodeIfPresent(slidingWindow, forKey: .slidingWindow)
    }

    /// How many tokens a token of a layer sees, itself included; `nil` is all before it.
    func window(ofLayer layer: Int) -> Int? {
        slidingWindow.flatMap { layer >= $0.firstLayer ? $0.size : nil }
    }
}

/// Attention to the tokens shortly before a token only: token `i` sees `i - size < j <= i`.
public struct SlidingWindow: Codable, Sendable, Equatable {
    /// The number of tokens a token sees, itself included.
    public var size: Int
    /// The first layer that has the window; those before it see everything.
    ///
    /// Default: 0.
    public var firstLayer: Int

    enum CodingKeys: String, CodingKey, CaseIterable {
        case size, firstLayer
    }

    /// Makes a window.
    public init(size: Int, firstLayer: Int = 0) {
        self.size = size
        self.firstLayer = firstLayer
    }

    /// Reads `{size: 4096}` or `{size: 4096, firstLayer: 21}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        size = try container.decodePositive(.size)
        firstLayer = try container.decodeIfPresent(Int.self, forKey: .firstLayer) ?? 0
        try container.require(firstLayer >= 0, .firstLayer, "must not be negative, got \(firstLayer)")
    }
}

extension RotaryScaling: Codable {
    private enum CodingKeys: String, CodingKey, CaseIterable {
        case kind, factor, lowFrequencyFactor, highFrequencyFactor, originalLength
    }

    private enum Kind: String, Codable {
        case linear, llama3
    }

    /// Reads `{kind: linear, factor: 2}` or
    /// `{kind: llama3, factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        func positive(_ key: CodingKeys) throws -> Double {
            let value = try container.decode(Double.self, forKey: key)
            try container.require(value > 0 && value.isFinite, key, "must be positive, got \(value)")
            return value
        }
        let kind = try container.decode(Kind.self, forKey: .kind)
        let factor = try positive(.factor)
        switch kind {
        case .linear:
            for key in [CodingKeys.lowFrequencyFactor, .highFrequencyFactor, .originalLength] {
                try container.require(!container.contains(key), key, "belongs to kind llama3 only")
            }
            self = .linear(factor: factor)
        case .llama3:
            let (low, high) = (try positive(.lowFrequencyFactor), try positive(.highFrequencyFactor))
            try container.require(
                low < high,
                .highFrequencyFactor,
                "must be larger than lowFrequencyFactor \(low), got \(high)"
            )
            self = .llama3(
                factor: factor,
                lowFrequencyFactor: low,
                highFrequencyFactor: high,
                originalLength: try container.decodePositive(.originalLength)
            )
        }
    }

    /// Writes what is read.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .linear(let factor):
            try container.encode(Kind.linear, forKey: .kind)
            try container.encode(factor, forKey: .factor)
        case .llama3(let factor, let low, let high, let originalLength):
            try container.encode(Kind.llama3, forKey: .kind)
            try container.encode(factor, forKey: .factor)
            try container.encode(low, forKey: .lowFrequencyFactor)
            try container.encode(high, forKey: .highFrequencyFactor)
            try container.encode(originalLength, forKey: .originalLength)
        }
    }
}
