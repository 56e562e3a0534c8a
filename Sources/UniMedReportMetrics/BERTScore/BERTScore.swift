public import Foundation
public import Torch
import TorchNN
import UniMedMetrics

/// How similar two texts are by the contextual embeddings of their tokens.
///
/// "BERTScore: Evaluating Text Generation with BERT" (Zhang et al., 2020), with the numbers of the bert-score package
/// (0.3.13): every token is matched with the most similar one of the other text, by the cosine of the embeddings of one
/// layer. Precision is the weighted mean over the prediction's tokens, recall that over the reference's. The two special
/// tokens are matched like others and weigh nothing.
///
/// One difference: the package lets the padding of a batch take part with a similarity of 0, which counts where a token
/// is less similar than that to every other; here a score does not depend on the other texts of a batch.
public final class BERTScore {
    /// The score of a prediction.
    public struct Score: Sendable, Equatable {
        /// The weighted mean similarity of the prediction's tokens.
        public var precision: Double
        /// The weighted mean similarity of the reference's tokens.
        public var recall: Double
        /// Their harmonic mean.
        public var f1: Double

        /// Makes a score.
        public init(precision: Double, recall: Double, f1: Double) {
            self.precision = precision
            self.recall = recall
            self.f1 = f1
        }
    }

    /// How texts are compared.
    public struct Options: Sendable, Equatable {
        /// The layer whose output is compared, 0 being the embeddings; `nil`, the default, is the published choice for
        /// the model's name.
        public var layer: Int?
        /// Whether tokens weigh by their inverse document frequency in the references; default: `false`.
        public var usesInverseDocumentFrequency: Bool
        /// Whether scores are rescaled so that unrelated sentences score about 0; default: `false`.
        public var rescalesWithBaseline: Bool

        /// Makes options.
        public init(
            layer: Int? = nil,
            usesInverseDocumentFrequency: Bool = false,
            rescalesWithBaseline: Bool = false
        ) {
            self.layer = layer
            self.usesInverseDocumentFrequency = usesInverseDocumentFrequency
            self.rescalesWithBaseline = rescalesWithBaseline
        }

        /// What RadCliQ uses: rescaled, without document frequencies.
        public static let radCliQ = Options(rescalesWithBaseline: true)
    }

    /// The name of the model, such as `distilroberta-base`.
    public let modelName: String
    /// How texts are compared.
    public let options: Options
    /// The layer whose output is compared.
    public let layer: Int
    /// What scores are rescaled with: those of unrelated sentences; `nil` where they are not.
    public let baseline: Score?
    private let model: TextEncoder

    /// How many tokens are held at once, of predictions and references together.
    private static let heldTokenLimit = 1 << 16

    /// Loads a model's folder, as the transformers library publishes it.
    ///
    /// - Parameters:
    ///   - folder: With `config.json`, weights and tokenizer. For rescaling also `baseline.tsv`, the model's file in the
    ///     bert-score package (`rescale_baseline/en/<model>.tsv`); without it the package's numbers for the published
    ///     layer of the models in ``BERTScoreModels``.
    ///   - modelName: The published name; `nil` is the folder's name.
    ///   - options: How texts are compared.
    ///   - device: Where the encoder goes.
    /// - Throws: ``ReportMetricError``; of kind `invalidInput` when the layer or the baseline is not known.
    public init(
        folder: URL,
        modelName: String? = nil,
        options: Options = Options(),
        device: Device = .cpu
    ) throws(ReportMetricError) {
        let name = modelName ?? folder.lastPathComponent
        guard let layer = options.layer ?? BERTScoreModels.layer(of: name) else {
            throw ReportMetricError(
                .invalidInput,
                file: folder.path,
                "no published layer for a model called '\(name)'; name the layer"
            )
        }
        let rows = folder.appending(path: "baseline.tsv")
        if !options.rescalesWithBaseline {
            baseline = nil
        } else if FileManager.default.fileExists(atPath: rows.path) {
            baseline = try BERTScoreModels.baseline(contentsOf: rows, layer: layer)
        } else if let published = BERTScoreModels.baseline(of: name, layer: layer) {
            baseline = published
        } else {
            throw ReportMetricError(
                .invalidInput,
                file: rows.path,
                "no baseline for layer \(layer) of '\(name)'; put the model's file of the bert-score package there"
            )
        }
        self.modelName = name
        self.options = options
        self.layer = layer
        model = try TextEncoder(folder: folder, layerCount: layer, device: device)
    }

