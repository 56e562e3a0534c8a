/// ROUGE: how much of a reference a prediction recalls.
///
/// Three readings exist side by side: the published evaluation's (the Python package `rouge` 1.0.1, which counts sets),
/// the standard one with clipped counts (Chin-Yew Lin, 2004), and the paper's ratios (Uni-Med eq. 20 and 21).
public enum ROUGE {
    /// Precision, recall and their harmonic mean.
    public struct Score: Codable, Sendable, Equatable {
        /// The share of the reference that is recalled, in `[0, 1]`.
        public var recall: Double
        /// The share of the prediction that stands in the reference, in `[0, 1]`.
        public var precision: Double
        /// The harmonic mean, in `[0, 1]`.
        public var f1: Double

        /// Makes a score from its parts.
        public init(recall: Double, precision: Double, f1: Double) {
            self.recall = recall
            self.precision = precision
            self.f1 = f1
        }

        fileprivate static func published(_ overlap: Int, predicted: Int, expected: Int) -> Score {
            let precision = predicted == 0 ? 0 : Double(overlap) / Double(predicted)
            let recall = expected == 0 ? 0 : Double(overlap) / Double(expected)
            // The package's constant keeps the ratio finite and a perfect score just below 1.
            return Score(
                recall: recall,
                precision: precision,
                f1: 2 * (precision * recall / (precision + recall + 1e-8))
            )
        }

        fileprivate static func standard(_ overlap: Int, predicted: Int, expected: Int) -> Score {
            guard overlap > 0 else { return Score(recall: 0, precision: 0, f1: 0) }
            let precision = Double(overlap) / Double(predicted)
            let recall = Double(overlap) / Double(expected)
            return Score(recall: recall, precision: precision, f1: 2 * precision * recall / (precision + recall))
        }
    }

    /// The three scores of one pair of texts.
    public struct Scores: Codable, Sendable, Equatable {
        /// Of single words.
        public var rouge1: Score
        /// Of pairs of words.
        public var rouge2: Score
        /// Of the longest common subsequences.
        public var rougeL: Score
    }

    /// The scores as the package `rouge` 1.0.1 has them.
    ///
    /// Texts are cut into sentences at every point, those of decimal numbers too. N-grams and words are counted as sets.
    /// ROUGE-L is at the level of summaries: the words of one longest common subsequence of each pair of sentences,
    /// together.
    ///
    /// - Returns: The scores, or `nil` when a text is empty: such a pair is no part of the published mean.
    public static func published(_ prediction: String, reference: String) -> Scores? {
        guard !prediction.isEmpty, !reference.isEmpty else { return nil }
        var words = WordNumbers()
        let predicted = sentences(prediction, &words)
        let expected = sentences(reference, &words)
        guard !predicted.isEmpty, !expected.isEmpty else { return nil }
        let predictedWords = predicted.flatMap { $0 }
        let expectedWords = expected.flatMap { $0 }
        return Scores(
            rouge1: ofSets(Set(predictedWords), Set(expectedWords)),
            rouge2: ofSets(pairs(predictedWords), pairs(expectedWords)),
            rougeL: summaryLevel(predicted, expected, wordCount: words.count)
        )
    }

    /// The standard scores: clipped counts of n-grams, and the longest common subsequence of all words.
    ///
    /// - Returns: The scores; all parts are `0` where nothing is common.
    public static func standard(_ prediction: [String], reference: [String]) -> Scores {
        let (candidate, truth, _) = WordNumbers.common(prediction, reference)
        let common = longestCommonSubsequence(candidate, truth)
        return Scores(
            rouge1: standard(BLEU.clippedPrecision(prediction, reference: reference, order: 1), reference.count),
            rouge2: standard(BLEU.clippedPrecision(prediction, reference: reference, order: 2), reference.count - 1),
            rougeL: Score.standard(common, predicted: candidate.count, expected: truth.count)
        )
    }

