import Foundation
import Testing
import Torch
import UniMedMetrics
import UniMedReportMetrics

@Suite("Neural report metrics")
struct NeuralReportMetricsTests {
    private let options = BERTScore.Options(layer: 1, rescalesWithBaseline: true)

    /// A folder of checkpoints with the parts that are named.
    private func withFolder(_ parts: [String], _ body: (URL) throws -> Void) throws {
        try Fixture.withTemporaryFolder { folder in
            let manager = FileManager.default
            func copy(_ from: String, _ to: String) throws {
                let target = folder.appending(path: to)
                try manager.createDirectory(
                    at: target.deletingLastPathComponent(),
                    withIntermediateDirectories: true
                )
                try manager.copyItem(at: Fixture.folder.appending(path: from), to: target)
            }
            if parts.contains("bertscore") { try copy("roberta", "bertscore/distilroberta-base") }
            if parts.contains("chexbert") {
                try copy("chexbert.pth", "chexbert/chexbert.pth")
                try copy("bert/vocab.txt", "chexbert/vocab.txt")
                try copy("bert/config.json", "chexbert/config.json")
            }
            if parts.contains("radgraph") {
                try copy("radgraph.tar.gz", "radgraph/model.tar.gz")
                try copy("bert", "radgraph/encoder")
            }
            try body(folder)
        }
    }

    @Test func `a whole folder gives every metric, each as by itself`() throws {
        let expected = try Fixture.expected()
        let pairs = expected.pairs
        try withFolder(["bertscore", "chexbert", "radgraph"]) { folder in
            let metrics = try NeuralReportMetrics(folder: folder, device: .cpu, bertScoreOptions: options)
            #expect(metrics.missing.isEmpty)
            let scores = try metrics.scores(of: pairs)
            #expect(scores.missing.isEmpty)
            #expect(scores.pairs.count == pairs.count)
            let record = try #require(
                expected.bertscore.first { $0.folder == "roberta" && $0.layer == 1 && !$0.idf && $0.rescale }
            )
            let graphs = try #require(metrics.radGraph).scores(of: pairs)
            for (index, values) in scores.pairs.enumerated() {
                #expect(Set(values.keys) == Set(NeuralReportMetrics.metrics))
                #expect(abs((values[.bertScore] ?? .nan) - record.scores[index][2]) < 1e-6)
                let similarity = values[.chexbertSimilarity] ?? .nan
                #expect(abs(similarity - expected.chexbert.similarities[index]) < 1e-6)
                #expect(values[.radGraphF1] == graphs[index].combined)
                let input = RadCliQ.Input(
                    radGraphF1: values[.radGraphF1] ?? .nan,
                    bertScore: values[.bertScore] ?? .nan,
                    chexbertSimilarity: similarity,
                    bleu2: RadCliQ.bleu2(prediction: pairs[index].prediction, reference: pairs[index].reference)
                )
                #expect(values[.radCliQ0] == RadCliQ.v0.score(input))
                #expect(values[.radCliQ1] == RadCliQ.v1.score(input))
            }
            #expect(scores.agreement == (try metrics.chexbert?.agreement(of: pairs)))
            let mean = scores.pairs.compactMap { $0[.radCliQ1] }.reduce(0, +) / Double(pairs.count)
            #expect(scores.mean(of: .radCliQ1) == mean)
            #expect(!Metric.radCliQ1.isHigherBetter)
        }
    }

    @Test func `without a folder every metric is named as missing`() throws {
        let metrics = try NeuralReportMetrics(folder: nil)
        #expect(metrics.missing.map(\.metric) == NeuralReportMetrics.metrics)
        let scores = try metrics.scores(of: [ReportPair(prediction: "a", reference: "b")])
        #expect(scores.pairs == [[:]])
        #expect(scores.missing.map(\.metric) == NeuralReportMetrics.metrics)
        #expect(scores.mean(of: .bertScore) == nil)
        #expect(throws: ReportMetricError.self) {
            _ = try NeuralReportMetrics(folder: Fixture.folder.appending(path: "nowhere"))
        }
    }

    @Test func `what a folder lacks is named, and so is what needs it`() throws {
        try withFolder(["bertscore", "chexbert"]) { folder in
            let metrics = try NeuralReportMetrics(folder: folder, device: .cpu, bertScoreOptions: options)
            #expect(metrics.missing.map(\.metric) == [.radGraphF1, .radCliQ0, .radCliQ1])
            #expect(metrics.missing[0].reason.contains("radgraph"))
            #expect(metrics.missing[1].reason.contains("RadGraph F1"))
            let pairs = try Fixture.expected().pairs
            let without = try metrics.scores(of: pairs)
            #expect(without.missing == metrics.missing)
            #expect(without.pairs.allSatisfy { $0[.radCliQ0] == nil && $0[.bertScore] != nil })
            // Annotations at hand take the model's place.
            let graphs = [RadGraphF1](repeating: .zero, count: pairs.count)
            let with = try metrics.scores(of: pairs, radGraphF1: graphs)
            #expect(with.missing.isEmpty)
            #expect(with.pairs.allSatisfy { $0[.radGraphF1] == 0 && $0[.radCliQ0] != nil })
            #expect(throws: ReportMetricError.self) { _ = try metrics.scores(of: pairs, radGraphF1: []) }
        }
    }

    @Test func `an encoder that RadCliQ was not made for leaves RadCliQ out`() throws {
        try withFolder(["chexbert", "radgraph", "bertscore"]) { folder in
            try FileManager.default.moveItem(
                at: folder.appending(path: "bertscore/distilroberta-base"),
                to: folder.appending(path: "bertscore/another")
            )
            let metrics = try NeuralReportMetrics(folder: folder, device: .cpu, bertScoreOptions: options)
            #expect(metrics.missing.map(\.metric) == [.radCliQ0, .radCliQ1])
            #expect(metrics.missing.allSatisfy { $0.reason.contains("distilroberta-base") })
            let scores = try metrics.scores(of: [ReportPair(prediction: "the heart", reference: "the lungs")])
            #expect(Set(scores.pairs[0].keys) == [.bertScore, .chexbertSimilarity, .radGraphF1])
            #expect(scores.missing == metrics.missing)
        }
    }

    @Test func `what is there and damaged is an error, not a missing metric`() throws {
        try withFolder(["chexbert"]) { folder in
            let file = folder.appending(path: "chexbert/chexbert.pth")
            try Data(contentsOf: file).prefix(1000).write(to: file)
            let error = try #require(throws: ReportMetricError.self) { _ = try NeuralReportMetrics(folder: folder) }
            #expect(error.description.contains("chexbert.pth"))
        }
    }

    @Test func `numbers of RadCliQ in the folder are used`() throws {
        try withFolder(["bertscore", "chexbert", "radgraph"]) { folder in
            let place = folder.appending(path: "radcliq")
            try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
            let constant = try RadCliQ(
                means: [0, 0, 0, 0],
                deviations: [1, 1, 1, 1],
                coefficients: [0, 0, 0, 0],
                intercept: 7
            )
            try JSONEncoder().encode(constant).write(to: place.appending(path: "v0.json"))
            let metrics = try NeuralReportMetrics(folder: folder, device: .cpu, bertScoreOptions: options)
            let scores = try metrics.scores(of: [ReportPair(prediction: "the heart", reference: "the lungs")])
            #expect(scores.mean(of: .radCliQ0) == 7)
            #expect(scores.mean(of: .radCliQ1) != 7)
        }
    }
}
