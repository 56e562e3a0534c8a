import Foundation
import Testing
import UniMedData
import UniMedEvaluation
import UniMedMetrics

/// A line as other programs write it.
private func record(
    _ id: Int,
    _ task: MedicalTask,
    _ prediction: String,
    _ reference: String,
    dataset: String = "made",
    choices: [String]? = nil,
    choiceScores: [Double]? = nil
) throws -> PredictionRecord {
    var fields: [String: Any] = [
        "id": "\(id)", "dataset": dataset, "task": task.rawValue, "prediction": prediction, "reference": reference,
    ]
    if let choices { fields["choices"] = choices }
    if let choiceScores { fields["choiceScores"] = choiceScores }
    return try JSONDecoder().decode(PredictionRecord.self, from: JSONSerialization.data(withJSONObject: fields))
}

private func file(_ name: String, _ records: [PredictionRecord]) -> PredictionScorer.File {
    PredictionScorer.File(name: name, records: records)
}

private let scorer = PredictionScorer(bootstrap: PairedBootstrap(resampleCount: 200), resamplingUnit: .samples)

private func classified(_ right: Int, of count: Int = 20, dataset: String = "made") throws -> [PredictionRecord] {
    try (0..<count).map { index in
        try record(
            index,
            .imageClassification,
            index < right ? ["liver", "heart"][index % 2] : "none of them",
            ["liver", "heart"][index % 2],
            dataset: dataset,
            choices: ["liver", "heart"]
        )
    }
}

@Suite("Scoring of kept predictions")
struct PredictionScorerTests {
    @Test func `lines with texts alone are scored, and the same files give the same report`() throws {
        let files = [file("a", try classified(15))]
        let report = try scorer.report(files)
        #expect(try scorer.report(files) == report)
        let row = try #require(report.rows.first)
        #expect((row.n, row.skipped, row.unparsable) == (20, nil, [5]))
        let cell = try #require(row.primaryCell)
        #expect(cell.metric == .accuracy)
        #expect(cell.value == 0.75)
        #expect(cell.standardDeviation == nil)
        let lower = try #require(cell.lower)
        let upper = try #require(cell.upper)
        #expect(lower < 0.75 && upper > 0.75)
        #expect(row.classes.map(\.support) == [10, 10])
        #expect(row.classes.map(\.recall) == [0.8, 0.7])
        let macro = try #require(row.cells.first { $0.metric == .macroF1 })
        #expect(abs(macro.value - (2 * 0.8 / 1.8 + 2 * 0.7 / 1.7) / 2) < 1e-12)
    }

    @Test func `runs with other seeds have a mean and a standard deviation`() throws {
        let report = try scorer.report([
            file("a", try classified(10)), file("b", try classified(12)), file("c", try classified(14)),
        ])
        #expect(report.runCount == 3)
        let cell = try #require(report.rows.first?.primaryCell)
        #expect(abs(cell.value - 0.6) < 1e-12)
        #expect(abs((cell.standardDeviation ?? 0) - 0.1) < 1e-12)
        #expect(report.rows.first?.unparsable == [10, 8, 6])
    }

