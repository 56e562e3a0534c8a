import Foundation
import Testing

/// The built program, run as a user runs it.
struct Program {
    /// How a run ended.
    struct Result {
        let status: Int32
        let output: String
        let errors: String

        /// The lines of standard error that tell a failure; progress lines are the others.
        var failureLines: [String] {
            errors.split(separator: "\n").map(String.init).filter { $0.hasPrefix("unimed: ") }
        }
    }

    /// The executable beside the tests' own, or that of the release build.
    static let executable = executable(named: "unimed")

    /// An executable of the package, beside the tests' own or of the release build.
    static func executable(named name: String) -> URL {
        let beside = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent(name)
        if FileManager.default.isExecutableFile(atPath: beside.path) { return beside }
        return root.appendingPathComponent(".build/release/\(name)")
    }

    /// The repository's root.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private let process = Process()
    private let outputFile: URL
    private let errorFile: URL

    /// Starts the program.
    ///
    /// LibTorch is found through the path inside the program: the variables that could help are taken away.
    init(_ arguments: [String], in folder: URL, executable: URL = executable) throws {
        let name = UUID().uuidString
        outputFile = FileManager.default.temporaryDirectory.appendingPathComponent("\(name).out")
        errorFile = FileManager.default.temporaryDirectory.appendingPathComponent("\(name).err")
        for file in [outputFile, errorFile] { try Data().write(to: file) }
        process.executableURL = executable
        process.arguments = arguments
        process.currentDirectoryURL = folder
        var environment = ProcessInfo.processInfo.environment
        environment["LD_LIBRARY_PATH"] = nil
        environment["OMP_NUM_THREADS"] = "1"
        environment["UNIMED_STORE"] =
            FileManager.default.temporaryDirectory.appendingPathComponent("unimed-e2e.sqlite").path
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: outputFile)
        process.standardError = try FileHandle(forWritingTo: errorFile)
        try process.run()
    }

    /// Runs the program to its end.
    static func run(
        _ arguments: [String],
        in folder: URL = FileManager.default.temporaryDirectory,
        executable: URL = executable
    ) throws -> Result {
        try Program(arguments, in: folder, executable: executable).wait()
    }

    /// Waits for the end.
    func wait() throws -> Result {
        process.waitUntilExit()
        let result = Result(
            status: process.terminationReason == .uncaughtSignal
                ? -process.terminationStatus : process.terminationStatus,
            output: try String(contentsOf: outputFile, encoding: .utf8),
            errors: try String(contentsOf: errorFile, encoding: .utf8)
        )
        for file in [outputFile, errorFile] { try FileManager.default.removeItem(at: file) }
        return result
    }

    var isRunning: Bool { process.isRunning }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }
}

/// A folder that is removed when the test is done.
final class TemporaryFolder: Sendable {
    let url: URL

    convenience init() throws {
        let name = "unimed-e2e-\(UUID().uuidString)"
        try self.init(FileManager.default.temporaryDirectory.appendingPathComponent(name))
    }

    /// Makes a folder anew.
    init(_ url: URL) throws {
        self.url = url
        try? FileManager.default.removeItem(at: url)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        chmod(url.path, 0o755)
        try? FileManager.default.removeItem(at: url)
    }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    func write(_ text: String, to name: String) throws -> String {
        let file = url.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
        return file.path
    }
}

/// The smallest run that goes through every stage: phantoms, vocabulary, vision pretraining, features, joint training.
enum TinyRun {
    static let recipe = """
        name: tiny
        seed: 3
        threads: 1
        data:
          imageSize: 64
          sets: [{importer: phantoms, count: 24, validationFraction: 0.25}]
        tokenizer: {train: {vocabularySize: 600}}
        model:
          vision: {imageSize: 64, patchSize: 16, hiddenSize: 32, layerCount: 1, headCount: 2}
          resampler: {method: projection, rate: 4}
          connector: {expertCount: 2}
          language: {hiddenSize: 32, intermediateSize: 64, layerCount: 1, headCount: 2}
          fineTuning: {method: full}
        visionPretraining: {steps: 12, batchSize: 4, checkpointEvery: 3, logEvery: 3}
        training:
          steps: 30
          batchSize: 4
          checkpointEvery: 3
          logEvery: 5
          learningRate: {peak: 0.001, lowest: 0.0001}
        evaluation: {maximumNewTokens: {qa: 8, vqa: 8, rg: 8, rec: 8, reg: 8, cls: 8}}

        """

    /// A finished run that tests read and do not change, made once.
    struct Finished: Sendable {
        let folder: TemporaryFolder
        var run: String { folder.path("run") }
        var model: URL { folder.url.appendingPathComponent("run/model") }
        var data: String { folder.path("data") }
        /// The time from start to end.
        let seconds: Double

        /// The prepared data.
        var prepared: URL {
            get throws {
                let data = folder.url.appendingPathComponent("data")
                let names = try FileManager.default.contentsOfDirectory(atPath: data.path).filter { !$0.hasPrefix(".") }
                return data.appendingPathComponent(try #require(names.first))
            }
        }

        /// The bytes of the final weights.
        var weights: Data {
            get throws { try Data(contentsOf: model.appendingPathComponent("model.safetensors")) }
        }
    }

    private static let finished = Result<Finished, any Error> {
        // Beside the build, because it stays until the next time.
        let folder = try TemporaryFolder(Program.root.appendingPathComponent(".build/end-to-end"))
        _ = try folder.write(recipe, to: "recipe.yaml")
        let start = ContinuousClock.now
        let result = try train(in: folder)
        guard result.status == 0 else { throw Failure(description: result.errors) }
        return Finished(folder: folder, seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    struct Failure: Error, CustomStringConvertible { let description: String }

    static func shared() throws -> Finished { try finished.get() }

    static let arguments = ["train", "recipe.yaml", "--run", "run", "--data-folder", "data"]

    /// Trains to the end in a folder with the recipe.
    static func train(in folder: TemporaryFolder, _ more: [String] = []) throws -> Program.Result {
        try Program.run(arguments + more, in: folder.url)
    }
}
