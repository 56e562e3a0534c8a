import Foundation
import Testing
import UniMedTokenizers

@Suite("Opening tokenizers")
struct TokenizerFormTests {
    static func withFolder(_ files: [String: Data], _ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, data) in files { try data.write(to: folder.appending(path: name)) }
        try body(folder)
    }

    static let json = Data(TokenizerJSON.byteLevel().utf8)
    static let configuration = Data(#"{"eos_token": "</s>", "pad_token": "!"}"#.utf8)

    @Test func `a folder, its vocabulary and its small files open the same tokenizer`() throws {
        try Self.withFolder(["tokenizer.json": Self.json, "tokenizer_config.json": Self.configuration]) { folder in
            for name in ["", "tokenizer.json", "tokenizer_config.json"] {
                let tokenizer = try TokenizerForm.open(name.isEmpty ? folder : folder.appending(path: name))
                #expect(tokenizer is HuggingFaceTokenizer)
                #expect(tokenizer.eosID == 256 && tokenizer.padID == 0)
                #expect(tokenizer.files.keys.sorted() == ["tokenizer.json", "tokenizer_config.json"])
            }
        }
    }

    @Test func `the files of a tokenizer make it again`() throws {
        let model = try MalformedModelTests.model.get()
        let configuration = Data(#"{"pad_token": "<unk>", "legacy": false, "add_eos_token": true}"#.utf8)
        for files in [
            ["tokenizer.json": Self.json, "special_tokens_map.json": Self.configuration],
            ["tokenizer.model": model], ["tokenizer.model": model, "tokenizer_config.json": configuration],
        ] {
            for convention in [TokenizerConvention.published, .configured] {
                try Self.withFolder(files) { folder in
                    let tokenizer = try TokenizerForm.open(folder, convention: convention)
                    #expect(tokenizer.files == files)
                    try Self.withFolder(tokenizer.files) { copy in
                        let again = try TokenizerForm.open(copy, convention: convention)
                        #expect(
                            try again.encodeSequence("left lung</s>a") == tokenizer.encodeSequence("left lung</s>a")
                        )
                        #expect(again.padID == tokenizer.padID && again.eosIDs == tokenizer.eosIDs)
                    }
                }
            }
        }
    }

    @Test func `of both forms the SentencePiece model is taken, by its contents and not its name`() throws {
        let model = try MalformedModelTests.model.get()
        let files = ["tokenizer.json": Self.json, "tokenizer.model": model, "words.bin": model]
        try Self.withFolder(files) { folder in
            for location in [folder, folder.appending(path: "words.bin")] {
                let tokenizer = try TokenizerForm.open(location)
                #expect(tokenizer is LlamaTokenizer)
            }
        }
    }

    @Test func `the published convention takes its pad piece, the other what the files say`() throws {
        let configuration = Data(#"{"pad_token": "</s>", "legacy": false, "add_bos_token": false}"#.utf8)
        let files = ["tokenizer.model": try MalformedModelTests.model.get(), "tokenizer_config.json": configuration]
        try Self.withFolder(files) { folder in
            let published = try #require(try TokenizerForm.open(folder) as? LlamaTokenizer)
            #expect(try published.token(published.padID) == LlamaTokenizer.publishedPadPiece)
            #expect(published.behavior == .published)
            let configured = try #require(
                try TokenizerForm.open(folder, convention: .configured) as? LlamaTokenizer
            )
            #expect(configured.padID == configured.eosID)
            #expect(configured.behavior == .nonlegacy)
            #expect(try configured.encodeSequence("lung").first != configured.bosID)
        }
    }

    @Test func `tokens added to a SentencePiece model get the ids after its pieces`() throws {
        let model = try SentencePieceTokenizer(model: try MalformedModelTests.model.get())
        let size = model.vocabularySize
        func configuration(_ id: Int) -> Data {
            Data(#"{"added_tokens_decoder": {"\#(id)": {"content": "<img>", "special": true}}}"#.utf8)
        }
        try Self.withFolder([
            "tokenizer.model": model.serializedModel, "tokenizer_config.json": configuration(size),
        ]) { folder in
            let tokenizer = try TokenizerForm.open(folder)
            #expect(tokenizer.vocabularySize == size + 1)
            #expect(tokenizer.id(ofToken: "<img>") == size)
            let ids = try tokenizer.encode("left <img> lung")
            #expect(ids.count { $0 == size } == 1)
            #expect(try !tokenizer.decode(ids).contains("<img>"))
            #expect(try tokenizer.decode(ids, skippingSpecialTokens: false).contains("<img>"))
            #expect(!(try tokenizer.encode([.text("left <img> lung")])).contains(size))
        }
        for id in [size + 1, 5, 1 << 40] {
            try Self.withFolder([
                "tokenizer.model": model.serializedModel, "tokenizer_config.json": configuration(id),
            ]) { folder in
                let error = #expect(throws: TokenizerError.self) { try TokenizerForm.open(folder) }
                #expect(error?.kind == .invalidFile)
                #expect(error?.description.contains("added_tokens_decoder") == true)
            }
        }
    }

    @Test func `what cannot be opened is an error that names the path`() throws {
        try Self.withFolder([
            "empty.json": Data(), "tiktoken.model": Data("IQ== 0\nIg== 1\n".utf8), "broken.json": Data("{".utf8),
        ]) { folder in
            for (name, kind) in [
                ("", TokenizerError.Kind.unreadableFile), ("none.json", .unreadableFile), ("empty.json", .invalidModel),
                ("tiktoken.model", .unsupported), ("broken.json", .invalidFile),
            ] {
                let location = name.isEmpty ? folder : folder.appending(path: name)
                let error = #expect(throws: TokenizerError.self) { try TokenizerForm.open(location) }
                #expect(error?.kind == kind, "\(name)")
                #expect(error?.file?.hasPrefix(folder.path) == true, "\(name)")
            }
        }
        let files = ["tokenizer.json": Self.json, "tokenizer_config.json": Data(#"{"eos_token": []}"#.utf8)]
        try Self.withFolder(files) { folder in
            let error = #expect(throws: TokenizerError.self) { try TokenizerForm.open(folder) }
            #expect(error?.file == folder.appending(path: "tokenizer_config.json").path)
            #expect(error?.detail.contains("eos_token") == true)
        }
    }
}
