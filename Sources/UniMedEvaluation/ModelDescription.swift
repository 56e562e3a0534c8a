public import Torch
import TorchNN
public import UniMedModel

/// What a model of given sizes has, needs and costs, without allocating any of it.
public struct ModelDescription: Codable, Sendable, Equatable {
    /// The size of a sample, on which costs depend.
    public struct SampleSize: Codable, Sendable, Equatable {
        /// Text tokens of prompt and answer together.
        public var textTokens: Int
        /// Those of them that are predicted.
        public var answerTokens: Int
        /// Samples in a batch.
        public var batchSize: Int

        /// Makes a size; the defaults give the paper's batch of 4 about 520 tokens at the paper's sizes.
        public init(textTokens: Int = 66, answerTokens: Int = 16, batchSize: Int = 4) {
            self.textTokens = textTokens
            self.answerTokens = answerTokens
            self.batchSize = batchSize
        }
    }

    /// One part of the model.
    public struct Part: Codable, Sendable, Equatable {
        /// The part's name in a checkpoint.
        public var name: String
        /// The number of weights that are trained.
        public var trained: Int
        /// The number of weights that are frozen.
        public var frozen: Int

        /// The number of weights.
        public var parameters: Int { trained + frozen }
        /// The bytes of all weights in a type.
        public func bytes(_ dtype: DType) -> Int { parameters * dtype.byteCount }
    }

    /// The bytes a training step holds, on one device.
    public struct TrainingMemory: Codable, Sendable, Equatable {
        /// Trained weights, in float32.
        public var trainedWeights: Int
        /// Frozen weights of connector and language model, in the type of the computation.
        public var frozenWeights: Int
        /// Gradients of the trained weights, in float32.
        public var gradients: Int
        /// AdamW's two moments, in float32.
        public var optimizerState: Int
        /// What the backward pass needs of a batch's forward pass: an estimate.
        public var activations: Int

        /// The sum.
        public var total: Int { trainedWeights + frozenWeights + gradients + optimizerState + activations }
    }

    /// Floating-point operations of one sample; a product and its sum are two.
    public struct Operations: Codable, Sendable, Equatable {
        /// The part's name.
        public var name: String
        /// Of the forward pass.
        public var forward: Double
        /// Of the backward pass; 0 for a part whose features are kept on disk.
        public var backward: Double
    }

    /// The sizes it was computed for.
    public var sample: SampleSize
    /// The type of the computation.
    public var precision: DType
    /// Tokens of an image in the language model.
    public var imageTokens: Int
    /// The parts, in the order of the data flow.
    public var parts: [Part]
    /// What a training step holds with the vision features kept on disk.
    public var memory: TrainingMemory
    /// The bytes of all weights for answering, in the type of the computation.
    public var inferenceWeightBytes: Int
    /// The bytes of keys and values of one token of one sequence, in the type of the computation.
    public var cacheBytesPerToken: Int
    /// The bytes of the kept vision features of one picture, in bfloat16.
    public var featureBytesPerImage: Int
    /// Operations per sample, by part.
    public var operations: [Operations]

    /// Describes a model.
    ///
    /// - Parameters:
    ///   - configuration: The model's sizes.
    ///   - precision: The type of the computation, `.float32` or `.bfloat16`.
    ///   - sample: The size of a sample.
    /// - Throws: `TorchError` when the sizes do not make a model.
    public init(
        _ configuration: UniMedConfiguration,
        precision: DType = .float32,
        sample: SampleSize = SampleSize()
    ) throws(TorchError) {
        let model = try UniMed(configuration, builder: WeightBuilder(device: .meta))
        self.sample = sample
        self.precision = precision
        imageTokens = configuration.imageTokenCount
        var counts: [String: Part] = [:]
        var names: [String] = []
        for (name, parameter) in model.namedParameters() {
            let part = Self.part(of: name)
            if counts[part] == nil { names.append(part) }
            if parameter.isTrainable {
                counts[part, default: Part(name: part, trained: 0, frozen: 0)].trained += parameter.value.count
            } else {
                counts[part, default: Part(name: part, trained: 0, frozen: 0)].frozen += parameter.value.count
            }
        }
        parts = names.compactMap { counts[$0] }

        let costs = CostModel(configuration, sample: sample)
        operations = costs.operations
        let trained = parts.reduce(0) { $0 + $1.trained }
        let frozen = parts.reduce(0) { $0 + ($1.name.hasPrefix("vision") ? 0 : $1.frozen) }
        memory = TrainingMemory(
            trainedWeights: trained * 4,
            frozenWeights: frozen * precision.byteCount,
            gradients: trained * 4,
            optimizerState: trained * 8,
            activations: costs.activationElements * precision.byteCount
        )
        inferenceWeightBytes = parts.reduce(0) { $0 + $1.bytes(precision) }
        let language = configuration.language
        cacheBytesPerToken =
            2 * language.layerCount * language.keyValueHeadCount * language.headSize * precision.byteCount
        featureBytesPerImage = configuration.vision.patchCount * configuration.vision.hiddenSize * 2
    }

