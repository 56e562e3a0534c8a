import Foundation
import Torch
public import UniMedData
import UniMedMetrics
public import UniMedModel
import UniMedTasks
public import UniMedTokenizers

/// Asks a model every sample of a part of the data and scores its answers as the paper does (Uni-Med, appendix D.1).
///
/// Prompts of similar length are answered together, unless the options say otherwise by the likeliest token at each step;
/// an answer does not depend on its neighbours. Beside every
/// metric stands the trivial baseline of the training split on the same samples, with a paired bootstrap interval of the
/// difference.
public struct Evaluator {
    private let model: UniMed
    private let tokenizer: any Tokenizer
    private let options: EvaluationOptions
    private let input: ImageInput
    private let constraints: AnswerConstraints

    /// Makes an evaluator.
    ///
    /// - Parameters:
    ///   - model: The model, on any device.
    ///   - tokenizer: The tokenizer it was trained with.
    ///   - options: What is evaluated, and how.
    ///   - input: How pictures become what the model takes; `nil` for pictures that are kept at the model's size.
    /// - Throws: ``EvaluationError/invalidOption(field:expected:got:)`` when an option is out of its range.
    public init(
        model: UniMed,
        tokenizer: any Tokenizer,
        options: EvaluationOptions = EvaluationOptions(),
        input: ImageInput? = nil
    ) throws(EvaluationError) {
        try options.validate()
        self.model = model
        self.tokenizer = tokenizer
        self.options = options
        self.input = input ?? .sameSize(as: model)
        constraints = AnswerConstraints(tokenizer)
    }

    /// A sample with all that is needed to ask it.
    private struct Question {
        let sample: Sample
        let instruction: String
        let prompt: EncodedPrompt
        /// The positions of its picture, or of the chosen slices of its volume; empty without one.
        let pictures: [Int]
    }

    /// Evaluates prepared data.
    ///
    /// Samples whose picture is not in the shards are counted as skipped.
    ///
    /// - Parameters:
    ///   - data: The prepared data; the trivial baselines are those of its training split.
    ///   - features: Where vision features come from; `nil` computes them.
    ///   - log: Keeps every answer as soon as it is there; what it holds already is not asked again.
    ///   - isCancelled: Asked before every step of generation.
    ///   - progress: Is told how many samples are answered, on the calling thread.
    /// - Returns: The table and every answer.
    /// - Throws: ``EvaluationError``.
    public func evaluate(
        _ data: PreparedData,
        features: (any ImageFeatureSource)? = nil,
        log: PredictionLog? = nil,
        isCancelled: () -> Bool = { false },
        progress: (EvaluationProgress) -> Void = { _ in }
    ) throws(EvaluationError) -> EvaluationResult {
        guard data.images.size == input.storedSize else {
            throw .imageSize(expected: input.storedSize, got: data.images.size)
        }
        let baseline = try wrapping { () throws(TaskError) in try TrivialBaseline(fittedTo: data.samples) }
        var skipped: [EvaluationTable.Key: Int] = [:]
        let questions = try questions(from: data, skipped: &skipped)
        guard !questions.isEmpty else {
            throw .noSamples(split: options.split.rawValue, tasks: options.tasks.map(\.rawValue).sorted())
        }
        let source = features ?? ComputedFeatures(model: model, images: data.images, input: input)
        let start = ContinuousClock.now
        let answers = try answers(
            to: questions,
            features: source,
            log: log,
            isCancelled: isCancelled,
            progress: progress
        )
        let seconds = (ContinuousClock.now - start) / .seconds(1)

        var records: [EvaluationRecord] = []
        var predictions: [PredictionRecord] = []
        for (question, answer) in zip(questions, answers) {
            let record = try wrapping { () throws(TaskError) in
                try TaskRegistry.record(prediction: answer.text, for: question.sample, baseline: baseline)
            }
            records.append(record)
            predictions.append(
                PredictionRecord(
                    record,
                    instruction: question.instruction,
                    sample: question.sample,
                    choiceScores: answer.choiceScores
                )
            )
        }
        let table = try wrapping { () throws(MetricError) in
            try EvaluationTable(
                records: records,
                skipped: skipped,
                bootstrap: options.bootstrap,
                resamplingUnit: options.resamplingUnit
            )
        }
        return EvaluationResult(
            table: table,
            predictions: predictions,
            routing: try routing(of: questions, features: source),
            seconds: seconds,
            generatedTokenCount: answers.reduce(0) { $0 + $1.tokenCount }
        )
    }

