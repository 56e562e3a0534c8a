public import TorchNN
public import UniMedData
public import UniMedModel

/// The learning rate over the steps: linear warm-up, then half a cosine.
///
/// The defaults are the paper's schedule with the published code's peak (see the reference's differences): peak 1e-5,
/// lowest 1e-7, warm-up over a tenth of the steps.
public struct LearningRateConfiguration: Codable, Sendable, Equatable {
    /// The highest rate.
    ///
    /// Default: 1e-5 (published code; the paper says 1e-6).
    public var peak: Double
    /// The rate at the last step.
    ///
    /// Default: 1e-7.
    public var lowest: Double
    /// The rate at step 0.
    ///
    /// Default: `lowest`.
    public var warmupStart: Double
    /// The steps until the peak; `nil` is a tenth of all steps (Uni-Med, section 4.1: 10,000 of 100,000).
    public var warmupSteps: Int?
    /// Where the cosine starts.
    ///
    /// Default: at step 0, as in the published code.
    public var cosineStart: LearningRateSchedule.CosineStart

    enum CodingKeys: String, CodingKey, CaseIterable {
        case peak, lowest, warmupStart, warmupSteps, cosineStart
    }

    /// Makes a configuration.
    public init(
        peak: Double = 1e-5,
        lowest: Double = 1e-7,
        warmupStart: Double? = nil,
        warmupSteps: Int? = nil,
        cosineStart: LearningRateSchedule.CosineStart = .beginning
    ) {
        self.peak = peak
        self.lowest = lowest
        self.warmupStart = warmupStart ?? lowest
        self.warmupSteps = warmupSteps
        self.cosineStart = cosineStart
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        peak = try container.decode(.peak, default: 1e-5)
        lowest = try container.decode(.lowest, default: 1e-7)
        warmupStart = try container.decode(.warmupStart, default: lowest)
        warmupSteps = try container.decodeIfPresent(Int.self, forKey: .warmupSteps)
        cosineStart = try container.decode(.cosineStart, default: .beginning)
        try container.require(peak > 0 && peak.isFinite, .peak, "must be positive, found \(peak)")
        try container.require(lowest >= 0 && lowest <= peak, .lowest, "expected 0...peak, found \(lowest)")
        try container.require(
            warmupStart >= 0 && warmupStart <= peak,
            .warmupStart,
            "expected 0...peak, found \(warmupStart)"
        )
        if let warmupSteps {
            try container.require(warmupSteps >= 0, .warmupSteps, "must not be negative, found \(warmupSteps)")
        }
    }

    /// The schedule over a number of steps.
    public func schedule(steps: Int) -> LearningRateSchedule {
        LearningRateSchedule(
            peak: peak,
            lowest: lowest,
            warmupStart: warmupStart,
            warmupSteps: warmupSteps ?? steps / 10,
            totalSteps: steps,
            cosineStart: cosineStart
        )
    }
}

/// The joint training of all tasks (Uni-Med, section 3.3: one stage).
public struct TrainingConfiguration: Codable, Sendable, Equatable {
    /// The number of optimizer steps.
    public var steps: Int
    /// The samples that pass through the model at once.
    ///
    /// Default: 4 (Uni-Med, section 4.1).
    public var batchSize: Int
    /// The batches of a step, whose gradients are added up before the one update.
    ///
    /// A step with `n` batches equals one with a batch `n` times as large, also where answers differ in length: every
    /// answer token of the step has the same say, or that of `lengthExponent`. Only the memory is that of one batch.
    ///
    /// Default: 1.
    public var accumulation: Int
    /// Whether the backward pass computes the language model's blocks again, so that only their inputs are kept.
    ///
    /// Less memory for about a third more work; the weights become the same, bit for bit.
    ///
    /// Default: it does not.
    public var gradientCheckpointing: Bool
    /// Whether a batch mixes tasks.
    ///
    /// Default: it does.
    public var composition: BatchComposition
    /// The learning rate over the steps.
    public var learningRate: LearningRateConfiguration
    /// The optimizer's settings.
    public var optimizer: AdamWConfiguration
    /// How gradients of tasks that pull against each other are treated; `nil` adds them up, as in the paper.
    public var optimization: OptimizationConfiguration?
    /// The largest norm of all gradients together; `nil` does not clip, as in the published code.
    public var gradientClipping: Double?
    /// The share of an answer token's probability that is spread over the vocabulary.
    ///
    /// Default: 0.
    public var labelSmoothing: Double
    /// Each token of an answer of `n` tokens weighs `n ** -lengthExponent` in the loss.
    ///
    /// Default: 0, the paper's plain mean.
    public var lengthExponent: Double
    /// The width, in hundredths of the image, of a Gaussian around the true coordinate as its target; `nil` has hard targets, as
    /// in the paper.
    public var coordinateDeviation: Double?
    /// What is zeroed at random, beside LoRA's own dropout.
    ///
    /// Default: nothing.
    public var dropout: DropoutRates
    /// The longest sequence in tokens, with the image's; longer prompts lose tokens, `nil` keeps all.
    public var maximumLength: Int?
    /// The views of each training picture whose features are kept, the picture itself included.
    ///
    /// Default: 1.
    public var views: Int
    /// The steps between two checkpoints.
    ///
    /// Default: 500.
    public var checkpointEvery: Int
    /// The checkpoints that are kept.
    ///
    /// Default: 2.
    public var keptCheckpoints: Int
    /// The steps between two lines of metrics.
    ///
    /// Default: 10.
    public var logEvery: Int

