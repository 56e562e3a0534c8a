import Foundation
public import Torch

/// Points in two or three dimensions that keep the neighbours of points in many (van der Maaten and Hinton 2008).
///
/// The exact method on whole matrices of distances, in float64 on the CPU, step for step as scikit-learn 1.3 computes
/// it: distances rounded to float32, a bisection for each point's bandwidth, gains, and early exaggeration. One degree
/// of freedom in two and in three dimensions. Memory is a few matrices of `n × n`, so it is for thousands of points,
/// not for millions.
public struct TSNE: Sendable, Equatable {
    /// Where the points start.
    public enum Start: Sendable, Equatable {
        /// The first principal components, the first of them with a standard deviation of 1e-4.
        case principalComponents
        /// Normally distributed with a standard deviation of 1e-4.
        case random(seed: UInt64)
    }

    /// How fast points move.
    public enum LearningRate: Sendable, Equatable {
        /// `n / exaggeration / 4`, at least 50.
        case automatic
        case fixed(Double)
    }

    /// The number of dimensions of the result.
    ///
    /// Default: 2.
    public var dimensions: Int
    /// The number of neighbours that a point has, in effect.
    ///
    /// Default: 30.
    public var perplexity: Double
    /// The number of steps.
    ///
    /// Default: 1000.
    public var steps: Int
    /// The first of them, in which neighbours attract each other ``exaggeration`` times as much.
    ///
    /// Default: 250.
    public var exaggeratedSteps: Int
    /// How much more neighbours attract each other at first.
    ///
    /// Default: 12.
    public var exaggeration: Double
    /// The momentum of the exaggerated steps and of those after them.
    ///
    /// Default: 0.5 and 0.8.
    public var momentum: (exaggerated: Double, final: Double) {
        get { (momenta[0], momenta[1]) }
        set { momenta = [newValue.exaggerated, newValue.final] }
    }
    private var momenta = [0.5, 0.8]
    /// How fast points move.
    ///
    /// Default: automatic.
    public var learningRate: LearningRate
    /// Where the points start.
    ///
    /// Default: the principal components.
    public var start: Start

    /// Makes settings.
    public init(
        dimensions: Int = 2,
        perplexity: Double = 30,
        steps: Int = 1000,
        exaggeratedSteps: Int = 250,
        exaggeration: Double = 12,
        learningRate: LearningRate = .automatic,
        start: Start = .principalComponents
    ) {
        self.dimensions = dimensions
        self.perplexity = perplexity
        self.steps = steps
        self.exaggeratedSteps = exaggeratedSteps
        self.exaggeration = exaggeration
        self.learningRate = learningRate
        self.start = start
    }

    /// Where points came to lie.
    public struct Embedding {
        /// `[n, dimensions]` (float64).
        public let points: Tensor
        /// The Kullback-Leibler divergence of the neighbourhoods, without exaggeration; lower is better.
        public let divergence: Double
    }

