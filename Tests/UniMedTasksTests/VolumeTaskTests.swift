import Testing
import UniMedData
import UniMedMetrics
import UniMedTasks

@Suite("Tasks on volumes")
struct VolumeTaskTests {
    private func sample(
        _ task: MedicalTask,
        slices: SliceRange? = SliceRange(10...19),
        split: Split = .train,
        id: String = "1"
    ) -> Sample {
        Sample(
            id: id,
            dataset: "made",
            split: split,
            task: task,
            image: ImageReference(path: "v", width: 200, height: 100, volume: VolumeReference(slices: 40)),
            objectName: "liver",
            box: BoundingBox(xMin: 20, yMin: 10, xMax: 120, yMax: 60),
            boxSlices: slices,
            answer: task == .referringExpressionComprehension ? "" : "liver"
        )
    }

    private let task = ReferringExpressionComprehension()
    private let box = "{<10><10><60><60><25><50>}"

    @Test func `the answer is a box of six numbers`() throws {
        let sample = sample(.referringExpressionComprehension)
        #expect(try task.target(for: sample) == box)
        guard case .box3D(let parsed) = task.parse(box, for: sample) else {
            Issue.record("a box in a volume is expected")
            return
        }
        #expect(parsed.zMin == 25 && parsed.zMax == 50)
        #expect(task.parse("{<10><10><60><60>}", for: sample) == .unparsable)
    }

    @Test func `a perfect answer scores 1, half the slices half, and none 0`() throws {
        let sample = sample(.referringExpressionComprehension)
        let perfect = try task.score(prediction: box, for: sample)
        #expect(task.metrics.allSatisfy { perfect.values[$0] == 1 } && perfect.isParsed)
        let half = try task.score(prediction: "{<10><10><60><60><25><37>}", for: sample)
        // 4.8 of 10 slices; one voxel more in each direction: 5.8 of 11.
        #expect(abs((half.values[.paperIntersectionOverUnion] ?? 0) - 0.48) < 1e-9)
        #expect(abs((half.values[.intersectionOverUnion] ?? 0) - 5.8 / 11) < 1e-9)
        #expect(half.values[.paperRecallAtHalf] == 0 && half.values[.recallAboveHalf] == 1)
        for answer in ["", "{<10><10><60><60>}", "{<10><10><60><60><60><70>}", "{<10><10><60><60><50><25>}"] {
            let score = try task.score(prediction: answer, for: sample)
            #expect(score.values[.paperIntersectionOverUnion] == 0, "\(answer)")
        }
        #expect(try !task.score(prediction: "{<10><10><60><60>}", for: sample).isParsed)
    }

    @Test func `the box of a question has its slices too`() throws {
        let sample = sample(.referringExpressionGeneration)
        for seed in 0..<10 as Range<UInt64> {
            let instruction = try ReferringExpressionGeneration().instruction(for: sample, templateSeed: seed)
            #expect(instruction.contains(box))
        }
    }

    @Test func `a sample without its slices is an error`() {
        for slices in [nil, SliceRange(start: 3, end: 3), SliceRange(start: .nan, end: 4)] {
            let sample = sample(.referringExpressionComprehension, slices: slices)
            #expect(throws: TaskError.self) { try task.target(for: sample) }
            #expect(throws: TaskError.self) { try task.score(prediction: box, for: sample) }
        }
    }

    @Test func `the trivial baseline answers the mean box of six numbers`() throws {
        let samples = [
            sample(.referringExpressionComprehension),
            sample(.referringExpressionComprehension, slices: SliceRange(20...39), id: "2"),
        ]
        let baseline = try TrivialBaseline(fittedTo: samples)
        let asked = sample(.referringExpressionComprehension, split: .test, id: "3")
        #expect(baseline.prediction(for: asked) == "{<10><10><60><60><38><75>}")
        var flat = asked
        flat.image?.volume = nil
        flat.boxSlices = nil
        #expect(baseline.prediction(for: flat) == "{<10><10><60><60>}")
    }

    @Test func `the ratio of volumes is symmetric, and 1 for equal boxes alone`() throws {
        func box(_ z: ClosedRange<Int>, x: Double = 0) -> BoundingBox3D {
            BoundingBox3D(box: BoundingBox(xMin: x, yMin: 0, xMax: x + 10, yMax: 5), slices: SliceRange(z))
        }
        let (first, second) = (box(0...3), box(2...5, x: 5))
        for extent in BoundingBox.Extent.allCases {
            let there = try first.intersectionOverUnion(with: second, extent: extent)
            #expect(try second.intersectionOverUnion(with: first, extent: extent) == there && there < 1)
            #expect(try first.intersectionOverUnion(with: first, extent: extent) == 1)
        }
        // 5 x 5 x 2 of 2 * 10 x 5 x 4 - 5 x 5 x 2.
        #expect(try first.intersectionOverUnion(with: second, extent: .continuous) == 50.0 / 350)
        #expect(try first.intersectionOverUnion(with: box(8...9), extent: .continuous) == 0)
        let empty = BoundingBox3D(box: first.box, slices: SliceRange(start: 4, end: 4))
        #expect(throws: MetricError.self) { try empty.intersectionOverUnion(with: first, extent: .continuous) }
    }
}
