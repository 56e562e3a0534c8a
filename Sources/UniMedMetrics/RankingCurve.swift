/// The receiver operating characteristic of a class: true against false positives at every threshold of its score.
public struct RankingCurve: Codable, Sendable, Equatable {
    /// One point of the curve.
    public struct Point: Codable, Sendable, Equatable {
        /// The share of the other samples at or above the threshold, in `[0, 1]`.
        public var falsePositiveRate: Double
        /// The share of the class's samples at or above the threshold, in `[0, 1]`.
        public var truePositiveRate: Double
        /// The score from which on a sample counts as the class; infinite for the first point.
        public var threshold: Double
    }

    /// The points, from none above the threshold to all.
    public var points: [Point]
    /// The area under the curve, in `[0, 1]`: the chance that a sample of the class has the higher score, ties for one half.
    public var area: Double

    /// Makes the curve of scores.
    ///
    /// - Parameters:
    ///   - scores: The score of the class for each sample, such as the log-likelihood of its label; only their order counts.
    ///   - isPositive: Whether each sample is of the class.
    /// - Throws: ``MetricError/countMismatch(metric:expected:got:)``, ``MetricError/noValues(metric:)`` when either kind of
    ///   sample is missing, and ``MetricError/outOfRange(parameter:expected:got:)`` for a score that is not a number.
    public init(scores: [Double], isPositive: [Bool]) throws(MetricError) {
        guard scores.count == isPositive.count else {
            throw .countMismatch(metric: "ROC", expected: isPositive.count, got: scores.count)
        }
        if let wrong = scores.first(where: \.isNaN) {
            throw .outOfRange(parameter: "score", expected: "a number", got: "\(wrong)")
        }
        let positives = isPositive.count { $0 }
        let negatives = isPositive.count - positives
        guard positives > 0, negatives > 0 else { throw .noValues(metric: "ROC") }
        let order = scores.indices.sorted { scores[$0] > scores[$1] }
        points = [Point(falsePositiveRate: 0, truePositiveRate: 0, threshold: .infinity)]
        var hits = 0
        var misses = 0
        var doubledArea = 0
        var index = 0
        while index < order.count {
            let threshold = scores[order[index]]
            let (oldHits, oldMisses) = (hits, misses)
            while index < order.count, scores[order[index]] == threshold {
                if isPositive[order[index]] { hits += 1 } else { misses += 1 }
                index += 1
            }
            doubledArea += (misses - oldMisses) * (hits + oldHits)
            points.append(
                Point(
                    falsePositiveRate: Double(misses) / Double(negatives),
                    truePositiveRate: Double(hits) / Double(positives),
                    threshold: threshold
                )
            )
        }
        area = Double(doubledArea) / (2 * Double(positives) * Double(negatives))
    }

    /// The area of each class against all others, from the scores of a closed set of labels.
    ///
    /// - Parameters:
    ///   - scores: One score per class for each sample, such as the labels' log-likelihoods or probabilities.
    ///   - references: The class of each sample.
    ///   - classCount: The number of classes.
    /// - Returns: One area per class; `nil` where the samples hold the class not at all or nothing else.
    /// - Throws: ``MetricError`` when the lists do not fit together.
    public static func areas(scores: [[Double]], references: [Int], classCount: Int) throws(MetricError) -> [Double?] {
        guard scores.count == references.count else {
            throw .countMismatch(metric: "ROC", expected: references.count, got: scores.count)
        }
        if let wrong = scores.first(where: { $0.count != classCount }) {
            throw .countMismatch(metric: "scores of a sample", expected: classCount, got: wrong.count)
        }
        var areas: [Double?] = []
        for index in 0..<classCount {
            let isPositive = references.map { $0 == index }
            guard isPositive.contains(true), isPositive.contains(false) else {
                areas.append(nil)
                continue
            }
            areas.append(try RankingCurve(scores: scores.map { $0[index] }, isPositive: isPositive).area)
        }
        return areas
    }
}
