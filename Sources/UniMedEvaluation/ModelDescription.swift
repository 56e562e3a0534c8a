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

    /// How the model is trained, on which memory and time depend.
    public struct TrainingSettings: Codable, Sendable, Equatable {
        /// The type of the language model's frozen weights; `nil` is that of the computation.
        public var frozenType: DType?
        /// The type of the optimizer's moments.
        ///
        /// Default: float32.
        public var stateType: DType
        /// Whether the backward pass computes the language model's blocks again.
        ///
        /// Default: it does not.
        public var gradientCheckpointing: Bool
        /// The batches of an optimizer step.
        ///
        /// Default: 1.
        public var accumulation: Int
        /// Whether the vision features are kept on disk, so that no step runs the encoder.
        ///
        /// Default: they are.
        public var keepsFeatures: Bool
        /// Whether it runs on an accelerator, where a sparse router saves products only when they are most of them.
        ///
        /// Default: it does not.
        public var isAccelerated: Bool

        /// Makes settings.
        public init(
            frozenType: DType? = nil,
            stateType: DType = .float32,
            gradientCheckpointing: Bool = false,
            accumulation: Int = 1,
            keepsFeatures: Bool = true,
            isAccelerated: Bool = false
        ) {
            self.frozenType = frozenType
            self.stateType = stateType
            self.gradientCheckpointing = gradientCheckpointing
            self.accumulation = accumulation
            self.keepsFeatures = keepsFeatures
            self.isAccelerated = isAccelerated
        }
    }

    /// One part of the model.
    public struct Part: Codable, Sendable, Equatable {
        /// What is trained or frozen together, or the modules' name in a checkpoint, with `*` for the number of a block.
        public var name: String
        /// The number of weights that are trained.
        public var trained: Int
        /// The number of weights that are frozen.
        public var frozen: Int

        enum CodingKeys: String, CodingKey {
            case name, trained, frozen, parameters, bytes
        }

        /// Makes a part.
        public init(name: String, trained: Int, frozen: Int) {
            self.name = name
            self.trained = trained
            self.frozen = frozen
        }

        /// Reads a part; the sums follow from its counts.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            name = try container.decode(String.self, forKey: .name)
            trained = try container.decode(Int.self, forKey: .trained)
            frozen = try container.decode(Int.self, forKey: .frozen)
        }

        /// Writes the counts, their sum, and the bytes in every type that weights are kept in.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .name)
            try container.encode(trained, forKey: .trained)
            try container.encode(frozen, forKey: .frozen)
            try container.encode(parameters, forKey: .parameters)
            let types = ModelDescription.weightTypes.map { ($0.rawValue, bytes($0)) }
            try container.encode(Dictionary(uniqueKeysWithValues: types), forKey: .bytes)
        }

        /// The number of weights.
        public var parameters: Int { trained + frozen }
        /// The bytes of all weights in a type.
        public func bytes(_ dtype: DType) -> Int { parameters * dtype.byteCount }

        fileprivate mutating func add(_ parameter: Parameter) {
            if parameter.isTrainable { trained += parameter.value.count } else { frozen += parameter.value.count }
        }
    }

    /// The types that weights are kept in.
    public static let weightTypes: [DType] = [.float32, .bfloat16, .float16]

    /// The bytes a training step holds, on one device.
    public struct TrainingMemory: Codable, Sendable, Equatable {
        /// Trained weights, in float32.
        public var trainedWeights: Int
        /// Frozen weights of connector and language model, in the type they are kept in.
        public var frozenWeights: Int
        /// The vision encoder's weights in the type of the computation; they stay where they are also when its features
        /// are kept on disk.
        public var visionWeights: Int
        /// What the backward pass needs of trained weights cast to the type of the computation, and, on the CPU, of weights
        /// joined so that layers which share their input are one product.
        public var weightCopies: Int
        /// Gradients of the trained weights, in float32.
        public var gradients: Int
        /// AdamW's two moments.
        public var optimizerState: Int
        /// What the backward pass needs of a batch's forward pass: an estimate, without what kernels need for themselves.
        public var activations: Int

        /// The sum.
        public var total: Int {
            trainedWeights + frozenWeights + visionWeights + weightCopies + gradients + optimizerState + activations
        }
    }

    /// The bytes of files.
    public struct Storage: Codable, Sendable, Equatable {
        /// The finished model: trained weights in float32, frozen ones in the types they are kept in.
        public var model: Int
        /// A checkpoint of the training: trained weights and the optimizer's moments.
        public var checkpoint: Int
        /// The kept vision features of one picture, in bfloat16.
        public var featuresPerImage: Int
    }

    /// Floating-point operations of one sample; a product and its sum are two.
    public struct Operations: Codable, Sendable, Equatable {
        /// The part's name.
        public var name: String
        /// Of the forward pass.
        public var forward: Double
        /// Of the backward pass; 0 for the vision encoder, which gets no gradients.
        public var backward: Double
    }

    /// The sizes it was computed for.
    public var sample: SampleSize
    /// The training it was computed for.
    public var training: TrainingSettings
    /// The type of the computation.
    public var precision: DType
    /// Tokens of an image in the language model.
    public var imageTokens: Int
    /// The number of weights.
    public var parameterCount: Int
    /// The number of weights that are trained.
    public var trainedCount: Int
    /// The parts, in the order of the data flow.
    public var parts: [Part]
    /// The modules, those of all blocks together.
    public var modules: [Part]
    /// What a training step holds.
    public var memory: TrainingMemory
    /// What is kept on disk.
    public var storage: Storage
    /// The bytes of all weights for answering, in the type of the computation.
    public var inferenceWeightBytes: Int
    /// The bytes of keys and values of one token of one sequence, in the type of the computation.
    public var cacheBytesPerToken: Int
    /// Operations per sample, by part.
    public var operations: [Operations]
    /// What an optimizer step computes and moves, by part.
    public var stepWork: [StepWork]

    /// The bytes of the kept vision features of one picture, in bfloat16.
    public var featureBytesPerImage: Int { storage.featuresPerImage }

    /// Describes a model.
    ///
    /// - Parameters:
    ///   - configuration: The model's sizes.
    ///   - precision: The type of the computation, `.float32` or `.bfloat16`.
    ///   - sample: The size of a sample.
    ///   - training: How it is trained.
    /// - Throws: `TorchError` when the sizes do not make a model.
    public init(
        _ configuration: UniMedConfiguration,
        precision: DType = .float32,
        sample: SampleSize = SampleSize(),
        training: TrainingSettings = TrainingSettings()
    ) throws(TorchError) {
        let model = try UniMed(configuration, builder: WeightBuilder(device: .meta))
        self.sample = sample
        self.training = training
        self.precision = precision
        imageTokens = configuration.imageTokenCount
        let weights = model.namedParameters()
        let parts = Self.sums(of: weights, by: Self.part)
        (self.parts, modules) = (parts, Self.sums(of: weights, by: Self.module))
        parameterCount = parts.reduce(0) { $0 + $1.parameters }
        let trained = parts.reduce(0) { $0 + $1.trained }
        trainedCount = trained

        let costs = CostModel(configuration, precision: precision, sample: sample, training: training)
        operations = costs.operations
        let vision = parts.reduce(0) { $0 + ($1.isVision ? $1.parameters : 0) }
        let frozen = parts.reduce(0) { $0 + ($1.isVision ? 0 : $1.frozen) }
        let frozenBytes = frozen * (training.frozenType ?? precision).byteCount
        let state = 2 * trained * training.stateType.byteCount
        memory = TrainingMemory(
            trainedWeights: trained * 4,
            frozenWeights: frozenBytes,
            visionWeights: vision * precision.byteCount,
            weightCopies: costs.weightCopyBytes(trained: trained),
            gradients: trained * 4,
            optimizerState: state,
            activations: costs.activationBytes
        )
        storage = Storage(
            model: trained * 4 + frozenBytes + vision * precision.byteCount,
            checkpoint: trained * 4 + state,
            featuresPerImage: configuration.vision.patchCount * configuration.vision.hiddenSize * 2
        )
        inferenceWeightBytes = parts.reduce(0) { $0 + $1.bytes(precision) }
        let language = configuration.language
        cacheBytesPerToken =
            2 * language.layerCount * language.keyValueHeadCount * language.headSize * precision.byteCount
        stepWork = StepWork.parts(
            configuration,
            operations: costs.operations,
            parts: parts,
            precision: precision,
            sample: sample,
            training: training
        )
    }

    /// The weights under each name that `name` gives them, in the order of the first.
    private static func sums(
        of weights: [(name: String, parameter: Parameter)],
        by name: (String) -> String
    ) -> [Part] {
        var sums: [Part] = []
        var positions: [String: Int] = [:]
        for (full, parameter) in weights {
            let name = name(full)
            let position = positions[name] ?? sums.count
            if position == sums.count {
                positions[name] = position
                sums.append(Part(name: name, trained: 0, frozen: 0))
            }
            sums[position].add(parameter)
        }
        return sums
    }

    /// The part of figure 3 of the paper that a weight belongs to.
    private static func part(of name: String) -> String {
        if name.hasPrefix("visual_encoder.") || name.hasPrefix("ln_vision.") { return Part.vision }
        if name.hasPrefix("connector.router.") { return "connector router" }
        if name.hasPrefix("connector.experts.") { return "connector experts" }
        if name.hasPrefix("connector.projector.") { return "connector projector" }
        if name.hasPrefix("connector.") { return "task tokens" }
        if name.hasPrefix("volume_pooling.") { return "volume pooling" }
        return name.contains(".lora_") ? "language model LoRA" : "language model"
    }

    /// The module that a weight belongs to: its name without the weight's own, and `*` for the number of a block.
    private static func module(of name: String) -> String {
        var path = name.split(separator: ".").map { $0.allSatisfy(\.isNumber) ? "*" : String($0) }
        if path.count > 1 { path.removeLast() }
        return path.joined(separator: ".")
    }
}

extension ModelDescription.Part {
    static let vision = "vision encoder"

    var isVision: Bool { name == Self.vision }
    var isLanguage: Bool { name.hasPrefix("language model") }
}