    /// The answer to one question.
    ///
    /// - Parameters:
    ///   - task: The task.
    ///   - instruction: What is asked, without the task's tag.
    ///   - pixels: The picture, `size * size * 3` bytes of RGB in the size at which pictures are kept; `nil` for none.
    ///   - modality: How the picture was taken, which only a hard router by modality needs to know.
    /// - Returns: The model's answer, as it came.
    /// - Throws: ``EvaluationError``.
    public func answer(
        task: MedicalTask,
        instruction: String,
        pixels: [UInt8]? = nil,
        modality: String? = nil
    ) throws(EvaluationError) -> String {
        try answer(
            task,
            instruction,
            choices: nil,
            modality: modality,
            generation: options.generation,
            volume: nil,
            pixels: pixels
        ).text
    }

    /// The answer to a request.
    ///
    /// - Parameters:
    ///   - request: What is asked, and how the answer is generated where that differs from the evaluator's options.
    ///   - pixels: The picture, `size * size * 3` bytes of RGB in the size at which pictures are kept, or all slices of the
    ///     volume that the request's image is, one after the other; `nil` for none.
    ///   - isCancelled: Asked before every step; `true` ends with what there is.
    ///   - onToken: Sees every token as it comes, on the calling thread.
    /// - Returns: The model's answer, as it came.
    /// - Throws: ``EvaluationError``; ``EvaluationError/invalidOption(field:expected:got:)`` names what is missing or too
    ///   much.
    public func answer(
        _ request: ModelRequest,
        pixels: [UInt8]? = nil,
        isCancelled: () -> Bool = { false },
        onToken: ((GeneratedToken) -> GenerationDirective)? = nil
    ) throws(EvaluationError) -> GeneratedAnswer {
        try answer(
            request.task,
            request.instruction(),
            choices: request.choices,
            modality: request.modality,
            generation: request.generation ?? options.generation,
            volume: request.image?.volume,
            pixels: pixels,
            isCancelled: isCancelled,
            onToken: onToken
        )
    }

    private func answer(
        _ task: MedicalTask,
        _ instruction: String,
        choices: [String]?,
        modality: String?,
        generation: GenerationOptions,
        volume: VolumeReference?,
        pixels: [UInt8]?,
        isCancelled: () -> Bool = { false },
        onToken: ((GeneratedToken) -> GenerationDirective)? = nil
    ) throws(EvaluationError) -> GeneratedAnswer {
        let size = input.storedSize
        let expected = size * size * 3 * (volume?.slices ?? 1)
        if let pixels, pixels.count != expected || pixels.isEmpty {
            throw .invalidOption(field: "pixels", expected: "\(expected) bytes", got: "\(pixels.count)")
        }
        var pictures = pixels
        var slices: [SlicePosition] = []
        if let volume, let pixels {
            let chosen = try chosenSlices(of: pixels, count: volume.slices)
            slices = chosen.map { SlicePosition(slice: $0, of: volume) }
            pictures = chosen.flatMap { pixels[$0 * size * size * 3..<($0 + 1) * size * size * 3] }
        }
        let encoder = promptEncoder
        var prompt = try wrapping { () throws(TokenizerError) in
            try encoder.evaluation(
                task: task,
                instruction: instruction,
                hasImage: pixels != nil,
                slices: slices,
                form: options.promptForm
            )
        }
        prompt.modality = modality
        var features: Tensor?
        if let pictures {
            features = try wrapping { () throws(TorchError) in
                let shape = [max(1, slices.count), size, size, 3]
                return try model.encodeImages(input(Tensor(pictures, shape: shape).to(model.device)))
            }
        }
        var generation = generation
        generation.maximumNewTokens = generation.maximumNewTokens ?? options.maximumNewTokens(of: task)
        return try generate(
            [prompt],
            choices: [choices],
            seeds: [generation.seed],
            features: features,
            options: generation,
            isCancelled: isCancelled,
            onToken: onToken
        )[0]
    }

