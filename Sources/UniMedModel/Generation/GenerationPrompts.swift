public import Torch
public import TorchNN

/// Prompts that wait for answers, packed without padding.
public struct GenerationPrompts {
    /// `[T, C]`, prompts one after the other, in the type of the computation.
    public let embeddings: Tensor
    /// The prompts' lengths.
    public let layout: SequenceLayout
    /// For each prompt the ids that count as said before the answer.
    ///
    /// The repetition penalty counts them, and beams of ``GenerationOptions/Convention/transformers430`` count their number
    /// in their length. `transformers` counts a prompt that is given as ids with its left padding, and of one given
    /// as embeddings nothing (4.51) or the token that begins a sequence (4.30).
    public let context: [[Int]]

    /// Takes prompts that are packed already.
    ///
    /// - Parameters:
    ///   - embeddings: `[T, C]`, prompts one after the other.
    ///   - layout: Their lengths.
    ///   - context: See ``context``; empty for none.
    /// - Precondition: There is a context for each prompt, or none at all.
    public init(embeddings: Tensor, layout: SequenceLayout, context: [[Int]] = []) {
        precondition(
            context.isEmpty || context.count == layout.lengths.count,
            "every prompt has its context, or none has"
        )
        self.embeddings = embeddings
        self.layout = layout
        self.context = context.isEmpty ? [[Int]](repeating: [], count: layout.lengths.count) : context
    }

    /// Takes a batch of embeddings padded at the left.
    ///
    /// - Parameters:
    ///   - inputEmbeddings: `[B, L, C]`.
    ///   - attentionMask: `[B, L]`, 0 for padding (integers or bool), any device.
    ///   - context: See ``context``; empty for none.
    /// - Throws: ``TorchError`` when the shapes differ, or a row is empty or padded at the right.
    public init(
        inputEmbeddings: Tensor,
        attentionMask: Tensor,
        context: [[Int]] = []
    ) throws(TorchError) {
        guard inputEmbeddings.rank == 3, attentionMask.shape == Array(inputEmbeddings.shape.prefix(2)) else {
            throw TorchError(
                operation: "GenerationPrompts",
                operands: [inputEmbeddings.summary, attentionMask.summary],
                message: "embeddings [B, L, C] go with an attention mask [B, L]"
            )
        }
        let kept = try KeptTokens(attentionMask)
        let rows = try inputEmbeddings.reshape(-1, inputEmbeddings.size(2))
        self.init(
            embeddings: try rows.indexSelect(0, Tensor(kept.places).to(rows.device)),
            layout: try SequenceLayout(lengths: kept.lengths, device: rows.device),
            context: context
        )
    }

    /// Takes a batch of token ids padded at the left; the rows, with their padding, are the context.
    ///
    /// - Parameters:
    ///   - inputIDs: `[B, L]` (int64).
    ///   - attentionMask: `[B, L]`, 0 for padding (integers or bool).
    ///   - model: The model whose embeddings are taken.
    ///   - dtype: The type of the computation; `nil` is that of the embeddings.
    /// - Throws: ``TorchError`` when the shapes differ, or a row is empty or padded at the right.
    public init(
        inputIDs: Tensor,
        attentionMask: Tensor,
        for model: Llama,
        dtype: DType? = nil
    ) throws(TorchError) {
        guard inputIDs.rank == 2, attentionMask.shape == inputIDs.shape else {
            throw TorchError(
                operation: "GenerationPrompts",
                operands: [inputIDs.summary, attentionMask.summary],
                message: "token ids [B, L] go with an attention mask [B, L]"
            )
        }
        let kept = try KeptTokens(attentionMask)
        let ids = try inputIDs.to(.int64).array(of: Int.self)
        let width = inputIDs.size(1)
        let table = model.embedding.weight.value
        let tokens = try Tensor(kept.places.map { ids[$0] }).to(table.device)
        self.init(
            embeddings: try withoutGradients { () throws(TorchError) in
                try model.embedding(tokens).to(dtype ?? table.dtype)
            },
            layout: try SequenceLayout(lengths: kept.lengths, device: table.device),
            context: (0..<inputIDs.size(0)).map { Array(ids[$0 * width..<($0 + 1) * width]) }
        )
    }
}

/// The tokens that a mask of left-padded rows keeps.
private struct KeptTokens {
    /// Where they are among all places of the rows.
    let places: [Int]
    /// How many each row has.
    let lengths: [Int]

    init(_ mask: Tensor) throws(TorchError) {
        let width = mask.size(1)
        let kept = try mask.to(.int64).array(of: Int.self)
        places = kept.indices.filter { kept[$0] != 0 }
        lengths = (0..<mask.size(0)).map { row in kept[row * width..<(row + 1) * width].count { $0 != 0 } }
        for row in lengths.indices where width == 0 || kept[(row + 1) * width - 1] == 0 {
            throw TorchError(
                operation: "GenerationPrompts",
                operands: [mask.summary],
                message: "row \(row) ends with padding; prompts that wait for an answer are padded at the left"
            )
        }
    }
}
