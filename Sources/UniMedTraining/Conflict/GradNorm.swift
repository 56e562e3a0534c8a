import Foundation
package import UniMedData

/// Weighs tasks so that their gradients become equally long, those of slow tasks longer.
///
/// GradNorm, Chen et al. 2018.
///
/// Weights follow the sign of `‖w_i g_i‖ - mean · r_i ** α`, where `r_i` is how slowly the loss of task `i` has fallen
/// beside the others'; steps are relative to the mean norm, so that they do not depend on the loss's scale. The
/// weights of a step's tasks keep their sum.
package struct GradNorm: ConflictMethod {
    package private(set) var state: ConflictState
    private let strength: Double
    private let learningRate: Double

    private static let smallest = 0.01

    /// Makes the method, or continues from a state.
    package init(strength: Double, learningRate: Double, state: ConflictState = ConflictState()) {
        self.strength = strength
        self.learningRate = learningRate
        self.state = state
    }

    package mutating func weights(for step: ConflictStep, generator: inout SeededGenerator) -> [Double] {
        let names = step.tasks.map(\.rawValue)
        let weights = names.map { state.weights[$0] ?? 1 }
        let norms = step.products.indices.map { max(0, step.products[$0][$0]).squareRoot() }
        for (name, loss) in zip(names, step.losses) where state.firstLosses[name] == nil && loss > 0 {
            state.firstLosses[name] = loss
        }
        let weighted = zip(weights, norms).map { $0 * $1 }
        let mean = weighted.reduce(0, +) / Double(max(1, names.count))
        guard names.count > 1, mean > 0 else { return weights }
        let remaining = zip(names, step.losses).map { max($1, 1e-8) / (state.firstLosses[$0] ?? 1) }
        let meanRemaining = remaining.reduce(0, +) / Double(remaining.count)
        var next = weights.indices.map { index in
            let target = mean * pow(remaining[index] / meanRemaining, strength)
            let difference = weighted[index] - target
            let sign: Double = difference == 0 ? 0 : (difference > 0 ? 1 : -1)
            return max(Self.smallest, weights[index] - learningRate * sign * norms[index] / mean)
        }
        let scale = weights.reduce(0, +) / next.reduce(0, +)
        next = next.map { $0 * scale }
        for (name, weight) in zip(names, next) { state.weights[name] = weight }
        return weights
    }
}
