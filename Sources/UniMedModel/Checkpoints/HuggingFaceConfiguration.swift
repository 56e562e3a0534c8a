public import Foundation
public import TorchCheckpoints

/// What the `config.json` of a Hugging Face checkpoint says about a Llama.
///
/// Keys that do not change the computation are not read; a file that asks for something ``Llama`` does not compute
/// (another model type, scaled rotary embedding, biases, quantised weights) is refused.
public struct HuggingFaceConfiguration: Sendable, Equatable {
    /// The sizes.
    public let language: LlamaConfiguration
    /// The token that begins a sequence.
    public let beginOfSequence: Int?
    /// The tokens that end a sequence; empty when the file names none.
    public let endOfSequence: Set<Int>

    /// Reads a `config.json`.
    ///
    /// - Throws: ``CheckpointError`` with the file and the key: `unreadable`, `malformed` or `unsupported`.
    public init(contentsOf url: URL) throws(CheckpointError) {
        let file: File = try decodeJSON(url)
        func refuse(_ key: String, _ problem: String, expected: String, got: String) -> CheckpointError {
            CheckpointError(.unsupported, file: url.path, key: key, problem, expected: expected, got: got)
        }
        func positive(_ key: String, _ value: Int) throws(CheckpointError) -> Int {
            guard value > 0 else {
                throw CheckpointError(
                    .malformed,
                    file: url.path,
                    key: key,
                    "not a size",
                    expected: "a positive number",
                    got: "\(value)"
                )
            }
            return value
        }
        guard file.modelType == "llama" else {
            throw refuse("model_type", "another kind of model", expected: "llama", got: file.modelType)
        }
        if let activation = file.hiddenActivation, activation != "silu" {
            throw refuse("hidden_act", "another activation", expected: "silu", got: activation)
        }
        if let scaling = file.ropeScaling, scaling.kind != "default" {
            throw refuse("rope_scaling", "scaled rotary embedding", expected: "null", got: scaling.kind)
        }
        if let parameters = file.ropeParameters, parameters.kind != "default" {
            throw refuse("rope_parameters", "scaled rotary embedding", expected: "default", got: parameters.kind)
        }
        for (key, value) in [("attention_bias", file.attentionBias), ("mlp_bias", file.mlpBias)] where value == true {
            throw refuse(key, "linear layers with a bias", expected: "false", got: "true")
        }
        if file.quantization != nil {
            throw refuse("quantization_config", "quantised weights", expected: "none", got: "a quantisation")
        }
        let hiddenSize = try positive("hidden_size", file.hiddenSize)
        let headCount = try positive("num_attention_heads", file.headCount)
        let keyValueHeadCount = try positive("num_key_value_heads", file.keyValueHeadCount ?? headCount)
        guard headCount.isMultiple(of: keyValueHeadCount) else {
            throw CheckpointError(
                .malformed,
                file: url.path,
                key: "num_key_value_heads",
                "it does not divide num_attention_heads \(headCount)",
                got: "\(keyValueHeadCount)"
            )
        }
        if file.headSize == nil, !hiddenSize.isMultiple(of: headCount) {
            throw CheckpointError(
                .malformed,
                file: url.path,
                key: "num_attention_heads",
                "it does not divide hidden_size \(hiddenSize), and there is no head_dim",
                got: "\(headCount)"
            )
        }
        let headSize = try positive("head_dim", file.headSize ?? hiddenSize / headCount)
        guard headSize.isMultiple(of: 2) else {
            throw refuse(
                "head_dim",
                "rotary embedding needs an even head",
                expected: "an even size",
                got: "\(headSize)"
            )
        }
        let theta = file.ropeTheta ?? file.ropeParameters?.theta ?? 10_000
        let epsilon = file.rmsNormEpsilon ?? 1e-6
        for (key, value) in [("rope_theta", theta), ("rms_norm_eps", epsilon)] where !(value > 0 && value.isFinite) {
            throw CheckpointError(
                .malformed,
                file: url.path,
                key: key,
                "not a positive number",
                got: "\(value)"
            )
        }
        language = LlamaConfiguration(
            vocabularySize: try positive("vocab_size", file.vocabularySize),
            hiddenSize: hiddenSize,
            intermediateSize: try positive("intermediate_size", file.intermediateSize),
            layerCount: try positive("num_hidden_layers", file.layerCount),
            headCount: headCount,
            keyValueHeadCount: keyValueHeadCount,
            headSize: headSize,
            ropeTheta: theta,
            rmsNormEpsilon: epsilon,
            tiesEmbeddings: file.tiesEmbeddings ?? false
        )
        beginOfSequence = file.beginOfSequence
        endOfSequence = Set(file.endOfSequence?.ids ?? [])
    }

