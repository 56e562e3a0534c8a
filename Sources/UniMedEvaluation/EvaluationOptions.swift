public import UniMedData
public import UniMedMetrics
public import UniMedModel

/// One of several equal parts of the samples, for processes that share the work.
public struct EvaluationShard: Sendable, Equatable, CustomStringConvertible {
    /// The part, from 1.
    public var index: Int
    /// The number of parts.
    public var count: Int

    /// Makes a part; `nil` unless `1 ≤ index ≤ count`.
    public init?(index: Int, count: Int) {
        guard index >= 1, index <= count else { return nil }
        self.index = index
        self.count = count
    }

    /// Reads `2/4`.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let index = parts[0], let count = parts[1] else { return nil }
        self.init(index: index, count: count)
    }

    /// For example `2/4`.
    public var description: String { "\(index)/\(count)" }

    /// Whether the sample at a position of the selection belongs to the part.
    func contains(_ position: Int) -> Bool { position % count == index - 1 }
}

/// What is evaluated, and how.
public struct EvaluationOptions: Sendable, Equatable {
    /// The part of the data that is evaluated.
    public var split: Split
    /// The tasks that are evaluated.
    public var tasks: Set<MedicalTask>
    /// The data sets that are evaluated; `nil` is all of them.
    public var datasets: Set<String>?
    /// The most samples of one data set and task, drawn with ``seed``; `nil` takes all.
    public var maximumSamplesPerPart: Int?
    /// The number of prompts that are answered together.
    public var batchSize: Int
    /// Where an answer is cut, in tokens, per task.
    public var maximumNewTokens: [MedicalTask: Int]
    /// How answers are generated; its own largest number of tokens, where it has one, holds for every task.
    public var generation: GenerationOptions
    /// How prompts are written.
    public var promptForm: EvaluationPromptForm
    /// The seed with which instruction templates and, where not all are taken, samples are drawn.
    public var seed: UInt64
    /// How intervals are computed.
    public var bootstrap: PairedBootstrap
    /// What is drawn anew for the intervals.
    public var resamplingUnit: EvaluationTable.ResamplingUnit
    /// The part of the samples that this process answers; `nil` answers all.
    public var shard: EvaluationShard?
    /// Whether the log-likelihood of each choice of a closed set is computed beside the answer.
    public var scoresChoices = false

    /// The lengths that hold every answer of the published data sets in vocabularies from a thousand pieces on.
    public static let defaultMaximumNewTokens: [MedicalTask: Int] = [
        .questionAnswering: 64,
        .visualQuestionAnswering: 48,
        .reportGeneration: 160,
        .referringExpressionComprehension: 32,
        .referringExpressionGeneration: 32,
        .imageClassification: 32,
    ]

    /// Describes an evaluation.
    ///
    /// - Parameters:
    ///   - split: The part of the data; the validation samples unless set.
    ///   - tasks: The tasks; all unless set.
    ///   - datasets: The data sets; `nil` is all of them.
    ///   - maximumSamplesPerPart: The most samples of one data set and task; `nil` takes all.
    ///   - batchSize: The number of prompts that are answered together.
    ///   - maximumNewTokens: Where an answer is cut, in tokens; tasks that are not named keep their default.
    ///   - generation: How answers are generated; the published way unless set.
    ///   - promptForm: How prompts are written.
    ///   - seed: The seed of templates and draws.
    ///   - bootstrap: How intervals are computed.
    ///   - resamplingUnit: What is drawn anew for the intervals.
    public init(
        split: Split = .validation,
        tasks: Set<MedicalTask> = Set(MedicalTask.allCases),
        datasets: Set<String>? = nil,
        maximumSamplesPerPart: Int? = nil,
        batchSize: Int = 32,
        maximumNewTokens: [MedicalTask: Int] = [:],
        generation: GenerationOptions = GenerationOptions(),
        promptForm: EvaluationPromptForm = .asTrained,
        seed: UInt64 = 0,
        bootstrap: PairedBootstrap = PairedBootstrap(),
        resamplingUnit: EvaluationTable.ResamplingUnit = .groups
    ) {
        self.split = split
        self.tasks = tasks
        self.datasets = datasets
        self.maximumSamplesPerPart = maximumSamplesPerPart
        self.batchSize = batchSize
        self.maximumNewTokens = Self.defaultMaximumNewTokens.merging(maximumNewTokens) { $1 }
        self.generation = generation
        self.promptForm = promptForm
        self.seed = seed
        self.bootstrap = bootstrap
        self.resamplingUnit = resamplingUnit
    }

    /// Where an answer of a task is cut, in tokens.
    public func maximumNewTokens(of task: MedicalTask) -> Int {
        generation.maximumNewTokens ?? maximumNewTokens[task] ?? 64
    }

    func validate() throws(EvaluationError) {
        do throws(GenerationError) {
            try generation.validate()
        } catch {
            throw EvaluationError(error)
        }
        guard batchSize > 0 else {
            throw .invalidOption(field: "batchSize", expected: "a positive number", got: "\(batchSize)")
        }
        if let maximumSamplesPerPart, maximumSamplesPerPart < 1 {
            throw .invalidOption(
                field: "maximumSamplesPerPart",
                expected: "a positive number",
                got: "\(maximumSamplesPerPart)"
            )
        }
        for (task, length) in maximumNewTokens where length < 1 {
            throw .invalidOption(
                field: "maximumNewTokens.\(task.rawValue)",
                expected: "a positive number",
                got: "\(length)"
            )
        }
    }
}
