import Foundation
public import Torch
public import TorchNN

/// The loss of a batch and what was seen on the way.
public struct LossOutput {
    /// The mean cross entropy over all answer tokens of the batch (one element).
    public let loss: Tensor
    /// The cross entropy of every answer token: `[targets]`, without gradient.
    public let tokenLosses: Tensor
    /// The number of answer tokens of each prompt.
    public let targetCounts: [Int]
    /// The routing weights `[images, tokens, experts]`, without gradient; `nil` for a batch without images or a connector
    /// without experts.
    public let routingWeights: Tensor?
}

/// What is zeroed at random in training, beside LoRA's own dropout; nothing unless a recipe for small data asks for it.
public struct DropoutRates: Codable, Sendable, Equatable {
    /// The share of embeddings and of what each block of the language model adds.
    ///
    /// Default: 0.
    public var language: Double
    /// The share of the aligned visual tokens' elements.
    ///
    /// Default: 0.
    public var visualTokens: Double

    enum CodingKeys: String, CodingKey, CaseIterable {
        case language, visualTokens
    }

    /// Makes rates.
    public init(language: Double = 0, visualTokens: Double = 0) {
        self.language = language
        self.visualTokens = visualTokens
    }

    /// Reads rates; what is not named is 0.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        language = try container.decodeIfPresent(Double.self, forKey: .language) ?? 0
        visualTokens = try container.decodeIfPresent(Double.self, forKey: .visualTokens) ?? 0
        try container.require((0..<1).contains(language), .language, "must be in 0..<1, got \(language)")
        try container.require((0..<1).contains(visualTokens), .visualTokens, "must be in 0..<1, got \(visualTokens)")
    }
}

/// Uni-Med (figure 3): a frozen vision transformer, a resampler, a connector and a language model.
public final class UniMed: Module {
    /// The sizes.
    public let configuration: UniMedConfiguration
    /// The visual encoder `V_en`, frozen.
    public let vision: VisionTransformer
    /// The norm after it, frozen at weight 1 and bias 0 unless a checkpoint or pretraining says otherwise.
    public let visionNorm: LayerNorm
    /// What makes images of the slices of volumes; `nil` for a model of images alone.
    public let slicePooling: SlicePooling?
    /// The connector, in the paper a ``ConnectorMoE``.
    public let connector: any Connector
    /// The language model.
    public let language: Llama
    /// The type of activations: float32, or bfloat16 with weights and optimizer still in float32.
    public var computeDType: DType = .float32
    /// Whether batches do well to round their sizes up: the CPU compiles its bfloat16 products for every new shape.
    public var prefersRoundedSizes: Bool { device.isCPU && computeDType == .bfloat16 }
    /// What is zeroed at random in training.
    public var dropout = DropoutRates()

    /// Makes a model with random weights, drawn from the default generator.
    ///
    /// - Parameters:
    ///   - configuration: The sizes.
    ///   - builder: The type and device of the weights.
    ///   - visionBuilder: Those of the vision transformer, where its weights are to come from a file. Default: `builder`.
    ///   - languageBuilder: Those of the language model without its adapters, likewise. Default: `builder`.
    ///   - frozenType: The type of the language model's weights where they are frozen; `nil` is its builder's. A large
    ///     model never exists in a wider type than it is used in.
    public init(
        _ configuration: UniMedConfiguration,
        builder: WeightBuilder = WeightBuilder(),
        visionBuilder: WeightBuilder? = nil,
        languageBuilder: WeightBuilder? = nil,
        frozenType: DType? = nil
    ) throws(TorchError) {
        self.configuration = configuration
        vision = try VisionTransformer(configuration.vision, builder: visionBuilder ?? builder)
        visionNorm = try LayerNorm(configuration.vision.hiddenSize, epsilon: 1e-5, builder: builder)
        slicePooling = try configuration.volume.map { volume throws(TorchError) in
            try SlicePooling(volume, size: configuration.aggregatedSize, builder: builder)
        }
        connector = try configuration.connector.makeConnector(
            inputSize: configuration.aggregatedSize,
            outputSize: configuration.language.hiddenSize,
            builder: builder
        )
        var languageBuilder = languageBuilder ?? builder
        if let frozenType, configuration.fineTuning != .full { languageBuilder.dtype = frozenType }
        language = try Llama(configuration.language, builder: languageBuilder)
        try vision.freeze()
        try visionNorm.freeze()
        switch configuration.fineTuning {
        case .lowRank(let adapter): try language.attachAdapters(adapter, builder: builder)
        case .lowRankExperts(let experts): try language.attachAdapters(experts, builder: builder)
        case .frozen: try language.freeze()
        case .full: break
        }
    }

    /// `visual_encoder`, `ln_vision`, `connector` and `llm`; where the model takes volumes, `volume_pooling` before the
    /// connector.
    public var members: [ModuleMember] {
        let vision: [ModuleMember] = [.module("visual_encoder", vision), .module("ln_vision", visionNorm)]
        let volume: [ModuleMember] = slicePooling.map { [.module(Self.slicePoolingName, $0)] } ?? []
        return vision + volume + [.module("connector", connector), .module("llm", language)]
    }

    static let slicePoolingName = "volume_pooling"

    /// The device the model lives on.
    public var device: Device { language.embedding.weight.value.device }

