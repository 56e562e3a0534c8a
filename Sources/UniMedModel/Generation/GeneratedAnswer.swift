/// An answer and why it ended.
public struct GeneratedAnswer: Sendable, Equatable {
    /// Why an answer ended.
    public enum Finish: String, Codable, Sendable {
        /// The model said so, or a constraint left nothing to add.
        case endOfSequence
        /// A stop string came.
        case stopString
        /// It was cut at the largest number of tokens.
        case length
        /// The caller asked to stop.
        case cancelled
    }

    /// The new token ids, without the token that ends a sequence and without those of a stop string.
    public var tokens: [Int]
    /// The text, cut before a stop string; empty where no tokenizer was given.
    public var text: String
    /// Why it ended.
    public var finish: Finish
    /// For a search with beams: the sum of log probabilities divided by the length to the power of the penalty.
    public var score: Double?
}

/// One step of an answer, as a caller sees it while the answer grows.
public struct GeneratedToken: Sendable, Equatable {
    /// The prompt's position in the batch.
    public var sequence: Int
    /// The new token; `nil` where the answer ends without one more.
    public var token: Int?
    /// The answer so far, as far as it will not change: what may become part of a character or of a stop string is held
    /// back; empty where no tokenizer was given.
    public var text: String
    /// Why the answer ended with this step; `nil` where it goes on.
    public var finish: GeneratedAnswer.Finish?
}

/// What a caller wants after it has seen a token.
public enum GenerationDirective: Sendable {
    /// Go on.
    case proceed
    /// End this answer as it is.
    case endAnswer
    /// End all answers as they are.
    case endAll
}
