package import UniMedData

/// Takes out of each task's gradient what points against another task's.
///
/// "Gradient surgery", Yu et al. 2020.
///
/// A projected gradient is a sum of the tasks' own, so the products among those are all it needs. Where no two
/// gradients point against each other this is the plain step.
package struct PCGrad: ConflictMethod {
    package let state: ConflictState

    /// Makes the method; it has no state.
    package init(state: ConflictState = ConflictState()) { self.state = state }

    package mutating func weights(for step: ConflictStep, generator: inout SeededGenerator) -> [Double] {
        let count = step.tasks.count
        var weights = [Double](repeating: 0, count: count)
        for task in 0..<count {
            // The projected gradient in terms of the tasks' own.
            var parts = [Double](repeating: 0, count: count)
            parts[task] = 1
            for other in generator.permutation(of: count) where other != task && step.products[other][other] > 0 {
                let product = (0..<count).reduce(0) { $0 + parts[$1] * step.products[$1][other] }
                if product < 0 { parts[other] -= product / step.products[other][other] }
            }
            for part in 0..<count { weights[part] += parts[part] }
        }
        return weights
    }
}
