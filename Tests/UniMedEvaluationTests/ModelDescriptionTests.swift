import Foundation
import Testing
import Torch
import TorchNN
import UniMedEvaluation
import UniMedModel

@Suite("Model description")
struct ModelDescriptionTests {
    @Test func `the paper's sizes have the published numbers of weights`() throws {
        let description = try ModelDescription(UniMedConfiguration(), precision: .bfloat16)
        let parts = Dictionary(uniqueKeysWithValues: description.parts.map { ($0.name, $0) })
        // The router's layers, 11264 -> 45056 -> 5, with biases.
        #expect(parts["connector router"]?.trained == 11264 * 45056 + 45056 + 45056 * 5 + 5)
        #expect(parts["connector experts"]?.trained == 5 * (5632 * 4096 + 4096 + 4096 * 4096 + 4096))
        #expect(parts["task tokens"]?.trained == 5 * 5632)
        #expect(parts["language model"]?.frozen == 6_738_415_616)
        #expect(parts["language model LoRA"]?.trained == 19_988_480)
        #expect(parts["vision encoder"]?.trained == 0)
        #expect(description.imageTokens == 64)
        #expect(description.featureBytesPerImage == 256 * 1408 * 2)
        #expect(description.cacheBytesPerToken == 2 * 32 * 4096 * 2)
        #expect(description.memory.optimizerState == 2 * description.memory.gradients)
        #expect(description.memory.frozenWeights == 2 * 6_738_415_616)
        #expect(description.parameterCount == description.trainedCount + 6_738_415_616 + 985_894_528 + 2 * 1408)
    }

    @Test(
        arguments: [
            (LanguageFamily.llama2, 6_738_415_616), (.llama3, 8_030_261_248), (.qwen2, 7_615_616_512),
            (.mistral, 7_241_732_096),
        ] as [(LanguageFamily, Int)]
    )
    func `a language model has its published number of weights`(family: LanguageFamily, count: Int) throws {
        let configuration = UniMedConfiguration(language: family.published, fineTuning: .frozen)
        let description = try ModelDescription(configuration, precision: .bfloat16)
        let language = try #require(description.parts.first { $0.name == "language model" })
        #expect(language.frozen == count && language.trained == 0)
        let heads = family.published.keyValueHeadCount
        #expect(description.cacheBytesPerToken == 2 * 2 * family.published.layerCount * heads * 128)
    }

    @Test(
        arguments: [
            // Class token, positions, patches, blocks; CLIP has 23 of 24 blocks and no last norm, and both have no head.
            (
                VisionFamily.clip,
                1024 + 257 * 1024 + 1024 * 588 + 2 * 1024 + 23 * (12 * 1024 * 1024 + 13 * 1024), 256
            ),
            (
                .biomedCLIP, 768 + 197 * 768 + 768 * 768 + 768 + 12 * (12 * 768 * 768 + 13 * 768) + 2 * 768, 196
            ),
        ] as [(VisionFamily, Int, Int)]
    )
    func `a vision transformer has its published number of weights`(family: VisionFamily, count: Int, patches: Int)
        throws
    {
        let configuration = UniMedConfiguration(vision: family.published)
        let description = try ModelDescription(configuration)
        let vision = try #require(description.parts.first { $0.name == "vision encoder" })
        // `ln_vision` is counted with it.
        #expect(vision.frozen == count + 2 * family.published.hiddenSize && vision.trained == 0)
        #expect(description.imageTokens == patches / 4)
        #expect(description.featureBytesPerImage == patches * family.published.hiddenSize * 2)
    }

    @Test func `a sliding window saves scores of the layers that have it`() throws {
        func forward(_ window: SlidingWindow?) throws -> Double {
            var configuration = Tiny.configuration
            configuration.language.layerCount = 2
            configuration.language.slidingWindow = window
            let description = try ModelDescription(configuration, sample: .init(textTokens: 1000))
            return try #require(description.operations.last?.forward)
        }
        let (full, half, all) = (
            try forward(nil), try forward(.init(size: 8, firstLayer: 1)), try forward(.init(size: 8))
        )
        #expect(full > half && half > all)
        #expect(try forward(.init(size: 100_000)) == full)
    }

