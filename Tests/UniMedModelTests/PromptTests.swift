import Foundation
import Testing
import Torch
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting
import UniMedTokenizers

@Suite("Prompts")
struct PromptTests {
    private let tokenizer = ByteTokenizer()
    private var encoder: PromptEncoder { PromptEncoder(tokenizer: tokenizer, imageTokenCount: 4) }

    /// The text of a prompt, `*` for every place of an image.
    private func text(_ tokens: [Int]) throws -> String {
        try tokens.split(separator: EncodedPrompt.imageSlot, omittingEmptySubsequences: false).map {
            try tokenizer.decode(Array($0))
        }.joined(separator: "*")
    }

    @Test func `an image takes its places between its marks`() throws {
        let prompt = try encoder.training(
            task: .visualQuestionAnswering,
            instruction: "Is this a CT?",
            answer: "no",
            hasImage: true
        )
        #expect(prompt.hasImage)
        #expect(try text(prompt.tokens) == "[INST] <Img>****</Img> [vqa] Is this a CT?  [/INST]no")
        #expect(prompt.tokens.first == tokenizer.bosID && prompt.tokens.last == tokenizer.eosID)
        #expect(prompt.tokens.count { $0 == EncodedPrompt.imageSlot } == 4)
    }

    @Test func `the answer and its end are the only targets`() throws {
        let prompt = try encoder.training(task: .questionAnswering, instruction: "Q?", answer: "yes", hasImage: false)
        #expect(!prompt.hasImage)
        #expect(try text(prompt.tokens) == "[INST] [qa] Q? [/INST]yes")
        let targets = prompt.targets.filter { $0 != EncodedPrompt.noTarget }
        #expect(targets == (try tokenizer.encode("yes</s>")))
        #expect(Array(prompt.targets.suffix(4)) == Array(prompt.tokens.suffix(4)))
    }

    @Test(arguments: MedicalTask.allCases)
    func `every task is named by its tag`(task: MedicalTask) throws {
        let prompt = try encoder.training(task: task, instruction: "x", answer: "y", hasImage: task.usesImage)
        #expect(try text(prompt.tokens).contains(" \(task.promptTag) x"))
    }

    @Test func `without task identifiers a prompt is the instruction alone`() throws {
        let encoder = PromptEncoder(tokenizer: tokenizer, imageTokenCount: 4, taskIdentifiers: false)
        let task = MedicalTask.visualQuestionAnswering
        let prompt = try encoder.training(task: task, instruction: "Is this a CT?", answer: "no", hasImage: true)
        #expect(try text(prompt.tokens) == "[INST] <Img>****</Img> Is this a CT?  [/INST]no")
        let question = try encoder.evaluation(task: .questionAnswering, instruction: "Q?", hasImage: false)
        #expect(try text(question.tokens) == "[INST] Q? [/INST]")
        var configuration = UniMedConfiguration()
        configuration.taskIdentifiers = false
        let data = try JSONEncoder().encode(configuration)
        #expect(try JSONDecoder().decode(UniMedConfiguration.self, from: data) == configuration)
    }

    @Test func `an evaluation prompt is a training prompt without its answer`() throws {
        for hasImage in [true, false] {
            let task: MedicalTask = hasImage ? .reportGeneration : .questionAnswering
            let training = try encoder.training(task: task, instruction: "Q?", answer: "a", hasImage: hasImage)
            let evaluation = try encoder.evaluation(task: task, instruction: "Q?", hasImage: hasImage)
            #expect(evaluation.tokens == Array(training.tokens.dropLast(2)))
            #expect(evaluation.targets.allSatisfy { $0 == EncodedPrompt.noTarget })
        }
    }

    @Test func `the published evaluation prompt begins twice and has one space`() throws {
        let prompt = try encoder.evaluation(
            task: .imageClassification,
            instruction: "Q?",
            hasImage: true,
            form: .published
        )
        #expect(Array(prompt.tokens.prefix(2)) == [1, 1])
        #expect(try text(prompt.tokens) == "[INST] <Img>****</Img> [cls] Q? [/INST]")
        let caption = try encoder.evaluation(
            task: .reportGeneration,
            instruction: "Q?",
            hasImage: true,
            form: .published
        )
        #expect(try text(caption.tokens).hasSuffix("Q?  [/INST]"))
    }

