import Torch
import UniMedData
import UniMedEvaluation
import UniMedTasks
import UniMedTokenizers
import UniMedTraining

/// Why an analysis could not be carried out: what, and where.
public struct AnalysisError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure it was.
    public enum Kind: String, Sendable, Equatable {
        /// What was asked for does not fit the model, the data or itself.
        case request
        /// The data cannot be read, or lack what the analysis needs.
        case data
        /// A loss or a gradient is infinite or not a number.
        case notFinite
        /// The device or the host has no memory left.
        case outOfMemory
        /// A tensor operation failed.
        case tensor
        /// The caller asked to stop.
        case cancelled
        /// Anything else.
        case other
    }

    /// What kind of failure it was.
    public let kind: Kind
    /// What is wrong, in words: what was expected and what was found.
    public let problem: String
    /// The option, set or task that is concerned, where there is one.
    public let field: String?

    /// Makes an error.
    public init(_ kind: Kind, _ problem: String, field: String? = nil) {
        self.kind = kind
        self.problem = problem
        self.field = field
    }

    /// Makes an error from what another room threw.
    public init(_ error: any Error) {
        switch error {
        case let error as AnalysisError: self = error
        case let error as TorchError:
            self.init(error.kind == .outOfMemory ? .outOfMemory : .tensor, error.description)
        case let error as TrainingError:
            switch error.kind {
            case .notFinite: self.init(.notFinite, error.description)
            case .outOfMemory: self.init(.outOfMemory, error.description)
            case .tensor: self.init(.tensor, error.description)
            case .recipe: self.init(.request, error.description)
            case .data, .tokenizer, .fileSystem, .checkpoint: self.init(.data, error.description)
            case .other: self.init(.other, error.description)
            }
        case EvaluationError.cancelled: self.init(.cancelled, "the analysis was stopped")
        case let error as EvaluationError: self.init(.data, error.description)
        case let error as DataError: self.init(.data, "\(error)")
        case let error as TaskError: self.init(.data, error.description)
        case let error as TokenizerError: self.init(.data, "\(error)")
        default: self.init(.other, "\(error)")
        }
    }

    /// The caller asked to stop.
    public static let cancelled = AnalysisError(.cancelled, "the analysis was stopped")

    /// The field and what is wrong, on one line.
    public var description: String { field.map { "\($0): \(problem)" } ?? problem }

    /// The kind of failure without any dynamic text, safe as a metric label.
    public var shortDescription: String { kind.rawValue }
}

/// Runs what throws errors of other rooms, and turns them into this room's.
func analysing<Result>(_ body: () throws -> Result) throws(AnalysisError) -> Result {
    do { return try body() } catch { throw AnalysisError(error) }
}

/// How far an analysis is.
public struct AnalysisProgress: Sendable, Equatable {
    /// What is being computed.
    public let stage: String
    /// What is done of it.
    public let done: Int
    /// What there is to do.
    public let total: Int
    /// What is counted, in the plural.
    public let unit: String

    /// Makes a report.
    public init(stage: String, done: Int, total: Int, unit: String) {
        self.stage = stage
        self.done = done
        self.total = total
        self.unit = unit
    }
}

/// How an analysis is watched and stopped.
public struct AnalysisControl {
    /// Asked between batches; `true` ends with ``AnalysisError/cancelled``.
    public var isCancelled: () -> Bool
    /// Told of every batch, on the calling thread.
    public var progress: (AnalysisProgress) -> Void

    /// Makes a control; by default nobody watches or stops.
    public init(
        isCancelled: @escaping () -> Bool = { false },
        progress: @escaping (AnalysisProgress) -> Void = { _ in }
    ) {
        self.isCancelled = isCancelled
        self.progress = progress
    }

    /// Reports, and throws when the caller asked to stop.
    func step(_ stage: String, _ done: Int, of total: Int, unit: String) throws(AnalysisError) {
        progress(AnalysisProgress(stage: stage, done: done, total: total, unit: unit))
        if isCancelled() { throw .cancelled }
    }
}
