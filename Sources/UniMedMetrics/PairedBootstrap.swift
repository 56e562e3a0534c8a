import UniMedData

/// The difference of two means on the same samples, with a confidence interval by resampling.
///
/// Both scores of a sample are drawn together, so what makes a sample easy or hard cancels. The same seed gives the same
/// interval on every machine.
public struct PairedBootstrap: Codable, Sendable, Equatable {
    /// How often the samples are drawn anew, 2,000 unless set.
    public var resampleCount: Int
    /// The share of resampled differences inside the interval, 0.95 unless set.
    public var confidence: Double
    /// The seed of the draws.
    public var seed: UInt64

    /// Makes a bootstrap.
    ///
    /// - Parameters:
    ///   - resampleCount: How often the samples are drawn anew, at least 1.
    ///   - confidence: The share of differences inside the interval, between 0 and 1.
    ///   - seed: The seed of the draws.
    public init(resampleCount: Int = 2000, confidence: Double = 0.95, seed: UInt64 = 0) {
        self.resampleCount = resampleCount
        self.confidence = confidence
        self.seed = seed
    }

    /// A difference of means and where it may lie.
    public struct Estimate: Codable, Sendable, Equatable {
        /// The mean of the first scores less the mean of the second.
        public var difference: Double
        /// The lower end of the interval.
        public var lower: Double
        /// The upper end of the interval.
        public var upper: Double

        /// Makes an estimate.
        public init(difference: Double, lower: Double, upper: Double) {
            self.difference = difference
            self.lower = lower
            self.upper = upper
        }

        /// Whether the whole interval is above zero.
        public var isAboveZero: Bool { lower > 0 }
    }

    /// The difference of the means of two lists of scores of the same samples.
    ///
    /// - Parameters:
    ///   - scores: One score per sample.
    ///   - baseline: The score to compare with, per sample, in the same order.
    ///   - groups: What each sample belongs to, for example its patient. Given, whole groups are drawn instead of single
    ///     samples, which is right when samples of one patient resemble each other.
    /// - Returns: The difference, in the unit of the scores, and its interval.
    /// - Throws: ``MetricError`` when lists differ in length or are empty, or when `resampleCount` or `confidence` is
    ///   out of range.
    public func difference(
        of scores: [Double],
        minus baseline: [Double],
        groups: [String]? = nil
    ) throws(MetricError) -> Estimate {
        guard scores.count == baseline.count else {
            throw .countMismatch(metric: "paired bootstrap", expected: scores.count, got: baseline.count)
        }
        guard !scores.isEmpty else { throw .noValues(metric: "paired bootstrap") }
        guard resampleCount >= 1 else {
            throw .outOfRange(parameter: "resampleCount", expected: "at least 1", got: "\(resampleCount)")
        }
        guard confidence > 0, confidence < 1 else {
            throw .outOfRange(parameter: "confidence", expected: "between 0 and 1", got: "\(confidence)")
        }
        let differences = zip(scores, baseline).map { $0 - $1 }
        var sums = differences
        var counts = [Double](repeating: 1, count: differences.count)
        if let groups {
            guard groups.count == scores.count else {
                throw .countMismatch(metric: "paired bootstrap groups", expected: scores.count, got: groups.count)
            }
            (sums, counts) = Self.grouped(differences, by: groups)
        }
        var generator = SeededGenerator(seed: seed)
        var resampled: [Double] = []
        resampled.reserveCapacity(resampleCount)
        for _ in 0..<resampleCount {
            var sum = 0.0
            var count = 0.0
            for _ in sums.indices {
                let index = generator.integer(below: sums.count)
                sum += sums[index]
                count += counts[index]
            }
            resampled.append(sum / count)
        }
        resampled.sort()
        guard let interval = interval(ofSorted: resampled) else { throw .noValues(metric: "paired bootstrap") }
        return Estimate(
            difference: differences.reduce(0, +) / Double(differences.count),
            lower: interval.lower,
            upper: interval.upper
        )
    }

    /// The middle of values of draws that holds ``confidence`` of them; `nil` for none.
    package func interval(ofSorted draws: [Double]) -> (lower: Double, upper: Double)? {
        guard !draws.isEmpty else { return nil }
        let tail = (1 - confidence) / 2
        return (SummaryStatistics.interpolate(draws, tail), SummaryStatistics.interpolate(draws, 1 - tail))
    }

    private static func grouped(_ values: [Double], by groups: [String]) -> (sums: [Double], counts: [Double]) {
        var numbers: [String: Int] = [:]
        var sums: [Double] = []
        var counts: [Double] = []
        for (value, group) in zip(values, groups) {
            if let number = numbers[group] {
                sums[number] += value
                counts[number] += 1
            } else {
                numbers[group] = sums.count
                sums.append(value)
                counts.append(1)
            }
        }
        return (sums, counts)
    }
}
