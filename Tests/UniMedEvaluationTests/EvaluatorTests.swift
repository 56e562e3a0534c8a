import Foundation
import Testing
import Torch
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedModel

@Suite("Evaluator", .serialized)
struct EvaluatorTests {
    @Test func `every sample of the split is answered once, in the order of the data`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let evaluator = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: Tiny.options())
        var progress: [EvaluationProgress] = []
        let result = try evaluator.evaluate(data, progress: { progress.append($0) })
        let expected = data.indices(split: .validation).map { data.samples[$0].id }
        #expect(result.predictions.map(\.id) == expected)
        #expect(result.table.rows.count == MedicalTask.allCases.count)
        #expect(result.table.rows.allSatisfy { $0.n == 2 && $0.skipped == 0 })
        #expect(progress.map(\.done) == progress.map(\.done).sorted())
        #expect(progress.first?.done == 0 && progress.last?.done == expected.count)
        #expect(progress.allSatisfy { $0.total == expected.count })
        #expect(result.generatedTokenCount <= expected.count * 6)
    }

    @Test(arguments: [
        ConnectorConfiguration.linear, .mlp(layerCount: 2), ConnectorConfiguration(router: .hard(by: .task)),
        ConnectorConfiguration(expert: .linear, expertCount: 3, router: .sparse(topK: 2)),
    ])
    func `routing figures are there only for connectors with experts`(connector: ConnectorConfiguration) throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let evaluator = try Evaluator(
            model: Tiny.model(connector: connector),
            tokenizer: ByteTokenizer(),
            options: Tiny.options()
        )
        let routing = try evaluator.evaluate(data).routing
        #expect(routing.isEmpty == (connector.expertCount == 0))
        for task in routing {
            #expect(task.meanWeights.count == connector.expertCount)
            #expect(abs(task.meanWeights.reduce(0, +) - 1) < 1e-5)
            if case .hard(by: .task) = connector.mixture?.router {
                #expect(task.meanWeights.firstIndex(of: 1) == connector.tasks.firstIndex(of: task.task))
            }
        }
    }

    @Test func `answers do not depend on what else is in the batch`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder, count: 16)
        let model = try Tiny.model()
        let answers = try [1, 3, 32].map { size in
            try Evaluator(model: model, tokenizer: ByteTokenizer(), options: Tiny.options(batchSize: size))
                .evaluate(data).predictions.map(\.prediction)
        }
        #expect(answers[0] == answers[1])
        #expect(answers[0] == answers[2])
        #expect(Set(answers[0]).count > 2, "the tiny model tells prompts apart")
    }

    @Test func `pictures change answers, and the single answer is the one of the evaluation`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder, count: 16)
        var options = Tiny.options()
        options.tasks = [.visualQuestionAnswering]
        let evaluator = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: options)
        let predictions = try evaluator.evaluate(data).predictions
        for prediction in predictions {
            let sample = try #require(data.samples.first { $0.id == prediction.id })
            let position = try #require(data.images.position(of: sample))
            let pixels = data.images.withPixels(at: position) { [UInt8]($0) }
            let answer = try evaluator.answer(
                task: sample.task,
                instruction: prediction.instruction,
                pixels: pixels
            )
            #expect(answer == prediction.prediction)
        }
        let instruction = try #require(predictions.first?.instruction)
        let black = [UInt8](repeating: 0, count: 16 * 16 * 3)
        let noisy = (0..<16 * 16 * 3).map { UInt8(truncatingIfNeeded: $0 &* 97) }
        #expect(
            try evaluator.answer(task: .visualQuestionAnswering, instruction: instruction, pixels: black)
                != evaluator.answer(task: .visualQuestionAnswering, instruction: instruction, pixels: noisy)
        )
    }

    @Test func `each metric stands beside the baseline of the training split`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let result = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: Tiny.options())
            .evaluate(data)
        for row in result.table.rows {
            let primary = try #require(row.primary)
            let difference = try #require(primary.difference)
            #expect(abs(difference.difference - (primary.value - (primary.baseline ?? .nan))) < 1e-12)
            #expect(difference.lower <= difference.difference && difference.difference <= difference.upper)
        }
        #expect(result.predictions.allSatisfy { $0.baseline != nil && $0.baselineScores != nil })
        // Validation answers "heart", training never: the most frequent training answer scores nothing.
        let cls = try #require(result.table.rows.first { $0.task == .imageClassification }?.primary)
        #expect(cls.metric == .accuracy && cls.baseline == 0)
    }

    @Test func `samples without their picture are counted as skipped`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder, withoutPicture: ["3.png"])
        let result = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: Tiny.options())
            .evaluate(data)
        for row in result.table.rows {
            #expect(row.skipped == (row.task.usesImage ? 1 : 0))
            #expect(row.n == (row.task.usesImage ? 1 : 2))
        }
    }

    @Test func `a limit draws the same samples every time, and tasks and data sets can be chosen`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder, count: 40)
        let model = try Tiny.model()
        func ids(_ change: (inout EvaluationOptions) -> Void) throws -> [String] {
            var options = Tiny.options()
            options.tasks = [.questionAnswering, .imageClassification]
            options.maximumSamplesPerPart = 3
            change(&options)
            return try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options).evaluate(data)
                .predictions.map(\.id)
        }
        let first = try ids { _ in }
        #expect(first.count == 6)
        #expect(try ids { _ in } == first)
        #expect(try ids { $0.seed = 1 } != first)
        #expect(try ids { $0.tasks = [.questionAnswering] }.allSatisfy { $0.hasPrefix("qa-") })
        #expect(throws: EvaluationError.self) { try ids { $0.datasets = ["other"] } }
        #expect(throws: EvaluationError.self) { try ids { $0.split = .test } }
    }

    @Test func `routing weights of each image task sum to one`() throws {
        let folder = try TemporaryFolder()
        let result = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: Tiny.options())
            .evaluate(Tiny.data(folder))
        #expect(result.routing.map(\.task) == MedicalTask.allCases.filter(\.usesImage))
        for routing in result.routing {
            #expect(routing.meanWeights.count == 3)
            #expect(abs(routing.meanWeights.reduce(0, +) - 1) < 1e-5)
            #expect(routing.imageCount == 2)
        }
    }

    @Test func `an evaluation that is stopped throws and one of another picture size is refused`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let model = try Tiny.model()
        let evaluator = try Evaluator(model: model, tokenizer: ByteTokenizer(), options: Tiny.options())
        #expect(throws: EvaluationError.cancelled) { try evaluator.evaluate(data, isCancelled: { true }) }
        let other = ImageInput(storedSize: 32) { pixels throws(TorchError) in try ImageTensor.normalized(pixels) }
        let mismatched = try Evaluator(model: model, tokenizer: ByteTokenizer(), input: other)
        #expect(throws: EvaluationError.imageSize(expected: 32, got: 16)) { try mismatched.evaluate(data) }
    }

    @Test func `options out of range are refused by name`() throws {
        let model = try Tiny.model()
        var options = EvaluationOptions(batchSize: 0)
        #expect(throws: EvaluationError.invalidOption(field: "batchSize", expected: "a positive number", got: "0")) {
            try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options)
        }
        options = EvaluationOptions(maximumNewTokens: [.reportGeneration: 0])
        #expect(throws: EvaluationError.self) {
            try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options)
        }
        options = EvaluationOptions(generation: GenerationOptions(temperature: 1, topP: 2))
        #expect(
            throws: EvaluationError.invalidOption(field: "topP", expected: "a number in 0...1", got: "2.0")
        ) {
            try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options)
        }
        options = EvaluationOptions(maximumSamplesPerPart: 0)
        #expect(throws: EvaluationError.self) {
            try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options)
        }
    }

    @Test func `predictions are written as JSON lines that read back equal`() throws {
        let folder = try TemporaryFolder()
        let result = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: Tiny.options())
            .evaluate(Tiny.data(folder))
        let file = folder.url.appendingPathComponent("predictions.jsonl")
        try result.writePredictions(to: file)
        #expect(try JSONLines.read(PredictionRecord.self, from: file) == result.predictions)
    }

    @Test func `constrained answers have their form, and without constraints they do not`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let model = try Tiny.model()
        var options = Tiny.options()
        options.generation = GenerationOptions(maximumNewTokens: 24, constrained: true)
        func answers(_ task: MedicalTask) throws -> [String] {
            try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options).evaluate(data)
                .predictions.filter { $0.task == task }.map(\.prediction)
        }
        for text in try answers(.referringExpressionComprehension) {
            let box = try #require(NormalizedBox(parsing: text, search: .publishedCode))
            #expect(box.text() == text && box.xMin < box.xMax && box.yMin < box.yMax)
        }
        let labels = ["liver", "left lung", "spleen", "heart"]
        #expect(try answers(.imageClassification).allSatisfy(labels.contains))
        options.generation.constrained = false
        #expect(try answers(.referringExpressionComprehension).allSatisfy { NormalizedBox(parsing: $0) == nil })
        #expect(try !answers(.imageClassification).contains(where: labels.contains))
    }

    @Test func `draws belong to their samples, whatever the batch`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let model = try Tiny.model()
        func texts(batchSize: Int, seed: UInt64) throws -> [String] {
            var options = Tiny.options(batchSize: batchSize)
            options.generation = GenerationOptions(temperature: 2, seed: seed)
            return try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options).evaluate(data)
                .predictions.map { "\($0.id) \($0.prediction)" }
        }
        let first = try texts(batchSize: 4, seed: 1)
        #expect(try texts(batchSize: 1, seed: 1) == first)
        #expect(try texts(batchSize: 4, seed: 2) != first)
    }

    @Test func `a request says how it is answered`() throws {
        let model = try Tiny.model()
        let evaluator = try Evaluator(model: model, tokenizer: ByteTokenizer(), options: Tiny.options())
        var request = ModelRequest(task: .questionAnswering, text: "Why?", choices: ["yes", "no", "maybe"])
        let plain = try evaluator.answer(request)
        #expect(try evaluator.answer(task: .questionAnswering, instruction: "Why?") == plain.text)
        request.generation = GenerationOptions(constrained: true)
        var shown = ""
        let answer = try evaluator.answer(
            request,
            onToken: { step in
                shown = step.text
                return .proceed
            }
        )
        #expect(["yes", "no", "maybe"].contains(answer.text) && shown == answer.text)
        request.generation = GenerationOptions(topP: 2)
        #expect(throws: EvaluationError.self) { try evaluator.answer(request) }
        #expect(try evaluator.answer(request.with { $0.generation = nil }, isCancelled: { true }).finish == .cancelled)
    }
}

extension ModelRequest {
    /// A copy with a change.
    fileprivate func with(_ change: (inout ModelRequest) -> Void) -> ModelRequest {
        var copy = self
        change(&copy)
        return copy
    }
}
