import Foundation
import Testing
import Torch
import TorchNN
import UniMedModel
import UniMedTesting
import UniMedTokenizers

/// `expected.json` of the small pretrained model.
private struct StoriesExpectation: Decodable {
    struct Prompt: Decodable {
        let prompt: String
        let promptIDs: [Int]
        let newIDs: [Int]
        let text: String
        let meanLoss: Double
        let logits: [Double]

        enum CodingKeys: String, CodingKey {
            case prompt, text
            case promptIDs = "prompt_ids"
            case newIDs = "new_ids"
            case meanLoss = "mean_nll_prompt_plus_new"
            case logits = "last_prompt_position_logits"
        }
    }

    let prompts: [Prompt]
}

@Suite("Parity RealData: a pretrained Llama")
struct StoriesRealDataTests {
    static let folder = Roots.data.appending(path: "stories260k")

    private func expectation() throws -> StoriesExpectation {
        try JSONDecoder().decode(
            StoriesExpectation.self,
            from: Data(contentsOf: Self.folder.appending(path: "expected.json"))
        )
    }

    @Test(.enabled(if: Roots.exists(folder), "there is no stories260k under UNIMED_DATA"))
    func `it tells the expected stories, all in one batch`() throws {
        let model = try Llama.load(folder: Self.folder.appending(path: "hf"))
        let prompts = try expectation().prompts
        #expect(!prompts.isEmpty)
        let layout = try SequenceLayout(lengths: prompts.map(\.promptIDs.count))
        let ids = try model.generate(
            from: model.embedding(Tensor(prompts.flatMap(\.promptIDs))),
            layout: layout,
            maximumNewTokens: prompts.map(\.newIDs.count).max() ?? 0,
            endOfSequence: []
        )
        let tokenizer = try LlamaTokenizer(
            contentsOf: Self.folder.appending(path: "hf/tokenizer.model"),
            padPiece: nil
        )
        for (prompt, ids) in zip(prompts, ids) {
            #expect(Array(ids.prefix(prompt.newIDs.count)) == prompt.newIDs)
            #expect(try tokenizer.encode(prompt.prompt, addBOS: true) == prompt.promptIDs)
            #expect(try tokenizer.decode(prompt.promptIDs + prompt.newIDs) == prompt.text)
        }
    }

    @Test(.enabled(if: Roots.exists(folder), "there is no stories260k under UNIMED_DATA"))
    func `its logits and losses are the expected ones`() throws {
        let model = try Llama.load(folder: Self.folder.appending(path: "hf"))
        for prompt in try expectation().prompts {
            let tokens = prompt.promptIDs + prompt.newIDs
            let layout = try SequenceLayout(lengths: [tokens.count])
            try withoutGradients {
                let hidden = try model.hiddenStates(of: model.embedding(Tensor(tokens)), layout: layout)
                let logits = try model.logits(hidden)
                // Stored with 5 decimals, and computed in another order of summation.
                try expectClose(
                    logits.select(0, prompt.promptIDs.count - 1),
                    Tensor(prompt.logits),
                    tolerance: 1e-4,
                    "logits after '\(prompt.prompt)'"
                )
                let losses = try logits.narrow(0, start: 0, length: tokens.count - 1)
                    .crossEntropy(Tensor(Array(tokens.dropFirst())))
                // Stored with 6 decimals.
                #expect(abs(try losses.item() - prompt.meanLoss) <= 1e-5)
            }
        }
    }
}
