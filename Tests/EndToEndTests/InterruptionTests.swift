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

    @Test func `preparing data, killed and interrupted, ends with the bytes of an uninterrupted preparation`() throws {
        let folder = try TemporaryFolder()
        let recipe = TinyRun.recipe.replacingOccurrences(of: "count: 24", with: "count: 600")
        _ = try folder.write(recipe, to: "recipe.yaml")
        func arguments(_ output: String) -> [String] { ["data", "prepare", "recipe.yaml", "-o", output] }
        func contents(_ output: String) throws -> [String: Data] {
            var contents: [String: Data] = [:]
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path(output)) {
                contents[name] = try Data(contentsOf: folder.url.appendingPathComponent("\(output)/\(name)"))
            }
            return contents
        }
        let start = ContinuousClock.now
        let whole = try Program.run(arguments("whole"), in: folder.url)
        #expect(whole.status == 0, "\(whole.errors)")
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        var generator = SeededGenerator(seed: 7)
        for signal in [SIGKILL, SIGKILL, SIGKILL, SIGINT] {
            let program = try Program(arguments("parts"), in: folder.url)
            usleep(UInt32(generator.uniform(in: 0.3..<0.8) * seconds * 1e6))
            program.send(signal)
            let result = try program.wait()
            // It may have been faster this time.
            if result.status == 0 { continue }
            // A signal ends the program at once, also before it listens.
            #expect(signal == SIGKILL ? result.status == -SIGKILL : [130, -SIGINT].contains(result.status))
            #expect(!FileManager.default.fileExists(atPath: folder.path("parts")))
        }
        let last = try Program.run(arguments("parts"), in: folder.url)
        #expect(last.status == 0, "\(last.errors)")
        #expect(try contents("parts") == contents("whole"))
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted()
        #expect(names == ["parts", "recipe.yaml", "whole"])
    }

    @Test func `features encoded beforehand are those of training, and refused when the pictures change`() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write(TinyRun.recipe, to: "recipe.yaml")
        let encode = ["data", "encode", "recipe.yaml", "--run", "run", "--data-folder", "data"]
        let encoded = try Program.run(encode, in: folder.url)
        #expect(encoded.status == 0, "\(encoded.errors)")
        #expect(encoded.output.contains("24 views of 24 pictures, 16 x 32 in bfloat16"), "\(encoded.output)")
        let file = folder.url.appendingPathComponent("run/features/features.safetensors")
        let features = try Data(contentsOf: file)
        #expect(try Program.run(encode, in: folder.url).status == 0)
        let trained = try TinyRun.train(in: folder)
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(try Data(contentsOf: file) == features)
        #expect(
            try Data(contentsOf: folder.url.appendingPathComponent("run/model/model.safetensors"))
                == TinyRun.shared().weights
        )

        _ = try folder.write(TinyRun.recipe.replacingOccurrences(of: "count: 24", with: "count: 28"), to: "recipe.yaml")
        let refused = try Program.run(encode, in: folder.url)
        #expect(refused.status == 2)
        #expect(refused.failureLines.first?.contains("the pictures") == true, "\(refused.errors)")
        #expect(try Data(contentsOf: file) == features)
        let rebuilt = try Program.run(encode + ["--rebuild"], in: folder.url)
        #expect(rebuilt.status == 0, "\(rebuilt.errors)")
        #expect(rebuilt.output.contains("28 pictures"))
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
