public import Torch
public import TorchNN

// Llama (Touvron et al. 2023), the language model of Uni-Med.
//
// T tokens of all sequences in one row, C width, H heads, K key/value heads, D head width.

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
    /// Added to the mean square in norms.
    ///
    /// Default: 1e-5.
    public var rmsNormEpsilon: Double
    /// Whether the vocabulary head is the embedding table.
    ///
    /// Default: false.
    public var tiesEmbeddings: Bool

    enum CodingKeys: String, CodingKey, CaseIterable {
        case vocabularySize, hiddenSize, intermediateSize, layerCount, headCount, keyValueHeadCount, headSize, ropeTheta
        case rmsNormEpsilon, tiesEmbeddings
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
        tiesEmbeddings: Bool = false
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
    }

    /// Reads a configuration; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let defaults = LlamaConfiguration()
        vocabularySize = try container.decodePositive(.vocabularySize, default: defaults.vocabularySize)
        hiddenSize = try container.decodePositive(.hiddenSize, default: defaults.hiddenSize)
        intermediateSize = try container.decodePositive(.intermediateSize, default: defaults.intermediateSize)
        layerCount = try container.decodePositive(.layerCount, default: defaults.layerCount)
        headCount = try container.decodePositive(.headCount, default: defaults.headCount)
        keyValueHeadCount = try container.decodePositive(.keyValueHeadCount, default: headCount)
        headSize = try container.decodePositive(.headSize, default: max(hiddenSize / headCount, 1))
        ropeTheta = try container.decodeIfPresent(Double.self, forKey: .ropeTheta) ?? defaults.ropeTheta
        rmsNormEpsilon = try container.decodeIfPresent(Double.self, forKey: .rmsNormEpsilon) ?? defaults.rmsNormEpsilon
        tiesEmbeddings = try container.decodeIfPresent(Bool.self, forKey: .tiesEmbeddings) ?? defaults.tiesEmbeddings
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
    }
}

/// Llama: embeddings `[T, C]` of packed sequences become hidden states `[T, C]`, and those become logits.
public final class Llama: Module {
    /// The sizes.
    public let configuration: LlamaConfiguration
    /// The token embeddings, `[vocabulary, C]`.
    public let embedding: Embedding
    private let layers: ModuleList<LlamaBlock>
    private let norm: RMSNorm
    private let head: Linear?
    private let rotary: RotaryEmbedding
    /// Whether training keeps only the input of each block and runs the block again in the backward pass.
    ///
    /// Gradients are the same, bit for bit; see `checkpointed` of the room Torch.
    public var checkpointsBlocks = false

    /// Makes a model with random weights.
    public init(_ configuration: LlamaConfiguration, builder: WeightBuilder = WeightBuilder()) throws(TorchError) {
        self.configuration = configuration
        let (vocabulary, width) = (configuration.vocabularySize, configuration.hiddenSize)
        embedding = try Embedding(vocabulary, width, builder: builder)
        var layers: [LlamaBlock] = []
        for _ in 0..<configuration.layerCount { layers.append(try LlamaBlock(configuration, builder: builder)) }
        self.layers = ModuleList(layers)
        norm = try RMSNorm(width, epsilon: configuration.rmsNormEpsilon, builder: builder)
        head =
            configuration.tiesEmbeddings
            ? nil : try Linear(width, vocabulary, bias: false, initialization: .normal(0.02), builder: builder)
        rotary = RotaryEmbedding(headSize: configuration.headSize, theta: configuration.ropeTheta)
    }

