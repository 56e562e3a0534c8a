import Foundation

/// The parts of one optimizer step's batch whose gradients are added up.
///
/// The loss of a batch is a weighted mean over its answer tokens, `Σ w_i l_i / Σ w_i`, where a token of an answer of `n`
/// tokens weighs `n ** -lengthExponent` (1 by default). A part's own mean is divided by its own weights `W_j` alone, so
/// it counts with its share `W_j / Σ W`: then the parts' losses and gradients add up to those of the whole batch at once,
/// however unevenly long their answers are.
package enum MicroBatches {
    /// The share of each micro-batch in the step's loss.
    ///
    /// - Parameters:
    ///   - targetCounts: For each micro-batch the number of answer tokens of each of its prompts.
    ///   - lengthExponent: As in the loss.
    /// - Returns: Shares that sum to 1, 0 for a micro-batch without answer tokens; `nil` when there is none at all.
    package static func shares(targetCounts: [[Int]], lengthExponent: Double) -> [Double]? {
        // n tokens of weight n ** -e are n ** (1 - e).
        let weights = targetCounts.map { counts in
            counts.reduce(0.0) { $1 > 0 ? $0 + pow(Double($1), 1 - lengthExponent) : $0 }
        }
        let total = weights.reduce(0, +)
        return total > 0 ? weights.map { $0 / total } : nil
    }
}
