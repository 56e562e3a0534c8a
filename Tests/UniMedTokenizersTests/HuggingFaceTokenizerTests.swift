import Foundation
import Testing
import UniMedTokenizers

/// Writes small `tokenizer.json` files.
enum TokenizerJSON {
    static let settings = TokenizerSettings(eos: "</s>")

    /// A byte-level vocabulary: the 256 bytes, what is merged, and `</s>`.
    static func byteLevel(
        merges: [[String]] = [],
        preTokenizer: String = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#,
        normalizer: String = "null",
        postProcessor: String = "null",
        model: String = "",
        added: String = ""
    ) -> String {
        var tokens = alphabet
        for merge in merges where !tokens.contains(merge.joined()) { tokens.append(merge.joined()) }
        let vocabulary = tokens.enumerated().map { "\(quoted($1)): \($0)" }.joined(separator: ", ")
        let list = merges.map { "[\(quoted($0[0])), \(quoted($0[1]))]" }.joined(separator: ", ")
        return """
            {"version": "1.0", "normalizer": \(normalizer), "pre_tokenizer": \(preTokenizer),
             "post_processor": \(postProcessor), "decoder": {"type": "ByteLevel"},
             "added_tokens": [{"id": \(tokens.count), "content": "</s>", "special": true}\(added)],
             "model": {"type": "BPE", \(model) "vocab": {\(vocabulary)}, "merges": [\(list)]}}
            """
    }

    /// A vocabulary of characters, in the order given, and `</s>` after it.
    static func characters(_ tokens: [String], merges: [[String]], model: String = "", parts: String) -> String {
        let vocabulary = tokens.enumerated().map { "\(quoted($1)): \($0)" }.joined(separator: ", ")
        let list = merges.map { quoted($0.joined(separator: " ")) }.joined(separator: ", ")
        return """
            {\(parts), "added_tokens": [{"id": \(tokens.count), "content": "</s>", "special": true}],
             "model": {"type": "BPE", \(model) "vocab": {\(vocabulary)}, "merges": [\(list)]}}
            """
    }

    /// The characters of GPT-2 for bytes, in the order of its vocabulary: the printable ones first.
    static let alphabet: [String] = {
        let printable = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)
        let scalars = printable + (0x100...0x143)
        return scalars.compactMap { Unicode.Scalar(UInt32($0)) }.map { String($0) }
    }()

    static func quoted(_ text: String) -> String {
        "\"" + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
    }

    static func tokenizer(
        _ json: String,
        settings: TokenizerSettings = settings
    ) throws(TokenizerError) -> HuggingFaceTokenizer {
        try HuggingFaceTokenizer(data: Data(json.utf8), settings: settings)
    }
}

