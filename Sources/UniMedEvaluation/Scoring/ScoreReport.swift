public import UniMedData
public import UniMedMetrics

/// The scores of kept predictions: one row per data set, task and subset.
public struct ScoreReport: Codable, Sendable, Equatable {
    /// The questions of a row.
    public enum Subset: String, Codable, Sendable, CaseIterable {
        /// All of them.
        case all
        /// Those without a closed set of answers.
        case open
        /// Those with a closed set of answers.
        case closed
    }

    /// A metric beside another model's.
    public struct Comparison: Codable, Sendable, Equatable {
        /// The other model's mean over its runs.
        public var value: Double
        /// Ours less the other's.
        public var difference: Double
        /// The lower end of the difference's interval.
        public var lower: Double
        /// The upper end of the difference's interval.
        public var upper: Double
        /// The two-sided probability of a paired bootstrap that the difference is not there.
        public var pValue: Double
        /// The relative improvement; `nil` where the other's value is 0.
        public var gain: Double?
    }

    /// One metric of a row.
    public struct Cell: Codable, Sendable, Equatable {
        /// The metric.
        public var metric: Metric
        /// How many samples it applies to.
        public var n: Int
        /// The mean over runs.
        public var value: Double
        /// The value of each run.
        public var runs: [Double]
        /// The standard deviation over runs; `nil` for one.
        public var standardDeviation: Double?
        /// The lower end of the bootstrap interval over samples, where there is one.
        public var lower: Double?
        /// The upper end of the bootstrap interval over samples, where there is one.
        public var upper: Double?
        /// The metric beside another model's.
        public var comparison: Comparison?
    }

    /// One class of a classification, in the first run.
    public struct ClassScores: Codable, Sendable, Equatable {
        /// The class.
        public var label: String
        /// How many references it has.
        public var support: Int
        /// How many answers named it.
        public var predicted: Int
        /// The precision, in `[0, 1]`.
        public var precision: Double
        /// The recall, in `[0, 1]`.
        public var recall: Double
        /// Their harmonic mean, in `[0, 1]`.
        public var f1: Double
        /// The area under its ROC curve, where the labels' likelihoods were kept.
        public var rocArea: Double?
    }

    /// A data set, a task and a subset with their metrics.
    public struct Row: Codable, Sendable, Equatable {
        /// The data set's name.
        public var dataset: String
        /// The task.
        public var task: MedicalTask
        /// The questions.
        public var subset: Subset
        /// How many samples were answered, in each run.
        public var n: Int
        /// How many samples were left out before they were asked, where it is known.
        public var skipped: Int?
        /// How many answers did not have the form the task asks for, in each run; they count as they score.
        public var unparsable: [Int]
        /// How many reports of the first run were left out of the corpus metrics because a text is empty.
        public var leftOut: Int
        /// How many samples stand in the training split of the first run's model, by kind; `nil` where it was not checked.
        public var leaks: [LeakKind: Int]?
        /// The metric that stands for the task: in the paper's ablations, and in the gain.
        public var primary: Metric
        /// The metrics, the primary one first.
        public var cells: [Cell]
        /// The classes of a classification.
        public var classes: [ClassScores]

        /// The cell of the primary metric.
        public var primaryCell: Cell? { cells.first { $0.metric == primary } }
    }

    /// A metric that was not computed.
    public struct MissingMetric: Codable, Sendable, Equatable {
        /// The metric.
        public var metric: Metric
        /// What was not there.
        public var reason: String

        /// Names a metric.
        public init(metric: Metric, reason: String) {
            self.metric = metric
            self.reason = reason
        }
    }

    /// The mean relative improvement of a task.
    public struct TaskGain: Codable, Sendable, Equatable {
        /// The task.
        public var task: MedicalTask
        /// The mean over its data sets; `0.05` is 5 %.
        public var gain: Double
        /// The lower end of its bootstrap interval over samples, where there is one.
        public var lower: Double?
        /// The upper end of its bootstrap interval over samples, where there is one.
        public var upper: Double?
        /// How many data sets it is of.
        public var datasets: Int
    }

    /// The rows, by task and data set.
    public var rows: [Row]
    /// The number of runs, one per seed.
    public var runCount: Int
    /// The number of runs of the model that is compared with; 0 without one.
    public var otherRunCount: Int
    /// The stages of METEOR whose data is not there: without them its value is too low.
    public var missingMETEORStages: [String]
    /// The metrics of reports that need models and were not computed, each with the reason.
    public var missingModelMetrics: [MissingMetric] = []
    /// How the intervals were computed.
    public var bootstrap: PairedBootstrap
    /// What was drawn anew for the intervals.
    public var resamplingUnit: EvaluationTable.ResamplingUnit
    /// The gain of each task over the other model.
    ///
    /// Uni-Med section 4.1: the mean over data sets of `(M_m − M_b) / M_b` of the primary metric.
    public var gains: [TaskGain]
    /// The mean of the tasks' gains; `nil` without a comparison.
    public var totalGain: Double?
    /// The lower end of its bootstrap interval over samples, where there is one.
    public var totalGainLower: Double?
    /// The upper end of its bootstrap interval over samples, where there is one.
    public var totalGainUpper: Double?

    /// Makes a report.
    ///
    /// - Parameter gainDraws: For each task the gain of the primary metric of its data sets in every draw.
    init(
        rows: [Row],
        runCount: Int,
        otherRunCount: Int,
        missingMETEORStages: [String],
        bootstrap: PairedBootstrap,
        resamplingUnit: EvaluationTable.ResamplingUnit,
        gainDraws: [MedicalTask: [[Double?]]]
    ) {
        self.rows = rows
        self.runCount = runCount
        self.otherRunCount = otherRunCount
        self.missingMETEORStages = missingMETEORStages
        self.bootstrap = bootstrap
        self.resamplingUnit = resamplingUnit
        let taskDraws = gainDraws.mapValues(ScoreReport.means)
        func middle(_ draws: [Double?]) -> (lower: Double, upper: Double)? {
            bootstrap.interval(ofSorted: draws.compactMap { $0 }.sorted())
        }
        gains = MedicalTask.allCases.compactMap { task in
            let parts = rows.filter { $0.task == task && $0.subset == .all }
                .compactMap { $0.primaryCell?.comparison?.gain }
            guard !parts.isEmpty else { return nil }
            let interval = middle(taskDraws[task] ?? [])
            return TaskGain(
                task: task,
                gain: parts.reduce(0, +) / Double(parts.count),
                lower: interval?.lower,
                upper: interval?.upper,
                datasets: parts.count
            )
        }
        totalGain = gains.isEmpty ? nil : gains.reduce(0) { $0 + $1.gain } / Double(gains.count)
        let total = middle(ScoreReport.means(gains.compactMap { taskDraws[$0.task] }))
        (totalGainLower, totalGainUpper) = (total?.lower, total?.upper)
    }

    /// The mean of several numbers in each draw; `nil` in draws in which one is missing.
    private static func means(_ draws: [[Double?]]) -> [Double?] {
        guard let count = draws.map(\.count).min() else { return [] }
        return (0..<count).map { index in
            let values = draws.compactMap { $0[index] }
            return values.count == draws.count ? values.reduce(0, +) / Double(values.count) : nil
        }
    }
}
