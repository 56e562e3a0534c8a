import Foundation
import UniMedData
import UniMedMetrics
import UniMedTasks

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
