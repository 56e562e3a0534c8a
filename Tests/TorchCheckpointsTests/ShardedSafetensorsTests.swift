import Foundation
import Testing
import Torch
import TorchCheckpoints

@Suite("Weights in several files")
struct ShardedSafetensorsTests {
    private func bytes(_ tensor: Tensor) throws -> Data { try tensor.withHostBytes { Data($0) } }

    /// Tensors of every element type whose bytes are all that a byte can be: NaN with every payload among them.
    private static func samples() throws -> TensorWeights {
        var samples: [(name: String, tensor: Tensor)] = []
        for dtype in DType.allCases {
            let count = 1 << 12
            let bytes = (0..<count * dtype.byteCount).map { index in
                dtype == .bool ? UInt8(index % 2) : UInt8(truncatingIfNeeded: index &* 167 ^ index >> 3)
            }
            let tensor = try bytes.withUnsafeBytes { try Tensor(copying: $0, shape: [count / 64, 64], dtype: dtype) }
            samples.append((name: "layers.\(dtype.rawValue).weight", tensor: tensor))
        }
        // Signalling and quiet NaN with payloads, of both signs.
        let patterns: [UInt32] = [0x7F80_0001, 0x7FC0_1234, 0xFF80_0001, 0xFFFF_FFFF, 0x8000_0000, 0x7F80_0000]
        let floats = try patterns.withUnsafeBytes { try Tensor(copying: $0, shape: [6], dtype: .float32) }
        samples.append((name: "nan.float32", tensor: floats))
        let wide: [UInt64] = [0x7FF0_0000_0000_0001, 0xFFF8_0000_DEAD_BEEF, 0x7FF8_0000_0000_0000]
        let doubles = try wide.withUnsafeBytes { try Tensor(copying: $0, shape: [3], dtype: .float64) }
        samples.append((name: "nan.float64", tensor: doubles))
        let halves: [UInt16] = (0..<1 << 16).map { UInt16($0) }
        for dtype in [DType.float16, .bfloat16] {
            let tensor = try halves.withUnsafeBytes { try Tensor(copying: $0, shape: [1 << 16], dtype: dtype) }
            samples.append((name: "all.\(dtype.rawValue)", tensor: tensor))
        }
        return TensorWeights(samples)
    }

    @Test(arguments: [1 << 40, 200_000, 40_000, 1])
    func `what is written is read back bit by bit, whatever the size of a file`(limit: Int) throws {
        let samples = try Self.samples()
        try withTemporaryFolder { folder in
            let files = try ShardedSafetensors.write(samples, to: folder, maximumShardSize: limit)
            #expect(Set(files) == Set(try FileManager.default.contentsOfDirectory(atPath: folder.path)))
            #expect((files.count == 1) == (limit == 1 << 40))
            let source = try Checkpoint.open(folder)
            #expect(Set(source.keys) == Set(samples.keys))
            for key in samples.keys {
                let (own, read) = (try samples.tensor(named: key), try source.tensor(named: key))
                #expect(read.shape == own.shape && read.dtype == own.dtype)
                #expect(try bytes(read) == bytes(own), "\(key)")
            }
            for file in files where file.hasSuffix(".safetensors") {
                let shard = try SafetensorsFile(contentsOf: folder.appending(path: file))
                #expect(shard.metadata == ["format": "pt"])
                let size = try shard.keys.reduce(0) { $0 + (try shard.tensor(named: $1).byteCount) }
                #expect(size <= limit || shard.keys.count == 1)
            }
        }
    }

