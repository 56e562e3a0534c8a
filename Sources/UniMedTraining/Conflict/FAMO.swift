import Foundation
package import UniMedData

/// Weighs the logarithms of the tasks' losses so that all fall equally fast (Liu et al. 2023, "fast adaptive multitask
/// optimization").
///
/// Weights are the softmax of logits, which change with how much each loss has fallen by the last step. No gradient is
/// looked at, so there are no copies; the losses after the step take a second forward pass.
package struct FAMO: ConflictMethod {
    package private(set) var state: ConflictState
    private let learningRate: Double
    private let decay: Double

    private static let smallestLoss = 1e-8

    /// Makes the method, or continues from a state.
    package init(learningRate: Double, decay: Double, state: ConflictState = ConflictState()) {
        self.learningRate = learningRate
        self.decay = decay
        self.state = state
    }

    package var looksAtGradients: Bool { false }
    package var looksAtLossesAfterwards: Bool { true }

    package mutating func weights(for step: ConflictStep, generator: inout SeededGenerator) -> [Double] {
        [Double](repeating: 1, count: step.tasks.count)
    }

    /// `c z_i / ℓ_i`, where `c` makes them sum to 1.
    package func lossWeights(for tasks: [MedicalTask], losses: [Double]) -> [Double] {
        let weights = zip(softmax(of: tasks), losses).map { $0 / max($1, Self.smallestLoss) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    package mutating func note(_ tasks: [MedicalTask], before: [Double], after: [Double]) {
        let falls = zip(before, after).map { log(max($0, Self.smallestLoss)) - log(max($1, Self.smallestLoss)) }
        let weights = softmax(of: tasks)
        let mean = zip(weights, falls).reduce(0) { $0 + $1.0 * $1.1 }
        for (index, task) in tasks.enumerated() {
            let logit = state.weights[task.rawValue] ?? 0
            let slope = weights[index] * (falls[index] - mean) + decay * logit
            state.weights[task.rawValue] = logit - learningRate * slope
        }
    }

    private func softmax(of tasks: [MedicalTask]) -> [Double] {
        let logits = tasks.map { state.weights[$0.rawValue] ?? 0 }
        let largest = logits.max() ?? 0
        let exponentials = logits.map { exp($0 - largest) }
        let sum = exponentials.reduce(0, +)
        return exponentials.map { $0 / sum }
    }
}
