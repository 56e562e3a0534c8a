import UniMedData
import UniMedMetrics

/// Computes metrics of runs with intervals, and their differences from another model's, from the same draws.
struct ScoreComparison {
    private let bootstrap: PairedBootstrap
    /// The number of the group of each sample.
    private let groups: [Int]
    private let groupCount: Int

    init(bootstrap: PairedBootstrap, groups names: [String]) {
        self.bootstrap = bootstrap
        var numbers: [String: Int] = [:]
        groups = names.map { name in
            let number = numbers[name] ?? numbers.count
            numbers[name] = number
            return number
        }
        groupCount = numbers.count
    }

    /// The values of every metric, drawn anew as well.
    private struct Values {
        /// For each run the value of each metric.
        var runs: [[Double?]]
        /// For each metric the mean over runs of every draw that has one.
        var draws: [[Double?]]
    }

    /// A metric with what the draws make of its gain.
    struct Outcome {
        var cell: ScoreReport.Cell
        /// The relative improvement over the other model in every draw that has one; empty without another model.
        var gains: [Double?] = []
    }

    func outcomes(
        of scores: [PartScores],
        against other: [PartScores]
    ) throws(MetricError) -> [Outcome] {
        guard bootstrap.resampleCount >= 1 else {
            throw .outOfRange(parameter: "resampleCount", expected: "at least 1", got: "\(bootstrap.resampleCount)")
        }
        guard bootstrap.confidence > 0, bootstrap.confidence < 1 else {
            throw .outOfRange(parameter: "confidence", expected: "between 0 and 1", got: "\(bootstrap.confidence)")
        }
        guard let first = scores.first else { return [] }
        let metrics = first.statistics.flatMap(\.metrics)
        let counts = first.statistics.flatMap { statistic in statistic.metrics.map { _ in statistic.n } }
        let own = values(of: scores)
        let others = other.isEmpty ? nil : values(of: other)
        let otherMetrics = other.first?.statistics.flatMap(\.metrics) ?? []
        var outcomes: [Outcome] = []
        for (index, metric) in metrics.enumerated() {
            let runs = own.runs.compactMap { $0[index] }
            guard runs.count == scores.count else { continue }
            let draws = own.draws[index].compactMap { $0 }.sorted()
            let interval = bootstrap.interval(ofSorted: draws)
            var outcome = Outcome(
                cell: ScoreReport.Cell(
                    metric: metric,
                    n: counts[index],
                    value: try SummaryStatistics.mean(runs),
                    runs: runs,
                    standardDeviation: ScoreComparison.standardDeviation(runs),
                    lower: interval?.lower,
                    upper: interval?.upper
                )
            )
            if let others, let place = otherMetrics.firstIndex(of: metric) {
                outcome.cell.comparison = comparison(own, index, others, place, outcome.cell.value)
                outcome.gains = zip(own.draws[index], others.draws[place]).map { value, baseline -> Double? in
                    guard let value, let baseline, baseline != 0 else { return nil }
                    return (value - baseline) / baseline
                }
            }
            outcomes.append(outcome)
        }
        return outcomes
    }

    private func comparison(
        _ own: Values,
        _ index: Int,
        _ other: Values,
        _ place: Int,
        _ value: Double
    ) -> ScoreReport.Comparison? {
        let runs = other.runs.compactMap { $0[place] }
        guard runs.count == other.runs.count, !runs.isEmpty else { return nil }
        let baseline = runs.reduce(0, +) / Double(runs.count)
        var differences: [Double] = []
        for (first, second) in zip(own.draws[index], other.draws[place]) {
            if let first, let second { differences.append(first - second) }
        }
        differences.sort()
        guard let interval = bootstrap.interval(ofSorted: differences) else { return nil }
        let below = differences.count { $0 <= 0 }
        let above = differences.count { $0 >= 0 }
        // One is added on both sides: no finite number of draws shows that a probability is zero.
        let probability = min(1, 2 * Double(min(below, above) + 1) / Double(differences.count + 1))
        return ScoreReport.Comparison(
            value: baseline,
            difference: value - baseline,
            lower: interval.lower,
            upper: interval.upper,
            pValue: probability,
            gain: baseline == 0 ? nil : (value - baseline) / baseline
        )
    }

    /// The same seed draws the same samples for every model.
    private func values(of scores: [PartScores]) -> Values {
        let whole = [Double](repeating: 1, count: groups.count)
        let runs = scores.map { run in run.statistics.flatMap { $0.values(whole) } }
        let metricCount = runs.first?.count ?? 0
        var draws = [[Double?]](repeating: [], count: metricCount)
        for index in draws.indices { draws[index].reserveCapacity(bootstrap.resampleCount) }
        var generator = SeededGenerator(seed: bootstrap.seed)
        var drawn = [Double](repeating: 0, count: groupCount)
        for _ in 0..<bootstrap.resampleCount {
            for index in drawn.indices { drawn[index] = 0 }
            for _ in drawn.indices { drawn[generator.integer(below: groupCount)] += 1 }
            let weights = groups.map { drawn[$0] }
            var sums = [Double?](repeating: 0, count: metricCount)
            for run in scores {
                for (index, value) in run.statistics.flatMap({ $0.values(weights) }).enumerated() {
                    sums[index] = sums[index].flatMap { sum in value.map { sum + $0 } }
                }
            }
            for index in sums.indices { draws[index].append(sums[index].map { $0 / Double(scores.count) }) }
        }
        return Values(runs: runs, draws: draws)
    }

    /// The standard deviation of a sample; `nil` for one value.
    static func standardDeviation(_ values: [Double]) -> Double? {
        guard values.count > 1 else { return nil }
        let mean = values.reduce(0, +) / Double(values.count)
        return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)).squareRoot()
    }
}