    /// The number of weights that are trained.
    public var trainedCount: Int { parts.reduce(0) { $0 + $1.trained } }
    /// The number of weights.
    public var parameterCount: Int { parts.reduce(0) { $0 + $1.parameters } }

    /// The part of figure 3 of the paper that a weight belongs to.
    private static func part(of name: String) -> String {
        if name.hasPrefix("visual_encoder.") || name.hasPrefix("ln_vision.") { return "vision encoder" }
        if name.hasPrefix("connector.router.") { return "connector router" }
        if name.hasPrefix("connector.experts.") { return "connector experts" }
        if name.hasPrefix("connector.projector.") { return "connector projector" }
        if name.hasPrefix("connector.") { return "task tokens" }
        return name.contains(".lora_") ? "language model LoRA" : "language model"
    }
}

/// The operations of each part, from the sizes.
private struct CostModel {
    let operations: [ModelDescription.Operations]
    let activationElements: Int

    init(_ configuration: UniMedConfiguration, sample: ModelDescription.SampleSize) {
        let vision = configuration.vision
        let connector = configuration.connector
        let language = configuration.language
        let images = Double(configuration.imageTokenCount)
        let (width, aggregated) = (Double(language.hiddenSize), Double(configuration.aggregatedSize))

        // Vision transformer: its features do not depend on what is trained, so there is no backward pass.
        let patches = Double(vision.patchCount)
        let (visionTokens, visionWidth) = (patches + 1, Double(vision.hiddenSize))
        let visionMLP = Double(vision.intermediateSize)
        let perBlock = 2 * visionTokens * (4 * visionWidth * visionWidth + 2 * visionWidth * visionMLP)
        let attention = 4 * visionTokens * visionTokens * visionWidth
        let embedding = 2 * patches * 3 * Double(vision.patchSize * vision.patchSize) * visionWidth
        let visionForward = Double(vision.layerCount) * (perBlock + attention) + embedding

        let connectorCosts = ConnectorCosts(
            connector,
            tokens: images,
            inputSize: configuration.aggregatedSize,
            outputSize: language.hiddenSize
        )

        // Language model: frozen weights pass gradients on but get none, which is half of a backward pass.
        let tokens = images + Double(sample.textTokens)
        let attentionWidth = Double(language.headCount * language.headSize)
        let keyWidth = Double(language.keyValueHeadCount * language.headSize)
        let inner = Double(language.intermediateSize)
        let layers = Double(language.layerCount)
        let blockWeights = 2 * width * attentionWidth + 2 * width * keyWidth + 3 * width * inner
        let linear = layers * 2 * tokens * blockWeights
        // Causal: half of the scores are needed, and of those a sliding window leaves a band.
        func scores(_ layers: Double, within window: Double) -> Double {
            layers * 4 * attentionWidth * (tokens * window - window * window / 2)
        }
        let slidingLayers = language.slidingWindow.map { Double(language.layerCount - $0.firstLayer) } ?? 0
        let window = min(language.slidingWindow.map { Double($0.size) } ?? tokens, tokens)
        let scores = scores(layers - slidingLayers, within: tokens) + scores(slidingLayers, within: window)
        let head = 2 * Double(sample.answerTokens) * width * Double(language.vocabularySize)
        let shapes: [String: (from: Double, to: Double)] = [
            "q_proj": (width, attentionWidth), "k_proj": (width, keyWidth), "v_proj": (width, keyWidth),
            "o_proj": (attentionWidth, width), "gate_proj": (width, inner), "up_proj": (width, inner),
            "down_proj": (inner, width),
        ]
        /// The inputs and outputs of all layers of a block that have adapters.
        func sides(of targets: Set<String>?) -> (ins: Double, outs: Double) {
            shapes.reduce(into: (ins: 0, outs: 0)) { sum, layer in
                guard targets?.contains(layer.key) ?? true else { return }
                sum.ins += layer.value.from
                sum.outs += layer.value.to
            }
        }
        var adapters = 0.0
        let languageBackward: Double
        switch configuration.fineTuning {
        case .full: languageBackward = 2 * (linear + head) + 2 * scores
        case .frozen: languageBackward = linear + head + 2 * scores
        case .lowRank(let adapter):
            let (ins, outs) = sides(of: adapter.targets)
            adapters = layers * 2 * tokens * Double(adapter.rank) * (ins + outs)
            languageBackward = linear + head + 2 * scores + 2 * adapters
        case .lowRankExperts(let mixture):
            let (ins, outs) = sides(of: mixture.targets)
            let count = Double(mixture.expertCount)
            adapters = layers * 2 * tokens * count * Double(mixture.rank) * (ins + outs)
            for (name, layer) in shapes where mixture.targets?.contains(name) ?? true {
                switch mixture.router.network {
                case .linear: adapters += layers * 2 * tokens * layer.from * count
                case .mlp(let hiddenSize):
                    let hidden = hiddenSize.map(Double.init) ?? 4 * layer.from
                    adapters += layers * 2 * tokens * hidden * (layer.from + count)
                case nil: break
                }
            }
            languageBackward = linear + head + 2 * scores + 2 * adapters
        }
        operations =
            [
                .init(name: "vision encoder", forward: visionForward, backward: 0)
            ] + connectorCosts.operations + [
                .init(name: "language model", forward: linear + scores + head + adapters, backward: languageBackward)
            ]
        // Kept per token and block: inputs of the norms and products, queries, keys, values, both halves of the MLP.
        let perToken = layers * (6 * width + 3 * attentionWidth + 2 * keyWidth + 4 * inner)
        let perImage = images * (aggregated + connectorCosts.activationsPerToken)
        let logits = 2 * Double(sample.answerTokens) * Double(language.vocabularySize)
        activationElements = Int(Double(sample.batchSize) * (tokens * perToken + perImage + logits))
    }
}

