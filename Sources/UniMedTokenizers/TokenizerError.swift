/// Why a tokenizer could not be loaded, used or trained.
public struct TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of failure it was; safe as a label of a metric.
    public enum Kind: String, Sendable {
        /// The model file cannot be read.
        case unreadableFile = "the tokenizer file cannot be read"
        /// The bytes are not a SentencePiece model.
        case invalidModel = "this is not a valid SentencePiece model"
        /// A JSON file of a tokenizer is cut, damaged or contradicts itself.
        case invalidFile = "this is not a valid tokenizer file"
        /// A file asks for something that is not built.
        case unsupported = "the tokenizer needs something that is not supported"
        /// The model lacks a piece that is needed.
        case missingPiece = "the tokenizer lacks a piece"
        /// An id is outside the vocabulary.
        case unknownID = "the token id is not in the vocabulary"
        /// The library refused to turn a text into ids, or back.
        case processing = "the tokenizer failed"
        /// A vocabulary cannot be trained from these texts with these settings.
        case training = "the tokenizer cannot be trained"
        /// The messages of a chat do not fit its template.
        case invalidChat = "the chat does not fit its template"
    }

    /// What kind of failure it was.
    public let kind: Kind

    /// The path of the model file, where there is one.
    public let file: String?

    /// What was found and what was expected, without any text that was tokenized.
    public let detail: String

    init(_ kind: Kind, file: String? = nil, _ detail: String) {
        self.kind = kind
        self.file = file
        self.detail = detail
    }

    /// What went wrong, in which file, in one line.
    public var description: String {
        let place = file.map { "\($0): " } ?? ""
        return place + kind.rawValue + (detail.isEmpty ? "" : ": \(detail)")
    }

    /// The kind of failure, without any text that depends on the input.
    public var shortDescription: String { kind.rawValue }
}
