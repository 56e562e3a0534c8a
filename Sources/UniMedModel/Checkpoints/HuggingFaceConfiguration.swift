public import Foundation
public import TorchCheckpoints
import TorchNN

/// What the `config.json` of a Hugging Face checkpoint says about a ``Llama``, whichever ``LanguageFamily`` it is of.
///
/// Keys that do not change the computation are not read; a file that asks for something ``Llama`` does not compute
/// (another model type, biases where its family has none, quantised weights) is refused.
public struct HuggingFaceConfiguration: Sendable, Equatable {
    /// The sizes.
    public let language: LlamaConfiguration
    /// The token that begins a sequence.
    public let beginOfSequence: Int?
    /// The tokens that end a sequence; empty when the file names none.
    public let endOfSequence: Set<Int>

    /// Reads the `config.json` of a folder and, for the tokens that end a sequence, its `generation_config.json`.
    ///
    /// As in transformers, the tokens named in `generation_config.json` take the place of the others. An instruct model
    /// often ends its turns with a token that only stands there.
    ///
    /// - Throws: ``CheckpointError`` with the file and the key: `unreadable`, `malformed` or `unsupported`.
    public init(folder: URL) throws(CheckpointError) {
        let base = try HuggingFaceConfiguration(contentsOf: folder.appending(path: "config.json"))
        let url = folder.appending(path: "generation_config.json")
        var generation: GenerationFile?
        if FileManager.default.fileExists(atPath: url.path) { generation = try decodeJSON(url) }
        language = base.language
        beginOfSequence = generation?.beginOfSequence ?? base.beginOfSequence
        endOfSequence = generation?.endOfSequence.map { Set($0.ids) } ?? base.endOfSequence
    }

    /// Reads a `config.json`.
    ///
    /// - Throws: ``CheckpointError`` with the file and the key: `unreadable`, `malformed` or `unsupported`.
    public init(contentsOf url: URL) throws(CheckpointError) {
        var file: HuggingFaceFile = try decodeJSON(url)
        file.path = url.path
        guard let family = LanguageFamily.reading(modelType: file.modelType) else {
            let known = Set(LanguageFamily.all.map(\.modelType)).sorted().joined(separator: ", ")
            throw file.refusal("model_type", "another kind of model", expected: known, got: file.modelType)
        }
        if let activation = file.hiddenActivation, activation != "silu" {
            throw file.refusal("hidden_act", "another activation", expected: "silu", got: activation)
        }
        let biases = [
            ("attention_bias", family.hasAttentionBias ? nil : file.attentionBias), ("mlp_bias", file.mlpBias),
        ]
        for (key, value) in biases where value == true {
            throw file.refusal(key, "linear layers with a bias", expected: "false", got: "true")
        }
        if file.quantization != nil {
            throw file.refusal("quantization_config", "quantised weights", expected: "none", got: "a quantisation")
        }
        let hiddenSize = try file.positive("hidden_size", file.hiddenSize)
        let headCount = try file.positive("num_attention_heads", file.headCount)
        let keyValueHeadCount = try file.positive(
            "num_key_value_heads",
            file.keyValueHeadCount ?? (file.names("num_key_value_heads") ? nil : family.defaultKeyValueHeadCount)
                ?? headCount
        )
        guard headCount.isMultiple(of: keyValueHeadCount) else {
            throw file.damage(
                "num_key_value_heads",
                "it does not divide num_attention_heads \(headCount)",
                got: "\(keyValueHeadCount)"
            )
        }
        if file.headSize == nil, !hiddenSize.isMultiple(of: headCount) {
            throw file.damage(
                "num_attention_heads",
                "it does not divide hidden_size \(hiddenSize), and there is no head_dim",
                got: "\(headCount)"
            )
        }
        let headSize = try file.positive("head_dim", file.headSize ?? hiddenSize / headCount)
        guard headSize.isMultiple(of: 2) else {
            throw file.refusal(
                "head_dim",
                "rotary embedding needs an even head",
                expected: "an even size",
                got: "\(headSize)"
            )
        }
        let theta = file.ropeTheta ?? file.ropeParameters?.theta ?? file.ropeScaling?.theta ?? 10_000
        let epsilon = file.rmsNormEpsilon ?? 1e-6
        for (key, value) in [("rope_theta", theta), ("rms_norm_eps", epsilon)] where !(value > 0 && value.isFinite) {
            throw file.damage(key, "not a positive number", got: "\(value)")
        }
        language = LlamaConfiguration(
            vocabularySize: try file.positive("vocab_size", file.vocabularySize),
            hiddenSize: hiddenSize,
            intermediateSize: try file.positive("intermediate_size", file.intermediateSize),
            layerCount: try file.positive("num_hidden_layers", file.layerCount),
            headCount: headCount,
            keyValueHeadCount: keyValueHeadCount,
            headSize: headSize,
            ropeTheta: theta,
            rmsNormEpsilon: epsilon,
            tiesEmbeddings: file.tiesEmbeddings ?? false,
            ropeScaling: try file.rotaryScaling(),
            hasAttentionBias: family.hasAttentionBias,
            slidingWindow: try family.slidingWindow(file)
        )
        beginOfSequence = file.beginOfSequence
        endOfSequence = Set(file.endOfSequence?.ids ?? [])
    }

