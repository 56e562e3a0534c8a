import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel
import UniMedTesting

/// Token rows of a case, packed as this model takes them.
struct PackedRows {
    let layout: SequenceLayout
    /// `[T]`.
    let tokens: Tensor
    /// The rows' own tokens, without padding.
    let rows: [[Int]]
    /// Where tokens stand among the rows with padding, flattened: `[T]`.
    let places: [Int]

    /// Takes the tokens out of padded rows `[B, L]`, whichever side the padding is on.
    init(ids: Tensor, mask: Tensor) throws {
        let width = ids.size(1)
        let all = try ids.array(of: Int.self)
        let kept = try mask.array(of: Int.self)
        places = kept.indices.filter { kept[$0] != 0 }
        rows = (0..<ids.size(0)).map { row in
            (row * width..<(row + 1) * width).filter { kept[$0] != 0 }.map { all[$0] }
        }
        tokens = try Tensor(rows.flatMap { $0 })
        layout = try SequenceLayout(lengths: rows.map(\.count))
    }

    /// The same places of `[B, L, …]`: `[T, …]`.
    func pack(_ padded: Tensor) throws -> Tensor {
        try padded.reshape([-1] + padded.shape.dropFirst(2)).indexSelect(0, Tensor(places))
    }
}

/// The negative log likelihood of labels `[B, L]` given logits `[T, vocabulary]` of packed rows with padding at the right.
struct LabelLoss {
    /// `[B, L - 1]`, 0 where there is no label.
    let tokens: Tensor
    /// One element, with gradient.
    let mean: Tensor
    /// `[B]`: the published code's `reduction='none'`, which divides by all positions of a row.
    let perRow: Tensor

    init(logits: Tensor, labels: Tensor, places: [Int]) throws {
        let (batch, width) = (labels.size(0), labels.size(1))
        let all = try labels.array(of: Int.self)
        var rows: [Int] = []
        var targets: [Int] = []
        var positions: [Int] = []
        for (row, place) in places.enumerated() where place % width < width - 1 && all[place + 1] != -100 {
            rows.append(row)
            targets.append(all[place + 1])
            positions.append(place / width * (width - 1) + place % width)
        }
        let losses = try logits.indexSelect(0, Tensor(rows)).crossEntropy(Tensor(targets), reduction: .none)
        tokens = try Tensor.zeros([batch * (width - 1)]).indexAdd(0, Tensor(positions), losses)
            .reshape(batch, width - 1)
        mean = try losses.mean()
        perRow = try tokens.sum(1) / Double(width - 1)
    }
}

/// A record of `generation.json` of a language model.
struct GenerationRun: Decodable {
    let newTokens: [[Int]]
    let input: String
    let maximumNewTokens: Int
    let endOfSequence: [Int]?
    let repetitionPenalty: Double?
    let beamCount: Int?

    enum CodingKeys: String, CodingKey {
        case newTokens = "new_tokens"
        case input
        case maximumNewTokens = "max_new_tokens"
        case endOfSequence = "eos_token_id"
        case repetitionPenalty = "repetition_penalty"
        case beamCount = "num_beams"
    }

    var isPlainGreedy: Bool { repetitionPenalty == nil && beamCount == nil }

    /// The new tokens up to the one that ends a row.
    var expected: [[Int]] {
        newTokens.map { row in Array(row.prefix { !(endOfSequence ?? []).contains($0) }) }
    }
}

@Suite("Parity: Llama")
struct LlamaParityTests {
    static let cases = GoldenCase.named("llama/")

    private struct Manifest: Decodable {
        struct Configuration: Decodable {
            let endOfSequence: GenerationEnd?

            enum CodingKeys: String, CodingKey {
                case endOfSequence = "eos_token_id"
            }
        }

        enum GenerationEnd: Decodable {
            case ids(Set<Int>)

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let id = try? container.decode(Int.self) {
                    self = .ids([id])
                } else {
                    self = .ids(Set(try container.decode([Int].self)))
                }
            }
        }

