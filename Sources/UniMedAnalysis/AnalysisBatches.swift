public import Torch
public import TorchNN
public import UniMedData
public import UniMedEvaluation
public import UniMedModel
import UniMedTasks
import UniMedTraining

/// What samples of one task, or of one task in one data set, are compared with.
public enum Grouping: String, Codable, Sendable, CaseIterable {
    /// Every task is a group.
    case task
    /// Every task of every data set is a group, as in figure 2 of the paper.
    case dataset
}

/// Batches of samples, each of one task or data set, drawn by a seed.
public struct AnalysisBatches {
    /// The samples of a group, and which of them make its batches.
    public struct Group: Sendable {
        /// What the group is called, for example `vqa` or `slake vqa`.
        public let name: String
        /// The task.
        public let task: MedicalTask
        /// Positions of samples in the data, one list for each batch.
        public let batches: [[Int]]
        /// The number of samples of the data that belong to it.
        public let sampleCount: Int
    }

    /// The groups, in the order of the tasks.
    public let groups: [Group]

    private let model: UniMed
    private let data: PreparedData
    private let encoder: PromptEncoder
    private let features: any ImageFeatureSource
    private let seed: UInt64

    /// Draws batches.
    ///
    /// Samples are drawn without repetition as long as there are enough for a batch; then all may come again. Pictures
    /// are seen as they are, without augmentation.
    ///
    /// - Parameters:
    ///   - split: The part of the data. Default: training.
    ///   - tasks: The tasks that are looked at. Default: all.
    ///   - batchCount: The batches of each group; 100 in the paper.
    ///   - batchSize: The samples of a batch.
    ///   - features: Where vision features come from.
    /// - Throws: ``AnalysisError`` of kind `data` when no sample fits.
    public init(
        model: UniMed,
        data: PreparedData,
        encoder: PromptEncoder,
        features: any ImageFeatureSource,
        split: Split = .train,
        tasks: Set<MedicalTask> = Set(MedicalTask.allCases),
        grouping: Grouping = .task,
        batchCount: Int = 100,
        batchSize: Int = 4,
        seed: UInt64 = 0
    ) throws(AnalysisError) {
        guard batchCount > 0, batchSize > 0 else {
            throw AnalysisError(
                .request,
                "must be positive, got \(batchCount) batches of \(batchSize)",
                field: "batches"
            )
        }
        var members: [String: [Int]] = [:]
        var order: [(name: String, task: MedicalTask)] = []
        for index in data.indices(split: split, tasks: tasks) {
            let sample = data.samples[index]
            if sample.task.usesImage, data.images.positions(of: sample) == nil { continue }
            if sample.image?.volume != nil, model.configuration.volume == nil {
                throw AnalysisError(
                    .data,
                    "the data hold volumes, and the model has no settings for them",
                    field: "model.volume"
                )
            }
            let name = grouping == .task ? sample.task.rawValue : "\(sample.dataset) \(sample.task.rawValue)"
            if members[name] == nil { order.append((name, sample.task)) }
            members[name, default: []].append(index)
        }
        guard !order.isEmpty else {
            throw AnalysisError(.data, "expected samples of the split \(split.rawValue), got none", field: "split")
        }
        let ranks = Dictionary(uniqueKeysWithValues: MedicalTask.allCases.enumerated().map { ($1, $0) })
        order.sort { (ranks[$0.task] ?? 0, $0.name) < (ranks[$1.task] ?? 0, $1.name) }
        groups = order.map { name, task in
            let members = members[name] ?? []
            var generator = SeededGenerator.derived(from: seed, label: "analysis of \(name)")
            var pool: [Int] = []
            let size = min(batchSize, members.count)
            let batches = (0..<batchCount).map { _ -> [Int] in
                // A batch never holds a sample twice: what is left of an order that is too short for it is not used.
                if pool.count < size { pool = generator.permutation(of: members.count) }
                defer { pool.removeLast(size) }
                return pool.suffix(size).map { members[$0] }
            }
            return Group(name: name, task: task, batches: batches, sampleCount: members.count)
        }
        self.model = model
        self.data = data
        self.encoder = encoder
        self.features = features
        self.seed = seed
    }

