import UniMedModel

/// How a step treats gradients of tasks that pull against each other.
///
/// | in a recipe | method | acts on | beside a plain step |
/// |---|---|---|---|
/// | `{conflict: pcgrad}` | PCGrad (Yu et al. 2020) | the shared parameters | one copy of their gradients for each task |
/// | `{conflict: cagrad}` | CAGrad (Liu et al. 2021) | the shared parameters | the same |
/// | `{conflict: gradnorm}` | GradNorm (Chen et al. 2018) | the shared parameters | the same |
/// | `{conflict: famo}` | FAMO (Liu et al. 2023) | all parameters | a second forward pass, no copies |
///
/// With each of them the samples of a step pass through the model task by task: as many tokens as in a plain step, in
/// smaller batches. The tasks' losses are divided so that their gradients add up to the plain step's.
///
/// Cost of a step with `T` tasks and `P` shared parameters, beside the plain one: `4 T P` bytes and `T (T + 1) P`
/// operations for the products of all gradients (at the paper's size 17 GB and 0.03 TFLOP for six tasks and the whole
/// connector; an MLP connector takes a twentieth), and one wait for the device. FAMO: one forward pass more, about a
/// third of a step.
public struct OptimizationConfiguration: Codable, Sendable, Equatable {
    /// What is done about conflicts.
    public enum Conflict: String, Codable, Sendable, CaseIterable {
        case pcgrad, cagrad, gradnorm, famo
    }

    /// The method.
    public var conflict: Conflict
    /// The names of the shared parameters, where `*` stands for any characters.
    ///
    /// Default: `connector.*`.
    public var parameters: String
    /// CAGrad's `c`, how far from the mean gradient the step may be (0.4), or GradNorm's `α`, how strongly slow tasks
    /// are pushed (1.5).
    public var strength: Double
    /// How fast the weights of GradNorm or FAMO change.
    ///
    /// Default: 0.025.
    public var learningRate: Double
    /// FAMO's decay of the weights' logits.
    ///
    /// Default: 0.001.
    public var decay: Double

    enum CodingKeys: String, CodingKey, CaseIterable {
        case conflict, parameters, strength, learningRate, decay
    }

    /// Makes a configuration.
    public init(
        conflict: Conflict,
        parameters: String = Self.standardParameters,
        strength: Double? = nil,
        learningRate: Double = 0.025,
        decay: Double = 0.001
    ) {
        self.conflict = conflict
        self.parameters = parameters
        self.strength = strength ?? Self.standardStrength(conflict)
        self.learningRate = learningRate
        self.decay = decay
    }

    /// The connector's parameters.
    public static let standardParameters = "connector.*"

    private static func standardStrength(_ conflict: Conflict) -> Double { conflict == .gradnorm ? 1.5 : 0.4 }

    /// The settings that a method has.
    private static func settings(_ conflict: Conflict) -> Set<CodingKeys> {
        switch conflict {
        case .pcgrad: [.parameters]
        case .cagrad: [.parameters, .strength]
        case .gradnorm: [.parameters, .strength, .learningRate]
        case .famo: [.learningRate, .decay]
        }
    }

    /// Reads a configuration; a setting that the method does not have is an error.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let conflict = try container.decode(Conflict.self, forKey: .conflict)
        for key in CodingKeys.allCases where key != .conflict && !Self.settings(conflict).contains(key) {
            try container.require(!container.contains(key), key, "\(conflict.rawValue) has no \(key.rawValue)")
        }
        self.init(
            conflict: conflict,
            parameters: try container.decode(.parameters, default: Self.standardParameters),
            strength: try container.decodeIfPresent(Double.self, forKey: .strength),
            learningRate: try container.decode(.learningRate, default: 0.025),
            decay: try container.decode(.decay, default: 0.001)
        )
        try container.require(!parameters.isEmpty, .parameters, "must not be empty")
        try container.require(strength >= 0 && strength.isFinite, .strength, "must not be negative, found \(strength)")
        if conflict == .cagrad {
            try container.require(strength < 1, .strength, "expected less than 1, found \(strength)")
        }
        try container.require(
            learningRate > 0 && learningRate.isFinite,
            .learningRate,
            "must be positive, found \(learningRate)"
        )
        try container.require(decay >= 0 && decay.isFinite, .decay, "must not be negative, found \(decay)")
    }

    /// Writes what ``init(from:)`` reads.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        let settings = Self.settings(conflict)
        try container.encode(conflict, forKey: .conflict)
        if settings.contains(.parameters) { try container.encode(parameters, forKey: .parameters) }
        if settings.contains(.strength) { try container.encode(strength, forKey: .strength) }
        if settings.contains(.learningRate) { try container.encode(learningRate, forKey: .learningRate) }
        if settings.contains(.decay) { try container.encode(decay, forKey: .decay) }
    }

    /// Makes the method: the one line that a new one needs.
    func makeMethod(state: ConflictState) -> any ConflictMethod {
        switch conflict {
        case .pcgrad: PCGrad(state: state)
        case .cagrad: CAGrad(strength: strength, state: state)
        case .gradnorm: GradNorm(strength: strength, learningRate: learningRate, state: state)
        case .famo: FAMO(learningRate: learningRate, decay: decay, state: state)
        }
    }
}