    /// The score of every pair, in order.
    ///
    /// Where all tokens of a text weigh nothing, as those of an empty text do, its raw scores are 0.
    ///
    /// - Parameters:
    ///   - pairs: Predictions and references.
    ///   - documents: The texts whose frequencies weigh tokens; `nil`, the default, are the references of the pairs.
    ///     Without effect unless ``Options/usesInverseDocumentFrequency``.
    /// - Throws: ``ReportMetricError``.
    public func scores(of pairs: [ReportPair], documents: [String]? = nil) throws(ReportMetricError) -> [Score] {
        var ids: [String: [Int]] = [:]
        func sequence(_ text: String) throws(ReportMetricError) -> [Int] {
            // Strings that Swift takes for equal can have other code points and tokens, but not among ASCII.
            let isASCII = text.utf8.allSatisfy { $0 < 0x80 }
            if isASCII, let known = ids[text] { return known }
            let sequence = try model.sequence(of: text)
            if isASCII { ids[text] = sequence }
            return sequence
        }
        var predictions: [[Int]] = []
        var references: [[Int]] = []
        for pair in pairs {
            predictions.append(try sequence(pair.prediction))
            references.append(try sequence(pair.reference))
        }
        var weights = TokenWeights.uniform(except: model.form.marks)
        if options.usesInverseDocumentFrequency {
            var sequences = references
            if let documents {
                sequences = []
                for text in documents { sequences.append(try sequence(text)) }
            }
            weights = TokenWeights.inverseDocumentFrequencies(in: sequences)
        }

        var scores = [Score?](repeating: nil, count: pairs.count)
        let lengths = pairs.indices.map { max(predictions[$0].count, references[$0].count) }
        // The embeddings of a group are held together; both texts of a pair count.
        for group in SequenceBatches(lengths: lengths, tokenLimit: BERTScore.heldTokenLimit / 2).batches {
            let found = try computing { () throws(TorchError) in
                try similarities(
                    predictions: group.map { predictions[$0] },
                    references: group.map { references[$0] },
                    weights: weights
                )
            }
            for (index, score) in zip(group, found) { scores[index] = score }
        }
        return scores.map { score in rescaled(score ?? Score(precision: 0, recall: 0, f1: 0)) }
    }

    private func rescaled(_ score: Score) -> Score {
        guard let baseline else { return score }
        return Score(
            precision: (score.precision - baseline.precision) / (1 - baseline.precision),
            recall: (score.recall - baseline.recall) / (1 - baseline.recall),
            f1: (score.f1 - baseline.f1) / (1 - baseline.f1)
        )
    }

    // MARK: Matching

