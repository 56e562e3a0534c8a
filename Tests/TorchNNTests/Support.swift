import Testing
import Torch
import TorchNN

/// The largest absolute difference of two tensors; infinite where the shapes differ.
func distance(_ a: Tensor, _ b: Tensor) throws -> Double {
    guard a.shape == b.shape else { return .infinity }
    return a.count == 0 ? 0 : try (a.detach().to(.float64) - b.detach().to(.float64)).abs().maximum().item()
}

/// Numbers that follow from a seed.
func random(_ shape: [Int], seed: UInt64) throws -> Tensor {
    try Tensor.normal(shape, generator: Generator(seed: seed))
}
