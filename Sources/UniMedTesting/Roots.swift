public import Foundation

/// Where the reference numbers and the development data are.
public enum Roots {
    private static let repository = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func root(_ variable: String, _ name: String) -> URL {
        if let path = ProcessInfo.processInfo.environment[variable], !path.isEmpty { return URL(filePath: path) }
        return repository.deletingLastPathComponent().appending(path: "shared/\(name)")
    }

    /// The folder in `UNIMED_GOLDEN`, or `../shared/golden` beside the repository.
    public static let golden = root("UNIMED_GOLDEN", "golden")

    /// The folder in `UNIMED_DATA`, or `../shared/data` beside the repository.
    public static let data = root("UNIMED_DATA", "data")

    /// Whether a file or folder is there.
    public static func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

    /// The files of a name anywhere below a folder, in a fixed order.
    public static func files(named name: String, below root: URL) -> [URL] {
        guard let walk = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil) else { return [] }
        return walk.compactMap { $0 as? URL }.filter { $0.lastPathComponent == name }.sorted { $0.path < $1.path }
    }
}
