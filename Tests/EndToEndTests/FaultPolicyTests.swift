import Foundation
import Testing
import UniMedData

@Suite("Faults in data sets, on the command line")
struct FaultPolicyTests {
    /// A folder with four questions, of which the third has a task that is none.
    private func makeFolder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let lines = (1...4).map { number in
            #"{"id": "q\#(number)", "task": "\#(number == 3 ? "walk" : "qa")", "question": "Is it \#(number)?", "#
                + #""answer": "yes", "split": "\#(number == 4 ? "validation" : "train")"}"# + "\n"
        }
        _ = try folder.write(lines.joined(), to: "set/patient-smith.jsonl")
        return folder
    }

    private static let fault = "patient-smith.jsonl:3"

    private func prepare(_ folder: TemporaryFolder, _ more: String...) throws -> Program.Result {
        let arguments = ["data", "prepare", "--set", "json-lines=" + folder.path("set"), "-o", folder.path("out")]
        return try Program.run(arguments + more)
    }

    @Test func `faults are skipped and counted unless they are refused`() throws {
        let folder = try makeFolder()
        let refused = try prepare(folder, "--faults", "refuse")
        #expect(refused.status == 2 && refused.output.isEmpty)
        #expect(refused.failureLines.count == 1 && refused.failureLines[0].contains("record"), "\(refused.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder.path("out")))
        for arguments in [[], ["--faults", "skip"]] {
            let skipped = try arguments.isEmpty ? prepare(folder) : prepare(folder, "--faults", "skip")
            #expect(skipped.status == 0, "\(skipped.errors)")
            #expect(skipped.output.contains("1 left out") && skipped.output.contains("3 samples"), "\(skipped.output)")
        }
        // Data that are there already and had a fault are refused as well.
        let again = try prepare(folder, "--faults", "refuse")
        #expect(again.status == 2 && again.failureLines.count == 1)
        #expect(try prepare(folder, "--faults", "perhaps").status != 0)
    }

    @Test func `what is left out is named only where names are asked for`() throws {
        let folder = try makeFolder()
        let hidden = try prepare(folder, "--faults", "refuse")
        #expect(!hidden.errors.contains("smith"), "\(hidden.errors)")
        let named = try prepare(folder, "--faults", "refuse", "--names")
        #expect(named.failureLines.first?.contains(Self.fault) == true, "\(named.errors)")
        let report = try prepare(folder, "--json")
        #expect(report.status == 0 && !report.output.contains("smith"), "\(report.output)")
        let open = try prepare(folder, "--json", "--names")
        #expect(open.status == 0 && open.output.contains(Self.fault), "\(open.output)")
        for text in [report.output, open.output] {
            #expect(try JSONDecoder().decode(PreparedData.Manifest.self, from: Data(text.utf8)).sampleCount == 3)
        }
    }

    @Test func `a recipe says what becomes of faults, and the command line may say otherwise`() throws {
        let folder = try makeFolder()
        func recipe(_ faults: String) throws -> String {
            let set = "sets: [{importer: json-lines, path: set}]\n  faults: \(faults)"
            let text = TinyRun.recipe.replacingOccurrences(
                of: "sets: [{importer: phantoms, count: 24, validationFraction: 0.25}]",
                with: set
            )
            #expect(text != TinyRun.recipe)
            return try folder.write(text, to: "recipe-\(faults).yaml")
        }
        let refusing = try recipe("refuse")
        let output = ["-o", folder.path("out")]
        for arguments in [
            ["data", "prepare", refusing] + output,
            ["train", refusing, "--run", folder.path("run"), "--data-folder", folder.path("data")],
        ] {
            let result = try Program.run(arguments)
            #expect(result.status == 2 && result.failureLines.count == 1, "\(arguments): \(result.errors)")
            #expect(result.failureLines.first?.contains("json-lines") == true, "\(result.errors)")
            #expect(!result.errors.contains("smith"), "\(result.errors)")
        }
        #expect(try Program.run(["data", "prepare", refusing, "--faults", "skip"] + output).status == 0)
        let skipping = try recipe("skip")
        #expect(try Program.run(["data", "prepare", skipping] + output).status == 0)
        #expect(try Program.run(["data", "prepare", skipping, "--faults", "refuse"] + output).status == 2)
        let wrong = try Program.run(["data", "prepare", try recipe("perhaps")] + output)
        #expect(wrong.status == 2 && wrong.failureLines.first?.contains("data.faults") == true, "\(wrong.errors)")
    }
}
