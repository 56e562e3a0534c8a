import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting
import UniMedTokenizers

/// A `full` case: a whole model, six batches, a training, generation.
struct FullCase: Sendable, CustomStringConvertible {
    struct Manifest: Decodable, Sendable {
        struct Vision: Decodable, Sendable {
            let weights: String
        }

        struct Language: Decodable, Sendable {
            let checkpoint: String
            let rank: Int
            let alpha: Double
            let dropout: Double

            enum CodingKeys: String, CodingKey {
                case checkpoint
                case rank = "lora_r"
                case alpha = "lora_alpha"
                case dropout = "lora_dropout"
            }
        }

        struct Configuration: Decodable, Sendable {
            let vision: Vision
            let connector: PublishedConnector
            let llm: Language
        }

        struct Layout: Decodable, Sendable {
            let steps: [String: Int]

            enum CodingKeys: String, CodingKey {
                case steps = "optimizer_steps_per_parameter"
            }
        }

        let config: Configuration
        let layout: Layout

        enum CodingKeys: String, CodingKey {
            case config
            case layout = "checkpoint_layout"
        }
    }

    /// The part of the manifest that an `eva_vit` case has as well.
    private struct VisionSizes: Decodable {
        struct Configuration: Decodable {
            let vision: VisionManifest.Configuration
        }

        let config: Configuration
    }

    struct Batch: Decodable {
        struct Segment: Decodable {
            let kind: String
            let length: Int
            let ids: [Int]?
        }

        struct Row: Decodable {
            let prompt: String
            let answer: String
            let segments: [Segment]
            let targets: [Int]
        }

        struct Gradient: Decodable {
            let norm: Double
            let shape: [Int]
            let full: Bool
            let stored: String?
        }

        let rows: [Row]
        let loss: Double
        let lossPerRow: [Double]
        let sequenceLength: Int
        let meanWeights: [Double]?
        let gradients: [String: Gradient?]

        enum CodingKeys: String, CodingKey {
            case rows, loss, gradients
            case lossPerRow = "loss_reduction_none"
            case sequenceLength = "sequence_length"
            case meanWeights = "routing_weights_mean"
        }

        /// The rows as this model takes them, made of the recorded ids.
        func prompts(_ task: MedicalTask) -> [EncodedPrompt] {
            rows.map { row in
                let tokens = row.segments.flatMap { segment -> [Int] in
                    switch segment.kind {
                    case "image": [Int](repeating: EncodedPrompt.imageSlot, count: segment.length)
                    case "pad": []
                    default: segment.ids ?? []
                    }
                }
                return EncodedPrompt(task: task, tokens: tokens, targets: Array(row.targets.prefix(tokens.count)))
            }
        }
    }

    struct Training: Decodable {
        struct Step: Decodable {
            let task: String
            let rate: Double
            let loss: Double
            let norm: Double
            let meanWeights: [Double]?
            let gradientCount: Int

            enum CodingKeys: String, CodingKey {
                case task, loss
                case rate = "lr"
                case norm = "grad_norm"
                case meanWeights = "routing_weights_mean"
                case gradientCount = "parameters_with_gradient"
            }
        }

        struct Group: Decodable {
            let weightDecay: Double
            let names: [String]

            enum CodingKeys: String, CodingKey {
                case weightDecay = "weight_decay"
                case names = "params"
            }
        }

        struct Schedule: Decodable {
            let peak: Double
            let lowest: Double
            let warmupStart: Double
            let warmupSteps: Int
            let steps: Int

            enum CodingKeys: String, CodingKey {
                case peak = "init_lr"
                case lowest = "min_lr"
                case warmupStart = "warmup_lr"
                case warmupSteps = "warmup_steps"
                case steps = "iters"
            }
        }

        let steps: [Step]
        let groups: [Group]
        let betas: [Double]
        let epsilon: Double
        let weightDecay: Double
        let schedule: Schedule
        let lossAfter: [String: Double]

