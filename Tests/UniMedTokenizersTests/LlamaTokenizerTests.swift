import Foundation
import Testing
import UniMedTokenizers

// Skipped when the golden root (UNIMED_GOLDEN) lacks the Llama-2 cases.
@Suite("Llama tokenizer", .enabled(if: LlamaCases.exist, "no Llama-2 cases under UNIMED_GOLDEN"))
struct LlamaTokenizerTests {
    let cases: LlamaCases
    let model: SentencePieceTokenizer

    init() throws {
        cases = try LlamaCases.load()
        model = try SentencePieceTokenizer(contentsOf: LlamaCases.model)
    }

    @Test func `the model has the pieces of Llama 2`() throws {
        #expect(model.vocabularySize == cases.info.vocabularySize)
        #expect(model.unknownID == cases.info.special["unk"])
        #expect(model.bosID == cases.info.special["bos"])
        #expect(model.eosID == cases.info.special["eos"])
        #expect(model.padID == nil)
        for (id, piece) in cases.info.pieces {
            let id = try #require(Int(id))
            #expect(try model.piece(id) == piece)
            #expect(model.id(ofPiece: piece) == id)
        }
        #expect(model.id(ofPiece: "no such piece") == nil)
        #expect(try LlamaTokenizer(model: model).padID == cases.info.padID)
    }

    @Test func `ids and pieces are those of SentencePiece`() throws {
        #expect(!cases.cases.isEmpty)
        for record in cases.cases {
            #expect(try model.encode(record.text) == record.sentencePieceIDs)
            #expect(try model.pieces(of: record.text) == record.sentencePiecePieces)
            #expect(try model.decode(record.sentencePieceIDs) == record.sentencePieceDecoded)
        }
    }

