import Torch
import TorchNN
import UniMedModel

/// Operations and the memory of a step, from the sizes.
struct CostModel {
    /// Of each part, per sample.
    let operations: [ModelDescription.Operations]
    /// The bytes of a batch that the backward pass needs.
    let activationBytes: Int
    private let precision: DType
    /// The weights of one block that are joined with others, and the number of blocks whose joined weights are kept.
    private let joined: (weights: Int, blocks: Int)
    /// Those of all blocks that are trained.
    private let trainedJoined: Int

    init(
        _ configuration: UniMedConfiguration,
        precision: DType,
        sample: ModelDescription.SampleSize,
        training: ModelDescription.TrainingSettings
    ) {
        self.precision = precision
        let vision = configuration.vision
        let connector = configuration.connector
        let language = configuration.language
        let images = Double(configuration.imageTokenCount)
        let (width, aggregated) = (Double(language.hiddenSize), Double(configuration.aggregatedSize))

        // Vision transformer: its features do not depend on what is trained, so there is no backward pass.
        let patches = Double(vision.patchCount)
        let (visionTokens, visionWidth) = (patches + 1, Double(vision.hiddenSize))
        let visionMLP = Double(vision.intermediateSize)
        let visionBlock = 2 * visionTokens * (4 * visionWidth * visionWidth + 2 * visionWidth * visionMLP)
        let attention = 4 * visionTokens * visionTokens * visionWidth
        let embedding = 2 * patches * 3 * Double(vision.patchSize * vision.patchSize) * visionWidth
        let visionForward = Double(vision.layerCount) * (visionBlock + attention) + embedding

        let connectorCosts = ConnectorCosts(
            connector,
            tokens: images,
            inputSize: configuration.aggregatedSize,
            outputSize: language.hiddenSize,
            isAccelerated: training.isAccelerated
        )

        // Language model: frozen weights pass gradients on but get none, which is half of a backward pass.
        let tokens = images + Double(sample.textTokens)
        let attentionWidth = Double(language.headCount * language.headSize)
        let keyWidth = Double(language.keyValueHeadCount * language.headSize)
        let inner = Double(language.intermediateSize)
        let layers = Double(language.layerCount)
        /// The tokens that go through a layer of this name, over all blocks: beyond its attention the last block takes only
        /// those whose logits are needed.
        func visits(_ name: String) -> Double {
            ["q_proj", "k_proj", "v_proj"].contains(name)
                ? layers * tokens : (layers - 1) * tokens + Double(sample.answerTokens)
        }
        let layerShapes: [(name: String, from: Double, to: Double)] = [
            ("q_proj", width, attentionWidth), ("k_proj", width, keyWidth), ("v_proj", width, keyWidth),
            ("o_proj", attentionWidth, width), ("gate_proj", width, inner), ("up_proj", width, inner),
            ("down_proj", inner, width),
        ]
        let linear = layerShapes.reduce(0) { $0 + 2 * visits($1.name) * $1.from * $1.to }
        // Causal: half of the scores are needed, and of those a sliding window leaves a band.
        func scores(_ layers: Double, within window: Double) -> Double {
            layers * 4 * attentionWidth * (tokens * window - window * window / 2)
        }
        let slidingLayers = language.slidingWindow.map { Double(language.layerCount - $0.firstLayer) } ?? 0
        let window = min(language.slidingWindow.map { Double($0.size) } ?? tokens, tokens)
        let scores = scores(layers - slidingLayers, within: tokens) + scores(slidingLayers, within: window)
        let head = 2 * Double(sample.answerTokens) * width * Double(language.vocabularySize)
        var adapters = 0.0
        var languageBackward: Double
        switch configuration.fineTuning {
        case .full: languageBackward = 2 * (linear + head) + 2 * scores
        case .frozen: languageBackward = linear + head + 2 * scores
        case .lowRank(let adapter):
            for layer in layerShapes where adapter.targets?.contains(layer.name) ?? true {
                adapters += 2 * visits(layer.name) * Double(adapter.rank) * (layer.from + layer.to)
            }
            languageBackward = linear + head + 2 * scores + 2 * adapters
        case .lowRankExperts(let mixture):
            let count = Double(mixture.expertCount)
            for layer in layerShapes where mixture.targets?.contains(layer.name) ?? true {
                let places = visits(layer.name)
                adapters += 2 * places * count * Double(mixture.rank) * (layer.from + layer.to)
                switch mixture.router.network {
                case .linear: adapters += 2 * places * layer.from * count
                case .mlp(let hiddenSize):
                    let hidden = hiddenSize.map(Double.init) ?? 4 * layer.from
                    adapters += 2 * places * hidden * (layer.from + count)
                case nil: break
                }
            }
            languageBackward = linear + head + 2 * scores + 2 * adapters
        }
        // Blocks that are computed again, without the vocabulary's head.
        if training.gradientCheckpointing { languageBackward += linear + scores + adapters }
        operations =
            [
                .init(name: ModelDescription.Part.vision, forward: visionForward, backward: 0)
            ] + connectorCosts.operations + [
                .init(name: "language model", forward: linear + scores + head + adapters, backward: languageBackward)
            ]

        // Kept per token and block: inputs of the norms and products, queries, keys, values, both halves of the MLP;
        // adapters keep their inputs, and which of them were zeroed.
        let element = Double(precision.byteCount)
        var perBlock = (6 * width + 3 * attentionWidth + 2 * keyWidth + 4 * inner) * element
        if let dropout = Self.adapterDropout(configuration.fineTuning), dropout > 0 {
            perBlock += (2 * width + attentionWidth + inner) * (element + 1)
        }
        let blocks = training.gradientCheckpointing ? layers * width * element + perBlock : layers * perBlock
        let image = images * (aggregated + connectorCosts.activationsPerToken) * element
        // Logits, the same in float32, and their gradient.
        let logits = Double(sample.answerTokens) * Double(language.vocabularySize) * (element + 8)
        activationBytes = Int((Double(sample.batchSize) * (tokens * blocks + image + logits)).rounded())

        let gates = 2 * language.hiddenSize * language.intermediateSize
        let projections =
            language.hiddenSize * (language.headCount + 2 * language.keyValueHeadCount) * language.headSize
        let perBlockJoined = gates + (language.hasAttentionBias ? 0 : projections)
        // An accelerator joins none.
        let (blocksJoining, blocksKept) =
            training.isAccelerated
            ? (0, 0) : (language.layerCount, training.gradientCheckpointing ? 1 : language.layerCount)
        joined = (perBlockJoined, blocksKept)
        trainedJoined = configuration.fineTuning == .full ? perBlockJoined * blocksJoining : 0
    }

