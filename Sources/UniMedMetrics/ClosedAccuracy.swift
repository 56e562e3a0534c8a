/// The accuracy of closed questions, whose answers come from a small set such as yes and no.
public enum ClosedAccuracy {
    /// Whether the normalised reference is a part of the normalised prediction, as the published evaluation has it.
    ///
    /// It is a test of substrings, so "no" is found in "abnormal", and an empty reference is always found.
    ///
    /// - Parameters:
    ///   - prediction: The model's answer, as it came.
    ///   - reference: The reference.
    /// - Returns: Whether the reference was found.
    public static func isCorrect(_ prediction: String, reference: String) -> Bool {
        let haystack = Array(WordNormalizer.normalize(WordNormalizer.cleanedPrediction(prediction)).utf8)
        let needle = Array(WordNormalizer.normalize(reference).utf8)
        guard needle.count <= haystack.count else { return false }
        return (0...(haystack.count - needle.count)).contains { start in
            haystack[start..<(start + needle.count)].elementsEqual(needle)
        }
    }
}
