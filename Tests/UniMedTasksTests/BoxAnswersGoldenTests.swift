import Foundation
import Testing
import UniMedData
import UniMedMetrics
import UniMedTasks

private let path = "eval/grounding_metrics/cases.json"

private struct Fixture: Decodable {
    struct Case: Decodable {
        var id: Int
        var answer: String
        var image_width: Int
        var image_height: Int
        var gt_xywh: [Double]
        var parsed: Bool
        var parsed_ints: [Int]?
        var iou: Double
        var hit_gt_half: Bool
        var paper_iou_no_plus_one: Double
    }

    struct ErrorCase: Decodable {
        var answer: String
        var image_width: Int
        var image_height: Int
        var gt_xywh: [Double]
    }

    var cases: [Case]
    var error_cases: [ErrorCase]
}

private func sample(_ width: Int, _ height: Int, _ xywh: [Double]) -> Sample {
    Sample(
        id: "1",
        dataset: "golden",
        split: .test,
        task: .referringExpressionComprehension,
        image: ImageReference(path: "a.png", width: width, height: height),
        objectName: "liver",
        box: BoundingBox(xMin: xywh[0], yMin: xywh[1], xMax: xywh[0] + xywh[2], yMax: xywh[1] + xywh[3]),
        answer: ""
    )
}

@Suite("Box answers against the reference", .enabled(if: Golden.has(path), "no golden files under UNIMED_GOLDEN"))
struct BoxAnswersGoldenTests {
    @Test func `answers are parsed and scored as in the reference`() throws {
        let task = ReferringExpressionComprehension(search: .publishedCode)
        for item in try Golden.decode(Fixture.self, from: path).cases {
            let sample = sample(item.image_width, item.image_height, item.gt_xywh)
            let parsed = task.parse(item.answer, for: sample)
            if let edges = item.parsed_ints {
                let box = NormalizedBox(xMin: edges[0], yMin: edges[1], xMax: edges[2], yMax: edges[3])
                #expect(parsed == .box(box), "case \(item.id)")
            } else {
                #expect(parsed == .unparsable, "case \(item.id)")
            }
            guard sample.box?.area != 0 else {
                // The reference scores an annotation without area; we refuse it as broken data.
                #expect(throws: TaskError.self) { _ = try task.score(prediction: item.answer, for: sample) }
                continue
            }
            let score = try task.score(prediction: item.answer, for: sample)
            #expect(score.isParsed == item.parsed, "case \(item.id)")
            // 1e-7: width and height come back from the box's edges before they pass through single precision.
            #expect(abs((score.values[.intersectionOverUnion] ?? -1) - item.iou) < 1e-7, "case \(item.id)")
            #expect((score.values[.recallAboveHalf] == 1) == item.hit_gt_half, "case \(item.id)")
            let ratio = score.values[.paperIntersectionOverUnion] ?? -1
            #expect(abs(ratio - item.paper_iou_no_plus_one) < 1e-6, "case \(item.id): ratio of the unrounded box")
        }
    }

    @Test func `where the reference divides by zero, the answer scores 0`() throws {
        let fixture = try Golden.decode(Fixture.self, from: path)
        #expect(!fixture.error_cases.isEmpty)
        for item in fixture.error_cases {
            let sample = sample(item.image_width, item.image_height, item.gt_xywh)
            let score = try ReferringExpressionComprehension().score(prediction: item.answer, for: sample)
            #expect(score.primaryValue == 0)
        }
    }
}
