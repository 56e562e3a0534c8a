public import Testing
public import Torch

/// How far a tensor is from what it should be.
public struct Deviation: Sendable, CustomStringConvertible {
    /// The largest absolute difference; infinite where a number is NaN or the shapes differ.
    public let worst: Double
    /// What is said about it: where it is and both values there.
    public let description: String
}

extension Tensor {
    /// The largest absolute difference from another tensor, and where it is.
    public func deviation(from expected: Tensor) throws -> Deviation {
        guard shape == expected.shape else {
            return Deviation(worst: .infinity, description: "shape \(shape) instead of \(expected.shape)")
        }
        let actualValues = try to(.float64).array(of: Double.self)
        let expectedValues = try expected.to(.float64).array(of: Double.self)
        var (worst, place) = (-1.0, 0)
        for (index, (actual, expected)) in zip(actualValues, expectedValues).enumerated() {
            let difference = actual == expected ? 0 : (actual - expected).magnitude
            let size = difference.isNaN ? Double.infinity : difference
            if size > worst { (worst, place) = (size, index) }
        }
        guard worst >= 0 else { return Deviation(worst: 0, description: "no elements") }
        var (rest, position) = (place, [Int](repeating: 0, count: shape.count))
        for (dimension, size) in shape.enumerated().reversed() {
            position[dimension] = rest % size
            rest /= size
        }
        return Deviation(
            worst: worst,
            description: "\(worst) at \(position): \(actualValues[place]) instead of \(expectedValues[place])"
        )
    }
}

/// Records an issue unless every element is within an absolute tolerance; says the worst and where it is.
///
/// - Returns: The worst deviation.
@discardableResult
public func expectClose(
    _ actual: Tensor,
    _ expected: Tensor,
    tolerance: Double,
    _ name: String,
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> Double {
    let deviation = try actual.deviation(from: expected)
    if !(deviation.worst <= tolerance) {
        Issue.record("\(name): off by \(deviation) (tolerance \(tolerance))", sourceLocation: sourceLocation)
    }
    return deviation.worst
}

/// The comparisons of one case with its reference numbers, and how close the closest call was.
public final class Comparison {
    private let golden: GoldenCase
    private let title: String
    private var count = 0
    private var worst = (ratio: 0.0, name: "")

    /// Begins with the comparisons of a case.
    public init(_ golden: GoldenCase, _ title: String? = nil) {
        self.golden = golden
        self.title = title ?? golden.name
    }

    /// Compares tensors within the tolerance of the manifest, which has it under `group` where that is not `name`.
    public func close(
        _ actual: Tensor,
        _ expected: Tensor,
        _ name: String,
        group: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let tolerance = try golden.tolerance(group ?? name)
        let deviation = try expectClose(
            actual,
            expected,
            tolerance: tolerance,
            "\(title) \(name)",
            sourceLocation: sourceLocation
        )
        note(deviation / tolerance, name)
    }

    /// Compares numbers within the tolerance of the manifest.
    public func close(
        _ actual: Double,
        _ expected: Double,
        _ name: String,
        group: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try close(Tensor([actual]), Tensor([expected]), name, group: group, sourceLocation: sourceLocation)
    }

    private func note(_ ratio: Double, _ name: String) {
        count += 1
        if ratio >= worst.ratio { worst = (ratio, name) }
    }

    /// How many comparisons there were and how much of its tolerance the worst of them used.
    public var summary: String {
        let share = (worst.ratio * 1000).rounded() / 1000
        return "parity \(title): \(count) comparisons, the worst used \(share) of its tolerance (\(worst.name))"
    }
}
