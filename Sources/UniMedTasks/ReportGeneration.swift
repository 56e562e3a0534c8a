public import UniMedData
public import UniMedMetrics

/// Report generation: short code `rg`, prompt tag `[caption]`.
///
/// The pools are those of MPx-Single (the standard one) and MIMIC-CXR for chest x-rays. References are cut at 50 words, as
/// the published text processor does. Scored by sentence BLEU of normalised words, averaged over reports; the published
/// evaluation uses corpus BLEU of PTB tokens, so the numbers have names of their own.
public struct ReportGeneration: TaskDefinition {
    /// Which task this is.
    public let task = MedicalTask.reportGeneration
    /// The metric that stands for the task.
    public let primaryMetric = Metric.reportBLEU1
    /// All metrics a sample may be scored by, the primary one first.
    public let metrics: [Metric] = [.reportBLEU1, .reportBLEU4, .f1]

    private static let chestXRay: [InstructionTemplate] = [
        "Describe the given chest x-ray image in detail.",
        "Take a look at this chest x-ray and describe the findings and impression.",
        "Could you provide a detailed description of the given x-ray image?",
        "Describe the given chest x-ray image as detailed as possible.",
        "What are the key findings in this chest x-ray image?",
    ]

    /// The ways of asking (Uni-Med, appendix C).
    public var templates: TemplatePools { Self.pools }

    private static let pools = TemplatePools(
        standard: [
            "Describe this input image.",
            "Help captioning the image.",
            "What can be inflected from the scan?",
            "Can you give a caption for this image?",
            "Can you provide a brief summary of the radiology image?",
            "Please write a report about the image?",
            "Can you provide an analysis of this image?",
            "Can you explain what is shown in this image?",
            "What can be indicated from the radiologic scans?",
            "What can you infer from this photograph?",
        ],
        byDataset: ["mimic-cxr": Self.chestXRay, "mimic_cxr": Self.chestXRay, "cxr": Self.chestXRay]
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
        let reference = WordNormalizer.words(try sample.referenceText())
        let words = WordNormalizer.words(WordNormalizer.cleanedPrediction(prediction))
        return SampleScore(
            primary: primaryMetric,
            values: [
                .reportBLEU1: BLEU.sentence(words, reference: reference, order: 1),
                .reportBLEU4: BLEU.sentence(words, reference: reference, order: 4),
                .f1: F1.published(words, reference: reference),
            ],
            isParsed: !words.isEmpty
        )
    }
}
