/// How the expectations of the gradient direction interference are read.
///
/// Uni-Med eq. 2.
public enum DirectionReading: String, Codable, Sendable, CaseIterable {
    /// The mean over the batches of task `i` of the ratio of the two changes: as the equation is printed (reading A).
    case meanOfRatios
    /// The ratio of the mean changes (reading B).
    case ratioOfMeans
    /// Each change beside that of a step on the very same batch (reading C); the diagonal is then not 1.
    ///
    /// To first order this is the product of the two mean directions, so that one pass over the batches is enough.
    case sameBatch
}

/// How the expectations of the gradient magnitude similarity are read.
///
/// Uni-Med eq. 3.
public enum MagnitudeReading: String, Codable, Sendable, CaseIterable {
    /// With the squares of mean norms: the diagonal is 1 (reading A).
    case squareOfMean
    /// With the means of squared norms: the diagonal is less than 1 (reading B).
    case meanOfSquare
}

/// A number for each task from the two kinds of interference.
///
/// Uni-Med eq. 4.
public struct TugOfWarIndexes: Codable, Sendable, Equatable {
    /// `Σ_j GD_ij GM_ij` of each task.
    public let values: [Double]
    /// The same, divided by the largest of them.
    public let maxNormalized: [Double]
    /// The mean of the normalised ones; higher is more consistent.
    public let mean: Double
    /// Their standard deviation, over all tasks (population); lower is more consistent.
    public let standardDeviation: Double

    /// Makes indexes from values.
    public init(_ values: [Double]) {
        self.values = values
        let largest = values.filter(\.isFinite).max() ?? .nan
        maxNormalized = values.map { $0 / largest }
        let finite = maxNormalized.filter(\.isFinite)
        let count = Double(finite.count)
        let mean = finite.reduce(0, +) / count
        self.mean = mean
        standardDeviation = (finite.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count).squareRoot()
    }
}

/// How tasks pull at a set of parameters.
///
/// Uni-Med section 3.1.1. Everything is derived from two measurements: the gradients' norms, and how much a step for
/// one task changes the loss of another.
public struct Interference: Codable, Sendable, Equatable {
    /// How the change of a loss is computed.
    public enum Step: Codable, Sendable, Equatable {
        /// By the product with the gradient: the right side of the equation, for a step of length 1.
        case firstOrder
        /// By taking the step of this length and computing the loss again: the left side.
        case exact(length: Double)
    }

    /// The changes of the losses.
    ///
    /// Uni-Med eq. 1.
    public struct Changes: Codable, Sendable, Equatable {
        /// `[i][j][b]`: how much a step for task `j` lowers the loss of batch `b` of task `i`, the mean over the
        /// batches of `j`.
        public let values: [[[Double]]]
        /// `[i][b]`: how much a step on batch `b` of task `i` lowers the loss of the same batch.
        public let own: [[Double]]

        /// Makes changes.
        public init(values: [[[Double]]], own: [[Double]]) {
            self.values = values
            self.own = own
        }
    }

    /// The set of parameters.
    public let name: String
    /// The number of parameters in it.
    public let parameterCount: Int
    /// The tasks, or data sets, whose gradients reach the set.
    public let tasks: [String]
    /// Those whose gradients do not, for example question answering without pictures and the connector.
    public let unreached: [String]
    /// How changes were computed.
    public let step: Step
    /// The gradients' norms: `[i][b]`.
    public let gradientNorms: [[Double]]
    /// The changes of the losses; `nil` after a single pass, which has only the products of mean directions.
    public let changes: Changes?
    /// The products of the mean directions, `[i][j]`; `nil` for exact steps.
    public let directionProducts: [[Double]]?

    /// The number of batches of each task.
    public var batchCounts: [Int] { gradientNorms.map(\.count) }

    /// `GD`: how much of the good that task `i`'s own step does it is done by a step for task `j`, as `[i][j]`.
    ///
    /// Uni-Med eq. 2.
    ///
    /// - Returns: `nil` where the measurement does not hold what the reading needs.
    public func direction(_ reading: DirectionReading) -> [[Double]]? {
        guard let changes else { return reading == .sameBatch ? directionProducts : nil }
        return tasks.indices.map { i in
            let own = changes.values[i][i]
            return tasks.indices.map { j in
                let others = changes.values[i][j]
                switch reading {
                case .meanOfRatios: return Self.mean(zip(others, own).map { $0 / $1 })
                case .ratioOfMeans: return Self.mean(others) / Self.mean(own)
                case .sameBatch: return Self.mean(zip(others, changes.own[i]).map { $0 / $1 })
                }
            }
        }
    }

    /// `GM`: how alike the gradients' magnitudes are, as `[i][j]`, near 0 where one task dominates.
    ///
    /// Uni-Med eq. 3.
    public func magnitude(_ reading: MagnitudeReading) -> [[Double]] {
        let means = gradientNorms.map(Self.mean)
        let squares =
            switch reading {
            case .squareOfMean: means.map { $0 * $0 }
            case .meanOfSquare: gradientNorms.map { Self.mean($0.map { $0 * $0 }) }
            }
        return means.indices.map { i in
            means.indices.map { j in 2 * means[i] * means[j] / (squares[i] + squares[j]) }
        }
    }

    /// The tug-of-war indexes.
    ///
    /// Uni-Med eq. 4.
    ///
    /// - Returns: `nil` where the measurement does not hold what the reading of the direction needs.
    public func indexes(
        _ direction: DirectionReading = .meanOfRatios,
        _ magnitude: MagnitudeReading = .squareOfMean
    ) -> TugOfWarIndexes? {
        guard let directions = self.direction(direction) else { return nil }
        return TugOfWarIndexes(
            zip(directions, self.magnitude(magnitude)).map { zip($0, $1).reduce(0) { $0 + $1.0 * $1.1 } }
        )
    }

    private static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
}
