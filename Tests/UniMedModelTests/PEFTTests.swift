import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel
import UniMedTesting

/// A folder that is removed at the end of `body`.
private func withFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "peft-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}

private let sizes = LlamaConfiguration(
    vocabularySize: 40,
    hiddenSize: 16,
    intermediateSize: 24,
    layerCount: 3,
    headCount: 4
)

private func makeModel(seed: UInt64 = 1) throws -> Llama {
    let model = try Llama(sizes)
    try TinyModel.randomize(model, seed: seed)
    return model
}

private func logits(_ model: Llama) throws -> Tensor {
    try withoutGradients {
        let tokens = try Tensor([1, 5, 7, 39, 0, 3] as [Int])
        let layout = try SequenceLayout(lengths: [4, 2])
        return try model.logits(model.hiddenStates(of: model.embedding(tokens), layout: layout))
    }
}

@Suite("PEFT configurations")
struct PEFTConfigurationTests {
    private static let linears =
        (0..<3).flatMap { layer in
            ["q", "k", "v", "o"].map { "model.layers.\(layer).self_attn.\($0)_proj" }
                + ["gate", "up", "down"].map { "model.layers.\(layer).mlp.\($0)_proj" }
        } + ["lm_head"]

    private func read(_ json: String) throws -> PEFTConfiguration {
        try withFolder { folder in
            let url = folder.appending(path: "adapter_config.json")
            try Data(json.utf8).write(to: url)
            return try PEFTConfiguration(contentsOf: url)
        }
    }

