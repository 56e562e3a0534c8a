import Torch
import TorchNN
import UniMedData
import UniMedModel

/// Work for a model of any size: prompts of given lengths, with an image each, and the model's structure made small.
enum SyntheticWork {
    /// The model's structure with true head sizes, in a size for every machine: two layers, two heads, 16 patches.
    static func small(_ model: UniMedConfiguration, vocabularySize: Int = 512) -> UniMedConfiguration {
        var model = model
        let visionHead = model.vision.hiddenSize / model.vision.headCount
        model.vision.imageSize = 4 * model.vision.patchSize
        model.vision.hiddenSize = 2 * visionHead
        model.vision.headCount = 2
        model.vision.layerCount = 2
        model.language.vocabularySize = vocabularySize
        model.language.keyValueHeadCount = model.language.keyValueHeadCount < model.language.headCount ? 1 : 2
        model.language.headCount = 2
        model.language.hiddenSize = 2 * model.language.headSize
        model.language.intermediateSize = 5 * model.language.headSize
        model.language.layerCount = 2
        return model
    }

    /// The model without LoRA's dropout, which differs from device to device and from program to program.
    static func withoutDropout(_ model: UniMedConfiguration) -> UniMedConfiguration {
        var model = model
        switch model.fineTuning {
        case .lowRank(var adapter):
            adapter.dropout = 0
            model.fineTuning = .lowRank(adapter)
        case .lowRankExperts(var experts):
            experts.dropout = 0
            model.fineTuning = .lowRankExperts(experts)
        case .full, .frozen: break
        }
        return model
    }

    /// Prompts of random tokens: seven of text, the image's, text, and an answer that is the last quarter of the text.
    ///
    /// The tasks of the connector take turns.
    ///
    /// - Parameter lengths: The tokens of each prompt with its answer; what is too short for an image and 16 tokens of text
    ///   is made longer.
    static func prompts(lengths: [Int], _ model: UniMedConfiguration, seed: UInt64) -> [EncodedPrompt] {
        var generator = SeededGenerator.derived(from: seed, label: "synthetic prompts")
        let tasks = model.connector.tasks
        return lengths.enumerated().map { index, wanted in
            let images = model.imageTokenCount
            let length = max(wanted, images + 16)
            // The first three ids are special in Llama's vocabulary.
            let text = (0..<(length - images)).map { _ in
                3 + generator.integer(below: model.language.vocabularySize - 3)
            }
            let tokens = text.prefix(7) + repeatElement(EncodedPrompt.imageSlot, count: images) + text.dropFirst(7)
            let first = length - text.count / 4
            return EncodedPrompt(
                task: tasks.isEmpty ? .visualQuestionAnswering : tasks[index % tasks.count],
                tokens: Array(tokens),
                targets: tokens.enumerated().map { $0 < first ? EncodedPrompt.noTarget : $1 }
            )
        }
    }

    /// Draws anew what is a constant in a new model, around that constant, so that no part is without effect.
    static func disturbConstants(_ model: UniMed, seed: UInt64) throws {
        let generator = try Generator(seed: seed)
        for (name, parameter) in model.namedParameters()
        where parameter.value.rank == 1 || name.hasSuffix(".lora_B.weight") {
            let value = try parameter.value.detach()
            let noise = try Tensor.normal(value.shape, deviation: 0.02, generator: generator)
            try parameter.load(value + noise.to(value.dtype).to(value.device))
        }
    }
}