    private var promptEncoder: PromptEncoder {
        PromptEncoder(
            tokenizer: tokenizer,
            imageTokenCount: model.configuration.imageTokenCount,
            volume: model.configuration.volume,
            taskIdentifiers: model.configuration.taskIdentifiers
        )
    }

    /// How the model looks at volumes.
    private func volumeConfiguration() throws(EvaluationError) -> VolumeConfiguration {
        guard let configuration = model.configuration.volume else {
            throw .invalidOption(
                field: "image",
                expected: "a picture, as the model has no settings for volumes",
                got: "a volume"
            )
        }
        return configuration
    }

    /// The slices that the model looks at, of a volume's pictures one after the other.
    private func chosenSlices(of pixels: [UInt8], count: Int) throws(EvaluationError) -> [Int] {
        let selection = try volumeConfiguration().selection
        guard selection.choice == .content, count > selection.count else {
            return selection.slices(weights: [Double](repeating: 1, count: count))
        }
        let size = input.storedSize
        var weights = SliceWeights()
        pixels.withUnsafeBytes { bytes in
            for slice in 0..<count {
                let range = slice * size * size * 3..<(slice + 1) * size * size * 3
                weights.add(UnsafeRawBufferPointer(rebasing: bytes[range]), size: size)
            }
        }
        return selection.slices(weights: weights.values)
    }

    /// The pictures of a sample that the model looks at, and where they lie along the axis of a volume.
    ///
    /// - Returns: `nil` when one of the sample's pictures is not in the shards.
    private func pictures(
        of sample: Sample,
        in data: PreparedData
    ) throws(EvaluationError) -> (positions: [Int], slices: [SlicePosition])? {
        guard sample.task.usesImage else { return ([], []) }
        if sample.image?.volume == nil { return data.images.positions(of: sample).map { ($0, []) } }
        return data.images.pictures(of: sample, selection: try volumeConfiguration().selection)
    }

    /// The samples to ask, in the order of the data.
    private func questions(
        from data: PreparedData,
        skipped: inout [EvaluationTable.Key: Int]
    ) throws(EvaluationError) -> [Question] {
        let encoder = promptEncoder
        var questions: [Question] = []
        for (position, index) in selected(from: data).enumerated() {
            guard options.shard?.contains(position) ?? true else { continue }
            let sample = data.samples[index]
            guard let (positions, slices) = try pictures(of: sample, in: data) else {
                skipped[EvaluationTable.Key(dataset: sample.dataset, task: sample.task), default: 0] += 1
                continue
            }
            let instruction = try wrapping { () throws(TaskError) in
                try TaskRegistry.definition(of: sample.task).instruction(for: sample, templateSeed: options.seed)
            }
            let untagged = Evaluator.withoutTag(instruction, task: sample.task)
            var prompt = try wrapping { () throws(TokenizerError) in
                try encoder.evaluation(
                    task: sample.task,
                    instruction: untagged,
                    hasImage: !positions.isEmpty,
                    slices: slices,
                    form: options.promptForm
                )
            }
            prompt.modality = sample.modality
            questions.append(Question(sample: sample, instruction: untagged, prompt: prompt, pictures: positions))
        }
        return questions
    }

    /// The instruction without the tag that the prompt's encoder writes.
    private static func withoutTag(_ instruction: String, task: MedicalTask) -> String {
        let tag = task.promptTag + " "
        return instruction.hasPrefix(tag) ? String(instruction.dropFirst(tag.count)) : instruction
    }

    /// The positions of the samples that the options ask for, ascending.
    private func selected(from data: PreparedData) -> [Int] {
        var parts: [EvaluationTable.Key: [Int]] = [:]
        for index in data.indices(split: options.split, tasks: options.tasks) {
            let sample = data.samples[index]
            guard options.datasets?.contains(sample.dataset) ?? true else { continue }
            parts[EvaluationTable.Key(dataset: sample.dataset, task: sample.task), default: []].append(index)
        }
        guard let limit = options.maximumSamplesPerPart else { return parts.values.joined().sorted() }
        return parts.flatMap { key, indices -> [Int] in
            guard indices.count > limit else { return indices }
            let label = "evaluated samples of \(key.dataset)/\(key.task.rawValue)"
            var generator = SeededGenerator.derived(from: options.seed, label: label)
            return generator.permutation(of: indices.count).prefix(limit).map { indices[$0] }
        }.sorted()
    }

