import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting

/// A folder that is gone after the test.
private final class TemporaryFolder {
    let url = FileManager.default.temporaryDirectory.appending(path: "unimed-tests-\(UUID().uuidString)")

    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(at: url) }

    func write(_ text: String, to name: String) throws -> URL {
        let file = url.appending(path: name)
        try Data(text.utf8).write(to: file)
        return file
    }
}

@Suite("Published checkpoint")
struct PublishedCheckpointTests {
    private let adapted = TinyModel.configuration(fineTuning: .lowRank(LowRankConfiguration(rank: 2, dropout: 0)))

    /// Every kind of connector.
    private static let connectors: [ConnectorConfiguration] =
        [.linear, .mlp(layerCount: 1), .mlp(layerCount: 3)]
        + [.mlp, .linear].flatMap { expert in
            [
                .constant, .hard(by: .task), .hard(by: .modality(["CT", "MR"])),
                .sparse(topK: 2, network: .init(inputs: [.imageToken])), .sparse(topK: 1, .paper),
                .soft(network: .init(inputs: [.taskToken], hiddenSize: 9)), .soft(.softmax),
            ].map { ConnectorConfiguration(expert: expert, router: $0) }
        }
        + [ConnectorConfiguration(expertCount: 3, tasks: [.reportGeneration, .imageClassification], taskTokenSize: 5)]

    @Test(arguments: connectors)
    func `names and layouts there and back are the identity`(connector: ConnectorConfiguration) throws {
        var configuration = adapted
        configuration.connector = connector
        let model = try TinyModel.make(configuration, seed: 1)
        let published = try model.publishedWeights()
        let copy = try TinyModel.make(configuration, seed: 2)
        let report = try copy.loadPublished(TensorSource(published.map { (name: $0.0, tensor: $0.1) }))
        #expect(report.loadedCount == model.trainableParameters().count && report.dropped.isEmpty)
        for (own, other) in zip(model.trainableParameters(), copy.trainableParameters()) {
            #expect(own.name == other.name)
            #expect(try own.parameter.value.detach().isEqual(to: other.parameter.value.detach()), "\(own.name)")
        }
    }

    @Test func `the list of names is the published one`() throws {
        var expected = ["router.fc1.bias", "router.fc1.weight", "router.fc2.bias", "router.fc2.weight"]
        expected += ["vqa", "refer", "identify", "caption", "cls"].map { "task_tokens.\($0)" }
        for expert in 0..<3 {
            expected += ["0.weight", "0.bias", "2.weight", "2.bias"].map { "moe_layers.\(expert).\($0)" }
        }
        for layer in 0..<2 {
            let linears =
                ["q", "k", "v", "o"].map { "self_attn.\($0)_proj" } + ["gate", "up", "down"].map { "mlp.\($0)_proj" }
            for linear in linears {
                for half in ["A", "B"] {
                    expected.append(
                        "llm_model.base_model.model.model.layers.\(layer).\(linear).lora_\(half).default.weight"
                    )
                }
            }
        }
        let published = try TinyModel.make(adapted).publishedWeights()
        #expect(published.map(\.0).sorted() == expected.sorted())
        let shapes = Dictionary(uniqueKeysWithValues: published.map { ($0.0, $0.1.shape) })
        #expect(shapes["task_tokens.vqa"] == [1, 1, 48])
        #expect(shapes["router.fc1.weight"] == [32, 96])
        #expect(shapes["moe_layers.2.2.weight"] == [24, 24])
        #expect(shapes["moe_layers.2.2.bias"] == [24])
    }

    @Test func `what is missing, unexpected or of another shape is named`() throws {
        let model = try TinyModel.make(adapted)
        let published = try model.publishedWeights().map { (name: $0.0, tensor: $0.1) }
        func refusal(_ change: (inout [(name: String, tensor: Tensor)]) throws -> Void) throws -> CheckpointError {
            var weights = published
            try change(&weights)
            let before = try model.trainableParameters().map { try $0.parameter.value.detach().clone() }
            let error = try #require(throws: CheckpointError.self) { try model.loadPublished(TensorSource(weights)) }
            for (tensor, own) in zip(before, model.trainableParameters()) {
                #expect(try tensor.isEqual(to: own.parameter.value.detach()))
            }
            #expect(error.kind == .mismatch)
            return error
        }
        let missing = try refusal { $0.removeAll { $0.name == "router.fc1.weight" } }
        #expect(missing.description.contains("connector.router.fc1.task_weight"))
        let expert = try refusal { $0.removeAll { $0.name == "moe_layers.1.0.weight" } }
        #expect(expert.description.contains("connector.experts.first.weight"))
        #expect(expert.description.contains("moe_layers.0.0.weight"))
        let unexpected = try refusal { $0.append(("moe_layers.3.0.weight", try Tensor.zeros([24, 48]))) }
        #expect(unexpected.description.contains("1 unexpected: 'moe_layers.3.0.weight'"))
        let misshapen = try refusal { weights in
            let index = try #require(weights.firstIndex { $0.name == "moe_layers.1.2.bias" })
            weights[index].tensor = try Tensor.zeros([25])
        }
        #expect(misshapen.description.contains("connector.experts.second.bias"))
    }

