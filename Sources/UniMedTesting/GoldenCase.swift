public import Foundation
public import Torch
import TorchCheckpoints

/// A folder of reference numbers with a `manifest.json` that describes it.
///
/// Cases are found by walking the folder in `UNIMED_GOLDEN`: any further set of the same form is tested as well.
public struct GoldenCase: Sendable, CustomStringConvertible {
    /// What the manifest calls the case, for example `llama/a_llama2_mha`.
    public let name: String
    /// The folder.
    public let folder: URL
    private let tolerances: [String: Double]

    private struct Manifest: Decodable {
        struct Tolerance: Decodable {
            struct Value: Decodable {
                let abs: Double
            }

            let values: [String: Value]
        }

        let name: String
        let tolerance: Tolerance?

        enum CodingKeys: String, CodingKey {
            case name = "case"
            case tolerance
        }
    }

    /// Every case below a folder.
    public static func all(below root: URL = Roots.golden) -> [GoldenCase] {
        Roots.files(named: "manifest.json", below: root).compactMap { file in
            guard let data = try? Data(contentsOf: file),
                let manifest = try? JSONDecoder().decode(Manifest.self, from: data)
            else { return nil }
            return GoldenCase(
                name: manifest.name,
                folder: file.deletingLastPathComponent(),
                tolerances: manifest.tolerance?.values.mapValues(\.abs) ?? [:]
            )
        }
    }

    /// The cases of a name, or of a family such as `llama/`.
    public static func named(_ name: String) -> [GoldenCase] {
        all().filter { name.hasSuffix("/") ? $0.name.hasPrefix(name) : $0.name == name }
    }

    /// The name and the folder's own name.
    public var description: String { name }

    /// A file of the case.
    public func file(_ name: String) -> URL { folder.appending(path: name) }

    /// A JSON file of the case.
    public func decode<Value: Decodable>(_ type: Value.Type, from file: String = "manifest.json") throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: self.file(file)))
    }

    /// The tensors of a safetensors file of the case.
    public func tensors(_ file: String) throws -> GoldenTensors {
        GoldenTensors(file: file, tensors: try SafetensorsFile(contentsOf: self.file(file)).tensors())
    }

    /// The absolute tolerance of a tensor or group, as the manifest names it.
    ///
    /// A group with a placeholder, such as `grad.<parameter>`, stands for every name that begins as it does.
    public func tolerance(_ name: String) throws -> Double {
        if let value = tolerances[name] { return value }
        for (group, value) in tolerances {
            if let open = group.firstIndex(of: "<"), group.hasSuffix(">"), name.hasPrefix(group[..<open]) {
                return value
            }
        }
        throw GoldenError("\(folder.path)/manifest.json: there is no tolerance for '\(name)'")
    }
}

/// The tensors of one file, by name.
public struct GoldenTensors {
    private let file: String
    private let tensors: [String: Tensor]

    init(file: String, tensors: [String: Tensor]) {
        self.file = file
        self.tensors = tensors
    }

    /// The names in a fixed order.
    public var names: [String] { tensors.keys.sorted() }

    /// Whether there is a tensor of a name.
    public func contains(_ name: String) -> Bool { tensors[name] != nil }

    /// The tensor of a name.
    public func callAsFunction(_ name: String) throws -> Tensor {
        guard let tensor = tensors[name] else { throw GoldenError("\(file): there is no tensor '\(name)'") }
        return tensor
    }
}

/// Reference numbers that are not as described.
public struct GoldenError: Error, CustomStringConvertible {
    /// What is wrong, with the file.
    public let description: String

    /// Makes an error.
    public init(_ description: String) { self.description = description }
}
