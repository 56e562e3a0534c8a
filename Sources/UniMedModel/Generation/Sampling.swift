import Torch
import UniMedData

/// Draws tokens by their probabilities, each answer from a stream of its own, so that it does not depend on its neighbours.
///
/// One number between 0 and 1 is drawn on the host for each answer and step; the token is the first at which the running
/// sum of probabilities passes it. The same seed gives the same draws on every device.
struct Sampling: TokenChoice {
    private var generators: [SeededGenerator]

    init(seeds: [UInt64]) {
        generators = seeds.map { SeededGenerator(seed: $0) }
    }

    mutating func callAsFunction(_ scores: Tensor) throws(TorchError) -> Tensor {
        // With 32 bits the largest number stays below the whole sum after rounding, so that some token always passes it.
        let draws = generators.indices.map { Double(generators[$0].next() >> 32) * 0x1p-32 }
        let probabilities = try scores.softmax().to(.float64)
        let sums = try probabilities.cumulativeSum(-1)
        let total = try sums.narrow(-1, start: sums.size(-1) - 1, length: 1)
        let passed = try sums.compare(.greater, total * Tensor(draws, shape: [draws.count, 1]).to(scores.device))
        // The largest value is found at its first place; tokens that are ruled out never pass, however sums are rounded.
        return try passed.and(probabilities.compare(.greater, 0)).to(.float32).argmax()
    }
}
