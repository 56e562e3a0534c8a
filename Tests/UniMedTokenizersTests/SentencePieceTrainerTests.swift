import Foundation
import Testing
import UniMedTokenizers

@Suite("SentencePiece trainer")
struct SentencePieceTrainerTests {
    static let texts: [String] = (0..<60).flatMap { index in
        [
            "[vqa] What modality is used to take image \(index)?",
            "Axial CT of the thorax shows a small nodule in the left lung, \(index) mm wide.",
            "[refer] <p>left lung</p> {<\(index)><\(index + 1)><\(index + 20)><\(index + 30)>}",
            "The liver, the spleen and both kidneys are normal.\nNo fracture is seen.",
        ]
    }

    @Test func `texts come back unchanged`() throws {
        let model = try SentencePieceTrainer.train(texts: Self.texts, vocabularySize: 600)
        let tokenizer = try LlamaTokenizer(model: SentencePieceTokenizer(model: model))
        #expect(tokenizer.vocabularySize == 600)
        let unseen = [
            "", " ", "  two  spaces ", "tab\tand\nline break", "µg/mL naïve 肺 😀 \u{0}", "12345 $ {<100><0><7><42>}",
            "Zebra quiz [qa]",
        ]
        for text in Self.texts + unseen {
            #expect(try tokenizer.decode(tokenizer.encode(text)) == text)
            #expect(try !tokenizer.encode(text).contains(tokenizer.unknownID))
        }
    }

    @Test func `special pieces and symbols have fixed ids`() throws {
        let model = try SentencePieceTrainer.train(texts: Self.texts, vocabularySize: 600)
        let tokenizer = try LlamaTokenizer(model: SentencePieceTokenizer(model: model))
        #expect(tokenizer.unknownID == 0)
        #expect(tokenizer.bosID == 1)
        #expect(tokenizer.eosID == 2)
        #expect(tokenizer.padID == 3)
        #expect(try tokenizer.model.piece(3) == "$$")
        #expect(try tokenizer.decode([4, 3, 3]) == "<0>")
        for coordinate in 0...100 {
            #expect(try tokenizer.model.piece(4 + coordinate) == "<\(coordinate)>")
            #expect(try tokenizer.encode("{<\(coordinate)>}").filter { $0 == 4 + coordinate }.count == 1)
        }
        let box = try tokenizer.encode("<16><36><42><61>")
        #expect(box.suffix(4) == [20, 40, 46, 65])
        #expect(try tokenizer.encode("<101>").count > 2)
    }

    @Test func `digits are single pieces`() throws {
        let model = try SentencePieceTrainer.train(
            texts: ["12 12 12 34 34 1234 12 34 mm mm mm"],
            vocabularySize: 400,
            acceptsFewerPieces: true
        )
        let tokenizer = try SentencePieceTokenizer(model: model)
        let pieces = try tokenizer.pieces(of: "1234")
        #expect(pieces.suffix(4) == ["1", "2", "3", "4"])
    }

    @Test func `the same texts give the same bytes`() throws {
        let first = try SentencePieceTrainer.train(texts: Self.texts, vocabularySize: 620)
        let second = try SentencePieceTrainer.train(texts: Self.texts, vocabularySize: 620)
        #expect(first == second)
        let other = try SentencePieceTrainer.train(texts: Self.texts.dropLast(100), vocabularySize: 620)
        #expect(first != other)
    }

    @Test func `symbols may hold commas and quotes`() throws {
        let symbols = ["$$", "a,b", "\"quoted\"", "<Img>"]
        let model = try SentencePieceTrainer.train(texts: Self.texts, vocabularySize: 500, userDefinedSymbols: symbols)
        let tokenizer = try SentencePieceTokenizer(model: model)
        for (index, symbol) in symbols.enumerated() {
            #expect(try tokenizer.piece(3 + index) == symbol)
            #expect(try tokenizer.encode("x\(symbol)y").contains(3 + index))
        }
    }

    @Test func `too few texts give fewer pieces only where that is accepted`() throws {
        let texts = ["lung lung lung"]
        let error = #expect(throws: TokenizerError.self) {
            try SentencePieceTrainer.train(texts: texts, vocabularySize: 5000)
        }
        #expect(error?.kind == .training)
        #expect(error?.detail.hasPrefix("Vocabulary size too high (5000)") == true)
        let model = try SentencePieceTrainer.train(texts: texts, vocabularySize: 5000, acceptsFewerPieces: true)
        let tokenizer = try SentencePieceTokenizer(model: model)
        #expect(tokenizer.vocabularySize > 360)
        #expect(tokenizer.vocabularySize < 400)
        #expect(try tokenizer.decode(tokenizer.encode("lung")) == "lung")
    }

    @Test(
        arguments: [
            ([""], 600, ["$$"], 1.0), (["\n\t"], 600, ["$$"], 1.0), ([], 600, ["$$"], 1.0),
            (["text"], 100, ["$$"], 1.0),
            (["text"], 0, ["$$"], 1.0), (["text"], -5, ["$$"], 1.0), (["text"], Int.max, ["$$"], 1.0),
            (["text"], 600, ["$$", "$$"], 1.0), (["text"], 600, ["<s>"], 1.0), (["text"], 600, ["<0x0A>"], 1.0),
            (["text"], 600, [""], 1.0), (["text"], 600, ["a b"], 1.0), (["text"], 600, ["a\n"], 1.0),
            (["text"], 600, ["$$"], 0.1), (["text"], 600, ["$$"], .nan),
            (["abcdefghijklmnopqrstuvwxyz"], 262, ["$$"], 1.0),
        ] as [([String], Int, [String], Double)]
    )
    func `settings that cannot work are errors`(
        _ texts: [String],
        _ size: Int,
        _ symbols: [String],
        _ coverage: Double
    ) {
        let error = #expect(throws: TokenizerError.self) {
            try SentencePieceTrainer.train(
                texts: texts,
                vocabularySize: size,
                userDefinedSymbols: symbols,
                characterCoverage: coverage
            )
        }
        #expect(error?.kind == .training)
        #expect(error?.detail.isEmpty == false)
    }
}
