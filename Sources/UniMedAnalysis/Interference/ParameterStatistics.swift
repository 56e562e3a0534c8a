package import Torch

/// How much tasks agree about the sign of each parameter's gradient.
///
/// Uni-Med eq. 5. The score as printed, `Σ_i ∇L_i / Σ_i |∇L_i|`, lies in -1...1; the range 0...1 that the paper names
/// fits its magnitude or the purity of Chen et al. (2020). All three are given. Parameters without any gradient have
/// no score.
public struct ParameterStatistics: Codable, Sendable, Equatable {
    /// What is summed over tasks.
    public enum Reading: String, Codable, Sendable, CaseIterable {
        /// Each task's mean gradient over its batches.
        case meanGradients
        /// Every batch's gradient.
        case pooledBatches
        /// Above each task's mean gradient, below the mean over batches of its magnitude.
        case meanMagnitudes

        /// The tasks that are summed up before the directions, so that memory stays within bounds.
        var earlyTaskCount: Int { self == .meanGradients ? 2 : 1 }
    }

    /// Which of three numbers a histogram is of.
    public enum Form: String, Codable, Sendable, CaseIterable {
        /// The magnitude of the score: 0...1.
        case absolute
        /// The score as printed: -1...1.
        case signed
        /// `(1 + score) / 2`, the gradient positive sign purity: 0...1.
        case purity

        /// The range of the bins.
        public var range: ClosedRange<Double> { self == .signed ? -1...1 : 0...1 }
    }

    /// The number of bins.
    public static let binCount = 10

    /// The set of parameters.
    public let name: String
    /// What was summed.
    public let reading: Reading
    /// The number of parameters with a score.
    public private(set) var scored: Int
    /// The number of those without any gradient.
    public private(set) var undefined: Int
    /// The parameters in each of ten equal bins, the last one closed, by form.
    private var counts: [String: [Int]]
    /// The mean score as printed.
    public private(set) var meanSigned: Double
    /// The mean magnitude of the scores.
    public private(set) var meanAbsolute: Double

    init(
        name: String,
        reading: Reading,
        scored: Int,
        undefined: Int,
        counts: [Form: [Int]],
        sums: (signed: Double, absolute: Double)
    ) {
        self.name = name
        self.reading = reading
        self.scored = scored
        self.undefined = undefined
        self.counts = Dictionary(uniqueKeysWithValues: counts.map { ($0.key.rawValue, $0.value) })
        meanSigned = sums.signed / Double(scored)
        meanAbsolute = sums.absolute / Double(scored)
    }

    /// Adds the scores of other parameters of the set.
    mutating func add(_ other: ParameterStatistics) {
        let all = Double(scored + other.scored)
        if all > 0 {
            // A part without any score has no mean.
            let mean = { [scored] (own: Double, others: Double) in
                ((scored > 0 ? own * Double(scored) : 0)
                    + (other.scored > 0 ? others * Double(other.scored) : 0)) / all
            }
            (meanSigned, meanAbsolute) = (
                mean(meanSigned, other.meanSigned), mean(meanAbsolute, other.meanAbsolute)
            )
        }
        scored += other.scored
        undefined += other.undefined
        counts = counts.merging(other.counts) { zip($0, $1).map { $0 + $1 } }
    }

    /// The parameters in each bin.
    public func counts(_ form: Form) -> [Int] {
        counts[form.rawValue] ?? [Int](repeating: 0, count: Self.binCount)
    }

    /// The shares of the parameters with a score that are in each bin.
    public func ratios(_ form: Form) -> [Double] { counts(form).map { Double($0) / Double(max(1, scored)) } }

    /// The edges of the bins.
    public static func edges(_ form: Form) -> [Double] {
        let (low, high) = (form.range.lowerBound, form.range.upperBound)
        return (0...binCount).map { low + (high - low) * Double($0) / Double(binCount) }
    }
}

