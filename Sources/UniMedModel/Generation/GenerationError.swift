public import Torch
public import UniMedTokenizers

/// Why an answer could not be generated.
public enum GenerationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// An option is out of its range, contradicts another one, or cannot be met by the tokenizer.
    case invalidOption(field: String, expected: String, got: String)
    /// A text cannot be turned into tokens, or tokens into text.
    case tokenizer(TokenizerError)
    /// A tensor operation failed.
    case tensor(TorchError)

    /// What went wrong, where, what was expected and what was got.
    public var description: String {
        switch self {
        case .invalidOption(let field, let expected, let got): "\(field): expected \(expected), got \(got)"
        case .tokenizer(let error): error.description
        case .tensor(let error): error.description
        }
    }

    /// The kind of failure without any dynamic text, safe as a metric label.
    public var shortDescription: String {
        switch self {
        case .invalidOption: "invalid generation option"
        case .tokenizer(let error): error.shortDescription
        case .tensor(let error): error.shortDescription
        }
    }
}

/// Runs what throws LibTorch's errors and gives them as this room's.
func generating<Result>(_ body: () throws(TorchError) -> Result) throws(GenerationError) -> Result {
    do throws(TorchError) { return try body() } catch { throw .tensor(error) }
}

/// Runs what throws a tokenizer's errors and gives them as this room's.
func tokenizing<Result>(_ body: () throws(TokenizerError) -> Result) throws(GenerationError) -> Result {
    do throws(TokenizerError) { return try body() } catch { throw .tokenizer(error) }
}
