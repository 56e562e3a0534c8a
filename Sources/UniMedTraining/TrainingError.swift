public import Foundation
import Torch
import TorchCheckpoints
import UniMedData
import UniMedTasks
import UniMedTokenizers

/// Why a run could not go on: what, where, and at which step.
public struct TrainingError: Error, Sendable, Equatable, CustomStringConvertible, LocalizedError {
    /// What kind of failure it was.
    public enum Kind: String, Sendable, Equatable {
        /// The loss or a gradient is infinite or not a number.
        case notFinite
        /// The recipe cannot be used as it is.
        case recipe
        /// The data cannot be read, or lack what the recipe asks for.
        case data
        /// The vocabulary cannot be trained or read.
        case tokenizer
        /// A file cannot be read, written or renamed, for example because the disk is full.
        case fileSystem
        /// A checkpoint is damaged, or belongs to another run.
        case checkpoint
        /// The device or the host has no memory left.
        case outOfMemory
        /// A tensor operation failed.
        case tensor
        /// Anything else.
        case other
    }

    /// What kind of failure it was.
    public let kind: Kind
    /// What is wrong, in words.
    public let problem: String
    /// The path of the file or folder, where there is one.
    public let file: String?
    /// The field, where there is one.
    public let field: String?
    /// The optimizer step, counted from 0, where training had begun.
    public let step: Int?

    /// Makes an error.
    public init(_ kind: Kind, _ problem: String, file: String? = nil, field: String? = nil, step: Int? = nil) {
        self.kind = kind
        self.problem = problem
        self.file = file
        self.field = field
        self.step = step
    }

    /// Makes an error from what another room threw.
    public init(_ error: any Error, step: Int? = nil) {
        switch error {
        case let error as TrainingError:
            self.init(error.kind, error.problem, file: error.file, field: error.field, step: error.step ?? step)
        case let error as RecipeError:
            self.init(.recipe, error.problem, file: error.file, field: error.field, step: step)
        case let error as TorchError where error.operation == "device":
            self.init(.recipe, error.message, field: "device", step: step)
        case let error as TorchError:
            let kind: Kind = error.kind == .outOfMemory ? .outOfMemory : .tensor
            self.init(kind, error.description, step: step)
        case let error as DataError:
            let kind: Kind = error.kind == .fileSystem ? .fileSystem : .data
            self.init(kind, error.problem, file: error.file, field: error.field, step: step)
        case let error as CheckpointError:
            let kind: Kind = error.kind == .unwritable ? .fileSystem : .checkpoint
            self.init(kind, error.problemText, file: error.file, field: error.key, step: step)
        case let error as TokenizerError:
            self.init(.tokenizer, error.detail, file: error.file, step: step)
        case let error as TaskError:
            self.init(.data, error.description, step: step)
        default:
            self.init(.other, "\(error)", step: step)
        }
    }

    /// The file, the field, the step and what is wrong, on one line.
    public var description: String {
        var place: [String] = []
        if let file { place.append(file) }
        if let field { place.append("field '\(field)'") }
        if let step { place.append("step \(step)") }
        return place.isEmpty ? problem : place.joined(separator: ", ") + ": " + problem
    }

    /// The kind of failure without any dynamic text, safe as a metric label.
    public var shortDescription: String { kind.rawValue }

    /// The same as ``description``.
    public var errorDescription: String? { description }
}

extension CheckpointError {
    fileprivate var problemText: String {
        var text = problem.isEmpty ? kind.rawValue : problem
        if let expected { text += ", expected \(expected)" }
        if let got { text += ", got \(got)" }
        return text
    }
}

/// Runs what throws errors of other rooms, and turns them into this room's.
func training<Result>(step: Int? = nil, _ body: () throws -> Result) throws(TrainingError) -> Result {
    do {
        return try body()
    } catch {
        throw TrainingError(error, step: step)
    }
}
