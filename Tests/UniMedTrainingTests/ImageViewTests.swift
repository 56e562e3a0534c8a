import Foundation
import Testing
import Torch
import UniMedData
import UniMedModel
import UniMedTokenizers
import UniMedTraining

@Suite("Views of pictures")
struct ImageViewTests {
    @Test func `preprocessing at the stored size is the reference's normalisation`() throws {
        let bytes = (0..<2 * 8 * 8 * 3).map { UInt8($0 % 256) }
        let pixels = try Tensor(bytes, shape: [2, 8, 8, 3])
        let own = try ImagePreprocessing(storedSize: 8, modelSize: 8)(pixels)
        #expect(try own.isEqual(to: ImageTensor.normalized(pixels)))
        #expect(throws: TorchError.self) { try ImagePreprocessing(storedSize: 9, modelSize: 8)(pixels) }
    }

    @Test func `half the size is the mean of four pixels`() throws {
        let bytes = (0..<4 * 4 * 3).map { UInt8($0 * 5) }
        let pixels = try Tensor(bytes, shape: [1, 4, 4, 3])
        let half = try ImagePreprocessing(storedSize: 4, modelSize: 2)(pixels)
        let unit = try pixels.permute(0, 3, 1, 2).to(.float32) / 255
        let means = try unit.reshape(1, 3, 2, 2, 2, 2).mean(3, 5)
        let difference = try (half - ImageTensor.normalized(unit: means)).abs().maximum().item()
        #expect(difference < 1e-5)
    }

    @Test func `a box in a view is where its pixels are`() throws {
        let augmentation = AugmentationConfiguration(symmetry: .square, rotation: 0, strength: 1)
        var generator = SeededGenerator(seed: 4)
        let box = BoundingBox(xMin: 0.3, yMin: 0.45, xMax: 0.5, yMax: 0.7)
        for index in 0..<20 {
            let view = ImageView.drawn(augmentation, for: .answers(index: index), &generator)
            let seen = view.box(box)
            // Without rotation a corner of the view's box is a corner of the picture's.
            for (x, y) in [(seen.xMin, seen.yMin), (seen.xMax, seen.yMax)] {
                let source = view.source(x: x, y: y)
                #expect(min(abs(source.x - box.xMin), abs(source.x - box.xMax)) < 1e-9)
                #expect(min(abs(source.y - box.yMin), abs(source.y - box.yMax)) < 1e-9)
            }
            let centre = view.source(x: (seen.xMin + seen.xMax) / 2, y: (seen.yMin + seen.yMax) / 2)
            #expect(abs(centre.x - 0.4) < 1e-9 && abs(centre.y - 0.575) < 1e-9)
        }
        #expect(ImageView.identity.visibleBox(box) == box)
    }

    @Test func `only symmetric data are mirrored where answers must hold`() {
        var generator = SeededGenerator(seed: 2)
        let plain = AugmentationConfiguration(symmetry: .none, rotation: 0)
        for index in 1..<30 {
            let view = ImageView.drawn(plain, for: .answers(index: index), &generator)
            #expect(view.matrix[0] > 0 && view.matrix[4] > 0)
            #expect(view.matrix[1] == 0 && view.matrix[3] == 0)
        }
        let square = AugmentationConfiguration(symmetry: .square, rotation: 0)
        let views = (0..<60).map { _ in ImageView.drawn(square, for: .answers(index: 1), &generator) }
        #expect(views.contains { $0.matrix[0] < 0 })
        #expect(views.contains { $0.matrix[1] != 0 })
        // Every second view of symmetric data shows the whole picture.
        #expect(views.allSatisfy { abs($0.matrix[2]) < 1e-12 && abs($0.matrix[5]) < 1e-12 })
    }

    @Test func `rows of views lie behind those of the pictures`() {
        let augmentation = AugmentationConfiguration()
        let plan = ViewPlan(augmentations: [nil, augmentation, nil, augmentation], views: 3, seed: 7)
        #expect(plan.rowCount == 8)
        #expect(plan.viewCount(of: 0) == 1)
        #expect(plan.viewCount(of: 3) == 3)
        var seen: Set<Int> = []
        for position in 0..<4 {
            for view in 0..<plan.viewCount(of: position) {
                let row = plan.row(of: position, view: view)
                #expect(seen.insert(row).inserted)
                let found = plan.view(atRow: row)
                #expect(found.position == position)
                #expect(found.view == plan.view(of: position, index: view))
            }
        }
        #expect(seen == Set(0..<8))
    }

    @Test func `singular values rebuild the matrix`() {
        var generator = SeededGenerator(seed: 9)
        let size = 12
        let matrix = (0..<size * size).map { _ in generator.normal() }
        let parts = SingularValues(of: matrix, size: size)
        #expect(zip(parts.values, parts.values.dropFirst()).allSatisfy { $0 >= $1 })
        for row in 0..<size {
            for column in 0..<size {
                let sum = (0..<size).reduce(0.0) {
                    $0 + parts.values[$1] * parts.left[$1 * size + row] * parts.right[$1 * size + column]
                }
                #expect(abs(sum - matrix[row * size + column]) < 1e-8)
            }
        }
    }
}

@Suite("Training examples")
struct TrainingExamplesTests {
    /// Every text is one token per byte.
    private struct ByteTokenizer: Tokenizer {
        let vocabularySize = 300
        let bosID: Int? = 256
        let eosID = 257
        let padID = 258

