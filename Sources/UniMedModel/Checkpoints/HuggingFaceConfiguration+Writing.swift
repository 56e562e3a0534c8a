public import Foundation
public import Torch
public import TorchCheckpoints
import TorchNN

/// The special tokens that a written Hugging Face folder names.
public struct SpecialTokens: Sendable, Equatable {
    /// The token that begins a sequence.
    public var begin: Int?
    /// The tokens that end a sequence.
    public var end: [Int]
    /// The token that fills rows.
    public var pad: Int?

    /// Names the tokens.
    public init(begin: Int?, end: [Int], pad: Int? = nil) {
        self.begin = begin
        self.end = end
        self.pad = pad
    }
}

/// How one family of language models is written to a `config.json`.
///
/// A further family is a line in ``all``.
struct LanguageFileFormat: Sendable {
    /// `model_type`.
    let modelType: String
    /// The class in transformers.
    let architecture: String
    /// Whether the family computes what the sizes say.
    let fits: @Sendable (LlamaConfiguration) -> Bool
    /// The keys that only this family has.
    let further: @Sendable (LlamaConfiguration) -> [String: JSONText]

    /// Every family, the most common first; the first that fits is taken.
    static let all: [LanguageFileFormat] = [
        LanguageFileFormat(
            modelType: "llama",
            architecture: "LlamaForCausalLM",
            fits: { !$0.hasAttentionBias && $0.slidingWindow == nil },
            further: { _ in ["attention_bias": .bool(false), "mlp_bias": .bool(false)] }
        ),
        LanguageFileFormat(
            modelType: "mistral",
            architecture: "MistralForCausalLM",
            fits: { !$0.hasAttentionBias && $0.slidingWindow?.firstLayer == 0 },
            further: { ["sliding_window": .optional($0.slidingWindow?.size)] }
        ),
        LanguageFileFormat(
            modelType: "qwen2",
            architecture: "Qwen2ForCausalLM",
            fits: { $0.hasAttentionBias },
            further: { configuration in
                [
                    "use_sliding_window": .bool(configuration.slidingWindow != nil),
                    "sliding_window": .optional(configuration.slidingWindow?.size),
                    "max_window_layers": .int(configuration.slidingWindow?.firstLayer ?? configuration.layerCount),
                ]
            }
        ),
    ]
}

/// A value as JSON spells it.
///
/// Foundation writes the fraction 8 as a whole number, which transformers does not like.
enum JSONText: Sendable {
    case null
    case bool(Bool)
    case int(Int)
    case number(Double)
    case text(String)
    case list([JSONText])
    case table([String: JSONText])

    static func optional(_ number: Int?) -> JSONText { number.map { .int($0) } ?? .null }

    /// The spelling, with the keys of tables in order, each on a line.
    func spelled(indent: String = "") -> String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .int(let value): return "\(value)"
        case .number(let value): return "\(value)"
        case .text(let value): return HeaderJSON.quoted(value)
        case .list(let values): return "[" + values.map { $0.spelled(indent: indent) }.joined(separator: ", ") + "]"
        case .table(let entries):
            let inner = indent + "  "
            let lines = entries.sorted { $0.key < $1.key }
                .map { "\(inner)\(HeaderJSON.quoted($0.key)): \($0.value.spelled(indent: inner))" }
            return "{\n\(lines.joined(separator: ",\n"))\n\(indent)}"
        }
    }

    /// The bytes of a file.
    var file: Data { Data((spelled() + "\n").utf8) }
}

extension HuggingFaceConfiguration {
    /// The `config.json` of a language model: of the family that computes what its sizes say.
    ///
    /// - Parameters:
    ///   - language: The sizes.
    ///   - dtype: The type of the weights beside the file.
    ///   - tokens: The special tokens.
    ///   - maximumLength: The longest sequence that the model was made for. Default: what its rotary scaling says, or 4096.
    /// - Throws: ``CheckpointError`` of kind `unsupported` when no family of transformers computes these sizes.
    public static func file(
        of language: LlamaConfiguration,
        dtype: DType,
        tokens: SpecialTokens,
        maximumLength: Int? = nil
    ) throws(CheckpointError) -> Data {
        guard let format = LanguageFileFormat.all.first(where: { $0.fits(language) }) else {
            throw CheckpointError(
                .unsupported,
                file: nil,
                key: "slidingWindow",
                "no family of transformers has a window from a later layer on without a bias of queries, keys and values"
            )
        }
        var length = 4096.0
        var rope = JSONText.null
        switch language.ropeScaling {
        case nil: break
        case .linear(let factor):
            rope = .table(["rope_type": .text("linear"), "factor": .number(factor)])
            length *= factor
        case .llama3(let factor, let low, let high, let originalLength):
            rope = .table([
                "rope_type": .text("llama3"), "factor": .number(factor), "low_freq_factor": .number(low),
                "high_freq_factor": .number(high), "original_max_position_embeddings": .int(originalLength),
            ])
            length = Double(originalLength) * factor
        }
        var fields: [String: JSONText] = [
            "architectures": .list([.text(format.architecture)]),
            "head_dim": .int(language.headSize),
            "hidden_act": .text("silu"),
            "hidden_size": .int(language.hiddenSize),
            "initializer_range": .number(0.02),
            "intermediate_size": .int(language.intermediateSize),
            "max_position_embeddings": .int(maximumLength ?? Int(min(length, 1e12))),
            "model_type": .text(format.modelType),
            "num_attention_heads": .int(language.headCount),
            "num_hidden_layers": .int(language.layerCount),
            "num_key_value_heads": .int(language.keyValueHeadCount),
            "rms_norm_eps": .number(language.rmsNormEpsilon),
            "rope_scaling": rope,
            "rope_theta": .number(language.ropeTheta),
            "tie_word_embeddings": .bool(language.tiesEmbeddings),
            "torch_dtype": .text(dtype.rawValue),
            "use_cache": .bool(true),
            "vocab_size": .int(language.vocabularySize),
        ]
        fields.merge(tokens.fields) { own, _ in own }
        fields.merge(format.further(language)) { own, _ in own }
        return JSONText.table(fields).file
    }

    /// The `generation_config.json` beside it.
    public static func generationFile(tokens: SpecialTokens) -> Data { JSONText.table(tokens.fields).file }
}

extension SpecialTokens {
    fileprivate var fields: [String: JSONText] {
        [
            "bos_token_id": .optional(begin),
            "eos_token_id": end.count == 1 ? .int(end[0]) : end.isEmpty ? .null : .list(end.map { .int($0) }),
            "pad_token_id": .optional(pad),
        ]
    }
}