    @Test func `without a pad token, ids and text are those of transformers`() throws {
        let tokenizer = try LlamaTokenizer(model: model, padPiece: nil)
        for record in cases.cases {
            #expect(try tokenizer.encode(record.text) == record.ids)
            #expect(try tokenizer.encode(record.text, addBOS: true) == record.idsWithSpecial)
            #expect(try tokenizer.decode(record.ids, skippingSpecialTokens: false) == record.decoded)
            #expect(
                try tokenizer.decode(record.idsWithSpecial, skippingSpecialTokens: false) == record.decodedWithSpecial
            )
            #expect(try tokenizer.decode(record.ids) == record.decodedSkippingSpecial)
        }
    }

    @Test func `with the published pad token, ids and text are those of transformers`() throws {
        let tokenizer = try LlamaTokenizer(model: model)
        for record in cases.cases {
            #expect(try tokenizer.encode(record.text) == record.idsWithPad)
            #expect(try tokenizer.decode(record.idsWithPad) == record.decodedSkippingPad)
        }
    }

    @Test func `any ids decode as in transformers`() throws {
        let tokenizer = try LlamaTokenizer(model: model, padPiece: nil)
        #expect(!cases.decode.isEmpty)
        for record in cases.decode {
            #expect(try model.decode(record.ids) == record.sentencePieceDecoded)
            #expect(try tokenizer.decode(record.ids, skippingSpecialTokens: false) == record.decoded)
            #expect(try tokenizer.decode(record.ids) == record.decodedSkippingSpecial)
        }
    }

    @Test(arguments: [LlamaTokenizer.Behavior.legacy, .nonlegacy])
    func `with legacy on and off, ids and text are those of newer transformers`(
        behavior: LlamaTokenizer.Behavior
    ) throws {
        let tokenizer = try LlamaTokenizer(model: model, padPiece: nil, behavior: behavior)
        let isLegacy = behavior == .legacy
        #expect(cases.cases.contains { $0.legacyIDs != $0.nonlegacyIDs })
        for record in cases.cases {
            let ids = isLegacy ? record.legacyIDs : record.nonlegacyIDs
            #expect(try tokenizer.encode(record.text) == ids)
            #expect(
                try tokenizer.encodeSequence(record.text)
                    == (isLegacy ? record.legacyIDsWithSpecial : record.nonlegacyIDsWithSpecial)
            )
            let decoded = isLegacy ? record.legacyDecoded : record.nonlegacyDecoded
            #expect(bytes(try tokenizer.decode(ids, skippingSpecialTokens: false)) == bytes(decoded))
        }
        for record in cases.decode {
            let decoded = isLegacy ? record.legacyDecoded : record.nonlegacyDecoded
            #expect(bytes(try tokenizer.decode(record.ids, skippingSpecialTokens: false)) == bytes(decoded))
        }
    }

    @Test func `segments without special tokens are the joined text, and special names in them are characters`() throws
    {
        for behavior in LlamaTokenizer.Behavior.allCases {
            let tokenizer = try LlamaTokenizer(model: model, padPiece: nil, behavior: behavior)
            for record in cases.cases where !["<s>", "</s>", "<unk>"].contains(where: record.text.contains) {
                let middle = record.text.index(record.text.startIndex, offsetBy: record.text.count / 2)
                let halves = [String(record.text[..<middle]), String(record.text[middle...])]
                #expect(try tokenizer.encode(halves.map(TextSegment.text)) == tokenizer.encode(record.text))
            }
            let ids = try tokenizer.encode([.special(1), .text("end </s><s>[INST]"), .special(2)])
            #expect(ids.first == 1 && ids.last == 2)
            #expect(!ids.dropFirst().dropLast().contains { tokenizer.isSpecial($0) })
        }
    }

    // Skipped when the golden root lacks the text processing cases.
    @Test(.enabled(if: Roots.exists(PromptCases.file), "no text_processing/cases.json under UNIMED_GOLDEN"))
    func `segments of prompts and targets have the ids of the published code`() throws {
        let golden = try JSONDecoder().decode(PromptCases.self, from: Data(contentsOf: PromptCases.file))
        #expect(!golden.prompts.isEmpty && !golden.targets.isEmpty)
        let tokenizer = try LlamaTokenizer(model: model, padPiece: golden.padToken)
        #expect(tokenizer.padID == golden.padID)
        for prompt in golden.prompts {
            for (index, segment) in prompt.evaluationSegments.enumerated() {
                #expect(try tokenizer.encode(segment, addBOS: index == 0) == prompt.evaluationIDs[index])
            }
            for (segment, ids) in zip(prompt.trainingSegments, prompt.trainingIDs) {
                #expect(try tokenizer.encode(segment) == ids)
            }
        }
        for target in golden.targets {
            #expect(try tokenizer.encode(target.text) == target.ids)
            #expect(try tokenizer.encode(target.answer) + [tokenizer.eosID] == target.ids)
        }
    }

    // Skipped when the golden root lacks the whole-model case.
    @Test(.enabled(if: Roots.exists(PromptRows.file), "no full/tokens.json under UNIMED_GOLDEN"))
    func `prompts of the published code have its ids`() throws {
        let tokenizer = try LlamaTokenizer(model: model)
        let rows = try JSONDecoder().decode(PromptRows.self, from: Data(contentsOf: PromptRows.file)).rows
        #expect(!rows.isEmpty)
        for row in rows {
            #expect(try tokenizer.encode(row.text) == row.ids)
            #expect(try tokenizer.encode(row.text, addBOS: true) == row.idsWithBOS)
            #expect(try tokenizer.decode(row.ids) == row.decoded)
        }
    }

    @Test func `an id outside the vocabulary is an error`() throws {
        for id in [-1, 32000, Int.max, Int.min, 1 << 32] {
            let error = #expect(throws: TokenizerError.self) { try model.decode([5, id]) }
            #expect(error?.kind == .unknownID)
            #expect(throws: TokenizerError.self) { try model.piece(id) }
        }
    }

    @Test func `a pad piece that is not in the vocabulary is an error that names it and the file`() throws {
        let error = #expect(throws: TokenizerError.self) {
            try LlamaTokenizer(contentsOf: LlamaCases.model, padPiece: "[PAD]")
        }
        #expect(error?.kind == .missingPiece)
        #expect(error?.description.contains("[PAD]") == true)
        #expect(error?.file == LlamaCases.model.path)
    }

    @Test func `several threads may share a tokenizer`() async throws {
        let tokenizer = try LlamaTokenizer(model: model)
        let expected = try cases.cases.map { try tokenizer.encode($0.text) }
        let texts = cases.cases.map(\.text)
        try await withThrowingTaskGroup(of: [[Int]].self) { group in
            for _ in 0..<4 { group.addTask { try texts.map { try tokenizer.encode($0) } } }
            for try await ids in group { #expect(ids == expected) }
        }
    }
}

/// `golden/model/full/tokens.json`.
struct PromptRows: Decodable {
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

    let rows: [Row]

    static let file = Roots.golden.appending(path: "model/full/tokens.json")
}
