import Foundation
import Torch

/// What a run's folder says of how it came about: `run.json`.
struct RunRecord: Codable, Sendable {
    var name: String
    /// When the run began, and when this record was last written.
    var started: String
    var updated: String
    var commit: String?
    var torchVersion: String
    var system: String
    var seed: UInt64
    var device: String
    var precision: String
    var threads: Int
    var dataKey: String?
    var tokenizerDigest: String?
    var featuresKey: String?
    /// Of the images, studies and texts of the training split, whose digests are in a file of their own.
    var trainingSplit: Digests?
    /// Where the stages before the joint training were made, if not here.
    var stages: Stages?

    /// What the file of the training split's digests holds.
    struct Digests: Codable, Sendable {
        var images: Int
        var studies: Int
        var texts: Int
        /// The SHA-256 of the file.
        var sha256: String
    }

    /// Stages that other runs have a part in.
    struct Stages: Codable, Sendable {
        var folder: String
        var seed: UInt64
    }

    static let fileName = "run.json"

    /// The record of a run that begins now, or that continues in this folder.
    init(_ recipe: Recipe, folder: URL) {
        name = recipe.name
        let now = Date().ISO8601Format()
        let file = folder.appendingPathComponent(RunRecord.fileName)
        let earlier = FileManager.default.contents(atPath: file.path)
            .flatMap { try? JSONDecoder().decode(RunRecord.self, from: $0) }
        started = earlier?.started ?? now
        updated = now
        commit = RunRecord.commit()
        torchVersion = Runtime.version
        system = ProcessInfo.processInfo.operatingSystemVersionString
        seed = recipe.seed
        device = recipe.device
        precision = recipe.precision.rawValue
        threads = Runtime.threadCount
        // What a continued run made is not made again.
        dataKey = earlier?.dataKey
        trainingSplit = earlier?.trainingSplit
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
