import Foundation
import Testing
import UniMedData

@Suite("Command line")
struct CommandLineTests {
    static let commands: [[String]] = [
        [], ["demo"], ["data"], ["data", "prepare"], ["data", "browse"], ["data", "stats"], ["data", "verify"],
        ["train"], ["evaluate"],
        ["ask"], ["analyze"], ["describe"], ["bench"], ["import"], ["export"], ["checkpoint"],
        ["checkpoint", "inspect"], ["score"], ["ablate"], ["runs"], ["runs", "list"], ["runs", "show"],
        ["runs", "compare"], ["runs", "delete"], ["runs", "page"],
    ]

    @Test(arguments: commands)
    func `every command has complete help`(command: [String]) throws {
        let result = try Program.run(command + ["--help"])
        #expect(result.status == 0)
        #expect(result.output.contains("USAGE: unimed"))
        #expect(result.output.contains("OVERVIEW:"))
        #expect(result.errors.isEmpty)
        if !command.isEmpty, command != ["data"], command != ["checkpoint"], command != ["runs"] {
            #expect(result.output.contains("OPTIONS:"))
        }
    }

    @Test func `the top help lists every command`() throws {
        let help = try Program.run(["--help"]).output
        for command in Self.commands.compactMap(\.first) { #expect(help.contains("\n  \(command) ")) }
    }

    @Test(arguments: [
        ["fly"], ["train"], ["train", "a.yaml", "--steps", "none"], ["describe", "a.yaml", "--fast"],
        ["ask", "-m", "x", "-t", "poetry"], ["data", "prepare", "-o", "x"],
        ["ablate", "a.yaml"], ["ablate", "a.yaml", "-o", "x"], ["runs", "compare", "one"],
    ])
    func `bad usage ends with status 2 and one line`(arguments: [String]) throws {
        let result = try Program.run(arguments)
        #expect(result.status == 2)
        #expect(result.output.isEmpty)
        #expect(result.errors.split(separator: "\n").count == 1)
        #expect(result.failureLines.count == 1)
    }

    @Test func `each result with json is one document and nothing else`() throws {
        let run = try TinyRun.shared()
        let folder = try TemporaryFolder()
        let image = try Self.exampleImage(run, in: folder)
        let commands = [
            ["describe", run.folder.path("recipe.yaml")], ["data", "stats", try run.prepared.path],
            ["data", "verify", try run.prepared.path],
            ["data", "browse", try run.prepared.path, "-o", folder.path("page.html")],
            ["data", "prepare", run.folder.path("recipe.yaml"), "-o", folder.path("prepared")],
            ["train", run.folder.path("recipe.yaml"), "--run", run.run, "--data-folder", run.data],
            ["evaluate", run.run, "--data-folder", run.data, "--limit", "2", "-o", folder.path("evaluation")],
            ["ask", "-m", run.run, "-t", "vqa", "-i", image, "What is shown?"],
            ["analyze", run.run, "--dry-run"], ["analyze", "--recipe", run.folder.path("recipe.yaml"), "--dry-run"],
        ]
        for command in commands {
            let result = try Program.run(command + ["--json"])
            #expect(result.status == 0, "\(command): \(result.errors)")
            #expect(throws: Never.self, "\(command): \(result.output)") {
                try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            }
        }
    }

    @Test func `describe allocates nothing at the size of the paper`() throws {
        let folder = try TemporaryFolder()
        let recipe = try folder.write(
            """
            name: paper
            precision: bfloat16
            data: {sets: [{importer: phantoms}]}
            tokenizer: {file: tokenizer.model}
            model: {}
            training: {steps: 100000}

            """,
            to: "paper.yaml"
        )
        struct Description: Decodable {
            struct Part: Decodable {
                let name: String
                let trained: Int
                let frozen: Int
            }
            let parts: [Part]
        }
        let start = ContinuousClock.now
        let result = try Program.run(["describe", recipe, "--json"])
        #expect(ContinuousClock.now - start < .seconds(60))
        #expect(result.status == 0, "\(result.errors)")
        let parts = try JSONDecoder().decode(Description.self, from: Data(result.output.utf8)).parts
        let counts = Dictionary(uniqueKeysWithValues: parts.map { ($0.name, $0) })
        // 11264 x 45056 + 45056 + 45056 x 5 + 5, as the published router has.
        #expect(counts["connector router"]?.trained == 507_781_125)
        // Five experts of 5632 x 4096 + 4096 x 4096 with biases.
        #expect(counts["connector experts"]?.trained == 5 * (5632 * 4096 + 4096 + 4096 * 4096 + 4096))
        #expect(counts["language model"]?.frozen == 6_738_415_616)
        #expect(counts["language model LoRA"]?.trained == 19_988_480)

        let rates = ["--device-rates", "h100", "--device-rates", "flops=1e12,bandwidth=1e11"]
        let timed = try Program.run(["describe", recipe, "--modules"] + rates)
        #expect(timed.status == 0, "\(timed.errors)")
        #expect(timed.output.contains("llm.model.layers.*.self_attn.q_proj"))
        #expect(timed.output.components(separatedBy: "The least time of a step").count == 3)
        let refused = try Program.run(["describe", recipe, "--device-rates", "fast"])
        #expect(refused.status == 2 && refused.failureLines.count == 1)
        #expect(refused.errors.contains("device rates: expected one of h100"))
    }

