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

/// The learning-rate schedules of the published code, with all their peculiarities, for comparing with it.
///
/// - The warm-up's length counts global steps, but its ramp follows the step within the epoch: a warm-up longer than an
///   epoch starts anew in every epoch.
/// - The cosine is taken at the global step without subtracting the warm-up.
/// - The stepwise form warms up in epoch 0 only and stays at the peak for the rest of it.
///
/// ``LearningRateSchedule`` equals the cosine form where the warm-up fits into the first epoch.
public struct PublishedLearningRateSchedule: Sendable, Equatable {
    /// What follows the warm-up.
    public enum Decay: Sendable, Equatable {
        /// Half a cosine (`linear_warmup_cosine_lr`).
        case cosine
        /// The peak times `factor` to the power of the epoch (`linear_warmup_step_lr`).
        case stepwise(factor: Double)
    }

    /// What follows the warm-up.
    public var decay: Decay
    /// The highest rate.
    public var peak: Double
    /// The lowest rate after the warm-up.
    public var lowest: Double
    /// The rate at step 0; negative starts at the peak.
    public var warmupStart: Double
    /// The steps of the warm-up.
    public var warmupSteps: Int
    /// The steps of an epoch.
    public var stepsPerEpoch: Int
    /// The number of epochs.
    public var epochCount: Int

    /// Makes a schedule.
    public init(
        decay: Decay,
        peak: Double,
        lowest: Double,
        warmupStart: Double,
        warmupSteps: Int,
        stepsPerEpoch: Int,
        epochCount: Int
    ) {
        self.decay = decay
        self.peak = peak
        self.lowest = lowest
        self.warmupStart = warmupStart
        self.warmupSteps = warmupSteps
        self.stepsPerEpoch = stepsPerEpoch
        self.epochCount = epochCount
    }

    /// The rate of a step, both counted from 0.
    public func rate(epoch: Int, step: Int) -> Double {
        let start = warmupStart >= 0 ? warmupStart : peak
        let ramp = min(peak, start + (peak - start) * Double(step) / Double(max(warmupSteps, 1)))
        switch decay {
        case .cosine:
            let global = epoch * stepsPerEpoch + step
            if global < warmupSteps { return ramp }
            let progress = Double(global) / Double(max(epochCount * stepsPerEpoch, 1))
            return (peak - lowest) * 0.5 * (1 + cos(.pi * progress)) + lowest
        case .stepwise(let factor):
            return epoch == 0 ? ramp : max(lowest, peak * pow(factor, Double(epoch)))
        }
    }
}
