public import Torch

/// Leaves only the `k` likeliest tokens, and those as likely as the last of them.
///
/// Fan et al. 2018.
public struct TopK: LogitsProcessor {
    private let count: Int

    /// Makes the processor where the options limit the number of tokens.
    public init?(_ options: GenerationOptions) {
        guard let count = options.topK else { return nil }
        self.count = count
    }

    /// The scores, minus infinity for all other tokens.
    public func callAsFunction(_ scores: Tensor) throws(TorchError) -> Tensor {
        let width = scores.size(-1)
        guard count < width else { return scores }
        let last = try scores.topK(count).values.narrow(-1, start: count - 1, length: 1)
        return try scores.maskedFill(scores.compare(.less, last), -.infinity)
    }
}
