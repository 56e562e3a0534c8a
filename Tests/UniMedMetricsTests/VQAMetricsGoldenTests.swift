import Foundation
import Testing
import UniMedMetrics

private let path = "eval/vqa_metrics/cases.json"

private struct Fixture: Decodable {
    struct Case: Decodable {
        var id: Int
        var model_output: String
        var answer_pred: String
        var answer_gt: String
        var answer_type: String
        var pred_normalized: String
        var gt_normalized: String
        var pred_tokens: [String]
        var gt_tokens: [String]
        var pred_normalized_twice: String
        var gt_normalized_twice: String
        var nltk_sentence_bleu: [String: Double]
        var code_f1: Double
        var code_vqa_acc_substring: Int
        var code_reg_acc_equal: Int
        var paper_eq16_18_clipped: WordF1
        var paper_eq16_18_distinct: WordF1
        var paper_eq19: [String: Precision]
    }

    struct WordF1: Decodable {
        var m: Int
        var precision: Double
        var recall: Double
        var f1: Double
    }

    struct Precision: Decodable {
        var matches: Int
        var total: Int
        var value: Double
    }

    struct Corpus: Decodable {
        var bleu_scores: [String: Double]
        var f1_score: Double
        var acc_score: Double?
    }

    struct CorpusReference: Decodable {
        var evaluate_open_and_closed: [String: Corpus]
        var evaluate_all: Corpus
        var reg_evaluate: Corpus
    }

    var normalizer_word_pairs: [[String]]
    var normalizer_fuzz: [[String]]
    var cases: [Case]
    var corpus_reference: CorpusReference
    var corpus_paper_definitions: [String: [String: Double]]
}

private func same(_ first: String, _ second: String) -> Bool {
    first.unicodeScalars.elementsEqual(second.unicodeScalars)
}

@Suite("VQA metrics against the reference", .enabled(if: Golden.has(path), "no golden files under UNIMED_GOLDEN"))
struct VQAMetricsGoldenTests {
    private let fixture: Fixture

    init() throws {
        fixture = try Golden.decode(Fixture.self, from: path)
    }

    @Test func `normalised words are identical, also of awkward strings`() {
        let pairs = fixture.normalizer_word_pairs + fixture.normalizer_fuzz
        #expect(pairs.count > 600)
        for pair in pairs {
            let normalized = WordNormalizer.normalize(pair[0])
            #expect(same(normalized, pair[1]), "\(pair[0].debugDescription)")
        }
    }

    @Test func `answers are cleaned, normalised and split as in the reference`() {
        for item in fixture.cases {
            let cleaned = WordNormalizer.cleanedPrediction(item.model_output)
            #expect(same(cleaned, item.answer_pred), "case \(item.id)")
            #expect(same(WordNormalizer.normalize(cleaned), item.pred_normalized), "case \(item.id)")
            #expect(same(WordNormalizer.normalize(item.answer_gt), item.gt_normalized), "case \(item.id)")
            #expect(WordNormalizer.words(cleaned) == item.pred_tokens, "case \(item.id)")
            #expect(WordNormalizer.words(item.answer_gt) == item.gt_tokens, "case \(item.id)")
            #expect(same(WordNormalizer.normalize(item.pred_normalized), item.pred_normalized_twice), "case \(item.id)")
            #expect(same(WordNormalizer.normalize(item.gt_normalized), item.gt_normalized_twice), "case \(item.id)")
        }
    }

    @Test(arguments: 1...4) func `sentence BLEU equals the reference`(order: Int) throws {
        for item in fixture.cases {
            let expected = try #require(item.nltk_sentence_bleu["bleu\(order)"])
            let value = BLEU.sentence(item.pred_tokens, reference: item.gt_tokens, order: order)
            #expect(agree(value, expected), "case \(item.id): \(value) against \(expected)")
        }
    }

    @Test func `F1 and both accuracies equal the reference`() {
        for item in fixture.cases {
            #expect(agree(F1.published(item.pred_tokens, reference: item.gt_tokens), item.code_f1), "case \(item.id)")
            let isCorrect = ClosedAccuracy.isCorrect(item.model_output, reference: item.answer_gt)
            #expect(isCorrect == (item.code_vqa_acc_substring == 1), "case \(item.id)")
            let isMatch = ExactMatch.isMatch(item.model_output, reference: item.answer_gt)
            #expect(isMatch == (item.code_reg_acc_equal == 1), "case \(item.id)")
        }
    }

