import Foundation
public import UniMedData

/// One evaluated sample: what was answered and how it scored, beside the trivial baseline.
public struct EvaluationRecord: Codable, Sendable, Equatable {
    /// The sample's identifier within its data set.
    public var sampleID: String
    /// The data set's name.
    public var dataset: String
    /// The task.
    public var task: MedicalTask
    /// The patient, case or study the sample belongs to.
    public var group: String?
    /// The model's answer, as it came.
    public var prediction: String
    /// The reference answer.
    public var reference: String
    /// The answer's scores.
    public var score: SampleScore
    /// What the trivial baseline answers, where there is one.
    public var baselinePrediction: String?
    /// The scores of the trivial baseline.
    public var baselineScore: SampleScore?

    /// Makes a record.
    public init(
        sampleID: String,
        dataset: String,
        task: MedicalTask,
        group: String? = nil,
        prediction: String,
        reference: String,
        score: SampleScore,
        baselinePrediction: String? = nil,
        baselineScore: SampleScore? = nil
    ) {
        self.sampleID = sampleID
        self.dataset = dataset
        self.task = task
        self.group = group
        self.prediction = prediction
        self.reference = reference
        self.score = score
        self.baselinePrediction = baselinePrediction
        self.baselineScore = baselineScore
    }
}

/// The result of an evaluation: one row per data set and task, with every metric beside its trivial baseline.
public struct EvaluationTable: Codable, Sendable, Equatable {
    /// A data set and a task.
    public struct Key: Codable, Sendable, Hashable {
        /// The data set's name.
        public var dataset: String
        /// The task.
        public var task: MedicalTask

        /// Makes a key.
        public init(dataset: String, task: MedicalTask) {
            self.dataset = dataset
            self.task = task
        }
    }

    /// One metric of a row.
    public struct Cell: Codable, Sendable, Equatable {
        /// The metric.
        public var metric: Metric
        /// Whether the metric stands for the task.
        public var isPrimary: Bool
        /// The mean over the samples that the metric applies to, in `[0, 1]`.
        public var value: Double
        /// How many samples the metric applies to.
        public var n: Int
        /// The baseline's mean over the same samples, in `[0, 1]`.
        public var baseline: Double?
        /// The mean less the baseline's, with its interval.
        public var difference: PairedBootstrap.Estimate?

        /// Makes a cell.
        public init(
            metric: Metric,
            isPrimary: Bool,
            value: Double,
            n: Int,
            baseline: Double? = nil,
            difference: PairedBootstrap.Estimate? = nil
        ) {
            self.metric = metric
            self.isPrimary = isPrimary
            self.value = value
            self.n = n
            self.baseline = baseline
            self.difference = difference
        }
    }

    /// A data set and task with its metrics.
    public struct Row: Codable, Sendable, Equatable {
        /// The data set's name.
        public var dataset: String
        /// The task.
        public var task: MedicalTask
        /// How many samples were evaluated.
        public var n: Int
        /// How many samples were left out, for example for an unreadable picture.
        public var skipped: Int
        /// How many answers did not have the form the task asks for; they count as they score.
        public var unparsed: Int
        /// The metrics, the primary one first.
        public var cells: [Cell]

        /// Makes a row.
        public init(dataset: String, task: MedicalTask, n: Int, skipped: Int, unparsed: Int, cells: [Cell]) {
            self.dataset = dataset
            self.task = task
            self.n = n
            self.skipped = skipped
            self.unparsed = unparsed
            self.cells = cells
        }

        /// The cell of the primary metric; `nil` when every sample was skipped.
        public var primary: Cell? { cells.first { $0.isPrimary } }
    }

    /// What is drawn anew for the intervals.
    public enum ResamplingUnit: String, Codable, Sendable, CaseIterable {
        /// Single samples.
        case samples
        /// Whole patients, cases or studies; a sample without one stands for itself.
        case groups
    }

    /// The rows, by task and data set.
    public var rows: [Row]
    /// How the intervals were computed.
    public var bootstrap: PairedBootstrap
    /// What was drawn anew for the intervals.
    public var resamplingUnit: ResamplingUnit

    /// Makes a table from its rows.
    public init(rows: [Row], bootstrap: PairedBootstrap = PairedBootstrap(), resamplingUnit: ResamplingUnit = .samples)
    {
        self.rows = rows
        self.bootstrap = bootstrap
        self.resamplingUnit = resamplingUnit
    }

    /// Sums up evaluated samples.
    ///
    /// A metric's baseline and difference are given when every sample that the metric applies to has a baseline.
    ///
    /// - Parameters:
    ///   - records: The evaluated samples, in any order.
    ///   - skipped: How many samples were left out, by data set and task.
    ///   - bootstrap: How the intervals are computed.
    ///   - resamplingUnit: What is drawn anew for the intervals.
    /// - Throws: ``MetricError/outOfRange(parameter:expected:got:)`` when the bootstrap's parameters are out of range.
    public init(
        records: [EvaluationRecord],
        skipped: [Key: Int] = [:],
        bootstrap: PairedBootstrap = PairedBootstrap(),
        resamplingUnit: ResamplingUnit = .samples
    ) throws(MetricError) {
        var parts: [Key: [EvaluationRecord]] = [:]
        for record in records { parts[Key(dataset: record.dataset, task: record.task), default: []].append(record) }
        for key in skipped.keys where parts[key] == nil { parts[key] = [] }
        var rows: [Row] = []
        for (key, records) in parts {
            rows.append(
                Row(
                    dataset: key.dataset,
                    task: key.task,
                    n: records.count,
                    skipped: skipped[key] ?? 0,
                    unparsed: records.count { !$0.score.isParsed },
                    cells: try Self.cells(of: records, bootstrap, resamplingUnit)
                )
            )
        }
        let order = Dictionary(uniqueKeysWithValues: MedicalTask.allCases.enumerated().map { ($1, $0) })
        rows.sort { (order[$0.task] ?? 0, $0.dataset) < (order[$1.task] ?? 0, $1.dataset) }
        self.init(rows: rows, bootstrap: bootstrap, resamplingUnit: resamplingUnit)
    }

    private static func cells(
        of records: [EvaluationRecord],
        _ bootstrap: PairedBootstrap,
        _ unit: ResamplingUnit
    ) throws(MetricError) -> [Cell] {
        guard let primary = records.first?.score.primary else { return [] }
        var cells: [Cell] = []
        for metric in [primary] + Metric.allCases.filter({ $0 != primary }) {
            let part = records.filter { $0.score.values[metric] != nil }
            guard !part.isEmpty else { continue }
            let values = part.compactMap { $0.score.values[metric] }
            let baselines = part.compactMap { $0.baselineScore?.values[metric] }
            var cell = Cell(
                metric: metric,
                isPrimary: metric == primary,
                value: try SummaryStatistics.mean(values),
                n: values.count
            )
            if baselines.count == values.count {
                let groups =
                    unit == .groups ? part.map { $0.group.map { "group " + $0 } ?? "sample " + $0.sampleID } : nil
                cell.baseline = try SummaryStatistics.mean(baselines)
                cell.difference = try bootstrap.difference(of: values, minus: baselines, groups: groups)
            }
            cells.append(cell)
        }
        return cells
    }
}
