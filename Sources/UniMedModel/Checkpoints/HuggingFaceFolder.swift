public import Foundation
public import Torch
public import TorchCheckpoints
import TorchNN

/// Writes a language model as `save_pretrained` of transformers does.
public enum HuggingFaceFolder {
    /// Writes `config.json`, `generation_config.json` and the weights, with adapters merged into them.
    ///
    /// - Parameters:
    ///   - model: The language model. Weights are merged one by one as they are written.
    ///   - folder: The folder; it must be there.
    ///   - tokens: The special tokens.
    ///   - dtype: The type of the weights; `nil` keeps each weight's own.
    ///   - maximumShardSize: The most bytes in one file of weights.
    ///   - maximumLength: The longest sequence that the model was made for.
    /// - Returns: The names of the files.
    /// - Throws: ``CheckpointError`` of kind `unwritable`, or `unsupported` when no family of transformers computes this.
    @discardableResult
    public static func write(
        _ model: Llama,
        to folder: URL,
        tokens: SpecialTokens,
        dtype: DType? = nil,
        maximumShardSize: Int = ShardedSafetensors.standardShardSize,
        maximumLength: Int? = nil
    ) throws(CheckpointError) -> [String] {
        let configuration = try HuggingFaceConfiguration.file(
            of: model.configuration,
            dtype: dtype ?? model.embedding.weight.value.dtype,
            tokens: tokens,
            maximumLength: maximumLength
        )
        let weights = try ShardedSafetensors.write(
            model.mergedWeightSource(dtype: dtype),
            to: folder,
            maximumShardSize: maximumShardSize
        )
        try DurableFile.write(configuration, to: folder.appending(path: "config.json"))
        let generation = try HuggingFaceConfiguration.generationFile(tokens: tokens)
        try DurableFile.write(generation, to: folder.appending(path: "generation_config.json"))
        return weights + ["config.json", "generation_config.json"]
    }

    /// The `tokenizer_config.json` of a SentencePiece model as Llama 2 uses it, for a folder that has only the model.
    ///
    /// The pieces are texts such as `<s>`. The pad piece of the published code is an ordinary piece, so it is not named:
    /// as a special token it would be cut out of texts.
    public static func llamaTokenizerConfiguration(
        begin: String?,
        end: String,
        unknown: String
    ) throws(CheckpointError) -> Data {
        struct File: Encodable {
            let kind = "LlamaTokenizer"
            let begin: String?
            let end: String
            let unknown: String
            let addsBegin: Bool
            let addsEnd = false
            let isLegacy = true
            let cleansSpaces = false

            enum CodingKeys: String, CodingKey {
                case kind = "tokenizer_class"
                case begin = "bos_token"
                case end = "eos_token"
                case unknown = "unk_token"
                case addsBegin = "add_bos_token"
                case addsEnd = "add_eos_token"
                case isLegacy = "legacy"
                case cleansSpaces = "clean_up_tokenization_spaces"
            }
        }
        return try HuggingFaceConfiguration.encoded(
            File(begin: begin, end: end, unknown: unknown, addsBegin: begin != nil)
        )
    }
}
