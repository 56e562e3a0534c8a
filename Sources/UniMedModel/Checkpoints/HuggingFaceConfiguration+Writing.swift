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
    /// Sets the keys that only this family has.
    let complete: @Sendable (inout HuggingFaceConfigurationFile, LlamaConfiguration) -> Void

    /// Every family, the most common first; the first that fits is taken.
    static let all: [LanguageFileFormat] = [
        LanguageFileFormat(
            modelType: "llama",
            architecture: "LlamaForCausalLM",
            fits: { !$0.hasAttentionBias && $0.slidingWindow == nil },
            complete: { file, _ in
                file.attentionBias = false
                file.mlpBias = false
            }
        ),
        LanguageFileFormat(
            modelType: "mistral",
            architecture: "MistralForCausalLM",
            fits: { !$0.hasAttentionBias && $0.slidingWindow?.firstLayer == 0 },
            complete: { file, configuration in file.slidingWindow = configuration.slidingWindow?.size }
        ),
        LanguageFileFormat(
            modelType: "qwen2",
            architecture: "Qwen2ForCausalLM",
            fits: { $0.hasAttentionBias },
            complete: { file, configuration in
                file.usesSlidingWindow = configuration.slidingWindow != nil
                file.slidingWindow = configuration.slidingWindow?.size
                file.maximumWindowLayers = configuration.slidingWindow?.firstLayer ?? configuration.layerCount
            }
        ),
    ]
}

/// The keys of a `config.json`, as transformers of version 4 and later read them.
struct HuggingFaceConfigurationFile: Encodable, Sendable {
    struct Rope: Encodable, Sendable {
        let kind: String
        let factor: Double
        var lowFrequencyFactor: Double?
        var highFrequencyFactor: Double?
        var originalLength: Int?

        enum CodingKeys: String, CodingKey {
            case factor
            case kind = "rope_type"
            case lowFrequencyFactor = "low_freq_factor"
            case highFrequencyFactor = "high_freq_factor"
            case originalLength = "original_max_position_embeddings"
        }
    }

    enum Tokens: Encodable, Sendable {
        case one(Int)
        case several([Int])

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .one(let id): try container.encode(id)
            case .several(let ids): try container.encode(ids)
            }
        }
    }

    let modelType: String
    let architectures: [String]
    let vocabularySize: Int
    let hiddenSize: Int
    let intermediateSize: Int
    let layerCount: Int
    let headCount: Int
    let keyValueHeadCount: Int
    let headSize: Int
    let activation = "silu"
    let rmsNormEpsilon: Double
    let ropeTheta: Double
    let ropeScaling: Rope?
    let maximumLength: Int
    let tiesEmbeddings: Bool
    let dtype: String
    let initializerRange = 0.02
    let usesCache = true
    let begin: Int?
    let end: Tokens?
    let pad: Int?
    var attentionBias: Bool?
    var mlpBias: Bool?
    var usesSlidingWindow: Bool?
    var slidingWindow: Int?
    var maximumWindowLayers: Int?

    enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case architectures
        case vocabularySize = "vocab_size"
        case hiddenSize = "hidden_size"
        case intermediateSize = "intermediate_size"
        case layerCount = "num_hidden_layers"
        case headCount = "num_attention_heads"
        case keyValueHeadCount = "num_key_value_heads"
        case headSize = "head_dim"
        case activation = "hidden_act"
        case rmsNormEpsilon = "rms_norm_eps"
        case ropeTheta = "rope_theta"
        case ropeScaling = "rope_scaling"
        case maximumLength = "max_position_embeddings"
        case tiesEmbeddings = "tie_word_embeddings"
        case dtype = "torch_dtype"
        case initializerRange = "initializer_range"
        case usesCache = "use_cache"
        case begin = "bos_token_id"
        case end = "eos_token_id"
        case pad = "pad_token_id"
        case attentionBias = "attention_bias"
        case mlpBias = "mlp_bias"
        case usesSlidingWindow = "use_sliding_window"
        case slidingWindow = "sliding_window"
        case maximumWindowLayers = "max_window_layers"
    }
}

extension HuggingFaceConfiguration {
    /// The `config.json` of a language model: of the family that computes what its sizes say.
    ///
    /// - Parameters:
    ///   - language: The sizes.
    ///   - dtype: The type of the weights beside the file.
    ///   - tokens: The special tokens.
    ///   - maximumLength: The longest sequence that the model was made for. Default: what Llama 3's scaling says, or 4096.
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
        var rope: HuggingFaceConfigurationFile.Rope?
        var length = 4096
        switch language.ropeScaling {
        case nil: break
        case .linear(let factor):
            rope = .init(kind: "linear", factor: factor)
            length = Int(4096 * factor)
        case .llama3(let factor, let low, let high, let originalLength):
            rope = .init(
                kind: "llama3",
                factor: factor,
                lowFrequencyFactor: low,
                highFrequencyFactor: high,
                originalLength: originalLength
            )
            length = Int(Double(originalLength) * factor)
        }
        var file = HuggingFaceConfigurationFile(
            modelType: format.modelType,
            architectures: [format.architecture],
            vocabularySize: language.vocabularySize,
            hiddenSize: language.hiddenSize,
            intermediateSize: language.intermediateSize,
            layerCount: language.layerCount,
            headCount: language.headCount,
            keyValueHeadCount: language.keyValueHeadCount,
            headSize: language.headSize,
            rmsNormEpsilon: language.rmsNormEpsilon,
            ropeTheta: language.ropeTheta,
            ropeScaling: rope,
            maximumLength: maximumLength ?? length,
            tiesEmbeddings: language.tiesEmbeddings,
            dtype: dtype.rawValue,
            begin: tokens.begin,
            end: tokens.fileValue,
            pad: tokens.pad
        )
        format.complete(&file, language)
        return try encoded(file)
    }

    /// The `generation_config.json` beside it.
    public static func generationFile(tokens: SpecialTokens) throws(CheckpointError) -> Data {
        struct File: Encodable {
            let begin: Int?
            let end: HuggingFaceConfigurationFile.Tokens?
            let pad: Int?

            enum CodingKeys: String, CodingKey {
                case begin = "bos_token_id"
                case end = "eos_token_id"
                case pad = "pad_token_id"
            }
        }
        return try encoded(File(begin: tokens.begin, end: tokens.fileValue, pad: tokens.pad))
    }

    static func encoded(_ value: some Encodable) throws(CheckpointError) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            return try encoder.encode(value) + Data("\n".utf8)
        } catch {
            throw CheckpointError(.unwritable, file: nil, "a number cannot be written as JSON: \(error)")
        }
    }
}

extension SpecialTokens {
    fileprivate var fileValue: HuggingFaceConfigurationFile.Tokens? {
        end.count == 1 ? .one(end[0]) : end.isEmpty ? nil : .several(end)
    }
}