    /// Embeds points.
    ///
    /// - Parameters:
    ///   - points: `[n, width]`, at least `3 * perplexity` of them and four.
    ///   - start: `[n, dimensions]`, instead of what the settings say.
    /// - Throws: ``AnalysisError``, of kind `request` when the settings do not fit the points.
    public func embed(
        _ points: Tensor,
        from start: Tensor? = nil,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> Embedding {
        let count = points.rank == 2 ? points.size(0) : 0
        guard count >= 4 else {
            throw AnalysisError(.request, "expected at least four points, got \(points.summary)", field: "points")
        }
        guard perplexity >= 1, perplexity < Double(count) else {
            throw AnalysisError(
                .request,
                "expected 1 or more and less than \(count) points, got \(perplexity)",
                field: "perplexity"
            )
        }
        guard dimensions >= 1, steps >= 1, exaggeratedSteps >= 0, exaggeration > 0 else {
            throw AnalysisError(.request, "dimensions, steps and exaggeration must be positive", field: "t-SNE")
        }
        let joint = try analysing {
            try Self.jointProbabilities(
                Self.conditionalProbabilities(Self.squaredDistances(points), perplexity: perplexity)
            )
        }
        var position = try analysing { try (start ?? self.startingPoints(points)).to(.cpu).to(.float64).clone() }
        let exaggerated = min(exaggeratedSteps, steps)
        var momentum = Momentum(rate: rate(count))
        let attraction = try analysing { try joint * exaggeration }
        for step in 0..<steps {
            if step == exaggerated { momentum = Momentum(rate: rate(count)) }
            try analysing {
                let gradient = try Self.gradient(position, step < exaggerated ? attraction : joint)
                position = try momentum.step(position, gradient, step < exaggerated ? momenta[0] : momenta[1])
            }
            if (step + 1) % 25 == 0 || step + 1 == steps {
                try control.step("t-SNE", step + 1, of: steps, unit: "steps")
            }
        }
        let divergence = try analysing { try Self.divergence(position, joint) }
        guard divergence.isFinite else {
            throw AnalysisError(.notFinite, "the points ran away; use a smaller learning rate", field: "t-SNE")
        }
        return Embedding(points: position, divergence: divergence)
    }

    /// The learning rate for a number of points.
    package func rate(_ count: Int) -> Double {
        switch learningRate {
        case .automatic: max(Double(count) / exaggeration / 4, 50)
        case .fixed(let rate): rate
        }
    }

    private func startingPoints(_ points: Tensor) throws -> Tensor {
        switch start {
        case .random(let seed):
            return try Tensor.normal(
                [points.size(0), dimensions],
                deviation: 1e-4,
                generator: Generator(seed: seed),
                dtype: .float64
            )
        case .principalComponents:
            let components = try PrincipalComponents(points, count: dimensions).points
            let first = try components.narrow(1, start: 0, length: 1)
            let deviation = try ((first * first).mean()).sqrt().item()
            return try deviation > 0 ? components * (1e-4 / deviation) : components
        }
    }

    // MARK: Steps

    /// Squared Euclidean distances, rounded to float32: `[n, n]` (float64).
    package static func squaredDistances(_ points: Tensor) throws(TorchError) -> Tensor {
        try squaredDistances(exactly: points).to(.float32).to(.float64)
    }

    /// Squared Euclidean distances: `[n, n]` (float64).
    static func squaredDistances(exactly points: Tensor) throws(TorchError) -> Tensor {
        let x = try points.detach().to(.cpu).to(.float64)
        let squares = try (x * x).sum(1, keepingDimensions: true)
        let products = try x.matmul(x.transpose(0, 1))
        let distances = try (squares + squares.transpose(0, 1) - products * 2).clamp(0, .infinity)
        return try distances * offDiagonal(x.size(0))
    }

    /// Ones without a diagonal: `[n, n]` (float64).
    static func offDiagonal(_ count: Int) throws(TorchError) -> Tensor {
        let positions = try Tensor.arange(0, Double(count))
        return try positions.unsqueeze(0).compare(.notEqual, positions.unsqueeze(1)).to(.float64)
    }

    /// The chance that a point picks each other one as its neighbour: `[n, n]`, every row sums to 1.
    ///
    /// The bandwidths are searched for by bisection, all rows at once, each until its entropy is that of the
    /// perplexity.
    package static func conditionalProbabilities(
        _ squaredDistances: Tensor,
        perplexity: Double
    ) throws(TorchError) -> Tensor {
        let count = squaredDistances.size(0)
        let others = try offDiagonal(count)
        let target = Foundation.log(Double(Float(perplexity)))
        let falses = try Tensor.zeros([count, 1], dtype: .bool)
        var (low, high) = (
            try Tensor.zeros([count, 1], dtype: .float64), try Tensor.zeros([count, 1], dtype: .float64)
        )
        var (lacksLow, lacksHigh) = (try falses.not(), try falses.not())
        var active = try falses.not()
        var precision = try Tensor.ones([count, 1], dtype: .float64)
        var used = precision
        var result = others
        for _ in 0..<100 {
            used = try Tensor.choose(active, precision, used)
            let kernel = try (squaredDistances * used * -1).exp() * others
            let sums = try kernel.sum(1, keepingDimensions: true)
            let total = try sums.maskedFill(sums.compare(.equal, 0), 1e-8)
            result = try kernel / total
            let entropy = try total.log() + used * (result * squaredDistances).sum(1, keepingDimensions: true)
            let excess = try entropy - target
            active = try active.and(excess.abs().compare(.greater, 1e-5))
            if try active.to(.float64).sum().item() == 0 { break }
            let isAbove = try excess.compare(.greater, 0)
            let raises = try active.and(isAbove)
            let lowers = try active.and(isAbove.not())
            low = try Tensor.choose(raises, used, low)
            high = try Tensor.choose(lowers, used, high)
            lacksLow = try lacksLow.and(raises.not())
            lacksHigh = try lacksHigh.and(lowers.not())
            let up = try Tensor.choose(lacksHigh, used * 2, (used + high) * 0.5)
            let down = try Tensor.choose(lacksLow, used * 0.5, (used + low) * 0.5)
            precision = try Tensor.choose(isAbove, up, down)
        }
        return result
    }

    private static let floor = Double.ulpOfOne

    /// The chance that two points are neighbours, whoever picks: `[n, n]`, symmetric, sums to 1.
    package static func jointProbabilities(_ conditional: Tensor) throws(TorchError) -> Tensor {
        let sum = try conditional + conditional.transpose(0, 1)
        let joint = try sum / sum.sum().clamp(floor, .infinity)
        return try joint.clamp(floor, .infinity) * offDiagonal(conditional.size(0))
    }

    private static func neighbours(_ position: Tensor) throws(TorchError) -> (kernel: Tensor, joint: Tensor) {
        let others = try offDiagonal(position.size(0))
        let kernel = try (squaredDistances(exactly: position) + 1).power(-1) * others
        return (kernel, try (kernel / kernel.sum()).clamp(floor, .infinity) * others)
    }

    /// The gradient of the divergence: `4 Σ_j (p_ij - q_ij) (y_i - y_j) / (1 + d_ij)`, `[n, dimensions]`.
    package static func gradient(_ position: Tensor, _ joint: Tensor) throws(TorchError) -> Tensor {
        let (kernel, own) = try neighbours(position)
        let forces = try (joint - own) * kernel
        return try (forces.sum(1, keepingDimensions: true) * position - forces.matmul(position)) * 4
    }

    /// The Kullback-Leibler divergence of the points' neighbourhoods from the true ones.
    package static func divergence(_ position: Tensor, _ joint: Tensor) throws(TorchError) -> Double {
        let own = try neighbours(position).joint
        // Where both are 0, on the diagonal, the ratio counts as 1.
        let ratio = try joint.clamp(floor, .infinity) / own.clamp(floor, .infinity)
        return try (joint * ratio.log()).sum().item()
    }

    /// Gradient descent with momentum and a gain for each coordinate.
    package struct Momentum {
        private let rate: Double
        private var update: Tensor?
        private var gains: Tensor?

        package init(rate: Double) { self.rate = rate }

        package mutating func step(
            _ position: Tensor,
            _ gradient: Tensor,
            _ momentum: Double
        ) throws(TorchError) -> Tensor {
            let ones = try Tensor.ones(position.shape, dtype: .float64)
            let update = if let update = self.update { update } else { try ones * 0 }
            let gains = self.gains ?? ones
            let turns = try (update * gradient).compare(.less, 0)
            let newGains = try Tensor.choose(turns, gains + 0.2, gains * 0.8).clamp(0.01, .infinity)
            let newUpdate = try update * momentum - newGains * gradient * rate
            self.gains = newGains
            self.update = newUpdate
            return try position + newUpdate
        }
    }
}
