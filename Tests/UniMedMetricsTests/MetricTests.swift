import Testing
import UniMedData
import UniMedMetrics

private let unit = BoundingBox(xMin: 10, yMin: 10, xMax: 20, yMax: 30)

@Suite("Word normaliser")
struct WordNormalizerTests {
    @Test func `a mark beside a space anywhere is deleted everywhere`() {
        #expect(WordNormalizer.normalize("x-ray of the T1-weighted") == "x ray of t1 weighted")
        #expect(WordNormalizer.normalize("x-ray - chest") == "xray chest")
    }

    @Test func `a comma between digits has all marks deleted`() {
        #expect(WordNormalizer.normalize("1,000 cells/mm") == "1000 cellsmm")
        #expect(WordNormalizer.normalize("1000 cells/mm") == "1000 cells mm")
    }

    @Test func `only the first 32 periods go`() {
        let text = String(repeating: "a.", count: 40)
        #expect(WordNormalizer.normalize(text).filter { $0 == "." }.count == 8)
    }

    @Test func `decomposed and composed letters stay different words`() {
        let composed = "S\u{F6}gren"
        let decomposed = "So\u{308}gren"
        #expect(!ExactMatch.isMatch(composed, reference: decomposed))
        #expect(
            F1.published([composed], reference: [decomposed]) == 0,
            "the published tools compare code points"
        )
    }

    @Test func `a sigma at a word's end takes its final form`() {
        #expect(WordNormalizer.normalize("ΟΔΟΣ ΣΟΦΟΣ") == "οδος σοφος")
    }
}

@Suite("BLEU")
struct BLEUTests {
    @Test func `a correct answer of one word has BLEU-1 of 1 and a vanishing BLEU-2`() {
        #expect(BLEU.sentence(["mri"], reference: ["mri"], order: 1) == 1)
        let second = BLEU.sentence(["mri"], reference: ["mri"], order: 2)
        #expect(second > 1e-155 && second < 1e-153)
    }

    @Test func `an empty answer scores 0`() {
        #expect(BLEU.sentence([], reference: ["mri"], order: 1) == 0)
        #expect(BLEU.clippedPrecision([], reference: ["mri"], order: 1).value == 0)
    }

    @Test func `a short answer pays the brevity penalty`() {
        let score = BLEU.sentence(["left"], reference: ["left", "lung"], order: 1)
        #expect(agree(score, 0.36787944117144233))  // exp(1 - 2)
    }

    @Test func `repeated words are clipped`() {
        let precision = BLEU.clippedPrecision(["the", "the", "the"], reference: ["the", "cat", "the"], order: 1)
        #expect(precision == BLEU.Precision(matches: 2, total: 3))
    }

    @Test func `a corpus of unequal lists is refused`() {
        #expect(throws: MetricError.countMismatch(metric: "corpus BLEU", expected: 0, got: 1)) {
            _ = try BLEU.corpus([["a"]], references: [], order: 1)
        }
    }
}

@Suite("Intersection over union")
struct IntersectionOverUnionTests {
    @Test(arguments: BoundingBox.Extent.allCases)
    func `equal boxes have 1, distant ones 0`(extent: BoundingBox.Extent) throws {
        #expect(try unit.intersectionOverUnion(with: unit, extent: extent) == 1)
        let other = BoundingBox(xMin: 50, yMin: 50, xMax: 60, yMax: 60)
        #expect(try unit.intersectionOverUnion(with: other, extent: extent) == 0)
    }

    @Test func `the added pixel changes the ratio`() throws {
        let half = BoundingBox(xMin: 10, yMin: 10, xMax: 15, yMax: 30)
        #expect(try half.intersectionOverUnion(with: unit, extent: .continuous) == 0.5)
        let inclusive = try half.intersectionOverUnion(with: unit, extent: .inclusivePixels)
        #expect(agree(inclusive, 6.0 * 21 / (11 * 21)))
    }

    @Test func `a box without area is refused`() {
        let line = BoundingBox(xMin: 10, yMin: 10, xMax: 10, yMax: 30)
        #expect(throws: MetricError.emptyBox(line)) {
            _ = try line.intersectionOverUnion(with: unit, extent: .continuous)
        }
        let inverted = BoundingBox(xMin: 20, yMin: 10, xMax: 10, yMax: 30)
        #expect(throws: MetricError.emptyBox(inverted)) {
            _ = try unit.intersectionOverUnion(with: inverted, extent: .inclusivePixels)
        }
        let endless = BoundingBox(xMin: 0, yMin: 0, xMax: .infinity, yMax: 30)
        #expect(throws: MetricError.emptyBox(endless)) {
            _ = try unit.intersectionOverUnion(with: endless, extent: .continuous)
        }
    }
}