    /// The keys of the file that matter here, with the library's own defaults where they may be left out.
    private struct File: Decodable {
        let modelType: String
        let vocabularySize: Int
        let hiddenSize: Int
        let intermediateSize: Int
        let layerCount: Int
        let headCount: Int
        let keyValueHeadCount: Int?
        let headSize: Int?
        let hiddenActivation: String?
        let rmsNormEpsilon: Double?
        let ropeTheta: Double?
        let ropeScaling: Rope?
        let ropeParameters: Rope?
        let attentionBias: Bool?
        let mlpBias: Bool?
        let tiesEmbeddings: Bool?
        let quantization: Anything?
        let beginOfSequence: Int?
        let endOfSequence: TokenIDs?

        enum CodingKeys: String, CodingKey {
            case modelType = "model_type"
            case vocabularySize = "vocab_size"
            case hiddenSize = "hidden_size"
            case intermediateSize = "intermediate_size"
            case layerCount = "num_hidden_layers"
            case headCount = "num_attention_heads"
            case keyValueHeadCount = "num_key_value_heads"
            case headSize = "head_dim"
            case hiddenActivation = "hidden_act"
            case rmsNormEpsilon = "rms_norm_eps"
            case ropeTheta = "rope_theta"
            case ropeScaling = "rope_scaling"
            case ropeParameters = "rope_parameters"
            case attentionBias = "attention_bias"
            case mlpBias = "mlp_bias"
            case tiesEmbeddings = "tie_word_embeddings"
            case quantization = "quantization_config"
            case beginOfSequence = "bos_token_id"
            case endOfSequence = "eos_token_id"
        }
    }

    /// The kind of rotary embedding; older files say `type`, newer ones `rope_type`.
    private struct Rope: Decodable {
        let kind: String
        let theta: Double?

        enum CodingKeys: String, CodingKey {
            case type
            case ropeType = "rope_type"
            case theta = "rope_theta"
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            kind =
                try container.decodeIfPresent(String.self, forKey: .ropeType)
                ?? container.decodeIfPresent(String.self, forKey: .type) ?? "default"
            theta = try container.decodeIfPresent(Double.self, forKey: .theta)
        }
    }

    /// Whatever stands there.
    private struct Anything: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    /// One id or a list of them.
    private struct TokenIDs: Decodable {
        let ids: [Int]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let id = try? container.decode(Int.self) {
                ids = [id]
            } else {
                ids = try container.decode([Int].self)
            }
        }
    }
}

/// Reads a JSON file; what is wrong with it is said with the file and the key.
func decodeJSON<Value: Decodable>(_ url: URL) throws(CheckpointError) -> Value {
    let data: Data
    do {
        data = try Data(contentsOf: url)
    } catch {
        throw CheckpointError(.unreadable, file: url.path)
    }
    do {
        return try JSONDecoder().decode(Value.self, from: data)
    } catch {
        guard let error = error as? DecodingError else {
            throw CheckpointError(.malformed, file: url.path, "not JSON")
        }
        let (path, problem): ([any CodingKey], String) =
            switch error {
            case .keyNotFound(let key, let context): (context.codingPath + [key], "it is missing")
            case .typeMismatch(_, let context), .valueNotFound(_, let context): (context.codingPath, "of another type")
            case .dataCorrupted(let context): (context.codingPath, context.debugDescription)
            @unknown default: ([], "not as expected")
            }
        let key = path.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
        throw CheckpointError(.malformed, file: url.path, key: key.isEmpty ? nil : key, problem)
    }
}
