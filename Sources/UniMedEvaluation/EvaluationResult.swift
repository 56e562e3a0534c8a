public import Foundation
public import UniMedData
public import UniMedMetrics

/// One answered sample: the line of `predictions.jsonl`.
public struct PredictionRecord: Codable, Sendable, Equatable {
    /// The sample's identifier within its data set.
    public var id: String
    /// The data set's name.
    public var dataset: String
    /// The task.
    public var task: MedicalTask
    /// The patient, case or study the sample belongs to.
    public var group: String?
    /// What the model was asked, without the task's tag.
    public var instruction: String
    /// The model's answer, as it came.
    public var prediction: String
    /// The reference answer.
    public var reference: String
    /// The answer's scores, in `[0, 1]`.
    public var scores: [Metric: Double]
    /// Whether the answer had the form the task asks for.
    public var isParsed: Bool
    /// What the trivial baseline answers, where there is one.
    public var baseline: String?
    /// The baseline's scores.
    public var baselineScores: [Metric: Double]?

    /// The closed set of answers, where there is one.
    public var choices: [String]?
    /// The annotated box in pixels of the original image (rec).
    public var box: BoundingBox?
    /// The slices that the annotated box spans, in a volume (rec).
    public var boxSlices: SliceRange?
    /// The picture and its size before any resizing.
    public var image: ImageReference?
    /// The log-likelihood of each of ``choices`` as the whole answer, where it was asked for.
    public var choiceScores: [Double]?
    /// By what the sample stands in the training split of the model, none for an unseen one; `nil` where it was not
    /// checked.
    public var leaks: [LeakKind]?

    init(_ record: EvaluationRecord, instruction: String, sample: Sample, choiceScores: [Double]? = nil) {
        id = record.sampleID
        dataset = record.dataset
        task = record.task
        group = record.group
        self.instruction = instruction
        prediction = record.prediction
        reference = record.reference
        scores = record.score.values
        isParsed = record.score.isParsed
        baseline = record.baselinePrediction
        baselineScores = record.baselineScore?.values
        choices = sample.choices
        box = sample.task == .referringExpressionComprehension ? sample.box : nil
        boxSlices = sample.task == .referringExpressionComprehension ? sample.boxSlices : nil
        image = sample.task == .referringExpressionComprehension ? sample.image : nil
        self.choiceScores = choiceScores
    }

    private enum CodingKeys: String, CodingKey {
        case id, dataset, task, group, instruction, prediction, reference, scores, isParsed, baseline, baselineScores
        case choices, box, boxSlices, image, choiceScores, leaks
    }

    /// Reads a line; one that was written by others needs `id`, `dataset`, `task`, `prediction` and `reference` alone.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        dataset = try container.decode(String.self, forKey: .dataset)
        task = try container.decode(MedicalTask.self, forKey: .task)
        group = try container.decodeIfPresent(String.self, forKey: .group)
        instruction = try container.decodeIfPresent(String.self, forKey: .instruction) ?? ""
        prediction = try container.decode(String.self, forKey: .prediction)
        reference = try container.decode(String.self, forKey: .reference)
        scores = try container.decodeIfPresent([Metric: Double].self, forKey: .scores) ?? [:]
        isParsed = try container.decodeIfPresent(Bool.self, forKey: .isParsed) ?? true
        baseline = try container.decodeIfPresent(String.self, forKey: .baseline)
        baselineScores = try container.decodeIfPresent([Metric: Double].self, forKey: .baselineScores)
        choices = try container.decodeIfPresent([String].self, forKey: .choices)
        box = try container.decodeIfPresent(BoundingBox.self, forKey: .box)
        boxSlices = try container.decodeIfPresent(SliceRange.self, forKey: .boxSlices)
        image = try container.decodeIfPresent(ImageReference.self, forKey: .image)
        choiceScores = try container.decodeIfPresent([Double].self, forKey: .choiceScores)
        leaks = try container.decodeIfPresent([LeakKind].self, forKey: .leaks)
    }
}

/// How far an evaluation has come.
public struct EvaluationProgress: Sendable, Equatable {
    /// The number of answered samples.
    public var done: Int
    /// The number of all samples.
    public var total: Int
}

/// How a task's images were spread over the projection experts.
public struct TaskRouting: Codable, Sendable, Equatable {
    /// The task.
    public var task: MedicalTask
    /// The mean weight of each expert over images and their tokens; the sum is 1.
    public var meanWeights: [Double]
    /// The number of images.
    public var imageCount: Int
}

/// What an evaluation gave.
public struct EvaluationResult: Sendable {
    /// The metrics per data set and task, beside the trivial baselines.
    public var table: EvaluationTable
    /// Every answer, in the order of the samples.
    public var predictions: [PredictionRecord]
    /// The routing weights per task, in the order of the tasks; tasks without images are left out, and
    /// all where the connector has no experts.
    public var routing: [TaskRouting]
    /// The time that answering took, in seconds.
    public var seconds: Double
    /// The number of tokens that were generated.
    public var generatedTokenCount: Int

    /// Writes the answers as JSON lines.
    ///
    /// - Throws: `DataError` when the file cannot be written.
    public func writePredictions(to url: URL) throws(DataError) {
        try JSONLines.write(predictions, to: url)
    }
}
