import Torch

/// Chooses the next token of each row.
protocol TokenChoice {
    /// The chosen tokens: `[rows]` (int64), on the scores' device, without waiting for it.
    mutating func callAsFunction(_ scores: Tensor) throws(TorchError) -> Tensor
}

/// Takes the likeliest token.
struct GreedySearch: TokenChoice {
    func callAsFunction(_ scores: Tensor) throws(TorchError) -> Tensor { try scores.argmax() }
}
