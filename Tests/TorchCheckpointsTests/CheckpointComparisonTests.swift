import Foundation
import Testing
import Torch
import TorchCheckpoints

@Suite("Looking into checkpoints")
struct CheckpointComparisonTests {
    @Test func `a summary counts tensors, elements and bytes of each type`() throws {
        let summary = try CheckpointSummary(
            TensorWeights([
                (name: "a", tensor: try Tensor.zeros([2, 3], dtype: .float16)),
                (name: "b", tensor: try Tensor.zeros([5], dtype: .int64)),
                (name: "c", tensor: try Tensor.zeros([], dtype: .float16)),
                (name: "d", tensor: try Tensor.zeros([0, 7], dtype: .float32)),
            ])
        )
        #expect(summary.tensors.map(\.key) == ["a", "b", "c", "d"])
        #expect(summary.tensors.map(\.byteCount) == [12, 40, 2, 0])
        #expect(summary.totals.map(\.dtype) == [.int64, .float16, .float32])
        #expect(summary.totals.map(\.tensorCount) == [1, 2, 1])
        #expect(summary.elementCount == 12 && summary.byteCount == 54)
    }

    @Test func `differences of names, shapes, types and values are told apart`() throws {
        let first = TensorWeights(
            [
                (name: "same", tensor: try Tensor([1, 2, .nan] as [Float])),
                (name: "gone", tensor: try Tensor.zeros([1])),
                (name: "shape", tensor: try Tensor.zeros([2, 3])),
                (name: "type", tensor: try Tensor([1, 2] as [Float])),
                (name: "type and value", tensor: try Tensor([1, 2] as [Float])),
                (name: "value", tensor: try Tensor([1, -2, 3] as [Float])),
                (name: "infinite", tensor: try Tensor([Float.infinity, -.infinity])),
                (name: "not a number", tensor: try Tensor([1, Float.nan])),
                (name: "zero", tensor: try Tensor([0] as [Float])),
                (name: "empty", tensor: try Tensor.zeros([0])),
            ],
            path: "one"
        )
        let second = TensorWeights(
            [
                (name: "new", tensor: try Tensor.zeros([1])),
                (name: "same", tensor: try Tensor([1, 2, .nan] as [Float])),
                (name: "shape", tensor: try Tensor.zeros([3, 2])),
                (name: "type", tensor: try Tensor([1, 2] as [Float]).to(.bfloat16)),
                (name: "type and value", tensor: try Tensor([1, 2.5] as [Double])),
                (name: "value", tensor: try Tensor([1, 2, 3.5] as [Float])),
                (name: "infinite", tensor: try Tensor([Float.infinity, .infinity])),
                (name: "not a number", tensor: try Tensor([1, 2] as [Float])),
                (name: "zero", tensor: try Tensor([-0.0] as [Float])),
                (name: "empty", tensor: try Tensor.zeros([0])),
            ],
            path: "two"
        )
        var seen: [Int] = []
        let comparison = try CheckpointComparison(first, second) { done, total in
            #expect(total == 9)
            seen.append(done)
        }
        #expect(seen == Array(1...9))
        #expect(comparison.first == "one" && comparison.second == "two")
        #expect(comparison.onlyInFirst == ["gone"] && comparison.onlyInSecond == ["new"])
        #expect(comparison.shapes.map(\.key) == ["shape"])
        #expect(comparison.shapes[0].first == [2, 3] && comparison.shapes[0].second == [3, 2])
        #expect(comparison.types.map(\.key) == ["type", "type and value"])
        #expect(comparison.identicalCount == 2)
        #expect(!comparison.isIdentical)
        let values = Dictionary(uniqueKeysWithValues: comparison.values.map { ($0.key, $0.largest) })
        #expect(
            values == ["value": 4, "type and value": 0.5, "infinite": .infinity, "not a number": .infinity, "zero": 0]
        )
        #expect(comparison.values.map(\.largest) == comparison.values.map(\.largest).sorted(by: >))
    }

    @Test func `a source equals itself`() throws {
        let source = TensorWeights([(name: "a", tensor: try Tensor([1, .nan] as [Float]))])
        let comparison = try CheckpointComparison(source, source)
        #expect(comparison.isIdentical && comparison.identicalCount == 1)
    }

    @Test func `a difference far behind the beginning is found`() throws {
        let count = (1 << 22) + 10
        let (a, b) = (try Tensor.zeros([count], dtype: .int8), try Tensor.zeros([count], dtype: .int8))
        try b.narrow(0, start: count - 1, length: 1).fill(-3)
        let comparison = try CheckpointComparison(
            TensorWeights([(name: "w", tensor: a)]),
            TensorWeights([(name: "w", tensor: b)])
        )
        #expect(comparison.values.map(\.largest) == [3])
    }
}