    @Test func `too long a sequence loses the beginning of its instruction`() throws {
        let short = PromptEncoder(tokenizer: tokenizer, imageTokenCount: 4, maximumLength: 50)
        let prompt = try short.training(
            task: .visualQuestionAnswering,
            instruction: "A long story that ends with the question. Is it a cyst?",
            answer: "yes",
            hasImage: true
        )
        #expect(prompt.tokens.count == 50 && prompt.targets.count == 50)
        let read = try text(prompt.tokens.dropLast())
        #expect(read.hasPrefix("[INST] <Img>****</Img> [vqa] "))
        #expect(read.hasSuffix("cyst?  [/INST]yes") && !read.contains("story"))
        #expect(prompt.tokens.last == tokenizer.eosID)
        #expect(prompt.targets.count { $0 != EncodedPrompt.noTarget } == 4)
    }

    @Test func `too long an answer loses its end`() throws {
        let short = PromptEncoder(tokenizer: tokenizer, imageTokenCount: 4, maximumLength: 30)
        let prompt = try short.training(
            task: .questionAnswering,
            instruction: "Q?",
            answer: "a very long answer",
            hasImage: false
        )
        #expect(prompt.tokens.count == 30 && prompt.targets.count == 30)
        #expect(prompt.tokens.last != tokenizer.eosID)
    }

    @Test func `images and prompts must fit together`() throws {
        let prompt = try encoder.evaluation(task: .visualQuestionAnswering, instruction: "Q?", hasImage: true)
        let features = try TinyModel.features(count: 2)
        #expect(throws: TorchError.self) { try PromptBatch([prompt], features: nil, imageTokenCount: 4) }
        #expect(throws: TorchError.self) { try PromptBatch([prompt], features: features, imageTokenCount: 4) }
        let error = try #require(throws: TorchError.self) {
            try PromptBatch([prompt, prompt], features: features, imageTokenCount: 5)
        }
        #expect(error.description.contains("4 places for an image of 5 tokens"))
    }

    @Test func `embeddings stand in the order of the prompt`() throws {
        let model = try TinyModel.make()
        let features = try TinyModel.features(count: 1)
        let prompts = [
            try encoder.training(task: .questionAnswering, instruction: "A?", answer: "b", hasImage: false),
            try encoder.training(task: .imageClassification, instruction: "C?", answer: "d", hasImage: true),
        ]
        let batch = try PromptBatch(prompts, features: features, imageTokenCount: 4)
        let (embeddings, weights) = try model.embeddings(of: batch)
        #expect(weights?.shape == [1, 4, 3])
        let aligned = try model.alignedTokens(of: features, tasks: [4]).aligned
        var image = 0
        for (row, token) in prompts.flatMap(\.tokens).enumerated() {
            let expected: Tensor
            if token == EncodedPrompt.imageSlot {
                expected = try aligned.select(0, 0).select(0, image)
                image += 1
            } else {
                expected = try model.language.embedding(Tensor([token])).select(0, 0)
            }
            try expectClose(embeddings.select(0, row), expected, tolerance: 1e-6, "row \(row)")
        }
    }
}

@Suite("Batches")
struct BatchTests {
    private let encoder = PromptEncoder(tokenizer: ByteTokenizer(), imageTokenCount: 4)

    /// Prompts of all tasks, of different lengths; the number tells which features are a prompt's own.
    private func prompts() throws -> [(prompt: EncodedPrompt, image: Int?)] {
        let texts = [
            ("what is the most likely diagnosis of this patient ?", "b"), ("which organ ?", "the left lung"),
            ("describe it", "no acute process. mild cardiomegaly."), ("where is the heart", "{<3><18><59><88>}"),
            ("{<3><18><59><88>}", "heart"), ("which category", "ct"),
        ]
        var image = 0
        return try zip(MedicalTask.allCases, texts).map { task, text in
            let prompt = try encoder.training(
                task: task,
                instruction: text.0,
                answer: text.1,
                hasImage: task.usesImage
            )
            defer { image += task.usesImage ? 1 : 0 }
            return (prompt, task.usesImage ? image : nil)
        }
    }

