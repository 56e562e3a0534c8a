import Foundation
import Testing
import UniMedTokenizers

@Suite("WordPiece tokenizer")
struct WordPieceTokenizerTests {
    private struct Case: Decodable {
        var text: String
        var uncased: [Int]
        var cased: [Int]
        var fast: [Int]
    }

    @Test func `ids equal those of the public tokenizers`() throws {
        let uncased = try WordPieceTokenizer(folder: Fixture.folder.appending(path: "bert"))
        let cased = try WordPieceTokenizer(folder: Fixture.folder.appending(path: "bert-cased"))
        let fast = try WordPieceTokenizer(contentsOf: Fixture.folder.appending(path: "wordpiece.tokenizer.json"))
        let cases = try Fixture.read("wordpiece.json", as: [Case].self)
        #expect(cases.count > 20)
        for record in cases {
            #expect(uncased.encode(record.text) == record.uncased, "\(record.text)")
            #expect(cased.encode(record.text) == record.cased, "\(record.text)")
            #expect(fast.encode(record.text) == record.fast, "\(record.text)")
        }
    }

    @Test func `a sequence has its special tokens and loses its end when it is too long`() throws {
        let tokenizer = try WordPieceTokenizer(folder: Fixture.folder.appending(path: "bert"))
        #expect(tokenizer.maximumLength == 48)
        let ids = tokenizer.encode("the lungs are clear")
        #expect(ids.count == 4)
        #expect(tokenizer.encodeSequence("the lungs are clear") == [tokenizer.beginID] + ids + [tokenizer.separatorID])
        #expect(
            tokenizer.encodeSequence("the lungs are clear", maximumLength: 4)
                == [tokenizer.beginID, ids[0], ids[1], tokenizer.separatorID]
        )
        #expect(tokenizer.encodeSequence("") == [tokenizer.beginID, tokenizer.separatorID])
    }

    @Test func `of a vocabulary the special tokens are needed`() throws {
        let error = try #require(throws: TokenizerError.self) {
            _ = try WordPieceTokenizer(vocabulary: Data("[PAD]\n[UNK]\n[CLS]\nheart\n".utf8))
        }
        #expect(error.kind == .missingPiece)
        #expect(error.detail.contains("[SEP]"))
    }

    @Test func `another model or normalizer is refused by the field's name`() throws {
        try Fixture.withTemporaryFolder { folder in
            let file = folder.appending(path: "tokenizer.json")
            let contents = [
                (#"{"model": {"type": "BPE", "vocab": {"a": 0}}}"#, "model.type"),
                (
                    #"{"model": {"type": "WordPiece", "vocab": {"a": 0}}, "normalizer": {"type": "NFC"}}"#,
                    "normalizer.type"
                ),
                (#"{"model": {"type": "WordPiece", "continuing_subword_prefix": "@@", "vocab": {"a": 0}}}"#, "prefix"),
            ]
            for (text, field) in contents {
                try Data(text.utf8).write(to: file)
                let error = try #require(throws: TokenizerError.self) { _ = try WordPieceTokenizer(contentsOf: file) }
                #expect(error.kind == .unsupported)
                #expect(error.detail.contains(field), "\(error)")
            }
        }
    }
}
