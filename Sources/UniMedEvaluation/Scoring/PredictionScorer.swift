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

/// The scores of one run on one part of the data, as sums that can be drawn anew.
struct PartScores {
    /// Metrics that come from the same weighted samples.
    struct Statistic {
        let metrics: [Metric]
        /// How many samples the metrics apply to.
        let n: Int
        /// The values with how often each sample counts; `nil` where a draw leaves a metric undefined.
        let values: ([Double]) -> [Double?]
    }

    private(set) var statistics: [Statistic] = []
    private(set) var unparsable = 0
    /// The reports of which a text is empty.
    private(set) var leftOut = 0
    private(set) var classes: [ScoreReport.ClassScores] = []

    init(_ records: [PredictionRecord], task: MedicalTask, meteor: METEORResources) throws(EvaluationError) {
        guard !records.isEmpty else { return }
        let definition = TaskRegistry.definition(of: task)
        var values: [Metric: [Double?]] = [:]
        for (index, record) in records.enumerated() {
            let score = try PartScores.score(of: record, definition)
            if !score.isParsed { unparsable += 1 }
            for (metric, value) in score.values {
                values[metric, default: [Double?](repeating: nil, count: records.count)][index] = value
            }
            guard task == .reportGeneration else { continue }
            // Models are not asked again: their scores come with the prediction.
            for metric in Metric.ofReportModels {
                guard let value = record.scores[metric] else { continue }
                values[metric, default: [Double?](repeating: nil, count: records.count)][index] = value
            }
        }
        for metric in Metric.allCases {
            guard let own = values[metric], !(task == .reportGeneration && metric == .f1) else { continue }
            statistics.append(PartScores.mean(metric, own))
        }
        if task == .reportGeneration { try addReports(records, meteor) }
        if task == .imageClassification { try addClasses(records) }
    }

    /// The scores of a prediction: computed anew from its texts, or those it was kept with where it lacks what that needs.
    private static func score(
        of record: PredictionRecord,
        _ definition: any TaskDefinition
    ) throws(EvaluationError) -> SampleScore {
        if record.task == .referringExpressionComprehension, record.box == nil || record.image == nil {
            guard record.scores[definition.primaryMetric] != nil else {
                throw .predictions(
                    file: "sample \(record.id) of \(record.dataset)",
                    reason:
                        "fields 'box' and 'image': expected the annotated box, or the scores of the answer, got neither"
                )
            }
            return SampleScore(primary: definition.primaryMetric, values: record.scores, isParsed: record.isParsed)
        }
        let sample = Sample(
            id: record.id,
            dataset: record.dataset,
            split: .test,
            task: record.task,
            group: record.group,
            image: record.image,
            box: record.box,
            boxSlices: record.boxSlices,
            choices: record.choices,
            answer: record.task == .referringExpressionComprehension ? "" : record.reference
        )
        do throws(TaskError) {
            return try definition.score(prediction: record.prediction, for: sample)
        } catch {
            throw .task(error)
        }
    }

    private static func mean(_ metric: Metric, _ values: [Double?]) -> Statistic {
        let present = values.enumerated().compactMap { index, value in value.map { (index, $0) } }
        return Statistic(metrics: [metric], n: present.count) { weights in
            var sum = 0.0
            var count = 0.0
            for (index, value) in present {
                sum += weights[index] * value
                count += weights[index]
            }
            return [count > 0 ? sum / count : nil]
        }
    }

    /// Rows of numbers that add up to a metric.
    private static func additive(
        _ metrics: [Metric],
        n: Int,
        _ rows: [(index: Int, numbers: [Double])],
        _ finish: @escaping ([Double]) -> [Double?]
    ) -> Statistic {
        let width = rows.first?.numbers.count ?? 0
        let flat = rows.flatMap(\.numbers)
        let indices = rows.map(\.index)
        return Statistic(metrics: metrics, n: n) { weights in
            var sums = [Double](repeating: 0, count: width)
            var total = 0.0
            for (row, index) in indices.enumerated() where weights[index] > 0 {
                let weight = weights[index]
                total += weight
                for column in 0..<width { sums[column] += weight * flat[row * width + column] }
            }
            return total > 0 ? finish(sums) : [Double?](repeating: nil, count: metrics.count)
        }
    }