    @Test func `a run is analysed into a page, tables and figures`() throws {
        let run = try TinyRun.shared()
        let folder = try TemporaryFolder()
        let result = try Program.run([
            "analyze", run.run, "--data-folder", run.data, "--batches", "2", "--batch-size", "2", "--pictures", "4",
            "--parts", "interference", "--parts", "ablation", "--parts", "attribution", "--parameters", "connector",
            "--parameters", "experts", "-o", folder.path("out"),
        ])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains("tug-of-war index") && result.output.contains("not reached by qa"))
        let page = try String(contentsOfFile: folder.path("out/analysis.html"), encoding: .utf8)
        #expect(page.contains("data:image/png;base64,"))
        let indexes = try String(contentsOfFile: folder.path("out/indexes.csv"), encoding: .utf8)
        #expect(indexes.hasPrefix("set,step,task,readings,index,max_normalized\n"))
        #expect(indexes.contains("expert 1,first order,"))
        for table in ["interference", "statistics", "ablation", "saliency"] {
            #expect(FileManager.default.fileExists(atPath: folder.path("out/\(table).csv")), "\(table)")
        }
        let json = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(fileURLWithPath: folder.path("out/analysis.json")))
        )
        #expect((json as? [String: Any])?["interference"] != nil)

        let beside = try Program.run([
            "analyze", run.run, "--data-folder", run.data, "--batches", "3", "--batch-size", "2", "--parts",
            "interference", "--against", folder.path("out"), "-o", folder.path("beside"),
        ])
        #expect(beside.status == 0, "\(beside.errors)")
        let comparison = try String(contentsOfFile: folder.path("beside/comparison.csv"), encoding: .utf8)
        let lines = comparison.split(separator: "\n")
        #expect(lines.first == "set,task,model,index,max_normalized")
        // The same tasks of both, whose names are alike and are told apart; the experts were analysed in one of them only.
        #expect(lines.count { $0.contains("(1),") } == lines.count { $0.contains("(2),") })
        #expect(lines.count > 2 && lines.dropFirst().allSatisfy { $0.hasPrefix("connector,") })

        for (arguments, fault) in [
            (["analyze", run.run, "--data-folder", run.data, "--against", run.data], "analysis.json"),
            (["analyze"], "Name a run"),
            (["analyze", run.run, "--parameters", "router,experts"], "--parameters"),
            (["analyze", run.run, "--recipe", "a.yaml"], "--recipe"),
            (["analyze", run.run, "--data-folder", run.data, "--parameters", "lora"], "lora"),
        ] {
            let refused = try Program.run(arguments)
            #expect(refused.status == 2 && refused.failureLines.count == 1, "\(arguments)")
            #expect(refused.errors.contains(fault), "\(arguments): \(refused.errors)")
        }
    }

    @Test func `a whole run evaluates, answers and reports`() throws {
        let run = try TinyRun.shared()
        let folder = try TemporaryFolder()
        let evaluated = try Program.run(["evaluate", run.run, "--data-folder", run.data, "-o", folder.path("out")])
        #expect(evaluated.status == 0, "\(evaluated.errors)")
        for task in MedicalTask.allCases { #expect(evaluated.output.contains(task.rawValue)) }
        let page = try String(contentsOfFile: folder.path("out/report.html"), encoding: .utf8)
        #expect(page.contains("data:image/png;base64,"))
        #expect(!page.contains("http://") || !page.contains("src=\"http"))
        let predictions = try String(contentsOfFile: folder.path("out/predictions.jsonl"), encoding: .utf8)
        #expect(predictions.split(separator: "\n").count == evaluatedCount(try run.prepared))

        let image = try Self.exampleImage(run, in: folder)
        for question in [["-t", "rec", "liver"], ["-t", "rg"], ["-t", "reg", "--box", "0,0,1,1"]] {
            let answer = try Program.run(["ask", "-m", run.run, "-i", image] + question)
            #expect(answer.status == 0, "\(question): \(answer.errors)")
        }
        let text = try Program.run(["ask", "-m", run.run, "-t", "qa", "Is the liver an organ?"])
        #expect(text.status == 0, "\(text.errors)")
    }

    @Test func `options of generation change answers`() throws {
        struct Answer: Decodable, Equatable {
            let answer: String
            let finish: String
            let score: Double?
            let normalizedBox: NormalizedBox?
        }
        let run = try TinyRun.shared()
        let folder = try TemporaryFolder()
        let image = try Self.exampleImage(run, in: folder)
        func ask(_ arguments: [String]) throws -> Answer {
            let result = try Program.run(["ask", "-m", run.run, "-i", image, "--json"] + arguments)
            #expect(result.status == 0, "\(arguments): \(result.errors)")
            return try JSONDecoder().decode(Answer.self, from: Data(result.output.utf8))
        }
        let box = try ask(["-t", "rec", "liver", "--constrained", "--maximum-new-tokens", "64"])
        let found = try #require(box.normalizedBox)
        #expect(box.answer == found.text() && found.xMin < found.xMax && found.yMin < found.yMax)
        let organs = ["liver", "left lung", "spleen"]
        let choices = organs.flatMap { ["--choice", $0] }
        #expect(
            organs.contains(try ask(["-t", "cls", "--constrained", "--maximum-new-tokens", "64"] + choices).answer)
        )

        let question = ["-t", "vqa", "What is shown?", "--maximum-new-tokens", "12"]
        let plain = try ask(question)
        #expect(plain.score == nil)
        #expect(try ask(question + ["--beams", "3"]).score != nil)
        let longer = try ask(question + ["--beams", "3", "--length-penalty", "2"]).score
        #expect(try ask(question + ["--beams", "3"]).score != longer)
        let drawn = try (1...4).map { try ask(question + ["--temperature", "5", "--seed", "\($0)"]) }
        #expect(drawn.contains { $0 != drawn[0] })
        #expect(try ask(question + ["--temperature", "5", "--seed", "1"]) == drawn[0])
        #expect(try ask(question + ["--temperature", "5", "--top-k", "1"]).answer == plain.answer)
        #expect(try ask(question + ["--temperature", "5", "--top-p", "0"]).answer == plain.answer)
        let stop = try ask(["-t", "cls", "--constrained", "--stop", "ver", "--choice", "liver"])
        #expect(stop.answer == "li" && stop.finish == "stopString")
    }

    @Test func `the demo goes from nothing to a report, and a second one uses what is there`() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write(TinyRun.recipe, to: "recipe.yaml")
        let arguments = ["demo", "--recipe", "recipe.yaml", "--run", "run", "--data-folder", "data"]
        let first = try Program.run(arguments, in: folder.url)
        #expect(first.status == 0, "\(first.errors)")
        #expect(first.output.contains("answer: "))
        #expect(first.output.contains("run/evaluation/report.html"))
        #expect(!first.errors.contains("used as it is"))
        let report = folder.url.appendingPathComponent("run/evaluation/report.html")
        let written = try FileManager.default.attributesOfItem(atPath: report.path)[.modificationDate] as? Date

        let second = try Program.run(arguments, in: folder.url)
        #expect(second.status == 0, "\(second.errors)")
        for stage in ["data", "evaluation"] {
            #expect(second.errors.contains("\(stage): "))
        }
        #expect(second.errors.components(separatedBy: "used as it is").count == 3, "\(second.errors)")
        #expect(try FileManager.default.attributesOfItem(atPath: report.path)[.modificationDate] as? Date == written)
        let scores = { (text: String) in text.components(separatedBy: "time:")[0] }
        #expect(scores(first.output) == scores(second.output))
    }

    @Test func `a device that is not there is bad input`() throws {
        let run = try TinyRun.shared()
        for device in ["cuda:99", "tpu"] {
            for command in [
                ["ask", "-m", run.run, "-t", "qa", "Why?"], ["evaluate", run.run, "--data-folder", run.data],
                ["train", run.folder.path("recipe.yaml")],
            ] {
                let result = try Program.run(command + ["--device", device])
                #expect(result.status == 2, "\(command): \(result.errors)")
                #expect(result.failureLines.count == 1)
            }
        }
    }

    private func evaluatedCount(_ prepared: URL) -> Int {
        (try? PreparedData.open(at: prepared).indices(split: .validation).count) ?? -1
    }

    /// A picture of the prepared data, as a binary PPM would be refused: written by the program's own demo encoder is
    /// not needed, any PNG will do.
    static func exampleImage(_ run: TinyRun.Finished, in folder: TemporaryFolder) throws -> String {
        // A grey PNG of 1 x 1 pixel.
        let bytes = try #require(
            Data(
                base64Encoded:
                    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
            )
        )
        let path = folder.path("pixel.png")
        try bytes.write(to: URL(fileURLWithPath: path))
        return path
    }
}
