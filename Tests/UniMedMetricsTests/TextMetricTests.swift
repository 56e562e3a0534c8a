import Foundation
import Testing
import UniMedMetrics

@Suite("PTB tokens")
struct PTBTokenizerTests {
    @Test(arguments: [
        ("I can't; don't.", "i ca n't ; do n't ."),
        ("The patient's x-ray (AP).", "the patient 's x-ray -lrb- ap -rrb- ."),
        ("2.5 cm, 3/4 and 10-12-2003...", "2.5 cm , 3/4 and 10-12-2003 ..."),
        ("CT. The end", "ct. . the end"),
        ("fig. 3 but a fig. tree", "fig. 3 but a fig . tree"),
        ("\"quoted\" it cannot be", "`` quoted '' it can not be"),
    ])
    func `words, marks and abbreviations come apart`(text: String, expected: String) {
        #expect(PTBTokenizer.tokens(ofLines: [text])[0].joined(separator: " ") == expected)
    }

    @Test func `what follows an abbreviation over the end of a line counts`() {
        #expect(PTBTokenizer.tokens(ofLines: ["seen on ct.", "The lungs"])[0] == ["seen", "on", "ct.", "."])
        #expect(PTBTokenizer.tokens(ofLines: ["seen on ct.", "the lungs"])[0] == ["seen", "on", "ct."])
    }

    @Test func `every caption has its words, whatever it holds`() {
        let captions = ["", "a\nb", "\u{2028}", "< b", "🫁 lung", "\u{0}x"]
        let words = PTBTokenizer.words(ofCaptions: captions)
        #expect(words.count == captions.count)
        #expect(words[1] == ["a", "b"])
        #expect(words[4] == ["lung"])
    }
}

@Suite("ROUGE")
struct ROUGETests {
    private let words = { (text: String) in text.split(separator: " ").map(String.init) }

    @Test func `the standard reading clips, the published one counts sets`() throws {
        let standard = ROUGE.standard(words("a a b"), reference: words("a b b c"))
        #expect(abs(standard.rouge1.recall - 0.5) < 1e-12)
        #expect(abs(standard.rouge1.precision - 2.0 / 3) < 1e-12)
        #expect(abs(standard.rougeL.recall - 0.5) < 1e-12)
        let published = try #require(ROUGE.published("a a b", reference: "a b b c"))
        #expect(abs(published.rouge1.recall - 2.0 / 3) < 1e-12)
        #expect(published.rouge1.precision == 1)
    }

    @Test func `an empty text has no published score`() {
        #expect(ROUGE.published("", reference: "a") == nil)
        #expect(ROUGE.published("..", reference: "a") == nil)
        #expect(ROUGE.standard([], reference: ["a"]).rouge1.f1 == 0)
        #expect(ROUGE.paperLongestCommonSubsequence([], reference: ["a"]) == 0)
    }
}

@Suite("METEOR")
struct METEORTests {
    @Test func `stages without data are named and left out`() throws {
        let scorer = METEOR()
        #expect(scorer.stages == [.exact, .stem])
        #expect(scorer.missingStages == [.synonym, .paraphrase])
        let result = try scorer.score(hypotheses: ["the lungs are clear"], references: ["the lung is clear"])
        #expect(result.statistics[0].hypothesisContentMatches == [1, 1, 0, 0])
        #expect(result.statistics[0].hypothesisFunctionMatches == [1, 0, 0, 0])
    }

    @Test func `equal texts score 1, texts without a common word 0`() throws {
        let scorer = METEOR()
        let result = try scorer.score(hypotheses: ["no effusion", "heart"], references: ["no effusion", "liver"])
        #expect(result.pairs.map(\.score) == [1, 0])
        #expect(result.pairs[1].penalty.isNaN)
    }

