import Foundation
import Testing
import UniMedRuns

@Suite("Ablations and runs on the command line")
struct AblationTests {
    private static let grid = """
        name: small
        base: recipe.yaml
        seeds: [1, 2]
        baseline: mlp
        columns: [Connector]
        tasks: [vqa, cls]
        overrides: {training: {steps: 9}, evaluation: {limit: 4}}
        rows:
          - name: mlp
            labels: [MLP]
            overrides: {model: {connector: !replace {projector: mlp, layerCount: 2}}}
          - name: cmoe
            labels: [CMoE]
        """

    private static func arguments(_ folder: TemporaryFolder, _ more: [String] = []) -> [String] {
        [
            "ablate", folder.path("grid.yaml"), "-o", folder.path("out"), "--data-folder", folder.path("data"),
            "--store", folder.path("runs.sqlite"), "--draws", "50",
        ] + more
    }

    private static func prepared() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        _ = try folder.write(TinyRun.recipe, to: "recipe.yaml")
        _ = try folder.write(grid, to: "grid.yaml")
        return folder
    }

    @Test func `a grid is planned, run row by row, recorded, and not run again`() throws {
        let folder = try Self.prepared()
        let plan = try Program.run(Self.arguments(folder, ["--dry-run"]))
        #expect(plan.status == 0 && plan.output.contains("4. cmoe, seed 2: not begun, 9 steps"), "\(plan.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder.path("out")))

        let first = try Program.run(Self.arguments(folder, ["--only", "mlp"]))
        #expect(first.status == 0, "\(first.errors)")
        #expect(first.output.contains("cmoe: not finished with the seeds 1, 2."))
        let all = try Program.run(Self.arguments(folder))
        #expect(all.status == 0, "\(all.errors)")
        #expect(!all.output.contains("not finished") && all.errors.contains("[3/4] cmoe, seed 1"))
        #expect(!all.errors.contains("[1/4]"))
        for ending in ["md", "csv", "tex", "html", "json"] {
            #expect(FileManager.default.fileExists(atPath: folder.path("out/small.\(ending)")), "\(ending)")
        }
        let shared = try FileManager.default.contentsOfDirectory(atPath: folder.path("out/shared"))
        #expect(shared.count == 1)
        let runs = try FileManager.default.contentsOfDirectory(atPath: folder.path("out/runs"))
        #expect(
            runs.count == 4
                && runs.allSatisfy { !FileManager.default.fileExists(atPath: folder.path("out/runs/\($0)/vision")) }
        )

        let again = try Program.run(Self.arguments(folder))
        #expect(again.status == 0 && again.output == all.output, "\(again.errors)")
        #expect(!again.errors.contains("joint training"))

        let store = try RunStore(at: URL(fileURLWithPath: folder.path("runs.sqlite")), creating: false)
        let recorded = try store.runs()
        #expect(recorded.count == 4 && recorded.allSatisfy { $0.isFinished && $0.steps == 9 })
        #expect(try recorded.allSatisfy { try store.evaluations(of: $0.id).count == 1 })
        let names = recorded.prefix(2).map(\.id)
        let compared = try Program.run(["runs", "compare"] + names + ["--store", folder.path("runs.sqlite")])
        #expect(compared.status == 0 && compared.output.contains("seed"), "\(compared.errors)")
        let page = try Program.run([
            "runs", "page", "-o", folder.path("page.html"), "--store", folder.path("runs.sqlite"),
        ])
        #expect(page.status == 0, "\(page.errors)")
        let html = try String(contentsOfFile: folder.path("page.html"), encoding: .utf8)
        #expect(html.contains("mlp-seed-1") && html.contains("Settings that differ"))
        let deleted = try Program.run(["runs", "delete", names[0], "--store", folder.path("runs.sqlite")])
        #expect(deleted.status == 0)
        #expect(try store.runs().count == 3)
    }

    @Test func `Ctrl-C leaves what the same command continues`() throws {
        let folder = try Self.prepared()
        let grid = Self.grid.replacingOccurrences(of: "steps: 9", with: "steps: 60, checkpointEvery: 5")
        _ = try folder.write(grid, to: "grid.yaml")
        let program = try Program(Self.arguments(folder, ["--only", "mlp:1"]), in: folder.url)
        let deadline = Date(timeIntervalSinceNow: 60)
        func hasCheckpoint() -> Bool {
            let runs = (try? FileManager.default.contentsOfDirectory(atPath: folder.path("out/runs"))) ?? []
            return runs.contains { run in
                let names = try? FileManager.default.contentsOfDirectory(
                    atPath: folder.path("out/runs/\(run)/checkpoints")
                )
                return names?.contains { $0.hasPrefix("step") } ?? false
            }
        }
        while program.isRunning, !hasCheckpoint(), Date() < deadline { usleep(5000) }
        program.send(SIGINT)
        let stopped = try program.wait()
        // On a fast machine the run may be over before the signal comes.
        #expect(stopped.status == 130 || stopped.status == 0, "\(stopped.errors)")
        let continued = try Program.run(Self.arguments(folder, ["--only", "mlp:1"]), in: folder.url)
        #expect(continued.status == 0, "\(continued.errors)")
        #expect(continued.output.contains("mlp: not finished with the seeds 2."))
    }

    @Test func `samples of the training split are counted, or refused`() throws {
        let folder = try Self.prepared()
        let trained = try TinyRun.train(in: folder)
        #expect(trained.status == 0, "\(trained.errors)")
        let evaluate = [
            "evaluate", folder.path("run"), "--data-folder", folder.path("data"), "--split", "train", "--limit", "2",
            "--task", "cls", "--store", folder.path("runs.sqlite"),
        ]
        let refused = try Program.run(evaluate + ["--refuse-leaks", "-o", folder.path("refused")])
        #expect(refused.status == 1 && refused.failureLines.count == 1, "\(refused.errors)")
        #expect(refused.errors.contains("by image") && refused.errors.contains("by study"))
        let counted = try Program.run(evaluate + ["-o", folder.path("counted"), "--json"])
        #expect(counted.status == 0, "\(counted.errors)")
        struct Summary: Decodable { let leaks: [String: Int] }
        let leaks = try JSONDecoder().decode(Summary.self, from: Data(counted.output.utf8)).leaks
        #expect(leaks["image"] == 2 && leaks["study"] == 2)
        // A model by itself, away from its run, cannot be checked.
        let alone = folder.path("alone")
        try FileManager.default.copyItem(atPath: folder.path("run/model"), toPath: alone)
        let data = try #require(try FileManager.default.contentsOfDirectory(atPath: folder.path("data")).first)
        let unknown = try Program.run([
            "evaluate", alone, "--data", folder.path("data/\(data)"), "--refuse-leaks", "--no-store",
        ])
        #expect(unknown.status == 2 && unknown.errors.contains("cannot be told"), "\(unknown.errors)")
    }

    @Test func `a faulty grid, an unknown row and a missing store are bad input`() throws {
        let folder = try Self.prepared()
        let row = try Program.run(Self.arguments(folder, ["--only", "linear"]))
        #expect(row.status == 2 && row.errors.contains("there are mlp, cmoe"))
        let store = try Program.run(["runs", "list", "--store", folder.path("none.sqlite")])
        #expect(store.status == 2 && store.errors.contains("none.sqlite"))
        _ = try folder.write(Self.grid.replacingOccurrences(of: "steps: 9", with: "stepz: 9"), to: "grid.yaml")
        let grid = try Program.run(Self.arguments(folder))
        #expect(grid.status == 2 && grid.errors.contains("training.stepz"), "\(grid.errors)")
    }
}
