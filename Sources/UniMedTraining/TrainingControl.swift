import Foundation

/// A request to stop, set by another thread or a signal's handler queue.
///
/// Training looks at it between steps: it finishes the step, saves a checkpoint and returns ``TrainingOutcome/interrupted(step:)``.
public final class TrainingControl: Sendable {
    private let state = LockedFlag()

    /// Makes a control that has not been asked to stop.
    public init() {}

    /// Asks the run to stop after its current step.
    public func cancel() { state.set() }

    /// Whether the run has been asked to stop.
    public var isCancelled: Bool { state.value }

    /// A flag that is set once.
    ///
    /// `@unchecked Sendable`: every access holds the lock.
    private final class LockedFlag: @unchecked Sendable {
        private let lock = NSLock()
        private var isSet = false

        func set() { lock.withLock { isSet = true } }

        var value: Bool { lock.withLock { isSet } }
    }
}

/// How a stage of a run ended.
public enum TrainingOutcome: Sendable, Equatable {
    /// All steps are done.
    case finished(step: Int)
    /// It was asked to stop; a checkpoint of this many steps is on disk.
    case interrupted(step: Int)

    /// The steps that are done.
    public var step: Int {
        switch self {
        case .finished(let step), .interrupted(let step): step
        }
    }
}

/// How far a stage of a run is.
public struct StageProgress: Sendable, Equatable {
    /// The stages, in their order.
    public enum Stage: String, Sendable, CaseIterable {
        case data, tokenizer, vision, features, training, saving
    }

    /// The stage.
    public var stage: Stage
    /// What is done.
    public var done: Int
    /// All there is to do.
    public var total: Int
    /// What is counted, for example `steps` or `pictures`.
    public var unit: String
    /// The latest measured numbers by name, for example `loss`.
    public var metrics: [String: Double]

    /// Makes a report of progress.
    public init(stage: Stage, done: Int, total: Int, unit: String, metrics: [String: Double] = [:]) {
        self.stage = stage
        self.done = done
        self.total = total
        self.unit = unit
        self.metrics = metrics
    }
}

/// Takes reports of progress; called on the training thread.
public typealias ProgressHandler = (StageProgress) -> Void
