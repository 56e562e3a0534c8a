package import Torch
package import TorchNN
package import UniMedData

/// Turns the gradients of a step's tasks into one, by the recipe's method.
///
/// After the backward pass of each task ``take(_:)`` puts the shared parameters' gradients aside;
/// ``resolve(losses:generator:)`` replaces them by the method's sum. All other parameters keep the plain sum.
package final class ConflictResolver {
    private let shared: [Parameter]
    private var method: any ConflictMethod
    private var kept: [(task: MedicalTask, gradients: [Tensor?])] = []

    /// Makes a resolver.
    ///
    /// - Parameters:
    ///   - parameters: All that is trained, by name.
    ///   - state: Of a checkpoint; `nil` before the first step.
    /// - Throws: ``TrainingError`` of kind `recipe` when no parameter has a name that fits.
    package init(
        _ configuration: OptimizationConfiguration,
        parameters: [(name: String, parameter: Parameter)],
        state: ConflictState? = nil
    ) throws(TrainingError) {
        let pattern = NamePattern(configuration.parameters)
        shared = parameters.filter { pattern.matches($0.name) }.map(\.parameter)
        method = configuration.makeMethod(state: state ?? ConflictState())
        guard !method.looksAtGradients || !shared.isEmpty else {
            let problem = "no trained parameter is called '\(configuration.parameters)'"
            throw TrainingError(.recipe, problem, field: "training.optimization.parameters")
        }
    }

    /// What a checkpoint keeps.
    package var state: ConflictState { method.state }

    /// Whether the losses of the same samples are wanted after the step.
    package var looksAtLossesAfterwards: Bool { method.looksAtLossesAfterwards }

    /// Whether each task's own gradients are looked at; otherwise its losses are weighed.
    package var looksAtGradients: Bool { method.looksAtGradients }

    /// Puts the shared parameters' gradients, which are those of one task alone, aside.
    package func take(_ task: MedicalTask) throws(TorchError) {
        var gradients: [Tensor?] = []
        for parameter in shared {
            gradients.append(parameter.value.gradient)
            try parameter.value.setGradient(nil)
        }
        if gradients.contains(where: { $0 != nil }) { kept.append((task, gradients)) }
    }

    /// Gives the shared parameters the step's gradient.
    ///
    /// - Parameters:
    ///   - losses: Each task's mean loss.
    ///   - generator: For what is drawn.
    /// - Returns: The factor of each task's gradient.
    @discardableResult
    package func resolve(
        losses: [MedicalTask: Double],
        generator: inout SeededGenerator
    ) throws(TorchError) -> [MedicalTask: Double] {
        defer { kept = [] }
        guard !kept.isEmpty else { return [:] }
        let step = ConflictStep(
            tasks: kept.map(\.task),
            products: try products(),
            losses: kept.map { losses[$0.task] ?? 0 }
        )
        let weights = method.weights(for: step, generator: &generator)
        for (index, parameter) in shared.enumerated() {
            var sum: Tensor?
            for (weight, entry) in zip(weights, kept) {
                guard let gradient = entry.gradients[index] else { continue }
                if let sum {
                    try sum.add(gradient, scale: weight)
                } else {
                    // A gradient is ours alone; it becomes the sum where it lies.
                    sum = try weight == 1 ? gradient : gradient.scale(by: weight)
                }
            }
            try parameter.value.setGradient(sum)
        }
        return Dictionary(uniqueKeysWithValues: zip(step.tasks, weights))
    }

    /// The factors of the tasks' mean losses.
    package func lossWeights(for tasks: [MedicalTask], losses: [Double]) -> [Double] {
        method.lossWeights(for: tasks, losses: losses)
    }

    /// Notes the losses of the same samples before and after the step.
    package func note(_ tasks: [MedicalTask], before: [Double], after: [Double]) {
        method.note(tasks, before: before, after: after)
    }

    /// The products of the tasks' gradients with each other; waits for the device once.
    private func products() throws(TorchError) -> [[Double]] {
        var values: [Tensor] = []
        for (index, first) in kept.enumerated() {
            for second in kept[index...] {
                var product = try Tensor.zeros([], dtype: .float64, device: shared[0].value.device)
                for case (let a?, let b?) in zip(first.gradients, second.gradients) {
                    product = try product + a.innerProduct(b)
                }
                values.append(product)
            }
        }
        var numbers = try Tensor.stack(values).to(.cpu).array(of: Double.self)[...]
        var result = [[Double]](repeating: [Double](repeating: 0, count: kept.count), count: kept.count)
        for i in kept.indices {
            for j in i..<kept.count {
                let number = numbers.removeFirst()
                result[i][j] = number
                result[j][i] = number
            }
        }
        return result
    }
}
