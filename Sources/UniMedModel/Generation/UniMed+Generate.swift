public import Torch
import TorchNN
public import UniMedTokenizers

extension UniMed {
    /// Answers every prompt of a batch.
    ///
    /// - Parameters:
    ///   - batch: Prompts that wait for an answer.
    ///   - tokenizer: The tokenizer the model was trained with; each of its ends of a sequence ends an answer.
    ///   - options: How; the published evaluation's way unless set.
    ///   - constraints: For each prompt what its answer may be, `nil` for anything; empty for no constraints at all.
    ///   - seeds: For each prompt the seed of its draws; empty takes that of the options for every one.
    ///   - isCancelled: Asked before every step; `true` ends with what there is.
    ///   - onToken: Sees every token as it comes, on the calling thread.
    /// - Returns: An answer for each prompt.
    /// - Throws: ``GenerationError`` for an option out of its range, a tokenizer that fails, or too little memory.
    public func generate(
        _ batch: PromptBatch,
        tokenizer: any Tokenizer,
        options: GenerationOptions = GenerationOptions(),
        constraints: [(any TokenConstraint)?] = [],
        seeds: [UInt64] = [],
        isCancelled: () -> Bool = { false },
        onToken: ((GeneratedToken) -> GenerationDirective)? = nil
    ) throws(GenerationError) -> [GeneratedAnswer] {
        try language.generate(
            prompts(batch, bosID: tokenizer.bosID, convention: options.convention),
            options: options,
            endOfSequence: Set(tokenizer.eosIDs),
            tokenizer: tokenizer,
            constraints: constraints,
            seeds: seeds,
            isCancelled: isCancelled,
            onToken: onToken
        )
    }

    /// The embeddings of a batch as prompts.
    ///
    /// - Parameters:
    ///   - bosID: The token that begins a sequence, which `transformers` 4.30 puts before answers to embeddings; `nil`
    ///     where the tokenizer has none.
    ///   - convention: Whose way of counting what was said before an answer is followed.
    /// - Throws: ``GenerationError/tensor(_:)`` when memory is short.
    public func prompts(
        _ batch: PromptBatch,
        bosID: Int?,
        convention: GenerationOptions.Convention = .transformers430
    ) throws(GenerationError) -> GenerationPrompts {
        let embeddings = try generating { () throws(TorchError) in
            try withoutGradients { () throws(TorchError) in try self.embeddings(of: batch).embeddings }
        }
        let said = convention == .transformers430 ? [bosID].compactMap { $0 } : []
        return GenerationPrompts(
            embeddings: embeddings,
            layout: batch.layout,
            context: [[Int]](repeating: said, count: batch.layout.lengths.count)
        )
    }

    /// Answers every prompt with the likeliest token at each step.
    ///
    /// - Parameters:
    ///   - batch: Prompts that wait for an answer.
    ///   - maximumNewTokens: Where an answer is cut.
    ///   - endOfSequence: The token that ends an answer; it is not returned.
    ///   - isCancelled: Asked before every step; `true` ends with what there is.
    /// - Returns: The new token ids of each prompt. They do not depend on what else is in the batch.
    /// - Throws: ``TorchError`` when memory is short.
    public func generate(
        _ batch: PromptBatch,
        maximumNewTokens: Int,
        endOfSequence: Int,
        isCancelled: () -> Bool = { false }
    ) throws(TorchError) -> [[Int]] {
        try withoutGradients { () throws(TorchError) -> [[Int]] in
            try language.generate(
                from: embeddings(of: batch).embeddings,
                layout: batch.layout,
                maximumNewTokens: maximumNewTokens,
                endOfSequence: [endOfSequence],
                isCancelled: isCancelled
            )
        }
    }
}
