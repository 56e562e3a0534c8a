import Foundation
import Testing
import UniMedData

@Suite("Interruption")
struct InterruptionTests {
    @Test func `training killed at twenty random moments ends with the weights of an uninterrupted run`() throws {
        let reference = try TinyRun.shared()
        var generator = SeededGenerator(seed: 20)
        var kills = 0
        var attempts = 0
        while kills < 20 {
            let folder = try TemporaryFolder()
            _ = try folder.write(TinyRun.recipe, to: "recipe.yaml")
            var ended: Program.Result?
            while ended == nil {
                attempts += 1
                try #require(attempts < 200, "the run ended before it could be killed, again and again")
                let program = try Program(TinyRun.arguments, in: folder.url)
                let delay = generator.uniform(in: 0.05..<1) * reference.seconds
                let end = ContinuousClock.now + .seconds(delay)
                while program.isRunning, kills >= 20 || ContinuousClock.now < end { usleep(2000) }
                program.send(SIGKILL)
                let result = try program.wait()
                if result.status == -SIGKILL {
                    kills += 1
                } else {
                    try #require(result.status == 0, "\(result.errors)")
                    ended = result
                }
            }
            let weights = try Data(contentsOf: folder.url.appendingPathComponent("run/model/model.safetensors"))
            #expect(weights == (try reference.weights))
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("run/checkpoints"))
            #expect(!names.contains { $0.hasSuffix(".partial") || $0.hasSuffix(".removed") }, "\(names)")
        }
        #expect(kills >= 20)
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func `a signal saves, ends with 130, and the same command continues`(signal: Int32) throws {
        let reference = try TinyRun.shared()
        let folder = try TemporaryFolder()
        _ = try folder.write(TinyRun.recipe, to: "recipe.yaml")
        let program = try Program(TinyRun.arguments, in: folder.url)
        let latest = folder.url.appendingPathComponent("run/checkpoints/latest")
        while program.isRunning, !FileManager.default.fileExists(atPath: latest.path) { usleep(2000) }
        program.send(signal)
        let result = try program.wait()
        #expect(result.status == 130, "\(result.errors)")
        #expect(result.failureLines == ["unimed: interrupted"])
        let name = try String(contentsOf: latest, encoding: .utf8).trimmingCharacters(in: .newlines)
        let step = try #require(Int(name.dropFirst("step-".count)))
        #expect(result.errors.contains("stopped after step \(step);"), "\(name): \(result.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder.path("run/model")))

        let continued = try TinyRun.train(in: folder)
        #expect(continued.status == 0, "\(continued.errors)")
        let weights = try Data(contentsOf: folder.url.appendingPathComponent("run/model/model.safetensors"))
        #expect(weights == (try reference.weights))
    }

    @Test func `a finished run is used as it is`() throws {
        let reference = try TinyRun.shared()
        let before = try reference.weights
        let result = try TinyRun.train(in: reference.folder)
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.errors.contains("used as it is"))
        #expect(try reference.weights == before)
    }

    @Test func `a run folder of another recipe is refused`() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write(TinyRun.recipe, to: "recipe.yaml")
        try FileManager.default.copyItem(atPath: try TinyRun.shared().run, toPath: folder.path("run"))
        try FileManager.default.removeItem(atPath: folder.path("run/model"))
        let result = try TinyRun.train(in: folder, ["--steps", "31"])
        #expect(result.status == 2, "\(result.errors)")
        #expect(result.failureLines.first?.contains("run/checkpoints") == true, "\(result.errors)")
    }
}
