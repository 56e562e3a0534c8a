import Foundation
import Testing
import UniMedMetrics

private let path = "eval/report_metrics/cases.json"
private let resourcesPath = "eval/report_metrics/meteor_resources_subset.json"

private struct Fixture: Decodable {
    struct Texts: Decodable {
        var raw_pred: String
        var raw_gt: String
        var norm_pred: String
        var norm_gt: String
    }

    struct Parts: Decodable {
        var r: Double
        var p: Double
        var f: Double
    }

    struct Counts: Decodable {
        var matches: Int
        var total: Int
    }

    struct Subsequence: Decodable {
        var value: Double
    }

    struct Paper: Decodable {
        var eq19_bleu1: Counts
        var eq19_bleu2: Counts
        var eq19_bleu3: Counts
        var eq19_bleu4: Counts
        var eq20_rouge1_recall: Counts
        var eq20_rouge2_recall: Counts
        var eq21_rougeL: Subsequence
    }

    struct Alignment: Decodable {
        var stats: [Double]
        var matches: [[Int]]
        var score: Double
        var precision: Number
        var recall: Number
        var frag_penalty: Number
    }

    struct Direct: Decodable {
        var hyp_normalized: String
        var ref_normalized: String
        var stats: [Double]
        var matches: [[Int]]
        var score: Double
    }

    struct Words: Decodable {
        var hyp: [String]
        var ref: [String]
    }

    struct Case: Decodable {
        var id: Int
        var answer_gt: String
        var model_output: String
        var answer_pred: String
        var kept_by_reference_filter: Bool
        var pred_normalized: String
        var gt_normalized: String
        var pred_normalized_twice: String
        var gt_normalized_twice: String
        var ptb_raw_output: Texts
        var ptb_tokenized: Texts
        var paper: Paper?
        var pycocoevalcap_bleu_segment: [String: Double]?
        var rouge: [String: Parts]?
        var code_f1: Double?
        var meteor_segment: Double?
        var meteor_stat_line: String?
        var meteor_segment_without_normalize_word: Double?
        var meteor_stat_line_without_normalize_word: String?
        var meteor_stages: [String: Alignment]?
        var meteor_words: Words?
        var meteor_direct_on_raw_text: Direct?
    }

    struct Reference: Decodable {
        struct Rouge: Decodable {
            var rouge_1: Double
            var rouge_2: Double
            var rouge_l: Double
        }

        var bleu_scores: [String: Double]
        var meteor_scores: Double
        var rouge_scores: Rouge
        var f1_score: Double
    }

    struct Unfiltered: Decodable {
        var corpus: Double
        var segments: [Double]
        var stat_lines: [String]
    }

    struct Corpus: Decodable {
        var n_pairs: Int
        var n_kept: Int
        var reference_evaluate_all: Reference
        var bleu_unfiltered: [String: Double]
        var meteor_unfiltered: Unfiltered
        var meteor_without_normalize_word: Double
        var meteor_segment_mean: Double
        var meteor_stages: [String: [String: Double]]
        var meteor_direct_on_raw_text: [String: Double]
        var rouge_prf_means: [String: Parts]
        var paper_means_over_kept: [String: Double]
        var bleu_lengths: [String: Int]
    }

    struct TokenizerCase: Decodable {
        var text: String
        var ptb_raw_output: String
        var ptb_tokenized: String
        var meteor_normalized: String
    }

    var cases: [Case]
    var corpus: Corpus
    var tokenizer_cases: [TokenizerCase]
    var punctuation_tokens_removed: [String]
}

/// A number, or the name of one that JSON cannot write.
private struct Number: Decodable {
    var value: Double

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Double.self) {
            value = number
        } else {
            value = try container.decode(String.self) == "NaN" ? .nan : .infinity
        }
    }

    func agrees(_ other: Double) -> Bool { value.isNaN ? other.isNaN : abs(value - other) <= 1e-9 }
}

private struct Resources: Decodable {
    struct Paraphrase: Decodable {
        var phrase: String
        var paraphrase: String

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            _ = try container.decode(Int.self)
            phrase = try container.decode(String.self)
            paraphrase = try container.decode(String.self)
        }
    }

    var stems: [String: String]
    var synset_ids: [String: [Int32]]
    var paraphrases: [Paraphrase]

    var meteor: METEORResources {
        METEORResources(
            synonyms: METEORSynonyms(complete: synset_ids),
            paraphrases: METEORParaphraseSource(entries: paraphrases.map { ($0.phrase, $0.paraphrase) })
        )
    }
}

