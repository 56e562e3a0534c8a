import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel
import UniMedTesting

/// A decoder of every feature a family has, small.
private enum Feature: String, CaseIterable, CustomStringConvertible {
    case plain, groupedQueries, explicitHead, attentionBias, tiedEmbeddings, linearScaling, llama3Scaling
    case window, windowInSomeLayers, windowOfOneToken, everything

    var description: String { rawValue }

    var configuration: LlamaConfiguration {
        var configuration = LlamaConfiguration(
            vocabularySize: 20,
            hiddenSize: 16,
            intermediateSize: 24,
            layerCount: 3,
            headCount: 4
        )
        switch self {
        case .plain: break
        case .groupedQueries: configuration.keyValueHeadCount = 2
        case .explicitHead: configuration.headSize = 6
        case .attentionBias: configuration.hasAttentionBias = true
        case .tiedEmbeddings: configuration.tiesEmbeddings = true
        case .linearScaling: configuration.ropeScaling = .linear(factor: 2)
        case .llama3Scaling: configuration.ropeScaling = Self.scaling
        case .window: configuration.slidingWindow = SlidingWindow(size: 3)
        case .windowInSomeLayers: configuration.slidingWindow = SlidingWindow(size: 3, firstLayer: 1)
        case .windowOfOneToken: configuration.slidingWindow = SlidingWindow(size: 1)
        case .everything:
            configuration.keyValueHeadCount = 1
            configuration.headSize = 6
            configuration.hasAttentionBias = true
            configuration.ropeScaling = Self.scaling
            configuration.slidingWindow = SlidingWindow(size: 4, firstLayer: 2)
        }
        return configuration
    }

    private static let scaling = RotaryScaling.llama3(
        factor: 4,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalLength: 16
    )

    func model() throws -> Llama {
        let model = try Llama(configuration)
        try TinyModel.randomize(model, seed: 3)
        return model
    }
}

@Suite("Decoder features")
struct DecoderFeatureTests {
    private static let rows = [[1, 5, 9, 13, 2, 6, 10], [3, 7], [4, 8, 12, 16, 19, 15, 11, 7, 3, 2]]

    /// The hidden states of every row by itself.
    private func alone(_ model: Llama) throws -> [Tensor] {
        try Self.rows.map { row in
            try model.hiddenStates(of: model.embedding(Tensor(row)), layout: SequenceLayout(lengths: [row.count]))
        }
    }

    @Test(arguments: Feature.allCases)
    private func `sequences packed in a row do not see each other`(feature: Feature) throws {
        let model = try feature.model()
        try withoutGradients {
            let expected = try Tensor.cat(alone(model))
            for (multiple, filler) in [(1, 0), (8, 5)] {
                let layout = try SequenceLayout(
                    lengths: Self.rows.map(\.count),
                    tokenMultiple: multiple,
                    placeMultiple: multiple
                )
                let tokens = try Tensor(Self.rows.flatMap { $0 } + [Int](repeating: 0, count: filler))
                let packed = try model.hiddenStates(of: model.embedding(tokens), layout: layout)
                let states = try packed.narrow(0, start: 0, length: expected.size(0))
                // Float32 in another order of summation.
                try expectClose(states, expected, tolerance: 2e-5, "\(feature), multiples of \(multiple)")
            }
        }
    }

    @Test(arguments: Feature.allCases)
    private func `decoding with a cache is the whole pass, for rows of different lengths`(feature: Feature) throws {
        let model = try feature.model()
        try withoutGradients {
            let expected = try alone(model)
            // The longest row goes on to its end; the others are given more tokens than they have.
            let begun = [3, 1, 4]
            let steps = 6
            let cache = try model.makeCache(sequences: 3, capacity: 10, dtype: .float32, device: .cpu)
            let layout = try SequenceLayout(lengths: begun)
            let prompt = try Tensor(zip(Self.rows, begun).flatMap { $0.prefix($1) })
            _ = try model.hiddenStates(of: model.embedding(prompt), layout: layout, cache: cache)
            for step in 0..<steps {
                let tokens = zip(Self.rows, begun).map { row, begun in
                    begun + step < row.count ? row[begun + step] : 0
                }
                let states = try model.decode(model.embedding(Tensor(tokens)), cache: cache)
                for (index, row) in Self.rows.enumerated() where begun[index] + step < row.count {
                    try expectClose(
                        states.narrow(0, start: index, length: 1),
                        expected[index].narrow(0, start: begun[index] + step, length: 1),
                        tolerance: 2e-5,
                        "\(feature), row \(index), step \(step)"
                    )
                }
            }
        }
    }

