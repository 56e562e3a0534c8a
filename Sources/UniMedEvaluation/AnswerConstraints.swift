import UniMedData
import UniMedModel
import UniMedTokenizers

/// The constraints of answers in a tokenizer's vocabulary, made when they are first needed and then kept.
final class AnswerConstraints {
    private let tokenizer: any Tokenizer
    private var texts: TokenTexts?
    private var boxes: [NormalizedBox.Style: BoxConstraint] = [:]
    private var boxes3D: [NormalizedBox.Style: BoxConstraint] = [:]
    private var labels: [[String]: LabelConstraint] = [:]

    init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

    /// What an answer is held to: a box where a box is asked for, one of the choices where there are some.
    ///
    /// - Parameter isVolume: Whether a box is one in a volume.
    /// - Returns: `nil` for an answer in words, and wherever the options ask for no constraints.
    func constraint(
        task: MedicalTask,
        choices: [String]?,
        isVolume: Bool,
        options: GenerationOptions
    ) throws(GenerationError) -> (any TokenConstraint)? {
        guard options.constrained else { return nil }
        if task == .referringExpressionComprehension {
            return try isVolume ? box3D(options.boxStyle) : box(options.boxStyle)
        }
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

    private func box3D(_ style: NormalizedBox.Style) throws(GenerationError) -> BoxConstraint {
        if let known = boxes3D[style] { return known }
        let made = BoxConstraint(try tokenTexts(), style: style, isVolume: true)
        boxes3D[style] = made
        return made
    }

    private func tokenTexts() throws(GenerationError) -> TokenTexts {
        if let texts { return texts }
        let made = try TokenTexts(tokenizer)
        texts = made
        return made
    }
}
