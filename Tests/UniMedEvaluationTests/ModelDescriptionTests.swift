import Testing
import Torch
import TorchNN
import UniMedEvaluation
import TorchNN
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
    }

    @Test func `the paper's step costs what its sizes say`() throws {
        let description = try ModelDescription(UniMedConfiguration(), precision: .bfloat16)
        let operations = Dictionary(uniqueKeysWithValues: description.operations.map { ($0.name, $0) })
        let language = try #require(operations["language model"])
        // A batch of 4 with 520 tokens: 14 TFLOP of products forward and backward.
        #expect(abs(4 * (language.forward + language.backward) / 1e12 - 14) < 0.5)
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
}
