import Torch
import TorchNN
public import UniMedData
public import UniMedEvaluation
import UniMedModel
import UniMedTasks

extension ModelAnalysis {
    /// What an answer rested on.
    public struct Attribution: Codable, Sendable, Equatable {
        /// The data set.
        public let dataset: String
        /// The sample's identifier in it.
        public let sample: String
        /// The task.
        public let task: MedicalTask
        /// What was asked, without the task's tag.
        public let instruction: String
        /// The answer that is explained: the model's own.
        public let answer: String
        /// The reference answer.
        public let reference: String
        /// The logarithm of the answer's probability, the mean over its tokens.
        public let meanLogProbability: Double
        /// How much each patch of the picture matters for that, `[row][column]`, the sum is 1: the magnitude of
        /// gradient times pixel, through the whole vision transformer.
        public let saliency: [[Double]]
        /// The weight of each expert at each patch, `[expert][row][column]`; empty without experts.
        public let routing: [[[Double]]]
        /// The picture's position in the data.
        public let picture: Int
    }

    /// Explains the answers to the first samples with pictures of each task, drawn by the seed; volumes are left out.
    ///
    /// The model answers as in evaluation; then the gradient of that answer's probability goes back to the pixels.
    ///
    /// - Parameters:
    ///   - count: The samples of each task.
    ///   - options: How the model answers.
    public func attributions(
        count: Int = 1,
        options: EvaluationOptions,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> [Attribution] {
        let samples = try drawn(count, split: options.split) { $0.image?.volume == nil }
        let evaluator = try analysing {
            try Evaluator(model: model, tokenizer: tokenizer, options: options, input: input)
        }
        var results: [Attribution] = []
        for sample in samples {
            guard let picture = data.images.position(of: sample) else { continue }
            results.append(try analysing { try attribution(sample, picture, evaluator) })
            try control.step("attribution", results.count, of: samples.count, unit: "answers")
        }
        return results
    }

    private func attribution(_ sample: Sample, _ picture: Int, _ evaluator: Evaluator) throws -> Attribution {
        let definition = TaskRegistry.definition(of: sample.task)
        var instruction = try definition.instruction(for: sample, templateSeed: seed)
        let tag = sample.task.promptTag + " "
        if instruction.hasPrefix(tag) { instruction.removeFirst(tag.count) }
        let bytes = data.images.withPixels(at: picture) { [UInt8]($0) }
        let answer = try evaluator.answer(
            task: sample.task,
            instruction: instruction,
            pixels: bytes,
            modality: sample.modality
        )
        let prompt = try AnalysisBatches.prompt(
            of: sample,
            hasImage: true,
            encoder: encoder,
            answer: answer,
            seed: seed
        )
        let size = input.storedSize
        let pixels = try input(Tensor(bytes, shape: [1, size, size, 3]).to(model.device)).detach().clone()
            .requireGradient()
        // As in `encodeImages`, but with gradients to the pixels.
        let tokens = try model.visionNorm(model.vision(pixels.to(model.computeDType)))
        let features = try tokens.narrow(1, start: 1, length: tokens.size(1) - 1)
        let batch = try PromptBatch(
            [prompt],
            features: features,
            imageTokenCount: model.configuration.imageTokenCount,
            taskOrder: model.configuration.connector.tasks,
            roundsSizes: model.prefersRoundedSizes,
            device: model.device
        )
        let output = try model.loss(batch, training: false)
        guard let gradient = try Tensor.gradients(of: [output.loss], withRespectTo: [pixels])[0] else {
            throw AnalysisError(.tensor, "the answer does not depend on the picture", field: "attribution")
        }
        let (side, patch) = (model.configuration.vision.gridSize, model.configuration.vision.patchSize)
        let importance = try (gradient * pixels.detach()).abs().to(.float32).to(.cpu).sum(1)
            .reshape(side, patch, side, patch).sum(1, 3)
        let total = try importance.sum().item()
        let layout = PatchLayout(model.configuration)
        var routing: [[[Double]]] = []
        if let weights = output.routingWeights {
            let experts = weights.size(2)
            let values = try weights.select(0, 0).to(.float32).to(.float64).to(.cpu).contiguous().array(of: Double.self)
            routing = (0..<experts).map { expert in
                layout.grid(stride(from: expert, to: values.count, by: experts).map { values[$0] })
            }
        }
        return Attribution(
            dataset: sample.dataset,
            sample: sample.id,
            task: sample.task,
            instruction: instruction,
            answer: answer,
            reference: try definition.target(for: sample),
            meanLogProbability: -(try output.loss.detach().item()),
            saliency: try Self.rows(total > 0 ? importance / total : importance),
            routing: routing,
            picture: picture
        )
    }
}
