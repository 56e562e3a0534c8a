/// The chat of Llama 2: `<s>[INST] <<SYS>>`, system, `<</SYS>>`, question ` [/INST] ` answer ` </s>`.
///
/// As in the `tokenizer_config.json` of Llama-2-7b-chat: every question begins a sequence. `[INST]` is text for this
/// vocabulary, so a message can write it, but never the tokens that begin and end a sequence.
public struct Llama2ChatTemplate: ChatTemplate {
    /// Makes the template.
    public init() {}

    /// The parts of a chat whose user and assistant take turns, after a system message at most.
    ///
    /// The generation prompt is empty: ` [/INST]` asks for the answer.
    public func parts(of messages: [ChatMessage], addsGenerationPrompt: Bool) throws(TokenizerError) -> [ChatPart] {
        let (system, turns) = try ChatRules.splitSystem(messages)
        try ChatRules.requireTurns(turns)
        var parts: [ChatPart] = []
        for (index, message) in turns.enumerated() {
            if message.role == .assistant {
                parts += [.literal(" "), .content(ChatRules.trimmed(message.content)), .literal(" "), .eos]
                continue
            }
            parts += [.bos, .token("[INST]"), .literal(" ")]
            if index == 0, let system {
                // The reference trims the two together: only white space at the end goes, also the line feeds between.
                let question = ChatRules.trimmedEnd(message.content)
                parts += [.literal("<<SYS>>\n"), .content(system), .literal("\n<</SYS>>")]
                if !question.isEmpty { parts += [.literal("\n\n"), .content(question)] }
            } else {
                parts.append(.content(ChatRules.trimmed(message.content)))
            }
            parts += [.literal(" "), .token("[/INST]")]
        }
        return parts
    }
}
