import Foundation
import Testing
import Torch
import TorchNN
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedModel

@Suite("Evaluation of volumes", .serialized)
struct VolumeEvaluationTests {
    private func model(_ volume: VolumeConfiguration?) throws -> UniMed {
        var configuration = Tiny.configuration
        configuration.volume = volume
        try Runtime.seed(5)
        let model = try UniMed(configuration)
        for (_, parameter) in model.namedParameters() where parameter.value.rank >= 2 {
            try parameter.load(parameter.value * 8)
        }
        return model
    }

    private let tasks: [MedicalTask] = [
        .visualQuestionAnswering, .referringExpressionComprehension, .referringExpressionGeneration,
    ]

    /// Volumes of 3 to 9 slices, and as many pictures, with three questions each.
    private func data(_ folder: TemporaryFolder, count: Int = 6) throws -> PreparedData {
        var samples: [Sample] = []
        var pictures = ImageShardWriter(folder: folder.url, size: 16)
        for number in 0..<2 * count {
            let isVolume = number % 2 == 0
            let image = ImageReference(
                path: "\(number)",
                width: 200,
                height: 100,
                volume: isVolume ? VolumeReference(slices: 3 + number / 2, spacing: 2) : nil
            )
            for (slice, picture) in image.pictures.enumerated() {
                let pixels = (0..<16 * 16 * 3).map { UInt8(truncatingIfNeeded: ($0 % 48) * (number + 1) + slice * 31) }
                try pictures.append(pixels, dataset: "made", path: picture.path)
            }
            for task in tasks {
                samples.append(
                    Sample(
                        id: "\(task.rawValue)-\(number)",
                        dataset: "made",
                        split: number % 4 < 2 ? .validation : .train,
                        task: task,
                        image: image,
                        question: "Question \(number)?",
                        objectName: "liver",
                        box: BoundingBox(xMin: 20, yMin: 10, xMax: 120, yMax: 60),
                        boxSlices: isVolume ? SliceRange(1...2) : nil,
                        answer: task == .referringExpressionComprehension ? "" : "liver"
                    )
                )
            }
        }
        try pictures.finish()
        try PreparedData.write(samples: samples, annotations: [], sources: [], key: "v", imageSize: 16, to: folder.url)
        return try PreparedData.open(at: folder.url)
    }

    private func options(batchSize: Int = 4, constrained: Bool = false) -> EvaluationOptions {
        var options = Tiny.options(batchSize: batchSize)
        options.tasks = Set(tasks)
        options.generation.constrained = constrained
        if constrained { options.maximumNewTokens[.referringExpressionComprehension] = 32 }
        return options
    }

    @Test func `volumes and pictures are answered together as they are alone`() throws {
        let folder = try TemporaryFolder()
        let data = try data(folder)
        let model = try model(VolumeConfiguration(slices: 4, choice: .content, tokens: 4))
        let answers = try [1, 5, 32].map { size in
            try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options(batchSize: size)).evaluate(data)
        }
        #expect(answers[0].predictions.map(\.prediction) == answers[1].predictions.map(\.prediction))
        #expect(answers[0].predictions.map(\.prediction) == answers[2].predictions.map(\.prediction))
        #expect(answers[0].predictions.count == data.indices(split: .validation).count)
        for routing in answers[0].routing {
            #expect(routing.imageCount == 6 && abs(routing.meanWeights.reduce(0, +) - 1) < 1e-5)
        }
    }

    @Test(arguments: SliceSelection.Choice.allCases)
    func `a single request has the answer of the evaluation`(choice: SliceSelection.Choice) throws {
        let folder = try TemporaryFolder()
        let data = try data(folder)
        let evaluator = try Evaluator(
            model: model(VolumeConfiguration(slices: 4, choice: choice, tokens: 4)),
            tokenizer: ByteTokenizer(),
            options: options()
        )
        var answers: Set<String> = []
        for prediction in try evaluator.evaluate(data).predictions
        where prediction.task == .visualQuestionAnswering {
            let sample = try #require(data.samples.first { $0.id == prediction.id })
            let positions = try #require(data.images.positions(of: sample))
            let request = ModelRequest(task: sample.task, text: prediction.instruction, image: sample.image)
            let pixels = positions.flatMap { position in data.images.withPixels(at: position) { [UInt8]($0) } }
            #expect(try evaluator.answer(request, pixels: pixels).text == prediction.prediction)
            answers.insert(prediction.prediction)
        }
        #expect(answers.count > 1, "the tiny model tells volumes apart")
    }

    @Test func `an answer held to a box has six numbers for a volume and four for a picture`() throws {
        let folder = try TemporaryFolder()
        let data = try data(folder)
        let evaluator = try Evaluator(
            model: model(VolumeConfiguration(slices: 4)),
            tokenizer: ByteTokenizer(),
            options: options(constrained: true)
        )
        for prediction in try evaluator.evaluate(data).predictions
        where prediction.task == .referringExpressionComprehension {
            let sample = try #require(data.samples.first { $0.id == prediction.id })
            let isVolume = sample.image?.volume != nil
            #expect((NormalizedBox3D(parsing: prediction.prediction) != nil) == isVolume, "\(prediction.prediction)")
            #expect(prediction.prediction.count { $0 == "<" } == (isVolume ? 6 : 4))
        }
    }

    @Test func `a model without settings for volumes says so`() throws {
        let folder = try TemporaryFolder()
        let data = try data(folder)
        let evaluator = try Evaluator(model: model(nil), tokenizer: ByteTokenizer(), options: options())
        let error = #expect(throws: EvaluationError.self) { try evaluator.evaluate(data) }
        guard case .invalidOption("image", _, "a volume") = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func `requests about volumes name what is missing or too much`() throws {
        let volume = ImageReference(path: "", width: 20, height: 10, volume: VolumeReference(slices: 5))
        var request = ModelRequest(
            task: .referringExpressionGeneration,
            image: volume,
            box: BoundingBox(xMin: 1, yMin: 1, xMax: 9, yMax: 9)
        )
        func field() -> String? {
            do throws(EvaluationError) {
                _ = try request.instruction()
                return nil
            } catch {
                guard case .invalidOption(let field, _, _) = error else { return "\(error)" }
                return field
            }
        }
        #expect(field() == "boxSlices")
        request.boxSlices = SliceRange(2...5)
        #expect(field() == "boxSlices")
        request.boxSlices = SliceRange(2...4)
        #expect(field() == nil)
        #expect(try request.instruction().contains("<5><10><45><90><40><100>"))
        request.image?.volume = nil
        #expect(field() == "boxSlices")
        let evaluator = try Evaluator(model: model(VolumeConfiguration()), tokenizer: ByteTokenizer())
        let asked = ModelRequest(task: .visualQuestionAnswering, text: "What?", image: volume)
        #expect(throws: EvaluationError.self) {
            try evaluator.answer(asked, pixels: [UInt8](repeating: 0, count: 16 * 16 * 3))
        }
    }
}