    private mutating func addReports(
        _ records: [PredictionRecord],
        _ meteor: METEORResources
    ) throws(EvaluationError) {
        let isEmpty = records.allSatisfy {
            WordNormalizer.cleanedPrediction($0.prediction).isEmpty || $0.reference.isEmpty
        }
        guard !isEmpty else {
            leftOut = records.count
            return
        }
        let scores = try wrapping { () throws(MetricError) in
            try ReportScores(
                predictions: records.map(\.prediction),
                references: records.map(\.reference),
                options: ReportScores.Options(meteor: meteor)
            )
        }
        leftOut = scores.leftOut
        let bleu = scores.pairs.map { pair in
            (
                index: pair.index,
                numbers: pair.bleu.precisions.flatMap { [Double($0.matches), Double($0.total)] }
                    + [Double(pair.bleu.length), Double(pair.bleu.referenceLength)]
            )
        }
        statistics.append(
            PartScores.additive(
                [.corpusBLEU1, .corpusBLEU2, .corpusBLEU3, .corpusBLEU4],
                n: scores.pairs.count,
                bleu
            ) { sums in
                var counts = BLEU.Counts(order: 4)
                for order in 0..<4 {
                    counts.precisions[order] = BLEU.Precision(
                        matches: Int(sums[2 * order]),
                        total: Int(sums[2 * order + 1])
                    )
                }
                counts.length = Int(sums[8])
                counts.referenceLength = Int(sums[9])
                return counts.scores
            }
        )
        let rouge = scores.pairs.compactMap { pair in
            pair.rouge.map { (index: pair.index, numbers: [1, $0.rouge1.f1, $0.rouge2.f1, $0.rougeL.f1]) }
        }
        if !rouge.isEmpty {
            statistics.append(
                PartScores.additive([.rouge1, .rouge2, .rougeL], n: rouge.count, rouge) { sums in
                    sums[1...].map { $0 / sums[0] }
                }
            )
        }
        let numbers = scores.pairs.compactMap { pair in
            pair.meteor.map { statistics in
                // A pair that matches as a whole adds no chunk, also when it is drawn.
                var sum = METEOR.Statistics()
                sum.add(statistics)
                return (index: pair.index, numbers: sum.line.map(Double.init))
            }
        }
        statistics.append(
            PartScores.additive([.meteor], n: numbers.count, numbers) { sums in
                [METEOR.Score(METEOR.Statistics(line: sums.map { Int($0) })).score]
            }
        )
        statistics.append(
            PartScores.additive([.f1], n: scores.pairs.count, scores.pairs.map { ($0.index, [1, $0.f1]) }) { sums in
                [sums[1] / sums[0]]
            }
        )
    }

