public import Foundation
public import Torch
public import TorchCheckpoints
public import TorchNN

extension Llama {
    /// Reads a folder that `save_pretrained` of transformers wrote: `config.json` and the weights in any of its forms.
    ///
    /// No weight is drawn, and each is in memory once: the file is mapped, and its tensors are converted one by one.
    ///
    /// - Parameters:
    ///   - folder: The folder.
    ///   - builder: The type and device of the model's weights; the file's are converted.
    /// - Returns: The model, all of it trained.
    /// - Throws: ``CheckpointError`` that names the file and the key.
    public static func load(folder: URL, builder: WeightBuilder = WeightBuilder()) throws(CheckpointError) -> Llama {
        let configuration = try HuggingFaceConfiguration(contentsOf: folder.appending(path: "config.json"))
        let model: Llama
        do throws(TorchError) {
            model = try Llama(configuration.language, builder: WeightBuilder(dtype: builder.dtype, device: .meta))
        } catch {
            throw CheckpointError(.tensor, file: folder.path, "\(error)")
        }
        try model.load(Checkpoint.open(folder), device: builder.device)
        return model
    }

    /// The rows of a checkpoint's embedding table, which may be more than its tokenizer has tokens (Qwen2 pads its
    /// table); `nil` when there is no such table.
    public static func vocabularySize(in source: any WeightSource) throws(CheckpointError) -> Int? {
        let key = "model.embed_tokens.weight"
        return source.keys.contains(key) ? try source.shape(of: key).first : nil
    }

    /// Sets the weights from a Hugging Face checkpoint; adapters keep their values.
    ///
    /// - Parameters:
    ///   - source: The checkpoint.
    ///   - device: Where weights without memory go.
    /// - Throws: ``CheckpointError`` of kind `mismatch` when something is missing, unexpected or of another shape.
    @discardableResult
    public func load(_ source: any WeightSource, device: Device = .cpu) throws(CheckpointError) -> WeightLoadingReport {
        // Old checkpoints keep the rotary frequencies, which follow from the configuration.
        var rows: [(file: String, model: String?)] = [("model.layers.*.self_attn.rotary_emb.inv_freq", nil)]
        if configuration.tiesEmbeddings { rows.append(("lm_head.weight", nil)) }
        return try loadWeights(
            into: self,
            from: source,
            mapping: KeyMap(rows + [("**", "**")]),
            allowedMissing: Linear.adapterKeyPatterns,
            device: device
        )
    }

    /// Puts the LoRA adapter of a folder that PEFT wrote beside its target layers and freezes all other weights.
    ///
    /// - Throws: ``CheckpointError`` that names the file and the key: `unsupported` for an adapter of another kind,
    ///   `mismatch` when the weights do not fit.
    @discardableResult
    public func loadAdapter(folder: URL, builder: WeightBuilder = WeightBuilder()) throws(CheckpointError)
        -> WeightLoadingReport
    {
        try PEFTAdapter(folder: folder).attach(to: self, builder: builder)
    }
}
