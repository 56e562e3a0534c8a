/// What a sample's answer is scored by.
///
/// The raw value is the name in JSON. All but those of models are shares in `[0, 1]`, higher is better (see
/// ``isHigherBetter``). Where the paper and its published code differ, both are listed: the plain name is the published
/// code's, the one with an equation in its name the paper's.
public enum Metric: String, Codable, CodingKeyRepresentable, CaseIterable, Sendable, Hashable {
    /// Sentence BLEU-1 of normalised words, averaged over samples.
    case bleu1
    /// The F1 of normalised words.
    case f1
    /// Whether the normalised answer equals the reference.
    case accuracy
    /// Whether the normalised answer of a closed question contains the reference.
    case closedAccuracy = "closed_accuracy"
    /// Whether the normalised answer of a question without an image equals the reference.
    case exactMatch = "exact_match"
    /// Sentence BLEU-1 of a report's normalised words, averaged over reports; not the corpus BLEU of PTB tokens.
    case reportBLEU1 = "bleu1_sentence_mean"
    /// Sentence BLEU-4 of a report's normalised words, averaged over reports; not the corpus BLEU of PTB tokens.
    case reportBLEU4 = "bleu4_sentence_mean"
    /// BERTScore's F1 of a report, rescaled: at most 1, unrelated texts about 0 or below.
    case bertScore = "bertscore_f1"
    /// The cosine of CheXbert's vectors of two reports, in `[-1, 1]`.
    case chexbertSimilarity = "chexbert_similarity"
    /// The mean of the F1 of RadGraph's entities and that of its relations.
    case radGraphF1 = "radgraph_f1"
    /// RadCliQ-v0: the estimated number of errors in a report; lower is better.
    case radCliQ0 = "radcliq_v0"
    /// RadCliQ-v1: the estimated number of errors in a report, on a scale around 0; lower is better.
    case radCliQ1 = "radcliq_v1"
    /// The intersection over union with one pixel added to widths and heights.
    case intersectionOverUnion = "iou"
    /// Whether that intersection over union is above 0.5.
    case recallAboveHalf = "recall_above_half"
    /// The clipped precision of single words (Uni-Med eq. 19).
    case paperBLEU1 = "bleu1_eq19"
    /// The F1 with clipped common words (Uni-Med eq. 16 to 18).
    case paperF1 = "f1_eq18"
    /// The ratio of areas (Uni-Med eq. 23).
    case paperIntersectionOverUnion = "iou_eq23"
    /// Whether the ratio of areas is at least 0.5 (Uni-Med eq. 24).
    case paperRecallAtHalf = "recall_at_half_eq24"
    /// Corpus BLEU-1 of PTB tokens, as pycocoevalcap has it; of reports.
    case corpusBLEU1 = "bleu1_corpus"
    /// Corpus BLEU-2 of PTB tokens.
    case corpusBLEU2 = "bleu2_corpus"
    /// Corpus BLEU-3 of PTB tokens.
    case corpusBLEU3 = "bleu3_corpus"
    /// Corpus BLEU-4 of PTB tokens.
    case corpusBLEU4 = "bleu4_corpus"
    /// The F of ROUGE-1 as the package `rouge` has it, averaged over reports.
    case rouge1
    /// The F of ROUGE-2 as the package `rouge` has it, averaged over reports.
    case rouge2
    /// The F of ROUGE-L as the package `rouge` has it, averaged over reports.
    case rougeL = "rouge_l"
    /// METEOR 1.5 of the summed numbers of all reports.
    case meteor
    /// The mean of the classes' F1.
    case macroF1 = "macro_f1"
    /// The mean of the classes' recalls.
    case balancedAccuracy = "balanced_accuracy"
    /// The mean of the areas under the classes' ROC curves, from the likelihoods of their labels.
    case rocArea = "roc_area"

    /// The name in tables.
    public var title: String {
        switch self {
        case .bleu1: "BLEU-1"
        case .f1: "F1"
        case .accuracy: "Accuracy"
        case .closedAccuracy: "Closed accuracy"
        case .exactMatch: "Exact match"
        case .reportBLEU1: "BLEU-1 (sentence mean)"
        case .reportBLEU4: "BLEU-4 (sentence mean)"
        case .bertScore: "BERTScore"
        case .chexbertSimilarity: "CheXbert similarity"
        case .radGraphF1: "RadGraph F1"
        case .radCliQ0: "RadCliQ-v0 (lower is better)"
        case .radCliQ1: "RadCliQ-v1 (lower is better)"
        case .intersectionOverUnion: "Mean IoU"
        case .recallAboveHalf: "R@0.5 (>)"
        case .paperBLEU1: "BLEU-1 (eq. 19)"
        case .paperF1: "F1 (eq. 18)"
        case .paperIntersectionOverUnion: "Mean IoU (eq. 23)"
        case .paperRecallAtHalf: "R@0.5 (eq. 24)"
        case .corpusBLEU1: "BLEU-1 (corpus)"
        case .corpusBLEU2: "BLEU-2 (corpus)"
        case .corpusBLEU3: "BLEU-3 (corpus)"
        case .corpusBLEU4: "BLEU-4 (corpus)"
        case .rouge1: "ROUGE-1"
        case .rouge2: "ROUGE-2"
        case .rougeL: "ROUGE-L"
        case .meteor: "METEOR"
        case .macroF1: "Macro F1"
        case .balancedAccuracy: "Balanced accuracy"
        case .rocArea: "ROC area (macro)"
        }
    }
}

extension Metric {
    /// The metrics of reports that need models, in the order of tables.
    public static let ofReportModels: [Metric] = [
        .bertScore, .chexbertSimilarity, .radGraphF1, .radCliQ0, .radCliQ1,
    ]

    /// Whether the values are shares or cosines, which tables give in percent.
    public var isShare: Bool { isHigherBetter }

    /// Whether a higher value is a better one.
    public var isHigherBetter: Bool {
        switch self {
        case .radCliQ0, .radCliQ1: false
        default: true
        }
    }
}

/// The scores of one sample's answer.
public struct SampleScore: Codable, Sendable, Equatable {
    /// The metric that stands for the task.
    public var primary: Metric
    /// The value of each metric that applies to the sample, in `[0, 1]`.
    public var values: [Metric: Double]
    /// Whether the answer had the form the task asks for; an answer that has not still has its scores.
    public var isParsed: Bool

    /// Makes the scores of a sample.
    ///
    /// - Precondition: `values` has the primary metric.
    public init(primary: Metric, values: [Metric: Double], isParsed: Bool) {
        precondition(values[primary] != nil, "a sample is scored by its task's primary metric")
        self.primary = primary
        self.values = values
        self.isParsed = isParsed
    }

    /// The value of the primary metric.
    public var primaryValue: Double { values[primary] ?? 0 }
}
