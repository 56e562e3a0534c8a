/// How well the conditions of predicted reports agree with those of the references ("CheXbert F1").
///
/// As the public scorer of reports has it: positive and uncertain conditions count as there, blank and negative ones as
/// not. A ratio whose denominator is 0 is 0.
public struct ConditionAgreement: Sendable, Equatable, Codable {
    /// Precision, recall and F1, in `[0, 1]`.
    public struct Ratios: Sendable, Equatable, Codable {
        /// The share of what was predicted that is right.
        public var precision: Double
        /// The share of what is right that was predicted.
        public var recall: Double
        /// Their harmonic mean.
        public var f1: Double

        init(truePositives: Int, predicted: Int, actual: Int) {
            precision = predicted == 0 ? 0 : Double(truePositives) / Double(predicted)
            recall = actual == 0 ? 0 : Double(truePositives) / Double(actual)
            f1 = predicted + actual == 0 ? 0 : 2 * Double(truePositives) / Double(predicted + actual)
        }

        init(mean ratios: [Ratios], weights: [Double]) {
            let total = weights.reduce(0, +)
            func mean(_ value: (Ratios) -> Double) -> Double {
                total == 0 ? 0 : zip(ratios, weights).reduce(0) { $0 + value($1.0) * $1.1 } / total
            }
            precision = mean(\.precision)
            recall = mean(\.recall)
            f1 = mean(\.f1)
        }
    }

    /// The figures over a choice of conditions.
    public struct Summary: Sendable, Equatable, Codable {
        /// Those of all conditions together.
        public var micro: Ratios
        /// The mean over conditions.
        public var macro: Ratios
        /// The mean over conditions, weighted by how often each is in the references.
        public var weighted: Ratios
        /// The mean over reports.
        public var samples: Ratios
        /// The share of reports all of whose conditions agree.
        public var exactAccuracy: Double
    }

    /// The figures of a condition.
    public struct ConditionRatios: Sendable, Equatable, Codable {
        /// The condition.
        public var condition: CheXbert.Condition
        /// Precision, recall and F1.
        public var ratios: Ratios
        /// How many references have it.
        public var support: Int
    }

    /// The number of reports.
    public var count: Int
    /// The figures of each of the 14 conditions.
    public var conditions: [ConditionRatios]
    /// Over all 14 conditions.
    public var fourteen: Summary
    /// Over ``CheXbert/Condition/five``.
    public var five: Summary
    /// For each report, whether the five conditions all agree.
    public var agreesOnFive: [Bool]

    /// Compares labels, one list for each report in the order of ``CheXbert/Condition``.
    ///
    /// - Throws: ``ReportMetricError`` of kind `invalidInput` without reports, or when lists differ in length.
    public init(
        predictions: [[CheXbert.Label]],
        references: [[CheXbert.Label]]
    ) throws(ReportMetricError) {
        let all = CheXbert.Condition.allCases
        guard !references.isEmpty, predictions.count == references.count,
            (predictions + references).allSatisfy({ $0.count == all.count })
        else {
            throw ReportMetricError(
                .invalidInput,
                "labels of \(predictions.count) predictions and \(references.count) references, expected the same number "
                    + "of both, at least one, each with \(all.count) labels"
            )
        }
        let pairs = zip(predictions, references).map { (predicted: $0.map(\.isPresent), actual: $1.map(\.isPresent)) }
        count = pairs.count
        conditions = all.enumerated().map { index, condition in
            let actual = pairs.count { $0.actual[index] }
            return ConditionRatios(
                condition: condition,
                ratios: Ratios(
                    truePositives: pairs.count { $0.predicted[index] && $0.actual[index] },
                    predicted: pairs.count { $0.predicted[index] },
                    actual: actual
                ),
                support: actual
            )
        }
        let five = all.indices.filter { CheXbert.Condition.five.contains(all[$0]) }
        agreesOnFive = pairs.map { pair in five.allSatisfy { pair.predicted[$0] == pair.actual[$0] } }
        fourteen = ConditionAgreement.summary(pairs, over: Array(all.indices), conditions)
        self.five = ConditionAgreement.summary(pairs, over: five, conditions)
    }

    private static func summary(
        _ pairs: [(predicted: [Bool], actual: [Bool])],
        over indices: [Int],
        _ conditions: [ConditionRatios]
    ) -> Summary {
        func ratios(_ chosen: [(predicted: [Bool], actual: [Bool])]) -> Ratios {
            var (both, predicted, actual) = (0, 0, 0)
            for pair in chosen {
                for index in indices {
                    if pair.predicted[index] { predicted += 1 }
                    if pair.actual[index] { actual += 1 }
                    if pair.predicted[index] && pair.actual[index] { both += 1 }
                }
            }
            return Ratios(truePositives: both, predicted: predicted, actual: actual)
        }
        let own = indices.map { conditions[$0] }
        let exact = pairs.count { pair in indices.allSatisfy { pair.predicted[$0] == pair.actual[$0] } }
        return Summary(
            micro: ratios(pairs),
            macro: Ratios(mean: own.map(\.ratios), weights: own.map { _ in 1 }),
            weighted: Ratios(mean: own.map(\.ratios), weights: own.map { Double($0.support) }),
            samples: Ratios(mean: pairs.map { ratios([$0]) }, weights: pairs.map { _ in 1 }),
            exactAccuracy: Double(exact) / Double(pairs.count)
        )
    }
}
