import Foundation
import Testing

/// Checkpoints in and out on the command line.
@Suite("Checkpoint commands")
struct CheckpointCommandTests {
    private struct Summary: Decodable {
        struct Tensor: Decodable {
            let key: String
            let dtype: String
            let shape: [Int]
        }
        let tensors: [Tensor]
        let elementCount: Int
        let byteCount: Int
    }

    private struct Comparison: Decodable {
        struct Value: Decodable { let key: String }
        let identicalCount: Int
        let onlyInFirst, onlyInSecond: [String]
        let values: [Value]
    }

    private func decode<Value: Decodable>(_ type: Value.Type, _ arguments: [String]) throws -> Value {
        let result = try Program.run(arguments + ["--json"])
        #expect(result.status == 0, "\(result.errors)")
        return try JSONDecoder().decode(type, from: Data(result.output.utf8))
    }

    @Test func `inspect lists the tensors of a model and totals`() throws {
        let model = try TinyRun.shared().model.path
        let summary = try decode(Summary.self, ["checkpoint", "inspect", model])
        #expect(summary.tensors.contains { $0.key == "llm.model.norm.weight" && $0.shape == [32] })
        #expect(summary.byteCount == summary.elementCount * 4)
        let text = try Program.run(["checkpoint", "inspect", model + "/model.safetensors"])
        #expect(text.status == 0 && text.errors.isEmpty)
        #expect(text.output.contains("llm.model.norm.weight"))
        #expect(text.output.contains("\(summary.tensors.count) tensors, \(summary.elementCount) elements"))
    }

    @Test func `inspect of two tells what differs`() throws {
        let folder = try TemporaryFolder()
        let model = try TinyRun.shared().model.appendingPathComponent("model.safetensors")
        var bytes = try Data(contentsOf: model)
        bytes[bytes.count - 5] ^= 0x40
        let other = folder.url.appendingPathComponent("other.safetensors")
        try bytes.write(to: other)
        let same = try decode(Comparison.self, ["checkpoint", "inspect", model.path, model.path])
        #expect(same.values.isEmpty && same.onlyInFirst.isEmpty && same.identicalCount > 30)
        let changed = try decode(Comparison.self, ["checkpoint", "inspect", model.path, other.path])
        #expect(changed.values.count == 1 && changed.identicalCount == same.identicalCount - 1)
        let text = try Program.run(["checkpoint", "inspect", model.path, other.path])
        #expect(text.output.contains("values: \(changed.values[0].key): at most "))
        let equal = try Program.run(["checkpoint", "inspect", model.path, model.path])
        #expect(equal.output.contains("there is no difference"))
    }

    @Test func `a model goes out as a Hugging Face folder and comes in again`() throws {
        let folder = try TemporaryFolder()
        let run = try TinyRun.shared()
        let logits = folder.path("logits.safetensors")
        let out = try Program.run([
            "export", run.run, folder.path("merged"), "--format", "hugging-face", "--shard-size", "20kB",
            "--reference-logits", logits,
        ])
        #expect(out.status == 0, "\(out.errors)")
        for name in ["config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.model"] {
            #expect(FileManager.default.fileExists(atPath: folder.path("merged/\(name)")), "\(name)")
            #expect(out.output.contains(name))
        }
        let numbers = try decode(Summary.self, ["checkpoint", "inspect", logits])
        #expect(Set(numbers.tensors.map(\.key)) == ["input_ids", "logits"])

        // The vision transformer by itself, for the import.
        let weights = try Program.run([
            "export", run.model.path, folder.path("weights"), "--format", "safetensors",
        ])
        #expect(weights.status == 0, "\(weights.errors)")
        let imported = try Program.run([
            "import", folder.path("model"), "--language", folder.path("merged"), "--recipe",
            run.folder.path("recipe.yaml"), "--json",
        ])
        #expect(imported.status == 0, "\(imported.errors)")
        let comparison = try decode(
            Comparison.self,
            ["checkpoint", "inspect", folder.path("weights"), folder.path("model")]
        )
        #expect(comparison.onlyInFirst.isEmpty && comparison.onlyInSecond.isEmpty)
        // The language model is the same; what had no file is drawn anew.
        #expect(!comparison.values.contains { $0.key.hasPrefix("llm.") })
        #expect(comparison.values.contains { $0.key.hasPrefix("connector.") })
        let answer = try Program.run(["ask", "-m", folder.path("model"), "-t", "qa", "Is it so?"])
        #expect(answer.status == 0, "\(answer.errors)")
    }