    /// The answer to every question, in the order of the questions.
    private func answers(
        to questions: [Question],
        features: any ImageFeatureSource,
        log: PredictionLog?,
        isCancelled: () -> Bool,
        progress: (EvaluationProgress) -> Void
    ) throws(EvaluationError) -> [KeptAnswer] {
        var answers = [KeptAnswer?](repeating: nil, count: questions.count)
        for (index, question) in questions.enumerated() {
            guard let kept = log?.answer(to: question.sample) else { continue }
            // Without what is asked for now the sample is asked again.
            if options.scoresChoices, question.sample.choices?.isEmpty == false, kept.choiceScores == nil { continue }
            answers[index] = kept
        }
        var done = answers.count { $0 != nil }
        progress(EvaluationProgress(done: done, total: questions.count))
        for batch in batches(of: questions, at: questions.indices.filter { answers[$0] == nil }) {
            let part = batch.map { questions[$0] }
            var generation = options.generation
            generation.maximumNewTokens = part.map { options.maximumNewTokens(of: $0.sample.task) }.max()
            let pictures = part.flatMap(\.pictures)
            let tensor = try wrapping { () throws(TorchError) in
                pictures.isEmpty ? nil : try features.features(at: pictures)
            }
            let results = try generate(
                part.map(\.prompt),
                choices: part.map(\.sample.choices),
                // A draw belongs to its sample, wherever that is in a batch.
                seeds: part.map { question in
                    SeededGenerator.derivedSeed(
                        from: generation.seed,
                        label: "answer to \(question.sample.dataset)/\(question.sample.id)"
                    )
                },
                features: tensor,
                options: generation,
                isCancelled: isCancelled
            )
            if isCancelled() { throw .cancelled }
            var kept: [KeptAnswer] = []
            for (question, result) in zip(part, results) {
                kept.append(
                    KeptAnswer(
                        dataset: question.sample.dataset,
                        id: question.sample.id,
                        task: question.sample.task,
                        text: result.text,
                        tokenCount: result.tokens.count,
                        choiceScores: options.scoresChoices ? try choiceScores(of: question, features) : nil
                    )
                )
            }
            do throws(DataError) { try log?.append(kept) } catch { throw .data(error) }
            for (index, answer) in zip(batch, kept) { answers[index] = answer }
            done += batch.count
            progress(EvaluationProgress(done: done, total: questions.count))
        }
        return answers.compactMap { $0 }
    }

    /// The log-likelihood of each choice as the whole answer, its end counted in; `nil` without a closed set.
    ///
    /// The sum of the log-probabilities of the label's tokens. Labels of more tokens are not weighed up.
    private func choiceScores(
        of question: Question,
        _ features: any ImageFeatureSource
    ) throws(EvaluationError) -> [Double]? {
        guard let choices = question.sample.choices, !choices.isEmpty else { return nil }
        var scores: [Double] = []
        for start in stride(from: 0, to: choices.count, by: options.batchSize) {
            let part = choices[start..<min(choices.count, start + options.batchSize)]
            var prompts: [EncodedPrompt] = []
            for choice in part {
                let ending = try wrapping { () throws(TokenizerError) in try tokenizer.encode(choice) }
                var prompt = question.prompt
                prompt.tokens += ending + [tokenizer.eosID]
                prompt.targets += ending + [tokenizer.eosID]
                prompts.append(prompt)
            }
            let output = try wrapping { () throws(TorchError) -> LossOutput in
                let pictures = part.flatMap { _ in question.pictures }
                return try withoutGradients { () throws(TorchError) in
                    try model.loss(
                        PromptBatch(
                            prompts,
                            features: pictures.isEmpty ? nil : features.features(at: pictures),
                            imageTokenCount: model.configuration.imageTokenCount,
                            taskOrder: model.configuration.connector.tasks,
                            roundsSizes: model.prefersRoundedSizes,
                            device: model.device
                        ),
                        training: false
                    )
                }
            }
            let losses = try wrapping { () throws(TorchError) in
                try output.tokenLosses.to(.float32).array(of: Float.self)
            }
            var place = 0
            for count in output.targetCounts {
                scores.append(-losses[place..<(place + count)].reduce(0) { $0 + Double($1) })
                place += count
            }
        }
        return scores
    }