    enum CodingKeys: String, CodingKey, CaseIterable {
        case steps, batchSize, accumulation, gradientCheckpointing, composition, learningRate, optimizer,
            optimization, gradientClipping, labelSmoothing
        case lengthExponent, coordinateDeviation, dropout, maximumLength, views, checkpointEvery, keptCheckpoints,
            logEvery
    }

    /// Makes a configuration.
    public init(
        steps: Int,
        batchSize: Int = 4,
        accumulation: Int = 1,
        gradientCheckpointing: Bool = false,
        composition: BatchComposition = .mixed,
        learningRate: LearningRateConfiguration = LearningRateConfiguration(),
        optimizer: AdamWConfiguration = AdamWConfiguration(),
        optimization: OptimizationConfiguration? = nil,
        gradientClipping: Double? = nil,
        labelSmoothing: Double = 0,
        lengthExponent: Double = 0,
        coordinateDeviation: Double? = nil,
        dropout: DropoutRates = DropoutRates(),
        maximumLength: Int? = nil,
        views: Int = 1,
        checkpointEvery: Int = 500,
        keptCheckpoints: Int = 2,
        logEvery: Int = 10
    ) {
        self.steps = steps
        self.batchSize = batchSize
        self.accumulation = accumulation
        self.gradientCheckpointing = gradientCheckpointing
        self.composition = composition
        self.learningRate = learningRate
        self.optimizer = optimizer
        self.optimization = optimization
        self.gradientClipping = gradientClipping
        self.labelSmoothing = labelSmoothing
        self.lengthExponent = lengthExponent
        self.coordinateDeviation = coordinateDeviation
        self.dropout = dropout
        self.maximumLength = maximumLength
        self.views = views
        self.checkpointEvery = checkpointEvery
        self.keptCheckpoints = keptCheckpoints
        self.logEvery = logEvery
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        steps = try container.decode(Int.self, forKey: .steps)
        let defaults = TrainingConfiguration(steps: steps)
        batchSize = try container.decode(.batchSize, default: defaults.batchSize)
        accumulation = try container.decode(.accumulation, default: defaults.accumulation)
        gradientCheckpointing = try container.decode(
            .gradientCheckpointing,
            default: defaults.gradientCheckpointing
        )
        composition = try container.decode(.composition, default: defaults.composition)
        learningRate = try container.decode(.learningRate, default: defaults.learningRate)
        optimizer = try container.decodeStrictly(.optimizer, default: defaults.optimizer)
        optimization = try container.decodeIfPresent(OptimizationConfiguration.self, forKey: .optimization)
        try container.require(
            optimization == nil || composition == .mixed,
            .optimization,
            "contradicts composition \(composition.rawValue): a step needs samples of several tasks"
        )
        try container.require(
            optimization?.conflict != .famo || accumulation == 1,
            .optimization,
            "famo needs the losses of a step at once and contradicts accumulation \(accumulation)"
        )
        gradientClipping = try container.decodeIfPresent(Double.self, forKey: .gradientClipping)
        labelSmoothing = try container.decode(.labelSmoothing, default: defaults.labelSmoothing)
        lengthExponent = try container.decode(.lengthExponent, default: defaults.lengthExponent)
        coordinateDeviation = try container.decodeIfPresent(Double.self, forKey: .coordinateDeviation)
        dropout = try container.decode(.dropout, default: defaults.dropout)
        maximumLength = try container.decodeIfPresent(Int.self, forKey: .maximumLength)
        views = try container.decode(.views, default: defaults.views)
        checkpointEvery = try container.decode(.checkpointEvery, default: defaults.checkpointEvery)
        keptCheckpoints = try container.decode(.keptCheckpoints, default: defaults.keptCheckpoints)
        logEvery = try container.decode(.logEvery, default: defaults.logEvery)
        for (key, value) in [
            (CodingKeys.steps, steps), (.batchSize, batchSize), (.accumulation, accumulation), (.views, views),
            (.checkpointEvery, checkpointEvery), (.keptCheckpoints, keptCheckpoints), (.logEvery, logEvery),
        ] {
            try container.require(value > 0, key, "must be positive, found \(value)")
        }
        if let gradientClipping {
            try container.require(
                gradientClipping > 0,
                .gradientClipping,
                "must be positive, found \(gradientClipping)"
            )
        }
        try container.require(
            (0..<1).contains(labelSmoothing),
            .labelSmoothing,
            "expected 0 or more and less than 1, found \(labelSmoothing)"
        )
        try container.require(
            (0...1).contains(lengthExponent),
            .lengthExponent,
            "expected 0...1, found \(lengthExponent)"
        )
        if let coordinateDeviation {
            try container.require(
                coordinateDeviation > 0 && coordinateDeviation.isFinite,
                .coordinateDeviation,
                "must be positive, found \(coordinateDeviation)"
            )
        }
        if let maximumLength {
            try container.require(maximumLength > 8, .maximumLength, "expected more than 8, found \(maximumLength)")
        }
        if let warmup = learningRate.warmupSteps {
            try container.require(
                warmup <= steps,
                .learningRate,
                "warmupSteps is \(warmup), more than the \(steps) steps there are"
            )
        }
    }