    private mutating func addClasses(_ records: [PredictionRecord]) throws(EvaluationError) {
        let normalized = { (text: String) in WordNormalizer.normalize(text) }
        // The closed set as the samples have it; without one the references.
        var labels = records.first?.choices ?? []
        var known = Set(labels.map(normalized))
        for label in records.flatMap({ ($0.choices ?? []) + [$0.reference] })
        where known.insert(normalized(label)).inserted {
            labels.append(label)
        }
        let places = Dictionary(
            labels.enumerated().map { (normalized($1), $0) },
            uniquingKeysWith: { first, _ in first }
        )
        let references = records.map { places[normalized($0.reference)] ?? 0 }
        let predictions = records.map {
            places[normalized(WordNormalizer.cleanedPrediction($0.prediction))] ?? labels.count
        }
        let classCount = labels.count
        let figures = { (weights: [Double]) -> (recalls: [Double?], precisions: [Double], f1: [Double]) in
            var hits = [Double](repeating: 0, count: classCount)
            var expected = hits
            var predicted = [Double](repeating: 0, count: classCount + 1)
            for index in weights.indices {
                expected[references[index]] += weights[index]
                predicted[predictions[index]] += weights[index]
                if references[index] == predictions[index] { hits[references[index]] += weights[index] }
            }
            let recalls = (0..<classCount).map { expected[$0] > 0 ? hits[$0] / expected[$0] : nil }
            let precisions = (0..<classCount).map { predicted[$0] > 0 ? hits[$0] / predicted[$0] : 0 }
            let f1 = (0..<classCount).map { place in
                let recall = recalls[place] ?? 0
                return precisions[place] + recall > 0
                    ? 2 * precisions[place] * recall / (precisions[place] + recall) : 0
            }
            return (recalls, precisions, f1)
        }
        statistics.append(
            Statistic(metrics: [.macroF1, .balancedAccuracy], n: records.count) { weights in
                let (recalls, _, f1) = figures(weights)
                let present = recalls.compactMap { $0 }
                return [
                    f1.isEmpty ? nil : f1.reduce(0, +) / Double(f1.count),
                    present.isEmpty ? nil : present.reduce(0, +) / Double(present.count),
                ]
            }
        )
        let whole = [Double](repeating: 1, count: records.count)
        let (recalls, precisions, f1) = figures(whole)
        var areas = [Double?](repeating: nil, count: classCount)
        if let scores = try choiceScores(of: records, labels.map(normalized)) {
            let ranked = (0..<classCount).map { place in
                WeightedRanking(scores: scores.map { $0[place] }, isPositive: references.map { $0 == place })
            }
            areas = ranked.map { $0.area(whole) }
            statistics.append(
                Statistic(metrics: [.rocArea], n: records.count) { weights in
                    let present = ranked.compactMap { $0.area(weights) }
                    return [present.isEmpty ? nil : present.reduce(0, +) / Double(present.count)]
                }
            )
        }
        classes = labels.indices.map { place in
            ScoreReport.ClassScores(
                label: labels[place],
                support: references.count { $0 == place },
                predicted: predictions.count { $0 == place },
                precision: precisions[place],
                recall: recalls[place] ?? 0,
                f1: f1[place],
                rocArea: areas[place]
            )
        }
    }

    /// The scores of the labels for each sample, as probabilities among its choices; `nil` unless every sample has them.
    private func choiceScores(
        of records: [PredictionRecord],
        _ labels: [String]
    ) throws(EvaluationError) -> [[Double]]? {
        var rows: [[Double]] = []
        for record in records {
            guard let choices = record.choices, let scores = record.choiceScores else { return nil }
            guard scores.count == choices.count, scores.allSatisfy({ !$0.isNaN }) else {
                throw .predictions(
                    file: "sample \(record.id) of \(record.dataset)",
                    reason:
                        "field 'choiceScores': expected a number for each of \(choices.count) choices, got \(scores.count)"
                )
            }
            let largest = scores.max() ?? 0
            let sum = scores.reduce(0) { $0 + exp($1 - largest) }
            let own = Dictionary(
                zip(choices.map { WordNormalizer.normalize($0) }, scores),
                uniquingKeysWith: { first, _ in first }
            )
            rows.append(labels.map { label in own[label].map { exp($0 - largest) / sum } ?? 0 })
        }
        return rows
    }
}

/// The ranking of samples by a score, sorted once, whose area can be had for any weights.
struct WeightedRanking {
    /// Runs of equal scores, the highest first.
    private let runs: [[(index: Int, isPositive: Bool)]]

    init(scores: [Double], isPositive: [Bool]) {
        var runs: [[(index: Int, isPositive: Bool)]] = []
        var last: Double?
        for index in scores.indices.sorted(by: { scores[$0] > scores[$1] }) {
            if scores[index] != last { runs.append([]) }
            last = scores[index]
            runs[runs.count - 1].append((index, isPositive[index]))
        }
        self.runs = runs
    }

    /// The area under the curve; `nil` without either kind of sample.
    func area(_ weights: [Double]) -> Double? {
        var positives = 0.0
        var negatives = 0.0
        var area = 0.0
        for run in runs {
            var hits = 0.0
            var misses = 0.0
            for sample in run {
                if sample.isPositive { hits += weights[sample.index] } else { misses += weights[sample.index] }
            }
            area += misses * (positives + hits / 2)
            positives += hits
            negatives += misses
        }
        return positives > 0 && negatives > 0 ? area / (positives * negatives) : nil
    }
}

private func wrapping<Result>(_ body: () throws(MetricError) -> Result) throws(EvaluationError) -> Result {
    do throws(MetricError) { return try body() } catch { throw .metric(error) }
}