    @Test func `the cases are there`() { #expect(PEFTCase.all.count == 11) }

    @Test(arguments: PEFTCase.all.indices)
    func `layers, ranks and scales are PEFT's own, also after writing and reading`(index: Int) throws {
        let (item, json) = PEFTCase.all[index]
        let configuration = try read(String(decoding: json, as: UTF8.self))
        for configuration in [configuration, try read(String(decoding: configuration.json, as: UTF8.self))] {
            let layers = try configuration.layers(of: Self.linears)
            #expect(Set(layers.keys) == Set(item.layers.keys), "\(item)")
            for (name, expected) in item.layers {
                let layer = try #require(layers[name])
                #expect(Double(layer.rank) == expected[0], "\(item) \(name)")
                #expect(abs(layer.alpha / Double(layer.rank) - expected[1]) < 1e-8, "\(item) \(name)")
            }
        }
        #expect(try read(String(decoding: configuration.json, as: UTF8.self)) == configuration)
    }

    static let plain = #""peft_type": "LORA", "r": 4, "lora_alpha": 16, "target_modules": ["q_proj"]"#

    @Test func `what does not change the computation is not read`() throws {
        let configuration = try read(
            #"""
            {\#(Self.plain), "auto_mapping": null, "bias": "none", "fan_in_fan_out": false, "inference_mode": true,
             "init_lora_weights": "gaussian", "lora_dropout": 0.1, "megatron_core": "megatron.core", "revision": null,
             "task_type": "CAUSAL_LM", "loftq_config": {"a": {"b": [1]}}, "modules_to_save": null, "new_option": false,
             "peft_version": "0.19.1", "base_model_name_or_path": "a/b", "another": [], "layer_replication": null}
            """#
        )
        #expect(configuration.dropout == 0.1 && configuration.baseModel == "a/b")
        #expect(configuration.rank == 4 && configuration.alpha == 16)
    }

    @Test(arguments: [
        (#""use_dora": true"#, "use_dora"), (#""fan_in_fan_out": true"#, "fan_in_fan_out"),
        (#""lora_bias": true"#, "lora_bias"), (#""bias": "all""#, "bias"), (#""bias": "lora_only""#, "bias"),
        (#""modules_to_save": ["lm_head"]"#, "modules_to_save"),
        (#""layer_replication": [[0, 2], [1, 3]]"#, "layer_replication"),
        (#""trainable_token_indices": [3]"#, "trainable_token_indices"),
        (#""target_parameters": ["experts.w"]"#, "target_parameters"),
        (#""megatron_config": {"a": 1}"#, "megatron_config"), (#""use_qalora": true"#, "use_qalora"),
        (#""init_lora_weights": "pissa_niter_4""#, "init_lora_weights"),
        (#""init_lora_weights": "olora""#, "init_lora_weights"),
        (#""init_lora_weights": "loftq""#, "init_lora_weights"), (#""a_new_option": true"#, "a_new_option"),
        (#""a_new_option": "fast""#, "a_new_option"), (#""lora_dropout": 1"#, "lora_dropout"),
        (#""rank_pattern": {"q_proj": 0}"#, "rank_pattern"), (#""exclude_modules": "(""#, "exclude_modules"),
        (#""rank_pattern": {"(": 4}"#, "rank_pattern"), (#""alpha_pattern": {"[": 4}"#, "alpha_pattern"),
    ])
    func `what is not computed here is refused by name`(setting: String, key: String) throws {
        let error = try #require(throws: CheckpointError.self) { try read("{\(Self.plain), \(setting)}") }
        #expect(error.kind == .unsupported, "\(error)")
        #expect(error.key == key, "\(error)")
        #expect(error.description.contains("adapter_config.json") && !error.description.contains("\n"))
    }

    @Test(arguments: [
        (#""peft_type": "LORA""#, #""peft_type": "IA3""#, "peft_type"), (#""r": 4"#, #""r": 0"#, "r"),
        (#""r": 4"#, #""r": 4.5"#, "r"), (#""r": 4, "#, "", "r"),
        (#""lora_alpha": 16, "#, "", "lora_alpha"), (#""lora_alpha": 16"#, #""lora_alpha": "16""#, "lora_alpha"),
        (#"["q_proj"]"#, "null", "target_modules"), (#"["q_proj"]"#, "[]", "target_modules"),
        (#"["q_proj"]"#, "[1]", "target_modules"), (#"["q_proj"]"#, #""(""#, "target_modules"),
    ])
    func `what is missing or of another type is refused by name`(old: String, new: String, key: String) throws {
        let json = "{\(Self.plain.replacingOccurrences(of: old, with: new))}"
        let error = try #require(throws: CheckpointError.self) { try read(json) }
        #expect(error.key == key, "\(error)")
    }

    @Test(arguments: ["", "[1]", "{", "{\"r\": 1, \"r\": 2}", "null"])
    func `what is no table is refused`(json: String) throws {
        let error = try #require(throws: CheckpointError.self) { try read(json) }
        #expect(error.kind == .malformed)
    }
}

@Suite("PEFT adapters")
struct PEFTAdapterTests {
    /// An adapter with random weights for layers of a model that differ in rank and scale.
    private func uneven() throws -> (model: Llama, adapter: PEFTAdapter) {
        let model = try makeModel()
        let configuration = PEFTConfiguration(
            rank: 2,
            alpha: 6,
            targets: .pattern(#".*(q|v|down)_proj"#),
            isRankStabilized: true,
            ranks: [.init(pattern: "down_proj", value: 5)],
            alphas: [.init(pattern: #"layers\.1\.self_attn\.v_proj"#, value: 1)]
        )
        let layers = try configuration.layers(of: model.namedLinears().map(\.name))
        let generator = try Generator(seed: 9)
        var tensors: [(name: String, tensor: Tensor)] = []
        for (name, linear) in model.namedLinears() {
            guard let layer = layers[name] else { continue }
            let weight = linear.weight.value
            for (end, shape) in [("A", [layer.rank, weight.size(1)]), ("B", [weight.size(0), layer.rank])] {
                let tensor = try Tensor.normal(shape, deviation: 0.3, generator: generator)
                tensors.append((name: "base_model.model.\(name).lora_\(end).weight", tensor: tensor))
            }
        }
        return (model, PEFTAdapter(configuration: configuration, weights: TensorWeights(tensors)))
    }

    @Test func `layers of different ranks and scales compute W + s B A`() throws {
        let (model, adapter) = try uneven()
        let before = try logits(model)
        let report = try adapter.attach(to: model)
        #expect(report.loadedCount == 2 * 9)
        #expect(
            Set(model.trainableParameters().map(\.name)) == Set(adapter.weights.keys.map { String($0.dropFirst(17)) })
        )
        let attached = try logits(model)
        #expect(try attached.deviation(from: before).worst > 0.01)
        // The textbook form: another model whose weights are W + s B A.
        let plain = try makeModel()
        for (name, linear) in plain.namedLinears() {
            guard adapter.weights.keys.contains("base_model.model.\(name).lora_A.weight") else { continue }
            let a = try adapter.weights.tensor(named: "base_model.model.\(name).lora_A.weight")
            let b = try adapter.weights.tensor(named: "base_model.model.\(name).lora_B.weight")
            let rank = name.hasSuffix("down_proj") ? 5.0 : 2.0
            let alpha = name == "model.layers.1.self_attn.v_proj" ? 1.0 : 6.0
            try linear.weight.load(linear.weight.value.detach() + b.matmul(a) * (alpha / rank.squareRoot()))
        }
        try expectClose(logits(plain), attached, tolerance: 1e-5, "attached against W + s B A")
        // And merged, tensor by tensor.
        let merged = try Llama(sizes)
        try merged.load(model.mergedWeightSource())
        try expectClose(logits(merged), attached, tolerance: 1e-5, "merged")
    }

    @Test func `a written adapter comes back and computes the same`() throws {
        let (model, adapter) = try uneven()
        try adapter.attach(to: model)
        try withFolder { folder in
            try #require(try PEFTAdapter(of: model, baseModel: "base")).write(to: folder)
            let read = try PEFTAdapter(folder: folder)
            #expect(read.configuration.baseModel == "base")
            #expect(Set(read.weights.keys) == Set(adapter.weights.keys))
            let copy = try makeModel()
            try read.attach(to: copy)
            for (own, other) in zip(model.namedParameters(), copy.namedParameters()) {
                #expect(own.name == other.name)
                #expect(try own.parameter.value.detach().isEqual(to: other.parameter.value.detach()), "\(own.name)")
            }
            #expect(try logits(model).isEqual(to: logits(copy)))
        }
    }

    @Test func `a uniform adapter is written without patterns and known as uniform`() throws {
        let model = try makeModel()
        try model.attachAdapters(LowRankConfiguration(rank: 3, alpha: 6, dropout: 0.1, targets: ["q_proj", "up_proj"]))
        let adapter = try #require(try PEFTAdapter(of: model))
        #expect(adapter.configuration.targets == .names(["q_proj", "up_proj"]))
        #expect(adapter.configuration.ranks.isEmpty && adapter.configuration.alphas.isEmpty)
        let linears = try makeModel().namedLinears().map(\.name)
        #expect(
            try adapter.uniformConfiguration(of: linears)
                == LowRankConfiguration(rank: 3, alpha: 6, dropout: 0.1, targets: ["q_proj", "up_proj"])
        )
        #expect(try uneven().adapter.uniformConfiguration(of: linears) == nil)
        #expect(try PEFTAdapter(of: makeModel()) == nil)
    }

    @Test func `weights that are missing, unexpected or of another shape are refused`() throws {
        func refusal(_ change: (inout [(name: String, tensor: Tensor)]) throws -> Void) throws -> CheckpointError {
            let (model, adapter) = try uneven()
            var weights = try adapter.weights.keys.map { (name: $0, tensor: try adapter.weights.tensor(named: $0)) }
            try change(&weights)
            let changed = PEFTAdapter(configuration: adapter.configuration, weights: TensorWeights(weights))
            return try #require(throws: CheckpointError.self) { try changed.attach(to: model) }
        }
        #expect(try refusal { $0.removeFirst() }.description.contains("1 missing"))
        #expect(
            try refusal { $0.append(("base_model.model.lm_head.lora_A.weight", try Tensor.zeros([2, 16]))) }
                .description.contains("1 unexpected")
        )
        #expect(try refusal { $0[0].tensor = try Tensor.zeros([2, 17]) }.description.contains("another shape"))
        let (model, adapter) = try uneven()
        let elsewhere = PEFTConfiguration(rank: 2, alpha: 6, targets: .names(["query"]))
        let error = try #require(throws: CheckpointError.self) {
            try PEFTAdapter(configuration: elsewhere, weights: adapter.weights).attach(to: model)
        }
        #expect(error.key == "target_modules")
    }

    @Test func `a folder without weights is refused`() throws {
        try withFolder { folder in
            let json = PEFTConfiguration(rank: 2, alpha: 4, targets: .allLinear).json
            try json.write(to: folder.appending(path: "adapter_config.json"))
            let error = try #require(throws: CheckpointError.self) { try PEFTAdapter(folder: folder) }
            #expect(error.description.contains("adapter_model.safetensors"))
        }
    }

    @Test(
        .enabled(if: !GoldenCase.named("lora").isEmpty, "there is no lora case under UNIMED_GOLDEN"),
        arguments: GoldenCase.named("lora")
    )
    func `PEFT's own adapter comes back bit by bit`(golden: GoldenCase) throws {
        let adapter = try PEFTAdapter(folder: golden.folder)
        try withFolder { folder in
            try adapter.write(to: folder)
            let comparison = try CheckpointComparison(adapter.weights, PEFTAdapter(folder: folder).weights)
            #expect(comparison.isIdentical)
            #expect(try PEFTAdapter(folder: folder).configuration == adapter.configuration)
        }
    }
}

@Suite("Hugging Face folders, written")
struct HuggingFaceWritingTests {
    static let configurations: [LlamaConfiguration] = {
        let llama3 = RotaryScaling.llama3(
            factor: 8,
            lowFrequencyFactor: 1,
            highFrequencyFactor: 4,
            originalLength: 256
        )
        func sizes(_ change: (inout LlamaConfiguration) -> Void) -> LlamaConfiguration {
            var configuration = LlamaConfiguration(
                vocabularySize: 40,
                hiddenSize: 16,
                intermediateSize: 24,
                layerCount: 3,
                headCount: 4,
                keyValueHeadCount: 2,
                headSize: 6
            )
            change(&configuration)
            return configuration
        }
        return [
            sizes { _ in },
            sizes {
                $0.ropeScaling = llama3
                $0.ropeTheta = 500_000
                $0.tiesEmbeddings = true
            },
            sizes { $0.ropeScaling = .linear(factor: 2.5) },
            sizes {
                $0.slidingWindow = SlidingWindow(size: 8)
                $0.rmsNormEpsilon = 1e-6
            },
            sizes { $0.hasAttentionBias = true },
            sizes {
                $0.hasAttentionBias = true
                $0.slidingWindow = SlidingWindow(size: 8, firstLayer: 1)
            },
        ]
    }()

    @Test(arguments: configurations.indices)
    func `a folder of each family is read back as it was`(index: Int) throws {
        let configuration = Self.configurations[index]
        let model = try Llama(configuration)
        try TinyModel.randomize(model, seed: 3)
        try withFolder { folder in
            let tokens = SpecialTokens(begin: 1, end: index == 0 ? [2, 7] : [2], pad: 0)
            let files = try HuggingFaceFolder.write(model, to: folder, tokens: tokens, maximumShardSize: 5000)
            #expect(files.contains("model.safetensors.index.json"))
            #expect(Set(files) == Set(try FileManager.default.contentsOfDirectory(atPath: folder.path)))
            let read = try HuggingFaceConfiguration(folder: folder)
            #expect(read.language == configuration)
            #expect(read.beginOfSequence == 1 && read.endOfSequence == Set(tokens.end))
            let copy = try Llama.load(folder: folder)
            for (own, other) in zip(model.namedParameters(), copy.namedParameters()) {
                #expect(own.name == other.name)
                #expect(try own.parameter.value.detach().isEqual(to: other.parameter.value.detach()), "\(own.name)")
            }
        }
    }

    @Test func `the family is the one that computes what the sizes say`() throws {
        struct File: Decodable {
            let model_type: String
            let architectures: [String]
            let torch_dtype: String
            let sliding_window: Int?
            let use_sliding_window: Bool?
            let max_position_embeddings: Int
        }
        let files = try Self.configurations.map { configuration in
            try JSONDecoder().decode(
                File.self,
                from: HuggingFaceConfiguration.file(
                    of: configuration,
                    dtype: .bfloat16,
                    tokens: SpecialTokens(begin: nil, end: [2])
                )
            )
        }
        #expect(files.map(\.model_type) == ["llama", "llama", "llama", "mistral", "qwen2", "qwen2"])
        #expect(files[3].architectures == ["MistralForCausalLM"] && files[3].sliding_window == 8)
        #expect(files[4].use_sliding_window == false && files[5].use_sliding_window == true)
        #expect(files[1].max_position_embeddings == 2048)
        #expect(files.allSatisfy { $0.torch_dtype == "bfloat16" })

        var none = Self.configurations[0]
        none.slidingWindow = SlidingWindow(size: 8, firstLayer: 1)
        let error = try #require(throws: CheckpointError.self) {
            try HuggingFaceConfiguration.file(of: none, dtype: .float32, tokens: SpecialTokens(begin: 1, end: [2]))
        }
        #expect(error.kind == .unsupported && error.key == "slidingWindow")
    }

    @Test func `an adapter is merged as the weights are written, in the type that is asked for`() throws {
        let model = try makeModel()
        try model.attachAdapters(LowRankConfiguration(rank: 2, alpha: 4, dropout: 0))
        try TinyModel.randomize(model, seed: 4)
        try withFolder { folder in
            let tokens = SpecialTokens(begin: 1, end: [2])
            try HuggingFaceFolder.write(model, to: folder, tokens: tokens)
            try expectClose(logits(Llama.load(folder: folder)), logits(model), tolerance: 1e-5, "merged logits")
            let half = folder.appending(path: "half")
            try FileManager.default.createDirectory(at: half, withIntermediateDirectories: true)
            try HuggingFaceFolder.write(model, to: half, tokens: tokens, dtype: .bfloat16)
            let (full, narrow) = (try Checkpoint.open(folder), try Checkpoint.open(half))
            #expect(Set(full.keys) == Set(narrow.keys) && !full.keys.contains { $0.contains("lora") })
            for key in full.keys {
                #expect(try narrow.dtype(of: key) == .bfloat16)
                // Rounded once: the same as rounding the merged weight of float32.
                #expect(try full.tensor(named: key).to(.bfloat16).isEqual(to: narrow.tensor(named: key)), "\(key)")
            }
        }
    }

    @Test func `a mixture that cannot be merged is an error that names the weight`() throws {
        let model = try makeModel()
        try model.attachAdapters(LowRankExpertsConfiguration(rank: 2, expertCount: 3))
        try withFolder { folder in
            let error = try #require(throws: CheckpointError.self) {
                try HuggingFaceFolder.write(model, to: folder, tokens: SpecialTokens(begin: 1, end: [2]))
            }
            #expect(error.kind == .tensor && error.key?.hasSuffix("_proj.weight") == true)
        }
    }
}
