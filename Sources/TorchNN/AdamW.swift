public import Torch

/// The settings of ``AdamW``.
public struct AdamWConfiguration: Codable, Sendable, Equatable {
    /// The element type of the moments.
    public enum StateType: String, Codable, Sendable, CaseIterable {
        case float32
        /// Half the memory; rounded at random, so that small changes add up as they do in float32.
        case bfloat16

        /// The element type.
        public var dtype: DType { self == .float32 ? .float32 : .bfloat16 }
    }

    /// The decay of the first moment.
    ///
    /// Default: 0.9.
    public var beta1: Double
    /// The decay of the second moment.
    ///
    /// Default: 0.95 (Uni-Med section 4.1; the published code uses 0.999 unless set).
    public var beta2: Double
    /// Added to the root of the second moment.
    ///
    /// Default: 1e-8.
    public var epsilon: Double
    /// The decoupled weight decay of matrices.
    ///
    /// Default: 0.05.
    public var weightDecay: Double
    /// The element type of the moments; the weights themselves stay in theirs.
    ///
    /// Default: float32.
    public var stateType: StateType

    enum CodingKeys: String, CodingKey {
        case beta1, beta2, epsilon, weightDecay, stateType
    }

    /// Makes settings.
    public init(
        beta1: Double = 0.9,
        beta2: Double = 0.95,
        epsilon: Double = 1e-8,
        weightDecay: Double = 0.05,
        stateType: StateType = .float32
    ) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.stateType = stateType
    }

    /// Reads settings; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = AdamWConfiguration()
        beta1 = try container.decodeIfPresent(Double.self, forKey: .beta1) ?? defaults.beta1
        beta2 = try container.decodeIfPresent(Double.self, forKey: .beta2) ?? defaults.beta2
        epsilon = try container.decodeIfPresent(Double.self, forKey: .epsilon) ?? defaults.epsilon
        weightDecay = try container.decodeIfPresent(Double.self, forKey: .weightDecay) ?? defaults.weightDecay
        stateType = try container.decodeIfPresent(StateType.self, forKey: .stateType) ?? defaults.stateType
        for (key, value) in [(CodingKeys.beta1, beta1), (.beta2, beta2)] where !(0..<1).contains(value) {
            throw DecodingError.dataCorruptedError(
                forKey: key,
                in: container,
                debugDescription: "must be in 0..<1, got \(value)"
            )
        }
    }
}

/// AdamW with decoupled weight decay, by LibTorch's fused kernel, or by one of our own where the moments are narrow.
///
/// As in the published code, a parameter without a gradient in a step is skipped whole: no decay, no moments, and its own
/// step count stands still. Vectors and what is named `bias`, `ln` or `bn` do not decay; task tokens do.
public final class AdamW {
    /// A parameter and what the optimizer keeps for it.
    private struct Slot {
        let name: String
        let parameter: Parameter
        let decays: Bool
        let firstMoment: Tensor
        let secondMoment: Tensor
        let step: Tensor
    }

    private let configuration: AdamWConfiguration
    private let slots: [Slot]

    /// Makes an optimizer of the parameters that are trained.
    ///
    /// - Throws: ``TorchError`` when narrow moments are asked for beside parameters that are not float32.
    public init(_ parameters: [(name: String, parameter: Parameter)], _ configuration: AdamWConfiguration)
        throws(TorchError)
    {
        self.configuration = configuration
        var slots: [Slot] = []
        for (name, parameter) in parameters where parameter.isTrainable {
            let value = parameter.value
            let isNarrow = configuration.stateType != .float32
            guard !isNarrow || value.dtype == .float32 else {
                throw TorchError(
                    operation: "AdamW",
                    operands: [value.summary],
                    message: "moments in \(configuration.stateType.rawValue) need float32 parameters; \(name) is none"
                )
            }
            let dtype = isNarrow ? configuration.stateType.dtype : value.dtype
            slots.append(
                Slot(
                    name: name,
                    parameter: parameter,
                    decays: AdamW.decays(name: name, rank: value.rank),
                    firstMoment: try Tensor.zeros(value.shape, dtype: dtype, device: value.device),
                    secondMoment: try Tensor.zeros(value.shape, dtype: dtype, device: value.device),
                    step: try Tensor.zeros([], device: value.device)
                )
            )
        }
        self.slots = slots
    }

    /// Whether weight decay applies: not to vectors, and not where the name contains `bias`, `ln` or `bn`.
    public static func decays(name: String, rank: Int) -> Bool {
        rank >= 2 && !name.contains("bias") && !name.contains("ln") && !name.contains("bn")
    }

    /// The gradients collected since the last step.
    private func gradients() -> [Tensor] { slots.compactMap { $0.parameter.value.gradient } }

    /// The Euclidean norm of all gradients together (one element), before any clipping.
    public func gradientNorm() throws(TorchError) -> Tensor { try OptimizerKernel.totalNorm(gradients()) }

    /// Scales all gradients so that their norm is at most `maximum`.
    ///
    /// - Returns: The norm before (one element). Nothing is fetched from the device.
    @discardableResult
    public func clipGradients(to maximum: Double) throws(TorchError) -> Tensor {
        let gradients = gradients()
        let norm = try OptimizerKernel.totalNorm(gradients)
        let factor = try (Tensor.full([], maximum, device: norm.device) / (norm + 1e-6)).clamp(0, 1)
        try OptimizerKernel.scale(gradients, by: factor)
        return norm
    }

    /// Updates every parameter that has a gradient.
    public func step(learningRate: Double) throws(TorchError) {
        for decays in [true, false] {
            var group: [Slot] = []
            var gradients: [Tensor] = []
            for slot in slots where slot.decays == decays {
                guard let gradient = slot.parameter.value.gradient else { continue }
                group.append(slot)
                gradients.append(gradient)
            }
            try OptimizerKernel.adamW(
                parameters: group.map(\.parameter.value),
                gradients: gradients,
                firstMoments: group.map(\.firstMoment),
                secondMoments: group.map(\.secondMoment),
                steps: group.map(\.step),
                learningRate: learningRate,
                beta1: configuration.beta1,
                beta2: configuration.beta2,
                weightDecay: decays ? configuration.weightDecay : 0,
                epsilon: configuration.epsilon
            )
        }
    }

    /// Forgets all gradients.
    public func clearGradients() throws(TorchError) {
        for slot in slots { try slot.parameter.value.setGradient(nil) }
    }

    /// What a checkpoint keeps: moments and step counts by parameter name.
    ///
    /// The tensors are the optimizer's own.
    public func state() -> [(name: String, tensor: Tensor)] {
        slots.flatMap {
            [
                (name: $0.name + ".exp_avg", tensor: $0.firstMoment),
                (name: $0.name + ".exp_avg_sq", tensor: $0.secondMoment),
                (name: $0.name + ".step", tensor: $0.step),
            ]
        }
    }

    /// Continues from what ``state()`` gave.
    ///
    /// - Parameter tensor: Finds a tensor by name; `nil` when it is missing.
    /// - Throws: ``TorchError`` that names the first entry that is missing or of another shape or type.
    public func restore(_ tensor: (String) throws(TorchError) -> Tensor?) throws(TorchError) {
        for (name, own) in state() {
            guard let saved = try tensor(name) else {
                throw TorchError(operation: "restore", message: "optimizer state \(name) is missing")
            }
            guard saved.shape == own.shape, saved.dtype == own.dtype else {
                throw TorchError(
                    operation: "restore",
                    operands: [own.summary, saved.summary],
                    message: "optimizer state \(name) has another shape or type"
                )
            }
            try own.copy(from: saved)
        }
    }
}
