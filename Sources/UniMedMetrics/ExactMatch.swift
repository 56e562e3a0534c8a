/// Whether an answer equals its reference.
public enum ExactMatch {
    /// Whether both texts have the same normalised words: the accuracy of classification and of referring expression
    /// generation in the published evaluation, and our exact match of question answering.
    ///
    /// - Parameters:
    ///   - prediction: The model's answer, as it came.
    ///   - reference: The reference.
    /// - Returns: Whether all words and their order are the same.
    public static func isMatch(_ prediction: String, reference: String) -> Bool {
        let words = WordNormalizer.normalize(WordNormalizer.cleanedPrediction(prediction))
        return words.hasSameCodePoints(as: WordNormalizer.normalize(reference))
    }
}
