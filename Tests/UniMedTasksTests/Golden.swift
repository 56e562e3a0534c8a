import Foundation

/// The golden numbers under `UNIMED_GOLDEN`, by default `../shared/golden` beside the repository.
enum Golden {
    static var root: URL {
        if let path = ProcessInfo.processInfo.environment["UNIMED_GOLDEN"] {
            return URL(fileURLWithPath: path, isDirectory: true)
        }
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return repository.deletingLastPathComponent().appendingPathComponent("shared/golden", isDirectory: true)
    }

    /// Whether a file is there; tests of files that are not are shown as skipped.
    static func has(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from path: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: root.appendingPathComponent(path)))
    }
}
