import Foundation
import Testing
import Torch
import TorchCheckpoints
import UniMedFuzzing

/// Checkpoints that public tools wrote.
///
/// Each test is skipped when the golden root (UNIMED_GOLDEN) lacks its case.
@Suite("Checkpoints of others")
struct GoldenCheckpointTests {
    @Test(.enabled(if: Golden.has("eva_vit"), "no eva_vit under UNIMED_GOLDEN"))
    func `the vision checkpoint has the values of the loaded state`() throws {
        let folder = Golden.model.appending(path: "eva_vit")
        let file = try Checkpoint.open(folder.appending(path: "eva_vit_tiny.pth"))
        let expected = try SafetensorsFile(contentsOf: folder.appending(path: "expected_state.safetensors"))
        let prefix = "visual_encoder."
        var compared = 0
        for key in expected.keys where key.hasPrefix(prefix) {
            let name = String(key.dropFirst(prefix.count))
            #expect(try file.dtype(of: name) == .float16)
            #expect(try file.tensor(named: name).to(.float32).isEqual(to: expected.tensor(named: key)), "\(name)")
            compared += 1
        }
        #expect(compared > 30)
    }

    @Test(.enabled(if: Golden.has("full/checkpoint_0.pth"), "no full/checkpoint_0.pth under UNIMED_GOLDEN"))
    func `the published training checkpoint has model, optimizer and progress`() throws {
        let folder = Golden.model.appending(path: "full")
        let file = try PyTorchFile(contentsOf: folder.appending(path: "checkpoint_0.pth"))
        #expect(file.root.dictionary?.keys.map(\.description) == ["model", "optimizer", "config", "scaler", "epoch"])
        #expect(file.root["epoch"]?.int == 0)
        #expect(file.root["config"]?["run"]?["beta2"]?.double == 0.95)
        #expect(file.root["config"]?["model"]?["lora_target_modules"]?[0]?.string == "all")
        if case .none? = file.root["scaler"] {} else { Issue.record("the scaler is not None") }
        let state = try #require(file.root["optimizer"]?["state"]?[0])
        #expect(try state["step"]?.tensor?.tensor().item() == 12)
        #expect(state["exp_avg"]?.tensor?.shape == state["exp_avg_sq"]?.tensor?.shape)

        let weights = try file.weights(at: ["model"])
        let final = try SafetensorsFile(contentsOf: folder.appending(path: "final_trainable.safetensors"))
        var compared = 0
        for key in final.keys where weights.keys.contains(key) {
            #expect(try weights.tensor(named: key).isEqual(to: final.tensor(named: key)), "\(key)")
            compared += 1
        }
        #expect(compared > 50)
        let shared = weights.keys.filter { key in
            guard key.contains("moe_layers."), let tensor = file.root["model"]?[key]?.tensor else { return false }
            return weights.keys.contains { other in
                other != key && file.root["model"]?[other]?.tensor?.sharesStorage(with: tensor) == true
            }
        }
        #expect(!shared.isEmpty)
    }

    @Test(arguments: ["a_llama2_mha", "b_llama3_gqa_tied", "c_qwen2", "d_mistral_sliding"])
    func `every language model checkpoint is read whole`(_ name: String) throws {
        // Skipped when the golden root lacks the case.
        guard Golden.has("llama/\(name)/checkpoint") else { return }
        let source = try Checkpoint.open(Golden.model.appending(path: "llama/\(name)/checkpoint"))
        #expect(source.keys.contains("model.embed_tokens.weight"))
        #expect(Set(source.keys).count == source.keys.count)
        for (key, tensor) in try source.tensors() {
            #expect(tensor.dtype.isFloatingPoint)
            #expect(tensor.shape == (try source.shape(of: key)))
            #expect(try tensor.isFinite().all().item() == 1, "\(key)")
        }
    }

    @Test(.enabled(if: Golden.has("llama/a_llama2_mha"), "no llama/a_llama2_mha under UNIMED_GOLDEN"))
    func `golden files come back bit by bit after writing`() throws {
        let source = try Checkpoint.open(Golden.model.appending(path: "llama/a_llama2_mha/checkpoint"))
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "copy.safetensors")
            let tensors = try source.tensors()
            try SafetensorsFile.write(tensors.map { ($0.key, $0.value) }, to: url)
            let copy = try SafetensorsFile(contentsOf: url)
            #expect(Set(copy.keys) == Set(source.keys))
            for (key, tensor) in tensors {
                let expected = try tensor.withHostBytes { Data($0) }
                #expect(try copy.tensor(named: key).withHostBytes { Data($0) } == expected)
            }
        }
    }

    // Skipped when the golden root lacks the vision case.
    @Test(.enabled(if: Golden.has("eva_vit/eva_vit_tiny.pth"), "no eva_vit under UNIMED_GOLDEN"))
    func `a real checkpoint with a damaged directory or pickle never crashes`() throws {
        let original = try Data(contentsOf: Golden.model.appending(path: "eva_vit/eva_vit_tiny.pth"))
        let directory = try #require(original.range(of: Data([0x50, 0x4B, 1, 2])))
        var generator = SplitMix64(state: 3)
        var refused = 0
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.pth")
            for round in 0..<200 {
                var bytes = original
                let range = round.isMultiple(of: 2) ? 0..<5700 : directory.lowerBound..<original.count
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    bytes[Int.random(in: range, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                }
                try bytes.write(to: url)
                do { try readAll(Checkpoint.open(url)) } catch is CheckpointError { refused += 1 }
            }
        }
        #expect(refused > 100)
    }
}
