public import Foundation
import Torch
public import TorchCheckpoints
public import TorchNN

extension Llama {
    /// Reads a folder that `save_pretrained` of transformers wrote: `config.json` and the weights in any of its forms.
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
            model = try Llama(configuration.language, builder: builder)
        } catch {
            throw CheckpointError(.tensor, file: folder.path, "\(error)")
        }
        try model.load(Checkpoint.open(folder))
        return model
    }

    /// Sets the weights from a Hugging Face checkpoint; adapters keep their values.
    ///
    /// - Throws: ``CheckpointError`` of kind `mismatch` when something is missing, unexpected or of another shape.
    @discardableResult
    public func load(_ source: any WeightSource) throws(CheckpointError) -> WeightLoadingReport {
        // Old checkpoints keep the rotary frequencies, which follow from the configuration.
        var rows: [(file: String, model: String?)] = [("model.layers.*.self_attn.rotary_emb.inv_freq", nil)]
        if configuration.tiesEmbeddings { rows.append(("lm_head.weight", nil)) }
        return try loadWeights(
            into: namedParameters().map { (name: $0.name, tensor: $0.parameter.value) },
            from: source,
            mapping: KeyMap(rows + [("**", "**")]),
            allowedMissing: Linear.adapterKeyPatterns
        )
    }

    /// Puts the LoRA adapter of a folder that PEFT wrote beside every linear layer and freezes all other weights.
    ///
    /// - Throws: ``CheckpointError`` that names the file and the key: `unsupported` for an adapter of another kind or of
    ///   other layers, `mismatch` when the weights do not fit.
    @discardableResult
    public func loadAdapter(folder: URL, builder: WeightBuilder = WeightBuilder()) throws(CheckpointError)
        -> WeightLoadingReport
    {
        let configuration = try LowRankConfiguration(adapterFile: folder.appending(path: "adapter_config.json"))
        let source = try Checkpoint.open(folder)
        do throws(TorchError) {
            try attachAdapters(configuration, builder: builder)
        } catch {
            throw CheckpointError(.tensor, file: folder.path, "\(error)")
        }
        return try loadWeights(
            into: namedParameters().filter { LowRankAdapter.owns($0.name) }
                .map { (name: $0.name, tensor: $0.parameter.value) },
            from: source,
            mapping: ["base_model.model.**": "**"]
        )
    }
}

extension LowRankConfiguration {
    /// The layers of a Llama that carry an adapter.
    private static let adaptedLayers: Set<String> = [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]

    /// Reads an `adapter_config.json` of PEFT.
    ///
    /// - Throws: ``CheckpointError`` with the file and the key: `unsupported` for anything but plain LoRA on all linear
    ///   layers of a Llama's blocks.
    public init(adapterFile url: URL) throws(CheckpointError) {
        let file: AdapterFile = try decodeJSON(url)
        func require(_ condition: Bool, _ key: String, expected: String, got: String) throws(CheckpointError) {
            guard condition else {
                throw CheckpointError(
                    .unsupported,
                    file: url.path,
                    key: key,
                    "another kind of adapter",
                    expected: expected,
                    got: got
                )
            }
        }
        try require(file.kind == "LORA", "peft_type", expected: "LORA", got: file.kind)
        try require(file.rank > 0, "r", expected: "a positive rank", got: "\(file.rank)")
        let dropout = file.dropout ?? 0
        try require((0..<1).contains(dropout), "lora_dropout", expected: "0..<1", got: "\(dropout)")
        try require(file.bias ?? "none" == "none", "bias", expected: "none", got: file.bias ?? "")
        for (key, value) in [
            ("use_dora", file.usesDora), ("use_rslora", file.usesRankStabilisation),
            ("fan_in_fan_out", file.isTransposed),
            ("lora_bias", file.hasBias),
        ] {
            try require(value != true, key, expected: "false", got: "true")
        }
        for (key, table) in [("rank_pattern", file.rankPattern), ("alpha_pattern", file.alphaPattern)] {
            try require(table?.isEmpty ?? true, key, expected: "none", got: "a table")
        }
        try require(
            Set(file.layers) == LowRankConfiguration.adaptedLayers,
            "target_modules",
            expected: LowRankConfiguration.adaptedLayers.sorted().joined(separator: " "),
            got: file.layers.sorted().joined(separator: " ")
        )
        self.init(rank: file.rank, alpha: file.alpha, dropout: dropout)
    }
}

/// The keys of `adapter_config.json` that matter.
private struct AdapterFile: Decodable {
    let kind: String
    let rank: Int
    let alpha: Double
    let dropout: Double?
    let layers: [String]
    let bias: String?
    let usesDora: Bool?
    let usesRankStabilisation: Bool?
    let isTransposed: Bool?
    let hasBias: Bool?
    let rankPattern: [String: Double]?
    let alphaPattern: [String: Double]?

    enum CodingKeys: String, CodingKey {
        case kind = "peft_type"
        case rank = "r"
        case alpha = "lora_alpha"
        case dropout = "lora_dropout"
        case layers = "target_modules"
        case bias
        case usesDora = "use_dora"
        case usesRankStabilisation = "use_rslora"
        case isTransposed = "fan_in_fan_out"
        case hasBias = "lora_bias"
        case rankPattern = "rank_pattern"
        case alphaPattern = "alpha_pattern"
    }
}
