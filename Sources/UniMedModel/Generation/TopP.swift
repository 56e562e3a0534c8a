public import Torch

/// Leaves only the likeliest tokens that together have a probability, at least one.
///
/// Holtzman et al. 2020, as in `transformers`: in ascending order, tokens go whose probabilities add up to no more than `1 - p`.
public struct TopP: LogitsProcessor {
    private let probability: Double

    /// Makes the processor where the options limit the probability to less than 1.
    public init?(_ options: GenerationOptions) {
        guard let probability = options.topP, probability < 1 else { return nil }
        self.probability = probability
    }

    /// The scores, minus infinity for all other tokens.
    public func callAsFunction(_ scores: Tensor) throws(TorchError) -> Tensor {
        let (rows, width) = (scores.size(0), scores.size(-1))
        let (values, indices) = try scores.sorted()
        let gone = try values.softmax().cumulativeSum(-1).compare(.lessOrEqual, 1 - probability)
        try gone.narrow(-1, start: width - 1, length: 1).fill(0)
        let unordered = try Tensor.full([rows, width], 0, dtype: .bool, device: scores.device)
        return try scores.maskedFill(unordered.scatter(-1, indices, gone), -.infinity)
    }
}
