public import UniMedData

/// What the model reads before it answers: text around the place of the image.
///
/// The layout is the published one, spaces included: training prompts of image tasks have two spaces before `[/INST]`,
/// evaluation prompts one and, for reports, two; question answering has neither image marks nor the added space.
/// Every text segment is tokenised on its own. A training prompt has no beginning-of-sequence mark: one is added as an
/// embedding. An evaluation prompt starts with the text `<s>` and is tokenised with special tokens, which adds another.
public struct Prompt: Sendable, Equatable {
    /// A stretch of a prompt.
    public enum Segment: Sendable, Equatable {
        /// Text.
        case text(String)
        /// The place of the image's tokens.
        case image
    }

    /// What a prompt is for.
    public enum Form: String, Codable, Sendable, CaseIterable {
        /// The layout of training.
        case training
        /// The layout of the published evaluation.
        case evaluation
    }

    /// The mark that stands for the image in the prompt's text.
    public static let imageMark = "<ImageHere>"

    /// What follows every answer in training.
    public static let endOfAnswer = "</s>"

    /// The prompt's parts, in order.
    public var segments: [Segment]

    /// Lays out an instruction.
    ///
    /// - Parameters:
    ///   - instruction: The instruction with its task tag, as ``TaskDefinition/instruction(for:templateSeed:)`` gives.
    ///   - form: What the prompt is for.
    ///   - hasImage: Whether an image belongs to the prompt.
    public init(instruction: String, form: Form, hasImage: Bool) {
        let start = form == .evaluation ? "<s>[INST] " : "[INST] "
        let end = form == .training && hasImage ? "  [/INST]" : " [/INST]"
        segments =
            hasImage
            ? [.text(start + "<Img>"), .image, .text("</Img> " + instruction + end)]
            : [.text(start + instruction + end)]
    }

    /// The prompt of a sample.
    ///
    /// - Parameters:
    ///   - sample: The sample to ask.
    ///   - form: What the prompt is for.
    ///   - templateSeed: The seed with which the instruction's template is drawn.
    /// - Throws: ``TaskError`` when the sample lacks what the template asks for.
    public init(for sample: Sample, form: Form, templateSeed: UInt64) throws(TaskError) {
        var instruction = try TaskRegistry.definition(of: sample.task)
            .instruction(for: sample, templateSeed: templateSeed)
        if form == .evaluation, sample.task == .reportGeneration { instruction += " " }
        self.init(instruction: instruction, form: form, hasImage: sample.task.usesImage)
    }

    /// The prompt as one text, the image as ``imageMark``.
    public var text: String {
        segments.map { segment in
            switch segment {
            case .text(let text): text
            case .image: Self.imageMark
            }
        }.joined()
    }

    /// What the model is trained to write after the prompt.
    ///
    /// - Parameter answer: The task's target.
    /// - Returns: The answer with ``endOfAnswer``.
    public static func trainingTarget(_ answer: String) -> String {
        answer + endOfAnswer
    }
}
