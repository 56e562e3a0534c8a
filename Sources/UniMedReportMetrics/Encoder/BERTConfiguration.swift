public import Foundation

/// The sizes of a BERT or RoBERTa encoder (`config.json`).
public struct BERTConfiguration: Sendable, Equatable {
    /// How positions are counted and texts are tokenized.
    public enum Family: String, Sendable, CaseIterable {
        /// Positions from 0; pieces of words.
        case bert
        /// Positions from one behind the pad id; pairs of bytes.
        case roberta
    }

    /// How positions are counted and texts are tokenized.
    public var family: Family
    /// The number of token ids.
    public var vocabularySize: Int
    /// The width of a token.
    public var hiddenSize: Int
    /// The number of layers.
    public var layerCount: Int
    /// The number of attention heads, a divisor of the width.
    public var headCount: Int
    /// The width inside the feed-forward part of a layer.
    public var intermediateSize: Int
    /// The number of learned positions.
    public var positionCount: Int
    /// The number of kinds of tokens; all tokens here are of the first.
    public var tokenTypeCount: Int
    /// What is added to variances.
    public var layerNormEpsilon: Double
    /// The id of padding, from which RoBERTa's positions are counted.
    public var padID: Int

    /// The published sizes of BERT base, uncased.
    public static let bertBaseUncased = BERTConfiguration(
        family: .bert,
        vocabularySize: 30522,
        hiddenSize: 768,
        layerCount: 12,
        headCount: 12,
        intermediateSize: 3072
    )

    /// Makes a configuration.
    public init(
        family: Family,
        vocabularySize: Int,
        hiddenSize: Int,
        layerCount: Int,
        headCount: Int,
        intermediateSize: Int,
        positionCount: Int = 512,
        tokenTypeCount: Int = 2,
        layerNormEpsilon: Double = 1e-12,
        padID: Int = 0
    ) {
        self.family = family
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.intermediateSize = intermediateSize
        self.positionCount = positionCount
        self.tokenTypeCount = tokenTypeCount
        self.layerNormEpsilon = layerNormEpsilon
        self.padID = padID
    }

    /// The longest sequence, special tokens included.
    public var maximumLength: Int { family == .roberta ? positionCount - padID - 1 : positionCount }

    private struct File: Decodable {
        var modelType: String?
        var vocabularySize: Int
        var hiddenSize: Int
        var layerCount: Int
        var headCount: Int
        var intermediateSize: Int
        var activation: String?
        var positionCount: Int
        var tokenTypeCount: Int?
        var layerNormEpsilon: Double?
        var padID: Int?
        var positionForm: String?

        enum CodingKeys: String, CodingKey {
            case modelType = "model_type"
            case vocabularySize = "vocab_size"
            case hiddenSize = "hidden_size"
            case layerCount = "num_hidden_layers"
            case headCount = "num_attention_heads"
            case intermediateSize = "intermediate_size"
            case activation = "hidden_act"
            case positionCount = "max_position_embeddings"
            case tokenTypeCount = "type_vocab_size"
            case layerNormEpsilon = "layer_norm_eps"
            case padID = "pad_token_id"
            case positionForm = "position_embedding_type"
        }
    }

    /// Reads a `config.json` of the transformers library.
    ///
    /// - Throws: ``ReportMetricError`` of kind `unreadable`, `malformed`, or `unsupported` for another architecture.
    public init(contentsOf url: URL) throws(ReportMetricError) {
        let file: File
        do {
            file = try JSONDecoder().decode(File.self, from: Data(contentsOf: url))
        } catch let error as DecodingError {
            throw ReportMetricError(.malformed, file: url.path, "not the configuration of an encoder: \(error.place)")
        } catch {
            throw ReportMetricError(.unreadable, file: url.path, error.localizedDescription)
        }
        func refuse(_ field: String, _ got: String, _ expected: String) -> ReportMetricError {
            ReportMetricError(.unsupported, file: url.path, "\(field) is \(got), expected \(expected)")
        }
        guard let family = Family(rawValue: file.modelType ?? "bert") else {
            throw refuse("model_type", "'\(file.modelType ?? "")'", "bert or roberta")
        }
        if let activation = file.activation, activation != "gelu" {
            throw refuse("hidden_act", "'\(activation)'", "gelu")
        }
        if let form = file.positionForm, form != "absolute" {
            throw refuse("position_embedding_type", "'\(form)'", "absolute")
        }
        self.init(
            family: family,
            vocabularySize: file.vocabularySize,
            hiddenSize: file.hiddenSize,
            layerCount: file.layerCount,
            headCount: file.headCount,
            intermediateSize: file.intermediateSize,
            positionCount: file.positionCount,
            tokenTypeCount: file.tokenTypeCount ?? 2,
            layerNormEpsilon: file.layerNormEpsilon ?? 1e-12,
            padID: file.padID ?? (family == .roberta ? 1 : 0)
        )
        let sizes = [
            ("vocab_size", vocabularySize), ("hidden_size", hiddenSize), ("num_attention_heads", headCount),
            ("intermediate_size", intermediateSize), ("max_position_embeddings", positionCount),
            ("type_vocab_size", tokenTypeCount),
        ]
        for (name, size) in sizes where size < 1 || size > 1 << 24 {
            throw ReportMetricError(.malformed, file: url.path, "\(name) is \(size), expected a size")
        }
        guard (0...1024).contains(layerCount) else {
            throw ReportMetricError(.malformed, file: url.path, "num_hidden_layers is \(layerCount)")
        }
        guard hiddenSize.isMultiple(of: headCount) else {
            throw ReportMetricError(
                .malformed,
                file: url.path,
                "hidden_size \(hiddenSize) is no multiple of num_attention_heads \(headCount)"
            )
        }
        guard (0..<vocabularySize).contains(padID), maximumLength >= 2 else {
            throw ReportMetricError(.malformed, file: url.path, "pad_token_id is \(padID)")
        }
    }
}

extension DecodingError {
    /// The field and what is wrong with it, in one line.
    var place: String {
        let context: Context
        switch self {
        case .typeMismatch(_, let found), .valueNotFound(_, let found), .dataCorrupted(let found): context = found
        case .keyNotFound(let key, let found):
            let path = (found.codingPath + [key]).map(\.stringValue).joined(separator: ".")
            return "'\(path)' is missing"
        @unknown default: return "it cannot be decoded"
        }
        let path = context.codingPath.map(\.stringValue).joined(separator: ".")
        return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
    }
}