private func joined(_ lines: [[String]]) -> [String] { lines.map { $0.joined(separator: " ") } }

private func isClose(_ value: Double?, _ expected: Double?, _ tolerance: Double = 1e-9) -> Bool {
    guard let value, let expected else { return value == nil && expected == nil }
    return abs(value - expected) <= tolerance
}

@Suite(
    "Report metrics against the reference",
    .enabled(if: Golden.has(path) && Golden.has(resourcesPath), "no golden files under UNIMED_GOLDEN")
)
struct ReportMetricsGoldenTests {
    private let fixture: Fixture
    private let resources: Resources

    init() throws {
        fixture = try Golden.decode(Fixture.self, from: path)
        resources = try Golden.decode(Resources.self, from: resourcesPath)
    }

    private func check(_ texts: [String], _ raw: KeyPath<Fixture.Texts, String>, _ name: String) {
        let tokens = PTBTokenizer.tokens(ofLines: texts)
        let words = PTBTokenizer.words(ofCaptions: texts)
        for (index, item) in fixture.cases.enumerated() {
            #expect(tokens[index].joined(separator: " ") == item.ptb_raw_output[keyPath: raw], "\(name) \(item.id)")
            #expect(words[index].joined(separator: " ") == item.ptb_tokenized[keyPath: raw], "\(name) \(item.id)")
        }
    }

    @Test func `tokens equal the Stanford tokeniser's`() {
        check(fixture.cases.map(\.answer_gt), \.raw_gt, "reference")
        check(fixture.cases.map(\.answer_pred), \.raw_pred, "prediction")
        check(fixture.cases.map(\.gt_normalized), \.norm_gt, "normalised reference")
        check(fixture.cases.map(\.pred_normalized), \.norm_pred, "normalised prediction")
        let lines = fixture.tokenizer_cases.map(\.text)
        #expect(joined(PTBTokenizer.tokens(ofLines: lines)) == fixture.tokenizer_cases.map(\.ptb_raw_output))
        #expect(joined(PTBTokenizer.words(ofCaptions: lines)) == fixture.tokenizer_cases.map(\.ptb_tokenized))
        #expect(PTBTokenizer.droppedTokens == Set(fixture.punctuation_tokens_removed))
    }

    @Test func `METEOR's own tokens equal the tool's`() {
        for item in fixture.tokenizer_cases {
            #expect(METEORNormalizer.normalize(item.text) == item.meteor_normalized, "\(item.text)")
        }
        for item in fixture.cases {
            guard let direct = item.meteor_direct_on_raw_text else { continue }
            #expect(METEORNormalizer.normalize(item.answer_pred) == direct.hyp_normalized, "case \(item.id)")
            #expect(METEORNormalizer.normalize(item.answer_gt) == direct.ref_normalized, "case \(item.id)")
        }
    }

