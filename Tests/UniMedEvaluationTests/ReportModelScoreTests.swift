import Foundation
import Testing
import UniMedData
import UniMedEvaluation
import UniMedMetrics

@Suite("Scores of report models in a score report")
struct ReportModelScoreTests {
    private func report(_ missing: [ScoreReport.MissingMetric] = []) throws -> ScoreReport {
        let lines = [
            #"""
            {"id": "1", "dataset": "reports", "task": "rg", "prediction": "The heart is normal.",
             "reference": "Heart size is normal.", "scores": {"radcliq_v0": 1.5, "radgraph_f1": 0.25, "f1": 0.9}}
            """#,
            #"""
            {"id": "2", "dataset": "reports", "task": "rg", "prediction": "Lungs are clear.",
             "reference": "The lungs are clear.", "scores": {"radcliq_v0": 2.5}}
            """#,
        ]
        let records = try lines.map { try JSONDecoder().decode(PredictionRecord.self, from: Data($0.utf8)) }
        let scorer = PredictionScorer(bootstrap: PairedBootstrap(resampleCount: 20, seed: 0))
        var report = try scorer.report([PredictionScorer.File(name: "predictions.jsonl", records: records)])
        report.missingModelMetrics = missing
        return report
    }

    @Test func `kept scores of models become cells with the samples that have them`() throws {
        let cells = try #require(report().rows.first).cells
        let radCliQ = try #require(cells.first { $0.metric == .radCliQ0 })
        #expect(radCliQ.value == 2)
        #expect(radCliQ.n == 2)
        let graphs = try #require(cells.first { $0.metric == .radGraphF1 })
        #expect(graphs.value == 0.25)
        #expect(graphs.n == 1)
        #expect(!cells.contains { $0.metric == .bertScore })
        // What is computed from the texts is not taken from the line.
        #expect(cells.first { $0.metric == .f1 }?.value != 0.9)
    }

    @Test func `errors are no percent`() throws {
        let text = try report().text
        #expect(text.contains("2.000"))
        #expect(!text.contains("200.00"))
    }

    @Test func `metrics that were not computed are named with the reason`() throws {
        let missing = [Metric.bertScore, .radCliQ1].map {
            ScoreReport.MissingMetric(metric: $0, reason: "there is no folder bertscore")
        }
        let report = try report(missing)
        let notes = report.notes.filter { $0.hasPrefix("Not computed") }
        #expect(notes == ["Not computed: BERTScore, RadCliQ-v1 (lower is better): there is no folder bertscore."])
        let json = try report.written(as: .json)
        #expect(json.contains("there is no folder bertscore"))
        let read = try JSONDecoder().decode(ScoreReport.self, from: Data(json.utf8))
        #expect(read.missingModelMetrics == missing)
    }
}
