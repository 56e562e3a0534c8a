/// Who says a message of a chat.
public enum ChatRole: String, Codable, CaseIterable, Sendable {
    /// Says how to answer.
    case system
    /// Asks.
    case user
    /// Answers: the model.
    case assistant
}

/// A message of a chat.
public struct ChatMessage: Codable, Sendable, Equatable {
    /// Who says it.
    public var role: ChatRole
    /// What is said.
    public var content: String

    enum CodingKeys: String, CodingKey {
        case role, content
    }

    /// Makes a message.
    public init(role: ChatRole, content: String) {
        self.role = role
        self.content = content
    }
}

/// A part of a chat as a template writes it.
public enum ChatPart: Sendable, Equatable {
    /// The tokenizer's own beginning of a sequence.
    case bos
    /// The tokenizer's own end of a sequence.
    case eos
    /// A special token by its name; characters where the tokenizer has no such token.
    case token(String)
    /// What the template writes itself.
    case literal(String)
    /// What somebody said.
    case content(String)
}

/// How a family of models writes a chat as one text.
///
/// A template is one type in a file of its own, and one line of ``ChatTemplateForm``. What was said never becomes a
/// special token: it is handed on as ``ChatPart/content(_:)``.
public protocol ChatTemplate: Sendable {
    /// The parts of a chat, in order.
    ///
    /// - Parameters:
    ///   - messages: At least one.
    ///   - addsGenerationPrompt: Whether the beginning of an answer is written at the end.
    /// - Throws: ``TokenizerError`` of kind `invalidChat` when the roles do not fit.
    func parts(of messages: [ChatMessage], addsGenerationPrompt: Bool) throws(TokenizerError) -> [ChatPart]
}

extension ChatTemplate {
    /// The text of a chat, with the names of special tokens.
    ///
    /// For reading: as a text it cannot tell a special token from what somebody said. Use
    /// ``encode(_:with:addsGenerationPrompt:allowing:)`` for ids.
    ///
    /// - Throws: ``TokenizerError`` of kind `invalidChat` when the roles do not fit.
    public func text(
        of messages: [ChatMessage],
        for tokenizer: any CheckpointTokenizer,
        addsGenerationPrompt: Bool
    ) throws(TokenizerError) -> String {
        var text = ""
        for part in try parts(of: messages, addsGenerationPrompt: addsGenerationPrompt) {
            switch part {
            case .bos: if let id = tokenizer.bosID { text += try tokenizer.token(id) }
            case .eos: text += try tokenizer.token(tokenizer.eosID)
            case .token(let string), .literal(let string), .content(let string): text += string
            }
        }
        return text
    }

    /// The ids of a chat.
    ///
    /// - Parameters:
    ///   - messages: At least one.
    ///   - tokenizer: The model's.
    ///   - addsGenerationPrompt: Whether the beginning of an answer is written at the end.
    ///   - allowed: Special tokens that messages may contain by name, such as `<|image_pad|>`. All others are
    ///     characters there, so that no message can end itself or speak for another role.
    /// - Throws: ``TokenizerError`` of kind `invalidChat` when the roles do not fit, of kind `missingPiece` when the
    ///   tokenizer lacks an allowed token.
    public func encode(
        _ messages: [ChatMessage],
        with tokenizer: any CheckpointTokenizer,
        addsGenerationPrompt: Bool = true,
        allowing allowed: Set<String> = []
    ) throws(TokenizerError) -> [Int] {
        var finder = AddedTokenFinder()
        for name in allowed.sorted() {
            guard let id = tokenizer.id(ofToken: name) else {
                throw TokenizerError(.missingPiece, "the special token '\(name)' is not in the vocabulary")
            }
            finder.add(AddedToken(id: id, content: name), spelling: name.utf8)
        }
        var segments: [TextSegment] = []
        for part in try parts(of: messages, addsGenerationPrompt: addsGenerationPrompt) {
            switch part {
            case .bos: if let id = tokenizer.bosID { segments.append(.special(id)) }
            case .eos: segments.append(.special(tokenizer.eosID))
            case .literal(let text): segments.append(.text(text))
            case .token(let name):
                if let id = tokenizer.id(ofToken: name), tokenizer.isSpecial(id) {
                    segments.append(.special(id))
                } else {
                    segments.append(.text(name))
                }
            case .content(let text):
                for piece in finder.parts(of: Array(text.utf8)[...], findsSpecial: true) {
                    switch piece {
                    case .text(let bytes): segments.append(.text(String(decoding: bytes, as: UTF8.self)))
                    case .token(let token, _): segments.append(.special(token.id))
                    }
                }
            }
        }
        return try tokenizer.encode(segments)
    }
}

/// The chat templates there are, by the name that recipes and commands use.
public enum ChatTemplateForm: String, Codable, CaseIterable, Sendable {
    /// Llama 2 chat.
    case llama2 = "llama-2"
    /// Llama 3 instruct.
    case llama3 = "llama-3"
    /// Llama 3.1, 3.2 and 3.3 instruct, which begin with dates.
    case llama31 = "llama-3.1"
    /// Qwen2 instruct.
    case qwen2
    /// Qwen2.5 instruct, which says its name.
    case qwen25 = "qwen2.5"
    /// Mistral 7B instruct 0.1 and 0.2.
    case mistral

    /// The template.
    public var template: any ChatTemplate {
        switch self {
        case .llama2: Llama2ChatTemplate()
        case .llama3: Llama3ChatTemplate()
        case .llama31: Llama3ChatTemplate(dates: .llama31)
        case .qwen2: Qwen2ChatTemplate()
        case .qwen25: Qwen2ChatTemplate(defaultSystemMessage: Qwen2ChatTemplate.qwen25SystemMessage)
        case .mistral: MistralChatTemplate()
        }
    }
}

/// What the templates share.
enum ChatRules {
    /// The first message if it is the system's, and the others.
    static func splitSystem(_ messages: [ChatMessage]) throws(TokenizerError) -> (system: String?, rest: [ChatMessage])
    {
        guard let first = messages.first else { throw TokenizerError(.invalidChat, "there is no message") }
        return first.role == .system ? (first.content, Array(messages.dropFirst())) : (nil, messages)
    }

    /// Throws unless user and assistant take turns, the user first.
    static func requireTurns(_ messages: [ChatMessage]) throws(TokenizerError) {
        for (index, message) in messages.enumerated() {
            let expected: ChatRole = index % 2 == 0 ? .user : .assistant
            guard message.role == expected else {
                throw TokenizerError(
                    .invalidChat,
                    "turn \(index + 1) is the \(message.role.rawValue)'s, expected the \(expected.rawValue)'s"
                )
            }
        }
        guard !messages.isEmpty else { throw TokenizerError(.invalidChat, "there is no message of a user") }
    }

    /// A text without white space at its ends: Unicode's and the separators U+001C to U+001F, as templates trim it.
    static func trimmed(_ text: String) -> String {
        trimmedEnd(String(String.UnicodeScalarView(text.unicodeScalars.drop(while: isSpace))))
    }

    /// A text without white space at its end.
    static func trimmedEnd(_ text: String) -> String {
        let scalars = text.unicodeScalars
        guard let last = scalars.lastIndex(where: { !isSpace($0) }) else { return "" }
        return String(String.UnicodeScalarView(scalars[...last]))
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }
}
