import Foundation
import Testing
import Torch
import TorchCheckpoints
import UniMedFuzzing

@Suite("Safetensors")
struct SafetensorsTests {
    /// A file of these header bytes and data.
    static func file(_ header: String, data: Data = Data(), length: UInt64? = nil) -> Data {
        var file = Data()
        file.append(little: length ?? UInt64(header.utf8.count))
        return file + Data(header.utf8) + data
    }

    static func open(_ bytes: Data) throws -> SafetensorsFile {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.safetensors")
            try bytes.write(to: url)
            return try SafetensorsFile(contentsOf: url)
        }
    }

    /// Tensors of every element type, of no and one element, and one that is not contiguous.
    static func samples() throws -> [(String, Tensor)] {
        var samples: [(String, Tensor)] = []
        for dtype in DType.allCases {
            let values = try Tensor((0..<6).map { Float($0 % 2) + ($0 > 3 ? 1 : 0) }, shape: [2, 3])
            samples.append(("type.\(dtype.rawValue)", try values.to(dtype)))
        }
        samples.append(("scalar", try Tensor([Float.pi], shape: [])))
        samples.append(("empty", try Tensor.zeros([3, 0, 2])))
        samples.append(("transposed", try Tensor((0..<6).map(Double.init), shape: [2, 3]).transpose(0, 1)))
        samples.append(("naïve \"name\"\n", try Tensor([-0.0, Float.nan, .infinity])))
        return samples
    }

    @Test func `what was written is read back bit by bit`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.safetensors")
            let samples = try Self.samples()
            let metadata = ["format": "pt", "note": "a \"quoted\" text\nwith µ and \u{1} 😀"]
            try SafetensorsFile.write(samples, metadata: metadata, to: url)
            let file = try SafetensorsFile(contentsOf: url)
            #expect(file.metadata == metadata)
            #expect(Set(file.keys) == Set(samples.map(\.0)))
            for (name, tensor) in samples {
                let read = try file.tensor(named: name)
                #expect(read.shape == tensor.shape)
                #expect(read.dtype == tensor.dtype)
                #expect(try file.shape(of: name) == tensor.shape)
                #expect(try file.dtype(of: name) == tensor.dtype)
                let expected = try tensor.withHostBytes { Data($0) }
                #expect(try read.withHostBytes { Data($0) } == expected)
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["weights.safetensors"])
        }
    }

    @Test func `the bytes do not depend on the order`() throws {
        try withTemporaryFolder { folder in
            let samples = try Self.samples()
            let (first, second) = (folder.appending(path: "a"), folder.appending(path: "b"))
            try SafetensorsFile.write(samples, metadata: ["a": "1", "b": "2"], to: first)
            try SafetensorsFile.write(samples.reversed(), metadata: ["b": "2", "a": "1"], to: second)
            #expect(try Data(contentsOf: first) == Data(contentsOf: second))
        }
    }

    @Test func `tensors outlive the file and never change it`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.safetensors")
            try SafetensorsFile.write([("x", try Tensor([1, 2, 3] as [Float]))], to: url)
            let before = try Data(contentsOf: url)
            let tensor = try SafetensorsFile(contentsOf: url).tensor(named: "x")
            try FileManager.default.removeItem(at: url)
            try before.write(to: url)
            #expect(try tensor.array() == [1, 2, 3] as [Float])
            try tensor.fill(9)
            #expect(try tensor.array() == [9, 9, 9] as [Float])
            #expect(try Data(contentsOf: url) == before)
        }
    }

    @Test func `an earlier file is replaced whole`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.safetensors")
            try SafetensorsFile.write([("x", try Tensor.zeros([1000]))], to: url)
            let old = try SafetensorsFile(contentsOf: url).tensor(named: "x")
            try SafetensorsFile.write([("y", try Tensor.ones([2]))], to: url)
            #expect(try SafetensorsFile(contentsOf: url).keys == ["y"])
            #expect(try old.sum().item() == 0)
        }
    }

    @Test func `a file of no tensors is a file`() throws {
        #expect(try Self.open(Self.file("{}")).keys.isEmpty)
        #expect(try Self.open(Self.file("{\"__metadata__\":{}}   ")).keys.isEmpty)
    }

    @Test func `tensors that are not aligned are read`() throws {
        let header =
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
            + "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}"
        let file = try Self.open(Self.file(header, data: Data([7, 0, 0, 0x80, 0x3F])))
        #expect(try file.tensor(named: "b").array() == [1] as [Float])
    }

    @Test func `a key that is not there is an error that names it and the file`() throws {
        let file = try Self.open(Self.file("{}"))
        let error = #expect(throws: CheckpointError.self) { try file.tensor(named: "blocks.0.weight") }
        #expect(error?.kind == .missingKey)
        #expect(error?.key == "blocks.0.weight")
        #expect(error?.file == file.path)
    }

    static let f32 = "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"

    @Test(arguments: [
        (Data(), "too short"), (Data([1, 2, 3]), "too short"),
        (file("{}", length: 3), "length"), (file("{}", length: .max), "length"),
        (file("{}", length: 1 << 63), "length"),
        (file(""), "'{'"), (file("[]"), "'{'"), (file(" {}"), "'{'"), (file("{"), "JSON"), (file("{}x"), "JSON"),
        (file("{\"a\":1}"), "object"), (file("{\"a\":{}}"), "incomplete"),
        (file("{\"a\":{\(f32),\"more\":1}}", data: Data(count: 8)), "unknown field"),
        (file("{\"a\":{\(f32)},\"a\":{\(f32)}}", data: Data(count: 8)), "twice"),
        (file("{\"a\":{\(f32)},\"\\u0061\":{\(f32)}}", data: Data(count: 8)), "twice"),
        (file("{\"a\":{\(f32)},\"b\":{\(f32)}}", data: Data(count: 8)), "overlap"),
        (file("{\"a\":{\(f32)}}", data: Data(count: 7)), "fill"),
        (file("{\"a\":{\(f32)}}", data: Data(count: 9)), "fill"),
        (file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", data: Data(count: 12)), "hole"),
        (file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", data: Data(count: 4)), "shape"),
        (
            file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", data: Data(count: 8)),
            "begin and an end"
        ),
        (file("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", data: Data(count: 8)), "'shape'"),
        (file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", data: Data(count: 8)), "'shape'"),
        (
            file("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}"),
            "too large"
        ),
        (file("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]}}"), "'shape'"),
        (file("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", data: Data(count: 2)), "F8_E4M3"),
        (file("{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,2]}}", data: Data(count: 2)), "'dtype'"),
        (file("{\"__metadata__\":{\"a\":1}}"), "'a'"), (file("{\"__metadata__\":[]}"), "texts"),
        (file("{\"a\":" + String(repeating: "[", count: 100_000)), "deep"),
        (file("{\"\\ud800\":{}}"), "surrogate"), (file("{\"a\nb\":{}}"), "control"),
    ])
    func `malformed files are errors that say why`(_ bytes: Data, _ reason: String) throws {
        let error = #expect(throws: CheckpointError.self) { try Self.open(bytes) }
        #expect(error?.kind == .malformed || error?.kind == .unsupported)
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("weights.safetensors") == true)
        #expect(error?.description.contains("\n") == false)
    }

    @Test func `a truth value that is neither 0 nor 1 is an error that names the tensor`() throws {
        let header = "{\"mask\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}"
        let file = try Self.open(Self.file(header, data: Data([1, 2])))
        let error = #expect(throws: CheckpointError.self) { try file.tensor(named: "mask") }
        #expect(error?.kind == .malformed)
        #expect(error?.key == "mask")
    }

    @Test func `names that cannot be written are errors`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.safetensors")
            let tensor = try Tensor.zeros([1])
            for names in [["a", "a"], ["__metadata__"]] {
                #expect(throws: CheckpointError.self) {
                    try SafetensorsFile.write(names.map { ($0, tensor) }, to: url)
                }
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
    }

    @Test func `two thousand damaged files never crash`() throws {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.safetensors")
            try SafetensorsFile.write(try Self.samples(), metadata: ["format": "pt"], to: url)
            let original = try Data(contentsOf: url)
            var generator = SplitMix64(state: 1)
            var refused = 0
            for _ in 0..<2000 {
                try damaged(original, using: &generator).write(to: url)
                do {
                    try readAll(SafetensorsFile(contentsOf: url))
                } catch let error as CheckpointError {
                    #expect(error.file == url.path)
                    refused += 1
                }
            }
            #expect(refused > 500)
            #expect(refused < 2000)
        }
    }
}
