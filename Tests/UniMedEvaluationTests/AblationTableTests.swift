import Foundation
import Testing
import UniMedData
import UniMedEvaluation
import UniMedMetrics

@Suite("Ablation tables")
struct AblationTableTests {
    private static let scorer = PredictionScorer(
        bootstrap: PairedBootstrap(resampleCount: 100),
        resamplingUnit: .samples
    )

    /// Predictions of a classification of which the first `right` of ten are right.
    private static func file(_ right: Int, dataset: String = "made", leaks: [String]? = []) throws
        -> PredictionScorer.File
    {
        let records = try (0..<10).map { index -> PredictionRecord in
            let reference = index % 2 == 0 ? "liver" : "heart"
            var fields: [String: Any] = [
                "id": "\(index)", "dataset": dataset, "task": "cls", "choices": ["liver", "heart"],
                "prediction": index < right ? reference : "none of them", "reference": reference,
            ]
            if let leaks, index == 0 { fields["leaks"] = leaks }
            if leaks != nil, index > 0 { fields["leaks"] = [String]() }
            let bytes = try JSONSerialization.data(withJSONObject: fields)
            return try JSONDecoder().decode(PredictionRecord.self, from: bytes)
        }
        return PredictionScorer.File(name: "\(right)", records: records, skipped: [:])
    }

    private static func table(_ layout: AblationTable.Layout = .ablation) throws -> AblationTable {
        let baseline = [try file(5), try file(5)]
        let better = [try file(6, leaks: ["image"]), try file(8, leaks: ["image"])]
        return AblationTable(
            title: "Connectors_1",
            columns: ["Connector", "Router"],
            layout: layout,
            seeds: [1, 2],
            rows: [
                .init(name: "mlp", labels: ["MLP", "-"], seeds: [1, 2], report: try scorer.report(baseline)),
                .init(
                    name: "cmoe",
                    labels: ["CMoE", "soft"],
                    section: "Experts",
                    baseline: "mlp",
                    seeds: [1, 2],
                    report: try scorer.report(better, against: baseline)
                ),
                .init(name: "late", labels: ["CMoE", "hard"], baseline: "mlp", seeds: [], report: nil),
            ]
        )
    }

    @Test func `a row has means, deviations and the gain over its baseline`() throws {
        let text = try Self.table().written(as: .markdown)
        // (0.6 + 0.8) / 2 beside 0.5: a gain of 40 %, of the only task and in total.
        #expect(text.contains("| CMoE | soft | 70.00 ± 14.14 | +40.0% | +40.0% |"))
        #expect(text.contains("| MLP | - | 50.00 ± 0.00 |  |  |"))
        #expect(text.contains("| **Experts** |"))
        #expect(text.contains("| CMoE | hard | not run | not run | not run |"))
        #expect(text.contains("late: not finished with the seeds 1, 2."))
    }

    @Test func `numbers of samples, skipped, unparsable and leaks stand beside every row`() throws {
        let text = try Self.table().written(as: .markdown)
        #expect(text.contains("| cmoe | made | cls | Accuracy | 10 | 0 | 4, 2 | 1 image | 70.00 | 14.14 |"))
        #expect(text.contains("| mlp | made | cls | Accuracy | 10 | 0 | 5, 5 | 0 | 50.00 | 0.00 |"))
        #expect(text.contains("stand in the training split"))
        let unchecked = try Self.scorer.report([try Self.file(5, leaks: nil)])
        #expect(unchecked.rows.first?.leaks == nil && unchecked.text.contains("Leaks are not checked"))
    }

    @Test func `the other layout has a column for each row`() throws {
        let text = try Self.table(.capability).written(as: .markdown)
        #expect(text.contains("| Task | Data set | Metric | MLP, - | CMoE, soft | CMoE, hard |"))
        #expect(text.contains("| cls | made | Accuracy | 50.00 ± 0.00 | 70.00 ± 14.14 | not run |"))
    }

    @Test func `every form is written, with its own marks escaped`() throws {
        let table = try Self.table()
        let latex = try table.written(as: .latex)
        #expect(
            latex.contains("Connectors\\_1") && latex.contains("70.00 $\\pm$ 14.14")
                && latex.contains("\\multicolumn{6}")
        )
        let html = try table.written(as: .html)
        #expect(html.contains("<th colspan=\"6\">Experts</th>") && html.contains("70.00 ± 14.14"))
        let csv = try table.written(as: .csv).split(separator: "\n").map {
            $0.split(separator: ",", omittingEmptySubsequences: false)
        }
        #expect(csv.allSatisfy { $0.count == csv[0].count } && csv.count > 2)
        let kept = try JSONDecoder().decode(AblationTable.self, from: Data(try table.written(as: .json).utf8))
        #expect(kept == table)
    }
}
