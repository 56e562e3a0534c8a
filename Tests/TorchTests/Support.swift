import Testing
import Torch

/// Whether every element is within a distance of what it should be; the default is a few steps of float32 near 1.
func close(_ tensor: Tensor, _ expected: [Float], within tolerance: Float = 1e-6) throws -> Bool {
    let values = try tensor.to(.float32).array(of: Float.self)
    return values.count == expected.count
        && zip(values, expected).allSatisfy { ($0 - $1).magnitude <= tolerance * max(1, $1.magnitude) }
}

/// Numbers that follow from a seed.
func random(_ shape: [Int], seed: UInt64) throws -> Tensor {
    try Tensor.normal(shape, generator: Generator(seed: seed))
}
