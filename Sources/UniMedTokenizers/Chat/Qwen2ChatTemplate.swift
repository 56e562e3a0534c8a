/// The chat of Qwen2 and Qwen2.5: every message is `<|im_start|>role`, a line feed, content, `<|im_end|>`, a line feed.
///
/// As in the `tokenizer_config.json` of Qwen2-7B-Instruct. Contents are not trimmed; a chat that does not begin with the
/// system gets a system message in front.
public struct Qwen2ChatTemplate: ChatTemplate {
    /// What the system says where the chat does not begin with it.
    public var defaultSystemMessage: String

    /// What Qwen2.5 says of itself.
    public static let qwen25SystemMessage = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."

    /// Makes the template.
    public init(defaultSystemMessage: String = "You are a helpful assistant.") {
        self.defaultSystemMessage = defaultSystemMessage
    }

    /// The parts of a chat, in any order of roles; `<|im_start|>assistant` begins an answer.
    public func parts(of messages: [ChatMessage], addsGenerationPrompt: Bool) throws(TokenizerError) -> [ChatPart] {
        guard let first = messages.first else { throw TokenizerError(.invalidChat, "there is no message") }
        var parts: [ChatPart] = []
        if first.role != .system { parts += Qwen2ChatTemplate.message("system", defaultSystemMessage) }
        for message in messages { parts += Qwen2ChatTemplate.message(message.role.rawValue, message.content) }
        if addsGenerationPrompt { parts += [.token("<|im_start|>"), .literal("assistant\n")] }
        return parts
    }

    private static func message(_ role: String, _ content: String) -> [ChatPart] {
        [.token("<|im_start|>"), .literal(role + "\n"), .content(content), .token("<|im_end|>"), .literal("\n")]
    }
}
