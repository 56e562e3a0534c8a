import Foundation
import Testing
import Torch
import TorchCheckpoints

@Suite("Durable file")
struct DurableFileTests {
    @Test func `bytes arrive and nothing else is left`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "état.json")
            try DurableFile.write(Data("one".utf8), to: url)
            try DurableFile.write(Data("two".utf8), to: url)
            #expect(try Data(contentsOf: url) == Data("two".utf8))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
        }
    }

    @Test func `a failure keeps the earlier file and leaves nothing half-written`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "state")
            try DurableFile.write(Data("old".utf8), to: url)
            let failure = CheckpointError(.tensor, file: nil, "stop")
            #expect(throws: failure) {
                try DurableFile.write(to: url) { writer throws(CheckpointError) in
                    try writer.write("new")
                    throw failure
                }
            }
            #expect(try Data(contentsOf: url) == Data("old".utf8))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["state"])
        }
    }

    @Test func `a folder that is not there or a name that is taken is an error with path and reason`() throws {
        try withTemporaryFolder { folder in
            let absent = folder.appending(path: "absent/weights.safetensors")
            let error = #expect(throws: CheckpointError.self) {
                try SafetensorsFile.write([("x", try Tensor.zeros([1]))], to: absent)
            }
            #expect(error?.kind == .unwritable)
            #expect(error?.file == absent.path)
            #expect(error?.description.contains("No such file or directory") == true)

            let taken = folder.appending(path: "taken")
            try FileManager.default.createDirectory(at: taken, withIntermediateDirectories: false)
            let second = #expect(throws: CheckpointError.self) { try DurableFile.write(Data([1]), to: taken) }
            #expect(second?.description.contains("Is a directory") == true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["taken"])
        }
    }

    // Skipped where the system has no device that is always full.
    @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "no /dev/full"))
    func `a full disk is an error with path and reason`() throws {
        let descriptor = open("/dev/full", O_WRONLY)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let writer = DurableFileWriter(descriptor: descriptor, path: "/dev/full")
        let error = #expect(throws: CheckpointError.self) { try writer.write(Data(count: 100_000)) }
        #expect(error?.kind == .unwritable)
        #expect(error?.description.contains("/dev/full") == true)
        #expect(error?.description.contains("No space left on device") == true)
    }
}
