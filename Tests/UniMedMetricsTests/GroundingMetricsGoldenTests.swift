import Foundation
import Testing
import UniMedData
import UniMedMetrics

private let path = "eval/grounding_metrics/cases.json"

private struct Fixture: Decodable {
    struct Case: Decodable {
        var id: Int
        var gt_xywh: [Double]
        var gt_xyxy: [Double]
        var pred_xyxy_pixels: [Double]?
        var iou: Double
        var hit_gt_half: Bool
        var hit_ge_half: Bool
        var paper_iou_no_plus_one: Double
    }

    struct Pair: Decodable {
        var box1: [Double]
        var box2: [Double]
        var iou: Double
        var paper_iou_no_plus_one: Double
    }

    var cases: [Case]
    var compute_iou: [Pair]
    var corpus: [String: Double]
}

private func box(_ edges: [Double]) -> BoundingBox {
    BoundingBox(xMin: edges[0], yMin: edges[1], xMax: edges[2], yMax: edges[3])
}

/// The score of an answer: a box without area counts 0, as an answer without a box does.
private func score(_ prediction: BoundingBox, _ reference: BoundingBox, _ extent: BoundingBox.Extent) -> Double {
    (try? prediction.intersectionOverUnion(with: reference, extent: extent)) ?? 0
}

@Suite("Box metrics against the reference", .enabled(if: Golden.has(path), "no golden files under UNIMED_GOLDEN"))
struct GroundingMetricsGoldenTests {
    private let fixture: Fixture

    init() throws {
        fixture = try Golden.decode(Fixture.self, from: path)
    }

    @Test func `intersection over union equals the reference, with and without the added pixel`() {
        #expect(!fixture.compute_iou.isEmpty)
        for pair in fixture.compute_iou {
            #expect(agree(score(box(pair.box1), box(pair.box2), .inclusivePixels), pair.iou))
            #expect(agree(score(box(pair.box1), box(pair.box2), .continuous), pair.paper_iou_no_plus_one))
        }
    }

    @Test func `annotations pass through single precision`() {
        for item in fixture.cases {
            let reference = BoundingBox(
                xMin: item.gt_xywh[0],
                yMin: item.gt_xywh[1],
                xMax: item.gt_xywh[0] + item.gt_xywh[2],
                yMax: item.gt_xywh[1] + item.gt_xywh[3]
            ).throughSinglePrecision
            // Width and height come back from the edges, one rounding of 1e-16 away.
            for (value, expected) in zip(
                [reference.xMin, reference.yMin, reference.xMax, reference.yMax],
                item.gt_xyxy
            ) {
                #expect(abs(value - expected) < 1e-4, "case \(item.id)")
            }
        }
    }

    @Test func `answers score as in the reference, and the means agree`() throws {
        var published: [Double] = []
        var paper: [Double] = []
        for item in fixture.cases {
            let prediction = item.pred_xyxy_pixels.map(box)
            let reference = box(item.gt_xyxy)
            let iou = prediction.map { score($0, reference, .inclusivePixels) } ?? 0
            let ratio = prediction.map { score($0, reference, .continuous) } ?? 0
            #expect(agree(iou, item.iou), "case \(item.id)")
            #expect(agree(ratio, item.paper_iou_no_plus_one), "case \(item.id)")
            #expect(RecallAtHalf.above.isHit(iou) == item.hit_gt_half, "case \(item.id)")
            #expect(RecallAtHalf.atLeast.isHit(iou) == item.hit_ge_half, "case \(item.id)")
            published.append(iou)
            paper.append(ratio)
        }
        let hits = { (rule: RecallAtHalf, values: [Double]) in
            try SummaryStatistics.mean(values.map { rule.isHit($0) ? 1 : 0 })
        }
        let meanIoU = try SummaryStatistics.mean(published)
        #expect(agree(meanIoU, try #require(fixture.corpus["miou"])))
        #expect(agree(try hits(.above, published), try #require(fixture.corpus["acc_gt_half"])))
        #expect(agree(try hits(.atLeast, published), try #require(fixture.corpus["r_at_half_ge"])))
        let meanRatio = try SummaryStatistics.mean(paper)
        #expect(agree(meanRatio, try #require(fixture.corpus["paper_miou_no_plus_one"])))
        #expect(agree(try hits(.atLeast, paper), try #require(fixture.corpus["paper_r_at_half_ge_no_plus_one"])))
    }
}