        enum CodingKeys: String, CodingKey {
            case steps, betas, schedule
            case groups = "param_groups"
            case epsilon = "eps"
            case weightDecay = "weight_decay"
            case lossAfter = "loss_after_training"
        }
    }

    struct Generation: Decodable {
        struct Call: Decodable {
            struct Run: Decodable {
                struct Options: Decodable {
                    let maximumNewTokens: Int
                    let repetitionPenalty: Double?
                    let beamCount: Int?

                    enum CodingKeys: String, CodingKey {
                        case maximumNewTokens = "max_new_tokens"
                        case repetitionPenalty = "repetition_penalty"
                        case beamCount = "num_beams"
                    }
                }

                let options: Options
                let sequences: [[Int]]
                let answers: [String]
            }

            let index: Int
            let image: Bool
            let texts: [String]
            let segmentIDs: [[[Int]]]
            let runs: [String: Run]

            enum CodingKeys: String, CodingKey {
                case index, image, texts, runs
                case segmentIDs = "segment_ids"
            }
        }

        let weights: String
        let calls: [Call]
    }

    struct Tokens: Decodable {
        struct Info: Decodable {
            let hash: String

            enum CodingKeys: String, CodingKey {
                case hash = "tokenizer.model sha256"
            }
        }

        struct Row: Decodable {
            let text: String
            let ids: [Int]
            let idsWithBOS: [Int]
            let decoded: String

            enum CodingKeys: String, CodingKey {
                case text, ids
                case idsWithBOS = "ids_with_bos"
                case decoded = "decoded_skip_special"
            }
        }

        let tokenizer: Info
        let rows: [Row]
    }

    static let all = GoldenCase.named("full").compactMap { try? FullCase($0) }

    let golden: GoldenCase
    let manifest: Manifest
    let configuration: UniMedConfiguration

    var description: String { golden.name }

    init(_ golden: GoldenCase) throws {
        self.golden = golden
        manifest = try golden.decode(Manifest.self)
        let config = manifest.config
        configuration = UniMedConfiguration(
            vision: try golden.decode(VisionSizes.self).config.vision.vision,
            resampler: try config.connector.resampler(),
            connector: try config.connector.connector(),
            language: try HuggingFaceConfiguration(
                contentsOf: golden.file(config.llm.checkpoint).appending(path: "config.json")
            ).language,
            fineTuning: .lowRank(
                LowRankConfiguration(rank: config.llm.rank, alpha: config.llm.alpha, dropout: config.llm.dropout)
            )
        )
    }

    /// The model with the frozen weights of the case and the trained ones of a file.
    func model(trained: String) throws -> UniMed {
        let model = try UniMed(configuration)
        // The manifest says the file's name and what is in it.
        let name = try #require(manifest.config.vision.weights.split(separator: " ").first)
        try model.vision.load(Checkpoint.open(golden.file(String(name))))
        let extra = try golden.tensors("frozen_extra.safetensors")
        try model.visionNorm.weight.load(extra("ln_vision.weight"))
        try model.visionNorm.bias.load(extra("ln_vision.bias"))
        try model.language.load(Checkpoint.open(golden.file(manifest.config.llm.checkpoint)))
        try model.loadPublished(Checkpoint.open(golden.file(trained)))
        return model
    }

    func batches() throws -> [String: Batch] { try golden.decode([String: Batch].self, from: "batches.json") }

    /// The prompts of a task with their images, as the model takes them.
    func promptBatch(_ name: String, _ batch: Batch, _ model: UniMed, images: GoldenTensors) throws -> PromptBatch {
        let image = name + ".image"
        return try PromptBatch(
            batch.prompts(FullCase.task(name)),
            features: images.contains(image) ? model.encodeImages(images(image)) : nil,
            imageTokenCount: configuration.imageTokenCount
        )
    }

    static func task(_ identifier: String) throws -> MedicalTask {
        try #require(MedicalTask.allCases.first { $0.identifier == identifier })
    }

