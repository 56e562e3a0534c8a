public import Torch
public import TorchNN
public import UniMedData

/// Prompts as tensors: all sequences packed into one row of tokens, images beside them.
public struct PromptBatch {
    /// How the sequences lie in the row.
    public let layout: SequenceLayout
    /// The text tokens of all sequences: `[textTokens]` (int64).
    let textTokens: Tensor
    /// For each place of the row its embedding: text tokens first, then image tokens: `[tokens]` (int64); `nil` without images.
    let order: Tensor?
    /// `[images, N, Dv]`: the vision features of the prompts with an image, in their order.
    public let features: Tensor?
    /// The position in the connector's list of the task of each image.
    let imageTasks: [Int]
    /// The rows whose next token is a target: `[targets]` (int64).
    let targetRows: Tensor
    /// The targets themselves: `[targets]` (int64).
    public let targets: Tensor
    /// The number of targets of each prompt.
    public let targetCounts: [Int]
    /// The task of each prompt.
    public let tasks: [MedicalTask]

    /// Makes a batch.
    ///
    /// - Parameters:
    ///   - prompts: At least one.
    ///   - features: `[images, N, Dv]`, one entry for each prompt that has an image, in their order.
    ///   - taskOrder: The tasks with a task token, in the connector's order.
    /// - Throws: ``TorchError`` when images and prompts do not fit together.
    public init(
        _ prompts: [EncodedPrompt],
        features: Tensor?,
        imageTokenCount: Int,
        taskOrder: [MedicalTask] = ConnectorConfiguration.publishedTasks,
        device: Device = .cpu
    ) throws(TorchError) {
        let withImage = prompts.filter(\.hasImage)
        guard withImage.count == features?.size(0) ?? 0 else {
            throw TorchError(
                operation: "PromptBatch",
                operands: [features?.summary].compactMap { $0 },
                message: "\(withImage.count) prompts have an image, features of \(features?.size(0) ?? 0) were given"
            )
        }
        layout = try SequenceLayout(lengths: prompts.map(\.tokens.count), device: device)
        var text: [Int] = []
        text.reserveCapacity(layout.tokenCount)
        let textCount = prompts.reduce(0) { $0 + $1.tokens.lazy.filter { $0 != EncodedPrompt.imageSlot }.count }
        var order: [Int] = []
        order.reserveCapacity(layout.tokenCount)
        var imageRow = textCount
        var targetRows: [Int] = []
        var targets: [Int] = []
        var targetCounts: [Int] = []
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
            guard imageRow == before || imageRow - before == imageTokenCount else {
                throw TorchError(
                    operation: "PromptBatch",
                    message: "a prompt has \(imageRow - before) places for an image of \(imageTokenCount) tokens"
                )
            }
            let count = targets.count
            for (index, target) in prompt.targets.enumerated() where target != EncodedPrompt.noTarget && index > 0 {
                targetRows.append(start + index - 1)
                targets.append(target)
            }
            targetCounts.append(targets.count - count)
            start += prompt.tokens.count
        }
        textTokens = try Tensor(text).to(device)
        self.targetRows = try Tensor(targetRows).to(device)
        self.targets = try Tensor(targets).to(device)
        self.targetCounts = targetCounts
        tasks = prompts.map(\.task)
        self.features = try features?.to(device)
        if withImage.isEmpty {
            self.order = nil
        } else {
            self.order = try Tensor(order).to(device)
        }
        // A task without a token of its own (qa with an image) uses the first.
        imageTasks = withImage.map { taskOrder.firstIndex(of: $0.task) ?? 0 }
    }
}