@Suite("Tokenizer from tokenizer.json")
struct HuggingFaceTokenizerTests {
    @Test func `earlier merges win, and the leftmost of equal ones`() throws {
        let merges = [["b", "c"], ["a", "b"], ["a", "a"], ["aa", "a"]]
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel(merges: merges))
        #expect(try tokenizer.tokens(of: "abc") == ["a", "bc"])
        #expect(try tokenizer.tokens(of: "ab") == ["ab"])
        #expect(try tokenizer.tokens(of: "aaaaa") == ["aa", "aaa"])
        #expect(try tokenizer.tokens(of: "bcbc") == ["bc", "bc"])
    }

    @Test func `words in the vocabulary are taken whole only with ignore_merges`() throws {
        // "abc" is a token, but no order of merges reaches it: "bc" is merged first.
        let merges = [["b", "c"], ["a", "b"], ["ab", "c"]]
        let plain = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel(merges: merges))
        #expect(try plain.tokens(of: "abc") == ["a", "bc"])
        let whole = try TokenizerJSON.tokenizer(
            TokenizerJSON.byteLevel(merges: merges, model: #""ignore_merges": true,"#)
        )
        #expect(try whole.tokens(of: "abc") == ["abc"])
        #expect(try whole.tokens(of: "abcb") == ["a", "bc", "b"])
    }

    @Test func `GPT-2 splits at its own pattern`() throws {
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel())
        let words = tokenizer.preTokens(of: "I'll see 12345  CTs,\n\nthe DON'T é")
        #expect(words == ["I", "'ll", "Ġsee", "Ġ12345", "Ġ", "ĠCTs", ",", "Ċ", "Ċ", "the", "ĠDON", "'", "T", "ĠÃ©"])
        let spaced = try TokenizerJSON.tokenizer(
            TokenizerJSON.byteLevel(preTokenizer: #"{"type": "ByteLevel", "add_prefix_space": true}"#)
        )
        #expect(spaced.preTokens(of: "a b") == ["Ġa", "Ġb"])
        #expect(spaced.preTokens(of: " a") == ["Ġa"])
    }

    @Test func `every text comes back from its ids`() throws {
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel(merges: [["Ġ", "t"], ["Ã", "©"]]))
        for text in ["", " ", "the  heart\n", "é e\u{301}", "肺炎 😀", "\u{0}\u{7F}\u{FFFD}", "👩‍⚕️\r\n"] {
            #expect(bytes(try tokenizer.decode(tokenizer.encode(text))) == bytes(text))
        }
    }

    @Test func `two spellings of a character are two texts, one with NFC`() throws {
        let plain = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel())
        #expect(try plain.encode("é") != plain.encode("e\u{301}"))
        let composed = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel(normalizer: #"{"type": "NFC"}"#))
        #expect(try composed.encode("é") == composed.encode("e\u{301}"))
    }

    @Test func `added tokens keep to their flags`() throws {
        let added = """
            , {"id": 257, "content": "[vqa]", "special": false, "lstrip": true}
            , {"id": 258, "content": "[refer]", "special": false, "rstrip": true}
            , {"id": 259, "content": "node", "special": false, "single_word": true}
            , {"id": 260, "content": "e\u{301}", "special": false, "normalized": true}
            , {"id": 261, "content": "[vqa][vqa]", "special": true}
            """
        let tokenizer = try TokenizerJSON.tokenizer(
            TokenizerJSON.byteLevel(normalizer: #"{"type": "NFC"}"#, added: added)
        )
        #expect(tokenizer.vocabularySize == 262)
        #expect(try tokenizer.tokens(of: "a \n[vqa] b") == ["a", " \n[vqa]", "Ġ", "b"])
        #expect(try tokenizer.tokens(of: "a [refer] \n b") == ["a", "Ġ", "[refer] \n ", "b"])
        #expect(try tokenizer.tokens(of: "a node, nodes") == ["a", "Ġ", "node", ",", "Ġ", "n", "o", "d", "e", "s"])
        #expect(try tokenizer.encode("é") == [260] && tokenizer.encode("e\u{301}") == [260])
        // The longest at every place, and special tokens only where they are trusted.
        #expect(try tokenizer.encode("[vqa][vqa]") == [261])
        #expect(!(try tokenizer.encode([.text("[vqa][vqa]")])).contains(261))
        #expect(try tokenizer.encode([.text("a[vqa]")]).last == 257)
        #expect(try tokenizer.decode([257, 261, 256]) == "[vqa]")
        #expect(try tokenizer.decode([257, 256], skippingSpecialTokens: false) == "[vqa]</s>")
    }

    @Test func `special tokens take the white space beside them in segments as in text`() throws {
        let added = #", {"id": 257, "content": "<x>", "special": true, "lstrip": true, "rstrip": true}"#
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel(added: added))
        let segments = try tokenizer.encode([.text("a "), .special(257), .text("\n b")])
        #expect(segments == (try tokenizer.encode("a <x>\n b")))
        #expect(segments.count == 3)
    }

    @Test func `templates put their tokens around a text, and the settings overrule them`() throws {
        let template = """
            {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "</s>", "type_id": 0}}],
             "special_tokens": {"<s>": {"id": "<s>", "ids": [257], "tokens": ["<s>"]},
                                "</s>": {"id": "</s>", "ids": [256], "tokens": ["</s>"]}}}]}
            """
        let json = TokenizerJSON.byteLevel(
            postProcessor: template,
            added: #", {"id": 257, "content": "<s>", "special": true}"#
        )
        let a = try TokenizerJSON.tokenizer(json).encode("a")
        #expect(try TokenizerJSON.tokenizer(json).encodeSequence("a") == [257] + a + [256])
        #expect(try TokenizerJSON.tokenizer(json).bosID == 257)
        #expect(try TokenizerJSON.tokenizer(json).encode("a", addBOS: true) == [257] + a)
        let without = TokenizerSettings(bos: "<s>", eos: "</s>", addsBOS: false, addsEOS: false)
        #expect(try TokenizerJSON.tokenizer(json, settings: without).encodeSequence("a") == a)
        let with = TokenizerSettings(bos: "<s>", eos: "</s>", addsBOS: true, addsEOS: true)
        #expect(try TokenizerJSON.tokenizer(json, settings: with).encodeSequence("a") == [257] + a + [256])
    }

    @Test func `the ends of an answer are the end token and those of generation_config`() throws {
        let settings = try TokenizerSettings(
            tokenizerConfiguration: Data(#"{"eos_token": {"content": "</s>"}, "pad_token": null}"#.utf8),
            specialTokensMap: Data(#"{"eos_token": "x", "pad_token": "!"}"#.utf8),
            generationConfiguration: Data(#"{"eos_token_id": [5, 256, 5]}"#.utf8)
        )
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel(), settings: settings)
        #expect(tokenizer.eosID == 256 && tokenizer.eosIDs == [256, 5])
        #expect(tokenizer.padID == 0)
        #expect(tokenizer.bosID == nil)
        #expect(try tokenizer.encode("a", addBOS: true) == tokenizer.encode("a"))
    }

    @Test func `Llama 2 without its SentencePiece model: bytes stand for unknown characters`() throws {
        let byteTokens = (0...255).map { String(format: "<0x%02X>", $0) }
        let tokens = ["<unk>"] + byteTokens + ["▁", "a", "b", "▁a", "é"]
        let parts = """
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
              {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}, "pre_tokenizer": null,
            "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
              {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
            """
        let json = TokenizerJSON.characters(
            tokens,
            merges: [["▁", "a"]],
            model: #""unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,"#,
            parts: parts
        )
        let tokenizer = try TokenizerJSON.tokenizer(json)
        #expect(tokenizer.unknownID == 0 && tokenizer.padID == 0)
        #expect(try tokenizer.tokens(of: "a  ab") == ["▁a", "▁", "▁a", "b"])
        #expect(try tokenizer.tokens(of: "ée\u{301}") == ["▁", "é", "<0x65>", "<0xCC>", "<0x81>"])
        for text in ["a  ab", " a", "肺 e\u{301}\n", ""] {
            #expect(
                bytes(try tokenizer.decode(tokenizer.encode(text)))
                    == bytes(text)
            )
        }
        // Text after a special token begins again.
        #expect(try tokenizer.tokens(of: "a</s>a") == ["▁a", "</s>", "▁a"])
        #expect(try tokenizer.decode([1 + 0xE8, 1 + 0x82], skippingSpecialTokens: true) == "\u{FFFD}\u{FFFD}")
    }

    @Test(arguments: [
        ("always", ["▁a", "</s>", "▁a"]), ("first", ["▁a", "</s>", "a"]), ("never", ["a", "</s>", "a"]),
    ])
    func `Metaspace puts its character in front as its scheme says`(scheme: String, expected: [String]) throws {
        let json = TokenizerJSON.characters(
            ["▁", "a", "▁a"],
            merges: [["▁", "a"]],
            parts: """
                "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "\(scheme)", "split": true},
                "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "\(scheme)"}
                """
        )
        let tokenizer = try TokenizerJSON.tokenizer(json)
        #expect(try tokenizer.tokens(of: "a</s>a") == expected)
        #expect(tokenizer.preTokens(of: "a  a").suffix(2) == ["▁", "▁a"])
        #expect(try tokenizer.decode(tokenizer.encode("a a")) == "a a")
        // Neither a byte nor an unknown token stands for what the vocabulary lacks.
        let error = #expect(throws: TokenizerError.self) { try tokenizer.encode("b") }
        #expect(error?.kind == .processing)
    }

    @Test func `an id outside the vocabulary is an error, one that no token has is left out`() throws {
        let json = TokenizerJSON.byteLevel(added: #", {"id": 300, "content": "<x>", "special": false}"#)
        let tokenizer = try TokenizerJSON.tokenizer(json)
        for id in [-1, 301, Int.max, Int.min] {
            let error = #expect(throws: TokenizerError.self) { try tokenizer.decode([0, id]) }
            #expect(error?.kind == .unknownID)
            #expect(throws: TokenizerError.self) { try tokenizer.token(id) }
            #expect(throws: TokenizerError.self) { try tokenizer.encode([.special(id)]) }
        }
        #expect(try tokenizer.decode([0, 299, 300]) == "!<x>")
    }

    @Test(.timeLimit(.minutes(1)))
    func `long texts and long words take less than quadratic time`() throws {
        let merges = [["t", "h"], ["th", "e"], ["Ġ", "the"], ["a", "a"], ["aa", "aa"]]
        let tokenizer = try TokenizerJSON.tokenizer(TokenizerJSON.byteLevel(merges: merges))
        let sentence = "the heart size is normal, 12 mm; "
        for text in [
            String(repeating: sentence, count: 3000), String(repeating: "a", count: 400_000),
            String(repeating: " ", count: 200_000) + "x",
        ] {
            #expect(bytes(try tokenizer.decode(tokenizer.encode(text))) == bytes(text))
        }
    }
}
