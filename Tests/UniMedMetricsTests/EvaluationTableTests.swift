import Foundation
import Testing
import UniMedData
import UniMedMetrics

private func record(
    _ id: String,
    dataset: String = "phantoms",
    task: MedicalTask = .imageClassification,
    group: String? = nil,
    value: Double,
    baseline: Double?,
    isParsed: Bool = true
) -> EvaluationRecord {
    EvaluationRecord(
        sampleID: id,
        dataset: dataset,
        task: task,
        group: group,
        prediction: "a",
        reference: "b",
        score: SampleScore(primary: .accuracy, values: [.accuracy: value, .f1: value / 2], isParsed: isParsed),
        baselinePrediction: baseline.map { _ in "c" },
        baselineScore: baseline.map {
            SampleScore(primary: .accuracy, values: [.accuracy: $0, .f1: 0], isParsed: true)
        }
    )
}

@Suite("Evaluation table")
struct EvaluationTableTests {
    @Test func `a row has means, counts and the difference from the baseline`() throws {
        let records = (0..<40).map { index in
            record("\(index)", value: index < 30 ? 1 : 0, baseline: index < 10 ? 1 : 0, isParsed: index != 39)
        }
        let key = EvaluationTable.Key(dataset: "phantoms", task: .imageClassification)
        let table = try EvaluationTable(records: records, skipped: [key: 2])
        let row = try #require(table.rows.first)
        #expect(table.rows.count == 1)
        #expect((row.n, row.skipped, row.unparsed) == (40, 2, 1))
        let primary = try #require(row.primary)
        #expect(primary.metric == .accuracy)
        #expect(primary.value == 0.75)
        #expect(primary.baseline == 0.25)
        #expect(primary.difference?.difference == 0.5)
        #expect(primary.difference?.isAboveZero == true)
        #expect(row.cells.map(\.metric) == [.accuracy, .f1])
    }

    @Test func `without a baseline there is no difference`() throws {
        let table = try EvaluationTable(records: [record("1", value: 1, baseline: nil)])
        #expect(table.rows.first?.primary?.baseline == nil)
        #expect(table.rows.first?.primary?.difference == nil)
    }

    @Test func `rows stand in the order of the tasks, then of the data sets`() throws {
        let table = try EvaluationTable(records: [
            record("1", dataset: "b", task: .imageClassification, value: 1, baseline: nil),
            record("1", dataset: "a", task: .imageClassification, value: 1, baseline: nil),
            record("1", dataset: "c", task: .questionAnswering, value: 1, baseline: nil),
        ])
        #expect(table.rows.map(\.dataset) == ["c", "a", "b"])
    }

    @Test func `a data set whose samples were all skipped has a row without metrics`() throws {
        let key = EvaluationTable.Key(dataset: "gone", task: .reportGeneration)
        let table = try EvaluationTable(records: [], skipped: [key: 7])
        #expect(table.rows.first?.skipped == 7)
        #expect(table.rows.first?.cells.isEmpty == true)
        #expect(table.text.contains("gone"))
    }

    @Test func `drawing groups changes the interval and nothing else`() throws {
        let records = (0..<40).map { record("\($0)", group: "case \($0 / 10)", value: $0 < 20 ? 1 : 0, baseline: 0) }
        let samples = try EvaluationTable(records: records)
        let groups = try EvaluationTable(records: records, resamplingUnit: .groups)
        let first = try #require(samples.rows.first?.primary?.difference)
        let second = try #require(groups.rows.first?.primary?.difference)
        #expect(first.difference == second.difference)
        #expect(first.upper - first.lower < second.upper - second.lower)
    }

    @Test func `it survives JSON, with metrics by name`() throws {
        let table = try EvaluationTable(records: [
            record("1", value: 1, baseline: 0), record("2", value: 0, baseline: 0),
        ])
        let data = try JSONEncoder().encode(table)
        #expect(try JSONDecoder().decode(EvaluationTable.self, from: data) == table)
        let score = try JSONEncoder().encode(
            SampleScore(primary: .intersectionOverUnion, values: [.intersectionOverUnion: 1], isParsed: true)
        )
        #expect(String(decoding: score, as: UTF8.self).contains("\"iou\":1"))
    }

    @Test func `the written forms show percentages and escape what would break them`() throws {
        let records = [
            record("1", dataset: "a|b", value: 1, baseline: 0), record("2", dataset: "a|b", value: 0, baseline: 0),
        ]
        let table = try EvaluationTable(records: records)
        #expect(table.markdown.contains("| a\\|b | cls | 2 | 0 | 0 | Accuracy | 50.0 | 0.0 | +50.0 |"))
        #expect(table.text.contains("50.0"))
        let widths = Set(table.text.split(separator: "\n").map(\.count))
        #expect(widths.count == 1, "every line of the aligned table is as wide as the others")
    }
}