    @Test(arguments: Feature.allCases.filter { $0 != .plain && $0 != .tiedEmbeddings })
    private func `every feature changes what is computed`(feature: Feature) throws {
        func states(_ configuration: LlamaConfiguration) throws -> Tensor {
            let model = try Llama(configuration)
            try TinyModel.randomize(model, seed: 3)
            // What a feature adds to the weights must not change how the others are drawn.
            let generator = try Generator(seed: 11)
            for (name, parameter) in model.namedParameters() where !name.hasSuffix(".bias") {
                let isNorm = parameter.value.rank == 1
                try parameter.value.detach().fillNormal(
                    mean: isNorm ? 1 : 0,
                    deviation: isNorm ? 0.1 : 0.4,
                    generator: generator
                )
            }
            let row = Self.rows[2]
            return try withoutGradients {
                try model.hiddenStates(of: model.embedding(Tensor(row)), layout: SequenceLayout(lengths: [row.count]))
            }
        }
        let difference = try states(feature.configuration).deviation(from: states(Feature.plain.configuration))
        #expect(difference.worst > 1e-2)
    }

    @Test func `adapters and merged weights keep the biases`() throws {
        let model = try Feature.attentionBias.model()
        let row = Self.rows[0]
        let layout = try SequenceLayout(lengths: [row.count])
        func states(_ model: Llama) throws -> Tensor {
            try withoutGradients { try model.hiddenStates(of: model.embedding(Tensor(row)), layout: layout) }
        }
        let before = try states(model)
        try model.attachAdapters(LowRankConfiguration(rank: 2, dropout: 0))
        #expect(try states(model).isEqual(to: before))
        #expect(model.trainableParameters().allSatisfy { LowRankAdapter.owns($0.name) })
        for (_, parameter) in model.trainableParameters() {
            try parameter.load(Tensor.normal(parameter.value.shape, deviation: 0.1, generator: Generator(seed: 5)))
        }
        let plain = try Llama(model.configuration)
        try plain.load(TensorSource(model.mergedWeights()))
        try expectClose(states(plain), states(model), tolerance: 2e-5, "merged")
        #expect(try states(model).deviation(from: before).worst > 1e-3)
    }
}

@Suite("Language families")
struct LanguageFamilyTests {
    private func decode(_ json: String) throws -> LlamaConfiguration {
        try JSONDecoder().decode(LlamaConfiguration.self, from: Data(json.utf8))
    }

    @Test(arguments: LanguageFamily.all.map(\.name))
    func `a family named in a recipe has its published sizes, and they are written out`(name: String) throws {
        let family = try #require(LanguageFamily.all.first { $0.name == name })
        let configuration = try decode(#"{"family": "\#(name)"}"#)
        #expect(configuration == family.published)
        let data = try JSONEncoder().encode(configuration)
        #expect(try JSONDecoder().decode(LlamaConfiguration.self, from: data) == configuration)
    }

    @Test func `no family is Llama 2, and is written without what only others have`() throws {
        #expect(try decode("{}") == LanguageFamily.llama2.published)
        let written = try JSONEncoder().encode(LlamaConfiguration())
        let keys = try #require(JSONSerialization.jsonObject(with: written) as? [String: Any]).keys
        #expect(
            Set(keys) == [
                "vocabularySize", "hiddenSize", "intermediateSize", "layerCount", "headCount", "keyValueHeadCount",
                "headSize", "ropeTheta", "rmsNormEpsilon", "tiesEmbeddings",
            ]
        )
    }