        let config: Configuration
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no llama case under UNIMED_GOLDEN"), arguments: cases)
    func `the tokens that end a sequence are all read`(golden: GoldenCase) throws {
        let configuration = try HuggingFaceConfiguration(folder: golden.file("checkpoint"))
        guard case .ids(let ids) = try golden.decode(Manifest.self).config.endOfSequence else { return }
        #expect(configuration.endOfSequence == ids)
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no llama case under UNIMED_GOLDEN"), arguments: cases)
    func `hidden states, logits and losses are transformers' own`(golden: GoldenCase) throws {
        let model = try Llama.load(folder: golden.file("checkpoint"))
        let expected = try golden.tensors("golden.safetensors")
        let comparison = Comparison(golden)
        try withoutGradients {
            let packed = try PackedRows(ids: expected("input_ids"), mask: expected("attention_mask"))
            let index = try expected("position_index").array(of: Int.self)
            let width = try expected("input_ids").size(1)
            #expect(packed.places == stride(from: 0, to: index.count, by: 2).map { index[$0] * width + index[$0 + 1] })
            let embedded = try model.embedding(packed.tokens)
            var states = [embedded]
            let last = try model.hiddenStates(of: embedded, layout: packed.layout) { _, output in
                states.append(output)
            }
            states[states.count - 1] = last
            #expect(states.count == model.configuration.layerCount + 1)
            for (number, state) in states.enumerated() {
                try comparison.close(state, expected("hidden.\(number)"), "hidden.\(number)")
            }
            let logits = try model.logits(last)
            try comparison.close(logits, expected("logits"), "logits")
            let loss = try LabelLoss(logits: logits, labels: expected("labels"), places: packed.places)
            try comparison.close(loss.tokens, expected("nll"), "nll")
            try comparison.close(loss.mean.reshape(1), expected("loss"), "loss")
            try comparison.close(loss.perRow, expected("loss_reduction_none"), "loss_reduction_none")

            let probe = try expected("eps_probe.inputs_embeds")
            let layout = try SequenceLayout(lengths: [probe.size(1)])
            let probed = try model.logits(model.hiddenStates(of: probe.squeeze(0), layout: layout))
            try comparison.close(probed.unsqueeze(0), expected("eps_probe.logits"), "eps_probe.logits")
        }
        print(comparison.summary)
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no llama case under UNIMED_GOLDEN"), arguments: cases)
    func `states decoded token by token are those of the whole sequence`(golden: GoldenCase) throws {
        let model = try Llama.load(folder: golden.file("checkpoint"))
        let expected = try golden.tensors("golden.safetensors")
        let comparison = Comparison(golden, "\(golden.name) decoding")
        let packed = try PackedRows(ids: expected("input_ids"), mask: expected("attention_mask"))
        let name = "hidden.\(model.configuration.layerCount)"
        let state = try expected(name)
        try withoutGradients {
            var start = 0
            for row in packed.rows {
                // Two tokens at once, and the rest one by one.
                let cache = try model.makeCache(sequences: 1, capacity: row.count, dtype: .float32, device: .cpu)
                let prompt = try model.embedding(Tensor(Array(row.prefix(2))))
                var states = [
                    try model.hiddenStates(of: prompt, layout: SequenceLayout(lengths: [2]), cache: cache)
                ]
                for token in row.dropFirst(2) {
                    states.append(try model.decode(model.embedding(Tensor([token])), cache: cache))
                }
                let decoded = try Tensor.cat(states)
                try comparison.close(decoded, state.narrow(0, start: start, length: row.count), name)
                start += row.count
            }
        }
        print(comparison.summary)
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no llama case under UNIMED_GOLDEN"), arguments: cases)
    func `greedy continuations are transformers' own, without its padding`(golden: GoldenCase) throws {
        let model = try Llama.load(folder: golden.file("checkpoint"))
        let expected = try golden.tensors("golden.safetensors")
        let packed = try PackedRows(ids: expected("gen.input_ids"), mask: expected("gen.attention_mask"))
        let runs = try golden.decode([String: GenerationRun].self, from: "generation.json")
        let greedy = runs.filter(\.value.isPlainGreedy).sorted { $0.key < $1.key }
        #expect(!greedy.isEmpty)
        for (name, run) in greedy {
            let embeddings = try withoutGradients {
                run.input == "ids"
                    ? try model.embedding(packed.tokens) : try packed.pack(expected("gen.inputs_embeds"))
            }
            let ids = try model.generate(
                from: embeddings,
                layout: packed.layout,
                maximumNewTokens: run.maximumNewTokens,
                endOfSequence: Set(run.endOfSequence ?? [])
            )
            #expect(ids == run.expected, "\(golden.name) \(name)")
        }
        // Penalties and beams: GenerationParityTests.
        print("parity \(golden.name): \(greedy.count) greedy runs equal")
    }
}

@Suite("Parity: LoRA adapters of PEFT")
struct LoRAParityTests {
    static let cases = GoldenCase.named("lora")

    private struct Manifest: Decodable {
        struct Configuration: Decodable {
            let base: String
        }

        let config: Configuration
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no lora case under UNIMED_GOLDEN"), arguments: cases)
    func `logits, loss, gradients and merged weights are PEFT's own`(golden: GoldenCase) throws {
        let base = try golden.decode(Manifest.self).config.base
        let model = try Llama.load(folder: golden.file(base))
        try model.loadAdapter(folder: golden.folder)
        let expected = try golden.tensors("golden.safetensors")
        let comparison = Comparison(golden)

        let packed = try PackedRows(ids: expected("input_ids"), mask: expected("attention_mask"))
        func logits(_ model: Llama) throws -> Tensor {
            try model.logits(
                model.hiddenStates(of: model.embedding(packed.tokens), layout: packed.layout, training: true)
            )
        }
        let own = try logits(model)
        try comparison.close(own, expected("logits"), "logits")
        let loss = try LabelLoss(logits: own, labels: expected("labels"), places: packed.places)
        try comparison.close(loss.mean.reshape(1), expected("loss"), "loss")
        try loss.mean.backward()

        let trained = model.trainableParameters()
        let names = expected.names.filter { $0.hasPrefix("grad.") }
        #expect(Set(names) == Set(trained.map { "grad.base_model.model." + $0.name }))
        for (name, parameter) in trained {
            try comparison.close(
                #require(parameter.value.gradient),
                expected("grad.base_model.model." + name),
                "grad." + name,
                group: name.contains("lora_A") ? "grad.lora_A" : "grad.lora_B"
            )
        }

        let merged = try model.mergedWeights()
        let plain = try Llama(model.configuration)
        try plain.load(TensorSource(merged))
        for name in expected.names where name.hasPrefix("merged.") {
            let weight = try #require(merged.first { "merged." + $0.name == name }?.tensor)
            try comparison.close(weight, expected(name), name, group: "merged")
        }
        try comparison.close(logits(plain), expected("logits"), "logits of the merged model", group: "logits")
        print(comparison.summary)
    }
}

/// Weights in memory.
struct TensorSource: WeightSource {
    let path = "memory"
    let keys: [String]
    private let tensors: [String: Tensor]

    init(_ tensors: [(name: String, tensor: Tensor)]) {
        keys = tensors.map(\.name)
        self.tensors = Dictionary(tensors.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    }

    func shape(of key: String) throws(CheckpointError) -> [Int] { try tensor(named: key).shape }

    func dtype(of key: String) throws(CheckpointError) -> DType { try tensor(named: key).dtype }

    func tensor(named key: String) throws(CheckpointError) -> Tensor {
        guard let tensor = tensors[key] else { throw CheckpointError(.missingKey, file: path, key: key) }
        return tensor
    }
}
