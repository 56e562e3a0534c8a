import Foundation
import Testing
import UniMedData
import UniMedTasks

private let textPath = "eval/text_processing/cases.json"
private let batchPath = "model/full/batches.json"
private let generationPath = "model/full/generation.json"

private struct TextFixture: Decodable {
    struct Prompt: Decodable {
        var instruction: String
        var eval_prompt: String
        var eval_segments: [String]
        var train_prompt: String
        var train_segments: [String]
    }

    struct Target: Decodable {
        var answer: String
        var text: String
    }

    var prompts: [Prompt]
    var train_targets: [Target]
}

private struct Batch: Decodable {
    struct Row: Decodable {
        struct Segment: Decodable {
            var kind: String
            var string: String?
        }

        var prompt: String
        var answer: String
        var segments: [Segment]
    }

    var rows: [Row]
}

private struct Generation: Decodable {
    struct Call: Decodable {
        var task: String
        var image: Bool
        var texts: [String]
    }

    var calls: [Call]
}

private func texts(_ prompt: Prompt) -> [String] {
    prompt.segments.compactMap { segment in
        guard case .text(let text) = segment else { return nil }
        return text
    }
}

@Suite("Prompts")
struct PromptTests {
    @Test func `an image stands between its marks, and two spaces before the end in training`() {
        let prompt = Prompt(instruction: "[vqa] What is it?", form: .training, hasImage: true)
        #expect(prompt.segments == [.text("[INST] <Img>"), .image, .text("</Img> [vqa] What is it?  [/INST]")])
    }

    @Test func `question answering has no image and one space`() throws {
        let prompt = try Prompt(for: Samples.sample(.questionAnswering), form: .training, templateSeed: 0)
        #expect(prompt.segments.count == 1)
        #expect(prompt.text.hasSuffix("? [/INST]") && !prompt.text.hasSuffix("  [/INST]"))
        #expect(!prompt.text.contains("Img"))
    }

    @Test(arguments: MedicalTask.allCases.filter(\.usesImage))
    func `evaluation has one space before the end, two for reports`(task: MedicalTask) throws {
        let prompt = try Prompt(for: Samples.sample(task), form: .evaluation, templateSeed: 0)
        #expect(prompt.text.hasPrefix("<s>[INST] <Img>"))
        #expect(prompt.text.hasSuffix("  [/INST]") == (task == .reportGeneration))
    }
}

@Suite("Prompts against the reference", .enabled(if: Golden.has(textPath), "no golden files under UNIMED_GOLDEN"))
struct PromptGoldenTests {
    @Test func `prompts and their segments are identical`() throws {
        let fixture = try Golden.decode(TextFixture.self, from: textPath)
        #expect(!fixture.prompts.isEmpty)
        for item in fixture.prompts {
            let evaluation = Prompt(instruction: item.instruction, form: .evaluation, hasImage: true)
            #expect(evaluation.text == item.eval_prompt)
            #expect(texts(evaluation) == item.eval_segments)
            let training = Prompt(instruction: item.instruction, form: .training, hasImage: true)
            #expect(training.text == item.train_prompt)
            #expect(texts(training) == item.train_segments)
        }
    }

    @Test func `targets are identical`() throws {
        let fixture = try Golden.decode(TextFixture.self, from: textPath)
        #expect(!fixture.train_targets.isEmpty)
        for item in fixture.train_targets {
            #expect(Prompt.trainingTarget(item.answer) == item.text)
        }
    }

    @Test(.enabled(if: Golden.has(batchPath), "no golden files under UNIMED_GOLDEN"))
    func `the prompts of whole batches are laid out from their instructions`() throws {
        let batches = try Golden.decode([String: Batch].self, from: batchPath)
        for (tag, batch) in batches {
            let hasImage = tag != "qa"
            for row in batch.rows {
                let start = try #require(row.prompt.range(of: "[\(tag)]")).lowerBound
                let end = try #require(row.prompt.range(of: hasImage ? "  [/INST]" : " [/INST]")).lowerBound
                let instruction = String(row.prompt[start..<end])
                let prompt = Prompt(instruction: instruction, form: .training, hasImage: hasImage)
                #expect(prompt.text == row.prompt)
                #expect(texts(prompt) == row.segments.filter { $0.kind == "text" }.compactMap(\.string))
                let answer = row.segments.first { $0.kind == "answer" }?.string
                #expect(Prompt.trainingTarget(row.answer) == answer)
            }
        }
    }

    @Test(.enabled(if: Golden.has(generationPath), "no golden files under UNIMED_GOLDEN"))
    func `the prompts of generation are laid out from their instructions`() throws {
        let generation = try Golden.decode(Generation.self, from: generationPath)
        #expect(!generation.calls.isEmpty)
        for call in generation.calls {
            for text in call.texts {
                let start = try #require(text.range(of: call.image ? "</Img> " : "[INST] ")).upperBound
                let end = try #require(text.range(of: " [/INST]", options: .backwards)).lowerBound
                let prompt = Prompt(
                    instruction: String(text[start..<end]),
                    form: .evaluation,
                    hasImage: call.image
                )
                #expect(prompt.text == text)
            }
        }
    }
}
