import Foundation
import Testing
import UniMedTokenizers

@Suite("Malformed tokenizer.json files")
struct MalformedTokenizerFileTests {
    /// A file whose model is as given, with a vocabulary of a, b and ab.
    static func file(
        vocabulary: String = #"{"a": 0, "b": 1, "ab": 2}"#,
        merges: String = #"["a b"]"#,
        added: String = #"[{"id": 3, "content": "</s>", "special": true}]"#,
        rest: String = ""
    ) -> String {
        #"{\#(rest) "added_tokens": \#(added), "model": {"type": "BPE", "vocab": \#(vocabulary), "merges": \#(merges)}}"#
    }

    static func error(_ json: String) -> TokenizerError? {
        #expect(throws: TokenizerError.self, "\(json.prefix(200))") { try TokenizerJSON.tokenizer(json) }
    }

    @Test func `the file is read when nothing is wrong with it`() throws {
        #expect(try TokenizerJSON.tokenizer(Self.file()).encode("abab") == [2, 2])
    }

    @Test(arguments: [
        (file(vocabulary: #"{"a": 0, "b": 0, "ab": 2}"#), "model.vocab['b']"),
        (file(vocabulary: #"{"a": 0, "b": 1, "a": 2, "ab": 3}"#), "model.vocab['a']"),
        (file(vocabulary: #"{"a": -1}"#), "model.vocab['a']"),
        (file(vocabulary: #"{"a": 99999999999999999999999}"#), "model.vocab['a']"),
        (file(vocabulary: #"{"a": 9000000}"#), "model.vocab['a']"),
        (file(vocabulary: #"{"a": 1.5}"#), "model.vocab['a']"),
        (file(vocabulary: #"{"a": "0"}"#), "model.vocab['a']"),
        (file(vocabulary: "{}"), "model.vocab"),
        (file(vocabulary: "[]"), "model.vocab"),
        (file(merges: #"["a b", "a c"]"#), "model.merges[1]"),
        (file(merges: #"["b a"]"#), "model.merges[0]"),
        (file(merges: #"["ab"]"#), "model.merges[0]"),
        (file(merges: #"["a b a"]"#), "model.merges[0]"),
        (file(merges: #"[["a"]]"#), "model.merges[0]"),
        (file(merges: "[7]"), "model.merges[0]"),
        (file(merges: "null"), "merges"),
        (file(added: #"[{"id": 0, "content": "</s>"}]"#), "added_tokens[0]"),
        (file(added: #"[{"id": 5, "content": "a"}]"#), "added_tokens[0]"),
        (file(added: #"[{"id": 3, "content": ""}]"#), "added_tokens[0].content"),
        (file(added: #"[{"id": 3, "content": "x"}, {"id": 3, "content": "x"}]"#), "added_tokens[1]"),
        (file(added: #"[{"content": "x"}]"#), "added_tokens[0]"),
        (file(added: #"[{"id": 3, "content": "x", "special": 1}]"#), "added_tokens[0].special"),
        (
            file(rest: #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"},"#),
            "pre_tokenizer.pattern.Regex"
        ),
        (
            file(rest: #""pre_tokenizer": {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated"},"#),
            "pre_tokenizer.pattern.String"
        ),
        (
            file(
                rest: #""post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}]},"#
            ),
            "post_processor.single[0].SpecialToken.id"
        ),
        (file(rest: #""model": 1,"#), "model"),
        ("{}", "model"),
        ("[]", "object"),
    ])
    func `what is wrong is an error that names the field`(json: String, field: String) {
        let error = Self.error(json)
        #expect(error?.kind == .invalidFile)
        #expect(error?.detail.contains(field) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("\n") == false)
    }

    @Test(arguments: [
        (#""normalizer": {"type": "BertNormalizer"},"#, "normalizer.type"),
        (#""pre_tokenizer": {"type": "Whitespace"},"#, "pre_tokenizer.type"),
        (
            #""pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]},"#,
            "pre_tokenizer.pretokenizers[1]"
        ),
        (#""decoder": {"type": "WordPiece"},"#, "decoder.type"),
        (#""post_processor": {"type": "UnigramProcessing"},"#, "post_processor.type"),
    ])
    func `what is not built is an error that names the field`(part: String, field: String) {
        let error = Self.error(Self.file(rest: part))
        #expect(error?.kind == .unsupported)
        #expect(error?.detail.contains(field) == true, "\(error?.description ?? "")")
    }

    @Test func `other models and random merges are refused`() {
        let unigram = Self.file().replacingOccurrences(of: #""BPE""#, with: #""Unigram""#)
        #expect(Self.error(unigram)?.kind == .unsupported)
        let dropout = Self.file().replacingOccurrences(of: #""BPE","#, with: #""BPE", "dropout": 0.1,"#)
        #expect(Self.error(dropout)?.kind == .unsupported)
    }

    @Test func `special tokens that are not in the vocabulary are errors that name them`() {
        for settings in [
            TokenizerSettings(eos: "<eos>"), TokenizerSettings(bos: "<bos>", eos: "</s>"),
            TokenizerSettings(eos: "</s>", pad: "<pad>"), TokenizerSettings(eosIDs: [99]), TokenizerSettings(),
        ] {
            let error = #expect(throws: TokenizerError.self) {
                try TokenizerJSON.tokenizer(Self.file(), settings: settings)
            }
            #expect(error?.kind == .missingPiece)
        }
    }

    @Test func `settings that are no settings are errors that name file and field`() {
        for (json, field) in [
            (#"{"eos_token": 7}"#, "eos_token"), (#"{"add_bos_token": "yes"}"#, "add_bos_token"),
            (#"{"added_tokens_decoder": {"x": {"content": "y"}}}"#, "added_tokens_decoder"),
            (#"{"added_tokens_decoder": {"-1": {"content": "y"}}}"#, "added_tokens_decoder"), ("{", "byte"),
        ] {
            let error = #expect(throws: TokenizerError.self) {
                try TokenizerSettings(tokenizerConfiguration: Data(json.utf8))
            }
            #expect(error?.kind == .invalidFile && error?.file == "tokenizer_config.json")
            #expect(error?.detail.contains(field) == true)
        }
    }

    @Test(arguments: [
        "", " ", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "[1,]", "[1 2]", "nul", "tru", "\"", "\"\\",
        "\"\\u12",
        "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\x\"", "\"\n\"", "{} {}", "{1:2}", "+1", "\u{FEFF}{}",
    ])
    func `text that is no JSON is an error`(text: String) {
        #expect(Self.error(text)?.kind == .invalidFile)
    }

    @Test func `deep nesting, bytes that are not UTF-8 and binary files are errors`() {
        for opening in ["[", "{\"a\":"] {
            #expect(Self.error(String(repeating: opening, count: 200_000))?.detail.contains("deep") == true)
        }
        for data in [Data([0xFF, 0xFE]), Data("{\"model\": \"\u{E9}".utf8.dropLast()), Data(repeating: 0, count: 64)] {
            let error = #expect(throws: TokenizerError.self) {
                try HuggingFaceTokenizer(data: data, settings: TokenizerJSON.settings)
            }
            #expect(error?.kind == .invalidFile)
        }
    }

    @Test func `every truncated file is an error`() {
        let json = Array(TokenizerJSON.byteLevel(merges: [["Ġ", "t"]]).utf8)
        for length in stride(from: 0, to: json.count, by: 13) {
            #expect(throws: TokenizerError.self) {
                try HuggingFaceTokenizer(data: Data(json[..<length]), settings: TokenizerJSON.settings)
            }
        }
    }

    @Test func `a thousand damaged files never crash`() throws {
        let template = #"""
            {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "</s>"}}, {"Sequence": {"id": "A"}}],
             "special_tokens": {"</s>": {"ids": [258]}}}
            """#
        let json = Array(
            TokenizerJSON.byteLevel(
                merges: [["Ġ", "t"], ["Ġt", "h"]],
                normalizer: #"{"type": "NFC"}"#,
                postProcessor: template,
                model: #""ignore_merges": true,"#
            ).utf8
        )
        let interesting = Array("{}[]\",:\\0919-etruflsn ".utf8)
        var generator = SplitMix64(state: 11)
        var (read, refused) = (0, 0)
        for _ in 0..<1000 {
            var damaged = json
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let position = Int.random(in: 0..<damaged.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: damaged[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 1: damaged[position] = interesting[Int.random(in: 0..<interesting.count, using: &generator)]
                case 2: damaged.remove(at: position)
                default:
                    damaged.insert(interesting[Int.random(in: 0..<interesting.count, using: &generator)], at: position)
                }
            }
            do throws(TokenizerError) {
                let tokenizer = try HuggingFaceTokenizer(data: Data(damaged), settings: TokenizerJSON.settings)
                let ids = try tokenizer.encodeSequence("[vqa] the lung, 12 mm é</s>")
                _ = try tokenizer.decode(ids)
                read += 1
            } catch {
                #expect(!error.description.contains("\n"))
                refused += 1
            }
        }
        #expect(read > 0 && refused > 0)
    }
}
