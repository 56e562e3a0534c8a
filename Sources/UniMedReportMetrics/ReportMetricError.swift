public import Torch
public import TorchCheckpoints
public import UniMedTokenizers

/// Why a metric of reports could not be loaded or computed.
public struct ReportMetricError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of failure it was; safe as a label of a metric.
    public enum Kind: String, Sendable {
        /// A file or folder is not there or cannot be read.
        case unreadable = "a file cannot be read"
        /// A file is cut, damaged or contradicts itself.
        case malformed = "a file is malformed"
        /// A file asks for something that is not built.
        case unsupported = "this is not supported"
        /// The weights cannot be read or do not fit.
        case weights = "the weights cannot be loaded"
        /// The tokenizer cannot be read or used.
        case tokenizer = "the tokenizer failed"
        /// Lists that belong together differ in length, or a setting is out of its range.
        case invalidInput = "the input is invalid"
        /// A tensor operation failed.
        case tensor = "a tensor operation failed"
    }

    /// What kind of failure it was.
    public let kind: Kind

    /// The path of the file or folder, where there is one.
    public let file: String?

    /// What was found and what was expected, without any text of a report.
    public let problem: String

    /// Makes an error.
    public init(_ kind: Kind, file: String? = nil, _ problem: String) {
        self.kind = kind
        self.file = file
        self.problem = problem
    }

    /// Weights that could not be loaded.
    public init(_ error: CheckpointError) {
        self.init(error.kind == .unreadable ? .unreadable : .weights, error.description)
    }

    /// A tokenizer that failed.
    public init(_ error: TokenizerError) {
        self.init(.tokenizer, error.description)
    }

    /// A tensor operation that failed.
    public init(_ error: TorchError) {
        self.init(.tensor, error.description)
    }

    /// What went wrong, in which file, in one line.
    public var description: String {
        (file.map { "\($0): " } ?? "") + (problem.isEmpty ? kind.rawValue : problem)
    }

    /// The kind of failure, without any text that depends on the input.
    public var shortDescription: String { kind.rawValue }
}

/// Runs tensor operations without recording gradients; their errors become those of this room.
func computing<Result>(_ body: () throws(TorchError) -> Result) throws(ReportMetricError) -> Result {
    do throws(TorchError) {
        return try withoutGradients(body)
    } catch {
        throw ReportMetricError(error)
    }
}

/// A prediction and the reference that it is compared with.
public struct ReportPair: Sendable, Equatable {
    /// What the model wrote.
    public var prediction: String
    /// What it should have written.
    public var reference: String

    /// Makes a pair.
    public init(prediction: String, reference: String) {
        self.prediction = prediction
        self.reference = reference
    }
}
