public import Torch

/// Changes the scores of the next token, on the model's device.
///
/// Its rows are answers, or the beams of one.
public protocol LogitsProcessor {
    /// Makes the processor, or `nil` where the options do not ask for it.
    init?(_ options: GenerationOptions)

    /// Learns what counts as said before the answers, one list for each row; called once.
    mutating func begin(context: [[Int]], vocabularySize: Int, device: Device) throws(TorchError)

    /// The changed scores: `[rows, vocabulary]` in float32, as given.
    func callAsFunction(_ scores: Tensor) throws(TorchError) -> Tensor

    /// Learns the next token of each row: `[rows]` (int64).
    mutating func append(_ tokens: Tensor) throws(TorchError)

    /// Learns that row `i` goes on from what was row `rows[i]` (int64).
    mutating func select(rows: Tensor) throws(TorchError)
}

extension LogitsProcessor {
    /// Does nothing.
    public mutating func begin(context: [[Int]], vocabularySize: Int, device: Device) throws(TorchError) {}
    /// Does nothing.
    public mutating func append(_ tokens: Tensor) throws(TorchError) {}
    /// Does nothing.
    public mutating func select(rows: Tensor) throws(TorchError) {}
}

/// The processors there are, in the order of `transformers`.
public enum LogitsProcessors {
    /// Those that apply to every search, before constraints.
    public static var penalties: [any LogitsProcessor.Type] { [RepetitionPenalty.self] }
    /// Those that apply where tokens are drawn, after constraints.
    public static var warpers: [any LogitsProcessor.Type] { [Temperature.self, TopK.self, TopP.self] }

    /// The processors of a list that the options ask for.
    static func make(_ kinds: [any LogitsProcessor.Type], _ options: GenerationOptions) -> [any LogitsProcessor] {
        kinds.compactMap { $0.init(options) }
    }
}
