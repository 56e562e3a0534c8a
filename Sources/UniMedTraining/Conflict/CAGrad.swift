package import UniMedData

/// The step near the mean gradient that helps the worst-off task most.
///
/// Conflict-averse gradient descent, Liu et al. 2021.
///
/// `d = g₀ + c ‖g₀‖ g_w / ‖g_w‖` where `w` on the simplex minimises `g_w · g₀ + c ‖g₀‖ ‖g_w‖`, divided by `1 + c²` as
/// in the published code. It is multiplied by the number of tasks, so that `c = 0` is the plain step.
package struct CAGrad: ConflictMethod {
    package let state: ConflictState
    private let strength: Double

    /// Makes the method; it has no state.
    package init(strength: Double, state: ConflictState = ConflictState()) {
        self.strength = strength
        self.state = state
    }

    package mutating func weights(for step: ConflictStep, generator: inout SeededGenerator) -> [Double] {
        let count = step.tasks.count
        let all = [Double](repeating: 1, count: count)
        let share = 1 / Double(count)
        /// The products of every gradient with the mean.
        let mean = step.products.map { $0.reduce(0, +) * share }
        let meanNorm = max(0, mean.reduce(0, +) * share).squareRoot()
        guard count > 1, strength > 0, meanNorm > 0 else { return all }
        let radius = strength * meanNorm
        let weights = Self.minimizer(step.products, mean, radius)
        let norm = Self.norm(weights, step.products)
        guard norm > 1e-12 * meanNorm else { return all }
        return weights.map { (share + radius / norm * $0) * Double(count) / (1 + strength * strength) }
    }

    private static func norm(_ weights: [Double], _ products: [[Double]]) -> Double {
        let square = zip(weights, products).reduce(0) { sum, row in
            sum + row.0 * zip(weights, row.1).reduce(0) { $0 + $1.0 * $1.1 }
        }
        return max(0, square).squareRoot()
    }

    /// Minimises a convex function on the simplex by projected gradients with a step that is halved until it helps.
    private static func minimizer(_ products: [[Double]], _ mean: [Double], _ radius: Double) -> [Double] {
        func value(_ w: [Double]) -> Double {
            zip(w, mean).reduce(0) { $0 + $1.0 * $1.1 } + radius * norm(w, products)
        }
        var weights = [Double](repeating: 1 / Double(mean.count), count: mean.count)
        var best = value(weights)
        let largest = products.indices.map { products[$0][$0] }.max() ?? 0
        guard largest > 0 else { return weights }
        var size = 1 / largest
        for _ in 0..<500 {
            let norm = norm(weights, products)
            let slope = mean.indices.map { i in
                let product = zip(weights, products[i]).reduce(0) { $0 + $1.0 * $1.1 }
                return mean[i] + (norm > 0 ? radius * product / norm : 0)
            }
            var improved = false
            while size > 1e-12 / largest {
                let next = projected(zip(weights, slope).map { $0 - size * $1 })
                let value = value(next)
                if value < best - 1e-12 * abs(best) {
                    (weights, best, improved) = (next, value, true)
                    size *= 2
                    break
                }
                size /= 2
            }
            if !improved { break }
        }
        return weights
    }

    /// The nearest point whose coordinates are not negative and sum to 1.
    static func projected(_ point: [Double]) -> [Double] {
        var (sum, shift) = (0.0, 0.0)
        for (index, value) in point.sorted(by: >).enumerated() {
            sum += value
            let candidate = (sum - 1) / Double(index + 1)
            if value > candidate { shift = candidate }
        }
        return point.map { max(0, $0 - shift) }
    }
}
