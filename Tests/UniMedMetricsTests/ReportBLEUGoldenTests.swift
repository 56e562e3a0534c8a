import Foundation
import Testing
import UniMedMetrics

private let path = "eval/report_metrics/cases.json"

private struct Fixture: Decodable {
    struct Case: Decodable {
        struct Tokens: Decodable {
            var raw_pred: String
            var raw_gt: String
        }

        var kept_by_reference_filter: Bool
        var ptb_tokenized: Tokens
    }

    struct Corpus: Decodable {
        struct Values: Decodable {
            var bleu_scores: [String: Double]
        }

        var reference_evaluate_all: Values
        var bleu_unfiltered: [String: Double]
    }

    var cases: [Case]
    var corpus: Corpus
}

@Suite("Corpus BLEU against the reference", .enabled(if: Golden.has(path), "no golden files under UNIMED_GOLDEN"))
struct ReportBLEUGoldenTests {
    @Test func `corpus BLEU of the reference's tokens equals its reported scores`() throws {
        let fixture = try Golden.decode(Fixture.self, from: path)
        let words = { (text: String) in text.split(separator: " ").map(String.init) }
        let parts = [
            (fixture.cases.filter(\.kept_by_reference_filter), fixture.corpus.reference_evaluate_all.bleu_scores),
            (fixture.cases, fixture.corpus.bleu_unfiltered),
        ]
        for (cases, expected) in parts {
            let scores = try BLEU.corpus(
                cases.map { words($0.ptb_tokenized.raw_pred) },
                references: cases.map { words($0.ptb_tokenized.raw_gt) },
                order: 4
            )
            for order in 1...4 {
                #expect(agree(scores[order - 1], try #require(expected["bleu\(order)"])))
            }
        }
    }
}