    @Test func `stems equal Snowball's`() {
        for (word, stem) in resources.stems { #expect(EnglishStemmer.stem(word) == stem, "\(word)") }
    }

    @Test func `texts are normalised as in the reference, once and twice`() {
        for item in fixture.cases {
            #expect(WordNormalizer.cleanedPrediction(item.model_output) == item.answer_pred)
            let prediction = WordNormalizer.normalize(item.answer_pred)
            let reference = WordNormalizer.normalize(item.answer_gt)
            #expect(prediction == item.pred_normalized)
            #expect(reference == item.gt_normalized)
            #expect(WordNormalizer.normalize(prediction) == item.pred_normalized_twice)
            #expect(WordNormalizer.normalize(reference) == item.gt_normalized_twice)
        }
    }

    @Test func `BLEU of segments, ROUGE and F1 equal the tools'`() throws {
        let predictions = PTBTokenizer.words(ofCaptions: fixture.cases.map(\.answer_pred))
        let references = PTBTokenizer.words(ofCaptions: fixture.cases.map(\.answer_gt))
        var checked = 0
        for (index, item) in fixture.cases.enumerated() {
            if let expected = item.pycocoevalcap_bleu_segment {
                let scores = BLEU.Counts(predictions[index], reference: references[index], order: 4).scores
                for order in 1...4 { #expect(isClose(scores[order - 1], expected["bleu\(order)"]), "case \(item.id)") }
                checked += 1
            }
            let rouge = ROUGE.published(item.pred_normalized_twice, reference: item.gt_normalized_twice)
            if let expected = item.rouge {
                let pairs = [("rouge-1", rouge?.rouge1), ("rouge-2", rouge?.rouge2), ("rouge-l", rouge?.rougeL)]
                for (name, score) in pairs {
                    #expect(isClose(score?.recall, expected[name]?.r), "case \(item.id) \(name)")
                    #expect(isClose(score?.precision, expected[name]?.p), "case \(item.id) \(name)")
                    #expect(isClose(score?.f1, expected[name]?.f), "case \(item.id) \(name)")
                }
                checked += 1
            }
            if let expected = item.code_f1 {
                let f1 = F1.published(
                    WordNormalizer.words(item.pred_normalized),
                    reference: WordNormalizer.words(item.gt_normalized)
                )
                #expect(isClose(f1, expected), "case \(item.id)")
            }
        }
        #expect(checked > fixture.cases.count)
    }

    @Test func `the paper's ratios are those of the fixture`() {
        for item in fixture.cases {
            guard let paper = item.paper else { continue }
            let prediction = item.pred_normalized_twice.split(separator: " ").map(String.init)
            let reference = item.gt_normalized_twice.split(separator: " ").map(String.init)
            let precisions = [paper.eq19_bleu1, paper.eq19_bleu2, paper.eq19_bleu3, paper.eq19_bleu4]
            for (index, expected) in precisions.enumerated() {
                let value = BLEU.clippedPrecision(prediction, reference: reference, order: index + 1)
                #expect(value == BLEU.Precision(matches: expected.matches, total: expected.total), "case \(item.id)")
            }
            for (index, expected) in [paper.eq20_rouge1_recall, paper.eq20_rouge2_recall].enumerated() {
                let value = ROUGE.paperRecall(prediction, reference: reference, order: index + 1)
                #expect(value == BLEU.Precision(matches: expected.matches, total: expected.total), "case \(item.id)")
            }
            let value = ROUGE.paperLongestCommonSubsequence(prediction, reference: reference)
            #expect(isClose(value, paper.eq21_rougeL.value), "case \(item.id)")
        }
    }

    @Test(arguments: [
        ("exact", [METEOR.Stage.exact]), ("exact_stem", [.exact, .stem]),
        ("exact_stem_synonym", [.exact, .stem, .synonym]), ("full", METEOR.Stage.allCases),
    ])
    func `METEOR's alignments and scores equal the tool's`(name: String, stages: [METEOR.Stage]) throws {
        let scorer = METEOR(resources: resources.meteor, stages: stages)
        #expect(scorer.missingStages.isEmpty)
        var sum = METEOR.Statistics()
        var count = 0
        for item in fixture.cases {
            guard let expected = item.meteor_stages?[name], let words = item.meteor_words else { continue }
            count += 1
            let matches = try scorer.alignment(words.hyp, reference: words.ref)
            let found = matches.map {
                [$0.referenceStart, $0.referenceLength, $0.hypothesisStart, $0.hypothesisLength, $0.stage.rawValue]
            }
            #expect(found == expected.matches, "case \(item.id)")
            let result = try scorer.score(tokens: [words.hyp], references: [words.ref])
            #expect(result.statistics[0].line.map(Double.init) == expected.stats, "case \(item.id)")
            let score = result.pairs[0]
            #expect(isClose(score.score, expected.score, 1e-6), "case \(item.id)")
            #expect(expected.precision.agrees(score.precision), "case \(item.id)")
            #expect(expected.recall.agrees(score.recall), "case \(item.id)")
            #expect(expected.frag_penalty.agrees(score.penalty), "case \(item.id)")
            sum.add(result.statistics[0])
        }
        #expect(count > 20)
        let corpus = METEOR.Score(sum)
        let expected = try #require(fixture.corpus.meteor_stages[name])
        #expect(isClose(corpus.score, expected["final"], 1e-6))
        #expect(isClose(corpus.precision, expected["Precision"], 1e-6))
        #expect(isClose(corpus.recall, expected["Recall"], 1e-6))
        #expect(isClose(corpus.mean, expected["fMean"], 1e-6))
        #expect(isClose(corpus.penalty, expected["Fragmentation penalty"], 1e-6))
    }

    @Test func `METEOR of raw texts equals the tool's`() throws {
        let scorer = METEOR(resources: resources.meteor)
        var sum = METEOR.Statistics()
        for item in fixture.cases {
            guard let expected = item.meteor_direct_on_raw_text else { continue }
            let result = try scorer.score(hypotheses: [item.answer_pred], references: [item.answer_gt])
            #expect(result.statistics[0].line.map(Double.init) == expected.stats, "case \(item.id)")
            #expect(isClose(result.pairs[0].score, expected.score, 1e-6), "case \(item.id)")
            sum.add(result.statistics[0])
        }
        #expect(isClose(METEOR.Score(sum).score, fixture.corpus.meteor_direct_on_raw_text["final"], 1e-6))
    }

    @Test func `METEOR of PTB tokens without the word normaliser equals the tool's`() throws {
        let kept = fixture.cases.filter(\.kept_by_reference_filter)
        let hypotheses = joined(PTBTokenizer.words(ofCaptions: kept.map(\.answer_pred)))
        let references = joined(PTBTokenizer.words(ofCaptions: kept.map(\.answer_gt)))
        let result = try METEOR(resources: resources.meteor).score(hypotheses: hypotheses, references: references)
        #expect(isClose(result.corpus.score, fixture.corpus.meteor_without_normalize_word, 1e-6))
        for (index, item) in kept.enumerated() {
            let expected = item.meteor_segment_without_normalize_word
            #expect(isClose(result.pairs[index].score, expected, 1e-6), "case \(item.id)")
        }
    }

    @Test func `the corpus has the published evaluation's scores`() throws {
        let scores = try ReportScores(
            predictions: fixture.cases.map(\.model_output),
            references: fixture.cases.map(\.answer_gt),
            options: ReportScores.Options(meteor: resources.meteor)
        )
        let expected = fixture.corpus.reference_evaluate_all
        #expect(scores.count == fixture.corpus.n_pairs)
        #expect(scores.pairs.count == fixture.corpus.n_kept)
        for order in 1...4 { #expect(isClose(scores.bleu[order - 1], expected.bleu_scores["bleu\(order)"])) }
        #expect(isClose(scores.meteor?.score, expected.meteor_scores, 1e-6))
        #expect(isClose(scores.rouge?.rouge1.f1, expected.rouge_scores.rouge_1))
        #expect(isClose(scores.rouge?.rouge2.f1, expected.rouge_scores.rouge_2))
        #expect(isClose(scores.rouge?.rougeL.f1, expected.rouge_scores.rouge_l))
        #expect(isClose(scores.f1, expected.f1_score))
        let parts = fixture.corpus.rouge_prf_means
        #expect(isClose(scores.rouge?.rouge1.recall, parts["rouge-1"]?.r))
        #expect(isClose(scores.rouge?.rougeL.precision, parts["rouge-l"]?.p))
        let lengths = scores.pairs.reduce(into: BLEU.Counts(order: 4)) { $0.add($1.bleu) }
        #expect(lengths.length == fixture.corpus.bleu_lengths["hyp"])
        #expect(lengths.referenceLength == fixture.corpus.bleu_lengths["ref"])
        let mean = scores.pairs.compactMap(\.meteor).map { METEOR.Score($0).score }.reduce(0, +)
        #expect(isClose(mean / Double(scores.pairs.count), fixture.corpus.meteor_segment_mean, 1e-6))
    }

    @Test func `empty texts can be left in`() throws {
        let scores = try ReportScores(
            predictions: fixture.cases.map(\.model_output),
            references: fixture.cases.map(\.answer_gt),
            options: ReportScores.Options(leavesOutEmpty: false, meteor: resources.meteor)
        )
        for order in 1...4 { #expect(isClose(scores.bleu[order - 1], fixture.corpus.bleu_unfiltered["bleu\(order)"])) }
        let expected = fixture.corpus.meteor_unfiltered
        #expect(isClose(scores.meteor?.score, expected.corpus, 1e-6))
        for (index, pair) in scores.pairs.enumerated() {
            let line = pair.meteor?.line.map { String(format: "%.1f", Double($0)) }.joined(separator: " ")
            #expect(line == expected.stat_lines[index], "case \(index)")
            #expect(
                isClose(pair.meteor.map { METEOR.Score($0).score }, expected.segments[index], 1e-6),
                "case \(index)"
            )
        }
    }
}