    /// The tokenizer of the case, where a file with its hash is under one of the roots.
    static let tokenizer: LlamaTokenizer? = {
        guard let hash = try? all.first?.golden.decode(Tokens.self, from: "tokens.json").tokenizer.hash else {
            return nil
        }
        for file in [Roots.golden, Roots.data].flatMap({ Roots.files(named: "tokenizer.model", below: $0) }) {
            guard let data = try? Data(contentsOf: file) else { continue }
            var digest = SHA256()
            data.withUnsafeBytes { digest.update($0) }
            if digest.hexDigest() == hash { return try? LlamaTokenizer(contentsOf: file) }
        }
        return nil
    }()

    /// A published prompt taken apart: `[INST] <Img><ImageHere></Img> [vqa] instruction  [/INST]`.
    static func parse(_ prompt: String) throws -> (task: MedicalTask, instruction: String, hasImage: Bool) {
        var rest = prompt[...]
        func drop(_ prefix: String) -> Bool {
            guard rest.hasPrefix(prefix) else { return false }
            rest = rest.dropFirst(prefix.count)
            return true
        }
        _ = drop("<s>")
        #expect(drop("[INST] "))
        let hasImage = drop("<Img><ImageHere></Img> ")
        let task = try #require(MedicalTask.allCases.first { drop($0.promptTag + " ") })
        let end = try #require(rest.range(of: "[/INST]", options: .backwards))
        let instruction = rest[..<end.lowerBound].reversed().drop { $0 == " " }.reversed()
        return (task, String(instruction), hasImage)
    }
}

@Suite("Parity: the whole model")
struct FullParityTests {
    static let cases = FullCase.all
    static let missing: Comment = "there is no full case under UNIMED_GOLDEN"

    // MARK: Prompts

    @Test(
        .enabled(if: !cases.isEmpty, missing),
        .enabled(if: FullCase.tokenizer != nil, "the tokenizer of the full case is under neither root"),
        arguments: cases
    )
    func `prompts, ids, image places and targets are the published code's`(item: FullCase) throws {
        let tokenizer = try #require(FullCase.tokenizer)
        let encoder = PromptEncoder(tokenizer: tokenizer, imageTokenCount: item.configuration.imageTokenCount)
        for (name, batch) in try item.batches() {
            for (row, expected) in zip(batch.rows, batch.prompts(try FullCase.task(name))) {
                let (task, instruction, hasImage) = try FullCase.parse(row.prompt)
                let prompt = try encoder.training(
                    task: task,
                    instruction: instruction,
                    answer: row.answer,
                    hasImage: hasImage
                )
                #expect(prompt == expected, "\(row.prompt)")
            }
        }
        for call in try item.golden.decode(FullCase.Generation.self, from: "generation.json").calls {
            for (text, segments) in zip(call.texts, call.segmentIDs) {
                let (task, instruction, hasImage) = try FullCase.parse(text)
                #expect(hasImage == call.image)
                let prompt = try encoder.evaluation(
                    task: task,
                    instruction: instruction,
                    hasImage: hasImage,
                    form: .published
                )
                let slots = [Int](repeating: EncodedPrompt.imageSlot, count: item.configuration.imageTokenCount)
                #expect(prompt.tokens == Array(segments.joined(separator: slots)), "\(text)")
            }
        }
        for row in try item.golden.decode(FullCase.Tokens.self, from: "tokens.json").rows {
            #expect(try tokenizer.encode(row.text) == row.ids, "\(row.text)")
            #expect(try tokenizer.encode(row.text, addBOS: true) == row.idsWithBOS, "\(row.text)")
            #expect(try tokenizer.decode(row.ids) == row.decoded, "\(row.text)")
        }
    }

    // MARK: Forward and backward

