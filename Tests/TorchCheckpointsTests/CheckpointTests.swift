import Foundation
import Testing
import Torch
import TorchCheckpoints
import UniMedFuzzing

@Suite("Checkpoint")
struct CheckpointTests {
    /// Two safetensors files with an index.
    static func writeShards(to folder: URL, map: [String: String]) throws {
        try SafetensorsFile.write(
            [("a", try Tensor.zeros([2])), ("b", try Tensor.ones([2]))],
            to: folder.appending(path: "1")
        )
        try SafetensorsFile.write([("c", try Tensor.full([1], 3))], to: folder.appending(path: "2"))
        let index = try JSONSerialization.data(withJSONObject: ["metadata": ["total_size": 20], "weight_map": map])
        try index.write(to: folder.appending(path: "model.safetensors.index.json"))
    }

    @Test func `shards are one source`() throws {
        try withTemporaryFolder { folder in
            try Self.writeShards(to: folder, map: ["a": "1", "b": "1", "c": "2"])
            let source = try Checkpoint.open(folder)
            #expect(Set(source.keys) == ["a", "b", "c"])
            #expect(try source.tensor(named: "b").array() == [1, 1] as [Float])
            #expect(try source.tensor(named: "c").item() == 3)
            #expect(try source.shape(of: "a") == [2])
            #expect(throws: CheckpointError.self) { try source.tensor(named: "d") }
        }
    }

    @Test(arguments: [
        ["a": "1", "b": "1"], ["a": "1", "b": "1", "c": "1"], ["a": "1", "b": "1", "c": "2", "d": "2"],
        ["a": "1", "b": "1", "c": "3"], ["a": "1", "b": "1", "c": "../2"], ["a": "1", "b": "1", "c": ""],
    ])
    func `an index that does not fit its files is an error`(_ map: [String: String]) throws {
        // The first map leaves out a whole file, which is then simply not part of the weights.
        try withTemporaryFolder { folder in
            try Self.writeShards(to: folder, map: map)
            if map.count == 2 {
                #expect(Set(try Checkpoint.open(folder).keys) == ["a", "b"])
            } else {
                let error = #expect(throws: CheckpointError.self) { try Checkpoint.open(folder) }
                #expect(error?.file?.hasPrefix(folder.path) == true)
            }
        }
    }

    @Test func `a folder without weights and a path that is not there are errors`() throws {
        try withTemporaryFolder { folder in
            let error = #expect(throws: CheckpointError.self) { try Checkpoint.open(folder) }
            #expect(error?.kind == .unreadable)
            #expect(error?.description.contains("model.safetensors") == true)
            #expect(throws: CheckpointError.self) { try Checkpoint.open(folder.appending(path: "absent")) }
        }
    }

    @Test func `a form is told from the bytes, not from the name`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.bin")
            try SafetensorsFile.write([("x", try Tensor.zeros([1]))], to: url)
            #expect(try Checkpoint.open(url).keys == ["x"])
            try PickleBuilder.of { $0.raw("}") }.archive().write(to: url)
            #expect(try Checkpoint.open(url).keys.isEmpty)
            try Data([0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]).write(
                to: url
            )
            // The first bytes of the form before PyTorch 1.6, and nothing after them.
            let error = #expect(throws: CheckpointError.self) { try Checkpoint.open(url) }
            #expect(error?.kind == .malformed)
            #expect(error?.file == url.path)
        }
    }

    @Test func `a nested state dictionary is found by its path only`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "checkpoint.pth")
            let pickle = PickleBuilder.of { pickle in
                pickle.raw("}(")
                pickle.string("model")
                pickle.raw("}")
                pickle.string("w")
                pickle.tensor(count: 4, shape: [4], strides: [1])
                pickle.raw("s")
                pickle.string("epoch")
                pickle.raw("K\u{3}u")
            }
            try pickle.archive().write(to: url)
            #expect(try Checkpoint.open(url, at: ["model"]).keys == ["w"])
            let error = #expect(throws: CheckpointError.self) { try Checkpoint.open(url) }
            #expect(error?.description.contains("'model'") == true)
            let missing = #expect(throws: CheckpointError.self) { try Checkpoint.open(url, at: ["weights"]) }
            #expect(missing?.kind == .missingKey)
            #expect(missing?.description.contains("'epoch'") == true)
            #expect(throws: CheckpointError.self) { try Checkpoint.open(url, at: ["epoch"]) }
        }
    }
}