    /// The bytes of the copies of weights that a step makes and keeps for its backward pass.
    func weightCopyBytes(trained: Int) -> Int {
        let cast = precision == .float32 ? 0 : trained - trainedJoined
        return (cast + joined.weights * joined.blocks) * precision.byteCount
    }

    private static func adapterDropout(_ fineTuning: FineTuning) -> Double? {
        switch fineTuning {
        case .lowRank(let adapter): adapter.dropout
        case .lowRankExperts(let mixture): mixture.dropout
        case .full, .frozen: nil
        }
    }
}

/// The operations of a connector in its cheapest form.
///
/// First layers need no gradient of the features, which are fixed, only of their weights.
struct ConnectorCosts {
    let operations: [ModelDescription.Operations]
    /// What is kept of each image token for the backward pass.
    let activationsPerToken: Double

    init(
        _ connector: ConnectorConfiguration,
        tokens: Double,
        inputSize: Int,
        outputSize: Int,
        isAccelerated: Bool = false
    ) {
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
            case .sparse(let topK, .published, _)
            where ExpertSorting.isWorthwhile(
                expertCount: mixture.expertCount,
                perToken: topK,
                onCPU: !isAccelerated
            ):
                experts = Double(topK)
            // Equal shares of linear experts are one linear layer.
            case .constant: experts = mixture.expert == .linear ? 1 : Double(mixture.expertCount)
            case .sparse(_, _, let network), .soft(_, let network):
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