        func encode(_ text: String, addBOS: Bool) throws(TokenizerError) -> [Int] {
            (addBOS ? [256] : []) + text.utf8.map(Int.init)
        }

        func decode(_ ids: [Int], skippingSpecialTokens: Bool) throws(TokenizerError) -> String {
            String(decoding: ids.filter { (0..<256).contains($0) }.map(UInt8.init), as: UTF8.self)
        }
    }

    private func examples(
        _ data: PreparedData,
        balance: SampleBalance = .samples,
        views: Int = 1,
        augmentation: AugmentationConfiguration = AugmentationConfiguration()
    ) throws -> TrainingExamples {
        var configuration = Recipe.tiny().data
        configuration.balance = balance
        configuration.sets[0].augmentation = augmentation
        return try TrainingExamples(
            data,
            configuration: configuration,
            encoder: PromptEncoder(tokenizer: ByteTokenizer(), imageTokenCount: 4),
            plan: ViewPlan(data, recipe: configuration, views: views, seed: 5),
            seed: 5
        )
    }

    private func text(_ tokens: [Int]) throws -> String {
        try ByteTokenizer().decode(tokens, skippingSpecialTokens: true)
    }

    @Test func `a prompt has the task's tag once and the answer as its target`() throws {
        let folder = try TemporaryFolder()
        let data = try SyntheticData.make(in: folder.file("data"), count: 10)
        let examples = try examples(data)
        for (entry, index) in examples.entries.enumerated() {
            let sample = examples.samples[index]
            let draw = MixtureDraw(sampleIndex: entry, task: sample.task, seed: UInt64(entry))
            let example = try examples.example(for: draw)
            let prompt = try text(example.prompt.tokens)
            #expect(prompt.components(separatedBy: sample.task.promptTag).count == 2, "\(prompt)")
            #expect(example.featureRows.isEmpty != sample.task.usesImage)
            let target = try text(example.prompt.targets)
            #expect(target.hasPrefix(sample.answer), "\(target)")
            #expect(try examples.example(for: draw) == example)
        }
    }

    @Test func `rates stay the data's own where kinds are balanced`() throws {
        let folder = try TemporaryFolder()
        let data = try SyntheticData.make(in: folder.file("data"), count: 40)
        let plain = try examples(data)
        let balanced = try examples(data, balance: .kinds)
        #expect(plain.entries.count == plain.samples.count)
        guard case .explicit(let rates) = balanced.rates, case .explicit(let plainRates) = plain.rates else {
            Issue.record("rates are given as numbers")
            return
        }
        #expect(rates == plainRates)
        #expect(rates[.visualQuestionAnswering] == 64)
        func counts(_ examples: TrainingExamples) -> [String: Int] {
            examples.entries.reduce(into: [:]) { counts, index in
                let sample = examples.samples[index]
                guard sample.task == .referringExpressionComprehension else { return }
                counts[sample.objectName ?? "", default: 0] += 1
            }
        }
        #expect(Set(counts(balanced).values).count == 1)
        #expect(Set(counts(plain).values).count == 2)
    }

    @Test func `views carry boxes and counts along`() throws {
        let folder = try TemporaryFolder()
        let data = try SyntheticData.make(in: folder.file("data"), count: 20)
        let examples = try examples(data, views: 4)
        let comprehension = try #require(
            examples.samples.first { $0.task == .referringExpressionComprehension }
        )
        let picture = try #require(data.images.position(of: comprehension))
        let mirror = ImageView(matrix: [-1, 0, 0, 0, 1, 0])
        let seen = try #require(examples.adapt(comprehension, picture: picture, view: mirror)?.box)
        let box = try #require(comprehension.box)
        #expect(abs(seen.xMin - (160 - box.xMax)) < 1e-9)
        #expect(abs(seen.yMin - box.yMin) < 1e-9)
        // A view of the far corner, where nothing is, has no box to ask for.
        let corner = ImageView(matrix: [0.05, 0, -0.95, 0, 0.05, -0.95])
        let visible = box.xMin < 16 && box.yMin < 16
        #expect((examples.adapt(comprehension, picture: picture, view: corner) != nil) == visible)

        let counted = try #require(
            examples.samples.first { $0.questionKind == "count green square" && $0.answer == "1" }
        )
        let place = try #require(data.images.position(of: counted))
        #expect(examples.adapt(counted, picture: place, view: mirror)?.answer == "1")
        // The green square is in the corner at the lower right.
        let upperLeft = ImageView(matrix: [0.5, 0, -0.5, 0, 0.5, -0.5])
        #expect(examples.adapt(counted, picture: place, view: upperLeft)?.answer == "0")
    }

    @Test func `a training sample without its picture is told`() throws {
        let folder = try TemporaryFolder()
        let made = try SyntheticData.make(in: folder.file("data"), count: 10)
        var samples = made.samples
        samples[8].image?.path = "elsewhere.png"
        #expect(samples[8].split == .train && samples[8].task.usesImage)
        try PreparedData.write(
            samples: samples,
            annotations: made.annotations,
            sources: [],
            key: "broken",
            imageSize: 16,
            to: folder.file("data")
        )
        let data = try PreparedData.open(at: folder.file("data"))
        let error = #expect(throws: TrainingError.self) { _ = try examples(data) }
        #expect(error?.kind == .data)
        #expect(error?.problem.contains(samples[8].id) == true)
    }
}