    /// The recall of n-grams that the paper prints.
    ///
    /// Uni-Med eq. 20: the reference's n-grams that stand in the prediction, each counted at most as often as there, out
    /// of all of the reference.
    public static func paperRecall(_ prediction: [String], reference: [String], order: Int) -> BLEU.Precision {
        BLEU.clippedPrecision(reference, reference: prediction, order: order)
    }

    /// The ratio of longest common subsequences that the paper prints.
    ///
    /// Uni-Med eq. 21. It prints recall with the prediction's length and precision with the reference's, the reverse of
    /// the usual naming; with its weight `beta = precision / recall` the value is the same for both.
    ///
    /// - Returns: A ratio in `[0, 1]`; `0` when no word is common.
    public static func paperLongestCommonSubsequence(_ prediction: [String], reference: [String]) -> Double {
        let (candidate, truth, _) = WordNumbers.common(prediction, reference)
        let common = longestCommonSubsequence(candidate, truth)
        guard common > 0 else { return 0 }
        let recall = Double(common) / Double(candidate.count)
        let precision = Double(common) / Double(truth.count)
        let beta = precision / recall
        return (1 + beta * beta) * recall * precision / (recall + beta * beta * precision)
    }

    private static func standard(_ counts: BLEU.Precision, _ expected: Int) -> Score {
        Score.standard(counts.matches, predicted: counts.total, expected: max(expected, 0))
    }

    /// The sentences of a text, in the numbers of their words; a part of nothing but spaces holds one empty word.
    private static func sentences(_ text: String, _ words: inout WordNumbers) -> [[Int]] {
        let sentences = text.utf8.contains(0x2E) ? text.unicodeScalars.split(separator: ".").map { String($0) } : [text]
        return sentences.map { sentence in
            let parts = sentence.referenceWords
            return words.numbers(of: parts.isEmpty ? [""] : parts)
        }
    }

    private static func pairs(_ words: [Int]) -> Set<Int> {
        // Numbers of words are far below 2^31, so that a pair is one number.
        Set(zip(words, words.dropFirst()).map { $0 << 31 | $1 })
    }

    private static func ofSets(_ predicted: Set<Int>, _ expected: Set<Int>) -> Score {
        Score.published(
            predicted.intersection(expected).count,
            predicted: predicted.count,
            expected: expected.count
        )
    }

    private static func summaryLevel(_ predicted: [[Int]], _ expected: [[Int]], wordCount: Int) -> Score {
        var isCommon = [Bool](repeating: false, count: wordCount)
        for reference in expected {
            for prediction in predicted {
                for word in commonWords(reference, prediction) { isCommon[word] = true }
            }
        }
        return Score.published(
            isCommon.count { $0 },
            predicted: Set(predicted.joined()).count,
            expected: Set(expected.joined()).count
        )
    }

    /// The lengths of the longest common subsequences of all beginnings, `[first + 1, second + 1]`.
    private static func table(_ first: [Int], _ second: [Int]) -> [Int32] {
        let width = second.count + 1
        var table = [Int32](repeating: 0, count: (first.count + 1) * width)
        for (row, word) in first.enumerated() {
            for (column, other) in second.enumerated() {
                let place = (row + 1) * width + column + 1
                table[place] =
                    word == other ? table[place - width - 1] + 1 : max(table[place - width], table[place - 1])
            }
        }
        return table
    }

    private static func longestCommonSubsequence(_ first: [Int], _ second: [Int]) -> Int {
        Int(table(first, second).last ?? 0)
    }

    /// The words of that longest common subsequence which the package finds, from the end.
    private static func commonWords(_ first: [Int], _ second: [Int]) -> [Int] {
        let width = second.count + 1
        let table = table(first, second)
        var words: [Int] = []
        var row = first.count
        var column = second.count
        while row > 0, column > 0 {
            if first[row - 1] == second[column - 1] {
                words.append(first[row - 1])
                row -= 1
                column -= 1
            } else if table[(row - 1) * width + column] > table[row * width + column - 1] {
                row -= 1
            } else {
                column -= 1
            }
        }
        return words
    }
}
