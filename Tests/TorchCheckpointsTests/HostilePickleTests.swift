import Foundation
import Testing
import Torch
import TorchCheckpoints
import UniMedFuzzing

/// Pickles that a reader without limits would run out of memory, stack or time with.
@Suite("Hostile files of torch.save")
struct HostilePickleTests {
    /// Reads a file that must be refused, in one line, without taking much memory or time.
    @discardableResult
    private func refusal(
        _ archive: Data,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> CheckpointError {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "hostile.pth")
            try archive.write(to: url)
            let start = ContinuousClock.now
            let error = try #require(throws: CheckpointError.self, sourceLocation: sourceLocation) {
                try PyTorchFile(contentsOf: url)
            }
            #expect(ContinuousClock.now - start < .seconds(20), sourceLocation: sourceLocation)
            #expect(error.kind == .malformed || error.kind == .unsupported, sourceLocation: sourceLocation)
            #expect(error.file == url.path, sourceLocation: sourceLocation)
            #expect(!error.description.contains("\n"), sourceLocation: sourceLocation)
            #expect(error.description.utf8.count < 1500, sourceLocation: sourceLocation)
            return error
        }
    }

    private func pickle(_ build: (inout PickleBuilder) -> Void) -> Data { PickleBuilder.of(build).archive() }

    /// One-byte instructions, more of them than any checkpoint needs.
    @Test(
        arguments: [
            ([UInt8(ascii: "(")], "open values"), ([UInt8(ascii: "N")], "open values"),
            ([UInt8(ascii: "]")], "objects"),
            ([UInt8(ascii: ")")], "objects"), ([UInt8(ascii: "}")], "objects"), ([0x88], "open values"),
        ] as [([UInt8], String)]
    )
    func `millions of small instructions are refused`(_ code: [UInt8], _ problem: String) throws {
        let error = try refusal(pickle { $0.raw([UInt8](repeating: code[0], count: 2_100_000)) })
        #expect(error.description.contains("too many \(problem)"), "\(error)")
    }

    @Test func `a memory of millions of cells is refused`() throws {
        let error = try refusal(
            pickle { pickle in
                pickle.raw("N")
                pickle.raw([UInt8](repeating: 0x94, count: 2_100_000))
            }
        )
        #expect(error.description.contains("remembers too many"), "\(error)")
    }

    @Test func `lists that are filled from the memory again and again are refused`() throws {
        let error = try refusal(
            pickle { pickle in
                pickle.raw("Nq\u{0}")
                for _ in 0..<5 {
                    pickle.raw("](")
                    pickle.raw((0..<1_000_000).flatMap { _ in [UInt8(ascii: "h"), 0] })
                    pickle.raw("e")
                }
            }
        )
        #expect(error.description.contains("too many values"), "\(error)")
    }

    @Test func `a large tuple that is used as sizes many times is refused at the first time`() throws {
        let error = try refusal(
            pickle { pickle in
                pickle.raw("(")
                pickle.raw((0..<100_000).flatMap { _ in [UInt8(ascii: "K"), 1] })
                pickle.raw("tq\u{0}")
                for _ in 0..<1000 {
                    pickle.global("torch", "Size")
                    pickle.raw("h\u{0}")
                    pickle.raw([0x85])
                    pickle.raw("R")
                }
            }
        )
        #expect(error.description.contains("torch.Size"), "\(error)")
    }

    @Test func `a long device name that is copied many times is refused at the first time`() throws {
        let error = try refusal(
            pickle { pickle in
                pickle.string(String(repeating: "x", count: 1_000_000))
                pickle.raw("q\u{0}")
                for _ in 0..<1000 {
                    pickle.global("torch", "device")
                    pickle.raw("h\u{0}K\u{1}")
                    pickle.raw([0x86])
                    pickle.raw("R")
                }
            }
        )
        #expect(error.description.contains("torch.device"), "\(error)")
    }

    @Test func `a storage of a very long name is refused in a short line`() throws {
        try refusal(
            pickle { pickle in
                pickle.raw("}")
                pickle.string("w")
                pickle.tensor(key: String(repeating: "0", count: 500_000), count: 4, shape: [4], strides: [1])
                pickle.raw("s")
            }
        )
    }

    @Test func `trees that share their branches and multiply are refused`() throws {
        // Each list has the one before it twice: sixty lists are 2⁶⁰ values.
        let error = try refusal(
            pickle { pickle in
                pickle.raw("(]q\u{0}")
                for _ in 0..<60 { pickle.raw("](h\u{0}h\u{0}eq\u{0}") }
                pickle.raw("t")
            }
        )
        #expect(error.description.contains("too many values"), "\(error)")
    }

    @Test(arguments: [
        ("os", "system"), ("subprocess", "Popen"), ("builtins", "exec"), ("builtins", "__import__"),
        ("torch._utils", "_rebuild_tensor"), ("torch.jit._pickle", "build_intlist"), ("functools", "partial"),
        ("torch", "nn.Module"), ("numpy", "ndarray"), ("torch.serialization", "_load"), ("operator", "attrgetter"),
    ])
    func `nothing that is named is called`(_ module: String, _ name: String) throws {
        for isNew in [false, true] {
            let archive = pickle { pickle in
                if isNew {
                    pickle.string(module)
                    pickle.string(name)
                    pickle.raw([0x93])
                } else {
                    pickle.global(module, name)
                }
                pickle.string("touch /tmp/never")
                pickle.raw([0x85])
                pickle.raw("R")
            }
            let error = try refusal(archive)
            #expect(error.kind == .unsupported)
            #expect(error.description.contains("'\(module).\(name)'"), "\(error)")
            #expect(error.description.contains("nothing was run"))
        }
    }

    @Test func `a bomb of entries that share their bytes is refused`() throws {
        // A thousand names for the same megabyte in the archive's directory.
        let bytes = Data(count: 1 << 20)
        let sound = ZipBuilder(entries: [.init(name: "archive/data.pkl", bytes: bytes)]).data()
        let directoryStart = try #require(sound.range(of: Data([0x50, 0x4B, 1, 2]))).lowerBound
        let end = try #require(sound.range(of: Data([0x50, 0x4B, 5, 6]))).lowerBound
        let record = sound[directoryStart..<end]
        var archive = Data(sound[..<directoryStart])
        for index in 0..<1000 {
            var copy = Data(record)
            let digits = Data(String(10_000_000 + index).utf8)
            copy.replaceSubrange(copy.count - 8..<copy.count, with: digits)
            archive.append(copy)
        }
        let size = archive.count - directoryStart
        archive.append(contentsOf: [0x50, 0x4B, 5, 6, 0, 0, 0, 0])
        archive.append(little: UInt16(1000))
        archive.append(little: UInt16(1000))
        archive.append(little: UInt32(size))
        archive.append(little: UInt32(directoryStart))
        archive.append(little: UInt16(0))
        try refusal(archive)
    }
}