    /// The weights under the names of a Hugging Face checkpoint.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = [
            .module("model.embed_tokens", embedding), .module("model.layers", layers), .module("model.norm", norm),
        ]
        if let head { members.append(.module("lm_head", head)) }
        return members
    }

    /// The vocabulary head's weight `[vocabulary, C]`; `nil` when it is the embedding table.
    var outputWeight: Parameter? { head?.weight }

    /// Every weight with its adapter, where there is one, merged into it: an equal model without adapters.
    ///
    /// - Returns: The weights under the names of a Hugging Face checkpoint, without gradients.
    public func mergedWeights() throws(TorchError) -> [(name: String, tensor: Tensor)] {
        var merged: [String: Tensor] = [:]
        for (index, layer) in layers.elements.enumerated() {
            for case .module(let name, let module) in layer.members {
                guard let linear = module as? Linear else { continue }
                merged["model.layers.\(index).\(name).weight"] = try linear.mergedWeight()
            }
        }
        var weights: [(name: String, tensor: Tensor)] = []
        for (name, parameter) in namedParameters() where !LowRankAdapter.owns(name) {
            if let tensor = merged[name] {
                weights.append((name, tensor))
            } else {
                weights.append((name, try parameter.value.detach()))
            }
        }
        return weights
    }

    /// Runs all blocks and the last norm.
    ///
    /// - Parameters:
    ///   - embeddings: `[T, C]`, sequences one after the other as the layout says.
    ///   - cache: When given, keys and values are written to it, from position 0 of every sequence.
    ///   - training: Whether LoRA's dropout is applied.
    ///   - dropout: The share of embeddings, and of what each block adds, that is zeroed. Default: 0, as Llama is trained.
    ///   - onBlock: Sees the output `[T, C]` of every block, before the last norm, for inspection.
    /// - Returns: `[T, C]`.
    public func hiddenStates(
        of embeddings: Tensor,
        layout: SequenceLayout,
        cache: KVCache? = nil,
        training: Bool = false,
        dropout: Double = 0,
        onBlock: ((_ index: Int, _ output: Tensor) -> Void)? = nil
    ) throws(TorchError) -> Tensor {
        let angles = try rotary.angles(of: layout.positions, highest: layout.longest - 1, dtype: embeddings.dtype)
        let places = try cache.map { cache throws(TorchError) in try cache.places(of: layout) }
        var hidden = try embeddings.dropout(dropout)
        for (index, layer) in layers.elements.enumerated() {
            if checkpointsBlocks, training, cache == nil {
                hidden = try checkpointed(hidden) { input throws(TorchError) in
                    try layer(input, layout: layout, angles: angles, training: training, dropout: dropout)
                }
            } else {
                hidden = try layer(hidden, layout: layout, angles: angles, training: training, dropout: dropout) {
                    key,
                    value throws(TorchError) in
                    if let cache, let places { try cache.write(layer: index, at: places, key: key, value: value) }
                }
            }
            onBlock?(index, hidden)
        }
        cache?.lengths = layout.lengths
        return try norm(hidden)
    }

    /// Runs one new token of each sequence: `[sequences, C]` becomes `[sequences, C]`.
    public func decode(_ embeddings: Tensor, cache: KVCache) throws(TorchError) -> Tensor {
        let positions = try Tensor(cache.lengths).to(embeddings.device)
        let angles = try rotary.angles(of: positions, highest: cache.lengths.max() ?? 0, dtype: embeddings.dtype)
        let step = try cache.beginStep()
        var hidden = embeddings
        for (index, layer) in layers.elements.enumerated() {
            hidden = try layer.decode(hidden, angles: angles, cache: cache, layer: index, step: step)
        }
        cache.endStep()
        return try norm(hidden)
    }

    /// The scores of every vocabulary entry: `[n, C]` becomes `[n, vocabulary]`.
    public func logits(_ hidden: Tensor) throws(TorchError) -> Tensor {
        if let head { return try head(hidden) }
        return try hidden.linear(embedding.weight.cast(to: hidden.dtype))
    }

    /// Room for the keys and values of `sequences` sequences of up to `capacity` tokens.
    public func makeCache(sequences: Int, capacity: Int, dtype: DType, device: Device) throws(TorchError) -> KVCache {
        try KVCache(
            layerCount: configuration.layerCount,
            sequences: sequences,
            capacity: capacity,
            headCount: configuration.keyValueHeadCount,
            headSize: configuration.headSize,
            dtype: dtype,
            device: device
        )
    }
}

/// One pre-norm block: attention, then a SwiGLU MLP, each added to its input.
private final class LlamaBlock: Module {
    private let inputNorm: RMSNorm
    private let postNorm: RMSNorm
    private let query: Linear
    private let key: Linear
    private let value: Linear
    private let output: Linear
    private let gate: Linear
    private let up: Linear
    private let down: Linear
    private let headCount: Int
    private let keyHeadCount: Int
    private let headSize: Int

