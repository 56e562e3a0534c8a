public import UniMedData
public import UniMedMetrics

/// Visual question answering: short code `vqa`, prompt tag `[vqa]`.
///
/// The pool is that of Slake-VQA and Path-VQA. Scored by BLEU-1 and F1 of the answer's words; closed questions, those
/// with choices, also by the published substring accuracy.
public struct VisualQuestionAnswering: TaskDefinition {
    /// Which task this is.
    public let task = MedicalTask.visualQuestionAnswering
    /// The metric that stands for the task.
    public let primaryMetric = Metric.bleu1
    /// All metrics a sample may be scored by, the primary one first.
    public let metrics: [Metric] = [.bleu1, .f1, .accuracy, .closedAccuracy, .paperBLEU1, .paperF1]

    /// The ways of asking (Uni-Med, appendix C).
    public var templates: TemplatePools { Self.pools }

    private static let pools = TemplatePools(
        standard: [
            "{Question}",
            "Based on the image, respond to this question with a short answer: {question}",
        ]
    )

    /// Makes the task.
    public init() {}

    /// How well a model's answer agrees with the reference.
    ///
    /// - Parameters:
    ///   - prediction: The model's answer, as it came.
    ///   - sample: The sample with its reference.
    /// - Returns: Every metric of the task that applies to the sample.
    /// - Throws: ``TaskError`` when the sample lacks its reference.
    public func score(prediction: String, for sample: Sample) throws(TaskError) -> SampleScore {
        let reference = try sample.referenceText()
        var values = TextScores.values(of: prediction, reference: reference)
        values[.accuracy] = ExactMatch.isMatch(prediction, reference: reference) ? 1 : 0
        if sample.choices?.isEmpty == false {
            values[.closedAccuracy] = ClosedAccuracy.isCorrect(prediction, reference: reference) ? 1 : 0
        }
        return SampleScore(
            primary: primaryMetric,
            values: values,
            isParsed: parse(prediction, for: sample) != .unparsable
        )
    }
}
