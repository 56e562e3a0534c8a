import Foundation
import Testing
import UniMedTokenizers

// Skipped when the golden root (UNIMED_GOLDEN) lacks the cases.
@Suite(
    "Byte-level byte-pair encoding against the reference",
    .enabled(if: Roots.exists(BytePairCases.file), "no bpe_cases.json under UNIMED_GOLDEN")
)
struct BytePairGoldenTests {
    /// A tokenizer of the cases, with every one of its files.
    struct Subject {
        let name: String
        let file: String
        let tokenizer: HuggingFaceTokenizer
        let golden: BytePairCases
    }

    static func subjects() throws -> [Subject] {
        var subjects: [Subject] = []
        for name in try BytePairCases.names() {
            let folder = BytePairCases.file.deletingLastPathComponent().appending(path: "bpe_\(name)")
            let golden = try BytePairCases.load(name)
            let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
            for file in files where file.hasSuffix(".json") && !TokenizerSettings.fileNames.contains(file) {
                let tokenizer = try HuggingFaceTokenizer(contentsOf: folder.appending(path: file))
                subjects.append(Subject(name: name, file: file, tokenizer: tokenizer, golden: golden))
            }
        }
        return subjects
    }

    let subjects: [Subject]

    init() throws {
        subjects = try Self.subjects()
        #expect(Set(subjects.map(\.name)) == Set(try BytePairCases.names()))
    }

    @Test func `ids, tokens and pre-tokens are those of the tokenizers library`() throws {
        for subject in subjects {
            let tokenizer = subject.tokenizer
            #expect(tokenizer.vocabularySize == subject.golden.vocabularySize)
            #expect(!subject.golden.cases.isEmpty)
            for record in subject.golden.cases {
                let place: Comment = "\(subject.name) \(subject.file): \(record.text.debugDescription)"
                #expect(try tokenizer.encode(record.text) == record.ids, place)
                #expect(try tokenizer.encodeSequence(record.text) == record.idsWithSpecial, place)
                #expect(bytes(try tokenizer.tokens(of: record.text)) == bytes(record.tokens), place)
                #expect(bytes(tokenizer.preTokens(of: record.text)) == bytes(record.preTokens), place)
            }
        }
    }

    @Test func `decoded texts are those of the tokenizers library, incomplete characters too`() throws {
        for subject in subjects {
            let tokenizer = subject.tokenizer
            let whole = subject.golden.cases.map { ($0.ids, $0.decoded, $0.decodedSkippingSpecial) }
            let random = subject.golden.decode.map { ($0.ids, $0.decoded, $0.decodedSkippingSpecial) }
            #expect(random.contains { $0.1.unicodeScalars.contains("\u{FFFD}") })
            for (ids, decoded, skipping) in whole + random {
                #expect(bytes(try tokenizer.decode(ids, skippingSpecialTokens: false)) == bytes(decoded))
                #expect(bytes(try tokenizer.decode(ids)) == bytes(skipping))
            }
        }
    }

    @Test func `chats are written and tokenized as by the reference`() throws {
        for subject in subjects {
            let form = try #require(
                ChatTemplateForm.allCases.first {
                    subject.name.hasPrefix($0.rawValue.filter { $0 != "-" && $0 != "." })
                },
                "no chat template for \(subject.name)"
            )
            #expect(!subject.golden.chat.isEmpty)
            for chat in subject.golden.chat {
                let text = try form.template.text(
                    of: chat.messages,
                    for: subject.tokenizer,
                    addsGenerationPrompt: chat.addsGenerationPrompt
                )
                #expect(bytes(text) == bytes(chat.rendered))
                #expect(try subject.tokenizer.encode(text) == chat.ids)
                // The reference finds special tokens in messages; here only those that are allowed.
                let mentioned = subject.tokenizer.addedTokens.filter { token in
                    token.isSpecial && chat.messages.contains { $0.content.contains(token.content) }
                }
                let ids = try form.template.encode(
                    chat.messages,
                    with: subject.tokenizer,
                    addsGenerationPrompt: chat.addsGenerationPrompt,
                    allowing: Set(mentioned.map(\.content))
                )
                #expect(ids == chat.ids)
                if !mentioned.isEmpty {
                    let safe = try form.template.encode(
                        chat.messages,
                        with: subject.tokenizer,
                        addsGenerationPrompt: chat.addsGenerationPrompt
                    )
                    #expect(!safe.contains { id in mentioned.contains { $0.id == id } })
                    let decoded = try subject.tokenizer.decode(safe, skippingSpecialTokens: false)
                    #expect(bytes(decoded) == bytes(chat.rendered))
                }
            }
        }
    }

    @Test func `ids streamed one by one give the decoded text`() throws {
        for subject in subjects {
            for ids in subject.golden.decode.map(\.ids) + subject.golden.cases.map(\.ids) {
                var decoder = StreamingDecoder(tokenizer: subject.tokenizer)
                var text = ""
                for id in ids { text += try decoder.append(id) }
                text += try decoder.finish()
                #expect(bytes(text) == bytes(try subject.tokenizer.decode(ids)))
            }
        }
    }

    @Test func `several threads may share a tokenizer`() async throws {
        for subject in subjects {
            let (tokenizer, golden) = (subject.tokenizer, subject.golden)
            try await withThrowingTaskGroup(of: [[Int]].self) { group in
                for _ in 0..<4 { group.addTask { try golden.cases.map { try tokenizer.encode($0.text) } } }
                for try await ids in group { #expect(ids == golden.cases.map(\.ids)) }
            }
        }
    }
}
