import Foundation
public import Torch

/// What two sources of weights have alike and what not.
public struct CheckpointComparison: Codable, Sendable, Equatable {
    /// A tensor that is in both with another shape.
    public struct ShapeDifference: Codable, Sendable, Equatable {
        /// The name.
        public let key: String
        /// The shape in the first source.
        public let first: [Int]
        /// The shape in the second source.
        public let second: [Int]
    }

    /// A tensor that is in both with another element type.
    public struct TypeDifference: Codable, Sendable, Equatable {
        /// The name.
        public let key: String
        /// The element type in the first source.
        public let first: DType
        /// The element type in the second source.
        public let second: DType
    }

    /// A tensor of one shape whose values differ.
    public struct ValueDifference: Codable, Sendable, Equatable {
        /// The name.
        public let key: String
        /// The largest absolute difference of two elements, in float64.
        ///
        /// Infinite where a number stands against one that is not, or against another infinity. 0 where only the sign of
        /// a zero or the bits of what is not a number differ.
        public let largest: Double
    }

    /// The path of the first source.
    public let first: String
    /// The path of the second source.
    public let second: String
    /// The number of tensors that are equal bit by bit, type and shape included.
    public let identicalCount: Int
    /// The names that only the first source has, in its order.
    public let onlyInFirst: [String]
    /// The names that only the second source has, in its order.
    public let onlyInSecond: [String]
    /// The tensors of different shapes.
    public let shapes: [ShapeDifference]
    /// The tensors of different element types.
    public let types: [TypeDifference]
    /// The tensors of equal shapes whose values differ, the largest difference first.
    public let values: [ValueDifference]

    /// Whether both sources have the same tensors, bit by bit.
    public var isIdentical: Bool {
        onlyInFirst.isEmpty && onlyInSecond.isEmpty && shapes.isEmpty && types.isEmpty && values.isEmpty
    }

    /// Compares two sources; one tensor of each is in memory at a time.
    ///
    /// - Parameters:
    ///   - first: One source.
    ///   - second: The other.
    ///   - progress: Told how many of the tensors that both have are compared.
    /// - Throws: ``CheckpointError`` when a source does or a comparison fails.
    public init(
        _ first: any WeightSource,
        _ second: any WeightSource,
        progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(CheckpointError) {
        let (inFirst, inSecond) = (Set(first.keys), Set(second.keys))
        let common = first.keys.filter(inSecond.contains)
        var shapes: [ShapeDifference] = []
        var types: [TypeDifference] = []
        var values: [ValueDifference] = []
        var identicalCount = 0
        for (index, key) in common.enumerated() {
            let (firstShape, secondShape) = (try first.shape(of: key), try second.shape(of: key))
            let (firstType, secondType) = (try first.dtype(of: key), try second.dtype(of: key))
            if firstType != secondType { types.append(TypeDifference(key: key, first: firstType, second: secondType)) }
            if firstShape == secondShape {
                let (a, b) = (try first.tensor(named: key), try second.tensor(named: key))
                do {
                    if let largest = try Self.largestDifference(a, b) {
                        values.append(ValueDifference(key: key, largest: largest))
                    } else if firstType == secondType {
                        identicalCount += 1
                    }
                } catch {
                    throw CheckpointError(.tensor, file: first.path, key: key, "\(error)")
                }
            } else {
                shapes.append(ShapeDifference(key: key, first: firstShape, second: secondShape))
            }
            progress(index + 1, common.count)
        }
        self.first = first.path
        self.second = second.path
        self.identicalCount = identicalCount
        onlyInFirst = first.keys.filter { !inSecond.contains($0) }
        onlyInSecond = second.keys.filter { !inFirst.contains($0) }
        self.shapes = shapes
        self.types = types
        self.values = values.sorted { ($1.largest, $0.key) < ($0.largest, $1.key) }
    }

    /// How many elements are compared at a time: 32 MiB as float64.
    private static let blockSize = 1 << 22

    /// The largest absolute difference, `nil` when the bits are equal (the values, where the types differ).
    private static func largestDifference(_ a: Tensor, _ b: Tensor) throws -> Double? {
        guard a.count > 0 else { return nil }
        let hasOneType = a.dtype == b.dtype
        let (first, second) = (try a.reshape(-1), try b.reshape(-1))
        var largest: Double?
        for start in stride(from: 0, to: first.count, by: blockSize) {
            let length = min(blockSize, first.count - start)
            let (p, q) = (
                try first.narrow(0, start: start, length: length), try second.narrow(0, start: start, length: length)
            )
            if hasOneType {
                let areEqual = try p.withHostBytes { left in
                    try q.withHostBytes { right in
                        guard let l = left.baseAddress, let r = right.baseAddress else { return true }
                        return left.count == right.count && memcmp(l, r, left.count) == 0
                    }
                }
                if areEqual { continue }
            }
            let difference = try valueDifference(p.to(.float64), q.to(.float64))
            if hasOneType || difference > 0 { largest = max(largest ?? 0, difference) }
        }
        return largest
    }

    private static func valueDifference(_ p: Tensor, _ q: Tensor) throws -> Double {
        // Equal infinities, and two that are not numbers, do not differ; otherwise they would make the difference NaN.
        let areNaN = try p.compare(.notEqual, p).and(q.compare(.notEqual, q))
        let largest = try (p - q).abs().maskedFill(p.compare(.equal, q), 0).maskedFill(areNaN, 0).maximum().item()
        return largest.isNaN ? .infinity : largest
    }
}
