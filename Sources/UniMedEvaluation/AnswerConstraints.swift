import UniMedData
import UniMedModel
import UniMedTokenizers

/// The constraints of answers in a tokenizer's vocabulary, made when they are first needed and then kept.
final class AnswerConstraints {
    private let tokenizer: any Tokenizer
    private var texts: TokenTexts?
    private var boxes: [NormalizedBox.Style: BoxConstraint] = [:]
    private var labels: [[String]: LabelConstraint] = [:]

    init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

    /// What an answer is held to: a box where a box is asked for, one of the choices where there are some.
    ///
    /// - Returns: `nil` for an answer in words, and wherever the options ask for no constraints.
    func constraint(
        task: MedicalTask,
        choices: [String]?,
        options: GenerationOptions
    ) throws(GenerationError) -> (any TokenConstraint)? {
        guard options.constrained else { return nil }
        if task == .referringExpressionComprehension { return try box(options.boxStyle) }
        guard let choices, !choices.isEmpty else { return nil }
        if let known = labels[choices] { return known }
        let made = try LabelConstraint(choices, tokenizer: tokenizer)
        labels[choices] = made
        return made
    }

    private func box(_ style: NormalizedBox.Style) throws(GenerationError) -> BoxConstraint {
        if let known = boxes[style] { return known }
        let made = BoxConstraint(try tokenTexts(), style: style)
        boxes[style] = made
        return made
    }

    private func tokenTexts() throws(GenerationError) -> TokenTexts {
        if let texts { return texts }
        let made = try TokenTexts(tokenizer)
        texts = made
        return made
    }
}
