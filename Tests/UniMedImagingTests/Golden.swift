import Foundation
import Testing

/// The folder of the golden numbers of image preprocessing.
enum Golden {
    static let folder: URL = {
        let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let root =
            ProcessInfo.processInfo.environment["UNIMED_GOLDEN"].map { URL(filePath: $0) }
            ?? repository.deletingLastPathComponent().appending(path: "shared/golden")
        return root.appending(path: "eval/image_preprocess")
    }()

    /// Whether the numbers are there; without them the tests that need them are skipped.
    static let isPresent = FileManager.default.fileExists(atPath: folder.appending(path: "cases.json").path)

    struct Manifest: Decodable {
        var mean: [Float]
        var std: [Float]
        var cases: [Case]
    }

    struct Case: Decodable, CustomTestStringConvertible {
        var key: String
        var file: String
        var format: String
        var width: Int
        var height: Int
        var resized_mean: [Double]
        var decoded_rgb_sha256: String

        var testDescription: String { key }
        var url: URL { Golden.folder.appending(path: file) }
        var isLossless: Bool { format != "JPEG" }
    }

    static func manifest() throws -> Manifest {
        try JSONDecoder().decode(Manifest.self, from: Data(contentsOf: folder.appending(path: "cases.json")))
    }

    /// The cases, for parameterised tests; none when the numbers are missing.
    static let cases: [Case] = (try? manifest().cases) ?? []
}

/// As much of the safetensors format as these tests read.
struct TensorFile {
    private struct Entry: Decodable {
        var dtype: String
        var shape: [Int]
        var data_offsets: [Int]
    }

    private let entries: [String: Entry]
    private let data: Data
    private let start: Int

    init(_ name: String) throws {
        data = try Data(contentsOf: Golden.folder.appending(path: name))
        let length = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        entries = try JSONDecoder().decode([String: Entry].self, from: data.dropFirst(8).prefix(length))
        start = 8 + length
    }

    func shape(_ key: String) -> [Int]? { entries[key]?.shape }

    func bytes(_ key: String) -> [UInt8]? {
        guard let entry = entries[key], entry.dtype == "U8" else { return nil }
        return Array(data[start + entry.data_offsets[0]..<start + entry.data_offsets[1]])
    }

    func floats(_ key: String) -> [Float]? {
        guard let entry = entries[key], entry.dtype == "F32" else { return nil }
        let bytes = data[start + entry.data_offsets[0]..<start + entry.data_offsets[1]]
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }
}
