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
        try DurableFile.write(
            HuggingFaceConfiguration.generationFile(tokens: tokens),
            to: folder.appending(path: "generation_config.json")
        )
        return weights + ["config.json", "generation_config.json"]
    }

    /// The `tokenizer_config.json` of a SentencePiece model as Llama 2 uses it, for a folder that has only the model.
    ///
    /// The pieces are texts such as `<s>`. The pad piece of the published code is an ordinary piece, so it is not named:
    /// as a special token it would be cut out of texts.
    public static func llamaTokenizerConfiguration(begin: String?, end: String, unknown: String) -> Data {
        JSONText.table([
            "tokenizer_class": .text("LlamaTokenizer"),
            "bos_token": begin.map { .text($0) } ?? .null,
            "eos_token": .text(end),
            "unk_token": .text(unknown),
            "add_bos_token": .bool(begin != nil),
            "add_eos_token": .bool(false),
            "legacy": .bool(true),
            "clean_up_tokenization_spaces": .bool(false),
        ])
        .file
    }
}