    @Test func `the paper's F1 and clipped precision equal the hand-computed values`() throws {
        for item in fixture.cases {
            for (matching, expected) in [
                (F1.Matching.clipped, item.paper_eq16_18_clipped), (.distinct, item.paper_eq16_18_distinct),
            ] {
                let score = F1.paper(item.pred_tokens, reference: item.gt_tokens, matching: matching)
                #expect(score.matches == expected.m, "case \(item.id)")
                #expect(agree(score.precision, expected.precision), "case \(item.id)")
                #expect(agree(score.recall, expected.recall), "case \(item.id)")
                #expect(agree(score.f1, expected.f1), "case \(item.id)")
            }
            for order in 1...4 {
                let expected = try #require(item.paper_eq19["bleu\(order)"])
                let precision = BLEU.clippedPrecision(item.pred_tokens, reference: item.gt_tokens, order: order)
                #expect(precision.matches == expected.matches, "case \(item.id)")
                #expect(precision.total == expected.total, "case \(item.id)")
                #expect(agree(precision.value, expected.value), "case \(item.id)")
            }
        }
    }

    @Test func `means over samples equal the reference's reports`() throws {
        let open = fixture.cases.filter { $0.answer_type == "OPEN" }
        let closed = fixture.cases.filter { $0.answer_type == "CLOSED" }
        let parts = fixture.corpus_reference.evaluate_open_and_closed
        try check(open, parts["open"])
        try check(closed, parts["closed"])
        try check(fixture.cases, parts["all"])
        try check(fixture.cases, fixture.corpus_reference.evaluate_all)
        try check(fixture.cases, fixture.corpus_reference.reg_evaluate)

        let substring = closed.map { ClosedAccuracy.isCorrect($0.model_output, reference: $0.answer_gt) ? 1.0 : 0 }
        let closedAccuracy = try SummaryStatistics.mean(substring)
        #expect(agree(closedAccuracy, try #require(parts["closed"]?.acc_score)))
        let equal = fixture.cases.map { ExactMatch.isMatch($0.model_output, reference: $0.answer_gt) ? 1.0 : 0 }
        let accuracy = try SummaryStatistics.mean(equal)
        #expect(agree(accuracy, try #require(fixture.corpus_reference.reg_evaluate.acc_score)))
    }

    @Test func `the paper's definitions over a corpus equal the hand-computed values`() throws {
        let parts = [
            "open": fixture.cases.filter { $0.answer_type == "OPEN" },
            "closed": fixture.cases.filter { $0.answer_type == "CLOSED" },
            "all": fixture.cases,
        ]
        for (name, cases) in parts {
            let expected = try #require(fixture.corpus_paper_definitions[name])
            #expect(Double(cases.count) == expected["n"])
            let clipped = try SummaryStatistics.mean(
                cases.map { F1.paper($0.pred_tokens, reference: $0.gt_tokens, matching: .clipped).f1 }
            )
            #expect(agree(clipped, try #require(expected["f1_eq18_clipped"])))
            let distinct = try SummaryStatistics.mean(
                cases.map { F1.paper($0.pred_tokens, reference: $0.gt_tokens, matching: .distinct).f1 }
            )
            #expect(agree(distinct, try #require(expected["f1_eq18_distinct"])))
            for order in 1...4 {
                let precisions = cases.map {
                    BLEU.clippedPrecision($0.pred_tokens, reference: $0.gt_tokens, order: order)
                }
                let mean = try SummaryStatistics.mean(precisions.map(\.value))
                #expect(agree(mean, try #require(expected["bleu\(order)_eq19_mean_of_sentences"])))
                let pooled = BLEU.Precision(
                    matches: precisions.reduce(0) { $0 + $1.matches },
                    total: precisions.reduce(0) { $0 + $1.total }
                )
                #expect(agree(pooled.value, try #require(expected["bleu\(order)_eq19_pooled"])))
            }
        }
    }

    private func check(_ cases: [Fixture.Case], _ expected: Fixture.Corpus?) throws {
        let expected = try #require(expected)
        for order in 1...4 {
            let mean = try SummaryStatistics.mean(
                cases.map { BLEU.sentence($0.pred_tokens, reference: $0.gt_tokens, order: order) }
            )
            #expect(agree(mean, try #require(expected.bleu_scores["bleu\(order)"])))
        }
        let f1 = try SummaryStatistics.mean(cases.map { F1.published($0.pred_tokens, reference: $0.gt_tokens) })
        #expect(agree(f1, expected.f1_score))
    }
}
