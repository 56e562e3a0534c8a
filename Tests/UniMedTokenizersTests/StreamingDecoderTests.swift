import Foundation
import Testing
import UniMedTokenizers

@Suite("Streaming decoder")
struct StreamingDecoderTests {
    static func stream(_ ids: [Int], _ tokenizer: any Tokenizer) throws -> [String] {
        var decoder = StreamingDecoder(tokenizer: tokenizer)
        var texts: [String] = []
        for id in ids { texts.append(try decoder.append(id)) }
        return texts + [try decoder.finish()]
    }

    @Test func `a character is given when its last byte is there`() throws {
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel())
        let ids = try tokenizer.encode("é😀a")
        #expect(try Self.stream(ids, tokenizer) == ["", "é", "", "", "", "😀", "a", ""])
    }

    @Test func `what stays incomplete comes at the end, and special tokens give nothing`() throws {
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel())
        let ids = try tokenizer.encode("a é</s>")
        #expect(try Self.stream(ids, tokenizer) == ["a", " ", "", "é", "", ""])
        #expect(try Self.stream(Array(ids.prefix(3)), tokenizer).joined() == "a \u{FFFD}")
    }

    @Test func `bytes that never become text are given after a while`() throws {
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel())
        let lead = try #require(try tokenizer.encode("é").first)
        let texts = try Self.stream([Int](repeating: lead, count: 200), tokenizer)
        #expect(texts.dropLast().contains { !$0.isEmpty })
        #expect(texts.joined().unicodeScalars.count == 200)
    }

    @Test(arguments: LlamaTokenizer.Behavior.allCases)
    func `spaces between words of a SentencePiece model are kept`(behavior: LlamaTokenizer.Behavior) throws {
        let model = try SentencePieceTokenizer(model: try MalformedModelTests.model.get())
        let tokenizer = try LlamaTokenizer(model: model, behavior: behavior)
        for text in ["the left  lung", "  a", "12 mm µ 😀 lung", " ", "a <s> b  </s> c"] {
            let ids = try tokenizer.encode(text)
            #expect(bytes(try Self.stream(ids, tokenizer).joined()) == bytes(try tokenizer.decode(ids)))
        }
    }
}