@Suite("Closed accuracy")
struct ClosedAccuracyTests {
    @Test func `the reference is looked for as a substring`() {
        #expect(ClosedAccuracy.isCorrect("Yes, it does", reference: "Yes"))
        #expect(ClosedAccuracy.isCorrect("abnormal", reference: "no"))
        #expect(!ClosedAccuracy.isCorrect("", reference: "no"))
        #expect(ClosedAccuracy.isCorrect("anything", reference: ""))
    }
}

@Suite("Summary statistics")
struct SummaryStatisticsTests {
    @Test func `percentiles interpolate between neighbours`() throws {
        #expect(try SummaryStatistics.percentile(50, of: [4, 1, 3, 2]) == 2.5)
        #expect(try SummaryStatistics.percentile(0, of: [4, 1, 3]) == 1)
        #expect(try SummaryStatistics.percentile(100, of: [4, 1, 3]) == 4)
        #expect(try SummaryStatistics.percentile(90, of: [7]) == 7)
    }

    @Test func `nothing has no mean and no percentile`() {
        #expect(throws: MetricError.noValues(metric: "mean")) { _ = try SummaryStatistics.mean([]) }
        #expect(throws: MetricError.noValues(metric: "percentile")) {
            _ = try SummaryStatistics.percentile(50, of: [])
        }
        #expect(throws: MetricError.outOfRange(parameter: "percent", expected: "a number from 0 to 100", got: "101.0"))
        {
            _ = try SummaryStatistics.percentile(101, of: [1])
        }
    }
}

@Suite("Paired bootstrap")
struct PairedBootstrapTests {
    /// 200 samples, 60% of which the model gets right and 50% the baseline, half of them together.
    private let scores = (0..<200).map { $0 % 5 < 3 ? 1.0 : 0 }
    private let baseline = (0..<200).map { $0 % 2 == 0 ? 1.0 : 0 }

    @Test func `the same seed gives the same interval, another seed another`() throws {
        let first = try PairedBootstrap(seed: 1).difference(of: scores, minus: baseline)
        #expect(first == (try PairedBootstrap(seed: 1).difference(of: scores, minus: baseline)))
        #expect(first != (try PairedBootstrap(seed: 2).difference(of: scores, minus: baseline)))
    }

    @Test func `the interval has the width that the central limit theorem gives`() throws {
        let estimate = try PairedBootstrap(resampleCount: 20_000).difference(of: scores, minus: baseline)
        let differences = zip(scores, baseline).map { $0 - $1 }
        let mean = differences.reduce(0, +) / 200
        let deviation = (differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 200).squareRoot()
        let half = 1.96 * deviation / 200.0.squareRoot()
        #expect(abs(estimate.difference - 0.1) < 1e-12)
        // The sampling noise of a percentile from 20,000 draws is below a twentieth of the half width.
        #expect(abs(estimate.lower - (0.1 - half)) < half / 15)
        #expect(abs(estimate.upper - (0.1 + half)) < half / 15)
    }

    @Test func `equal scores have no difference, a constant gain is certain`() throws {
        let none = try PairedBootstrap().difference(of: scores, minus: scores)
        #expect(none == PairedBootstrap.Estimate(difference: 0, lower: 0, upper: 0))
        #expect(!none.isAboveZero)
        let gain = try PairedBootstrap().difference(of: [0.75, 0.5], minus: [0.5, 0.25])
        #expect(gain == PairedBootstrap.Estimate(difference: 0.25, lower: 0.25, upper: 0.25))
        #expect(gain.isAboveZero)
    }

    @Test func `drawing whole patients widens the interval when their samples are alike`() throws {
        let scores = (0..<200).map { $0 / 20 % 2 == 0 ? 1.0 : 0 }
        let zeros = [Double](repeating: 0, count: 200)
        let single = try PairedBootstrap().difference(of: scores, minus: zeros)
        let grouped = try PairedBootstrap().difference(
            of: scores,
            minus: zeros,
            groups: (0..<200).map { "patient \($0 / 20)" }
        )
        #expect(grouped.difference == single.difference)
        #expect(grouped.upper - grouped.lower > 3 * (single.upper - single.lower))
    }

    @Test func `bad input is refused`() {
        #expect(throws: MetricError.noValues(metric: "paired bootstrap")) {
            _ = try PairedBootstrap().difference(of: [], minus: [])
        }
        #expect(throws: MetricError.countMismatch(metric: "paired bootstrap", expected: 1, got: 2)) {
            _ = try PairedBootstrap().difference(of: [1], minus: [1, 2])
        }
        #expect(throws: MetricError.outOfRange(parameter: "resampleCount", expected: "at least 1", got: "0")) {
            _ = try PairedBootstrap(resampleCount: 0).difference(of: [1], minus: [1])
        }
        #expect(throws: MetricError.outOfRange(parameter: "confidence", expected: "between 0 and 1", got: "1.0")) {
            _ = try PairedBootstrap(confidence: 1).difference(of: [1], minus: [1])
        }
    }
}
