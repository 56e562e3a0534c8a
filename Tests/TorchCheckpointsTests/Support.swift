import Foundation
import Torch
import TorchCheckpoints

/// Where the golden numbers are.
enum Golden {
    static let root: URL = {
        if let path = ProcessInfo.processInfo.environment["UNIMED_GOLDEN"], !path.isEmpty { return URL(filePath: path) }
        let repository = URL(filePath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return repository.deletingLastPathComponent().appending(path: "shared/golden")
    }()

    static let model = root.appending(path: "model")

    /// Whether a case of the model fixtures is there.
    static func has(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: model.appending(path: path).path)
    }
}

/// A folder that is removed at the end of `body`.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "checkpoints-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}

/// A small generator of reproducible random numbers.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Flips bits, cuts, and repeats parts of a file.
func damaged(_ file: Data, using generator: inout SplitMix64) -> Data {
    var bytes = [UInt8](file)
    for _ in 0..<Int.random(in: 1...6, using: &generator) where !bytes.isEmpty {
        let position = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes[position] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes[position] = 0xFF
        case 2 where Int.random(in: 0..<4, using: &generator) == 0: bytes.removeSubrange(position...)
        case 3 where position + 8 < bytes.count:
            bytes.insert(contentsOf: bytes[position..<position + 8], at: position)
        default: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        }
    }
    return Data(bytes)
}

/// Reads everything that a source has.
func readAll(_ source: any WeightSource) throws {
    for key in source.keys {
        let tensor = try source.tensor(named: key)
        guard try source.shape(of: key) == tensor.shape, try source.dtype(of: key) == tensor.dtype else {
            throw CheckpointError(.malformed, file: source.path, key: key, "shape or type is not as announced")
        }
        try tensor.withHostBytes { bytes in _ = bytes.reduce(UInt8(0), ^) }
    }
}

extension Data {
    /// A number in little-endian order.
    mutating func append<Number: FixedWidthInteger>(little number: Number) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }
}

/// Writes zip archives whose entries are stored, and lies about them where a test asks for it.
struct ZipBuilder {
    struct Entry {
        var name: String
        var bytes: Data
        var method: UInt16 = 0
        var claimedSize: UInt32?
        var hasWrongChecksum = false
    }

    var entries: [Entry] = []

    func data() -> Data {
        var file = Data()
        var directory = Data()
        for entry in entries {
            let offset = UInt32(file.count)
            let checksum = crc32(entry.bytes) ^ (entry.hasWrongChecksum ? 1 : 0)
            let size = entry.claimedSize ?? UInt32(entry.bytes.count)
            var fields = Data()
            fields.append(little: UInt16(20))
            fields.append(little: UInt16(0x0800))
            fields.append(little: entry.method)
            fields.append(little: UInt32(0))
            fields.append(little: checksum)
            fields.append(little: entry.method == 0 ? size : UInt32(entry.bytes.count))
            fields.append(little: size)
            fields.append(little: UInt16(entry.name.utf8.count))
            fields.append(little: UInt16(0))
            file.append(contentsOf: [0x50, 0x4B, 3, 4] + fields + Data(entry.name.utf8) + entry.bytes)
            directory.append(contentsOf: [0x50, 0x4B, 1, 2, 20, 0])
            directory.append(fields)
            directory.append(contentsOf: Data(count: 10))
            directory.append(little: offset)
            directory.append(Data(entry.name.utf8))
        }
        let start = UInt32(file.count)
        file.append(directory)
        file.append(contentsOf: [0x50, 0x4B, 5, 6, 0, 0, 0, 0])
        file.append(little: UInt16(entries.count))
        file.append(little: UInt16(entries.count))
        file.append(little: UInt32(directory.count))
        file.append(little: start)
        file.append(little: UInt16(0))
        return file
    }

    private func crc32(_ bytes: Data) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }
}

/// Pickles, instruction by instruction.
struct PickleBuilder {
    var bytes = Data([0x80, 2])

    mutating func raw(_ codes: [UInt8]) { bytes.append(contentsOf: codes) }

    mutating func raw(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func string(_ text: String) {
        raw("X")
        bytes.append(little: UInt32(text.utf8.count))
        raw(text)
    }

    mutating func int(_ value: Int32) {
        raw("J")
        bytes.append(little: value)
    }

    /// A whole number of 64 bits.
    mutating func long(_ value: Int64) {
        raw([0x8A, 8])
        bytes.append(little: value)
    }

    mutating func global(_ module: String, _ name: String) { raw("c\(module)\n\(name)\n") }

    /// A reference to a storage.
    mutating func storage(_ type: String = "FloatStorage", key: String = "0", count: Int64) {
        raw("(")
        string("storage")
        global("torch", type)
        string(key)
        string("cpu")
        long(count)
        raw("tQ")
    }

    /// A tensor as `torch.save` writes it.
    mutating func tensor(
        _ type: String = "FloatStorage",
        key: String = "0",
        count: Int64,
        offset: Int64 = 0,
        shape: [Int64],
        strides: [Int64]
    ) {
        global("torch._utils", "_rebuild_tensor_v2")
        raw("(")
        storage(type, key: key, count: count)
        long(offset)
        for sizes in [shape, strides] {
            raw("(")
            sizes.forEach { long($0) }
            raw("t")
        }
        raw([0x89])
        global("collections", "OrderedDict")
        raw(")R")
        raw("tR")
    }

    /// The archive around the pickle; the storages are by name.
    func archive(_ storages: [String: Data] = ["0": Data(count: 16)], byteOrder: String? = "little") -> Data {
        var zip = ZipBuilder()
        zip.entries.append(.init(name: "archive/data.pkl", bytes: bytes + Data(".".utf8)))
        if let byteOrder { zip.entries.append(.init(name: "archive/byteorder", bytes: Data(byteOrder.utf8))) }
        for (name, bytes) in storages.sorted(by: { $0.key < $1.key }) {
            zip.entries.append(.init(name: "archive/data/\(name)", bytes: bytes))
        }
        return zip.data()
    }
}
