import UniMedMetrics

/// The scores of a short answer's words, by the published code and by the paper.
enum TextScores {
    static let metrics: [Metric] = [.bleu1, .f1, .paperBLEU1, .paperF1]

    static func values(of prediction: String, reference: String) -> [Metric: Double] {
        let words = WordNormalizer.words(WordNormalizer.cleanedPrediction(prediction))
        let truth = WordNormalizer.words(reference)
        return [
            .bleu1: BLEU.sentence(words, reference: truth, order: 1),
            .f1: F1.published(words, reference: truth),
            .paperBLEU1: BLEU.clippedPrecision(words, reference: truth, order: 1).value,
            .paperF1: F1.paper(words, reference: truth).f1,
        ]
    }
}
