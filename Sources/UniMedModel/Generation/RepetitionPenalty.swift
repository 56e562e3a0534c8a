public import Torch

/// Makes tokens that have been said less likely: positive scores are divided by the penalty, negative ones multiplied.
///
/// Keskar et al. 2019 (CTRL), as in `transformers`: a token counts once, however often it was said. Beams apply it to log
/// probabilities, without normalising them anew.
public struct RepetitionPenalty: LogitsProcessor {
    private let penalty: Double
    /// `[rows, vocabulary]` (bool): what has been said.
    private var said: Tensor?

    /// Makes the processor where the penalty is not 1.
    public init?(_ options: GenerationOptions) {
        guard options.repetitionPenalty != 1 else { return nil }
        penalty = options.repetitionPenalty
    }

    /// Marks what counts as said before the answers; ids outside the vocabulary mark nothing.
    public mutating func begin(context: [[Int]], vocabularySize: Int, device: Device) throws(TorchError) {
        var places: [Int] = []
        for (row, ids) in context.enumerated() {
            for id in Set(ids) where id >= 0 && id < vocabularySize { places.append(row * vocabularySize + id) }
        }
        let said = try Tensor.full([context.count, vocabularySize], 0, dtype: .bool, device: device)
        if !places.isEmpty {
            try said.reshape(-1).indexCopy(
                0,
                Tensor(places).to(device),
                Tensor.full([places.count], 1, dtype: .bool, device: device)
            )
        }
        self.said = said
    }

    /// The scores with the penalty.
    public func callAsFunction(_ scores: Tensor) throws(TorchError) -> Tensor {
        guard let said else { return scores }
        let penalized = try Tensor.choose(scores.compare(.less, 0), scores * penalty, scores / penalty)
        return try Tensor.choose(said, penalized, scores)
    }

    /// Marks the new tokens.
    public mutating func append(_ tokens: Tensor) throws(TorchError) {
        guard let said else { return }
        let (rows, vocabulary) = (said.size(0), said.size(1))
        let starts = try Tensor.arange(0, Double(rows * vocabulary), step: Double(vocabulary), device: said.device)
        try said.reshape(-1).indexCopy(
            0,
            starts + tokens,
            Tensor.full([rows], 1, dtype: .bool, device: said.device)
        )
    }

    /// Takes the marks of other rows.
    public mutating func select(rows: Tensor) throws(TorchError) {
        said = try said.map { said throws(TorchError) in try said.indexSelect(0, rows) }
    }
}
