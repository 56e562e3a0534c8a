import Foundation
import UniMedData
public import UniMedMetrics
import UniMedTasks

/// Scores kept predictions, apart from the model that made them: the same files give the same report.
///
/// Several files are the parts of one evaluation where they share no sample, and runs with other seeds where they have the
/// same ones.
public struct PredictionScorer: Sendable {
    /// How intervals are computed.
    public var bootstrap: PairedBootstrap
    /// What is drawn anew for the intervals.
    public var resamplingUnit: EvaluationTable.ResamplingUnit
    /// METEOR's data; without some of it the stages are named as missing in the report.
    public var meteor: METEORResources

    /// Makes a scorer.
    public init(
        bootstrap: PairedBootstrap = PairedBootstrap(),
        resamplingUnit: EvaluationTable.ResamplingUnit = .groups,
        meteor: METEORResources = METEORResources()
    ) {
        self.bootstrap = bootstrap
        self.resamplingUnit = resamplingUnit
        self.meteor = meteor
    }

    /// A file of predictions.
    public struct File: Sendable {
        /// The name in messages.
        public var name: String
        /// The predictions.
        public var records: [PredictionRecord]
        /// The samples of each part that were not asked, where it is known.
        public var skipped: [EvaluationTable.Key: Int]?

        /// Names a file's predictions.
        public init(name: String, records: [PredictionRecord], skipped: [EvaluationTable.Key: Int]? = nil) {
            self.name = name
            self.records = records
            self.skipped = skipped
        }
    }

    /// Scores a model's predictions, and compares them with another model's.
    ///
    /// - Parameters:
    ///   - files: The model's, one for each seed or part.
    ///   - other: The model's to compare with, over the same samples.
    /// - Throws: ``EvaluationError/predictions(file:reason:)`` for files that do not fit together; ``EvaluationError`` for
    ///   a prediction that cannot be scored.
    public func report(_ files: [File], against other: [File] = []) throws(EvaluationError) -> ScoreReport {
        let runs = try PredictionScorer.runs(of: files)
        let otherRuns = other.isEmpty ? [] : try PredictionScorer.runs(of: other)
        guard let first = runs.first else {
            throw .predictions(file: "predictions", reason: "expected a file, got none")
        }
        if let stranger = otherRuns.first, Set(stranger.records.keys) != Set(first.records.keys) {
            throw .predictions(
                file: stranger.name,
                reason: "expected the same samples as \(first.name) (\(first.records.count)), got "
                    + "\(stranger.records.count), \(Set(stranger.records.keys).intersection(first.records.keys).count) of "
                    + "them in common"
            )
        }
        var parts: [EvaluationTable.Key: [SampleKey]] = [:]
        for key in first.order { parts[key.part, default: []].append(key) }
        for key in (first.skipped ?? [:]).keys where parts[key] == nil { parts[key] = [] }
        let taskOrder = Dictionary(uniqueKeysWithValues: MedicalTask.allCases.enumerated().map { ($1, $0) })
        let keys = parts.keys.sorted {
            (taskOrder[$0.task] ?? 0, $0.dataset) < (taskOrder[$1.task] ?? 0, $1.dataset)
        }
        var rows: [ScoreReport.Row] = []
        var gainDraws: [MedicalTask: [[Double?]]] = [:]
        for key in keys {
            for (row, gains) in try self.rows(of: key, parts[key] ?? [], runs, otherRuns) {
                rows.append(row)
                if row.subset == .all, !gains.isEmpty { gainDraws[key.task, default: []].append(gains) }
            }
        }
        let hasReports = keys.contains { $0.task == .reportGeneration && parts[$0]?.isEmpty == false }
        return ScoreReport(
            rows: rows,
            runCount: runs.count,
            otherRunCount: otherRuns.count,
            missingMETEORStages: hasReports ? METEOR(resources: meteor).missingStages.map(\.title) : [],
            bootstrap: bootstrap,
            resamplingUnit: resamplingUnit,
            gainDraws: gainDraws
        )
    }

    // MARK: Runs

    struct SampleKey: Hashable {
        let part: EvaluationTable.Key
        let id: String
    }

    /// The predictions of one seed.
    struct Run {
        var name: String
        var order: [SampleKey] = []
        var records: [SampleKey: PredictionRecord] = [:]
        var skipped: [EvaluationTable.Key: Int]?
    }