    /// The raw scores of pairs, whose embeddings are held together.
    private func similarities(
        predictions: [[Int]],
        references: [[Int]],
        weights: TokenWeights
    ) throws(TorchError) -> [Score] {
        // Every sequence is embedded once.
        var places: [[Int]: Int] = [:]
        var unique: [[Int]] = []
        for sequence in predictions + references where places[sequence] == nil {
            places[sequence] = unique.count
            unique.append(sequence)
        }
        var starts = [Int](repeating: 0, count: unique.count)
        var parts: [Tensor] = []
        var count = 0
        for batch in SequenceBatches(lengths: unique.map(\.count), tokenLimit: TextEncoder.tokenLimit).batches {
            let (hidden, _) = try model.encoder(batch.map { unique[$0] })
            let norms = try (hidden * hidden).sum(-1, keepingDimensions: true).sqrt()
            parts.append(try hidden / norms)
            for index in batch {
                starts[index] = count
                count += unique[index].count
            }
        }
        let width = model.encoder.configuration.hiddenSize
        // The row behind the last token stands for padding.
        parts.append(try Tensor.zeros([1, width], device: model.device))
        let table = try Tensor.cat(parts)

        /// Embeddings `[pairs, longest, width]`, weights and mask `[pairs, longest]`, and which sums of weights are 0.
        func laidOut(
            _ sequences: [[Int]]
        ) throws(TorchError) -> (embeddings: Tensor, weights: Tensor, mask: Tensor, isEmpty: [Bool]) {
            let longest = sequences.map(\.count).max() ?? 0
            var rows = [Int](repeating: count, count: sequences.count * longest)
            var shares = [Float](repeating: 0, count: rows.count)
            var isEmpty: [Bool] = []
            for (index, sequence) in sequences.enumerated() {
                let start = starts[places[sequence] ?? 0]
                let own = sequence.map(weights.weight)
                let sum = own.reduce(0, +)
                isEmpty.append(sum == 0 || sequence.count == 2)
                for position in sequence.indices {
                    rows[index * longest + position] = start + position
                    if sum != 0 { shares[index * longest + position] = Float(own[position] / sum) }
                }
            }
            let places = try Tensor(rows).to(model.device)
            let shape = [sequences.count, longest]
            return (
                try table.indexSelect(0, places).reshape(shape + [width]),
                try Tensor(shares, shape: shape).to(model.device),
                try places.compare(.less, Double(count)).reshape(shape), isEmpty
            )
        }

        var scores = [Score?](repeating: nil, count: predictions.count)
        let lengths = predictions.indices.map { max(predictions[$0].count, references[$0].count) }
        for group in SequenceBatches(lengths: lengths, tokenLimit: TextEncoder.tokenLimit).batches {
            let prediction = try laidOut(group.map { predictions[$0] })
            let reference = try laidOut(group.map { references[$0] })
            // Cosines are at least -1: what no token has never is the greatest.
            let isPadding = try prediction.mask.unsqueeze(2).and(reference.mask.unsqueeze(1)).not()
            let similarity = try prediction.embeddings.matmul(reference.embeddings.transpose(1, 2))
                .maskedFill(isPadding, -2)
            let precisions: [Float] = try (similarity.maximum(2) * prediction.weights).sum(1).array()
            let recalls: [Float] = try (similarity.maximum(1) * reference.weights).sum(1).array()
            for (place, index) in group.enumerated() {
                if prediction.isEmpty[place] || reference.isEmpty[place] {
                    scores[index] = Score(precision: 0, recall: 0, f1: 0)
                    continue
                }
                let (p, r) = (Double(precisions[place]), Double(recalls[place]))
                scores[index] = Score(precision: p, recall: r, f1: p + r == 0 ? 0 : 2 * p * r / (p + r))
            }
        }
        return scores.map { $0 ?? Score(precision: 0, recall: 0, f1: 0) }
    }
}

/// What tokens weigh.
struct TokenWeights {
    private let known: [Int: Double]
    private let other: Double

    /// All weigh the same but the special tokens around a sequence.
    static func uniform(except marks: (begin: Int, end: Int)) -> TokenWeights {
        TokenWeights(known: [marks.begin: 0, marks.end: 0], other: 1)
    }

    /// The logarithm of the inverse share of documents with the token, one added to both counts.
    static func inverseDocumentFrequencies(in documents: [[Int]]) -> TokenWeights {
        var counts: [Int: Int] = [:]
        for document in documents {
            for token in Set(document) { counts[token, default: 0] += 1 }
        }
        let total = Double(documents.count + 1)
        return TokenWeights(known: counts.mapValues { log(total / Double($0 + 1)) }, other: log(total))
    }

    func weight(_ token: Int) -> Double { known[token] ?? other }
}