    @Test func `what a recipe names takes the place of the family's`() throws {
        let small = try decode(
            #"{"family": "llama3", "hiddenSize": 2048, "headSize": 64, "layerCount": 16, "tiesEmbeddings": true}"#
        )
        #expect(small.hiddenSize == 2048 && small.headSize == 64 && small.tiesEmbeddings && small.layerCount == 16)
        #expect(small.keyValueHeadCount == 8 && small.ropeTheta == 500_000 && small.ropeScaling != nil)
        #expect(try decode(#"{"family": "qwen2", "headCount": 14, "hiddenSize": 896}"#).keyValueHeadCount == 14)
        #expect(try decode(#"{"family": "mistral", "slidingWindow": null}"#).slidingWindow == nil)
        #expect(try decode(#"{"family": "llama3", "ropeScaling": null}"#).ropeScaling == nil)
        let window = try decode(#"{"slidingWindow": {"size": 64, "firstLayer": 3}}"#).slidingWindow
        #expect(window == SlidingWindow(size: 64, firstLayer: 3))
        #expect(try decode(#"{"ropeScaling": {"kind": "linear", "factor": 2}}"#).ropeScaling == .linear(factor: 2))
    }

    @Test(arguments: [
        (#"{"family": "gpt2"}"#, "family", "known: llama2, llama3, qwen2, mistral"),
        (#"{"slidingWindow": {"size": 0}}"#, "slidingWindow.size", "must be positive, got 0"),
        (#"{"slidingWindow": {"size": 4, "firstLayer": -1}}"#, "slidingWindow.firstLayer", "negative"),
        (#"{"slidingWindow": {"size": 4, "firstLayer": 32}}"#, "slidingWindow", "there are 32 layers"),
        (#"{"slidingWindow": {"length": 4}}"#, "slidingWindow.length", "unknown key length"),
        (#"{"ropeScaling": {"kind": "yarn", "factor": 2}}"#, "ropeScaling.kind", "yarn"),
        (#"{"ropeScaling": {"kind": "linear", "factor": -2}}"#, "ropeScaling.factor", "must be positive"),
        (
            #"{"ropeScaling": {"kind": "linear", "factor": 2, "originalLength": 8}}"#, "ropeScaling.originalLength",
            "belongs to kind llama3 only"
        ),
        (
            #"{"ropeScaling": {"kind": "llama3", "factor": 2, "lowFrequencyFactor": 4, "highFrequencyFactor": 4}}"#,
            "ropeScaling.highFrequencyFactor", "larger than lowFrequencyFactor"
        ),
    ])
    func `a setting that cannot be is refused where it stands`(json: String, path: String, problem: String) throws {
        let error = try #require(throws: DecodingError.self) { try decode(json) }
        guard case .dataCorrupted(let context) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(context.codingPath.map(\.stringValue).joined(separator: ".") == path)
        #expect(context.debugDescription.contains(problem), "\(context.debugDescription)")
    }
}

@Suite("Hugging Face configurations of the families")
struct HuggingFaceFamilyTests {
    private static let sizes = #"""
        "vocab_size": 100, "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 4,
        "num_attention_heads": 32
        """#

    private func read(_ json: String, generation: String? = nil) throws -> HuggingFaceConfiguration {
        let folder = FileManager.default.temporaryDirectory.appending(path: "unimed-family-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data("{\(Self.sizes), \(json)}".utf8).write(to: folder.appending(path: "config.json"))
        if let generation {
            try Data(generation.utf8).write(to: folder.appending(path: "generation_config.json"))
        }
        return try HuggingFaceConfiguration(folder: folder)
    }

    @Test(
        arguments: [
            // Left out, transformers' Qwen2 has 32 heads of keys and values and its Mistral 8, as their first models.
            (#""model_type": "llama""#, 32, false, nil), (#""model_type": "qwen2""#, 32, true, nil),
            (#""model_type": "mistral""#, 8, false, SlidingWindow(size: 4096)),
            (#""model_type": "mistral", "num_key_value_heads": null, "sliding_window": null"#, 32, false, nil),
            (#""model_type": "mistral", "sliding_window": 16"#, 8, false, SlidingWindow(size: 16)),
            (#""model_type": "llama", "sliding_window": 16"#, 32, false, nil),
            (#""model_type": "qwen2", "sliding_window": 16, "max_window_layers": 2"#, 32, true, nil),
            (
                #""model_type": "qwen2", "use_sliding_window": true, "sliding_window": 16, "max_window_layers": 2"#, 32,
                true, SlidingWindow(size: 16, firstLayer: 2)
            ),
            (
                #""model_type": "qwen2", "use_sliding_window": true, "sliding_window": 16, "max_window_layers": 4"#, 32,
                true, nil
            ),
            (
                #"""
                "model_type": "qwen2", "use_sliding_window": true, "sliding_window": 16, "max_window_layers": 0,
                "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "sliding_attention"]
                """#, 32, true, SlidingWindow(size: 16, firstLayer: 1)
            ),
        ] as [(String, Int, Bool, SlidingWindow?)]
    )
    func `a family's own rules hold`(json: String, keyHeads: Int, hasBias: Bool, window: SlidingWindow?) throws {
        let language = try read(json).language
        #expect(language.keyValueHeadCount == keyHeads)
        #expect(language.hasAttentionBias == hasBias)
        #expect(language.slidingWindow == window)
    }

    private static let llama3 = #"""
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192
        """#

    @Test(arguments: [
        #""rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", \#(llama3)}"#,
        #""rope_theta": 500000.0, "rope_scaling": {"type": "llama3", \#(llama3)}"#,
        #""rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, \#(llama3)}"#,
    ])
    func `rotary scaling is read in its old and new form`(json: String) throws {
        let language = try read(#""model_type": "llama", \#(json)"#).language
        #expect(language.ropeTheta == 500_000)
        #expect(
            language.ropeScaling
                == .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192)
        )
    }

    @Test func `linear and no scaling are read too`() throws {
        let linear = #""model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2}"#
        #expect(try read(linear).language.ropeScaling == .linear(factor: 2))
        let none = #""model_type": "qwen2", "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}"#
        #expect(try read(none).language.ropeScaling == nil)
        #expect(try read(none).language.ropeTheta == 1e6)
    }

    @Test(arguments: [
        (
            #""model_type": "llama", "rope_scaling": {"rope_type": "llama3", "factor": 8}"#,
            "rope_scaling.low_freq_factor"
        ),
        (#""model_type": "llama", "rope_parameters": {"rope_type": "linear"}"#, "rope_parameters.factor"),
        (#""model_type": "mistral", "sliding_window": 0"#, "sliding_window"),
        (
            #""model_type": "qwen2", "use_sliding_window": true, "layer_types": ["full_attention"]"#, "layer_types"
        ),
        (
            #"""
            "model_type": "qwen2", "use_sliding_window": true,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"]
            """#, "layer_types.1"
        ),
        (#""model_type": "mistral", "attention_bias": true"#, "attention_bias"),
    ])
    func `what is missing or not computed is refused with its key`(json: String, key: String) throws {
        let error = try #require(throws: CheckpointError.self) { try read(json) }
        #expect(error.key == key, "\(error)")
        #expect(error.description.contains("config.json"))
    }

    @Test func `the generation file's tokens end a sequence`() throws {
        let json = #""model_type": "qwen2", "bos_token_id": 5, "eos_token_id": 6"#
        #expect(try read(json).endOfSequence == [6])
        let both = try read(json, generation: #"{"eos_token_id": [7, 8], "do_sample": true}"#)
        #expect(both.endOfSequence == [7, 8] && both.beginOfSequence == 5)
        #expect(try read(json, generation: #"{"bos_token_id": 9}"#).endOfSequence == [6])
        #expect(try read(json, generation: #"{"bos_token_id": 9}"#).beginOfSequence == 9)
    }
}
