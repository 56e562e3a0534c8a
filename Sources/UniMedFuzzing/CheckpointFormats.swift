import Foundation
import Torch
import TorchCheckpoints

extension FuzzFormat {
    /// Files of safetensors: the whole file, or its header with a length that fits.
    static let safetensors = FuzzFormat(
        name: "safetensors",
        corpus: {
            try [
                bytes(of: ["format": "pt", "note": "\"quoted\" µ\n"], tensors: sampleTensors()),
                bytes(of: [:], tensors: [("a", Tensor([1, 2, 3, 4] as [Float], shape: [2, 2]))]),
                bytes(of: [:], tensors: []),
            ]
        },
        damage: { file, others, generator in
            guard file.count > 8, Bool.random(using: &generator) else {
                return Mutation.damaged(file, others: others, using: &generator)
            }
            let bytes = [UInt8](file)
            let length = min(Int(littleEndianNumber(bytes[..<8])), bytes.count - 8)
            let header = Mutation.damaged(Data(bytes[8..<8 + length]), others: others, using: &generator)
            var result = Data()
            result.append(little: UInt64(header.count))
            return result + header + Data(bytes[(8 + length)...])
        },
        read: { file, folder in
            let url = folder.appending(path: "fuzz.safetensors")
            try file.write(to: url)
            return try outcome { try readAll(SafetensorsFile(contentsOf: url)) }
        }
    )