    @Test func `a table in two compressed members is read to its end, and a damaged one is an error`() throws {
        let table = try #require(
            Data(
                base64Encoded: "H4sIAAAAAAACAzPQM+VKykxXSMlP58pJLEpPVcjIL81L4TLQMzLlSk4s4QIA38ab8iEAAAAfiwgAAAAAAAID"
                    + "K85NzMlRyMnMz+MCAIUIdO0LAAAA"
            )
        )
        let file = FileManager.default.temporaryDirectory.appending(path: "meteor-\(UUID()).gz")
        defer { try? FileManager.default.removeItem(at: file) }
        let scorer = METEOR(resources: METEORResources(paraphrases: METEORParaphraseSource(file: file)))
        try table.write(to: file)
        #expect(try scorer.alignment(["large", "hound"], reference: ["big", "dog"]).map(\.hypothesisLength) == [2])
        #expect(try scorer.alignment(["small", "lion"], reference: ["cat"]).map(\.hypothesisLength) == [2])
        var changed = table
        changed[20] ^= 0xFF
        for damaged in [table.dropLast(12), changed] {
            try damaged.write(to: file)
            #expect(throws: MetricError.self) { try scorer.alignment(["lion"], reference: ["cat"]) }
        }
    }

    @Test func `every part of a large table is read`() throws {
        // Four megabytes, whose parts end within entries; the phrases look like probabilities.
        let table = (0..<150_000).map { index in
            index % 10_000 == 0 ? "0.5\nword\(index)\nother\(index)\n" : "0.5\n0.25 \(index)\n0.125 other\n"
        }
        let file = FileManager.default.temporaryDirectory.appending(path: "meteor-\(UUID()).gz")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(table.joined().utf8).write(to: file)
        let numbers = (0..<15).map { $0 * 10_000 }
        let matches = try METEOR(resources: METEORResources(paraphrases: METEORParaphraseSource(file: file)))
            .alignment(numbers.map { "other\($0)" }, reference: numbers.map { "word\($0)" })
        #expect(matches.map(\.stage) == numbers.map { _ in .paraphrase })
    }

    @Test func `METEOR's files and WordNet's are read`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-meteor-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data("big\n00000001\nlarge\n00000001 00000002\nman\n00000003\nchap\n00000003\n".utf8)
            .write(to: folder.appendingPathComponent("english.synsets"))
        try Data("man\nmenfolk\n".utf8).write(to: folder.appendingPathComponent("english.exceptions"))
        // gzip of "0.5\nin size\nlarge\n", as gzip -n writes it.
        let table = "H4sIAAAAAAAAAzPQM+XKzFMozqxK5cpJLEpP5QIAlYjJ5RIAAAA="
        let compressed = try #require(Data(base64Encoded: table))
        try compressed.write(to: folder.appendingPathComponent("paraphrase-en.gz"))
        let nowhere = folder.appendingPathComponent("nothing")
        let resources = try METEORResources.find(in: folder, wordNet: nowhere)
        let scorer = METEOR(resources: resources)
        #expect(scorer.missingStages.isEmpty)
        let stages = { (hypothesis: String, reference: String) in
            try METEOR(resources: resources).alignment(
                hypothesis.split(separator: " ").map(String.init),
                reference: reference.split(separator: " ").map(String.init)
            ).map(\.stage)
        }
        #expect(try stages("big", "large") == [.synonym])
        #expect(try stages("bigs", "large") == [.synonym])
        #expect(try stages("menfolk", "chap") == [.synonym])
        #expect(try stages("in size", "large") == [.paraphrase])
        #expect(try stages("large", "in size") == [.paraphrase])
        #expect(throws: MetricError.self) { try METEORResources.find(in: nowhere, wordNet: nowhere) }

        let wordNet = folder.appendingPathComponent("wordnet")
        try FileManager.default.createDirectory(at: wordNet, withIntermediateDirectories: true)
        for part in ["noun", "verb", "adj", "adv"] {
            try Data("  1 notice\nscan n 2 1 @ 2 0 00000007 00000008  \nimage n 1 1 @ 1 0 00000008  \n".utf8)
                .write(to: wordNet.appendingPathComponent("index." + part))
        }
        let found = try METEORResources.find(in: nil, wordNet: wordNet)
        #expect(METEOR(resources: found).missingStages == [.paraphrase])
        #expect(try METEOR(resources: found).alignment(["scans"], reference: ["image"]).map(\.stage) == [.synonym])
    }

    @Test func `a corpus of unequal lists is refused`() {
        #expect(throws: MetricError.self) { try METEOR().score(hypotheses: ["a"], references: []) }
    }

    @Test func `many pairs score as each by itself`() throws {
        let words = ["heart", "lung", "lungs", "is", "are", "clear", "the", "no", "effusion", "effusions"]
        let texts = (0..<200).map { (number: Int) -> String in
            var text: [String] = []
            for place in 0..<12 { text.append(words[(number * 7 + place * place * 3) % 10]) }
            return text.joined(separator: " ")
        }
        let together = try METEOR().score(hypotheses: texts, references: texts.reversed())
        for index in stride(from: 0, to: 200, by: 17) {
            let alone = try METEOR().score(hypotheses: [texts[index]], references: [texts[199 - index]])
            #expect(alone.statistics[0] == together.statistics[index])
        }
    }
}

@Suite("ROC curve")
struct RankingCurveTests {
    @Test func `the area is the chance of the right order, ties for one half`() throws {
        let curve = try RankingCurve(scores: [0.9, 0.8, 0.8, 0.1], isPositive: [true, false, true, false])
        #expect(curve.area == 0.875)
        #expect(curve.points.first?.truePositiveRate == 0)
        #expect(curve.points.last?.falsePositiveRate == 1)
        #expect(curve.points.count == 4)
    }

    @Test func `one kind of sample or no number is refused`() {
        #expect(throws: MetricError.noValues(metric: "ROC")) { try RankingCurve(scores: [1], isPositive: [true]) }
        #expect(throws: MetricError.self) { try RankingCurve(scores: [.nan, 1], isPositive: [true, false]) }
    }

    @Test func `classes without samples have no area`() throws {
        let areas = try RankingCurve.areas(scores: [[1, 0, 0], [0, 1, 0]], references: [0, 1], classCount: 3)
        #expect(areas == [1, 1, nil])
    }
}
