/// The chat of Llama 3: every message is `<|start_header_id|>role<|end_header_id|>`, two line feeds, content, `<|eot_id|>`.
///
/// As in the `tokenizer_config.json` of Meta-Llama-3-8B-Instruct; contents are trimmed. From 3.1 on a system message
/// stands always, with two lines of dates in front.
public struct Llama3ChatTemplate: ChatTemplate {
    /// The dates that the system message of Llama 3.1 and later begins with.
    public struct Dates: Sendable, Equatable {
        /// Until when the model knows the world.
        public var knowledge: String
        /// Today.
        public var today: String

        /// What the files say where nobody gives the day.
        public static let llama31 = Dates(knowledge: "December 2023", today: "26 Jul 2024")

        /// Makes dates.
        public init(knowledge: String, today: String) {
            self.knowledge = knowledge
            self.today = today
        }
    }

    /// The dates; `nil` for Llama 3.0.
    public var dates: Dates?

    /// Makes the template.
    public init(dates: Dates? = nil) {
        self.dates = dates
    }

    /// The parts of a chat, in any order of roles; `<|start_header_id|>assistant` begins an answer.
    public func parts(of messages: [ChatMessage], addsGenerationPrompt: Bool) throws(TokenizerError) -> [ChatPart] {
        guard !messages.isEmpty else { throw TokenizerError(.invalidChat, "there is no message") }
        var parts: [ChatPart] = [.bos]
        var messages = messages
        if let dates {
            let (system, rest) = try ChatRules.splitSystem(messages)
            messages = rest
            parts += Llama3ChatTemplate.header("system")
            parts.append(.literal("Cutting Knowledge Date: \(dates.knowledge)\nToday Date: \(dates.today)\n\n"))
            parts += [.content(ChatRules.trimmed(system ?? "")), .token("<|eot_id|>")]
        }
        for message in messages {
            parts += Llama3ChatTemplate.header(message.role.rawValue)
            parts += [.content(ChatRules.trimmed(message.content)), .token("<|eot_id|>")]
        }
        if addsGenerationPrompt { parts += Llama3ChatTemplate.header("assistant") }
        return parts
    }

    private static func header(_ role: String) -> [ChatPart] {
        [.token("<|start_header_id|>"), .literal(role), .token("<|end_header_id|>"), .literal("\n\n")]
    }
}