    @Test func `second names of the experts and rotary frequencies are dropped`() throws {
        let model = try TinyModel.make(adapted)
        var weights = try model.publishedWeights().map { (name: $0.0, tensor: $0.1) }
        weights.append(("llm_proj.0.0.weight", try Tensor.zeros([24, 48])))
        weights.append(
            ("llm_model.base_model.model.model.layers.0.self_attn.rotary_emb.inv_freq", try Tensor.zeros([3]))
        )
        #expect(try model.loadPublished(TensorSource(weights)).dropped.count == 2)
    }

    @Test func `one half of the router has no published form`() throws {
        let model = try TinyModel.make(adapted)
        let half = model.namedParameters().filter { $0.name.hasSuffix("task_weight") }
        let error = try #require(throws: CheckpointError.self) {
            try PublishedCheckpoint(adapted).published(half.map { (name: $0.name, tensor: $0.parameter.value) })
        }
        #expect(error.key == "router.fc1.weight")
    }
}

@Suite("Hugging Face checkpoints")
struct HuggingFaceTests {
    private static let plain = #"""
        "model_type": "llama", "vocab_size": 100, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "rms_norm_eps": 1e-5, "architectures": ["LlamaForCausalLM"], "unknown": {"a": [1]}
        """#

    private func read(_ json: String) throws -> HuggingFaceConfiguration {
        let folder = try TemporaryFolder()
        return try HuggingFaceConfiguration(contentsOf: folder.write(json, to: "config.json"))
    }

    @Test func `what a file leaves out has transformers' default`() throws {
        let configuration = try read("{\(Self.plain)}")
        #expect(
            configuration.language
                == LlamaConfiguration(
                    vocabularySize: 100,
                    hiddenSize: 32,
                    intermediateSize: 48,
                    layerCount: 2,
                    headCount: 4
                )
        )
        #expect(configuration.endOfSequence.isEmpty && configuration.beginOfSequence == nil)
    }

    @Test func `what a file says is taken`() throws {
        let configuration = try read(
            #"""
            {\#(Self.plain), "num_key_value_heads": 2, "head_dim": 16, "rope_theta": 5e5, "tie_word_embeddings": true,
             "rope_scaling": null, "hidden_act": "silu", "attention_bias": false, "bos_token_id": 1, "eos_token_id": [2, 7]}
            """#
        )
        #expect(configuration.language.keyValueHeadCount == 2 && configuration.language.headSize == 16)
        #expect(configuration.language.ropeTheta == 500_000 && configuration.language.tiesEmbeddings)
        #expect(configuration.beginOfSequence == 1 && configuration.endOfSequence == [2, 7])
    }

    @Test(arguments: [
        (#""rope_scaling": {"rope_type": "longrope", "factor": 8}"#, "rope_scaling", "longrope"),
        (#""rope_scaling": {"type": "dynamic", "factor": 2}"#, "rope_scaling", "dynamic"),
        (#""rope_parameters": {"rope_type": "yarn"}"#, "rope_parameters", "yarn"),
        (#""hidden_act": "gelu""#, "hidden_act", "gelu"), (#""attention_bias": true"#, "attention_bias", "true"),
        (#""mlp_bias": true"#, "mlp_bias", "true"),
        (#""quantization_config": {"bits": 4}"#, "quantization_config", "a quantisation"),
        (#""head_dim": 7"#, "head_dim", "7"),
    ])
    func `what is not computed here is refused`(setting: String, key: String, got: String) throws {
        let error = try #require(throws: CheckpointError.self) { try read("{\(Self.plain), \(setting)}") }
        #expect(error.kind == .unsupported && error.key == key && error.got == got)
        #expect(error.description.contains("config.json"))
    }

    @Test(
        arguments: [
            (#"{"model_type": "qwen2"}"#, "vocab_size"), ("[1]", nil), ("{", nil), ("not JSON", nil),
            (#"{"model_type": "llama", "vocab_size": "many"}"#, "vocab_size"),
            (
                plain.replacingOccurrences(of: "\"num_hidden_layers\": 2", with: "\"num_hidden_layers\": 0"),
                "num_hidden_layers"
            ),
            (
                plain.replacingOccurrences(of: "\"num_attention_heads\": 4", with: "\"num_attention_heads\": 5"),
                "num_attention_heads"
            ),
            (plain + ", \"num_key_value_heads\": 3", "num_key_value_heads"),
            (plain.replacingOccurrences(of: "1e-5", with: "0"), "rms_norm_eps"),
        ] as [(String, String?)]
    )
    func `a damaged file is refused with its name`(text: String, key: String?) throws {
        let json = text.contains("\"architectures\"") ? "{\(text)}" : text
        let error = try #require(throws: CheckpointError.self) { try read(json) }
        #expect(error.kind == .malformed)
        #expect(error.description.contains("config.json"))
        if let key { #expect(error.key == key, "\(error)") }
    }

    @Test func `another kind of model is refused`() throws {
        let json = "{\(Self.plain)}".replacingOccurrences(of: "\"llama\"", with: "\"gpt2\"")
        let error = try #require(throws: CheckpointError.self) { try read(json) }
        #expect(error.description.contains("model_type") && error.got == "gpt2")
        #expect(error.expected == "llama, mistral, qwen2")
    }

    @Test func `a model is the same after writing and reading it`() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("{\(Self.plain)}", to: "config.json")
        let model = try Llama(HuggingFaceConfiguration(contentsOf: folder.url.appending(path: "config.json")).language)
        try TinyModel.randomize(model, seed: 5)
        try SafetensorsFile.write(
            model.mergedWeights().map { ($0.name, $0.tensor) },
            to: folder.url.appending(path: "model.safetensors")
        )
        let copy = try Llama.load(folder: folder.url)
        for (own, other) in zip(model.namedParameters(), copy.namedParameters()) {
            #expect(try own.parameter.value.detach().isEqual(to: other.parameter.value.detach()), "\(own.name)")
        }
    }
}

@Suite("EVA checkpoints")
struct VisionCheckpointTests {
    private let configuration = TinyModel.configuration().vision

    private func weights(seed: UInt64) throws -> [(name: String, tensor: Tensor)] {
        let vision = try VisionTransformer(configuration)
        try TinyModel.randomize(vision, seed: seed)
        return try vision.namedParameters().map { (name: $0.name, tensor: try $0.parameter.value.detach()) }
    }

    @Test func `blocks beyond the model's, the last norm and the head are dropped`() throws {
        var weights = try weights(seed: 1)
        for (name, tensor) in weights where name.hasPrefix("blocks.1.") {
            weights.append((name.replacingOccurrences(of: "blocks.1.", with: "blocks.2."), tensor))
        }
        let extra = weights.count { $0.name.hasPrefix("blocks.2.") }
        for name in ["norm.weight", "norm.bias", "head.weight", "head.bias"] {
            weights.append((name, try Tensor.zeros([12])))
        }
        let report = try VisionTransformer(configuration).load(TensorSource(weights))
        #expect(report.dropped.count == extra + 4 && report.missing.isEmpty)
    }

    @Test func `a missing block and positions of another width are refused`() throws {
        let complete = try weights(seed: 1)
        let vision = try VisionTransformer(configuration)
        let missing = try #require(throws: CheckpointError.self) {
            try vision.load(TensorSource(complete.filter { !$0.name.hasPrefix("blocks.1.") }))
        }
        #expect(missing.description.contains("missing") && missing.description.contains("blocks.1."))
        for shape in [[1, 17, 13], [1, 18, 12], [17, 12]] {
            let changed = try complete.map { name, tensor in
                (name: name, tensor: name == "pos_embed" ? try Tensor.zeros(shape) : tensor)
            }
            let error = try #require(throws: CheckpointError.self) { try vision.load(TensorSource(changed)) }
            #expect(error.description.contains("pos_embed"), "\(shape)")
        }
    }

    @Test func `the class token's position is copied, not interpolated`() throws {
        let positions = try Tensor.normal([1, 10, 4], generator: Generator(seed: 1))
        let result = try VisionTransformer.interpolatePositions(positions, toGrid: 5)
        #expect(result.shape == [1, 26, 4])
        #expect(try result.select(1, 0).isEqual(to: positions.select(1, 0)))
        #expect(try VisionTransformer.interpolatePositions(positions, toGrid: 3).isEqual(to: positions))
    }
}
