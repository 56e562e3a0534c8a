import Foundation

/// BLEU: how many of a prediction's n-grams stand in the reference.
///
/// Three readings exist side by side: the sentence score of the published evaluation (nltk 3.8.1), the clipped precision
/// that the paper prints (Uni-Med eq. 19), and the corpus score for reports (pycocoevalcap).
public enum BLEU {
    /// How many n-grams of one order match, out of how many.
    public struct Precision: Codable, Sendable, Equatable {
        /// The n-grams of the prediction that stand in the reference, each counted at most as often as there.
        public var matches: Int
        /// The n-grams of the prediction.
        public var total: Int

        /// Makes a precision from its counts.
        public init(matches: Int, total: Int) {
            self.matches = matches
            self.total = total
        }

        /// The ratio of the two, in `[0, 1]`; `0` when there are no n-grams.
        public var value: Double { total > 0 ? Double(matches) / Double(total) : 0 }
    }

    /// The score of one sentence, as in the published evaluation.
    ///
    /// The geometric mean of the clipped precisions of orders 1 to `order` with equal weights, times the brevity penalty.
    /// It is `0` when no word matches. An order above 1 without any match counts as the smallest normal number
    /// (2.2e-308) instead of 0, as nltk 3.8.1 has it: BLEU-2 of a correct answer of one word is about 1.5e-154.
    ///
    /// - Parameters:
    ///   - prediction: The words of the answer.
    ///   - reference: The words of the reference.
    ///   - order: The longest n-gram, at least 1.
    /// - Returns: A score in `[0, 1]`, without unit.
    public static func sentence(_ prediction: [String], reference: [String], order: Int) -> Double {
        precondition(order >= 1, "BLEU needs n-grams of at least one word")
        let (candidate, truth, _) = WordNumbers.common(prediction, reference)
        var logSum = 0.0
        for n in 1...order {
            let precision = clipped(candidate, truth, n)
            if n == 1, precision.matches == 0 { return 0 }
            logSum += log(precision.matches > 0 ? precision.value : Double.leastNormalMagnitude) / Double(order)
        }
        return brevityPenalty(candidate.count, truth.count) * exp(logSum)
    }

    /// Sentence BLEU-1 from its counts, for callers that compare many pairs.
    package static func score(matches: Int, length: Int, referenceLength: Int) -> Double {
        guard matches > 0 else { return 0 }
        return brevityPenalty(length, referenceLength) * Double(matches) / Double(length)
    }

    private static func brevityPenalty(_ length: Int, _ referenceLength: Int) -> Double {
        length > referenceLength ? 1 : exp(1 - Double(referenceLength) / Double(length))
    }

    /// The clipped precision of exactly one order.
    ///
    /// Uni-Med eq. 19. Neither a brevity penalty nor a mean over orders is taken. Sums of `matches` and of `total` over sentences give
    /// the pooled score of a corpus.
    ///
    /// - Parameters:
    ///   - prediction: The words of the answer.
    ///   - reference: The words of the reference.
    ///   - order: The length of the n-grams, at least 1.
    /// - Returns: The counts, whose ratio is the precision.
    public static func clippedPrecision(_ prediction: [String], reference: [String], order: Int) -> Precision {
        precondition(order >= 1, "BLEU needs n-grams of at least one word")
        let (candidate, truth, _) = WordNumbers.common(prediction, reference)
        return clipped(candidate, truth, order)
    }

