import Foundation
import Testing
import UniMedTokenizers

@Suite("Malformed SentencePiece models")
struct MalformedModelTests {
    static let model = Result {
        try SentencePieceTrainer.train(texts: SentencePieceTrainerTests.texts, vocabularySize: 500)
    }

    @Test func `a file that is not there is an error that names it`() {
        let file = FileManager.default.temporaryDirectory.appending(path: "no-such-tokenizer.model")
        let error = #expect(throws: TokenizerError.self) { try SentencePieceTokenizer(contentsOf: file) }
        #expect(error?.kind == .unreadableFile)
        #expect(error?.description.contains(file.path) == true)
    }

    @Test func `bytes that are no model are errors`() throws {
        let files: [Data] = [
            Data(), Data("not a model".utf8), Data("{\"model\": {}}".utf8), Data([0]), Data([0x0A]),
            Data(repeating: 0xFF, count: 100), Data(repeating: 0, count: 1000),
            Data([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
            Data([0x10, 0x01]),
        ]
        for bytes in files {
            let error = #expect(throws: TokenizerError.self) { try SentencePieceTokenizer(model: bytes) }
            #expect(error?.kind == .invalidModel)
            #expect(error?.description.contains("\n") == false)
        }
    }

    @Test func `a table of the normalizer that points outside itself is an error`() throws {
        // Fields 3 (normalizer) and 2 (its precompiled table): a trie of one unit that points far away.
        let model = try Self.model.get()
        for unit: [UInt8] in [[0, 0xFC, 0xFF, 0x7F], [0xFF, 0xFF, 0xFF, 0xFF], [1, 2, 3, 4]] {
            let table: [UInt8] = [4, 0, 0, 0] + unit + [0x61, 0]
            let normalizer = [0x12, UInt8(table.count)] + table
            let broken = model + Data([0x1A, UInt8(normalizer.count)] + normalizer)
            let error = #expect(throws: TokenizerError.self) { try SentencePieceTokenizer(model: broken) }
            #expect(error?.kind == .invalidModel)
            #expect(error?.detail.contains("table") == true)
        }
    }

    @Test func `every truncated model is an error or a shorter model`() throws {
        let model = try Self.model.get()
        var refused = 0
        for length in stride(from: 0, to: model.count, by: 37) {
            do {
                _ = try SentencePieceTokenizer(model: model.prefix(length)).encode("left lung 12 <5>")
            } catch {
                refused += 1
            }
        }
        #expect(refused > model.count / 37 / 2)
    }

    @Test func `two thousand damaged models never crash`() throws {
        let model = try Self.model.get()
        var generator = SplitMix64(state: 7)
        var refused = 0
        for _ in 0..<2000 {
            var damaged = model
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                let position = Int.random(in: 0..<damaged.count, using: &generator)
                damaged[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            }
            if Bool.random(using: &generator) {
                damaged = damaged.prefix(Int.random(in: 0...damaged.count, using: &generator))
            }
            do {
                let tokenizer = try SentencePieceTokenizer(model: damaged)
                let ids = try tokenizer.encode("[vqa] left lung, 12 mm µ {<5><16>}")
                _ = try tokenizer.decode(ids)
                _ = try tokenizer.decode(0..<tokenizer.vocabularySize)
            } catch {
                refused += 1
            }
        }
        #expect(refused > 0)
    }
}

/// A small generator of reproducible random numbers.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
