public import Torch
public import TorchNN

extension Llama {
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
        try withoutGradients { () throws(TorchError) -> [[Int]] in
            let sequences = layout.lengths.count
            var answers = [[Int]](repeating: [], count: sequences)
            guard maximumNewTokens > 0 else { return answers }
            let cache = try makeCache(
                sequences: sequences,
                capacity: layout.longest + maximumNewTokens,
                dtype: embeddings.dtype,
                device: embeddings.device
            )
            let prefill = try hiddenStates(of: embeddings, layout: layout, cache: cache)
            var last = try prefill.indexSelect(0, Tensor(layout.lastTokens).to(embeddings.device))
            var finished = [Bool](repeating: false, count: sequences)
            for step in 0..<maximumNewTokens {
                if isCancelled() { break }
                let next = try logits(last).to(.float32).argmax()
                for (index, token) in try next.array(of: Int.self).enumerated() where !finished[index] {
                    if endOfSequence.contains(token) {
                        finished[index] = true
                    } else {
                        answers[index].append(token)
                    }
                }
                if step == maximumNewTokens - 1 || finished.allSatisfy({ $0 }) { break }
                last = try decode(embedding(next).to(embeddings.dtype), cache: cache)
            }
            return answers
        }
    }
}

extension UniMed {
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