    private func batch(_ items: [(prompt: EncodedPrompt, image: Int?)], _ features: Tensor) throws -> PromptBatch {
        let images = items.compactMap(\.image)
        return try PromptBatch(
            items.map(\.prompt),
            features: images.isEmpty ? nil : features.indexSelect(0, Tensor(images)),
            imageTokenCount: 4
        )
    }

    @Test func `losses in a packed batch are the losses one by one`() throws {
        let model = try TinyModel.make()
        let features = try TinyModel.features(count: 5)
        let items = try prompts()
        let together = try model.loss(batch(items, features), training: false)
        let losses = try together.tokenLosses.array(of: Float.self)
        var start = 0
        for (item, count) in zip(items, together.targetCounts) {
            let alone = try model.loss(batch([item], features), training: false)
            #expect(alone.targetCounts == [count])
            try expectClose(
                Tensor(Array(losses[start..<start + count])),
                alone.tokenLosses,
                tolerance: 1e-5,
                "\(item.prompt.task)"
            )
            start += count
        }
        // The mean over all answer tokens, not the mean of the prompts' means.
        #expect(abs(try together.loss.item() - Double(losses.reduce(0, +)) / Double(losses.count)) < 1e-5)
    }

    @Test func `gradients of a packed batch are the weighted sum of the gradients one by one`() throws {
        let model = try TinyModel.make()
        let features = try TinyModel.features(count: 5)
        let items = try prompts()
        func gradients(_ loss: Tensor) throws -> [String: Tensor] {
            for (_, parameter) in model.trainableParameters() { try parameter.value.setGradient(nil) }
            try loss.backward()
            return Dictionary(uniqueKeysWithValues: model.trainedGradients().map { ($0.name, $0.tensor) })
        }
        let output = try model.loss(batch(items, features), training: false)
        let together = try gradients(output.loss)
        var sums: [String: Tensor] = [:]
        for (item, count) in zip(items, output.targetCounts) {
            let share = Double(count) / Double(output.targetCounts.reduce(0, +))
            for (name, gradient) in try gradients(model.loss(batch([item], features), training: false).loss) {
                sums[name] = try sums[name].map { try $0 + gradient * share } ?? gradient * share
            }
        }
        #expect(Set(together.keys) == Set(sums.keys))
        for (name, gradient) in together { try expectClose(gradient, #require(sums[name]), tolerance: 1e-4, name) }
    }

    @Test func `an answer is the same alone, in any batch and in any order`() throws {
        let model = try TinyModel.make(seed: 3)
        let features = try TinyModel.features(count: 5)
        let items = try prompts().map { item in
            let waiting = item.prompt.targets.prefix { $0 == EncodedPrompt.noTarget }.count
            return (
                prompt: EncodedPrompt(
                    task: item.prompt.task,
                    tokens: Array(item.prompt.tokens.prefix(waiting)),
                    targets: Array(item.prompt.targets.prefix(waiting))
                ), image: item.image
            )
        }
        func answers(_ chosen: [Int]) throws -> [[Int]] {
            try model.generate(
                batch(chosen.map { items[$0] }, features),
                maximumNewTokens: 12,
                endOfSequence: ByteTokenizer().eosID
            )
        }
        let alone = try items.indices.map { try answers([$0])[0] }
        #expect(Set(alone).count > 1)
        for order in [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4], [2, 2, 0]] {
            #expect(try answers(order) == order.map { alone[$0] })
        }
    }

    @Test func `continuing token by token is reading all at once`() throws {
        let model = try TinyModel.make(seed: 4).language
        let tokens = (0..<9).map { 4 + 25 * $0 }
        let layout = try SequenceLayout(lengths: [9])
        try withoutGradients {
            let all = try model.hiddenStates(of: model.embedding(Tensor(tokens)), layout: layout)
            let cache = try model.makeCache(sequences: 1, capacity: 9, dtype: .float32, device: .cpu)
            _ = try model.hiddenStates(
                of: model.embedding(Tensor(Array(tokens.prefix(4)))),
                layout: SequenceLayout(lengths: [4]),
                cache: cache
            )
            for index in 4..<9 {
                let state = try model.decode(model.embedding(Tensor([tokens[index]])), cache: cache)
                try expectClose(state, all.narrow(0, start: index, length: 1), tolerance: 1e-5, "token \(index)")
            }
            #expect(throws: TorchError.self) { try model.decode(model.embedding(Tensor([1])), cache: cache) }
        }
    }

    @Test(arguments: [false, true])
    func `wanted tokens alone have the states and gradients that they have among all`(isCheckpointed: Bool) throws {
        let model = try TinyModel.make(seed: 4).language
        model.checkpointsBlocks = isCheckpointed
        let tokens = (0..<12).map { 4 + 20 * $0 }
        // Tokens in another order than they stand in, and a row of filler.
        let rows = [10, 2, 6, -1]
        func results(_ select: (Tensor, RowPlacement) throws -> Tensor) throws -> [Tensor] {
            let wanted = try RowPlacement(rows, sourceCount: tokens.count, device: .cpu)
            let embeddings = try model.embedding(Tensor(tokens)).detach().requireGradient()
            let states = try select(embeddings, wanted)
            let weight = try Tensor.arange(0, Double(states.count)).reshape(states.shape).to(.float32).sin()
            // The norm of a filler row is that of zeros either way.
            try (states * weight).sum().backward()
            let leaves = [embeddings] + model.trainableParameters().map(\.parameter.value)
            let gradients = leaves.compactMap(\.gradient)
            for leaf in leaves { try leaf.setGradient(nil) }
            return [try states.detach()] + gradients
        }
        let layout = try SequenceLayout(lengths: [5, 7])
        let alone = try results { try model.hiddenStates(of: $0, layout: layout, wanted: $1) }
        let amongAll = try results { try $1(model.hiddenStates(of: $0, layout: layout)) }
        #expect(alone.count == amongAll.count && alone.count > 10 && alone[0].shape == [4, 24])
        for (index, pair) in zip(alone, amongAll).enumerated() {
            try expectClose(pair.0, pair.1, tolerance: 1e-4, "\(index)")
        }
    }

    @Test func `an answer ends where it is told to`() throws {
        let model = try TinyModel.make(seed: 3)
        let prompt = try encoder.evaluation(task: .questionAnswering, instruction: "Q?", hasImage: false)
        let batch = try PromptBatch([prompt], features: nil, imageTokenCount: 4)
        let free = try model.generate(batch, maximumNewTokens: 10, endOfSequence: -1)[0]
        #expect(free.count == 10)
        let end = free[4]
        #expect(
            try model.generate(batch, maximumNewTokens: 10, endOfSequence: end)[0] == Array(free.prefix { $0 != end })
        )
        #expect(try model.generate(batch, maximumNewTokens: 3, endOfSequence: -1)[0] == Array(free.prefix(3)))
        #expect(try model.generate(batch, maximumNewTokens: 0, endOfSequence: -1) == [[]])
        var asked = 0
        let cancelled = try model.generate(batch, maximumNewTokens: 10, endOfSequence: -1) {
            asked += 1
            return asked > 2
        }
        #expect(cancelled[0] == Array(free.prefix(2)))
    }

