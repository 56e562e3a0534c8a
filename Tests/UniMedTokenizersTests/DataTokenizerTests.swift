import Foundation
import Testing
import UniMedTokenizers

/// Tokenizers of the development data.
@Suite("Tokenizers of the data root")
struct DataTokenizerTests {
    static let llama = Roots.data.appending(path: "llama2-tokenizer")
    static let stories = Roots.data.appending(path: "stories260k")

    struct Expected: Decodable {
        struct Case: Decodable {
            let text: String
            let ids: [Int]
            let decoded: String
        }

        let cases: [Case]
    }

    struct Stories: Decodable {
        struct Prompt: Decodable {
            let prompt: String
            let ids: [Int]
            let newIDs: [Int]
            let text: String

            enum CodingKeys: String, CodingKey {
                case prompt, text
                case ids = "prompt_ids"
                case newIDs = "new_ids"
            }
        }

        let prompts: [Prompt]
    }

    // Skipped when the data root (UNIMED_DATA) lacks the Llama-2 tokenizer.
    @Test(.enabled(if: Roots.exists(llama), "no llama2-tokenizer under UNIMED_DATA"))
    func `Llama 2 ids and decoded texts are as expected`() throws {
        let model = try SentencePieceTokenizer(contentsOf: Self.llama.appending(path: "tokenizer.model"))
        let expected = try JSONDecoder().decode(
            Expected.self,
            from: Data(contentsOf: Self.llama.appending(path: "expected.json"))
        )
        #expect(!expected.cases.isEmpty)
        for record in expected.cases {
            #expect(try model.encode(record.text) == record.ids)
            #expect(try model.decode(record.ids) == record.decoded)
        }
    }

    // Skipped when the data root (UNIMED_DATA) lacks the small story model.
    @Test(.enabled(if: Roots.exists(stories), "no stories260k under UNIMED_DATA"))
    func `the story model's prompts and answers are as expected`() throws {
        let expected = try JSONDecoder().decode(
            Stories.self,
            from: Data(contentsOf: Self.stories.appending(path: "expected.json"))
        )
        #expect(!expected.prompts.isEmpty)
        for file in ["tok512.model", "hf/tokenizer.model"] {
            let tokenizer = try LlamaTokenizer(contentsOf: Self.stories.appending(path: file), padPiece: nil)
            #expect(tokenizer.vocabularySize == 512)
            for prompt in expected.prompts {
                #expect(try tokenizer.encode(prompt.prompt, addBOS: true) == prompt.ids)
                #expect(try tokenizer.decode(prompt.ids + prompt.newIDs) == prompt.text)
            }
        }
    }
}
