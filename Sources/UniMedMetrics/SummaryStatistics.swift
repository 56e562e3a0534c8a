/// Means and percentiles.
public enum SummaryStatistics {
    /// The arithmetic mean.
    ///
    /// - Throws: ``MetricError/noValues(metric:)`` when there are no values.
    public static func mean(_ values: [Double]) throws(MetricError) -> Double {
        guard !values.isEmpty else { throw .noValues(metric: "mean") }
        return values.reduce(0, +) / Double(values.count)
    }

    /// A percentile, with linear interpolation between the two nearest values.
    ///
    /// - Parameters:
    ///   - percent: In `[0, 100]`; 50 is the median.
    ///   - values: In any order.
    /// - Returns: A value in the unit of `values`.
    /// - Throws: ``MetricError/noValues(metric:)`` when there are no values, and
    ///   ``MetricError/outOfRange(parameter:expected:got:)`` for another `percent`.
    public static func percentile(_ percent: Double, of values: [Double]) throws(MetricError) -> Double {
        guard (0...100).contains(percent) else {
            throw .outOfRange(parameter: "percent", expected: "a number from 0 to 100", got: "\(percent)")
        }
        guard !values.isEmpty else { throw .noValues(metric: "percentile") }
        return interpolate(values.sorted(), percent / 100)
    }

    /// The value at a share of the way through sorted values.
    package static func interpolate(_ sorted: [Double], _ share: Double) -> Double {
        let position = share * Double(sorted.count - 1)
        let lower = Int(position.rounded(.down))
        let upper = min(lower + 1, sorted.count - 1)
        return sorted[lower] + (sorted[upper] - sorted[lower]) * (position - Double(lower))
    }
}
