public import UniMedData
public import UniMedTokenizers

/// A prompt, and in training its answer, as token ids with open places for the image.
public struct EncodedPrompt: Sendable, Equatable {
    /// Stands where an aggregated image token goes.
    public static let imageSlot = -1
    /// Stands where no token is predicted.
    public static let noTarget = -100

    /// The task.
    public var task: MedicalTask
    /// Token ids, and ``imageSlot`` for every aggregated image token.
    public var tokens: [Int]
    /// For every token what it is as a target: its own id in the answer, ``noTarget`` elsewhere.
    public var targets: [Int]
    /// The modality of the image, where it is known: read by a hard router by modality, never written into the text.
    public var modality: String?
    /// Where the chosen slices of a volume lie along its axis, in order; empty for an image.
    public var slices: [SlicePosition]

    /// Makes a prompt.
    public init(task: MedicalTask, tokens: [Int], targets: [Int], modality: String? = nil, slices: [SlicePosition] = [])
    {
        precondition(tokens.count == targets.count, "every token has a target")
        self.task = task
        self.modality = modality
        self.slices = slices
        self.tokens = tokens
        self.targets = targets
    }

    /// Whether the prompt has places for an image.
    public var hasImage: Bool { tokens.contains(EncodedPrompt.imageSlot) }
}

/// How a prompt is written in evaluation.
public enum EvaluationPromptForm: String, Codable, Sendable {
    /// Exactly as in training: one BOS, two spaces before `[/INST]`. What the model has seen.
    case asTrained
    /// As the published code evaluates: the text begins with `<s>` and gets a BOS on top; captions keep two spaces, all else one.
    case published
}

/// Writes the prompt of a sample as the published code does.
///
/// `[INST] <Img>` image `</Img> [task] instruction  [/INST]`, every piece of text tokenised by itself
/// (Uni-Med section 3.2.3; the chat form is LLaMA2's). Tokenizers without a beginning of sequences write none.
public struct PromptEncoder: Sendable {
    private let tokenizer: any Tokenizer
    private let imageTokenCount: Int
    private let volume: VolumeConfiguration?
    private let taskIdentifiers: Bool
    private let maximumLength: Int?

    /// Makes an encoder.
    ///
    /// - Parameters:
    ///   - imageTokenCount: `Nv/α`: the places an image takes.
    ///   - volume: How the model looks at volumes; `nil` where it does not.
    ///   - taskIdentifiers: Whether a prompt names its task, as ``UniMedConfiguration/taskIdentifiers`` says. Default: it does.
    ///   - maximumLength: Longer training sequences lose the beginning of the instruction after the task's tag, since
    ///     what is asked stands at its end; where that is not enough, the end of the answer. `nil` never cuts.
    public init(
        tokenizer: any Tokenizer,
        imageTokenCount: Int,
        volume: VolumeConfiguration? = nil,
        taskIdentifiers: Bool = true,
        maximumLength: Int? = nil
    ) {
        self.tokenizer = tokenizer
        self.imageTokenCount = imageTokenCount
        self.volume = volume
        self.taskIdentifiers = taskIdentifiers
        self.maximumLength = maximumLength
    }

    /// A prompt with its answer, which ends with the end-of-sequence token.
    ///
    /// - Parameters:
    ///   - task: The task.
    ///   - instruction: What is asked, without the task's tag.
    ///   - answer: What the model shall write.
    ///   - hasImage: Whether there is an image or a volume.
    ///   - slices: Where the chosen slices of a volume lie; empty for an image.
    /// - Precondition: A model without settings for volumes is given no slices.
    /// - Throws: ``TokenizerError`` when the text cannot be tokenised.
    public func training(
        task: MedicalTask,
        instruction: String,
        answer: String,
        hasImage: Bool,
        slices: [SlicePosition] = []
    ) throws(TokenizerError) -> EncodedPrompt {
        var tokens = tokenizer.bosID.map { [$0] } ?? []
        for piece in pieces(
            task: task,
            instruction: instruction,
            hasImage: hasImage,
            spaces: hasImage ? 2 : 1
        ) {
            switch piece {
            case .text(let text): tokens += try tokenizer.encode(text)
            case .image: tokens += imageSlots(slices)
            }
        }
        let ending = try tokenizer.encode(answer)
        if let maximumLength {
            try shorten(
                &tokens,
                by: tokens.count + ending.count + 1 - maximumLength,
                task: task,
                instruction: instruction,
                hasImage: hasImage
            )
        }
        var targets = [Int](repeating: EncodedPrompt.noTarget, count: tokens.count)
        // The pad token inside an answer is no target; the end is one, also where it serves as pad token.
        tokens += ending + [tokenizer.eosID]
        targets += ending.map { $0 == tokenizer.padID ? EncodedPrompt.noTarget : $0 } + [tokenizer.eosID]
        if let maximumLength, tokens.count > maximumLength {
            tokens.removeLast(tokens.count - maximumLength)
            targets.removeLast(targets.count - maximumLength)
        }
        return EncodedPrompt(task: task, tokens: tokens, targets: targets, slices: slices)
    }

