import Foundation
import Testing
import Torch
import TorchNN
import UniMedModel
import UniMedTesting

/// One layer of a `lora_moe` case.
struct LoRAMoECase: Sendable, CustomStringConvertible {
    struct Manifest: Decodable {
        struct Configuration: Decodable {
            let inputSize: Int
            let outputSize: Int
            let expertCount: Int
            let rank: Int
            let alpha: Double
            let topK: Int

            enum CodingKeys: String, CodingKey {
                case inputSize = "in_features"
                case outputSize = "out_features"
                case expertCount = "num_experts"
                case rank = "r"
                case alpha = "lora_alpha"
                case topK = "sparse_topk"
            }
        }

        struct Record: Decodable {
            let file: String
        }

        let config: Configuration
        let cases: [String: Record]
    }

    let golden: GoldenCase
    let name: String

    var description: String { "\(golden.name) \(name)" }

    static let all: [LoRAMoECase] = GoldenCase.named("lora_moe").flatMap { golden -> [LoRAMoECase] in
        guard let manifest = try? golden.decode(Manifest.self) else { return [] }
        return manifest.cases.keys.sorted().map { LoRAMoECase(golden: golden, name: $0) }
    }
}

@Suite("Parity: LoRA-MoE")
struct LoRAMoEParityTests {
    @Test(
        .enabled(if: !LoRAMoECase.all.isEmpty, "there is no lora_moe case under UNIMED_GOLDEN"),
        arguments: LoRAMoECase.all
    )
    func `routing, output, loss and gradients are equation 15's`(item: LoRAMoECase) throws {
        let manifest = try item.golden.decode(LoRAMoECase.Manifest.self)
        let config = manifest.config
        let expected = try item.golden.tensors(#require(manifest.cases[item.name]).file)
        let comparison = Comparison(item.golden, "\(item.golden.name) \(item.name)")

        let isMLP = expected.contains("param.router.fc1.weight")
        let network: LowRankRouterConfiguration.Network =
            isMLP ? .mlp(hiddenSize: try expected("param.router.fc1.weight").size(0)) : .linear
        let layer = try Linear(config.inputSize, config.outputSize)
        try layer.attach(
            LowRankExpertsConfiguration(
                rank: config.rank,
                alpha: config.alpha,
                dropout: 0,
                expertCount: config.expertCount,
                router: .sparse(topK: config.topK, network: network)
            )
        )
        let experts = try #require(layer.experts)
        /// The published tensors of a kind in our layout, by our names; `A` stacked by rows and `B` by columns.
        func layout(_ kind: String) throws -> [String: Tensor] {
            let numbers = 0..<config.expertCount
            var tensors = [
                "lora_experts.A.weight": try Tensor.cat(
                    numbers.map { try expected("\(kind).lora_A.\($0).weight") },
                    dimension: 0
                ),
                "lora_experts.B.weight": try Tensor.cat(
                    numbers.map { try expected("\(kind).lora_B.\($0).weight") },
                    dimension: 1
                ),
            ]
            for name in expected.names where name.hasPrefix("\(kind).router.") {
                tensors["lora_experts." + name.dropFirst(kind.count + 1)] = try expected(name)
            }
            return tensors
        }
        var weights = try layout("param")
        weights["weight"] = try expected("param.base.weight")
        weights["bias"] = try expected("param.base.bias")
        let parameters = layer.namedParameters()
        #expect(Set(parameters.map(\.name)) == Set(weights.keys))
        for (name, parameter) in parameters { try parameter.load(#require(weights[name])) }

        let x = try expected("x").clone().requireGradient()
        try comparison.close(#require(try experts.scores(of: x)), expected("router_logits"), "router_logits")
        try comparison.close(experts.routingWeights(for: x), expected("routing_weights"), "routing_weights")
        let output = try layer(x, training: true)
        try comparison.close(output, expected("output"), "output")
        let loss = try (output * expected("loss_weight")).mean()
        try comparison.close(loss.reshape(1), expected("loss"), "loss")
        try loss.backward()
        try comparison.close(#require(x.gradient), expected("grad.x"), "grad.x")
        let gradients = try layout("grad")
        let trained = layer.trainableParameters()
        #expect(Set(trained.map(\.name)) == Set(gradients.keys))
        for (name, parameter) in trained {
            try comparison.close(
                #require(parameter.value.gradient),
                #require(gradients[name]),
                "grad." + name,
                group: "grad.<parameter>"
            )
        }
        #expect(layer.weight.value.gradient == nil && layer.bias?.value.gradient == nil)
        print(comparison.summary)
    }
}

@Suite("Parity: merging of PEFT's adapters")
struct LoRAMergingParityTests {
    private struct Manifest: Decodable {
        struct Configuration: Decodable {
            let base: String
        }

        let config: Configuration
    }

    @Test(
        .enabled(if: !GoldenCase.named("lora").isEmpty, "there is no lora case under UNIMED_GOLDEN"),
        arguments: GoldenCase.named("lora")
    )
    func `merged in place the logits are PEFT's own, and unmerging restores every bit`(golden: GoldenCase) throws {
        let model = try Llama.load(folder: golden.file(golden.decode(Manifest.self).config.base))
        let originals = try model.namedParameters().map { ($0.name, try $0.parameter.value.detach().clone()) }
        try model.loadAdapter(folder: golden.folder)
        let expected = try golden.tensors("golden.safetensors")
        let packed = try PackedRows(ids: expected("input_ids"), mask: expected("attention_mask"))
        let comparison = Comparison(golden)
        func logits() throws -> Tensor {
            try withoutGradients {
                try model.logits(model.hiddenStates(of: model.embedding(packed.tokens), layout: packed.layout))
            }
        }
        let before = try logits()
        try comparison.close(before, expected("logits"), "logits")
        try model.mergeAdapters()
        #expect(model.namedParameters().map(\.name) == originals.map { $0.0 })
        let weights = Dictionary(uniqueKeysWithValues: model.namedParameters().map { ($0.name, $0.parameter.value) })
        for name in expected.names where name.hasPrefix("merged.") {
            try comparison.close(
                #require(weights[String(name.dropFirst("merged.".count))]),
                expected(name),
                name,
                group: "merged"
            )
        }
        try comparison.close(logits(), expected("logits"), "logits of the merged model", group: "logits")
        try model.unmergeAdapters()
        let restored = Dictionary(uniqueKeysWithValues: model.namedParameters().map { ($0.name, $0.parameter.value) })
        for (name, original) in originals { #expect(try #require(restored[name]).isEqual(to: original), "\(name)") }
        #expect(try logits().isEqual(to: before))
        print(comparison.summary)
    }
}
