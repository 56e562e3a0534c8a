import Foundation
import Testing
import Torch
import TorchCheckpoints
import UniMedReportMetrics

@Suite("CheXbert")
struct CheXbertTests {
    private func labeler() throws -> CheXbert {
        try CheXbert(
            checkpoint: Fixture.folder.appending(path: "chexbert.pth"),
            vocabulary: Fixture.folder.appending(path: "bert"),
            configuration: BERTConfiguration(contentsOf: Fixture.folder.appending(path: "bert/config.json"))
        )
    }

    @Test func `labels, vectors and similarities equal those of the public labeler`() throws {
        let expected = try Fixture.expected()
        let labeler = try labeler()
        let reports = expected.predictions + expected.references
        #expect(try labeler.labels(of: reports) == expected.chexbert.labels.map { $0.map(\.label) })

        let vectors: [Float] = try labeler.embeddings(of: reports).array()
        let numbers = expected.chexbert.vectors.flatMap { $0 }
        try #require(vectors.count == numbers.count)
        // Float32 sums in another order; values reach 3.
        #expect(zip(vectors, numbers).allSatisfy { abs(Double($0) - $1) < 1e-5 })

        let similarities = try labeler.similarities(of: expected.pairs)
        #expect(similarities.count == expected.chexbert.similarities.count)
        #expect(zip(similarities, expected.chexbert.similarities).allSatisfy { abs($0 - $1) < 1e-6 })
    }

    @Test func `F1 over 14 and 5 conditions equals the public scorer's`() throws {
        let expected = try Fixture.expected()
        let agreement = try labeler().agreement(of: expected.pairs)
        #expect(agreement.count == expected.pairs.count)
        #expect(abs(agreement.five.exactAccuracy - expected.chexbert.accuracyFive) < 1e-12)

        func compare(_ ratios: ConditionAgreement.Ratios, _ numbers: Fixture.Expected.Ratios?, _ name: String) throws {
            let numbers = try #require(numbers)
            #expect(abs(ratios.precision - numbers.precision) < 1e-12, "\(name)")
            #expect(abs(ratios.recall - numbers.recall) < 1e-12, "\(name)")
            #expect(abs(ratios.f1 - numbers.f1) < 1e-12, "\(name)")
        }
        for (summary, numbers) in [
            (agreement.fourteen, expected.chexbert.fourteen), (agreement.five, expected.chexbert.five),
        ] {
            try compare(summary.micro, numbers["micro avg"], "micro")
            try compare(summary.macro, numbers["macro avg"], "macro")
            try compare(summary.weighted, numbers["weighted avg"], "weighted")
            try compare(summary.samples, numbers["samples avg"], "samples")
        }
        for (index, condition) in agreement.conditions.enumerated() {
            let numbers = expected.chexbert.fourteen["c\(index)"]
            try compare(condition.ratios, numbers, condition.condition.rawValue)
            #expect(Double(condition.support) == numbers?.support)
        }
    }

    @Test func `a checkpoint without a head is refused with its name`() throws {
        try Fixture.withTemporaryFolder { folder in
            let source = try PyTorchFile(contentsOf: Fixture.folder.appending(path: "chexbert.pth"))
                .weights(at: ["model_state_dict"])
            let kept = source.keys.filter { !$0.hasPrefix("module.linear_heads.13.") }
            let file = folder.appending(path: "chexbert.safetensors")
            try SafetensorsFile.write(kept.map { ($0, try source.tensor(named: $0)) }, metadata: [:], to: file)
            let error = try #require(throws: ReportMetricError.self) {
                _ = try CheXbert(
                    checkpoint: file,
                    vocabulary: Fixture.folder.appending(path: "bert/vocab.txt"),
                    configuration: BERTConfiguration(contentsOf: Fixture.folder.appending(path: "bert/config.json"))
                )
            }
            #expect(error.kind == .weights)
            #expect(error.description.contains("linear_heads.13"))
        }
    }

    @Test func `agreement counts uncertain conditions as there`() throws {
        var reference = [CheXbert.Label](repeating: .blank, count: 14)
        var prediction = reference
        reference[1] = .uncertain
        reference[4] = .positive
        prediction[1] = .positive
        prediction[4] = .negative
        let agreement = try ConditionAgreement(predictions: [prediction], references: [reference])
        #expect(agreement.fourteen.micro.precision == 1)
        #expect(agreement.fourteen.micro.recall == 0.5)
        #expect(agreement.agreesOnFive == [false])
        #expect(agreement.fourteen.macro.f1 == 1.0 / 14)
        #expect(throws: ReportMetricError.self) { _ = try ConditionAgreement(predictions: [], references: []) }
    }
}
