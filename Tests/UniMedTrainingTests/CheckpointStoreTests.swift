import Foundation
import Testing
import Torch
import TorchCheckpoints
import UniMedTraining

@Suite("Checkpoint store")
struct CheckpointStoreTests {
    private struct State: Codable, Equatable { var step: Int }

    private func save(_ step: Int, _ store: CheckpointStore, value: Double = 1) throws {
        let tensor = try Tensor.full([3], value)
        try store.save(
            step: step,
            files: [(name: "weights.safetensors", tensors: [("a", tensor)])],
            state: State(step: step)
        )
    }

    private func value(_ checkpoint: URL) throws -> [Float] {
        try SafetensorsFile(contentsOf: checkpoint.appendingPathComponent("weights.safetensors")).tensor(named: "a")
            .array()
    }

    @Test func `the newest is found and older ones are removed`() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.file("checkpoints"), keptCount: 2)
        #expect(store.latest() == nil)
        for step in [5, 10, 100] { try save(step, store, value: Double(step)) }
        #expect(names(in: store.folder) == ["latest", "step-00000010", "step-00000100"])
        let latest = try #require(store.latest())
        #expect(try CheckpointStore.state(State.self, of: latest) == State(step: 100))
        #expect(try value(latest) == [100, 100, 100])
    }

    @Test func `a flipped bit in a weight is told with the file`() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.file("checkpoints"), keptCount: 1)
        try save(1, store)
        let latest = try #require(store.latest())
        let file = latest.appendingPathComponent("weights.safetensors")
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count - 2] ^= 1
        try bytes.write(to: file)
        let error = #expect(throws: TrainingError.self) { try CheckpointStore.state(State.self, of: latest) }
        #expect(error?.kind == .checkpoint)
        #expect(error?.file == file.path)
    }

    @Test func `a failed save leaves the earlier checkpoint as it was`() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.url, keptCount: 1)
        try save(1, store)
        let before = try #require(store.latest())
        let tensor = try Tensor.full([3], 2)
        let error = #expect(throws: TrainingError.self) {
            // The same key twice: the second file fails after the first has been written.
            try store.save(
                step: 2,
                files: [
                    (name: "weights.safetensors", tensors: [("a", tensor)]),
                    (name: "optimizer.safetensors", tensors: [("a", tensor), ("a", tensor)]),
                ],
                state: State(step: 2)
            )
        }
        #expect(error?.kind == .fileSystem)
        #expect(error?.file?.contains("optimizer.safetensors") == true)
        #expect(store.latest() == before)
        #expect(try value(before) == [1, 1, 1])
        #expect(names(in: folder.url) == ["latest", "step-00000001"])
    }

    @Test func `a folder that cannot be written is told`() throws {
        let folder = try TemporaryFolder()
        // A file stands where the folder should be.
        try Data("x".utf8).write(to: folder.file("checkpoints"))
        let store = CheckpointStore(folder: folder.file("checkpoints"), keptCount: 1)
        let error = #expect(throws: TrainingError.self) { try save(1, store) }
        #expect(error?.kind == .fileSystem)
        #expect(error?.file?.hasPrefix(folder.url.path) == true)
    }

    @Test func `what a killed process leaves is passed over and removed`() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.url, keptCount: 2)
        try save(3, store)
        for name in ["step-00000006.partial", "step-00000001.removed"] {
            try FileManager.default.createDirectory(at: folder.file(name), withIntermediateDirectories: false)
        }
        #expect(store.latest()?.lastPathComponent == "step-00000003")
        try store.clean()
        #expect(names(in: folder.url) == ["latest", "step-00000003"])
        // Killed after the folder had its name, before the pointer was replaced: the pointer holds, the step is redone.
        try FileManager.default.copyItem(at: folder.file("step-00000003"), to: folder.file("step-00000006"))
        #expect(store.latest()?.lastPathComponent == "step-00000003")
        try save(6, store, value: 6)
        #expect(try value(#require(store.latest())) == [6, 6, 6])
        // Without a pointer the newest complete folder counts.
        try FileManager.default.removeItem(at: folder.file("latest"))
        #expect(store.latest()?.lastPathComponent == "step-00000006")
    }
}
