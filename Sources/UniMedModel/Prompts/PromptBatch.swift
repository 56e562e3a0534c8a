public import Torch
public import TorchNN
public import UniMedData

/// Prompts as tensors: all sequences packed into one row of tokens, images beside them.
public struct PromptBatch {
    /// How the sequences lie in the row.
    public let layout: SequenceLayout
    /// The text tokens of all sequences: `[textTokens]` (int64).
    let textTokens: Tensor
    /// For each place of the row its embedding, text tokens first, then image tokens; `nil` where they are the row already.
    let order: RowPlacement?
    /// `[rounded images, N, Dv]`: the vision features of the prompts with an image, in their order, rounded up with zeros; of
    /// a volume the slices', one after the other.
    public let features: Tensor?
    /// Which features are slices of volumes; `nil` when none are.
    let stacks: SliceStacks?
    /// The number of prompts with an image.
    public let imageCount: Int
    /// The position in the connector's list of the task of each image, or slab of a volume.
    let imageTasks: [Int]
    /// The modality of each image or slab, where its prompt names one.
    let imageModalities: [String?]
    /// The rows whose next token is a target, rounded up with empty rows.
    let targetRows: RowPlacement
    /// The targets, rounded up with targets that are ignored: `[rounded targets]` (int64).
    let roundedTargets: Tensor
    /// The number of targets.
    public let targetCount: Int
    /// The number of targets of each prompt.
    public let targetCounts: [Int]
    /// The task of each prompt.
    public let tasks: [MedicalTask]