    init(_ configuration: LlamaConfiguration, builder: WeightBuilder) throws(TorchError) {
        let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
        headCount = configuration.headCount
        keyHeadCount = configuration.keyValueHeadCount
        headSize = configuration.headSize
        // Deviations of 1/√in, about 0.016 at Llama's own width; what is added to the residual stream starts smaller the
        // more blocks add to it.
        func linear(_ from: Int, _ to: Int, scale: Double = 1) throws(TorchError) -> Linear {
            let deviation = scale / Double(from).squareRoot()
            return try Linear(from, to, bias: false, initialization: .normal(deviation), builder: builder)
        }
        let residual = 1 / Double(2 * configuration.layerCount).squareRoot()
        query = try linear(width, headCount * headSize)
        key = try linear(width, keyHeadCount * headSize)
        value = try linear(width, keyHeadCount * headSize)
        output = try linear(headCount * headSize, width, scale: residual)
        gate = try linear(width, inner)
        up = try linear(width, inner)
        down = try linear(inner, width, scale: residual)
        inputNorm = try RMSNorm(width, epsilon: configuration.rmsNormEpsilon, builder: builder)
        postNorm = try RMSNorm(width, epsilon: configuration.rmsNormEpsilon, builder: builder)
    }

    var members: [ModuleMember] {
        [
            .module("self_attn.q_proj", query), .module("self_attn.k_proj", key), .module("self_attn.v_proj", value),
            .module("self_attn.o_proj", output), .module("mlp.gate_proj", gate), .module("mlp.up_proj", up),
            .module("mlp.down_proj", down), .module("input_layernorm", inputNorm),
            .module("post_attention_layernorm", postNorm),
        ]
    }

    var linears: [Linear] { [query, key, value, output, gate, up, down] }

    /// Queries `[T, H, D]`, keys and values `[T, K, D]`, rotated.
    private func heads(
        _ x: Tensor,
        angles: RotaryEmbedding.Angles,
        training: Bool
    ) throws(TorchError) -> (query: Tensor, key: Tensor, value: Tensor) {
        let tokens = x.size(0)
        let fused = try Linear.side(by: [query, key, value], x, training: training)
            .reshape(tokens, headCount + 2 * keyHeadCount, headSize)
        // Queries and keys are rotated together.
        let parts = try fused.split([headCount + keyHeadCount, keyHeadCount], dimension: 1)
        let rotated = try RotaryEmbedding.rotate(parts[0], by: angles).split([headCount, keyHeadCount], dimension: 1)
        return (rotated[0], rotated[1], parts[1])
    }

    private func mlp(_ x: Tensor, training: Bool) throws(TorchError) -> Tensor {
        let fused = try Linear.side(by: [gate, up], x, training: training)
        let parts = try fused.split([fused.size(-1) / 2, fused.size(-1) / 2], dimension: -1)
        let activated = try parts[0].silu() * parts[1]
        return try down(activated, training: training)
    }

    func callAsFunction(
        _ hidden: Tensor,
        layout: SequenceLayout,
        angles: RotaryEmbedding.Angles,
        training: Bool,
        dropout: Double,
        keep: (_ key: Tensor, _ value: Tensor) throws(TorchError) -> Void = { _, _ in }
    ) throws(TorchError) -> Tensor {
        let (query, key, value) = try heads(inputNorm(hidden), angles: angles, training: training)
        try keep(key, value)
        let attended = try Attention.withinSequences(query: query, key: key, value: value, layout: layout, causal: true)
        let middle = try hidden + output(attended, training: training).dropout(dropout)
        return try middle + mlp(postNorm(middle), training: training).dropout(dropout)
    }

    func decode(
        _ hidden: Tensor,
        angles: RotaryEmbedding.Angles,
        cache: KVCache,
        layer: Int,
        step: KVCache.Step
    ) throws(TorchError) -> Tensor {
        let (query, key, value) = try heads(inputNorm(hidden), angles: angles, training: false)
        try cache.write(layer: layer, at: step.places, key: key, value: value)
        let (keys, values) = try cache.read(layer: layer, length: step.length)
        let attended = try Attention.toCache(query: query.unsqueeze(2), key: keys, value: values, mask: step.mask)
        let middle = try hidden + output(attended)
        return try middle + mlp(postNorm(middle), training: false)
    }
}