    /// The index of weights in several files, beside sound files.
    static let safetensorsIndex = FuzzFormat(
        name: "safetensors-index",
        corpus: {
            [
                Data(
                    #"{"metadata": {"total_size": 24}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#
                        .utf8
                ),
                Data(#"{"weight_map": {"a": "1.safetensors"}}"#.utf8),
            ]
        },
        damage: { Mutation.damaged($0, others: $1, using: &$2) },
        read: { file, folder in
            let folder = folder.appending(path: "sharded")
            if !FileManager.default.fileExists(atPath: folder.path) {
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                try bytes(of: [:], tensors: [("a", Tensor([1, 2, 3, 4] as [Float]))])
                    .write(to: folder.appending(path: "1.safetensors"))
                try bytes(of: [:], tensors: [("b", Tensor([5, 6] as [Float]))])
                    .write(to: folder.appending(path: "2.safetensors"))
            }
            try file.write(to: folder.appending(path: "model.safetensors.index.json"))
            return try outcome { try readAll(Checkpoint.open(folder)) }
        }
    )

    /// Files of `torch.save`: the whole archive, or the pickle inside a sound archive with sound checksums.
    static let torchSave = FuzzFormat(
        name: "torch-save",
        corpus: { [stateDictionary.archive(storages), trainingCheckpoint.archive(storages)] },
        damage: { file, others, generator in
            guard Bool.random(using: &generator) else {
                return Mutation.damaged(file, others: others, using: &generator)
            }
            let pickles = [stateDictionary, trainingCheckpoint].map { $0.bytes + Data(".".utf8) }
            let pickle = Mutation.damaged(
                pickles.randomElement(using: &generator) ?? Data(),
                others: pickles,
                using: &generator
            )
            return PickleBuilder.archive(of: pickle, storages)
        },
        read: { file, folder in
            let url = folder.appending(path: "fuzz.pth")
            try file.write(to: url)
            return try outcome {
                let archive = try PyTorchFile(contentsOf: url)
                let hasModel = archive.root["model"]?.dictionary != nil
                try readAll(archive.weights(at: hasModel ? ["model"] : []))
            }
        }
    )

    /// Files of `torch.save` before PyTorch 1.6, which have no checksums.
    static let torchSaveSequence = FuzzFormat(
        name: "torch-save-sequence",
        corpus: {
            let counts = ["0": 6, "1": 2, "2": 3]
            func list(_ keys: [String]) -> [(key: String, count: Int, bytes: Data)] {
                keys.map { ($0, counts[$0, default: 0], storages[$0, default: Data()]) }
            }
            return [stateDictionary.sequence(list(["1", "0", "2"])), trainingCheckpoint.sequence(list(["0"]))]
        },
        damage: { Mutation.damaged($0, others: $1, using: &$2) },
        read: torchSave.read
    )

    private static let storages: [String: Data] = [
        "0": (0..<6).reduce(into: Data()) { $0.append(little: Float($1).bitPattern) },
        "1": Data([0x80, 0x3F, 0, 0xC0]), "2": Data([0, 1, 1]),
    ]

    private static let stateDictionary = PickleBuilder.of { pickle in
        pickle.global("collections", "OrderedDict")
        pickle.raw(")R(")
        for layer in 0..<3 {
            pickle.string("layers.\(layer).weight")
            pickle.tensor(count: 6, offset: Int64(layer), shape: [2, 2], strides: [2, 1])
        }
        pickle.string("half")
        pickle.tensor("BFloat16Storage", key: "1", count: 2, shape: [2], strides: [1])
        pickle.string("mask")
        pickle.tensor("BoolStorage", key: "2", count: 3, shape: [3], strides: [1])
        pickle.raw("u}")
        pickle.string("_metadata")
        pickle.raw("}sb")
    }

    private static let trainingCheckpoint = PickleBuilder.of { pickle in
        pickle.raw("}(")
        pickle.string("model")
        pickle.raw("}q\u{1}")
        pickle.string("w")
        pickle.tensor(count: 6, shape: [3, 2], strides: [1, 3])
        pickle.raw("s")
        pickle.string("config")
        pickle.raw("}(")
        pickle.string("rates")
        pickle.raw("](G")
        pickle.raw([0x3F, 0xF8, 0, 0, 0, 0, 0, 0])
        pickle.raw("K\u{2}e")
        pickle.string("device")
        pickle.global("torch", "device")
        pickle.string("cpu")
        pickle.raw([0x85])
        pickle.raw("R")
        pickle.string("type")
        pickle.global("torch", "float16")
        pickle.raw("u")
        pickle.string("again")
        pickle.raw("h\u{1}")
        pickle.string("size")
        pickle.global("torch", "Size")
        pickle.raw("K\u{2}K\u{3}")
        pickle.raw([0x86, 0x85])
        pickle.raw("R")
        pickle.string("epoch")
        pickle.long(3)
        pickle.raw("u")
    }

    // MARK: Helpers

    private static func outcome(_ body: () throws -> Void) throws -> Outcome {
        do {
            try body()
            return .accepted
        } catch is CheckpointError {
            return .refused
        }
    }

    /// Reads every element of every tensor.
    private static func readAll(_ source: any WeightSource) throws {
        for key in source.keys {
            let tensor = try source.tensor(named: key)
            try tensor.withHostBytes { bytes in _ = bytes.reduce(UInt8(0), ^) }
        }
    }

    private static func sampleTensors() throws -> [(String, Tensor)] {
        var samples: [(String, Tensor)] = []
        for dtype in DType.allCases {
            samples.append(
                ("type.\(dtype.rawValue)", try Tensor([0, 1, 0, 1, 1, 0] as [Float], shape: [2, 3]).to(dtype))
            )
        }
        samples.append(("scalar", try Tensor([Float.pi], shape: [])))
        samples.append(("empty", try Tensor.zeros([3, 0, 2])))
        samples.append(("naïve \"name\"\n", try Tensor([-0.0, Float.nan, .infinity])))
        return samples
    }

    private static func bytes(of metadata: [String: String], tensors: [(String, Tensor)]) throws -> Data {
        let url = FileManager.default.temporaryDirectory.appending(path: "fuzz-\(UUID().uuidString).safetensors")
        defer { try? FileManager.default.removeItem(at: url) }
        try SafetensorsFile.write(tensors, metadata: metadata, to: url)
        return try Data(contentsOf: url)
    }

    private static func littleEndianNumber(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } & UInt64(Int.max)
    }
}
