public import Torch
public import TorchNN
public import UniMedTokenizers

extension Llama {
    /// Answers prompts.
    ///
    /// Every answer is the same whatever else is in the batch, but for the rounding of products and for beams with
    /// ``GenerationOptions/Convention/transformers451``.
    ///
    /// - Parameters:
    ///   - prompts: What is to be continued.
    ///   - options: How.
    ///   - endOfSequence: The tokens that end an answer; they are not returned. Ids outside the vocabulary end nothing.
    ///   - tokenizer: Writes the answers' texts; needed for stop strings. `nil` gives tokens only.
    ///   - constraints: For each prompt what its answer may be, `nil` for anything; empty for no constraints at all.
    ///   - seeds: For each prompt the seed of its draws; empty takes that of the options for every one, so that equal prompts
    ///     have equal answers.
    ///   - isCancelled: Asked before every step; `true` ends with what there is.
    ///   - onToken: Sees every token as it comes, on the calling thread. A search with beams knows its tokens only at
    ///     its end.
    /// - Returns: An answer for each prompt.
    /// - Throws: ``GenerationError`` for an option out of its range, a tokenizer that fails, or too little memory.
    public func generate(
        _ prompts: GenerationPrompts,
        options: GenerationOptions = GenerationOptions(),
        endOfSequence: Set<Int>,
        tokenizer: (any Tokenizer)? = nil,
        constraints: [(any TokenConstraint)?] = [],
        seeds: [UInt64] = [],
        isCancelled: () -> Bool = { false },
        onToken: ((GeneratedToken) -> GenerationDirective)? = nil
    ) throws(GenerationError) -> [GeneratedAnswer] {
        try options.validate()
        let count = prompts.layout.lengths.count
        for (field, given) in [("constraints", constraints.count), ("seeds", seeds.count)]
        where given != 0 && given != count {
            throw .invalidOption(field: field, expected: "none or one for each of \(count) prompts", got: "\(given)")
        }
        guard options.stopStrings.isEmpty || tokenizer != nil else {
            throw .invalidOption(field: "stopStrings", expected: "a tokenizer beside them", got: "none")
        }
        let maximum = options.maximumNewTokens ?? GenerationOptions.publishedMaximumNewTokens
        for constraint in constraints { try constraint?.check(maximumNewTokens: maximum) }
        let vocabulary = 0..<configuration.vocabularySize
        let settings = SearchSettings(
            options: options,
            maximumNewTokens: maximum,
            ends: endOfSequence.filter(vocabulary.contains),
            tokenizer: tokenizer,
            constraints: constraints.isEmpty ? [(any TokenConstraint)?](repeating: nil, count: count) : constraints,
            onToken: onToken
        )
        return try withoutGradients { () throws(GenerationError) -> [GeneratedAnswer] in
            let session = try generating { () throws(TorchError) in
                try DecodingSession(self, prompts, beamCount: options.beamCount, maximumNewTokens: maximum)
            }
            if options.beamCount > 1 {
                var search = try BeamSearch(session, settings, context: prompts.context)
                return try search.run(isCancelled: isCancelled)
            }
            let choice: any TokenChoice
            if options.temperature == nil {
                choice = GreedySearch()
            } else {
                choice = Sampling(seeds: seeds.isEmpty ? [UInt64](repeating: options.seed, count: count) : seeds)
            }
            var loop = try TokenLoop(session, settings, context: prompts.context, choice: choice)
            return try loop.run(isCancelled: isCancelled)
        }
    }

    /// Continues every sequence with the likeliest token at each step.
    ///
    /// - Parameters:
    ///   - embeddings: `[T, C]`, sequences one after the other, in the type of the computation.
    ///   - layout: The sequences' lengths.
    ///   - maximumNewTokens: Where a continuation is cut.
    ///   - endOfSequence: The tokens that end a continuation; they are not returned.
    ///   - isCancelled: Asked before every step; `true` ends with what there is.
    /// - Returns: The new token ids of each sequence. They do not depend on the other sequences.
    /// - Throws: ``TorchError`` when the embeddings do not fit the layout or memory is short.
    public func generate(
        from embeddings: Tensor,
        layout: SequenceLayout,
        maximumNewTokens: Int,
        endOfSequence: Set<Int>,
        isCancelled: () -> Bool = { false }
    ) throws(TorchError) -> [[Int]] {
        guard maximumNewTokens > 0 else { return [[Int]](repeating: [], count: layout.lengths.count) }
        do throws(GenerationError) {
            return try generate(
                GenerationPrompts(embeddings: embeddings, layout: layout),
                options: GenerationOptions(maximumNewTokens: maximumNewTokens),
                endOfSequence: endOfSequence,
                isCancelled: isCancelled
            ).map(\.tokens)
        } catch {
            if case .tensor(let error) = error { throw error }
            throw TorchError(operation: "generate", message: error.description)
        }
    }
}
