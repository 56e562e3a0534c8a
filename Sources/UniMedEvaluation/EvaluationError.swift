public import Torch
public import UniMedData
public import UniMedMetrics
import UniMedModel
public import UniMedTasks
public import UniMedTokenizers

/// Why an evaluation could not be carried out.
public enum EvaluationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no sample that fits what was asked for.
    case noSamples(split: String, tasks: [String])
    /// An option is out of its range.
    case invalidOption(field: String, expected: String, got: String)
    /// The pictures are not kept at the size of the training pictures.
    case imageSize(expected: Int, got: Int)
    /// The caller asked to stop.
    case cancelled
    /// A sample cannot be asked or scored.
    case task(TaskError)
    /// A text cannot be turned into tokens, or tokens into text.
    case tokenizer(TokenizerError)
    /// A metric cannot be computed.
    case metric(MetricError)
    /// A file cannot be read or written.
    case data(DataError)
    /// Predictions that do not belong together.
    case predictions(file: String, reason: String)
    /// A tensor operation failed.
    case tensor(TorchError)

    /// What went wrong, where, what was expected and what was got.
    public var description: String {
        switch self {
        case .noSamples(let split, let tasks):
            "samples: expected at least one of split \(split) for \(tasks.joined(separator: ", ")), got none"
        case .invalidOption(let field, let expected, let got): "\(field): expected \(expected), got \(got)"
        case .imageSize(let expected, let got):
            "imageSize: the model was trained on pictures kept at \(expected) pixels a side, the prepared data hold \(got)"
        case .cancelled: "the evaluation was stopped"
        case .task(let error): error.description
        case .tokenizer(let error): error.description
        case .metric(let error): error.description
        case .data(let error): error.description
        case .predictions(let file, let reason): "\(file): \(reason)"
        case .tensor(let error): error.description
        }
    }

    /// The kind of failure without any text from the data, safe as a metric label.
    public var shortDescription: String {
        switch self {
        case .noSamples: "no samples"
        case .invalidOption: "invalid option"
        case .imageSize: "image size"
        case .cancelled: "cancelled"
        case .task(let error): error.shortDescription
        case .tokenizer(let error): error.shortDescription
        case .metric(let error): error.shortDescription
        case .data(let error): error.shortDescription
        case .predictions: "predictions that do not fit"
        case .tensor(let error): error.shortDescription
        }
    }

    /// What generation reports, in this room's terms.
    init(_ error: GenerationError) {
        switch error {
        case .invalidOption(let field, let expected, let got):
            self = .invalidOption(field: field, expected: expected, got: got)
        case .tokenizer(let error): self = .tokenizer(error)
        case .tensor(let error): self = .tensor(error)
        }
    }
}

/// Runs what throws the errors of a room and gives them as this room's.
func wrapping<Result>(_ body: () throws(TorchError) -> Result) throws(EvaluationError) -> Result {
    do throws(TorchError) { return try body() } catch { throw .tensor(error) }
}

func wrapping<Result>(_ body: () throws(TaskError) -> Result) throws(EvaluationError) -> Result {
    do throws(TaskError) { return try body() } catch { throw .task(error) }
}

func wrapping<Result>(_ body: () throws(TokenizerError) -> Result) throws(EvaluationError) -> Result {
    do throws(TokenizerError) { return try body() } catch { throw .tokenizer(error) }
}

func wrapping<Result>(_ body: () throws(GenerationError) -> Result) throws(EvaluationError) -> Result {
    do throws(GenerationError) { return try body() } catch { throw EvaluationError(error) }
}

func wrapping<Result>(_ body: () throws(MetricError) -> Result) throws(EvaluationError) -> Result {
    do throws(MetricError) { return try body() } catch { throw .metric(error) }
}
