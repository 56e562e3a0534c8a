public import UniMedData
public import UniMedMetrics

/// Image classification: short code `cls`, prompt tag `[cls]`.
///
/// The question lists the classes, in the form of DermaMNIST's and OrganSMNIST's; a sample may bring a question of its own.
/// Scored by equality of the normalised answer with the class; an answer that names none of the classes is counted as
/// unparsed.
public struct ImageClassification: TaskDefinition {
    /// Which task this is.
    public let task = MedicalTask.imageClassification
    /// The metric that stands for the task.
    public let primaryMetric = Metric.accuracy
    /// All metrics a sample may be scored by, the primary one first.
    public let metrics: [Metric] = [.accuracy]

    /// The ways of asking (Uni-Med, appendix C).
    public var templates: TemplatePools { Self.pools }

    private static let pools = TemplatePools(
        standard: ["Which category does this {subject} belong to: {choices}?"]
    )

    /// What the pictures of a data set are called in the question.
    private static let subjects = [
        "dermamnist": "multi-source dermatoscopic image of common pigmented skin lesions",
        "organsmnist": "CT image",
    ]

    /// Makes the task.
    public init() {}

    /// The sample's own question, or one made from its classes.
    ///
    /// - Throws: ``TaskError`` when the sample has neither, or belongs to another task.
    public func instruction(for sample: Sample, templateSeed: UInt64) throws(TaskError) -> String {
        if sample.task == task, let question = sample.question, !question.isEmpty {
            return task.promptTag + " " + question
        }
        return try drawnInstruction(for: sample, templateSeed: templateSeed)
    }

    /// What a sample puts into a place of the question.
    ///
    /// - Throws: ``TaskError`` when the sample lacks it.
    public func value(of place: InstructionTemplate.Place, for sample: Sample) throws(TaskError) -> String {
        if place == .subject { return Self.subjects[sample.dataset.lowercased()] ?? "image" }
        return try sample.value(of: place)
    }

    /// The class that an answer names; text when the sample does not say which classes there are.
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
        return SampleScore(
            primary: primaryMetric,
            values: [.accuracy: ExactMatch.isMatch(prediction, reference: reference) ? 1 : 0],
            isParsed: parse(prediction, for: sample) != .unparsable
        )
    }
}