    /// The samples of an optimizer step.
    public var samplesPerStep: Int { batchSize * accumulation }

    /// The learning rate's schedule.
    public var schedule: LearningRateSchedule { learningRate.schedule(steps: steps) }
}

/// How the trained model is evaluated.
public struct EvaluationConfiguration: Codable, Sendable, Equatable {
    /// The part of the data that is evaluated.
    ///
    /// Default: validation.
    public var split: Split
    /// The samples answered at once.
    ///
    /// Default: 32.
    public var batchSize: Int
    /// The tokens an answer has at most, by the task's short code; other tasks have their default.
    public var maximumNewTokens: [MedicalTask: Int]
    /// The samples of each data set and task that are evaluated at most; `nil` takes all.
    public var limit: Int?
    /// How answers are generated; a largest number of tokens there holds for every task.
    ///
    /// Default: as the published evaluation, the likeliest token at each step.
    public var generation: GenerationOptions

    enum CodingKeys: String, CodingKey, CaseIterable {
        case split, batchSize, maximumNewTokens, limit, generation
    }

    /// The tokens an answer has at most where a recipe says nothing.
    public static let standardMaximumNewTokens: [MedicalTask: Int] = [
        .questionAnswering: 20, .visualQuestionAnswering: 20, .reportGeneration: 100,
        .referringExpressionComprehension: 20, .referringExpressionGeneration: 20, .imageClassification: 20,
    ]

    /// Makes a configuration.
    public init(
        split: Split = .validation,
        batchSize: Int = 32,
        maximumNewTokens: [MedicalTask: Int] = [:],
        limit: Int? = nil,
        generation: GenerationOptions = GenerationOptions()
    ) {
        self.split = split
        self.batchSize = batchSize
        self.maximumNewTokens = Self.standardMaximumNewTokens.merging(maximumNewTokens) { $1 }
        self.limit = limit
        self.generation = generation
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        split = try container.decode(.split, default: .validation)
        batchSize = try container.decode(.batchSize, default: 32)
        limit = try container.decodeIfPresent(Int.self, forKey: .limit)
        generation = try container.decode(.generation, default: GenerationOptions())
        try container.require(
            generation.maximumNewTokens == nil || !container.contains(.maximumNewTokens),
            .generation,
            "its maximumNewTokens is that of every task and contradicts maximumNewTokens by task"
        )
        maximumNewTokens = Self.standardMaximumNewTokens
        if container.contains(.maximumNewTokens) {
            let tokens = try container.nestedContainer(keyedBy: AnyKey.self, forKey: .maximumNewTokens)
            try tokens.rejectUnknownKeys(MedicalTask.allCases.map(\.rawValue))
            for task in MedicalTask.allCases {
                let key = AnyKey(task.rawValue)
                guard let count = try tokens.decodeIfPresent(Int.self, forKey: key) else { continue }
                try tokens.require(count > 0, key, "must be positive, found \(count)")
                maximumNewTokens[task] = count
            }
        }
        try container.require(batchSize > 0, .batchSize, "must be positive, found \(batchSize)")
        if let limit { try container.require(limit > 0, .limit, "must be positive, found \(limit)") }
    }

    /// Writes the configuration.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(split, forKey: .split)
        try container.encode(batchSize, forKey: .batchSize)
        // A number for every task leaves none for each to say.
        if generation.maximumNewTokens == nil {
            var tokens = container.nestedContainer(keyedBy: AnyKey.self, forKey: .maximumNewTokens)
            for task in MedicalTask.allCases {
                if let count = maximumNewTokens[task] { try tokens.encode(count, forKey: AnyKey(task.rawValue)) }
            }
        }
        try container.encodeIfPresent(limit, forKey: .limit)
        try container.encode(generation, forKey: .generation)
    }
}