    /// A prompt that waits for its answer.
    ///
    /// - Parameters:
    ///   - task: The task.
    ///   - instruction: What is asked, without the task's tag.
    ///   - hasImage: Whether there is an image or a volume.
    ///   - slices: Where the chosen slices of a volume lie; empty for an image.
    ///   - form: How the prompt is written.
    /// - Precondition: A model without settings for volumes is given no slices.
    /// - Throws: ``TokenizerError`` when the text cannot be tokenised.
    public func evaluation(
        task: MedicalTask,
        instruction: String,
        hasImage: Bool,
        slices: [SlicePosition] = [],
        form: EvaluationPromptForm = .asTrained
    ) throws(TokenizerError) -> EncodedPrompt {
        let spaces =
            switch form {
            case .asTrained: hasImage ? 2 : 1
            case .published: task == .reportGeneration ? 2 : 1
            }
        let bos = tokenizer.bosID.map { [$0] } ?? []
        var tokens = bos
        var isFirst = true
        for piece in pieces(task: task, instruction: instruction, hasImage: hasImage, spaces: spaces) {
            switch piece {
            case .text(let text):
                if form == .published, isFirst { tokens += bos }
                tokens += try tokenizer.encode(text)
                isFirst = false
            case .image: tokens += imageSlots(slices)
            }
        }
        return EncodedPrompt(
            task: task,
            tokens: tokens,
            targets: [Int](repeating: EncodedPrompt.noTarget, count: tokens.count),
            slices: slices
        )
    }

    /// The places of an image, or of the slabs of a volume.
    private func imageSlots(_ slices: [SlicePosition]) -> [Int] {
        var slabs = 1
        if !slices.isEmpty {
            guard let volume else { preconditionFailure("a model without settings for volumes takes none") }
            slabs = volume.slabCount(of: slices.count, imageTokenCount: imageTokenCount)
        }
        return [Int](repeating: EncodedPrompt.imageSlot, count: slabs * imageTokenCount)
    }

    /// Takes up to `excess` tokens out of the instruction of a prompt, from its beginning.
    private func shorten(
        _ tokens: inout [Int],
        by excess: Int,
        task: MedicalTask,
        instruction: String,
        hasImage: Bool
    ) throws(TokenizerError) {
        guard excess > 0 else { return }
        var tag = ""
        var ending = ""
        if case .text(let text)? = pieces(task: task, instruction: "", hasImage: hasImage, spaces: 1).last {
            tag = String(text.dropLast(Self.instructionEnd.count + 1))
            ending = Self.instructionEnd
        }
        let length = try tokenizer.encode(tag + instruction + " " + ending).count
        let kept = try tokenizer.encode(tag).count
        let start = max(tokens.count - length, 0) + kept
        let end = tokens.count - (try tokenizer.encode(ending).count)
        guard start < end else { return }
        tokens.removeSubrange(start..<min(start + excess, end))
    }

    private static let instructionEnd = "[/INST]"

    private enum Piece {
        case text(String)
        case image
    }

    private func pieces(task: MedicalTask, instruction: String, hasImage: Bool, spaces: Int) -> [Piece] {
        let end = String(repeating: " ", count: spaces) + Self.instructionEnd
        let text = (taskIdentifiers ? task.promptTag + " " : "") + instruction + end
        guard hasImage else { return [.text("[INST] " + text)] }
        return [.text("[INST] <Img>"), .image, .text("</Img> " + text)]
    }
}