    /// The scores of a corpus for the orders 1 to `order`, as pycocoevalcap computes them.
    ///
    /// Counts are summed over the sentences; the tiny constants 1e-15 and 1e-9 that keep its ratios finite are kept, so a
    /// perfect corpus scores just below 1. One reference per sentence.
    ///
    /// - Parameters:
    ///   - predictions: The words of each answer.
    ///   - references: The words of each reference, in the same order.
    ///   - order: The longest n-gram, at least 1.
    /// - Returns: One score per order, in `[0, 1]`, without unit.
    /// - Throws: ``MetricError/countMismatch(metric:expected:got:)`` when the lists differ in length, and
    ///   ``MetricError/noValues(metric:)`` when they are empty.
    public static func corpus(
        _ predictions: [[String]],
        references: [[String]],
        order: Int
    ) throws(MetricError) -> [Double] {
        precondition(order >= 1, "BLEU needs n-grams of at least one word")
        guard predictions.count == references.count else {
            throw .countMismatch(metric: "corpus BLEU", expected: references.count, got: predictions.count)
        }
        guard !predictions.isEmpty else { throw .noValues(metric: "corpus BLEU") }
        var sum = Counts(order: order)
        for (prediction, reference) in zip(predictions, references) {
            sum.add(Counts(prediction, reference: reference, order: order))
        }
        return sum.scores
    }

    /// The n-grams and words of a sentence, or of many together, from which the corpus score is made.
    public struct Counts: Codable, Sendable, Equatable {
        /// The clipped matches of each order, from 1.
        public var precisions: [Precision]
        /// The words of the predictions.
        public var length: Int
        /// The words of the references.
        public var referenceLength: Int

        /// No words at all.
        public init(order: Int) {
            precisions = [Precision](repeating: Precision(matches: 0, total: 0), count: order)
            length = 0
            referenceLength = 0
        }

        /// The counts of one sentence.
        public init(_ prediction: [String], reference: [String], order: Int) {
            let (candidate, truth, _) = WordNumbers.common(prediction, reference)
            precisions = (1...order).map { clipped(candidate, truth, $0) }
            length = candidate.count
            referenceLength = truth.count
        }

        /// Adds the counts of other sentences.
        public mutating func add(_ other: Counts) {
            for (index, precision) in other.precisions.enumerated() {
                precisions[index].matches += precision.matches
                precisions[index].total += precision.total
            }
            length += other.length
            referenceLength += other.referenceLength
        }

        /// One score per order, as pycocoevalcap has them for a corpus and for each of its segments.
        public var scores: [Double] {
            let ratio = (Double(length) + 1e-15) / (Double(referenceLength) + 1e-9)
            let brevity = ratio < 1 ? exp(1 - 1 / ratio) : 1
            var product = 1.0
            return precisions.enumerated().map { index, precision in
                product *= (Double(precision.matches) + 1e-15) / (Double(precision.total) + 1e-9)
                return pow(product, 1 / Double(index + 1)) * brevity
            }
        }
    }

    private static func clipped(_ prediction: [Int], _ reference: [Int], _ order: Int) -> Precision {
        let total = prediction.count - order + 1
        guard total > 0 else { return Precision(matches: 0, total: 0) }
        guard reference.count >= order else { return Precision(matches: 0, total: total) }
        let longest = max(prediction.count, reference.count)
        // Up to four numbers below 65,536 fit into one; longer n-grams are compared as they are.
        guard order <= 4, longest * 2 < 1 << 16 else {
            return clipped(total, prediction: { prediction[$0..<($0 + order)] }, reference.count - order + 1) {
                reference[$0..<($0 + order)]
            }
        }
        let packed = { (words: [Int], start: Int) in
            words[start..<(start + order)].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        }
        return clipped(total, prediction: { packed(prediction, $0) }, reference.count - order + 1) {
            packed(reference, $0)
        }
    }

    private static func clipped<Gram: Hashable>(
        _ total: Int,
        prediction: (Int) -> Gram,
        _ referenceTotal: Int,
        reference: (Int) -> Gram
    ) -> Precision {
        var available: [Gram: Int] = Dictionary(minimumCapacity: referenceTotal)
        for start in 0..<referenceTotal { available[reference(start), default: 0] += 1 }
        var matches = 0
        for start in 0..<total {
            let gram = prediction(start)
            if let left = available[gram], left > 0 {
                available[gram] = left - 1
                matches += 1
            }
        }
        return Precision(matches: matches, total: total)
    }
}
