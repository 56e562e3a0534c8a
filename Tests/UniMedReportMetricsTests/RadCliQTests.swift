import Foundation
import Testing
import UniMedReportMetrics

@Suite("RadCliQ")
struct RadCliQTests {
    private let inputs = [
        RadCliQ.Input(radGraphF1: 0.25, bertScore: 0.5, chexbertSimilarity: 0.75, bleu2: 0.125),
        RadCliQ.Input(radGraphF1: 1, bertScore: 1, chexbertSimilarity: 1, bleu2: 1),
        RadCliQ.Input(radGraphF1: 0, bertScore: -0.2, chexbertSimilarity: 0.1, bleu2: 0),
    ]

    @Test func `scores equal those of the published files`() {
        // composite_metric_model.pkl after normalizer.pkl, and radcliq-v1.pkl, computed by scikit-learn 1.9.1.
        let v0 = [2.2982011267146643, -0.24213342294409346, 5.9307896602977]
        let v1 = [0.5673375560098607, -1.4406902828047017, 2.6808349783520957]
        for (index, input) in inputs.enumerated() {
            #expect(abs(RadCliQ.v0.score(input) - v0[index]) < 1e-12)
            #expect(abs(RadCliQ.v1.score(input) - v1[index]) < 1e-12)
        }
    }

    @Test func `numbers can come from a file, which is checked`() throws {
        try Fixture.withTemporaryFolder { folder in
            let file = folder.appending(path: "v0.json")
            try JSONEncoder().encode(RadCliQ.v0).write(to: file)
            #expect(try RadCliQ(contentsOf: file) == .v0)
            for text in [
                #"{"means": [1, 2, 3], "deviations": [1, 1, 1, 1], "coefficients": [1, 1, 1, 1], "intercept": 0}"#,
                #"{"means": [1, 2, 3, 4], "deviations": [1, 1, 0, 1], "coefficients": [1, 1, 1, 1], "intercept": 0}"#,
                #"{"means": [1, 2, 3, 4], "deviations": [1, 1, 1, 1], "coefficients": [1, 1, 1, 1]}"#,
            ] {
                try Data(text.utf8).write(to: file)
                let error = try #require(throws: ReportMetricError.self) { _ = try RadCliQ(contentsOf: file) }
                #expect(error.kind == .malformed)
            }
        }
    }

    @Test func `BLEU-2 equals the public tool's, with its smoothing`() throws {
        struct Expected: Decodable {
            var bleu2: [Double]
        }
        let numbers = try Fixture.read("expected.json", as: Expected.self).bleu2
        let pairs =
            try Fixture.expected().pairs
            + [ReportPair(prediction: "Heart is enlarged.", reference: "lungs heart clear is")]
        try #require(numbers.count == pairs.count)
        for (pair, number) in zip(pairs, numbers) {
            let score = RadCliQ.bleu2(prediction: pair.prediction, reference: pair.reference)
            #expect(abs(score - number) < 1e-12)
        }
        #expect(numbers.contains { $0 > 0 && $0 < 0.2 })
    }
}
