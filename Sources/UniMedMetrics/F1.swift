/// The harmonic mean of the precision and the recall of an answer's words.
public enum F1 {
    /// How the words that a prediction and a reference have in common are counted.
    ///
    /// Their number is the `m` of Uni-Med eq. 16.
    public enum Matching: Sendable, CaseIterable {
        /// Each word counts at most as often as the other side has it.
        case clipped
        /// Each distinct word counts once.
        case distinct
    }

    /// Precision, recall and their harmonic mean, with the number of common words.
    public struct Score: Codable, Sendable, Equatable {
        /// The number of common words.
        public var matches: Int
        /// Common words out of the prediction's words, in `[0, 1]`.
        public var precision: Double
        /// Common words out of the reference's words, in `[0, 1]`.
        public var recall: Double
        /// The harmonic mean, in `[0, 1]`; `0` when no word is common.
        public var f1: Double
    }

    /// The score of the published evaluation.
    ///
    /// A word of the prediction that stands anywhere in the reference is right as often as the prediction repeats it, so
    /// repeating a correct word costs nothing; a missing word counts as often as the reference has it.
    ///
    /// - Parameters:
    ///   - prediction: The words of the answer.
    ///   - reference: The words of the reference.
    /// - Returns: A score in `[0, 1]`, without unit; `0` when either side has no words.
    public static func published(_ prediction: [String], reference: [String]) -> Double {
        let (candidate, truth, distinct) = WordNumbers.common(prediction, reference)
        let predicted = counts(candidate, distinct)
        let expected = counts(truth, distinct)
        var right = 0
        var wrong = 0
        var missing = 0
        for word in 0..<distinct {
            if expected[word] == 0 {
                wrong += predicted[word]
            } else if predicted[word] == 0 {
                missing += expected[word]
            } else {
                right += predicted[word]
            }
        }
        guard right > 0 else { return 0 }
        let precision = Double(right) / Double(right + wrong)
        let recall = Double(right) / Double(right + missing)
        return 2 * precision * recall / (precision + recall)
    }

    /// The score that the paper prints.
    ///
    /// Uni-Med eq. 16 to 18.
    ///
    /// - Parameters:
    ///   - prediction: The words of the answer.
    ///   - reference: The words of the reference.
    ///   - matching: How common words are counted, which the paper leaves open.
    /// - Returns: The score with its parts; all are `0` when no word is common.
    public static func paper(_ prediction: [String], reference: [String], matching: Matching = .clipped) -> Score {
        let (candidate, truth, distinct) = WordNumbers.common(prediction, reference)
        let predicted = counts(candidate, distinct)
        let expected = counts(truth, distinct)
        var matches = 0
        for word in 0..<distinct {
            let common = min(predicted[word], expected[word])
            matches += matching == .clipped ? common : min(common, 1)
        }
        guard matches > 0 else { return Score(matches: 0, precision: 0, recall: 0, f1: 0) }
        let precision = Double(matches) / Double(candidate.count)
        let recall = Double(matches) / Double(truth.count)
        return Score(
            matches: matches,
            precision: precision,
            recall: recall,
            f1: 2 * precision * recall / (precision + recall)
        )
    }

    private static func counts(_ words: [Int], _ distinct: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: distinct)
        for word in words { counts[word] += 1 }
        return counts
    }
}
