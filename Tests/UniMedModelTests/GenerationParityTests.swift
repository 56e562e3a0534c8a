import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedModel
import UniMedTesting

/// A record of `generation.json` of a language model, every option included.
private struct SearchRecord: Decodable {
    let newTokens: [[Int]]
    let isFromIDs: Bool
    let options: GenerationOptions
    let endOfSequence: Set<Int>
    let scores: [Double]?

    private enum CodingKeys: String, CodingKey {
        case newTokens = "new_tokens"
        case input
        case maximumNewTokens = "max_new_tokens"
        case endOfSequence = "eos_token_id"
        case repetitionPenalty = "repetition_penalty"
        case beamCount = "num_beams"
        case lengthPenalty = "length_penalty"
        case earlyStopping = "early_stopping"
        case scores = "sequences_scores"
    }

    /// Options that are covered, and what describes the results: an option beyond these must not be passed over.
    static let known: Set<String> = [
        "sequences", "new_tokens", "top5_per_step", "min_top1_top2_gap", "input", "max_new_tokens", "eos_token_id",
        "pad_token_id", "repetition_penalty", "num_beams", "length_penalty", "early_stopping", "sequences_scores",
    ]

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        newTokens = try container.decode([[Int]].self, forKey: .newTokens)
        isFromIDs = try container.decode(String.self, forKey: .input) == "ids"
        endOfSequence = Set(try container.decodeIfPresent([Int].self, forKey: .endOfSequence) ?? [])
        scores = try container.decodeIfPresent([Double].self, forKey: .scores)
        var options = GenerationOptions(
            maximumNewTokens: try container.decode(Int.self, forKey: .maximumNewTokens),
            beamCount: try container.decodeIfPresent(Int.self, forKey: .beamCount) ?? 1,
            lengthPenalty: try container.decodeIfPresent(Double.self, forKey: .lengthPenalty) ?? 1,
            repetitionPenalty: try container.decodeIfPresent(Double.self, forKey: .repetitionPenalty) ?? 1
        )
        if container.contains(.earlyStopping) {
            if let flag = try? container.decode(Bool.self, forKey: .earlyStopping) {
                options.earlyStopping = flag ? .always : .heuristic
            } else {
                options.earlyStopping = try container.decode(
                    GenerationOptions.EarlyStopping.self,
                    forKey: .earlyStopping
                )
            }
        }
        self.options = options
    }

    /// The new tokens up to the one that ends a row.
    var expected: [[Int]] { newTokens.map { row in Array(row.prefix { !endOfSequence.contains($0) }) } }
}

@Suite("Parity: generation")
struct GenerationParityTests {
    static let cases = GoldenCase.named("llama/")
    static let fullCases = FullCase.all

    private struct Manifest: Decodable {
        let computedBy: String

        enum CodingKeys: String, CodingKey {
            case computedBy = "computed_by"
        }

        /// Whose way of counting the numbers follow.
        var convention: GenerationOptions.Convention {
            computedBy.contains("transformers 4.30") ? .transformers430 : .transformers451
        }
    }

    @Test(.enabled(if: !cases.isEmpty, "there is no llama case under UNIMED_GOLDEN"), arguments: cases)
    func `every search continues left-padded prompts as transformers does`(golden: GoldenCase) throws {
        let model = try Llama.load(folder: golden.file("checkpoint"))
        let expected = try golden.tensors("golden.safetensors")
        let runs = try golden.decode([String: SearchRecord].self, from: "generation.json")
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: golden.file("generation.json")))
        for (name, record) in try #require(json as? [String: [String: Any]]) {
            #expect(Set(record.keys).subtracting(SearchRecord.known).isEmpty, "\(golden.name) \(name)")
        }
        let convention = try golden.decode(Manifest.self).convention
        #expect(!runs.isEmpty)
        for (name, run) in runs.sorted(by: { $0.key < $1.key }) {
            let mask = try expected("gen.attention_mask")
            let prompts =
                run.isFromIDs
                ? try GenerationPrompts(inputIDs: expected("gen.input_ids"), attentionMask: mask, for: model)
                : try GenerationPrompts(inputEmbeddings: expected("gen.inputs_embeds"), attentionMask: mask)
            var options = run.options
            options.convention = convention
            let answers = try model.generate(prompts, options: options, endOfSequence: run.endOfSequence)
            #expect(answers.map(\.tokens) == run.expected, "\(golden.name) \(name)")
            for (answer, row) in zip(answers, run.newTokens) {
                let isEnded = row.contains { run.endOfSequence.contains($0) }
                #expect(answer.finish == (isEnded ? .endOfSequence : .length), "\(golden.name) \(name)")
            }
            #expect(answers.allSatisfy { ($0.score == nil) == (run.scores == nil) })
            for (answer, score) in zip(answers, run.scores ?? []) {
                // Scores are recorded with six decimals; sums of float32 log probabilities differ by a few units of them.
                #expect(abs((answer.score ?? .nan) - score) <= 2e-5, "\(golden.name) \(name)")
            }
        }
        print("parity \(golden.name): \(runs.count) searches equal")
    }

    @Test(
        .enabled(if: !fullCases.isEmpty, "there is no full case under UNIMED_GOLDEN"),
        arguments: fullCases
    )
    func `every search answers as the published model`(item: FullCase) throws {
        let generation = try item.golden.decode(FullCase.Generation.self, from: "generation.json")
        let tensors = try item.golden.tensors("generation.safetensors")
        let model = try item.model(trained: generation.weights)
        var searches = 0
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
            let padded = try GenerationPrompts(
                inputEmbeddings: tensors("gen\(call.index).inputs_embeds"),
                attentionMask: tensors("gen\(call.index).attention_mask"),
                context: [[Int]](repeating: [1], count: prompts.count)
            )
            for (name, run) in call.runs {
                let options = GenerationOptions(
                    maximumNewTokens: run.options.maximumNewTokens,
                    beamCount: run.options.beamCount ?? 1,
                    repetitionPenalty: run.options.repetitionPenalty ?? 1
                )
                let expected = run.sequences.map { Array($0.dropFirst().prefix { $0 != 2 }) }
                for prompts in [try model.prompts(batch, bosID: 1), padded] {
                    let answers = try model.language.generate(prompts, options: options, endOfSequence: [2])
                    #expect(answers.map(\.tokens) == expected, "\(item) call \(call.index) \(name)")
                }
                searches += 1
            }
        }
        #expect(searches > 0)
        print("parity \(item.golden.name): \(searches) searches equal")
    }
}
