/// The chat of Mistral 7B: `<s> [INST]` question ` [/INST]` answer `</s>`.
///
/// As in the `tokenizer_config.json` of Mistral-7B-Instruct-v0.2: contents are not trimmed, and the system's message
/// stands in front of the first question, two line feeds between them.
public struct MistralChatTemplate: ChatTemplate {
    /// Makes the template.
    public init() {}

    /// The parts of a chat whose user and assistant take turns, after a system message at most.
    ///
    /// The generation prompt is empty: ` [/INST]` asks for the answer.
    public func parts(of messages: [ChatMessage], addsGenerationPrompt: Bool) throws(TokenizerError) -> [ChatPart] {
        let (system, turns) = try ChatRules.splitSystem(messages)
        try ChatRules.requireTurns(turns)
        var parts: [ChatPart] = [.bos]
        for (index, message) in turns.enumerated() {
            if message.role == .assistant {
                parts += [.literal(" "), .content(message.content), .eos]
                continue
            }
            parts += [.literal(" "), .token("[INST]"), .literal(" ")]
            if index == 0, let system { parts += [.content(system), .literal("\n\n")] }
            parts += [.content(message.content), .literal(" "), .token("[/INST]")]
        }
        return parts
    }
}
