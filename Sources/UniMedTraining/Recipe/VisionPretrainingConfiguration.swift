public import TorchNN
import UniMedModel

/// The pretraining of the vision transformer on the training pictures, before it is frozen.
///
/// The paper's encoder comes pretrained on millions of pictures. Where no such weights can be had, a small one learns here
/// from what the training split knows of its pictures: their fields, the words of their reports, annotated boxes, and
/// their own texture.
public struct VisionPretrainingConfiguration: Codable, Sendable, Equatable {
    /// The number of optimizer steps.
    public var steps: Int
    /// The views of a step.
    ///
    /// Default: 16.
    public var batchSize: Int
    /// The learning rate over the steps.
    ///
    /// Default: peak 1.2e-3, lowest a hundredth of it, warm-up a twentieth of the steps.
    public var learningRate: LearningRateConfiguration
    /// The optimizer's settings.
    public var optimizer: AdamWConfiguration
    /// The largest norm of all gradients together.
    ///
    /// Default: 1.
    public var gradientClipping: Double
    /// The share of a field's probability that is spread over its values.
    ///
    /// Default: 0.1.
    public var labelSmoothing: Double
    /// The share of the pooled vector that is zeroed before the heads.
    ///
    /// Default: 0.1.
    public var dropout: Double
    /// The chance that the last block's branches are left out for a picture, growing from 0 in the first.
    ///
    /// Default: 0.1.
    public var dropPath: Double
    /// The largest share of a picture's patches that is hidden; each picture draws its own.
    ///
    /// Default: 0.5.
    public var maskRatio: Double
    /// The words of reports that are predicted, the most frequent ones.
    ///
    /// Default: 200.
    public var wordCount: Int
    /// The share of each data set in a batch, by name; empty for shares by the number of pictures.
    public var shares: [String: Double]
    /// The factors of the kinds of loss.
    public var losses: LossFactors
    /// How the transformer starts.
    public var initialization: Initialization
    /// The steps between two checkpoints.
    ///
    /// Default: 500.
    public var checkpointEvery: Int
    /// The steps between two lines of metrics.
    ///
    /// Default: 50.
    public var logEvery: Int

    /// The factors of the kinds of loss; each is 1 unless named.
    public struct LossFactors: Codable, Sendable, Equatable {
        /// The fields of a picture.
        public var fields: Double
        /// The words of its report.
        public var words: Double
        /// Its annotated boxes: inside, extent, centre and number.
        public var boxes: Double
        /// Its own texture.
        public var texture: Double

        enum CodingKeys: String, CodingKey, CaseIterable {
            case fields, words, boxes, texture
        }

        /// Makes factors.
        public init(fields: Double = 1, words: Double = 1, boxes: Double = 1, texture: Double = 1) {
            self.fields = fields
            self.words = words
            self.boxes = boxes
            self.texture = texture
        }

        /// Reads factors.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
            fields = try container.decode(.fields, default: 1)
            words = try container.decode(.words, default: 1)
            boxes = try container.decode(.boxes, default: 1)
            texture = try container.decode(.texture, default: 1)
            for (key, value) in [
                (CodingKeys.fields, fields), (.words, words), (.boxes, boxes), (.texture, texture),
            ] {
                try container.require(value >= 0 && value.isFinite, key, "must not be negative, found \(value)")
            }
        }
    }

    /// How the transformer starts.
    public enum Initialization: String, Codable, Sendable, CaseIterable {
        /// As the model is made: at random.
        case random
        /// Patches by the cosine basis, positions by sines, attention that at first looks at like tokens (Trockman and
        /// Kolter, 2023): what a large vision transformer learns anyway, and few pictures cannot teach.
        case structured
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case steps, batchSize, learningRate, optimizer, gradientClipping, labelSmoothing, dropout, dropPath, maskRatio
        case wordCount, shares, losses, initialization, checkpointEvery, logEvery
    }

    /// Makes a configuration.
    public init(
        steps: Int,
        batchSize: Int = 16,
        learningRate: LearningRateConfiguration? = nil,
        optimizer: AdamWConfiguration = AdamWConfiguration(),
        gradientClipping: Double = 1,
        labelSmoothing: Double = 0.1,
        dropout: Double = 0.1,
        dropPath: Double = 0.1,
        maskRatio: Double = 0.5,
        wordCount: Int = 200,
        shares: [String: Double] = [:],
        losses: LossFactors = LossFactors(),
        initialization: Initialization = .structured,
        checkpointEvery: Int = 500,
        logEvery: Int = 50
    ) {
        self.steps = steps
        self.batchSize = batchSize
        self.learningRate = learningRate ?? Self.standardLearningRate(steps: steps)
        self.optimizer = optimizer
        self.gradientClipping = gradientClipping
        self.labelSmoothing = labelSmoothing
        self.dropout = dropout
        self.dropPath = dropPath
        self.maskRatio = maskRatio
        self.wordCount = wordCount
        self.shares = shares
        self.losses = losses
        self.initialization = initialization
        self.checkpointEvery = checkpointEvery
        self.logEvery = logEvery
    }

    private static func standardLearningRate(steps: Int) -> LearningRateConfiguration {
        LearningRateConfiguration(peak: 1.2e-3, lowest: 1.2e-5, warmupStart: 0, warmupSteps: steps / 20)
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        steps = try container.decodePositive(.steps)
        let defaults = Self(steps: steps)
        batchSize = try container.decodePositive(.batchSize, default: defaults.batchSize)
        learningRate = try container.decode(.learningRate, default: defaults.learningRate)
        optimizer = try container.decodeStrictly(.optimizer, default: defaults.optimizer)
        gradientClipping = try container.decode(.gradientClipping, default: defaults.gradientClipping)
        labelSmoothing = try container.decode(.labelSmoothing, default: defaults.labelSmoothing)
        dropout = try container.decode(.dropout, default: defaults.dropout)
        dropPath = try container.decode(.dropPath, default: defaults.dropPath)
        maskRatio = try container.decode(.maskRatio, default: defaults.maskRatio)
        wordCount = try container.decode(.wordCount, default: defaults.wordCount)
        shares = try container.decode(.shares, default: defaults.shares)
        losses = try container.decode(.losses, default: defaults.losses)
        initialization = try container.decode(.initialization, default: defaults.initialization)
        checkpointEvery = try container.decodePositive(.checkpointEvery, default: defaults.checkpointEvery)
        logEvery = try container.decodePositive(.logEvery, default: defaults.logEvery)
        try container.require(gradientClipping > 0, .gradientClipping, "must be positive, found \(gradientClipping)")
        for (key, value) in [
            (CodingKeys.labelSmoothing, labelSmoothing), (.dropout, dropout), (.dropPath, dropPath),
            (.maskRatio, maskRatio),
        ] {
            try container.require((0..<1).contains(value), key, "expected 0 or more and less than 1, found \(value)")
        }
        try container.require(wordCount >= 0, .wordCount, "must not be negative, found \(wordCount)")
        try container.require(
            shares.values.allSatisfy { $0 >= 0 && $0.isFinite }
                && (shares.isEmpty || shares.values.contains { $0 > 0 }),
            .shares,
            "expected numbers of 0 or more, at least one of them positive"
        )
    }

    /// The learning rate's schedule.
    public var schedule: LearningRateSchedule { learningRate.schedule(steps: steps) }
}
