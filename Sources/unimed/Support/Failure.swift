import ArgumentParser
import Foundation
import Torch
import TorchCheckpoints
import UniMedAnalysis
import UniMedData
import UniMedEvaluation
import UniMedImaging
import UniMedImporters
import UniMedMetrics
import UniMedReports
import UniMedRuns
import UniMedTasks
import UniMedTokenizers
import UniMedTraining

/// How a command ended, as its exit status says it.
enum Outcome: Int32 {
    case success = 0
    /// The command was understood and did not succeed.
    case failed = 1
    /// The usage, a file or a value is at fault; the one line on standard error names it.
    case badInput = 2
    /// The user interrupted the command; what could be kept was saved.
    case interrupted = 130
}

/// A failure that a command found itself.
struct Failure: Error, CustomStringConvertible {
    let outcome: Outcome
    let description: String

    /// The user's input is at fault.
    static func badInput(_ description: String) -> Failure { Failure(outcome: .badInput, description: description) }

    /// The work did not succeed.
    static func failed(_ description: String) -> Failure { Failure(outcome: .failed, description: description) }

    /// The user asked to stop.
    static let interrupted = Failure(outcome: .interrupted, description: "interrupted")
}

extension Outcome {
    /// The status that an error ends the program with.
    ///
    /// The errors of the rooms that read and write files are about input; LibTorch's and all others are failures.
    init(_ error: any Error) {
        switch error {
        case let failure as Failure: self = failure.outcome
        case let error as TorchError: self = error.operation == "device" ? .badInput : .failed
        case let error as DataError where error.kind == .cancelled: self = .interrupted
        case let error as ImportError where error.cause.kind == .cancelled: self = .interrupted
        case is DataError, is CheckpointError, is ImagingError, is TokenizerError, is ImportError, is RecipeError,
            is TaskError:
            self = .badInput
        case let error as TrainingError:
            self = [.notFinite, .outOfMemory, .tensor, .other].contains(error.kind) ? .failed : .badInput
        case let error as EvaluationError:
            switch error {
            case .cancelled: self = .interrupted
            case .tensor(let error): self = Outcome(error)
            case .metric: self = .failed
            default: self = .badInput
            }
        case let error as AnalysisError:
            switch error.kind {
            case .cancelled: self = .interrupted
            case .request, .data: self = .badInput
            case .notFinite, .outOfMemory, .tensor, .other: self = .failed
            }
        case let error as RunStoreError:
            self = [.busy, .database].contains(error.kind) ? .failed : .badInput
        case let error as ReportError:
            if case .fileSystem = error { self = .badInput } else { self = .failed }
        default: self = UniMedCommand.exitCode(for: error).isSuccess ? .success : .failed
        }
    }
}

/// An error's text in one line.
func oneLine(_ error: any Error) -> String {
    "\(error)".split(whereSeparator: \.isNewline).joined(separator: " ")
}
