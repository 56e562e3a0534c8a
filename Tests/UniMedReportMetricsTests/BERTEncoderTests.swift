import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedReportMetrics
import UniMedTokenizers

@Suite("BERT and RoBERTa encoders")
struct BERTEncoderTests {
    /// Float32 sums in another order; values reach 3.
    private let tolerance = 1e-5

    private struct Numbers {
        var sequences: [[Int]]
        var layers: [[Float]]
    }

    private func numbers(_ name: String) throws -> Numbers {
        let tensors = try SafetensorsFile(
            contentsOf: Fixture.folder.appending(path: "\(name).expected.safetensors")
        ).tensors()
        let ids: [Int] = try #require(tensors["ids"]).array()
        let lengths: [Int] = try #require(tensors["lengths"]).array()
        var sequences: [[Int]] = []
        var start = 0
        for length in lengths {
            sequences.append(Array(ids[start..<start + length]))
            start += length
        }
        var layers: [[Float]] = []
        while let hidden = tensors["hidden.\(layers.count)"] { layers.append(try hidden.array()) }
        return Numbers(sequences: sequences, layers: layers)
    }

    private func largestDifference(_ tensor: Tensor, _ expected: [Float]) throws -> Double {
        let values: [Float] = try tensor.array()
        try #require(values.count == expected.count)
        return zip(values, expected).reduce(0) { max($0, abs(Double($1.0) - Double($1.1))) }
    }

    @Test(arguments: ["bert", "roberta"])
    func `every layer's output equals that of transformers`(name: String) throws {
        let numbers = try numbers(name)
        #expect(numbers.layers.count >= 2)
        for (layer, expected) in numbers.layers.enumerated() {
            let model = try TextEncoder(folder: Fixture.folder.appending(path: name), layerCount: layer)
            let (hidden, layout) = try model.encoder(numbers.sequences)
            #expect(layout.lengths == numbers.sequences.map(\.count))
            #expect(try largestDifference(hidden, expected) < tolerance, "layer \(layer)")
        }
    }

    @Test(arguments: ["bert", "roberta"])
    func `texts become the sequences of the public tokenizers`(name: String) throws {
        let model = try TextEncoder(folder: Fixture.folder.appending(path: name))
        let texts = try Fixture.expected().predictions.prefix(4) + ["  "]
        let sequences = try texts.map { try model.sequence(of: $0) }
        #expect(try sequences == numbers(name).sequences)
    }

    @Test func `a vocabulary with merges gives the ids of tokenizer json`() throws {
        let separate = try HuggingFaceTokenizer(robertaFolder: Fixture.folder.appending(path: "roberta"))
        try Fixture.withTemporaryFolder { folder in
            try FileManager.default.copyItem(
                at: Fixture.folder.appending(path: "roberta.tokenizer.json"),
                to: folder.appending(path: "tokenizer.json")
            )
            let single = try HuggingFaceTokenizer(robertaFolder: folder)
            for text in try Fixture.expected().references + [" heart<mask>", "Ω 2.5 cm"] {
                #expect(try separate.encode(text) == single.encode(text), "\(text)")
                #expect(try separate.bosID == single.encodeSequence(text).first)
            }
        }
    }

    @Test func `what comes out for a sequence does not depend on the others`() throws {
        let numbers = try numbers("bert")
        let model = try TextEncoder(folder: Fixture.folder.appending(path: "bert"))
        let together: [Float] = try model.encoder(numbers.sequences).hidden.array()
        var alone: [Float] = []
        for sequence in numbers.sequences { alone += try model.encoder([sequence]).hidden.array(of: Float.self) }
        #expect(zip(together, alone).allSatisfy { abs($0 - $1) < 1e-5 })
    }

    @Test func `a sequence that is too long or an unknown id is an error`() throws {
        let model = try TextEncoder(folder: Fixture.folder.appending(path: "bert"))
        let long = [Int](repeating: 5, count: model.encoder.configuration.maximumLength + 1)
        #expect(throws: TorchError.self) { _ = try model.encoder([long]) }
        #expect(throws: TorchError.self) { _ = try model.encoder([[model.encoder.configuration.vocabularySize]]) }
        #expect(throws: TorchError.self) { _ = try model.encoder([[-1]]) }
    }

    @Test func `a configuration of another architecture is refused`() throws {
        try Fixture.withTemporaryFolder { folder in
            let file = folder.appending(path: "config.json")
            let original = try String(contentsOf: Fixture.folder.appending(path: "bert/config.json"), encoding: .utf8)
            for (from, to, field) in [
                (#""model_type": "bert""#, #""model_type": "albert""#, "model_type"),
                (#""hidden_act": "gelu""#, #""hidden_act": "relu""#, "hidden_act"),
                (#""num_attention_heads": 2"#, #""num_attention_heads": 5"#, "num_attention_heads"),
                (#""hidden_size": 8"#, #""hidden_size": "wide""#, "hidden_size"),
            ] {
                let changed = original.replacingOccurrences(of: from, with: to)
                try #require(changed != original, "\(from)")
                try Data(changed.utf8).write(to: file)
                let error = try #require(throws: ReportMetricError.self) {
                    _ = try BERTConfiguration(contentsOf: file)
                }
                #expect(error.description.contains(field), "\(error)")
            }
        }
    }

    @Test func `batches hold every sequence once and stay below the limit`() {
        let lengths = [3, 9, 1, 1, 30, 4, 4, 2]
        let batches = SequenceBatches(lengths: lengths, tokenLimit: 12).batches
        #expect(batches.flatMap { $0 }.sorted() == Array(lengths.indices))
        for batch in batches {
            let longest = batch.map { lengths[$0] }.max() ?? 0
            #expect(batch.count == 1 || batch.count * longest <= 12)
        }
        #expect(batches.first == [4])
    }
}