    @Test(.enabled(if: !cases.isEmpty, missing), arguments: cases)
    func `embeddings, losses, routing weights and gradients are the published model's`(item: FullCase) throws {
        let model = try item.model(trained: "init_trainable.safetensors")
        let forward = try item.golden.tensors("forward.safetensors")
        let gradients = try item.golden.tensors("gradients.safetensors")
        let images = try item.golden.tensors("images.safetensors")
        let table = PublishedCheckpoint(item.configuration)
        let comparison = Comparison(item.golden)
        let batches = try item.batches().sorted { $0.key < $1.key }
        #expect(batches.count == MedicalTask.allCases.count)
        for (name, batch) in batches {
            for (_, parameter) in model.trainableParameters() { try parameter.value.setGradient(nil) }
            let prompts = try item.promptBatch(name, batch, model, images: images)
            func note(_ what: String) -> String { "\(name).\(what)" }

            let kept = try forward(note("attention_mask")).array(of: Int.self)
            let places = try Tensor(kept.indices.filter { kept[$0] != 0 })
            let embeddings = try forward(note("inputs_embeds"))
            try comparison.close(
                withoutGradients { try model.embeddings(of: prompts).embeddings },
                embeddings.reshape(-1, embeddings.size(2)).indexSelect(0, places),
                note("inputs_embeds"),
                group: "inputs_embeds"
            )

            let output = try model.loss(prompts)
            try comparison.close(output.loss.item(), batch.loss, note("loss"), group: "loss")
            let losses = try output.tokenLosses.array(of: Float.self)
            var start = 0
            let sums = output.targetCounts.map { count -> Double in
                defer { start += count }
                return losses[start..<start + count].reduce(0) { $0 + Double($1) }
            }
            try comparison.close(
                Tensor(sums),
                forward(note("nll")).sum(1).to(.float64),
                note("nll"),
                group: "nll (sum over a row)"
            )
            try comparison.close(
                Tensor(sums.map { $0 / Double(batch.sequenceLength - 1) }),
                Tensor(batch.lossPerRow),
                note("loss_reduction_none"),
                group: "loss_reduction_none"
            )

            #expect((output.routingWeights == nil) == (batch.meanWeights == nil))
            if let weights = output.routingWeights, let means = batch.meanWeights {
                try comparison.close(
                    weights,
                    forward(note("routing_weights")),
                    note("routing_weights"),
                    group: "routing_weights"
                )
                try comparison.close(
                    weights.mean(0, 1),
                    Tensor(means),
                    note("routing_weights_mean"),
                    group: "routing_weights_mean"
                )
                let task = try #require(item.configuration.connector.tasks.firstIndex(of: FullCase.task(name)))
                let features = try #require(prompts.features)
                let tasks = [Int](repeating: task, count: features.size(0))
                try comparison.close(
                    withoutGradients { try model.alignedTokens(of: features, tasks: tasks).aligned },
                    forward(note("img_embeds")),
                    note("img_embeds"),
                    group: "img_embeds"
                )
            }

            try output.loss.backward()
            let own = try Dictionary(uniqueKeysWithValues: table.published(model.trainedGradients()))
            #expect(Set(own.keys) == Set(batch.gradients.filter { $0.value != nil }.keys))
            for (key, description) in batch.gradients.sorted(by: { $0.key < $1.key }) {
                guard let description, let gradient = own[key] else { continue }
                try comparison.close(
                    gradient.norm().item() / description.norm,
                    1,
                    note("\(key) norm"),
                    group: "gradient norm (relative)"
                )
                #expect(gradient.shape == description.shape)
                let largest = try gradient.abs().maximum().item()
                try comparison.close(
                    description.sample(of: gradient) / largest,
                    gradients(note(key)).reshape(-1) / largest,
                    note("\(key) gradient"),
                    group: "gradient (divided by the largest entry of its tensor)"
                )
            }
        }
        print(comparison.summary)
    }

    // MARK: Training

