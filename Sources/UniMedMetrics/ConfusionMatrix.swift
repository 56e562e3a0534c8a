/// Which classes are taken for which: rows are references, columns predictions, the last column answers that name no
/// class.
public struct ConfusionMatrix: Codable, Sendable, Equatable {
    /// The classes, in the order of the rows.
    public let labels: [String]
    /// One row per class, with one count per class and one for answers that name none.
    public private(set) var counts: [[Int]]

    /// Counts predictions.
    ///
    /// Predictions and references are compared with the labels after the word normaliser.
    ///
    /// - Parameters:
    ///   - labels: The classes.
    ///   - predictions: The model's answers, as they came.
    ///   - references: The reference of each answer.
    /// - Throws: ``MetricError/countMismatch(metric:expected:got:)`` when the lists differ in length, and
    ///   ``MetricError/unknownLabel(_:)`` when a reference is not among the labels.
    public init(labels: [String], predictions: [String], references: [String]) throws(MetricError) {
        guard predictions.count == references.count else {
            throw .countMismatch(metric: "confusion matrix", expected: references.count, got: predictions.count)
        }
        self.labels = labels
        counts = [[Int]](repeating: [Int](repeating: 0, count: labels.count + 1), count: labels.count)
        var indices: [String: Int] = [:]
        for (index, label) in labels.enumerated() { indices[WordNormalizer.normalize(label)] = index }
        for (prediction, reference) in zip(predictions, references) {
            guard let row = indices[WordNormalizer.normalize(reference)] else { throw .unknownLabel(reference) }
            let cleaned = WordNormalizer.normalize(WordNormalizer.cleanedPrediction(prediction))
            counts[row][indices[cleaned] ?? labels.count] += 1
        }
    }

    /// How many samples were counted.
    public var total: Int { counts.reduce(0) { $0 + $1.reduce(0, +) } }

    /// The answers that name no class.
    public var outOfVocabularyCount: Int { counts.reduce(0) { $0 + $1[labels.count] } }

    /// The share of correct answers, in `[0, 1]`; `0` without samples.
    public var accuracy: Double { ratio(labels.indices.reduce(0) { $0 + counts[$1][$1] }, total) }

    /// How many references each class has.
    public var support: [Int] { counts.map { $0.reduce(0, +) } }

    /// The precision of each class, in `[0, 1]`; `0` when it was never predicted.
    public var precision: [Double] {
        labels.indices.map { label in
            ratio(counts[label][label], counts.reduce(0) { $0 + $1[label] })
        }
    }

    /// The recall of each class, in `[0, 1]`; `0` when it has no reference.
    public var recall: [Double] { labels.indices.map { ratio(counts[$0][$0], support[$0]) } }

    /// The harmonic mean of precision and recall of each class, in `[0, 1]`.
    public var f1: [Double] {
        zip(precision, recall).map { $0 + $1 > 0 ? 2 * $0 * $1 / ($0 + $1) : 0 }
    }

    /// The mean of the classes' F1, in `[0, 1]`.
    public var macroF1: Double { labels.isEmpty ? 0 : f1.reduce(0, +) / Double(labels.count) }

    /// The mean of the recalls of the classes that have references, in `[0, 1]`.
    public var balancedAccuracy: Double {
        let present = labels.indices.filter { support[$0] > 0 }
        return present.isEmpty ? 0 : present.reduce(0) { $0 + recall[$1] } / Double(present.count)
    }

    private func ratio(_ part: Int, _ whole: Int) -> Double { whole > 0 ? Double(part) / Double(whole) : 0 }
}