    /// Puts the parts of a run together, and checks that all runs have the same samples.
    static func runs(of files: [File]) throws(EvaluationError) -> [Run] {
        var runs: [Run] = []
        for file in files {
            var own = Run(name: file.name, skipped: file.skipped)
            for record in file.records {
                let part = EvaluationTable.Key(dataset: record.dataset, task: record.task)
                let key = SampleKey(part: part, id: record.id)
                guard own.records.updateValue(record, forKey: key) == nil else {
                    throw .predictions(
                        file: file.name,
                        reason:
                            "the sample \(record.id) of \(record.dataset), \(record.task.rawValue), stands there twice"
                    )
                }
                own.order.append(key)
            }
            if let last = runs.indices.last, own.order.allSatisfy({ runs[last].records[$0] == nil }) {
                runs[last].order += own.order
                runs[last].records.merge(own.records) { first, _ in first }
                runs[last].skipped = sum(runs[last].skipped, own.skipped)
            } else {
                runs.append(own)
            }
        }
        if let first = runs.first, let wrong = runs.first(where: { Set($0.order) != Set(first.order) }) {
            throw .predictions(
                file: wrong.name,
                reason: "expected the same samples as \(first.name) (\(first.order.count)), got \(wrong.order.count), "
                    + "\(Set(wrong.order).intersection(first.order).count) of them in common"
            )
        }
        return runs
    }

    private static func sum(
        _ first: [EvaluationTable.Key: Int]?,
        _ second: [EvaluationTable.Key: Int]?
    ) -> [EvaluationTable.Key: Int]? {
        guard let first, let second else { return nil }
        return first.merging(second, uniquingKeysWith: +)
    }

    // MARK: Rows

    /// A row, and the gain of its primary metric in every draw.
    private typealias DrawnRow = (row: ScoreReport.Row, gains: [Double?])

    private func rows(
        of key: EvaluationTable.Key,
        _ samples: [SampleKey],
        _ runs: [Run],
        _ other: [Run]
    ) throws(EvaluationError) -> [DrawnRow] {
        var subsets: [(ScoreReport.Subset, [SampleKey])] = [(.all, samples)]
        if key.task == .visualQuestionAnswering, let first = runs.first {
            let closed = samples.filter { first.records[$0]?.choices?.isEmpty == false }
            let open = samples.filter { first.records[$0]?.choices?.isEmpty != false }
            if !closed.isEmpty, !open.isEmpty { subsets += [(.open, open), (.closed, closed)] }
        }
        var rows: [DrawnRow] = []
        for (subset, samples) in subsets {
            rows.append(try row(of: key, subset, samples, runs, other))
        }
        return rows
    }

    /// How many samples are leaks of each kind; `nil` where one of them was not checked.
    private static func leaks(_ records: [PredictionRecord]) -> [LeakKind: Int]? {
        var counts: [LeakKind: Int] = [:]
        for record in records {
            guard let leaks = record.leaks else { return nil }
            for kind in leaks { counts[kind, default: 0] += 1 }
        }
        return counts
    }

    private func row(
        of key: EvaluationTable.Key,
        _ subset: ScoreReport.Subset,
        _ samples: [SampleKey],
        _ runs: [Run],
        _ other: [Run]
    ) throws(EvaluationError) -> DrawnRow {
        let records = runs.map { run in samples.compactMap { run.records[$0] } }
        let otherRecords = other.map { run in samples.compactMap { run.records[$0] } }
        var scored: [PartScores] = []
        for part in records { scored.append(try PartScores(part, task: key.task, meteor: meteor)) }
        var otherScored: [PartScores] = []
        for part in otherRecords { otherScored.append(try PartScores(part, task: key.task, meteor: meteor)) }
        var outcomes: [ScoreComparison.Outcome] = []
        if !samples.isEmpty {
            let groups = (records.first ?? []).map { record in
                resamplingUnit == .groups ? record.group.map { "group " + $0 } ?? "sample " + record.id : record.id
            }
            outcomes = try wrapping { () throws(MetricError) in
                try ScoreComparison(bootstrap: bootstrap, groups: groups).outcomes(of: scored, against: otherScored)
            }
        }
        let primary =
            key.task == .reportGeneration ? Metric.corpusBLEU1 : TaskRegistry.definition(of: key.task).primaryMetric
        let row = ScoreReport.Row(
            dataset: key.dataset,
            task: key.task,
            subset: subset,
            n: samples.count,
            skipped: subset == .all ? runs.first?.skipped.map { $0[key] ?? 0 } : nil,
            unparsable: scored.map(\.unparsable),
            leftOut: scored.first?.leftOut ?? 0,
            leaks: PredictionScorer.leaks(records.first ?? []),
            primary: primary,
            cells: outcomes.map(\.cell).sorted { ($0.metric == primary ? 0 : 1) < ($1.metric == primary ? 0 : 1) },
            classes: scored.first?.classes ?? []
        )
        return (row, outcomes.first { $0.cell.metric == primary }?.gains ?? [])
    }
}