    @Test(.enabled(if: !cases.isEmpty, missing), arguments: cases)
    func `a training ends where the published one does`(item: FullCase) throws {
        let model = try item.model(trained: "init_trainable.safetensors")
        let training = try item.golden.decode(FullCase.Training.self, from: "training.json")
        let images = try item.golden.tensors("images.safetensors")
        let table = PublishedCheckpoint(item.configuration)
        let comparison = Comparison(item.golden, "\(item.golden.name) training")
        var prompts: [String: PromptBatch] = [:]
        for (name, batch) in try item.batches() {
            prompts[name] = try item.promptBatch(name, batch, model, images: images)
        }

        let trained = model.trainableParameters()
        let decaying = Set(training.groups.filter { $0.weightDecay > 0 }.flatMap(\.names))
        for (name, parameter) in trained where name != "connector.router.fc1.task_weight" {
            guard name != "connector.router.fc1.token_weight" else { continue }
            let decays = AdamW.decays(name: name, rank: parameter.value.rank)
            for (key, _) in try table.published([(name: name, tensor: parameter.value)]) {
                #expect(decaying.contains(key) == decays, "\(key)")
            }
        }
        let optimizer = try AdamW(
            trained,
            AdamWConfiguration(
                beta1: training.betas[0],
                beta2: training.betas[1],
                epsilon: training.epsilon,
                weightDecay: training.weightDecay
            )
        )
        let schedule = LearningRateSchedule(
            peak: training.schedule.peak,
            lowest: training.schedule.lowest,
            warmupStart: training.schedule.warmupStart,
            warmupSteps: training.schedule.warmupSteps,
            totalSteps: training.schedule.steps
        )
        for (number, step) in training.steps.enumerated() {
            try optimizer.clearGradients()
            let output = try model.loss(#require(prompts[step.task]))
            try output.loss.backward()
            try comparison.close(output.loss.item(), step.loss, "loss of step \(number)", group: "training loss")
            try comparison.close(
                optimizer.gradientNorm().item() / step.norm,
                1,
                "gradient norm of step \(number)",
                group: "gradient norm (relative)"
            )
            #expect(try table.published(model.trainedGradients()).count == step.gradientCount)
            if let means = step.meanWeights {
                // As far apart as the weights that they come from may be.
                try comparison.close(
                    #require(output.routingWeights).mean(0, 1),
                    Tensor(means),
                    "routing weights of step \(number)",
                    group: "final_trainable"
                )
            }
            let rate = schedule.rate(at: number)
            #expect(abs(rate - step.rate) <= 1e-12 * rate)
            try optimizer.step(learningRate: rate)
        }

        let final = try item.golden.tensors("final_trainable.safetensors")
        let weights = try model.publishedWeights()
        #expect(weights.map(\.0).sorted() == final.names)
        let usual = try item.golden.tolerance("final_trainable (99.9 % of the entries)")
        var (count, beyond) = (0, 0)
        for (name, weight) in weights {
            let expected = try final(name)
            try comparison.close(weight, expected, name, group: "final_trainable")
            let distances = try (weight.detach() - expected).abs().array(of: Float.self)
            count += distances.count
            beyond += distances.count { Double($0) > usual }
        }
        #expect(Double(beyond) <= 0.001 * Double(count))

        // The reference counts the updates of every parameter by itself.
        var counts: [(name: String, tensor: Tensor)] = []
        for (name, tensor) in optimizer.state() where name.hasSuffix(".step") {
            let parameter = try #require(trained.first { $0.name + ".step" == name })
            let step = try tensor.item()
            counts.append((parameter.name, try Tensor.full(parameter.parameter.value.shape, step)))
        }
        for (name, tensor) in try table.published(counts) {
            let expected = try #require(item.manifest.layout.steps[name])
            #expect(try tensor.isEqual(to: .full(tensor.shape, Double(expected))), "\(name)")
        }

        for (name, expected) in training.lossAfter {
            let loss = try withoutGradients { try model.loss(#require(prompts[name]), training: false).loss.item() }
            try comparison.close(loss, expected, "loss of \(name) after training", group: "loss_after_training")
        }
        print(comparison.summary)
    }

    // MARK: Checkpoints

    @Test(.enabled(if: !cases.isEmpty, missing), arguments: cases)
    func `the published checkpoint is read, and written again under the same names`(item: FullCase) throws {
        let model = try UniMed(item.configuration)
        let report = try model.loadPublished(Checkpoint.open(item.golden.file("checkpoint_0.pth"), at: ["model"]))
        #expect(report.loadedCount == model.trainableParameters().count)
        #expect(report.dropped.allSatisfy { $0.hasPrefix("llm_proj.") || $0.hasSuffix(".inv_freq") })
        let final = try item.golden.tensors("final_trainable.safetensors")
        let written = try model.publishedWeights()
        #expect(written.map(\.0).sorted() == final.names)
        for (name, tensor) in written { try expectClose(tensor, final(name), tolerance: 0, name) }
    }

    // MARK: Generation

    @Test(.enabled(if: !cases.isEmpty, missing), arguments: cases)
    func `greedy answers are the published model's`(item: FullCase) throws {
        let generation = try item.golden.decode(FullCase.Generation.self, from: "generation.json")
        let tensors = try item.golden.tensors("generation.safetensors")
        let model = try item.model(trained: generation.weights)
        let comparison = Comparison(item.golden, "\(item.golden.name) generation")
        var equal = 0
        for call in generation.calls {
            let slots = [Int](repeating: EncodedPrompt.imageSlot, count: item.configuration.imageTokenCount)
            let prompts = try zip(call.texts, call.segmentIDs).map { text, segments in
                let tokens = Array(segments.joined(separator: slots))
                return EncodedPrompt(
                    task: try FullCase.parse(text).task,
                    tokens: tokens,
                    targets: [Int](repeating: EncodedPrompt.noTarget, count: tokens.count)
                )
            }
            let batch = try PromptBatch(
                prompts,
                features: call.image ? model.encodeImages(tensors("gen\(call.index).image")) : nil,
                imageTokenCount: item.configuration.imageTokenCount
            )
            let kept = try tensors("gen\(call.index).attention_mask").array(of: Int.self)
            let embeddings = try tensors("gen\(call.index).inputs_embeds")
            try comparison.close(
                withoutGradients { try model.embeddings(of: batch).embeddings },
                embeddings.reshape(-1, embeddings.size(2))
                    .indexSelect(0, Tensor(kept.indices.filter { kept[$0] != 0 })),
                "gen\(call.index).inputs_embeds",
                group: "generation inputs_embeds"
            )
            for run in call.runs.values {
                guard run.options.repetitionPenalty == nil, run.options.beamCount == nil else {
                    // Penalties and beams: GenerationParityTests.
                    continue
                }
                let ids = try model.generate(
                    batch,
                    maximumNewTokens: run.options.maximumNewTokens,
                    endOfSequence: 2
                )
                #expect(ids == run.sequences.map { Array($0.dropFirst().prefix { $0 != 2 }) })
                equal += 1
                if let tokenizer = FullCase.tokenizer {
                    let answers = try ids.map {
                        try tokenizer.decode($0).trimmingCharacters(in: .whitespacesAndNewlines)
                    }
                    #expect(answers == run.answers)
                }
            }
        }
        #expect(equal > 0)
        print(comparison.summary)
        print("parity \(item.golden.name): \(equal) greedy runs equal")
    }
}

extension FullCase.Batch.Gradient {
    /// The entries of a gradient that are stored: all, or every n-th up to a number, `flattened[::12][:256]`.
    func sample(of gradient: Tensor) throws -> Tensor {
        let flat = try gradient.reshape(-1)
        guard !full else { return flat }
        let numbers = try #require(stored).split { !$0.isNumber }.compactMap { Int($0) }
        try #require(numbers.count == 2)
        let positions = stride(from: 0, to: flat.count, by: numbers[0]).prefix(numbers[1])
        return try flat.indexSelect(0, Tensor(Array(positions)))
    }
}

extension UniMed {
    /// The gradients collected so far, by our names.
    func trainedGradients() -> [(name: String, tensor: Tensor)] {
        trainableParameters().compactMap { name, parameter in
            parameter.value.gradient.map { (name: name, tensor: $0) }
        }
    }
}
