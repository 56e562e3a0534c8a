public import Torch
import TorchNN

extension UniMed {
    /// Continues every prompt with the likeliest token at each step.
    ///
    /// - Parameters:
    ///   - batch: Prompts that wait for an answer.
    ///   - maximumNewTokens: Where an answer is cut.
    ///   - endOfSequence: The token that ends an answer; it is not returned.
    ///   - isCancelled: Asked before every step; `true` ends with what there is.
    /// - Returns: The new token ids of each prompt. They do not depend on what else is in the batch.
    public func generate(
        _ batch: PromptBatch,
        maximumNewTokens: Int,
        endOfSequence: Int,
        isCancelled: () -> Bool = { false }
    ) throws(TorchError) -> [[Int]] {
        try withoutGradients { () throws(TorchError) -> [[Int]] in
            let sequences = batch.layout.lengths.count
            var answers = [[Int]](repeating: [], count: sequences)
            guard maximumNewTokens > 0 else { return answers }
            let (embeddings, _) = try embeddings(of: batch)
            let cache = try language.makeCache(
                sequences: sequences,
                capacity: batch.layout.longest + maximumNewTokens,
                dtype: computeDType,
                device: device
            )
            let prefill = try language.hiddenStates(of: embeddings, layout: batch.layout, cache: cache)
            var last = try prefill.indexSelect(0, Tensor(batch.layout.lastTokens).to(device))
            var finished = [Bool](repeating: false, count: sequences)
            for step in 0..<maximumNewTokens {
                if isCancelled() { break }
                let next = try language.logits(last).to(.float32).argmax()
                for (index, token) in try next.array(of: Int.self).enumerated() where !finished[index] {
                    if token == endOfSequence {
                        finished[index] = true
                    } else {
                        answers[index].append(token)
                    }
                }
                if step == maximumNewTokens - 1 || finished.allSatisfy({ $0 }) { break }
                last = try language.decode(language.embedding(next).to(computeDType), cache: cache)
            }
            return answers
        }
    }
}