    @Test func `another model has differences, a probability and the gain`() throws {
        let ours = try classified(18) + classified(10, dataset: "other")
        let theirs = try classified(9) + classified(8, dataset: "other")
        let report = try scorer.report([file("a", ours)], against: [file("b", theirs)])
        let first = try #require(report.rows.first?.primaryCell?.comparison)
        #expect(abs(first.difference - 0.45) < 1e-12)
        #expect(first.lower > 0)
        #expect(first.pValue < 0.05)
        #expect(first.gain == 1)
        // Twice as good on one data set, a quarter better on the other.
        #expect(report.gains.map(\.task) == [.imageClassification])
        #expect(abs((report.totalGain ?? 0) - 0.625) < 1e-12)
        // One task: its interval is the total's.
        let (lower, upper) = (try #require(report.totalGainLower), try #require(report.totalGainUpper))
        #expect(lower > 0 && lower < 0.625 && upper > 0.625)
        #expect(report.gains.first?.lower == lower && report.gains.first?.upper == upper)
        let equal = try scorer.report([file("a", ours)], against: [file("b", ours)])
        #expect(equal.rows.first?.primaryCell?.comparison?.pValue == 1)
        #expect(equal.totalGain == 0 && equal.totalGainLower == 0 && equal.totalGainUpper == 0)
    }

    @Test func `files that do not fit together are refused by name`() throws {
        let some = try classified(5)
        #expect(throws: EvaluationError.self) { try scorer.report([file("a", some + [some[0]])]) }
        #expect(throws: EvaluationError.self) {
            try scorer.report([file("a", some), file("b", Array(some.prefix(3)))])
        }
        #expect(throws: EvaluationError.self) {
            try scorer.report([file("a", some)], against: [file("b", Array(some.prefix(3)))])
        }
        #expect(throws: EvaluationError.self) { try scorer.report([]) }
    }

    @Test func `visual questions have rows for open and closed ones`() throws {
        let records =
            try (0..<4).map {
                try record($0, .visualQuestionAnswering, "yes", $0 < 3 ? "yes" : "no", choices: ["yes", "no"])
            }
            + (4..<6).map { try record($0, .visualQuestionAnswering, "left lung", "left lung") }
        let report = try scorer.report([file("a", records)])
        #expect(report.rows.map(\.subset) == [.all, .open, .closed])
        #expect(report.rows.map(\.n) == [6, 2, 4])
        let closed = report.rows[2].cells.first { $0.metric == .closedAccuracy }
        #expect(closed?.value == 0.75)
        #expect(report.rows[1].cells.contains { $0.metric == .closedAccuracy } == false)
        #expect(report.rows[1].primaryCell?.value == 1)
    }

    @Test func `reports have the corpus metrics, and METEOR names its missing stages`() throws {
        let texts = ["The heart is normal in size.", "No pleural effusion is seen.", "The lungs are clear."]
        let records =
            try texts.enumerated().map { try record($0, .reportGeneration, $1, $1) }
            + [record(3, .reportGeneration, "", "Nothing was said.")]
        let report = try scorer.report([file("a", records)])
        let row = try #require(report.rows.first)
        #expect(row.primary == .corpusBLEU1)
        #expect(row.leftOut == 1)
        for metric in [Metric.corpusBLEU1, .corpusBLEU4, .rouge1, .rougeL, .meteor, .f1] {
            let cell = try #require(row.cells.first { $0.metric == metric })
            #expect(abs(cell.value - 1) < 1e-6, "\(metric)")
            #expect(cell.n == 3)
        }
        #expect(report.missingMETEORStages == ["synonym", "paraphrase"])
        #expect(report.text.contains("METEOR without its stages synonym and paraphrase"))
    }

    @Test func `likelihoods of labels give the area under the ROC curve`() throws {
        let records = try (0..<4).map { index in
            try record(
                index,
                .imageClassification,
                "liver",
                index < 2 ? "liver" : "heart",
                choices: ["liver", "heart"],
                choiceScores: [[-1, -3], [-2, -2.5], [-2, -2.2], [-4, -1]][index]
            )
        }
        let row = try #require(try scorer.report([file("a", records)]).rows.first)
        #expect(row.classes.map(\.rocArea) == [1, 1])
        #expect(row.cells.first { $0.metric == .rocArea }?.value == 1)
    }

    @Test(arguments: ScoreReport.Form.allCases)
    func `every written form has the scores and escapes what would break it`(form: ScoreReport.Form) throws {
        let report = try scorer.report(
            [file("a", try classified(15, dataset: "a|b_<i>,\"c\""))],
            against: [file("b", try classified(12, dataset: "a|b_<i>,\"c\""))]
        )
        let text = try report.written(as: form)
        #expect(text.contains("75.00") || text.contains("0.75"))
        switch form {
        case .markdown: #expect(text.contains("a\\|b"))
        case .html: #expect(text.contains("&lt;i&gt;") && !text.contains("<i>"))
        case .latex: #expect(text.contains("b\\_$<$i$>$"))
        case .csv: #expect(text.contains("\"a|b_<i>,\"\"c\"\"\""))
        case .json: #expect(try JSONDecoder().decode(ScoreReport.self, from: Data(text.utf8)) == report)
        case .text: #expect(text.contains("Gain over the other model"))
        }
    }

    @Test func `a box without its annotation is refused, unless it was scored`() throws {
        let line = try record(0, .referringExpressionComprehension, "{<1><2><3><4>}", "{<1><2><3><4>}")
        #expect(throws: EvaluationError.self) { try scorer.report([file("a", [line])]) }
        var scored = line
        scored.scores = [.intersectionOverUnion: 0.5]
        #expect(try scorer.report([file("a", [scored])]).rows.first?.primaryCell?.value == 0.5)
    }
}
