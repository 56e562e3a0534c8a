import Foundation
import Testing
import UniMedData
import UniMedMetrics
import UniMedTasks

private func train(_ task: MedicalTask, _ answers: [String], kind: String? = nil, dataset: String = "a") -> [Sample] {
    answers.enumerated().map { index, answer in
        var sample = Samples.sample(
            task,
            id: "\(kind ?? "")\(index)",
            dataset: dataset,
            split: .train,
            answer: answer
        )
        sample.questionKind = kind
        sample.choices = nil
        return sample
    }
}

private func test(_ task: MedicalTask, kind: String? = nil, dataset: String = "a", choices: [String]? = nil) -> Sample {
    var sample = Samples.sample(task, dataset: dataset)
    sample.questionKind = kind
    sample.choices = choices
    return sample
}

@Suite("Trivial baseline")
struct TrivialBaselineTests {
    @Test func `classification answers the majority class of the data set`() throws {
        let samples =
            train(.imageClassification, ["x", "y", "y"])
            + train(.imageClassification, ["z", "z", "y"], dataset: "b")
        let baseline = try TrivialBaseline(fittedTo: samples)
        #expect(baseline.prediction(for: test(.imageClassification)) == "y")
        #expect(baseline.prediction(for: test(.imageClassification, dataset: "b")) == "z")
        #expect(baseline.prediction(for: test(.imageClassification, dataset: "c")) == nil)
    }

    @Test func `questions are answered by kind`() throws {
        let samples =
            train(.visualQuestionAnswering, ["CT", "CT", "MR"], kind: "modality")
            + train(.visualQuestionAnswering, ["axial", "axial", "axial"], kind: "plane")
        let baseline = try TrivialBaseline(fittedTo: samples)
        #expect(baseline.prediction(for: test(.visualQuestionAnswering, kind: "modality")) == "CT")
        #expect(baseline.prediction(for: test(.visualQuestionAnswering, kind: "plane")) == "axial")
        #expect(baseline.prediction(for: test(.visualQuestionAnswering, kind: "new")) == "axial")
    }

    @Test func `among choices the most frequent one is taken, the first on a tie`() throws {
        let baseline = try TrivialBaseline(fittedTo: train(.questionAnswering, ["a", "a", "a", "c", "c", "b"]))
        #expect(baseline.prediction(for: test(.questionAnswering, choices: ["b", "c"])) == "c")
        #expect(baseline.prediction(for: test(.questionAnswering, choices: ["new", "newer"])) == "new")
        #expect(baseline.prediction(for: test(.questionAnswering, choices: ["c", "a"])) == "a")
    }

    @Test func `the mean box is that of the name, or of all`() throws {
        var samples = train(.referringExpressionComprehension, ["", "", ""])
        samples[0].box = BoundingBox(xMin: 20, yMin: 10, xMax: 100, yMax: 50)
        samples[1].box = BoundingBox(xMin: 40, yMin: 30, xMax: 140, yMax: 90)
        samples[2].objectName = "Spleen"
        samples[2].box = BoundingBox(xMin: 100, yMin: 50, xMax: 200, yMax: 100)
        let baseline = try TrivialBaseline(fittedTo: samples)
        var sample = test(.referringExpressionComprehension)
        #expect(baseline.prediction(for: sample) == "{<15><20><60><70>}")
        sample.objectName = "Kidney"
        #expect(baseline.prediction(for: sample) == "{<27><30><73><80>}")
    }

    @Test func `names are answered by the most frequent one`() throws {
        let baseline = try TrivialBaseline(fittedTo: train(.referringExpressionGeneration, ["RBC", "WBC", "WBC"]))
        #expect(baseline.prediction(for: test(.referringExpressionGeneration)) == "WBC")
    }

    @Test func `the constant report is at least as good as every training report`() throws {
        let reports = (0..<40).map { index in
            "The \(["liver", "spleen", "kidney"][index % 3]) shows a \(index % 2 == 0 ? "small" : "large") mass, size \(index)."
        }
        let samples = train(.reportGeneration, reports)
        let baseline = try TrivialBaseline(fittedTo: samples)
        let constant = try #require(baseline.prediction(for: test(.reportGeneration)))
        let mean = { (text: String) in
            try SummaryStatistics.mean(
                samples.map { try ReportGeneration().score(prediction: text, for: $0).primaryValue }
            )
        }
        let best = try reports.map { try mean($0) }.max() ?? 0
        #expect(try mean(constant) >= best)
        #expect(try mean(constant) > 0.5)
        #expect(try TrivialBaseline(fittedTo: samples) == baseline)
    }

    @Test func `only the training split is learned from`() throws {
        var samples = train(.imageClassification, ["x", "x"])
        samples[0].split = .validation
        samples[1].split = .test
        let baseline = try TrivialBaseline(fittedTo: samples)
        #expect(baseline.prediction(for: test(.imageClassification)) == nil)
        #expect(!baseline.covers(test(.imageClassification)))
    }

    @Test func `it survives JSON`() throws {
        let baseline = try TrivialBaseline(
            fittedTo: train(.imageClassification, ["x"]) + train(.referringExpressionComprehension, [""])
        )
        let data = try JSONEncoder().encode(baseline)
        #expect(try JSONDecoder().decode(TrivialBaseline.self, from: data) == baseline)
    }

    @Test func `a record carries answer and baseline with their scores`() throws {
        let baseline = try TrivialBaseline(fittedTo: train(.imageClassification, ["Liver"]))
        let sample = test(.imageClassification, choices: ["Left lung", "Liver"])
        let record = try TaskRegistry.record(prediction: "left lung", for: sample, baseline: baseline)
        #expect(record.score.primaryValue == 1)
        #expect(record.baselinePrediction == "Liver")
        #expect(record.baselineScore?.primaryValue == 0)
        #expect(record.reference == "Left lung")
    }
}
