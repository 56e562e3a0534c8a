import Foundation
import Torch

/// What a run's folder says of how it came about: `run.json`.
struct RunRecord: Codable, Sendable {
    var name: String
    var date: String
    var commit: String?
    var torchVersion: String
    var seed: UInt64
    var device: String
    var precision: String
    var threads: Int
    var dataKey: String?
    var tokenizerDigest: String?
    var featuresKey: String?

    static let fileName = "run.json"

    init(_ recipe: Recipe) {
        name = recipe.name
        date = Date().ISO8601Format()
        commit = RunRecord.commit()
        torchVersion = Runtime.version
        seed = recipe.seed
        device = recipe.device
        precision = recipe.precision.rawValue
        threads = Runtime.threadCount
    }

    /// The commit of the sources in the current folder; `nil` where there is no repository or no git.
    private static func commit() -> String? {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["git", "rev-parse", "HEAD"]
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        return process.terminationStatus == 0 && text.count >= 40 ? text : nil
    }
}
