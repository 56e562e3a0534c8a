import Foundation
import Testing
import Torch
import TorchCheckpoints
import UniMedFuzzing

@Suite("Files of torch.save")
struct PyTorchFileTests {
    static func open(_ bytes: Data) throws -> PyTorchFile {
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.pth")
            try bytes.write(to: url)
            return try PyTorchFile(contentsOf: url)
        }
    }

    static func open(_ build: (inout PickleBuilder) -> Void) throws -> PyTorchFile {
        var pickle = PickleBuilder()
        build(&pickle)
        return try open(pickle.archive())
    }

    static func floats(_ values: [Float]) -> Data {
        values.reduce(into: Data()) { $0.append(little: $1.bitPattern) }
    }

    // MARK: Before PyTorch 1.6

    /// What torch 2.13.0 wrote with the new form of files turned off.
    private static let sequence = """
        gAKKCmz8nEb5IGqoUBkugAJN6QMugAJ9cQAoWBAAAABwcm90b2NvbF92ZXJzaW9ucQFN6QNYDQAAAGxpdHRsZV9lbmRpYW5xAohYCgAAAHR5
        cGVfc2l6ZXNxA31xBChYBQAAAHNob3J0cQVLAlgDAAAAaW50cQZLBFgEAAAAbG9uZ3EHSwR1dS6AAn1xAChYBQAAAGVwb2NocQFLAVgQAAAA
        bW9kZWxfc3RhdGVfZGljdHECY2NvbGxlY3Rpb25zCk9yZGVyZWREaWN0CnEDKVJxBChYAwAAAGEud3EFY3RvcmNoLl91dGlscwpfcmVidWls
        ZF90ZW5zb3JfdjIKcQYoKFgHAAAAc3RvcmFnZXEHY3RvcmNoCkZsb2F0U3RvcmFnZQpxCFgOAAAAOTQ3MjExMzMzOTk2NjRxCVgDAAAAY3B1
        cQpLBk50cQtRSwBLAksDhnEMSwNLAYZxDYloAylScQ50cQ9ScRBYAQAAAGJxEWgGKChoB2N0b3JjaApMb25nU3RvcmFnZQpxElgOAAAAOTQ3
        MjEwNDcwODE5MjBxE2gKSwJOdHEUUUsASwKFcRVLAYVxFoloAylScRd0cRhScRlYAQAAAHZxGmgGKChoB2gIWA4AAAA5NDcyMTA0NzA4MjU2
        MHEbaApLBk50cRxRSwJLAoVxHUsBhXEeiWgDKVJxH3RxIFJxIVgBAAAAdHEiaAYoKGgHaAhYDgAAADk0NzIxMDQ3MTE2NDY0cSNoCksGTnRx
        JFFLAEsDSwKGcSVLAUsDhnEmiWgDKVJxJ3RxKFJxKVgGAAAAc2hhcmVkcSpoBigoaAdoCFgOAAAAOTQ3MjExMzMzOTk2NjRxK2gKSwZOdHEs
        UUsASwOFcS1LAYVxLoloAylScS90cTBScTF1dS6AAl1xAChYDgAAADk0NzIxMDQ3MDgxOTIwcQFYDgAAADk0NzIxMDQ3MDgyNTYwcQJYDgAA
        ADk0NzIxMDQ3MTE2NDY0cQNYDgAAADk0NzIxMTMzMzk5NjY0cQRlLgIAAAAAAAAAAQAAAAAAAAACAAAAAAAAAAYAAAAAAAAAAAAAAAAAgD8A
        AABAAABAQAAAgEAAAKBABgAAAAAAAAAAAAAAAACAPwAAAEAAAEBAAACAQAAAoEAGAAAAAAAAAAAAAAAAAIA/AAAAQAAAQEAAAIBAAACgQA==
        """

    @Test func `a file in the form before PyTorch 1,6 is read`() throws {
        let bytes = try #require(Data(base64Encoded: Self.sequence, options: .ignoreUnknownCharacters))
        let file = try Self.open(bytes)
        #expect(file.root["epoch"]?.int == 1)
        let weights = try file.weights(at: ["model_state_dict"])
        #expect(weights.keys == ["a.w", "b", "v", "t", "shared"])
        #expect(try weights.tensor(named: "a.w").array() == [0, 1, 2, 3, 4, 5] as [Float])
        #expect(try weights.tensor(named: "b").array() == [1, 2] as [Int])
        #expect(try weights.tensor(named: "v").array() == [2, 3] as [Float])
        #expect(try weights.shape(of: "t") == [3, 2])
        #expect(try weights.tensor(named: "t").array() == [0, 3, 1, 4, 2, 5] as [Float])
        #expect(try weights.tensor(named: "shared").array() == [0, 1, 2] as [Float])
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "old.pth")
            try bytes.write(to: url)
            #expect(try Checkpoint.isArchive(url))
            #expect(try Checkpoint.open(url, at: ["model_state_dict"]).keys.count == 5)
        }
    }

    @Test func `a file in the form before PyTorch 1,6 that contradicts itself is refused`() throws {
        func pickle(count: Int64 = 4) -> PickleBuilder {
            PickleBuilder.of { pickle in
                pickle.raw("}")
                pickle.string("w")
                pickle.tensor(count: count, shape: [2, 2], strides: [2, 1])
                pickle.raw("s")
            }
        }
        let floats = Self.floats([1, 2, 3, 4])
        let sound = pickle().sequence([("0", 4, floats)])
        #expect(try Self.open(sound).weights().tensor(named: "w").array() == [1, 2, 3, 4] as [Float])
        let cases: [(Data, String)] = [
            (pickle().sequence([("0", 4, floats)], version: 1000), "version"),
            (pickle().sequence([("0", 4, floats)], isLittleEndian: false), "byte order"),
            (pickle().sequence([]), "does not have the storage"),
            (pickle().sequence([("0", 3, floats)]), "size that the pickle says"),
            (pickle().sequence([("1", 4, floats)]), "no tensor is in"),
            (pickle().sequence([("0", 4, floats), ("0", 4, floats)]), "twice"),
            (pickle(count: 1 << 60).sequence([("0", 4, floats)]), "size that the pickle says"),
            (pickle(count: -1).sequence([("0", 4, floats)]), "size that the pickle says"),
            (sound.dropLast(), "ends within the storage"), (sound.dropLast(20), "ends before the storage"),
            (sound.prefix(40), "ends too early"), (sound.prefix(15), "ends too early"),
        ]
        for (bytes, problem) in cases {
            let error = #expect(throws: CheckpointError.self) { try Self.open(Data(bytes)) }
            #expect(error?.description.contains(problem) == true, "\(problem): \(error?.description ?? "")")
        }
    }

    // MARK: What is read

    @Test func `plain values are read`() throws {
        let file = try Self.open { pickle in
            pickle.raw("}(")
            pickle.string("none")
            pickle.raw("N")
            pickle.string("flags")
            pickle.raw("](")
            pickle.raw([0x88, 0x89])
            pickle.raw("e")
            pickle.string("numbers")
            pickle.raw("(K\u{7}M")
            pickle.raw([0, 1])
            pickle.int(-5)
            pickle.long(-(1 << 40))
            pickle.raw([0x8A, 1, 0xFF, 0x8A, 0])
            pickle.raw("G")
            pickle.raw([0x3F, 0xF8, 0, 0, 0, 0, 0, 0])
            pickle.raw("t")
            pickle.string("type")
            pickle.global("torch", "float16")
            pickle.string("size")
            pickle.global("torch", "Size")
            pickle.raw("K\u{2}K\u{3}")
            pickle.raw([0x86, 0x85])
            pickle.raw("R")
            pickle.int(3)
            pickle.string("µ")
            pickle.raw("u")
        }
        let root = file.root
        #expect(root.dictionary?.keys.count == 6)
        if case .none? = root["none"] {} else { Issue.record("expected None") }
        #expect(root["flags"]?.elements?.map(\.bool) == [true, false])
        #expect(root["numbers"]?.elements?.map(\.double) == [7, 256, -5, -Double(1 << 40), -1, 0, 1.5])
        #expect(root["numbers"]?[3]?.int == -(1 << 40))
        #expect(root["type"]?.string == "torch.float16")
        #expect(root["size"]?.elements?.map(\.int) == [2, 3])
        #expect(root[3]?.string == "µ")
        #expect(root["absent"] == nil)
    }

    @Test func `tensors are read with offset and strides, and share storages`() throws {
        var pickle = PickleBuilder()
        pickle.raw("}(")
        pickle.string("a")
        pickle.tensor(count: 6, offset: 0, shape: [2, 3], strides: [3, 1])
        pickle.string("b")
        pickle.tensor(count: 6, offset: 1, shape: [2, 2], strides: [1, 3])
        pickle.string("c")
        pickle.tensor("BFloat16Storage", key: "1", count: 2, shape: [2], strides: [1])
        pickle.string("d")
        pickle.tensor(count: 6, offset: 6, shape: [0, 4], strides: [4, 1])
        pickle.string("e")
        pickle.tensor(count: 6, offset: 5, shape: [], strides: [])
        pickle.raw("u")
        let file = try Self.open(
            pickle.archive(["0": Self.floats([0, 1, 2, 3, 4, 5]), "1": Data([0x80, 0x3F, 0, 0xC0])])
        )
        let weights = try file.weights()
        #expect(weights.keys == ["a", "b", "c", "d", "e"])
        let a = try weights.tensor(named: "a")
        let b = try weights.tensor(named: "b")
        #expect(try a.array() == [0, 1, 2, 3, 4, 5] as [Float])
        #expect(try b.array() == [1, 4, 2, 5] as [Float])
        #expect(try weights.tensor(named: "c").to(.float32).array() == [1, -2] as [Float])
        #expect(try weights.tensor(named: "d").shape == [0, 4])
        #expect(try weights.tensor(named: "e").item() == 5)
        #expect(file.root["a"]?.tensor?.sharesStorage(with: try #require(file.root["b"]?.tensor)) == true)
        try b.fill(9)
        #expect(try a.array() == [0, 9, 9, 3, 9, 9] as [Float])
    }

    @Test func `instructions of newer pickles are read`() throws {
        let file = try Self.open { pickle in
            pickle.raw([0x80, 4, 0x95, 9, 0, 0, 0, 0, 0, 0, 0])
            pickle.raw([0x8C, 11])
            pickle.raw("collections")
            pickle.raw([0x94, 0x8C, 11])
            pickle.raw("OrderedDict")
            pickle.raw([0x94, 0x93, 0x94])
            pickle.raw(")R")
            pickle.raw([0x94])
            pickle.raw([0x8C, 1])
            pickle.raw("kK\u{4}s")
        }
        #expect(file.root["k"]?.int == 4)
    }

    // MARK: What is refused

    static func dictionary(_ build: (inout PickleBuilder) -> Void) -> Data {
        var pickle = PickleBuilder()
        pickle.raw("}")
        pickle.string("layer.weight")
        build(&pickle)
        pickle.raw("s")
        return pickle.archive()
    }

    @Test(arguments: [
        ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("__builtin__", "getattr"), ("torch", "load"),
        ("torch.storage", "_load_from_bytes"), ("numpy.core.multiarray", "_reconstruct"), ("", ""),
        ("collections", "OrderedDict.fromkeys"), ("torch", "FloatStorage.from_file"), ("a\u{1B}[2J", "b\r\t"),
    ])
    func `a name that is no tensor is refused and named`(_ module: String, _ name: String) throws {
        let error = #expect(throws: CheckpointError.self) {
            try Self.open(
                Self.dictionary {
                    $0.global(module, name)
                    $0.string("echo run")
                    $0.raw([0x85])
                    $0.raw("R")
                }
            )
        }
        #expect(error?.kind == .unsupported)
        #expect(error?.key == "layer.weight")
        #expect(error?.description.contains("nothing was run") == true)
        #expect(error?.description.contains(where: { $0.isNewline || $0 == "\u{1B}" }) == false)
        if !module.isEmpty, !module.contains("\u{1B}") {
            #expect(error?.description.contains("\(module).\(name)") == true)
        }
    }

    /// Instructions of pickles that make objects, call, or load extensions.
    @Test(arguments: [
        "i", "o", "\u{81}", "\u{92}", "\u{82}", "S", "P", "I", "F", "d", "l", "U", "T", "2", "1", "0", "\u{8F}",
    ])
    func `an instruction that tensors do not need is refused`(_ code: String) throws {
        let byte = try #require(code.unicodeScalars.first.map { UInt8($0.value) })
        let error = #expect(throws: CheckpointError.self) {
            try Self.open { pickle in
                pickle.raw("N")
                pickle.raw([byte])
            }
        }
        #expect(error?.kind == .unsupported)
        #expect(error?.description.contains("code \(byte)") == true)
    }

    @Test(
        arguments: [
            (1, 0, [2], [1]), (4, 5, [1], [1]), (4, 4, [1], [1]), (4, -1, [1], [1]), (4, 0, [5], [1]), (4, 3, [2], [1]),
            (4, 0, [2, 2], [3, 1]), (4, 0, [2], [1, 1]), (4, 0, [-1], [1]), (4, 0, [2], [-1]), (4, 0, [100], [0]),
            (4, 0, [.max, .max], [0, 0]), (4, 0, [2, 2], [.max, .max]), (4, .max, [1], [1]), (4, 0, [3], [.max]),
            (.max, 0, [1], [1]), (-4, 0, [1], [1]), (3, 0, [1], [1]), (1 << 62, 0, [1], [1]), (4, 4, [], []),
            (4, 0, Array(repeating: 1, count: 65), Array(repeating: 1, count: 65)), (4, 5, [0], [1]),
        ] as [(Int64, Int64, [Int64], [Int64])]
    )
    func `a tensor outside its storage is refused`(
        _ count: Int64,
        _ offset: Int64,
        _ shape: [Int64],
        _ strides: [Int64]
    ) throws {
        let error = #expect(throws: CheckpointError.self) {
            try Self.open(
                Self.dictionary { $0.tensor(count: count, offset: offset, shape: shape, strides: strides) }
            )
        }
        #expect(error?.kind == .malformed)
        #expect(error?.description.contains("weights.pth") == true)
    }

    @Test func `a storage that the archive does not have is refused`() {
        for key in ["1", "", "../data.pkl", "\u{0}"] {
            let error = #expect(throws: CheckpointError.self) {
                try Self.open(Self.dictionary { $0.tensor(key: key, count: 4, shape: [4], strides: [1]) })
            }
            #expect(error?.kind == .malformed)
        }
    }

    @Test(arguments: [
        "", ")", "a", "s", "u", "e", "t", "R", "b", "Q", "(", "((N", "NN", "}N", "NNs", "]N", "h\u{5}", "q\u{0}",
        "X", "Xabcd", "J", "G", "c", "cabc\n", "c\n", "}(NNu", "}(Nu", "](NNs", ")R", "N)R", "NNR", "}NNs", "}]Ns",
        "(t(", "]q\u{0}h\u{0}a", "}]s", "Nb", "}Nb", "}]b", "ctorch\nFloatStorage\n", "ctorch\nFloatStorage\n)R",
        "ctorch._utils\n_rebuild_tensor_v2\n)R", "ctorch._utils\n_rebuild_tensor_v2\nNR", "ctorch\nSize\n)R",
        "ctorch._utils\n_rebuild_parameter\n)R", "ctorch._utils\n_rebuild_parameter\nNR", "(NNNNNtQ", "NQ",
        "ccollections\nOrderedDict\n", "ccollections\nOrderedDict\nN\u{85}R", "ctorch\nfloat16\n)R",
        "ctorch\ndevice\n)R",
    ])
    func `malformed pickles are errors`(_ code: String) throws {
        let bytes = code.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        let isEmptyTuple = code == ")"
        if isEmptyTuple {
            #expect(try Self.open { $0.raw(bytes) }.root.elements?.isEmpty == true)
            return
        }
        let error = #expect(throws: CheckpointError.self) { try Self.open { $0.raw(bytes) } }
        #expect(error?.description.contains("weights.pth") == true)
    }

    @Test func `a text that is longer than the file is an error`() {
        let error = #expect(throws: CheckpointError.self) {
            try Self.open { $0.raw([UInt8(ascii: "X"), 0xFF, 0xFF, 0xFF, 0xFF]) }
        }
        #expect(error?.kind == .malformed)
        #expect(throws: CheckpointError.self) {
            try Self.open { $0.raw([0x8D] + [UInt8](repeating: 0xFF, count: 8)) }
        }
    }

    @Test func `values that contain themselves, nest deeply or multiply are errors`() {
        let builders: [(inout PickleBuilder) -> Void] = [
            { $0.raw("]q\u{0}h\u{0}a") },
            { pickle in
                for _ in 0..<300_000 { pickle.raw("](") }
                for _ in 0..<300_000 { pickle.raw("e") }
            },
            { pickle in
                pickle.raw("]")
                for _ in 0..<300_000 { pickle.raw([0x85]) }
            },
            { pickle in
                pickle.raw("Nq\u{0}")
                for _ in 0..<60 { pickle.raw([UInt8(ascii: "h"), 0, 0x86, UInt8(ascii: "q"), 0]) }
            },
        ]
        for build in builders {
            let error = #expect(throws: CheckpointError.self) { try Self.open(build) }
            #expect(error?.kind == .malformed)
        }
    }

    @Test func `a key that is there twice is an error that names it`() {
        let error = #expect(throws: CheckpointError.self) {
            try Self.open { pickle in
                pickle.raw("}(")
                pickle.string("epoch")
                pickle.raw("K\u{1}")
                pickle.string("epoch")
                pickle.raw("K\u{2}u")
            }
        }
        #expect(error?.key == "epoch")
    }

    // MARK: The archive

    @Test func `archives that torch.save does not write are refused`() throws {
        var pickle = PickleBuilder()
        pickle.raw("}")
        let stored = ZipBuilder.Entry(name: "archive/data.pkl", bytes: pickle.bytes + Data(".".utf8))
        var other = stored
        other.name = "second/data.pkl"
        var compressed = ZipBuilder.Entry(name: "archive/data/0", bytes: Data([0x63, 0x60, 0x00, 0x00]), method: 8)
        compressed.claimedSize = 4_000_000_000
        var lying = ZipBuilder.Entry(name: "archive/data/0", bytes: Data(count: 16))
        lying.claimedSize = 4_000_000_000
        var damaged = stored
        damaged.hasWrongChecksum = true
        let archives: [([ZipBuilder.Entry], String)] = [
            ([], ""), ([.init(name: "data.pkl", bytes: stored.bytes)], "data.pkl"), ([stored, other], "data.pkl"),
            ([.init(name: "a/b/data.pkl", bytes: stored.bytes)], "data.pkl"), ([stored, stored], "twice"),
            ([stored, compressed], "compressed"), ([stored, lying], ""), ([damaged], "damaged"),
        ]
        for (entries, reason) in archives {
            let error = #expect(throws: CheckpointError.self) { try Self.open(ZipBuilder(entries: entries).data()) }
            #expect(error?.kind == .malformed || error?.kind == .unsupported)
            #expect(error?.description.contains(reason) == true || reason.isEmpty, "\(error?.description ?? "")")
        }
        let error = #expect(throws: CheckpointError.self) { try Self.open(pickle.archive(byteOrder: "big")) }
        #expect(error?.kind == .unsupported)
        #expect(try Self.open(pickle.archive(byteOrder: nil)).root.dictionary?.entries.isEmpty == true)
    }

    @Test func `damaged elements are found by the checksum and named`() throws {
        var pickle = PickleBuilder()
        pickle.raw("}")
        pickle.string("layer.weight")
        pickle.tensor(count: 4, shape: [4], strides: [1])
        pickle.raw("s")
        var bytes = pickle.archive(["0": Self.floats([1, 2, 3, 4])])
        let place = try #require(bytes.range(of: Self.floats([3])))
        bytes[place.lowerBound] ^= 1
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.pth")
            try bytes.write(to: url)
            let weights = try PyTorchFile(contentsOf: url).weights()
            let error = #expect(throws: CheckpointError.self) { try weights.tensor(named: "layer.weight") }
            #expect(error?.kind == .malformed)
            #expect(error?.key == "archive/data/0")
        }
    }

    @Test func `a file that is missing, a folder or text is an error that names it`() throws {
        try withTemporaryFolder { folder in
            let text = folder.appending(path: "text.pth")
            try Data("hello".utf8).write(to: text)
            for url in [folder.appending(path: "absent.pth"), folder, text] {
                let error = #expect(throws: CheckpointError.self) { try PyTorchFile(contentsOf: url) }
                #expect(error?.file == url.path)
            }
        }
    }

    @Test func `two thousand damaged files never crash`() throws {
        var pickle = PickleBuilder()
        pickle.raw("}(")
        for layer in 0..<4 {
            pickle.string("layers.\(layer).weight")
            pickle.tensor(count: 6, offset: Int64(layer % 3), shape: [2, 2], strides: [2, 1])
        }
        pickle.raw("u")
        let original = pickle.archive(["0": Self.floats([0, 1, 2, 3, 4, 5])])
        // The pickle by itself inside a sound archive, and the archive as a whole.
        let inner = pickle.bytes.dropFirst(2)
        var generator = SplitMix64(state: 2)
        var refused = 0
        try withTemporaryFolder { folder in
            let url = folder.appending(path: "weights.pth")
            for round in 0..<2000 {
                if round.isMultiple(of: 2) {
                    try damaged(original, using: &generator).write(to: url)
                } else {
                    var builder = PickleBuilder()
                    builder.bytes += damaged(Data(inner), using: &generator)
                    try builder.archive(["0": Self.floats([0, 1, 2, 3, 4, 5])]).write(to: url)
                }
                do {
                    try readAll(PyTorchFile(contentsOf: url).weights())
                } catch let error as CheckpointError {
                    #expect(error.file == url.path)
                    #expect(!error.description.contains("\n"))
                    refused += 1
                }
            }
        }
        #expect(refused > 1000)
        #expect(refused < 2000)
    }
}