    /// The keys of `generation_config.json` that matter here.
    private struct GenerationFile: Decodable {
        let beginOfSequence: Int?
        let endOfSequence: HuggingFaceFile.TokenIDs?

        enum CodingKeys: String, CodingKey {
            case beginOfSequence = "bos_token_id"
            case endOfSequence = "eos_token_id"
        }
    }
}

/// The keys of a `config.json` that matter here; what may be left out is optional.
struct HuggingFaceFile: Decodable, Sendable {
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
    let usesSlidingWindow: Bool?
    let maximumWindowLayers: Int?
    private let slidingWindowSize: Int?
    private let layerKinds: [String]?
    /// Every key of the file, also those whose value is null.
    private let keys: Set<String>
    /// The file, for messages.
    var path = ""

    private enum CodingKeys: String, CodingKey {
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
        case usesSlidingWindow = "use_sliding_window"
        case maximumWindowLayers = "max_window_layers"
        case slidingWindowSize = "sliding_window"
        case layerKinds = "layer_types"
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func optional<Value: Decodable>(_ key: CodingKeys) throws -> Value? {
            try container.decodeIfPresent(Value.self, forKey: key)
        }
        keys = Set(container.allKeys.map(\.rawValue))
        modelType = try container.decode(String.self, forKey: .modelType)
        vocabularySize = try container.decode(Int.self, forKey: .vocabularySize)
        hiddenSize = try container.decode(Int.self, forKey: .hiddenSize)
        intermediateSize = try container.decode(Int.self, forKey: .intermediateSize)
        layerCount = try container.decode(Int.self, forKey: .layerCount)
        headCount = try container.decode(Int.self, forKey: .headCount)
        keyValueHeadCount = try optional(.keyValueHeadCount)
        headSize = try optional(.headSize)
        hiddenActivation = try optional(.hiddenActivation)
        rmsNormEpsilon = try optional(.rmsNormEpsilon)
        ropeTheta = try optional(.ropeTheta)
        ropeScaling = try optional(.ropeScaling)
        ropeParameters = try optional(.ropeParameters)
        attentionBias = try optional(.attentionBias)
        mlpBias = try optional(.mlpBias)
        tiesEmbeddings = try optional(.tiesEmbeddings)
        quantization = try optional(.quantization)
        beginOfSequence = try optional(.beginOfSequence)
        endOfSequence = try optional(.endOfSequence)
        usesSlidingWindow = try optional(.usesSlidingWindow)
        maximumWindowLayers = try optional(.maximumWindowLayers)
        slidingWindowSize = try optional(.slidingWindowSize)
        layerKinds = try optional(.layerKinds)
    }

    /// Whether a key stands in the file, also as null.
    func names(_ key: String) -> Bool { keys.contains(key) }

    /// `sliding_window`: `nil` where it is null, the default where it is left out.
    func slidingWindow(default size: Int) -> Int? {
        names(CodingKeys.slidingWindowSize.rawValue) ? slidingWindowSize : size
    }