/// Sums up what the scores of a set's parameters need, task by task.
package final class StatisticsAccumulator {

    private let set: ParameterSet
    private let reading: ParameterStatistics.Reading
    private let numerator: ParameterVector
    private let denominator: ParameterVector
    /// The mean gradient of the present task, where it is needed by itself.
    private let current: ParameterVector?

    package init(_ reading: ParameterStatistics.Reading, set: ParameterSet, parameters: [Tensor]) throws(TorchError) {
        self.set = set
        self.reading = reading
        numerator = try ParameterVector(zerosFor: set, parameters: parameters)
        denominator = try ParameterVector(zerosFor: set, parameters: parameters)
        current = reading == .meanGradients ? try ParameterVector(zerosFor: set, parameters: parameters) : nil
    }

    package func add(_ gradients: [Tensor?], batchCount: Int) throws(TorchError) {
        let share = reading == .pooledBatches ? 1 : 1 / Double(batchCount)
        if let current {
            try current.add(gradients, scale: share)
        } else {
            try numerator.add(gradients, scale: share)
            try denominator.addMagnitudes(gradients, scale: share)
        }
    }

    package func endTask() throws(TorchError) {
        guard let current else { return }
        try numerator.add(current)
        try denominator.addMagnitudes(current)
        try current.clear()
    }

    /// The scores as printed, in the order of the set's pieces, row by row; not a number without any gradient.
    package func scores() throws(TorchError) -> Tensor {
        try Tensor.cat(
            zip(numerator.tensors, denominator.tensors).map { above, below throws(TorchError) in
                try (above / below).reshape(-1)
            }
        )
    }

    package func result() throws(TorchError) -> ParameterStatistics {
        var counts: [ParameterStatistics.Form: [Int]] = [:]
        for form in ParameterStatistics.Form.allCases {
            counts[form] = [Int](repeating: 0, count: ParameterStatistics.binCount)
        }
        var (scored, all) = (0, 0)
        var sums = (signed: 0.0, absolute: 0.0)
        for (above, below) in zip(numerator.tensors, denominator.tensors) {
            all += above.count
            for (start, length) in ParameterVector.parts(of: above) {
                let part = try Self.part(
                    ParameterVector.rows(above, start, length).reshape(-1).to(.cpu),
                    ParameterVector.rows(below, start, length).reshape(-1).to(.cpu)
                )
                scored += part.scored
                sums.signed += part.signed
                sums.absolute += part.absolute
                for (form, more) in part.counts {
                    for (bin, count) in more.enumerated() { counts[form]?[bin] += count }
                }
            }
        }
        return ParameterStatistics(
            name: set.name,
            reading: reading,
            scored: scored,
            undefined: all - scored,
            counts: counts,
            sums: sums
        )
    }

    private static func part(_ above: Tensor, _ below: Tensor) throws(TorchError) -> (
        scored: Int, signed: Double, absolute: Double, counts: [ParameterStatistics.Form: [Int]]
    ) {
        let isDefined = try below.compare(.greater, 0)
        let zeros = try Tensor.zeros(above.shape, dtype: .float64)
        let score = try Tensor.choose(isDefined, above.to(.float64) / below.to(.float64), zeros)
        let weight = try isDefined.to(.float64)
        var counts: [ParameterStatistics.Form: [Int]] = [:]
        for form in ParameterStatistics.Form.allCases {
            let unit =
                switch form {
                case .absolute: try score.abs()
                case .signed, .purity: try (score + 1) * 0.5
                }
            // Truncation is the floor of what is not negative; the last bin has its upper edge too.
            let count = ParameterStatistics.binCount
            let bin = try (unit * Double(count)).clamp(0, Double(count) - 0.5).to(.int64)
            counts[form] = try Tensor.zeros([count], dtype: .float64).indexAdd(0, bin, weight)
                .array(of: Double.self).map { Int($0) }
        }
        return (
            Int(try weight.sum().item()), try (score * weight).sum().item(), try (score.abs() * weight).sum().item(),
            counts
        )
    }
}
