import Foundation

/// What the bert-score package (0.3.13) publishes about encoders: which layer fits human judgement best, and what
/// unrelated English sentences score there.
public enum BERTScoreModels {
    /// The layer of every BERT and RoBERTa that the package knows.
    private static let layers: [String: Int] = [
        "bert-base-uncased": 9, "bert-large-uncased": 18, "bert-base-cased-finetuned-mrpc": 9,
        "bert-base-multilingual-cased": 9, "bert-base-chinese": 8, "roberta-base": 10, "roberta-large": 17,
        "roberta-large-mnli": 19, "roberta-base-openai-detector": 7, "roberta-large-openai-detector": 15,
        "allenai/scibert_scivocab_uncased": 8, "allenai/scibert_scivocab_cased": 9,
        "nfliu/scibert_basevocab_uncased": 9, "distilroberta-base": 5,
        "princeton-nlp/unsup-simcse-bert-base-uncased": 10,
        "princeton-nlp/unsup-simcse-bert-large-uncased": 18, "princeton-nlp/unsup-simcse-roberta-base": 8,
        "princeton-nlp/unsup-simcse-roberta-large": 13, "princeton-nlp/sup-simcse-bert-base-uncased": 10,
        "princeton-nlp/sup-simcse-bert-large-uncased": 18, "princeton-nlp/sup-simcse-roberta-base": 10,
        "princeton-nlp/sup-simcse-roberta-large": 16, "dbmdz/bert-base-turkish-cased": 10,
    ]

    /// Precision, recall and F1 of unrelated English sentences in the published layer.
    private static let baselines: [String: BERTScore.Score] = [
        "bert-base-uncased": BERTScore.Score(precision: 0.35375935, recall: 0.3537393, f1: 0.35219112),
        "bert-large-uncased": BERTScore.Score(precision: 0.4278576, recall: 0.42786714, f1: 0.42646673),
        "bert-base-multilingual-cased": BERTScore.Score(precision: 0.6320527, recall: 0.6320019, f1: 0.63146895),
        "roberta-base": BERTScore.Score(precision: 0.8146725, recall: 0.8146619, f1: 0.814463),
        "roberta-large": BERTScore.Score(precision: 0.83150584, recall: 0.8314941, f1: 0.83122575),
        "roberta-large-mnli": BERTScore.Score(precision: 0.6901594, recall: 0.69018, f1: 0.6896288),
        "distilroberta-base": BERTScore.Score(precision: 0.84732, recall: 0.84759504, f1: 0.8473319),
        "bert-base-cased-finetuned-mrpc": BERTScore.Score(precision: 0.55345184, recall: 0.55342007, f1: 0.5525519),
    ]

    /// The published layer of a model; the part of the name before a slash may be missing.
    public static func layer(of name: String) -> Int? { value(of: name, in: layers) }

    /// The published scores of unrelated English sentences; `nil` for other models and layers.
    public static func baseline(of name: String, layer: Int) -> BERTScore.Score? {
        guard layer == self.layer(of: name) else { return nil }
        return value(of: name, in: baselines)
    }

    private static func value<Value>(of name: String, in table: [String: Value]) -> Value? {
        table[name] ?? table.first { $0.key.hasSuffix("/" + name) }?.value
    }

    /// Reads a file of the package: a heading, then a line for every layer with its number, precision, recall and F1.
    ///
    /// - Throws: ``ReportMetricError`` of kind `unreadable` or `malformed`, which names the line.
    static func baseline(contentsOf file: URL, layer: Int) throws(ReportMetricError) -> BERTScore.Score {
        let text: String
        do {
            text = try String(contentsOf: file, encoding: .utf8)
        } catch {
            throw ReportMetricError(.unreadable, file: file.path, error.localizedDescription)
        }
        let lines = text.split(whereSeparator: \.isNewline)
        guard lines.indices.contains(layer + 1) else {
            throw ReportMetricError(.malformed, file: file.path, "no line for layer \(layer)")
        }
        let fields = lines[layer + 1].split(separator: ",", omittingEmptySubsequences: false)
        let values = fields.dropFirst().compactMap { Double($0) }
        guard fields.count == 4, values.count == 3, Int(fields[0]) == layer, values.allSatisfy({ $0 < 1 }) else {
            throw ReportMetricError(
                .malformed,
                file: file.path,
                "line \(layer + 2): expected the layer \(layer) and three numbers below 1"
            )
        }
        return BERTScore.Score(precision: values[0], recall: values[1], f1: values[2])
    }
}