    /// Batches of questions whose answers are cut at the same length, of similar prompt length, the longest first.
    private func batches(of questions: [Question], at indices: [Int]) -> [[Int]] {
        let groups = Dictionary(grouping: indices) {
            options.maximumNewTokens(of: questions[$0].sample.task)
        }
        return groups.sorted { $0.key > $1.key }.flatMap { _, indices -> [[Int]] in
            let order = indices.sorted {
                let (left, right) = (questions[$0].prompt.tokens.count, questions[$1].prompt.tokens.count)
                return left == right ? $0 < $1 : left > right
            }
            return stride(from: 0, to: order.count, by: options.batchSize).map {
                Array(order[$0..<min(order.count, $0 + options.batchSize)])
            }
        }
    }

    private func generate(
        _ prompts: [EncodedPrompt],
        choices: [[String]?],
        seeds: [UInt64],
        features: Tensor?,
        options: GenerationOptions,
        isCancelled: () -> Bool,
        onToken: ((GeneratedToken) -> GenerationDirective)? = nil
    ) throws(EvaluationError) -> [GeneratedAnswer] {
        let batch = try wrapping { () throws(TorchError) in
            try PromptBatch(
                prompts,
                features: features,
                imageTokenCount: model.configuration.imageTokenCount,
                taskOrder: model.configuration.connector.tasks,
                roundsSizes: model.prefersRoundedSizes,
                device: model.device
            )
        }
        return try wrapping { () throws(GenerationError) in
            var held: [(any TokenConstraint)?] = []
            for (prompt, choices) in zip(prompts, choices) {
                held.append(
                    try constraints.constraint(
                        task: prompt.task,
                        choices: choices,
                        isVolume: !prompt.slices.isEmpty,
                        options: options
                    )
                )
            }
            return try model.generate(
                batch,
                tokenizer: tokenizer,
                options: options,
                constraints: held,
                seeds: seeds,
                isCancelled: isCancelled,
                onToken: onToken
            )
        }
    }

    /// The mean routing weights per task, over at most this many images of each; nothing for a connector without experts.
    private static let routingImageCount = 128

    private func routing(
        of questions: [Question],
        features: any ImageFeatureSource
    ) throws(EvaluationError) -> [TaskRouting] {
        guard model.configuration.connector.expertCount > 0 else { return [] }
        var summaries: [TaskRouting] = []
        for task in MedicalTask.allCases {
            var chosen: [Question] = []
            var seen: Set<[Int]> = []
            for question in questions where question.sample.task == task && chosen.count < Self.routingImageCount {
                if !question.pictures.isEmpty, seen.insert(question.pictures).inserted { chosen.append(question) }
            }
            guard !chosen.isEmpty else { continue }
            let weights = try wrapping { () throws(TorchError) in try meanWeights(of: chosen, features) }
            summaries.append(TaskRouting(task: task, meanWeights: weights, imageCount: chosen.count))
        }
        return summaries
    }

    private func meanWeights(
        of questions: [Question],
        _ features: any ImageFeatureSource
    ) throws(TorchError) -> [Double] {
        try withoutGradients { () throws(TorchError) -> [Double] in
            var sums = [Double](repeating: 0, count: model.configuration.connector.expertCount)
            for start in stride(from: 0, to: questions.count, by: 32) {
                let part = Array(questions[start..<min(questions.count, start + 32)])
                let batch = try PromptBatch(
                    part.map(\.prompt),
                    features: features.features(at: part.flatMap(\.pictures)),
                    imageTokenCount: model.configuration.imageTokenCount,
                    taskOrder: model.configuration.connector.tasks,
                    device: model.device
                )
                guard let weights = try model.embeddings(of: batch).routingWeights else {
                    preconditionFailure("a connector with experts has routing weights")
                }
                let mean = try weights.to(.float32).reshape(-1, sums.count).mean(0).array(of: Float.self)
                for (expert, value) in mean.enumerated() { sums[expert] += Double(value) * Double(part.count) }
            }
            return sums.map { $0 / Double(questions.count) }
        }
    }
}