    /// The samples of a batch, ready for the model, with their answers.
    public func batch(_ indices: [Int]) throws(AnalysisError) -> PromptBatch {
        try Self.batch(
            of: indices.map { data.samples[$0] },
            model: model,
            data: data,
            encoder: encoder,
            features: features,
            seed: seed
        ).prompts
    }

    /// Samples, ready for the model, with their answers.
    ///
    /// - Returns: The prompts; of each with an image the number of pictures it looks at, more than one for a volume.
    static func batch(
        of samples: [Sample],
        model: UniMed,
        data: PreparedData,
        encoder: PromptEncoder,
        features: any ImageFeatureSource,
        seed: UInt64
    ) throws(AnalysisError) -> (prompts: PromptBatch, pictureCounts: [Int]) {
        try analysing {
            var prompts: [EncodedPrompt] = []
            var pictures: [[Int]] = []
            let selection = model.configuration.volume?.selection ?? SliceSelection(count: 1)
            for sample in samples {
                let seen = sample.task.usesImage ? data.images.pictures(of: sample, selection: selection) : nil
                prompts.append(
                    try prompt(
                        of: sample,
                        hasImage: seen != nil,
                        slices: seen?.slices ?? [],
                        encoder: encoder,
                        seed: seed
                    )
                )
                if let seen { pictures.append(seen.positions) }
            }
            let batch = try PromptBatch(
                prompts,
                features: pictures.isEmpty ? nil : features.features(at: pictures.flatMap(\.self)),
                imageTokenCount: model.configuration.imageTokenCount,
                taskOrder: model.configuration.connector.tasks,
                roundsSizes: model.prefersRoundedSizes,
                device: model.device
            )
            return (batch, pictures.map(\.count))
        }
    }

    /// A sample's prompt with an answer: its own unless another is given.
    static func prompt(
        of sample: Sample,
        hasImage: Bool,
        slices: [SlicePosition] = [],
        encoder: PromptEncoder,
        answer: String? = nil,
        seed: UInt64
    ) throws -> EncodedPrompt {
        let definition = TaskRegistry.definition(of: sample.task)
        var instruction = try definition.instruction(for: sample, templateSeed: seed)
        // The encoder writes the task's tag itself.
        let tag = sample.task.promptTag + " "
        if instruction.hasPrefix(tag) { instruction.removeFirst(tag.count) }
        var prompt = try encoder.training(
            task: sample.task,
            instruction: instruction,
            answer: answer ?? definition.target(for: sample),
            hasImage: hasImage,
            slices: slices
        )
        prompt.modality = sample.modality
        return prompt
    }
}

/// The gradients of a model's own losses, for ``TugOfWar``.
///
/// The loss is the training's, without dropout: the mean cross entropy over the batch's answer tokens (Uni-Med eq. 10).
public struct ModelGradients: GradientSource {
    /// The groups' names.
    public var tasks: [String] { batches.groups.map(\.name) }
    /// The analysed parameters.
    public let parameters: [Tensor]

    private let model: UniMed
    private let batches: AnalysisBatches
    private let weights: [Tensor]

    /// Makes a source.
    ///
    /// - Parameter parameters: As ``ParameterSelection/resolve(_:in:)`` gives them.
    public init(
        model: UniMed,
        batches: AnalysisBatches,
        parameters: [(name: String, parameter: Parameter)]
    ) throws(AnalysisError) {
        self.model = model
        self.batches = batches
        weights = parameters.map(\.parameter.value)
        var detached: [Tensor] = []
        for weight in weights { detached.append(try analysing { try weight.detach() }) }
        self.parameters = detached
    }

    /// The number of batches of a group.
    public func batchCount(ofTask task: Int) -> Int { batches.groups[task].batches.count }

    /// The gradient of a batch's loss.
    public func gradients(task: Int, batch: Int) throws(AnalysisError) -> [Tensor?] {
        let batch = try batches.batch(batches.groups[task].batches[batch])
        return try analysing {
            let loss = try model.loss(batch, training: false).loss
            guard loss.requiresGradient else { return weights.map { _ in nil } }
            return try Tensor.gradients(of: [loss], withRespectTo: weights)
        }
    }

    /// A batch's loss with the parameters as they are.
    public func loss(task: Int, batch: Int) throws(AnalysisError) -> Double {
        let batch = try batches.batch(batches.groups[task].batches[batch])
        return try analysing {
            try withoutGradients { try model.loss(batch, training: false).loss.item() }
        }
    }
}
