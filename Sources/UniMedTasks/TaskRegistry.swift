public import UniMedData
public import UniMedMetrics

/// The definitions of all tasks.
///
/// A new task is one file and one line here.
public enum TaskRegistry {
    /// The definition of a task.
    public static func definition(of task: MedicalTask) -> any TaskDefinition {
        switch task {
        case .questionAnswering: QuestionAnswering()
        case .visualQuestionAnswering: VisualQuestionAnswering()
        case .reportGeneration: ReportGeneration()
        case .referringExpressionComprehension: ReferringExpressionComprehension()
        case .referringExpressionGeneration: ReferringExpressionGeneration()
        case .imageClassification: ImageClassification()
        }
    }

    /// All definitions, in the order of the tasks.
    public static let all: [any TaskDefinition] = MedicalTask.allCases.map { definition(of: $0) }

    /// A sample's answer with its scores, beside the trivial baseline's.
    ///
    /// - Parameters:
    ///   - prediction: The model's answer, as it came.
    ///   - sample: The sample that was asked.
    ///   - baseline: The trivial baseline of the training split, where there is one for the sample's data set and task.
    /// - Returns: What ``UniMedMetrics/EvaluationTable`` sums up.
    /// - Throws: ``TaskError`` when the sample lacks its reference.
    public static func record(
        prediction: String,
        for sample: Sample,
        baseline: TrivialBaseline?
    ) throws(TaskError) -> EvaluationRecord {
        let definition = definition(of: sample.task)
        let guess = baseline?.prediction(for: sample)
        var baselineScore: SampleScore?
        if let guess { baselineScore = try definition.score(prediction: guess, for: sample) }
        return EvaluationRecord(
            sampleID: sample.id,
            dataset: sample.dataset,
            task: sample.task,
            group: sample.group,
            prediction: prediction,
            reference: try definition.target(for: sample),
            score: try definition.score(prediction: prediction, for: sample),
            baselinePrediction: guess,
            baselineScore: baselineScore
        )
    }
}