/// The operations of a connector in its cheapest form.
///
/// First layers need no gradient of the features, which are fixed, only of their weights.
private struct ConnectorCosts {
    let operations: [ModelDescription.Operations]
    /// What is kept of each image token for the backward pass.
    let activationsPerToken: Double

    init(_ connector: ConnectorConfiguration, tokens: Double, inputSize: Int, outputSize: Int) {
        let (aggregated, width) = (Double(inputSize), Double(outputSize))
        let (first, square) = (2 * tokens * aggregated * width, 2 * tokens * width * width)
        switch connector {
        case .linear:
            operations = [.init(name: "connector projector", forward: first, backward: first)]
            activationsPerToken = width
        case .mlp(let layerCount):
            let later = Double(layerCount - 1) * square
            operations = [.init(name: "connector projector", forward: first + later, backward: first + 2 * later)]
            activationsPerToken = Double(2 * layerCount - 1) * width
        case .mixtureOfExperts(let mixture):
            let router = Self.router(mixture, tokens: tokens, inputSize: inputSize)
            // The experts that a token goes through.
            let experts: Double
            switch mixture.router {
            case .hard: experts = 1
            case .sparse(let topK, .published, _): experts = Double(topK)
            // Equal shares of linear experts are one linear layer.
            case .constant: experts = mixture.expert == .linear ? 1 : Double(mixture.expertCount)
            case .sparse(_, .paper, let network), .soft(_, let network):
                // Weights that an image's tokens share merge linear experts into one layer for the image.
                let isMerged = mixture.expert == .linear && !network.inputs.contains(.imageToken)
                experts = isMerged ? 1 + Double(mixture.expertCount) / tokens : Double(mixture.expertCount)
            }
            let second = mixture.expert == .mlp ? square : 0
            operations =
                (router.map { [$0.operations] } ?? []) + [
                    .init(
                        name: "connector experts",
                        forward: experts * (first + second),
                        backward: experts * (first + 2 * second)
                    )
                ]
            activationsPerToken = (mixture.expert == .mlp ? 2 : 1) * experts * width + 2 * (router?.hiddenSize ?? 0)
        }
    }

    private static func router(
        _ mixture: ConnectorMoEConfiguration,
        tokens: Double,
        inputSize: Int
    ) -> (operations: ModelDescription.Operations, hiddenSize: Double)? {
        guard let network = mixture.router.network else { return nil }
        let taskSize = mixture.taskTokenSize ?? inputSize
        let sizes = network.inputSizes(tokenSize: inputSize, taskSize: taskSize)
        let hidden = Double(network.hiddenSize(tokenSize: inputSize, taskSize: taskSize))
        let task = 2 * Double(sizes.task) * hidden
        let token = 2 * tokens * Double(sizes.token) * hidden
        let last = 2 * (sizes.token > 0 ? tokens : 1) * hidden * Double(mixture.expertCount)
        let operations = ModelDescription.Operations(
            name: "connector router",
            forward: task + token + last,
            backward: 2 * task + token + 2 * last
        )
        return (operations, hidden)
    }
}
