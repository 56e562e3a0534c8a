import Torch
import TorchNN
public import UniMedEvaluation
public import UniMedModel

/// What the tug-of-war analysis of a model needs, without allocating any of it.
public struct AnalysisPlan: Codable, Sendable, Equatable {
    /// A set of parameters.
    public struct SetSize: Codable, Sendable, Equatable {
        /// What it is called.
        public let name: String
        /// The number of parameters in it.
        public let parameters: Int
    }

    /// The sets.
    public let sets: [SetSize]
    /// The tasks, or data sets.
    public let groups: Int
    /// The batches of each.
    public let batches: Int
    /// The blocks that the parameters are taken in.
    public let blocks: Int
    /// Whether the backward pass computes the language model's blocks again, so that only their inputs are kept.
    public let gradientCheckpointing: Bool
    /// The gradients that are computed.
    public let gradients: Int
    /// The bytes of weights, of the copies a pass needs of them, and of a batch's activations (an estimate).
    public let modelBytes: Int
    /// The bytes of one gradient of all analysed parameters.
    public let gradientBytes: Int
    /// The bytes of all sums over batches.
    public let sumBytes: Int
    /// The floating-point operations of all gradients; a product and its sum are two.
    public let operations: Double

    /// The bytes of all together, on one device.
    public var totalBytes: Int { modelBytes + gradientBytes + sumBytes }

    enum CodingKeys: String, CodingKey {
        case sets, groups, batches, blocks, gradientCheckpointing, gradients, modelBytes, gradientBytes, sumBytes,
            operations, totalBytes
    }

    /// Plans an analysis.
    ///
    /// - Parameters:
    ///   - configuration: The model's sizes.
    ///   - selections: What is analysed.
    ///   - groups: The number of tasks or data sets, at least two.
    ///   - batches: The batches of each.
    ///   - blocks: The blocks that the parameters are taken in; `nil` is as few as fit the memory.
    ///   - memoryLimit: In bytes.
    ///   - description: Of the same model, with the batch's size, for the memory that is not the analysis's own.
    ///   - statistics: Whether parameter statistics are computed too.
    /// - Throws: ``AnalysisError`` of kind `request` when it does not fit the memory in any number of blocks up to 64.
    public init(
        _ configuration: UniMedConfiguration,
        selections: [ParameterSelection],
        groups: Int,
        batches: Int,
        blocks: Int? = nil,
        memoryLimit: Int = 40_000_000_000,
        description: ModelDescription,
        statistics: ParameterStatistics.Reading? = .meanGradients
    ) throws(AnalysisError) {
        guard groups > 1 else { throw AnalysisError(.request, "expected at least two, got \(groups)", field: "groups") }
        let model = try analysing { try UniMed(configuration, builder: WeightBuilder(device: .meta)) }
        let (sets, parameters) = try ParameterSelection.resolve(selections, in: model)
        let values = parameters.map(\.parameter.value)
        let sizes = sets.map { set in
            SetSize(name: set.name, parameters: set.pieces.reduce(0) { $0 + ParameterSet.count(of: $1, values) })
        }
        // Overlapping sets have sums of their own, but share the gradient.
        let summed = sizes.reduce(0) { $0 + $1.parameters } * 4
        let gradient = values.reduce(0) { $0 + $1.count } * 4
        let memory = description.memory
        let weights =
            memory.trainedWeights + memory.frozenWeights + memory.visionWeights + memory.weightCopies
            + memory.activations
        func sums(_ blocks: Int) -> Int {
            Int((TugOfWar.copyCount(taskCount: groups, blocks: blocks) - 1) * Double(summed))
        }
        let fitting = blocks ?? (1...64).first { weights + gradient + sums($0) <= memoryLimit }
        guard let fitting, fitting > 0 else {
            let least = weights + gradient + sums(64)
            throw AnalysisError(
                .request,
                "expected at most \(memoryLimit) bytes, the analysis needs \(least) even in 64 blocks",
                field: "memory"
            )
        }
        self.sets = sizes
        self.groups = groups
        self.batches = batches
        self.blocks = fitting
        gradientCheckpointing = description.training.gradientCheckpointing
        gradients = TugOfWar(sets: sets, statistics: statistics, blocks: fitting)
            .gradientCount(batchCounts: [Int](repeating: batches, count: groups))
        modelBytes = weights
        gradientBytes = gradient
        sumBytes = sums(fitting)
        let perSample = description.operations.reduce(0) { $0 + $1.forward + $1.backward }
        operations = perSample * Double(description.sample.batchSize) * Double(gradients)
    }

    /// Reads a plan; the total follows from its parts.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        sets = try container.decode([SetSize].self, forKey: .sets)
        groups = try container.decode(Int.self, forKey: .groups)
        batches = try container.decode(Int.self, forKey: .batches)
        blocks = try container.decode(Int.self, forKey: .blocks)
        gradientCheckpointing = try container.decode(Bool.self, forKey: .gradientCheckpointing)
        gradients = try container.decode(Int.self, forKey: .gradients)
        modelBytes = try container.decode(Int.self, forKey: .modelBytes)
        gradientBytes = try container.decode(Int.self, forKey: .gradientBytes)
        sumBytes = try container.decode(Int.self, forKey: .sumBytes)
        operations = try container.decode(Double.self, forKey: .operations)
    }

    /// Writes the parts and the total.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(sets, forKey: .sets)
        try container.encode(groups, forKey: .groups)
        try container.encode(batches, forKey: .batches)
        try container.encode(blocks, forKey: .blocks)
        try container.encode(gradientCheckpointing, forKey: .gradientCheckpointing)
        try container.encode(gradients, forKey: .gradients)
        try container.encode(modelBytes, forKey: .modelBytes)
        try container.encode(gradientBytes, forKey: .gradientBytes)
        try container.encode(sumBytes, forKey: .sumBytes)
        try container.encode(operations, forKey: .operations)
        try container.encode(totalBytes, forKey: .totalBytes)
    }
}
