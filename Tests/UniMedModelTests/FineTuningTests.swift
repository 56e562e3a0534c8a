import Testing
import Torch
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting

@Suite("Fine-tuning")
struct FineTuningTests {
    static let methods: [FineTuning] = [
        .full, .lowRank(LowRankConfiguration(rank: 2, dropout: 0.3)),
        .lowRank(LowRankConfiguration(rank: 3, dropout: 0, targets: ["q_proj", "down_proj"])),
        .lowRankExperts(LowRankExpertsConfiguration(rank: 2, dropout: 0.3, expertCount: 3)),
        .lowRankExperts(
            LowRankExpertsConfiguration(expertCount: 2, router: .soft(.softmax, network: .mlp(hiddenSize: 5)))
        ),
        .frozen,
    ]

    private func prompts() throws -> [EncodedPrompt] {
        let encoder = PromptEncoder(tokenizer: ByteTokenizer(), imageTokenCount: 4)
        return try [
            encoder.training(
                task: .imageClassification,
                instruction: "What is it?",
                answer: "a square",
                hasImage: true
            ),
            encoder.training(task: .questionAnswering, instruction: "Is it?", answer: "no", hasImage: false),
            encoder.training(
                task: .visualQuestionAnswering,
                instruction: "How many are there?",
                answer: "three of them, all red",
                hasImage: true
            ),
            encoder.training(task: .questionAnswering, instruction: "Why?", answer: "because", hasImage: false),
        ]
    }

    private func batch(_ prompts: [EncodedPrompt], images: Range<Int>) throws -> PromptBatch {
        try PromptBatch(
            prompts,
            features: images.isEmpty
                ? nil : TinyModel.features(count: 2).narrow(0, start: images.lowerBound, length: images.count),
            imageTokenCount: 4
        )
    }

    private func gradients(_ model: UniMed) throws -> [(name: String, gradient: Tensor?)] {
        try model.trainableParameters().map { name, parameter in
            let gradient = parameter.value.gradient
            try parameter.value.setGradient(nil)
            return (name, gradient)
        }
    }

    @Test(arguments: methods)
    func `checkpointed blocks give the same loss and gradients, bit for bit`(method: FineTuning) throws {
        let model = try TinyModel.make(TinyModel.configuration(fineTuning: method))
        model.dropout = DropoutRates(language: 0.2, visualTokens: 0.2)
        let batch = try batch(prompts(), images: 0..<2)
        var losses: [Tensor] = []
        var all: [[(name: String, gradient: Tensor?)]] = []
        for isCheckpointed in [false, true] {
            model.language.checkpointsBlocks = isCheckpointed
            try Runtime.seed(3)
            let loss = try model.loss(batch).loss
            losses.append(try loss.detach())
            try loss.backward()
            all.append(try gradients(model))
        }
        #expect(try losses[0].isEqual(to: losses[1]))
        #expect(!all[0].isEmpty)
        for (plain, again) in zip(all[0], all[1]) {
            #expect((plain.gradient == nil) == (again.gradient == nil), "\(plain.name)")
            if let expected = plain.gradient, let own = again.gradient {
                #expect(try own.isEqual(to: expected), "\(plain.name)")
            }
        }
    }

    @Test func `adapters without any gradient before them are trained through checkpointed blocks`() throws {
        let model = try TinyModel.make(
            TinyModel.configuration(fineTuning: .lowRank(LowRankConfiguration(rank: 2, dropout: 0)))
        )
        model.language.checkpointsBlocks = true
        // Questions alone: embeddings are frozen and there is no image, so no block's input needs a gradient.
        let questions = try prompts().filter { !$0.hasImage }
        try model.loss(batch(questions, images: 0..<0)).loss.backward()
        for (name, gradient) in try gradients(model) {
            #expect((gradient != nil) == name.hasPrefix("llm."), "\(name)")
        }
    }

    @Test(arguments: methods)
    func `what is trained is what the method says`(method: FineTuning) throws {
        let model = try TinyModel.make(TinyModel.configuration(fineTuning: method))
        let trained = model.trainableParameters().map(\.name).filter { $0.hasPrefix("llm.") }
        let language = model.language.namedParameters().map { "llm." + $0.name }
        switch method {
        case .full: #expect(trained == language)
        case .frozen: #expect(trained.isEmpty)
        case .lowRank(let configuration):
            #expect(trained.allSatisfy(LowRankAdapter.owns))
            #expect(trained.count == 2 * 2 * (configuration.targets?.count ?? 7))
            if let targets = configuration.targets {
                #expect(trained.allSatisfy { name in targets.contains { name.contains("." + $0 + ".lora_") } })
            }
        case .lowRankExperts(let configuration):
            #expect(trained.allSatisfy(LowRankAdapter.owns))
            let routerCount = if case .mlp = configuration.router.network { 4 } else { 2 }
            #expect(trained.count == 2 * 7 * (2 + routerCount))
        }
        #expect(!trained.contains { $0.contains("lm_head") && LowRankAdapter.owns($0) })
    }

    @Test func `a layer that is not there is told with those that are`() throws {
        let model = try Llama(TinyModel.configuration().language)
        let error = try #require(throws: TorchError.self) {
            try model.attachAdapters(LowRankConfiguration(targets: ["q_proj", "fc1", "lm_head"]))
        }
        #expect(error.message.contains("no linear layer is named fc1, lm_head; there are down_proj, gate_proj"))
        // Nothing is half done.
        #expect(model.trainableParameters().count == model.namedParameters().count)
    }

    @Test func `merged adapters answer as before and come out again`() throws {
        let model = try TinyModel.make(TinyModel.configuration(fineTuning: .lowRank(LowRankConfiguration(rank: 2))))
        let batch = try batch(prompts(), images: 0..<2)
        func loss() throws -> Double { try withoutGradients { try model.loss(batch, training: false).loss.item() } }
        let before = try loss()
        try model.language.mergeAdapters()
        #expect(!model.language.namedParameters().contains { LowRankAdapter.owns($0.name) })
        #expect(abs(try loss() - before) < 1e-4)
        #expect(throws: TorchError.self) { try model.loss(batch) }
        try model.language.unmergeAdapters()
        #expect(try loss() == before)
        let routed = try TinyModel.make(
            TinyModel.configuration(fineTuning: .lowRankExperts(LowRankExpertsConfiguration()))
        )
        #expect(throws: TorchError.self) { try routed.language.mergeAdapters() }
        #expect(throws: TorchError.self) { try routed.language.mergedWeights() }
    }

    @Test func `frozen weights can be made narrow while adapters and connector stay in float32`() throws {
        for method in Self.methods {
            let model = try UniMed(TinyModel.configuration(fineTuning: method), frozenType: .bfloat16)
            for (name, parameter) in model.namedParameters() {
                let isNarrow = name.hasPrefix("llm.") && !parameter.isTrainable
                #expect(parameter.value.dtype == (isNarrow ? .bfloat16 : .float32), "\(name)")
            }
            // Products are in the type of the activations, whatever the weights are kept in.
            let output = try model.loss(batch(prompts(), images: 0..<2))
            #expect(output.loss.dtype == .float32)
            try output.loss.backward()
        }
    }
}
