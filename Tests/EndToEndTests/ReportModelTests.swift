import Foundation
import Testing

/// Metrics of reports that need models, on the command line.
@Suite("unimed score --report-models")
struct ReportModelTests {
    /// The small checkpoints of the room's own tests.
    private static let fixtures = Program.root.appendingPathComponent("Tests/UniMedReportMetricsTests/Fixtures")

    private func predictions(in folder: URL) throws -> String {
        let lines = [
            #"{"id": "1", "dataset": "reports", "task": "rg", "prediction": "the heart is normal", "#
                + #""reference": "the lungs are clear"}"#,
            #"{"id": "2", "dataset": "reports", "task": "rg", "prediction": "no edema", "reference": "mild edema"}"#,
        ]
        let file = folder.appendingPathComponent("predictions.jsonl")
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
        return file.path
    }

    @Test func `without a folder the metrics are named as missing`() throws {
        let folder = try TemporaryFolder()
        let result = try Program.run(["score", predictions(in: folder.url), "--draws", "20"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains("Not computed: BERTScore, CheXbert similarity, RadGraph F1"))
        #expect(result.output.contains("no folder of checkpoints was given"))
    }

    @Test func `RadGraph F1 comes from files of annotations`() throws {
        let folder = try TemporaryFolder()
        let related =
            #"{"tokens": "heart", "label": "ANAT-DP", "start_ix": 1, "end_ix": 1, "relations": []}, "#
            + #""2": {"tokens": "normal", "label": "OBS-DP", "start_ix": 3, "end_ix": 3, "relations": [["located_at", "1"]]}"#
        let alone = #"{"tokens": "edema", "label": "OBS-DA", "start_ix": 1, "end_ix": 1, "relations": []}"#
        func annotations(_ second: String, to name: String) throws -> String {
            let text = #"{"1": {"entities": {"1": \#(related)}}, \#(second)}"#
            return try folder.write(text, to: name)
        }
        let references = try annotations(#""2": {"entities": {"1": \#(alone)}}"#, to: "references.json")
        let file = try predictions(in: folder.url)
        let arguments = ["score", file, "--draws", "20", "--format", "csv", "--radgraph-references", references]

        let same = try Program.run(arguments + ["--radgraph-predictions", references])
        #expect(same.status == 0, "\(same.errors)")
        let row = try #require(same.output.split(separator: "\n").first { $0.contains("radgraph_f1") })
        // Entities and relations agree in the first report; the second has no relation that could.
        #expect(row.contains(",0.75,"), "\(row)")

        // Where a file has none of the ids the reports are found by their numbers.
        let others = try folder.write(
            String(contentsOfFile: file, encoding: .utf8).replacingOccurrences(
                of: #""id": ""#,
                with: #""id": "report "#
            ),
            to: "others.jsonl"
        )
        let numbered = try folder.write(
            #"{"0": {"entities": {"1": \#(related)}}, "1": {"entities": {"1": \#(alone)}}}"#,
            to: "numbered.json"
        )
        let byNumber = try Program.run([
            "score", others, "--draws", "20", "--format", "csv", "--radgraph-references", numbered,
            "--radgraph-predictions", numbered,
        ])
        #expect(byNumber.output.contains("radgraph_f1,0,2,,0,0.75,"), "\(byNumber.output) \(byNumber.errors)")

        let lacking = try folder.write(#"{"1": {"entities": {}}}"#, to: "lacking.json")
        let refused = try Program.run(arguments + ["--radgraph-predictions", lacking])
        #expect(refused.status == 2 && refused.failureLines.count == 1)
        #expect(refused.errors.contains("there is no report '2'"), "\(refused.errors)")
        let single = try Program.run(["score", file, "--radgraph-references", references])
        #expect(single.status == 2 && single.errors.contains("belong together"), "\(single.errors)")
    }

    @Test func `what the folder has is computed, on the device that is named, the rest named`() throws {
        let folder = try TemporaryFolder()
        let models = folder.url.appendingPathComponent("models")
        let labeler = models.appendingPathComponent("chexbert")
        try FileManager.default.createDirectory(at: labeler, withIntermediateDirectories: true)
        for (from, to) in [
            ("chexbert.pth", "chexbert.pth"), ("bert/vocab.txt", "vocab.txt"), ("bert/config.json", "config.json"),
        ] {
            try FileManager.default.copyItem(
                at: Self.fixtures.appendingPathComponent(from),
                to: labeler.appendingPathComponent(to)
            )
        }
        let file = try predictions(in: folder.url)
        let arguments = ["score", file, "--draws", "20", "--report-models", models.path]
        let result = try Program.run(arguments + ["--report-device", "cpu"])
        #expect(result.status == 0, "\(result.errors)")
        let row = result.output.split(separator: "\n").first { $0.contains("CheXbert similarity") }
        #expect(row?.hasPrefix("reports") == true, "\(result.output)")
        #expect(result.output.contains("Not computed: BERTScore"))
        #expect(result.output.contains("there is no radgraph/model.tar.gz"))

        let device = try Program.run(arguments + ["--report-device", "tpu"])
        #expect(device.status == 2)
        #expect(device.failureLines.count == 1 && device.errors.contains("tpu"))

        try Data("damaged".utf8).write(to: labeler.appendingPathComponent("chexbert.pth"))
        let damaged = try Program.run(arguments)
        #expect(damaged.status == 2)
        #expect(damaged.failureLines.count == 1 && damaged.errors.contains("chexbert.pth"))
    }
}
