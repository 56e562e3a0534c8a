import Foundation
import Testing
import UniMedReportMetrics

@Suite("BERTScore")
struct BERTScoreTests {
    /// Float32 in the model; rescaling multiplies differences by up to 1.3.
    private let tolerance = 1e-6

    @Test func `scores equal those of the bert-score package`() throws {
        let expected = try Fixture.expected()
        #expect(expected.bertscore.count == 20)
        for record in expected.bertscore {
            let metric = try BERTScore(
                folder: Fixture.folder.appending(path: record.folder),
                options: BERTScore.Options(
                    layer: record.layer,
                    usesInverseDocumentFrequency: record.idf,
                    rescalesWithBaseline: record.rescale
                )
            )
            let scores = try metric.scores(of: expected.pairs)
            try #require(scores.count == record.scores.count)
            for (score, numbers) in zip(scores, record.scores) {
                let place = "\(record.folder) layer \(record.layer) idf \(record.idf) rescaled \(record.rescale)"
                #expect(abs(score.precision - numbers[0]) < tolerance, "\(place)")
                #expect(abs(score.recall - numbers[1]) < tolerance, "\(place)")
                #expect(abs(score.f1 - numbers[2]) < tolerance, "\(place)")
            }
        }
    }

    @Test func `a score does not depend on the other pairs`() throws {
        let pairs = try Fixture.expected().pairs
        let metric = try BERTScore(
            folder: Fixture.folder.appending(path: "bert"),
            options: BERTScore.Options(layer: 2)
        )
        let together = try metric.scores(of: pairs)
        for (pair, score) in zip(pairs, together) {
            let alone = try metric.scores(of: [pair])
            #expect(abs((alone.first?.f1 ?? .nan) - score.f1) < 1e-6)
        }
    }

    @Test func `without a layer for the model's name or a baseline loading says so`() throws {
        let folder = Fixture.folder.appending(path: "bert-cased")
        let layer = try #require(throws: ReportMetricError.self) { _ = try BERTScore(folder: folder) }
        #expect(layer.kind == .invalidInput)
        #expect(layer.description.contains("layer"))
        let baseline = try #require(throws: ReportMetricError.self) {
            _ = try BERTScore(folder: folder, options: BERTScore.Options(layer: 1, rescalesWithBaseline: true))
        }
        #expect(baseline.description.contains("baseline"))
        #expect(throws: ReportMetricError.self) {
            _ = try BERTScore(
                folder: Fixture.folder.appending(path: "bert"),
                options: BERTScore.Options(layer: 3)
            )
        }
    }

    @Test func `the published choices are known by name`() {
        #expect(BERTScoreModels.layer(of: "distilroberta-base") == 5)
        #expect(BERTScoreModels.layer(of: "roberta-large") == 17)
        #expect(BERTScoreModels.layer(of: "scibert_scivocab_uncased") == 8)
        #expect(BERTScoreModels.layer(of: "unknown") == nil)
        #expect(BERTScoreModels.baseline(of: "distilroberta-base", layer: 5)?.f1 == 0.8473319)
        #expect(BERTScoreModels.baseline(of: "distilroberta-base", layer: 4) == nil)
    }
}
