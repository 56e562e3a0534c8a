package import UniMedData

/// What a method keeps from step to step, by task.
package struct ConflictState: Codable, Sendable, Equatable {
    /// The weights, or their logits.
    package var weights: [String: Double] = [:]
    /// The first losses that were seen.
    package var firstLosses: [String: Double] = [:]

    /// Makes a state before the first step.
    package init() {}
}

/// What is known of the tasks of a step when their gradients are.
package struct ConflictStep: Sendable {
    /// The tasks whose gradients reach the shared parameters.
    package var tasks: [MedicalTask]
    /// The products of the tasks' gradients with each other, `[i][j]`, each with its share of the step's loss.
    package var products: [[Double]]
    /// Each task's mean loss per answer token.
    package var losses: [Double]

    /// Describes a step.
    package init(tasks: [MedicalTask], products: [[Double]], losses: [Double]) {
        self.tasks = tasks
        self.products = products
        self.losses = losses
    }
}

/// Decides how the gradients of several tasks become one step.
package protocol ConflictMethod {
    /// What a checkpoint keeps.
    var state: ConflictState { get }
    /// Whether it looks at each task's own gradient of the shared parameters.
    var looksAtGradients: Bool { get }
    /// Whether it wants the same losses again after the step.
    var looksAtLossesAfterwards: Bool { get }

    /// The factor of each task's gradient in the step; all 1 is the plain step.
    ///
    /// - Parameter generator: For what is drawn; follows from the run's seed and the step.
    mutating func weights(for step: ConflictStep, generator: inout SeededGenerator) -> [Double]

    /// The factors of the tasks' mean losses, for methods that do not look at gradients: they follow from the losses
    /// alone.
    func lossWeights(for tasks: [MedicalTask], losses: [Double]) -> [Double]

    /// Notes the losses of the same samples before and after the step.
    mutating func note(_ tasks: [MedicalTask], before: [Double], after: [Double])
}

extension ConflictMethod {
    package var looksAtGradients: Bool { true }
    package var looksAtLossesAfterwards: Bool { false }

    package func lossWeights(for tasks: [MedicalTask], losses: [Double]) -> [Double] {
        [Double](repeating: 1, count: tasks.count)
    }

    package mutating func note(_ tasks: [MedicalTask], before: [Double], after: [Double]) {}
}