    /// The vision features of normalised pixels: `[B, 3, H, W]` becomes `[B, N, Dv]`, without the CLS token or gradients.
    public func encodeImages(_ pixels: Tensor) throws(TorchError) -> Tensor {
        try withoutGradients { () throws(TorchError) -> Tensor in
            let tokens = try visionNorm(vision(pixels.to(device).to(computeDType)))
            return try tokens.narrow(1, start: 1, length: tokens.size(1) - 1)
        }
    }

    /// Aligned visual tokens `f_v^align`: features `[M, N, Dv]` become `[M, N/α, Dt]`.
    ///
    /// Uni-Med eq. 7-9.
    ///
    /// - Parameters:
    ///   - tasks: The position of each image's task in the connector's list.
    ///   - modalities: Each image's modality, for a hard router by modality; `nil` is none.
    public func alignedTokens(
        of features: Tensor,
        tasks: [Int],
        modalities: [String?]? = nil
    ) throws(TorchError) -> (aligned: Tensor, routingWeights: Tensor?) {
        try connector(
            configuration.resampler(features.to(computeDType)),
            tasks: tasks,
            modalities: modalities ?? [String?](repeating: nil, count: tasks.count)
        )
    }

    /// The aligned visual tokens of a batch's images, and of volumes the mean of their slabs'.
    ///
    /// - Parameter batch: One with images.
    /// - Returns: The aligned tokens `[images, N/α, Dt]` and the routing weights `[images, N/α, experts]`.
    public func alignedTokens(of batch: PromptBatch) throws(TorchError) -> (aligned: Tensor, routingWeights: Tensor?) {
        guard let features = batch.features else {
            throw TorchError(operation: "alignedTokens", message: "the batch has no image")
        }
        let (aligned, weights) = try aligned(features, of: batch)
        return (
            try batch.eachImage(aligned),
            try weights.map { weights throws(TorchError) in try batch.eachImage(weights) }
        )
    }

    /// What the connector makes of a batch's images and slabs, filler included.
    private func aligned(
        _ features: Tensor,
        of batch: PromptBatch
    ) throws(TorchError) -> (aligned: Tensor, routingWeights: Tensor?) {
        var tokens = try configuration.resampler(features.to(computeDType))
        if let stacks = batch.stacks {
            guard let slicePooling else {
                throw TorchError(operation: "embeddings", message: "the model has no settings for volumes")
            }
            tokens = try slicePooling(tokens, stacks)
        }
        return try connector(tokens, tasks: batch.imageTasks, modalities: batch.imageModalities)
    }

    /// The embeddings of all tokens of a batch, text and image: `[tokens, Dt]`.
    public func embeddings(
        of batch: PromptBatch,
        training: Bool = false
    ) throws(TorchError) -> (embeddings: Tensor, routingWeights: Tensor?) {
        let text = try language.embedding(batch.textTokens).to(computeDType)
        guard let features = batch.features else { return (try batch.order?(text) ?? text, nil) }
        guard let order = batch.order else { preconditionFailure("a batch with images has an order") }
        let (aligned, weights) = try aligned(features, of: batch)
        let image = try aligned.reshape(-1, configuration.language.hiddenSize).dropout(
            training ? dropout.visualTokens : 0
        )
        let ownWeights = try weights.map { weights throws(TorchError) in try batch.eachImage(weights) }
        return (try order(Tensor.cat([text, image])), ownWeights)
    }

    /// The language loss of a batch: the mean over all answer tokens.
    ///
    /// Uni-Med eq. 10.
    ///
    /// Vocabulary logits are computed only where there is a target.
    ///
    /// - Parameters:
    ///   - training: Whether dropout is applied.
    ///   - labelSmoothing: The share of a target's probability spread over the vocabulary.
    ///   - lengthExponent: Each token of an answer of `n` tokens weighs `n ** -lengthExponent` in the mean. Default: 0, the
    ///     paper's plain mean; 1 gives every answer the same say, however long.
    ///   - ordinalTargets: Soft targets of coordinates; `nil` has hard targets, as the paper.
    /// - Throws: ``TorchError`` when the batch has no target.
    public func loss(
        _ batch: PromptBatch,
        training: Bool = true,
        labelSmoothing: Double = 0,
        lengthExponent: Double = 0,
        ordinalTargets: OrdinalTargets? = nil
    ) throws(TorchError) -> LossOutput {
        guard batch.targetCount > 0 else {
            throw TorchError(operation: "loss", message: "the batch has no answer token to learn from")
        }
        let (embeddings, routingWeights) = try embeddings(of: batch, training: training)
        let hidden = try language.hiddenStates(
            of: embeddings,
            layout: batch.layout,
            wanted: batch.targetRows,
            training: training,
            dropout: training ? dropout.language : 0
        )
        let logits = try language.logits(hidden).to(.float32)
        var rows = try logits.crossEntropy(batch.roundedTargets, reduction: .none, labelSmoothing: labelSmoothing)
        if let ordinalTargets { rows = try ordinalTargets.replace(rows, logits: logits, targets: batch.roundedTargets) }
        let losses = try rows.narrow(0, start: 0, length: batch.targetCount)
        let loss: Tensor
        if lengthExponent == 0 {
            loss = try losses.mean()
        } else {
            let weights = batch.targetCounts.flatMap { count in
                [Float](repeating: Float(Foundation.pow(Double(count), -lengthExponent)), count: count)
            }
            let total = weights.reduce(0, +)
            loss = try (losses * Tensor(weights.map { $0 / total }).to(device)).sum()
        }
        return LossOutput(
            loss: loss,
            tokenLosses: try losses.detach(),
            targetCounts: batch.targetCounts,
            routingWeights: try routingWeights?.detach()
        )
    }
}
