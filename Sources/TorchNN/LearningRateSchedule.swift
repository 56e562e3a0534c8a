import Foundation

/// Linear warm-up, then half a cosine down to the lowest rate.
///
/// As in the published code, the cosine is taken at the global step without subtracting the warm-up
/// (``CosineStart/beginning``), so the rate drops a little where the warm-up ends; ``CosineStart/afterWarmup`` starts it
/// at the peak.
public struct LearningRateSchedule: Codable, Sendable, Equatable {
    /// Where the cosine starts.
    public enum CosineStart: String, Codable, Sendable {
        case beginning
        case afterWarmup
    }

    /// The highest rate.
    public var peak: Double
    /// The rate at the last step.
    public var lowest: Double
    /// The rate at step 0.
    public var warmupStart: Double
    /// The steps until the peak.
    public var warmupSteps: Int
    /// All steps.
    public var totalSteps: Int
    /// Where the cosine starts.
    ///
    /// Default: the beginning, as in the published code.
    public var cosineStart: CosineStart

    /// Makes a schedule.
    public init(
        peak: Double,
        lowest: Double,
        warmupStart: Double,
        warmupSteps: Int,
        totalSteps: Int,
        cosineStart: CosineStart = .beginning
    ) {
        self.peak = peak
        self.lowest = lowest
        self.warmupStart = warmupStart
        self.warmupSteps = warmupSteps
        self.totalSteps = totalSteps
        self.cosineStart = cosineStart
    }

    /// The rate of a step, counted from 0.
    public func rate(at step: Int) -> Double {
        if step < warmupSteps {
            return min(peak, warmupStart + (peak - warmupStart) * Double(step) / Double(max(warmupSteps, 1)))
        }
        let offset = cosineStart == .afterWarmup ? warmupSteps : 0
        let span = Double(max(totalSteps - offset, 1))
        let progress = min(Double(step - offset) / span, 1)
        return (peak - lowest) * 0.5 * (1 + cos(.pi * progress)) + lowest
    }
}
