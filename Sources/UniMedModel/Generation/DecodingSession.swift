import Torch
import TorchNN

/// A language model on its way through answers: prompts are read once, then one token of each row at a time.
///
/// All that searches use of the model is here.
final class DecodingSession {
    /// The number of prompts.
    let promptCount: Int
    /// The number of token ids.
    let vocabularySize: Int
    /// Where the computation is done.
    let device: Device
    private let model: Llama
    private let dtype: DType
    private let cache: KVCache
    private let beamCount: Int
    /// `[rows, C]`: the hidden state behind the last token of each row.
    private var states: Tensor

    /// Reads the prompts.
    init(
        _ model: Llama,
        _ prompts: GenerationPrompts,
        beamCount: Int,
        maximumNewTokens: Int
    ) throws(TorchError) {
        self.model = model
        self.beamCount = beamCount
        promptCount = prompts.layout.lengths.count
        vocabularySize = model.configuration.vocabularySize
        dtype = prompts.embeddings.dtype
        device = prompts.embeddings.device
        cache = try model.makeCache(
            sequences: promptCount * beamCount,
            capacity: prompts.layout.longest + maximumNewTokens,
            dtype: dtype,
            device: device
        )
        states = try model.hiddenStates(
            of: prompts.embeddings,
            layout: prompts.layout,
            wanted: RowPlacement(prompts.layout.lastTokens, sourceCount: prompts.layout.tokenCount, device: device),
            cache: cache
        )
    }

    /// The scores of every token that may come next: `[rows, vocabulary]` in float32.
    ///
    /// The rows are the prompts, and once ``spread()`` was called the beams.
    func scores() throws(TorchError) -> Tensor { try model.logits(states).to(.float32) }

    /// Makes rows of all beams from the prompts'.
    func spread() throws(TorchError) {
        try cache.spread(to: beamCount)
    }

    /// Lets rows go on from others.
    func reorder(_ parents: [Int]) throws(TorchError) { try cache.reorder(parents) }

    /// Reads the next token of each row: `[rows]` (int64).
    func advance(_ tokens: Tensor) throws(TorchError) {
        states = try model.decode(model.embedding(tokens).to(dtype), cache: cache)
    }
}
