import Foundation
import Torch
import TorchCheckpoints
import UniMedFuzzing

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
