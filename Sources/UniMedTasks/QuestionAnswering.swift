public import UniMedData
public import UniMedMetrics

/// Question answering without an image: short code `qa`, prompt tag `[qa]`.
///
/// The pools are those of MedQA (the standard one) and PubMedQA. The paper trains on the task and does not score it; we
/// report how often the normalised answer equals the reference.
public struct QuestionAnswering: TaskDefinition {
    /// Which task this is.
    public let task = MedicalTask.questionAnswering
    /// The metric that stands for the task.
    public let primaryMetric = Metric.exactMatch
    /// All metrics a sample may be scored by, the primary one first.
    public let metrics: [Metric] = [.exactMatch, .f1]

    /// The ways of asking (Uni-Med, appendix C).
    public var templates: TemplatePools { Self.pools }

    private static let pools = TemplatePools(
        standard: [
            "{Question}",
            "If you are a doctor, please answer the following question briefly: {question}",
        ],
        byDataset: [
            "pubmedqa": [
                "{Question}",
                "If you are a doctor, please answer the following question using \"yes\", \"no\" or \"maybe\": {question}",
            ]
        ]
    )

    /// Makes the task.
    public init() {}

    /// The choice that an answer names, or its text when the question has no choices.
    public func parse(_ answer: String, for sample: Sample) -> ParsedAnswer {
        if let choices = sample.choices, !choices.isEmpty { return parseChoice(answer, among: choices) }
        let cleaned = WordNormalizer.cleanedPrediction(answer)
        return WordNormalizer.words(cleaned).isEmpty ? .unparsable : .text(cleaned)
    }

    /// How well a model's answer agrees with the reference.
    ///
    /// - Parameters:
    ///   - prediction: The model's answer, as it came.
    ///   - sample: The sample with its reference.
    /// - Returns: Every metric of the task that applies to the sample.
    /// - Throws: ``TaskError`` when the sample lacks its reference.
    public func score(prediction: String, for sample: Sample) throws(TaskError) -> SampleScore {
        let reference = try sample.referenceText()
        let words = WordNormalizer.words(WordNormalizer.cleanedPrediction(prediction))
        return SampleScore(
            primary: primaryMetric,
            values: [
                .exactMatch: ExactMatch.isMatch(prediction, reference: reference) ? 1 : 0,
                .f1: F1.published(words, reference: WordNormalizer.words(reference)),
            ],
            isParsed: parse(prediction, for: sample) != .unparsable
        )
    }
}
