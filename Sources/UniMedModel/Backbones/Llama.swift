public import Torch
public import TorchNN

// Llama (Touvron et al. 2023), the language model of Uni-Med, and the decoders that differ from it by what a configuration
// can say: Llama 3, Qwen2 and Mistral. The families' published sizes stand in files of their own (`LanguageFamily`).
//
// T tokens of all sequences in one row, C width, H heads, K key/value heads, D head width.

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
        for index in 0..<configuration.layerCount {
            layers.append(try LlamaBlock(configuration, index: index, builder: builder))
        }
        self.layers = ModuleList(layers)
        norm = try RMSNorm(width, epsilon: configuration.rmsNormEpsilon, builder: builder)
        head =
            configuration.tiesEmbeddings
            ? nil : try Linear(width, vocabulary, bias: false, initialization: .normal(0.02), builder: builder)
        rotary = RotaryEmbedding(
            headSize: configuration.headSize,
            theta: configuration.ropeTheta,
            scaling: configuration.ropeScaling
        )
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
    /// Nothing looks at the last block's output but the logits. Where only some tokens' logits are wanted, it therefore takes
    /// only these beyond its attention.
    ///
    /// - Parameters:
    ///   - embeddings: `[T, C]`, sequences one after the other as the layout says.
    ///   - wanted: The tokens whose hidden states are wanted, `n` of them. Default: all.
    ///   - cache: When given, keys and values are written to it, from position 0 of every sequence.
    ///   - training: Whether LoRA's dropout is applied.
    ///   - dropout: The share of embeddings, and of what each block adds, that is zeroed. Default: 0, as Llama is trained.
    ///   - onBlock: Sees the output `[T, C]` of every block, before the last norm, for inspection.
    /// - Returns: `[n, C]`.
    public func hiddenStates(
        of embeddings: Tensor,
        layout: SequenceLayout,
        wanted: RowPlacement? = nil,
        cache: KVCache? = nil,
        training: Bool = false,
        dropout: Double = 0,
        onBlock: ((_ index: Int, _ output: Tensor) -> Void)? = nil
    ) throws(TorchError) -> Tensor {
        let angles = try rotary.angles(of: layout.positions, highest: layout.longest - 1, dtype: embeddings.dtype)
        let places = try cache.map { cache throws(TorchError) in try cache.places(of: layout) }
        var hidden = try embeddings.dropout(dropout)
        for (index, layer) in layers.elements.enumerated() {
            let pass = LlamaBlock.Pass(
                layout: layout,
                angles: angles,
                wanted: index == layers.elements.count - 1 ? wanted : nil,
                training: training,
                dropout: dropout
            )
            if checkpointsBlocks, cache == nil {
                hidden = try checkpointed(hidden) { input throws(TorchError) in try layer(input, pass) }
            } else {
                hidden = try layer(hidden, pass) { key, value throws(TorchError) in
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
        let step = try cache.beginStep(window: configuration.slidingWindow?.size)
        var hidden = embeddings
        for layer in layers.elements {
            hidden = try layer.decode(hidden, angles: angles, cache: cache, step: step)
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
    private let index: Int
    private let window: Int?

    init(_ configuration: LlamaConfiguration, index: Int, builder: WeightBuilder) throws(TorchError) {
        self.index = index
        window = configuration.window(ofLayer: index)
        let (width, inner) = (configuration.hiddenSize, configuration.intermediateSize)
        headCount = configuration.headCount
        keyHeadCount = configuration.keyValueHeadCount
        headSize = configuration.headSize
        // Deviations of 1/√in, about 0.016 at Llama's own width; what is added to the residual stream starts smaller the
        // more blocks add to it.
        func linear(_ from: Int, _ to: Int, bias: Bool = false, scale: Double = 1) throws(TorchError) -> Linear {
            let deviation = scale / Double(from).squareRoot()
            return try Linear(from, to, bias: bias, initialization: .normal(deviation), builder: builder)
        }
        let residual = 1 / Double(2 * configuration.layerCount).squareRoot()
        let bias = configuration.hasAttentionBias
        query = try linear(width, headCount * headSize, bias: bias)
        key = try linear(width, keyHeadCount * headSize, bias: bias)
        value = try linear(width, keyHeadCount * headSize, bias: bias)
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

    /// Queries, keys and values side by side, queries and keys rotated: `[T, H + 2 K, D]`.
    private func heads(
        _ x: Tensor,
        angles: RotaryEmbedding.Angles,
        training: Bool
    ) throws(TorchError) -> Tensor {
        let fused = try project(x, training: training).reshape(x.size(0), headCount + 2 * keyHeadCount, headSize)
        return try RotaryEmbedding.rotate(fused, by: angles, headCount: headCount + keyHeadCount)
    }

    /// Queries, keys and values side by side: `[T, (H + 2 K) D]`.
    private func project(_ x: Tensor, training: Bool) throws(TorchError) -> Tensor {
        guard query.bias != nil else { return try Linear.side(by: [query, key, value], x, training: training) }
        return try Tensor.cat(
            [query(x, training: training), key(x, training: training), value(x, training: training)],
            dimension: -1
        )
    }

    private func mlp(_ x: Tensor, training: Bool) throws(TorchError) -> Tensor {
        try down(Linear.gatedUnit(gate, up, x, training: training), training: training)
    }

    /// What a block is told besides its input.
    struct Pass {
        let layout: SequenceLayout
        let angles: RotaryEmbedding.Angles
        /// The tokens whose output is wanted; `nil` is all.
        let wanted: RowPlacement?
        let training: Bool
        let dropout: Double
    }

    func callAsFunction(
        _ hidden: Tensor,
        _ pass: Pass,
        keep: (_ key: Tensor, _ value: Tensor) throws(TorchError) -> Void = { _, _ in }
    ) throws(TorchError) -> Tensor {
        let training = pass.training
        let fused = try heads(inputNorm(hidden), angles: pass.angles, training: training)
        try keep(
            fused.narrow(1, start: headCount, length: keyHeadCount),
            fused.narrow(1, start: headCount + keyHeadCount, length: keyHeadCount)
        )
        let attended = try Attention.withinSequences(
            fused: fused,
            headCount: headCount,
            keyHeadCount: keyHeadCount,
            layout: pass.layout,
            causal: true,
            window: window
        )
        let (own, found) = try (pass.wanted?(hidden) ?? hidden, pass.wanted?(attended) ?? attended)
        let middle = try own + output(found, training: training).dropout(pass.dropout)
        return try middle + mlp(postNorm(middle), training: training).dropout(pass.dropout)
    }

    func decode(
        _ hidden: Tensor,
        angles: RotaryEmbedding.Angles,
        cache: KVCache,
        step: KVCache.Step
    ) throws(TorchError) -> Tensor {
        let parts = try heads(inputNorm(hidden), angles: angles, training: false).split(
            [headCount, keyHeadCount, keyHeadCount],
            dimension: 1
        )
        try cache.write(layer: index, at: step.places, key: parts[1], value: parts[2])
        let near = window == nil ? nil : step.window
        let (keys, values) = try cache.read(layer: index, start: near?.start ?? 0, length: step.length)
        let attended = try Attention.toCache(
            query: parts[0].unsqueeze(2),
            key: keys,
            value: values,
            mask: near?.mask ?? step.mask
        )
        let middle = try hidden + output(attended)
        return try middle + mlp(postNorm(middle), training: false)
    }
}