    @Test func `bad input is refused in one line that names the file`() throws {
        let folder = try TemporaryFolder()
        let run = try TinyRun.shared()
        // A pickle that names a function.
        var pickle = Data([0x80, 2])
        pickle.append(
            contentsOf: Data("cos\nsystem\nX\u{4}\u{0}\u{0}\u{0}true\u{85}".unicodeScalars.map { UInt8($0.value) })
        )
        pickle.append(contentsOf: Data("R.".utf8))
        try pickle.write(to: folder.url.appendingPathComponent("evil.pth"))
        _ = try folder.write("{}", to: "empty/config.json")
        _ = try folder.write("mine", to: "taken/notes.txt")
        let cases: [([String], String)] = [
            (["checkpoint", "inspect", folder.path("evil.pth")], "evil.pth"),
            (["checkpoint", "inspect", "/nowhere"], "/nowhere"),
            (["checkpoint", "inspect", run.model.path, folder.path("taken")], "taken"),
            (["checkpoint", "inspect", run.model.path, "--at", "model"], "model"),
            (["import", folder.path("out"), "--language", folder.path("empty")], "empty"),
            (["import", folder.path("out"), "--language", "/nowhere"], "/nowhere"),
            (["export", run.run, folder.path("taken"), "--format", "safetensors"], "taken"),
            (["export", folder.path("empty"), folder.path("out"), "--format", "safetensors"], "empty"),
            // The small model is trained whole.
            (["export", run.run, folder.path("out"), "--format", "peft"], "adapter"),
            (["export", run.run, folder.path("out"), "--format", "peft", "--merged"], "merged"),
            (["export", run.run, folder.path("out"), "--format", "onnx"], "onnx"),
            (["export", run.run, folder.path("out"), "--format", "safetensors", "--shard-size", "big"], "big"),
        ]
        for (arguments, name) in cases {
            let result = try Program.run(arguments)
            #expect(result.status == 2, "\(arguments): \(result.errors)")
            #expect(result.output.isEmpty)
            #expect(result.failureLines.count == 1, "\(arguments): \(result.errors)")
            #expect(result.failureLines.first?.contains(name) == true, "\(arguments): \(result.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path("out")))
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted()
                == ["empty", "evil.pth", "taken"]
        )
    }
}

/// Readers and damaged files, in a process of their own: a crash there is a failed test here.
@Suite("Fuzzing")
struct FuzzingTests {
    static let program = Program.executable(named: "unimed-fuzz")

    @Test func `twenty thousand damaged files crash nothing`() throws {
        let environment = ProcessInfo.processInfo.environment
        let (seed, count) = (environment["UNIMED_FUZZ_SEED"] ?? "1", environment["UNIMED_FUZZ_COUNT"] ?? "20000")
        let result = try Program.run(["--seed", seed, "--count", count], executable: Self.program)
        #expect(result.status == 0, "\(result.output)\n\(result.errors)")
        #expect(result.output.contains("seed \(seed)\n"))
        #expect(result.output.contains("\(count) files, no crash"))
        #expect(result.errors.isEmpty)
    }

    @Test func `bad usage is refused`() throws {
        for arguments in [["--format", "gguf"], ["--count", "0"], ["--seed", "x"]] {
            let result = try Program.run(arguments, executable: Self.program)
            #expect(result.status != 0 && !result.errors.isEmpty)
        }
    }
}