    /// Makes a batch.
    ///
    /// - Parameters:
    ///   - prompts: At least one.
    ///   - features: `[images, N, Dv]`, one entry for each prompt that has an image, in their order; for a volume one for
    ///     each of its slices.
    ///   - taskOrder: The tasks with a task token, in the connector's order.
    ///   - roundsSizes: Whether the numbers of tokens, places, images and targets are rounded up, so that kernels compiled
    ///     for a shape are found again: the CPU's in bfloat16. The results are the same.
    /// - Throws: ``TorchError`` when images and prompts do not fit together.
    public init(
        _ prompts: [EncodedPrompt],
        features: Tensor?,
        imageTokenCount: Int,
        taskOrder: [MedicalTask] = ConnectorConfiguration.publishedTasks,
        roundsSizes: Bool = false,
        device: Device = .cpu
    ) throws(TorchError) {
        let withImage = prompts.filter(\.hasImage)
        let pictureCount = withImage.reduce(0) { $0 + max(1, $1.slices.count) }
        guard pictureCount == features?.size(0) ?? 0 else {
            throw TorchError(
                operation: "PromptBatch",
                operands: [features?.summary].compactMap { $0 },
                message: "the prompts have \(pictureCount) images and slices, features of "
                    + "\(features?.size(0) ?? 0) were given"
            )
        }
        layout = try SequenceLayout(
            lengths: prompts.map(\.tokens.count),
            tokenMultiple: roundsSizes ? Self.tokenMultiple : 1,
            placeMultiple: roundsSizes ? Self.placeMultiple : 1,
            device: device
        )
        var text: [Int] = []
        text.reserveCapacity(layout.tokenCount)
        let textCount = prompts.reduce(0) { $0 + $1.tokens.lazy.filter { $0 != EncodedPrompt.imageSlot }.count }
        var order: [Int] = []
        order.reserveCapacity(layout.tokenCount)
        var imageRow = textCount
        var targetRows: [Int] = []
        var targets: [Int] = []
        var targetCounts: [Int] = []
        var slabCounts: [Int] = []
        var start = 0
        for prompt in prompts {
            let before = imageRow
            for token in prompt.tokens {
                if token == EncodedPrompt.imageSlot {
                    order.append(imageRow)
                    imageRow += 1
                } else {
                    order.append(text.count)
                    text.append(token)
                }
            }
            let (slabs, rest) = (imageRow - before).quotientAndRemainder(dividingBy: imageTokenCount)
            guard rest == 0, slabs <= max(1, prompt.slices.count) else {
                throw TorchError(
                    operation: "PromptBatch",
                    message: "a prompt has \(imageRow - before) places for an image of \(imageTokenCount) tokens"
                        + (prompt.slices.isEmpty ? "" : " and \(prompt.slices.count) slices")
                )
            }
            if slabs > 0 { slabCounts.append(slabs) }
            let count = targets.count
            for (index, target) in prompt.targets.enumerated() where target != EncodedPrompt.noTarget && index > 0 {
                targetRows.append(start + index - 1)
                targets.append(target)
            }
            targetCounts.append(targets.count - count)
            start += prompt.tokens.count
        }
        targetCount = targets.count
        if roundsSizes {
            let filler = Self.filler(for: targets.count, multiple: Self.targetMultiple)
            targetRows.append(contentsOf: repeatElement(-1, count: filler))
            targets.append(contentsOf: repeatElement(EncodedPrompt.noTarget, count: filler))
        }
        order.append(contentsOf: repeatElement(-1, count: layout.tokenCount - order.count))
        textTokens = try Tensor(text).to(device)
        self.targetRows = try RowPlacement(targetRows, sourceCount: layout.tokenCount, device: device)
        roundedTargets = try Tensor(targets).to(device)
        self.targetCounts = targetCounts
        tasks = prompts.map(\.task)
        imageCount = withImage.count
        // A task without a token of its own (qa with an image) uses the first.
        var imageTasks = zip(withImage, slabCounts).flatMap { prompt, slabs in
            [Int](repeating: taskOrder.firstIndex(of: prompt.task) ?? 0, count: slabs)
        }
        var imageModalities = zip(withImage, slabCounts).flatMap { prompt, slabs in
            [String?](repeating: prompt.modality, count: slabs)
        }
        stacks = SliceStacks(
            zip(withImage, slabCounts).map { (slices: $0.slices, slabs: $1) },
            multiple: roundsSizes ? Self.imageMultiple : 1
        )
        let filler = roundsSizes ? Self.filler(for: imageTasks.count, multiple: Self.imageMultiple) : 0
        if let stacks, let task = imageTasks.last, let modality = imageModalities.last {
            // What volumes become is rounded up, not their slices.
            self.features = try features?.to(device)
            imageTasks += repeatElement(task, count: stacks.filler)
            imageModalities += repeatElement(modality, count: stacks.filler)
            imageRow += stacks.filler * imageTokenCount
        } else if let features, filler > 0, let task = imageTasks.last, let modality = imageModalities.last {
            let none = try Tensor.zeros(
                [filler] + features.shape.dropFirst(),
                dtype: features.dtype,
                device: features.device
            )
            self.features = try Tensor.cat([features, none]).to(device)
            imageTasks += repeatElement(task, count: filler)
            imageModalities += repeatElement(modality, count: filler)
            imageRow += filler * imageTokenCount
        } else {
            self.features = try features?.to(device)
        }
        self.imageTasks = imageTasks
        self.imageModalities = imageModalities
        let isText = withImage.isEmpty && text.count == layout.tokenCount
        self.order = isText ? nil : try RowPlacement(order, sourceCount: imageRow, device: device)
    }

    /// One entry for each image: without the filler's, which are nobody's, and of a volume the mean of its slabs'.
    ///
    /// - Parameter rows: `[images and slabs, rounded up, ...]`.
    /// - Returns: `[images, ...]`.
    func eachImage(_ rows: Tensor) throws(TorchError) -> Tensor {
        guard let stacks else { return try rows.narrow(0, start: 0, length: imageCount) }
        let images = try rows.narrow(0, start: 0, length: stacks.count).split(stacks.slabCounts, dimension: 0)
        return try Tensor.cat(images.map { image throws(TorchError) in try image.mean(0, keepingDimensions: true) })
    }

    private static let tokenMultiple = 128
    private static let placeMultiple = 32
    private static let imageMultiple = 4
    private static let targetMultiple = 64

    /// What brings a size to a multiple.
    private static func filler(for size: Int, multiple: Int) -> Int { (multiple - size % multiple) % multiple }
}