    @Test func `the paper's step costs what its sizes say`() throws {
        let description = try ModelDescription(UniMedConfiguration(), precision: .bfloat16)
        let operations = Dictionary(uniqueKeysWithValues: description.operations.map { ($0.name, $0) })
        let language = try #require(operations["language model"])
        // The 520 tokens of a batch of 4 through 32 blocks of frozen weights, forward and once backward; but what comes after
        // the last block's attention takes only the 64 of the answers. What comes on top: scores, adapters, logits.
        let (attention, rest) = (3.0 * 4096 * 4096, 4096.0 * 4096 + 3 * 4096 * 11008)
        let products = 4 * (32 * 520 * attention + (31 * 520 + 64) * rest) / 1e12
        let total = 4 * (language.forward + language.backward) / 1e12
        #expect(products > 13 && total > products && total < products + 0.25)
        let vision = try #require(operations["vision encoder"])
        #expect(abs(4 * vision.forward / 1e12 - 2) < 0.3)
        #expect(vision.backward == 0)
        let connector = try ["connector router", "connector experts"].map { try #require(operations[$0]) }
        #expect(abs(4 * connector.reduce(0) { $0 + $1.forward + $1.backward } / 1e12 - 0.8) < 0.3)
    }

    @Test func `what is trained follows from the way of fine-tuning`() throws {
        var configuration = Tiny.configuration
        let full = try ModelDescription(configuration)
        configuration.fineTuning = .frozen
        let frozen = try ModelDescription(configuration)
        configuration.fineTuning = .lowRank(.init(rank: 2))
        let adapted = try ModelDescription(configuration)
        #expect(full.trainedCount > adapted.trainedCount && adapted.trainedCount > frozen.trainedCount)
        #expect(full.parameterCount == frozen.parameterCount)
        let backward = { (description: ModelDescription) in description.operations.last?.backward ?? 0 }
        #expect(backward(full) > backward(adapted) && backward(adapted) > backward(frozen))
        let model = try UniMed(configuration)
        #expect(adapted.trainedCount == model.parameterCount(trainableOnly: true))
        #expect(adapted.parameterCount == model.parameterCount())
    }

    @Test func `a connector costs what its router makes it do`() throws {
        func operations(_ connector: ConnectorConfiguration) throws -> [String: Double] {
            var configuration = UniMedConfiguration()
            configuration.connector = connector
            let description = try ModelDescription(configuration)
            let parts = Set(description.parts.map(\.name))
            let operations = description.operations.filter { $0.name.hasPrefix("connector") }
            #expect(operations.allSatisfy { parts.contains($0.name) })
            return Dictionary(uniqueKeysWithValues: operations.map { ($0.name, $0.forward) })
        }
        let one = 2.0 * 64 * (5632 * 4096 + 4096 * 4096)
        #expect(try operations(.linear) == ["connector projector": 2.0 * 64 * 5632 * 4096])
        #expect(try operations(.mlp(layerCount: 2)) == ["connector projector": one])
        #expect(try operations(ConnectorConfiguration(router: .hard(by: .task))) == ["connector experts": one])
        #expect(try operations(ConnectorConfiguration(router: .constant)) == ["connector experts": 5 * one])
        let sparse = try operations(ConnectorConfiguration(expertCount: 16, router: .sparse(topK: 2)))
        let soft = try operations(ConnectorConfiguration(expertCount: 16))
        #expect(sparse["connector experts"] == 2 * one && soft["connector experts"] == 16 * one)
        #expect(sparse["connector router"] == soft["connector router"])
    }

    @Test func `targets and experts are counted`() throws {
        func describe(_ fineTuning: FineTuning) throws -> ModelDescription {
            var configuration = UniMedConfiguration()
            configuration.fineTuning = fineTuning
            return try ModelDescription(configuration)
        }
        func adapters(_ description: ModelDescription) -> Int {
            description.parts.first { $0.name == "language model LoRA" }?.trained ?? 0
        }
        let all = try describe(.lowRank(.init()))
        let some = try describe(.lowRank(.init(targets: ["q_proj", "v_proj"])))
        #expect(adapters(some) == 32 * 2 * 8 * (4096 + 4096))
        let experts = try describe(.lowRankExperts(.init()))
        // Five experts of half the rank, and a linear router with biases beside each of the seven layers.
        #expect(adapters(experts) == adapters(all) * 5 / 2 + 32 * 5 * (6 * 4096 + 11_008 + 7))
        let forward = { (description: ModelDescription) in description.operations.last?.forward ?? 0 }
        #expect(forward(some) < forward(all) && forward(all) < forward(experts))
    }

    @Test func `longer samples and larger batches need more`() throws {
        let small = try ModelDescription(Tiny.configuration)
        let longer = try ModelDescription(Tiny.configuration, sample: .init(textTokens: 200, answerTokens: 16))
        let larger = try ModelDescription(Tiny.configuration, sample: .init(batchSize: 8))
        #expect(longer.memory.activations > small.memory.activations)
        #expect(larger.memory.activations == 2 * small.memory.activations)
        #expect((longer.operations.last?.forward ?? 0) > (small.operations.last?.forward ?? 0))
        #expect(larger.operations == small.operations)
    }

    @Test func `the vision encoder has the published number of weights`() throws {
        let description = try ModelDescription(UniMedConfiguration())
        let vision = try #require(description.parts.first { $0.name == "vision encoder" })
        let (d, inner) = (1408, 6144)
        // Attention without a bias of keys, MLP and two norms; 39 blocks; patches, class token and positions; `ln_vision`.
        let block = 4 * d * d + 3 * d + 2 * d * inner + inner + d + 4 * d
        #expect(vision.frozen == 39 * block + (588 * d + d) + d + 257 * d + 2 * d)
        #expect(vision.frozen == 985_894_528 + 2 * d)
    }

    @Test func `modules are counted with the blocks together, and add up`() throws {
        let description = try ModelDescription(UniMedConfiguration())
        let modules = Dictionary(uniqueKeysWithValues: description.modules.map { ($0.name, $0) })
        #expect(modules["llm.model.embed_tokens"]?.frozen == 32_000 * 4096)
        #expect(modules["llm.model.layers.*.self_attn.q_proj"]?.frozen == 32 * 4096 * 4096)
        #expect(modules["llm.model.layers.*.mlp.down_proj.lora_A"]?.trained == 32 * 8 * 11_008)
        #expect(modules["connector.experts.first"]?.trained == 5 * (5632 * 4096 + 4096))
        #expect(modules["connector.task_tokens"]?.trained == 5 * 5632)
        #expect(description.modules.reduce(0) { $0 + $1.parameters } == description.parameterCount)
        #expect(description.modules.reduce(0) { $0 + $1.trained } == description.trainedCount)
        #expect(description.parts.reduce(0) { $0 + $1.parameters } == description.parameterCount)
    }

    @Test func `the least time of the paper's step on an H100 is about 30 ms`() throws {
        let description = try ModelDescription(
            UniMedConfiguration(),
            precision: .bfloat16,
            training: .init(frozenType: .bfloat16, isAccelerated: true)
        )
        let rates = try DeviceRates(parsing: "h100")
        #expect(rates == DeviceRates(name: "h100", operationsPerSecond: 798e12, bytesPerSecond: 3e12))
        let floor = description.floor(on: rates)
        let parts = Dictionary(uniqueKeysWithValues: floor.parts.map { ($0.name, $0) })
        #expect(abs((parts["language model"]?.seconds ?? 0) - 0.018) < 0.0015)
        #expect(abs((parts["optimizer"]?.seconds ?? 0) - 0.0068) < 0.0003)
        #expect((parts["connector"]?.operationSeconds ?? 0) < 0.0015)
        #expect(parts["vision encoder"] == nil)
        #expect((0.025...0.031).contains(floor.seconds))
        #expect(abs(floor.samplesPerSecond - 4 / floor.seconds) < 1e-9)
        // One sample is too few for the products to hide the weights' way.
        let single = try ModelDescription(
            UniMedConfiguration(),
            precision: .bfloat16,
            sample: .init(batchSize: 1),
            training: .init(frozenType: .bfloat16)
        ).floor(on: rates)
        let language = try #require(single.parts.first { $0.name == "language model" })
        #expect(language.transferSeconds > language.operationSeconds)
    }

    @Test func `optimizer state, frozen type, checkpointing and accumulation change what they say`() throws {
        func describe(_ training: ModelDescription.TrainingSettings) throws -> ModelDescription {
            try ModelDescription(UniMedConfiguration(), precision: .bfloat16, training: training)
        }
        let standard = try describe(.init())
        let trained = standard.trainedCount
        #expect(standard.memory.optimizerState == 8 * trained)
        #expect(standard.storage.checkpoint == 12 * trained)
        #expect(standard.memory.visionWeights == 2 * (985_894_528 + 2 * 1408))

        let narrow = try describe(.init(stateType: .bfloat16))
        #expect(narrow.memory.optimizerState == 4 * trained && narrow.storage.checkpoint == 8 * trained)
        let bytes = { (description: ModelDescription) in description.stepWork.last?.bytes }
        #expect(bytes(standard) == 28 * Double(trained) && bytes(narrow) == 20 * Double(trained))

        let wide = try describe(.init(frozenType: .float32))
        #expect(wide.memory.frozenWeights == 2 * standard.memory.frozenWeights)
        #expect(wide.storage.model - standard.storage.model == standard.memory.frozenWeights)

        let checkpointed = try describe(.init(gradientCheckpointing: true))
        #expect(checkpointed.memory.activations < standard.memory.activations / 4)
        #expect(checkpointed.memory.weightCopies < standard.memory.weightCopies)
        // An accelerator casts the trained weights and joins none.
        #expect(try describe(.init(isAccelerated: true)).memory.weightCopies == 2 * trained)
        let (again, once) = (try #require(checkpointed.operations.last), try #require(standard.operations.last))
        #expect(again.forward == once.forward)
        // The blocks once more, without the vocabulary's head of the 16 predicted tokens.
        let head = 2.0 * 16 * 4096 * 32_000
        #expect(abs(again.backward - once.backward - (once.forward - head)) < 1)

        let accumulated = try describe(.init(accumulation: 4))
        #expect(accumulated.memory == standard.memory && accumulated.operations == standard.operations)
        #expect(accumulated.stepWork[0].operations == 4 * standard.stepWork[0].operations)
        #expect(accumulated.stepWork.last == standard.stepWork.last)

        let encoding = try describe(.init(keepsFeatures: false))
        #expect(encoding.stepWork.first?.name == "vision encoder")
        #expect(encoding.stepWork.first?.operations == 4 * encoding.operations[0].forward)
        #expect(Array(encoding.stepWork.dropFirst()) == standard.stepWork)
    }

    @Test func `an accelerator sorts the tokens of a sparse router only where that saves most products`() throws {
        func experts(_ count: Int, isAccelerated: Bool) throws -> Double? {
            var configuration = UniMedConfiguration()
            configuration.connector = ConnectorConfiguration(expertCount: count, router: .sparse(topK: 2))
            let description = try ModelDescription(configuration, training: .init(isAccelerated: isAccelerated))
            return description.operations.first { $0.name == "connector experts" }?.forward
        }
        let one = 2.0 * 64 * (5632 * 4096 + 4096 * 4096)
        #expect(try experts(5, isAccelerated: false) == 2 * one)
        #expect(try experts(5, isAccelerated: true) == 5 * one)
        #expect(try experts(16, isAccelerated: true) == 2 * one)
    }

    @Test func `a description is one document`() throws {
        let description = try ModelDescription(Tiny.configuration)
        let data = try JSONEncoder().encode(description)
        #expect(try JSONDecoder().decode(ModelDescription.self, from: data) == description)
        let json = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(json["parameterCount"] as? Int == description.parameterCount)
        let part = try #require((json["parts"] as? [[String: Any]])?.first)
        let parameters = try #require(description.parts.first?.parameters)
        #expect(part["parameters"] as? Int == parameters)
        let expected = ["float32": 4 * parameters, "bfloat16": 2 * parameters, "float16": 2 * parameters]
        #expect(part["bytes"] as? [String: Int] == expected)
    }
}

@Suite("Device rates")
struct DeviceRatesTests {
    @Test func `rates are read as numbers or by name`() throws {
        let rates = try DeviceRates(parsing: "bandwidth=2e11,flops=1.5e12")
        #expect(rates.operationsPerSecond == 1.5e12 && rates.bytesPerSecond == 2e11)
        #expect(try DeviceRates(parsing: "h100") == DeviceRates.known[0])
    }

    @Test(
        arguments: [
            "", "h200000", "flops=1e12", "flops=1e12,bandwidth=0", "flops=1e12,bandwidth=2,flops=3", "flops,bandwidth",
            "flops=1e12,bandwidth=1e11,price=3", "flops=inf,bandwidth=1", "flops=1e12;bandwidth=1e11",
        ]
    )
    func `anything else is refused with what is expected`(text: String) throws {
        let error = #expect(throws: EvaluationError.self) { try DeviceRates(parsing: text) }
        #expect(error?.description.contains("flops=798e12,bandwidth=3.0e12") == true)
        #expect(error?.description.hasSuffix("got '\(text)'") == true)
    }

    @Test func `a machine's own rates can be measured`() throws {
        let rates = try DeviceRates.measure(.cpu, dtype: .float32, duration: .milliseconds(50))
        // Any machine that runs this does a GFLOP/s and a GB/s, and none does a PFLOP/s or 100 TB/s.
        #expect((1e9...1e15).contains(rates.operationsPerSecond))
        #expect((1e9...1e14).contains(rates.bytesPerSecond))
        #expect(rates.name.hasPrefix("cpu"))
    }
}
