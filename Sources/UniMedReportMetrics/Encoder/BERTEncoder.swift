public import Torch
public import TorchCheckpoints
public import TorchNN

/// The encoder of BERT and RoBERTa: post-norm layers over the sum of word, position and token-type embeddings.
///
/// "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (Devlin et al., 2019) and "RoBERTa"
/// (Liu et al., 2019), as in the transformers library, without pooler. Names in a checkpoint: those of `BertModel`.
public final class BERTEncoder: Module {
    /// The sizes.
    public let configuration: BERTConfiguration
    private let words: Embedding
    private let positions: Embedding
    private let tokenTypes: Embedding
    private let norm: LayerNorm
    private let layers: ModuleList<BERTLayer>

    /// Makes an encoder with drawn weights.
    public init(_ configuration: BERTConfiguration, builder: WeightBuilder = WeightBuilder()) throws(TorchError) {
        self.configuration = configuration
        let width = configuration.hiddenSize
        words = try Embedding(configuration.vocabularySize, width, builder: builder)
        positions = try Embedding(configuration.positionCount, width, builder: builder)
        tokenTypes = try Embedding(configuration.tokenTypeCount, width, builder: builder)
        norm = try LayerNorm(width, epsilon: configuration.layerNormEpsilon, builder: builder)
        var layers: [BERTLayer] = []
        for _ in 0..<configuration.layerCount { layers.append(try BERTLayer(configuration, builder: builder)) }
        self.layers = ModuleList(layers)
    }

    /// `embeddings` and `encoder`.
    public var members: [ModuleMember] {
        [
            .module(
                "embeddings",
                ModuleGroup([
                    .module("word_embeddings", words), .module("position_embeddings", positions),
                    .module("token_type_embeddings", tokenTypes), .module("LayerNorm", norm),
                ])
            ),
            .module("encoder", ModuleGroup([.module("layer", layers)])),
        ]
    }

    /// From the names of published files: with and without the name of the architecture in front, the pooler and heads
    /// for other tasks dropped, and the names that TensorFlow gave to norms.
    ///
    /// - Parameter droppedLayers: The numbers of layers that the file has and the encoder has not.
    public static func keyMap(droppedLayers: Range<Int> = 0..<0) -> KeyMap {
        var rows: [(file: String, model: String?)] = [("**.position_ids", nil)]
        for prefix in ["", "bert.", "roberta."] {
            for layer in droppedLayers { rows.append(("\(prefix)encoder.layer.\(layer).**", nil)) }
            rows.append(("\(prefix)pooler.**", nil))
        }
        for head in ["cls", "lm_head", "classifier", "qa_outputs"] { rows.append(("\(head).**", nil)) }
        for prefix in ["bert.", "roberta.", ""] {
            rows.append(("\(prefix)**.gamma", "**.weight"))
            rows.append(("\(prefix)**.beta", "**.bias"))
            if !prefix.isEmpty { rows.append(("\(prefix)**", "**")) }
        }
        rows.append(("**", "**"))
        return KeyMap(rows)
    }

    /// The last layer's output for every token.
    ///
    /// - Parameters:
    ///   - sequences: Token ids; special tokens are among them. None is empty or longer than
    ///     ``BERTConfiguration/maximumLength``.
    /// - Returns: `[tokens, width]`, sequence after sequence without padding, and their layout.
    /// - Throws: ``TorchError`` when an id is outside the vocabulary or a sequence is too long.
    public func callAsFunction(
        _ sequences: [[Int]]
    ) throws(TorchError) -> (hidden: Tensor, layout: SequenceLayout) {
        let device = words.weight.value.device
        let longest = sequences.map(\.count).max() ?? 0
        guard longest <= configuration.maximumLength else {
            throw TorchError(
                operation: "BERTEncoder",
                message: "a sequence of \(longest) tokens, expected at most \(configuration.maximumLength)"
            )
        }
        let tokens = sequences.flatMap { $0 }
        guard tokens.allSatisfy((0..<configuration.vocabularySize).contains) else {
            throw TorchError(
                operation: "BERTEncoder",
                message: "a token id outside 0..<\(configuration.vocabularySize)"
            )
        }
        let layout = try SequenceLayout(lengths: sequences.map(\.count), device: device)
        let places = configuration.family == .bert ? layout.positions : try shiftedPositions(sequences, device)
        var x = try words(Tensor(tokens).to(device)) + positions(places)
        x = try norm(x + tokenTypes.weight.value.narrow(0, start: 0, length: 1))
        for layer in layers.elements { x = try layer(x, layout: layout) }
        return (x, layout)
    }