    @Test func `a batch without an answer token has no loss`() throws {
        let model = try TinyModel.make()
        let prompt = try encoder.evaluation(task: .questionAnswering, instruction: "Q?", hasImage: false)
        let batch = try PromptBatch([prompt], features: nil, imageTokenCount: 4)
        let error = try #require(throws: TorchError.self) { try model.loss(batch) }
        #expect(error.description.contains("no answer token"))
    }

    @Test func `only what is to be trained is trained`() throws {
        let adapted = try TinyModel.make(
            TinyModel.configuration(fineTuning: .lowRank(LowRankConfiguration(rank: 2, dropout: 0)))
        )
        let names = adapted.trainableParameters().map(\.name)
        #expect(names.allSatisfy { $0.hasPrefix("connector.") || LowRankAdapter.owns($0) })
        #expect(names.count { LowRankAdapter.owns($0) } == 2 * 2 * 7)
        let frozen = try TinyModel.make(TinyModel.configuration(fineTuning: .frozen))
        #expect(frozen.trainableParameters().allSatisfy { $0.name.hasPrefix("connector.") })
        let full = try TinyModel.make()
        #expect(full.trainableParameters().contains { $0.name == "llm.lm_head.weight" })
        #expect(!full.trainableParameters().contains { $0.name.hasPrefix("visual_encoder.") })
    }
}
