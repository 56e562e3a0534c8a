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

    init(_ record: EvaluationRecord, instruction: String) {
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