    /// The first layer that `layer_types` gives a sliding window, `layerCount` where it gives none; `nil` without that key.
    ///
    /// - Throws: ``CheckpointError`` for another kind of layer, another number of them, or full attention after a window.
    func firstSlidingLayer() throws(CheckpointError) -> Int? {
        guard let layerKinds else { return nil }
        guard layerKinds.count == layerCount else {
            throw damage(
                "layer_types",
                "one for each of the \(layerCount) layers is needed",
                got: "\(layerKinds.count)"
            )
        }
        let first = layerKinds.firstIndex(of: "sliding_attention") ?? layerCount
        for (index, kind) in layerKinds.enumerated() {
            let expected = index < first ? "full_attention" : "sliding_attention"
            guard kind == expected else {
                throw refusal("layer_types.\(index)", "another order of layers", expected: expected, got: kind)
            }
        }
        return first
    }

    /// What `rope_parameters`, or in older files `rope_scaling`, asks for.
    ///
    /// - Throws: ``CheckpointError`` of kind `unsupported` for another scaling, `malformed` when a number is missing.
    func rotaryScaling() throws(CheckpointError) -> RotaryScaling? {
        let key = ropeParameters == nil ? "rope_scaling" : "rope_parameters"
        guard let rope = ropeParameters ?? ropeScaling else { return nil }
        func number(_ name: String, _ value: Double?) throws(CheckpointError) -> Double {
            guard let value, value > 0, value.isFinite else {
                throw damage("\(key).\(name)", "not a positive number", got: value.map { "\($0)" } ?? "nothing")
            }
            return value
        }
        switch rope.kind {
        case "default": return nil
        case "linear": return .linear(factor: try number("factor", rope.factor))
        case "llama3":
            let low = try number("low_freq_factor", rope.lowFrequencyFactor)
            let high = try number("high_freq_factor", rope.highFrequencyFactor)
            guard low < high else {
                throw damage("\(key).high_freq_factor", "not larger than low_freq_factor \(low)", got: "\(high)")
            }
            return .llama3(
                factor: try number("factor", rope.factor),
                lowFrequencyFactor: low,
                highFrequencyFactor: high,
                originalLength: try positive("\(key).original_max_position_embeddings", rope.originalLength ?? 0)
            )
        default:
            throw refusal(key, "scaled rotary embedding", expected: "default, linear, llama3", got: rope.kind)
        }
    }

    /// A size, which must be positive.
    func positive(_ key: String, _ value: Int) throws(CheckpointError) -> Int {
        guard value > 0 else {
            throw CheckpointError(
                .malformed,
                file: path,
                key: key,
                "not a size",
                expected: "a positive number",
                got: "\(value)"
            )
        }
        return value
    }

    /// The error for something that is not computed here.
    func refusal(_ key: String, _ problem: String, expected: String, got: String) -> CheckpointError {
        CheckpointError(.unsupported, file: path, key: key, problem, expected: expected, got: got)
    }

    /// The error for something that cannot be.
    func damage(_ key: String, _ problem: String, got: String) -> CheckpointError {
        CheckpointError(.malformed, file: path, key: key, problem, got: got)
    }

    /// The kind of rotary embedding and its numbers; older files say `type`, newer ones `rope_type`.
    struct Rope: Decodable, Sendable {
        let kind: String
        let theta: Double?
        let factor: Double?
        let lowFrequencyFactor: Double?
        let highFrequencyFactor: Double?
        let originalLength: Int?

        private enum CodingKeys: String, CodingKey {
            case type, factor
            case ropeType = "rope_type"
            case theta = "rope_theta"
            case lowFrequencyFactor = "low_freq_factor"
            case highFrequencyFactor = "high_freq_factor"
            case originalLength = "original_max_position_embeddings"
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            kind =
                try container.decodeIfPresent(String.self, forKey: .ropeType)
                ?? container.decodeIfPresent(String.self, forKey: .type) ?? "default"
            theta = try container.decodeIfPresent(Double.self, forKey: .theta)
            factor = try container.decodeIfPresent(Double.self, forKey: .factor)
            lowFrequencyFactor = try container.decodeIfPresent(Double.self, forKey: .lowFrequencyFactor)
            highFrequencyFactor = try container.decodeIfPresent(Double.self, forKey: .highFrequencyFactor)
            originalLength = try container.decodeIfPresent(Int.self, forKey: .originalLength)
        }
    }

    /// Whatever stands there.
    struct Anything: Decodable, Sendable {
        init(from decoder: any Decoder) throws {}
    }

    /// One id or a list of them.
    struct TokenIDs: Decodable, Sendable {
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