    /// RoBERTa's positions: tokens are counted from one behind the pad id, which keeps its own for padding.
    private func shiftedPositions(_ sequences: [[Int]], _ device: Device) throws(TorchError) -> Tensor {
        var places: [Int] = []
        for sequence in sequences {
            var count = 0
            for token in sequence {
                if token != configuration.padID { count += 1 }
                places.append(token == configuration.padID ? configuration.padID : configuration.padID + count)
            }
        }
        return try Tensor(places).to(device)
    }
}

/// Modules under names, where a checkpoint has a level that is no module of its own here.
final class ModuleGroup: Module {
    let members: [ModuleMember]

    init(_ members: [ModuleMember]) { self.members = members }
}

/// Attention and a feed-forward part, each added to its input and then normalised.
private final class BERTLayer: Module {
    private let query: Linear
    private let key: Linear
    private let value: Linear
    private let attentionOutput: Linear
    private let attentionNorm: LayerNorm
    private let intermediate: Linear
    private let output: Linear
    private let outputNorm: LayerNorm
    private let headCount: Int

    init(_ configuration: BERTConfiguration, builder: WeightBuilder) throws(TorchError) {
        let width = configuration.hiddenSize
        let drawn = Linear.Initialization.normal(0.02)
        query = try Linear(width, width, initialization: drawn, builder: builder)
        key = try Linear(width, width, initialization: drawn, builder: builder)
        value = try Linear(width, width, initialization: drawn, builder: builder)
        attentionOutput = try Linear(width, width, initialization: drawn, builder: builder)
        attentionNorm = try LayerNorm(width, epsilon: configuration.layerNormEpsilon, builder: builder)
        intermediate = try Linear(width, configuration.intermediateSize, initialization: drawn, builder: builder)
        output = try Linear(configuration.intermediateSize, width, initialization: drawn, builder: builder)
        outputNorm = try LayerNorm(width, epsilon: configuration.layerNormEpsilon, builder: builder)
        headCount = configuration.headCount
    }

    var members: [ModuleMember] {
        [
            .module(
                "attention",
                ModuleGroup([
                    .module(
                        "self",
                        ModuleGroup([.module("query", query), .module("key", key), .module("value", value)])
                    ),
                    .module(
                        "output",
                        ModuleGroup([.module("dense", attentionOutput), .module("LayerNorm", attentionNorm)])
                    ),
                ])
            ),
            .module("intermediate", ModuleGroup([.module("dense", intermediate)])),
            .module("output", ModuleGroup([.module("dense", output), .module("LayerNorm", outputNorm)])),
        ]
    }

    func callAsFunction(_ x: Tensor, layout: SequenceLayout) throws(TorchError) -> Tensor {
        func heads(_ x: Tensor) throws(TorchError) -> Tensor { try x.reshape(x.size(0), headCount, -1) }
        let attended = try Attention.withinSequences(
            query: heads(query(x)),
            key: heads(key(x)),
            value: heads(value(x)),
            layout: layout,
            causal: false
        )
        let y = try attentionNorm(x + attentionOutput(attended))
        return try outputNorm(y + output(intermediate(y).gelu()))
    }
}