    @Test func `the index says where every tensor is and how large they are together`() throws {
        struct Index: Decodable {
            struct Metadata: Decodable { let total_size: Int }
            let metadata: Metadata
            let weight_map: [String: String]
        }
        let source = TensorWeights([
            (name: "b", tensor: try Tensor.zeros([4])), (name: "a\"", tensor: try Tensor.ones([2])),
            (name: "c", tensor: try Tensor.ones([2])),
        ])
        try withTemporaryFolder { folder in
            let files = try ShardedSafetensors.write(source, to: folder, name: "part", maximumShardSize: 24)
            #expect(
                files == [
                    "part-00001-of-00002.safetensors", "part-00002-of-00002.safetensors",
                    "part.safetensors.index.json",
                ]
            )
            let index = try JSONDecoder().decode(
                Index.self,
                from: Data(contentsOf: folder.appending(path: files[2]))
            )
            #expect(index.metadata.total_size == 32)
            #expect(index.weight_map == ["b": files[0], "a\"": files[0], "c": files[1]])
        }
    }

    @Test func `computed weights are asked for one by one and checked`() throws {
        var alive = 0
        func entry(_ name: String, gives shape: [Int]) -> ComputedWeights.Entry {
            .init(name: name, shape: [2], dtype: .float32) {
                alive += 1
                return try Tensor.zeros(shape)
            }
        }
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "computed.safetensors")
            try SafetensorsFile.write(ComputedWeights([entry("a", gives: [2]), entry("b", gives: [2])]), to: url)
            #expect(alive == 2)
            let error = #expect(throws: CheckpointError.self) {
                try SafetensorsFile.write(ComputedWeights([entry("c", gives: [3])]), to: url)
            }
            #expect(error?.key == "c" && error?.expected == "float32[2]" && error?.got == "float32[3]")
            // The earlier file is as it was.
            #expect(try SafetensorsFile(contentsOf: url).keys == ["a", "b"])
        }
    }

    @Test func `conversion changes fractions only`() throws {
        let source = TensorWeights([
            (name: "w", tensor: try Tensor([1.5, -2] as [Float])), (name: "n", tensor: try Tensor([1, 2] as [Int])),
        ])
        let converted = source.converted(to: .bfloat16)
        #expect(try converted.dtype(of: "w") == .bfloat16)
        #expect(try converted.tensor(named: "w").to(.float32).array() == [1.5, -2] as [Float])
        #expect(try converted.dtype(of: "n") == .int64)
        #expect(try converted.tensor(named: "n").array() == [1, 2] as [Int])
        #expect(throws: CheckpointError.self) { try converted.tensor(named: "x") }
        #expect(try source.converted(to: nil).dtype(of: "w") == .float32)
    }

    @Test func `joined sources keep their names apart`() throws {
        let a = TensorWeights([(name: "w", tensor: try Tensor([1] as [Float]))])
        let b = TensorWeights([(name: "w", tensor: try Tensor([2] as [Float]))])
        let joined = try JoinedWeights([(prefix: "a.", source: a), (prefix: "b.", source: b)], path: "both")
        #expect(joined.keys == ["a.w", "b.w"])
        #expect(try joined.tensor(named: "b.w").item() == 2)
        let error = #expect(throws: CheckpointError.self) {
            try JoinedWeights([(prefix: "", source: a), (prefix: "", source: b)], path: "both")
        }
        #expect(error?.key == "w")
    }

    // MARK: Opening

    @Test(arguments: [
        ("GGUF\u{3}\u{0}\u{0}\u{0}", "GGUF"), ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        ("<!DOCTYPE html><html>", "web page"), ("{\"a\": 1}", "JSON"), ("\u{1F}\u{8B}\u{8}", "gzip"),
        ("\u{80}\u{4}\u{95}abc", "pickle"), ("\u{80}\u{2}}q\u{0}.", "pickle"), ("\u{93}NUMPY\u{1}", "NumPy"),
        ("\u{89}HDF\r\n", "HDF5"), ("PK\u{5}\u{6}", "zip"),
    ])
    func `other forms are refused by name`(start: String, reason: String) throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.bin")
            var bytes = start.unicodeScalars.map { UInt8($0.value) }
            bytes += [UInt8](repeating: 0, count: 600 - bytes.count)
            for file in [bytes, Array(bytes.prefix(start.unicodeScalars.count))] {
                try Data(file).write(to: url)
                let error = #expect(throws: CheckpointError.self) { try Checkpoint.open(url) }
                #expect(error?.kind == .unsupported)
                #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
            }
        }
    }

    @Test func `a shard that is a folder is an error, also when it is the folder itself`() throws {
        try withTemporaryFolder { folder in
            try FileManager.default.createSymbolicLink(
                at: folder.appending(path: "loop"),
                withDestinationURL: folder
            )
            let index = Data(#"{"weight_map": {"a": "loop"}}"#.utf8)
            try index.write(to: folder.appending(path: "model.safetensors.index.json"))
            #expect(throws: CheckpointError.self) { try Checkpoint.open(folder) }
        }
    }
}
