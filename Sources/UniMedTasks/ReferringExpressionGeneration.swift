public import UniMedData
public import UniMedMetrics

/// Referring expression generation, what stands in a box: short code `reg`, prompt tag `[identify]`.
///
/// The pool is that of Slake-REG and SA-Med2D-REG. Boxes are written with braces as the published code does. Scored by
/// BLEU-1, F1 and equality of the normalised name.
public struct ReferringExpressionGeneration: TaskDefinition {
    /// Which task this is.
    public let task = MedicalTask.referringExpressionGeneration
    /// The metric that stands for the task.
    public let primaryMetric = Metric.bleu1
    /// All metrics a sample may be scored by, the primary one first.
    public let metrics: [Metric] = [.bleu1, .f1, .accuracy, .paperBLEU1, .paperF1]

    /// The ways of asking (Uni-Med, appendix C).
    public var templates: TemplatePools { Self.pools }

    private static let pools = TemplatePools(
        standard: [
            "{box}",
            "What object is in this location {box}?",
            "Identify the object present at this location {box}.",
            "What is it in {box}?",
            "Describe this object in {box}.",
            "This {box} is",
            "The object in {box} is",
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
        return SampleScore(
            primary: primaryMetric,
            values: values,
            isParsed: parse(prediction, for: sample) != .unparsable
        )
    }
}
