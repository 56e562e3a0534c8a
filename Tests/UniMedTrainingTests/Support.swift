import Foundation
import Testing
import TorchNN
import UniMedData
import UniMedModel
import UniMedTraining

/// A folder of its own for one test, removed with the object.
final class TemporaryFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-training-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func file(_ name: String) -> URL { url.appendingPathComponent(name) }
}

/// Suites that draw from the process's default generator, or set its number of threads: one test after the other.
@Suite(.serialized)
struct DefaultGeneratorTests {}

/// The names in a folder, sorted.
func names(in folder: URL) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
}

/// The error of a recipe; records an issue when it is accepted.
func recipeError(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> RecipeError? {
    #expect(throws: RecipeError.self, sourceLocation: sourceLocation) { try Recipe.parse(text, file: "a.yaml") }
}

/// Made data of all six tasks: pictures of 16 x 16 pixels with one or two coloured squares.
enum SyntheticData {
    static let size = 16
    static let dataset = "made"

    private struct Study {
        let path: String
        let split: Split
        let isBright: Bool
        let isRed: Bool
        let box: BoundingBox
        let hasSecond: Bool
        let pixels: [UInt8]
    }

    private static func study(_ number: Int, _ generator: inout SeededGenerator) -> Study {
        let (isBright, isRed) = (generator.uniform() < 0.5, generator.uniform() < 0.5)
        let (left, top) = (generator.integer(below: 9), generator.integer(below: 9))
        let side = 4 + generator.integer(below: 3)
        let hasSecond = generator.uniform() < 0.3
        var pixels = [UInt8](repeating: isBright ? 150 : 40, count: size * size * 3)
        func fill(_ left: Int, _ top: Int, _ side: Int, _ color: [UInt8]) {
            for y in top..<min(top + side, size) {
                for x in left..<min(left + side, size) {
                    for channel in 0..<3 { pixels[(y * size + x) * 3 + channel] = color[channel] }
                }
            }
        }
        fill(left, top, side, isRed ? [250, 10, 10] : [10, 10, 250])
        if hasSecond { fill(13, 13, 3, [10, 250, 10]) }
        // A few noisy pixels make every picture another one.
        for _ in 0..<8 { pixels[generator.integer(below: pixels.count)] = UInt8(generator.integer(below: 256)) }
        return Study(
            path: "picture-\(number).png",
            split: number % 5 == 0 ? .validation : .train,
            isBright: isBright,
            isRed: isRed,
            box: BoundingBox(
                xMin: Double(left * 10),
                yMin: Double(top * 10),
                xMax: Double((left + side) * 10),
                yMax: Double((top + side) * 10)
            ),
            hasSecond: hasSecond,
            pixels: pixels
        )
    }

    /// Prepared data of `count` pictures, originals of 160 x 160 pixels, and as many questions without a picture.
    static func make(in folder: URL, count: Int = 40, seed: UInt64 = 1) throws -> PreparedData {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        var generator = SeededGenerator(seed: seed)
        var writer = ImageShardWriter(folder: folder, size: size)
        var samples: [Sample] = []
        var annotations: [ImageAnnotation] = []
        for number in 0..<count {
            let study = study(number, &generator)
            try writer.append(study.pixels, dataset: dataset, path: study.path)
            let image = ImageReference(path: study.path, width: size * 10, height: size * 10)
            samples += self.samples(of: study, image: image, number: number)
            var objects = [NamedBox(name: study.isRed ? "red square" : "blue square", box: study.box)]
            if study.hasSecond {
                let box = BoundingBox(xMin: 130, yMin: 130, xMax: 160, yMax: 160)
                objects.append(NamedBox(name: "green square", box: box))
            }
            annotations.append(
                ImageAnnotation(
                    dataset: dataset,
                    split: study.split,
                    image: image,
                    objects: objects,
                    fields: ["brightness": study.isBright ? "bright" : "dark"],
                    text: "A square, \(study.isRed ? "red" : "blue"), on \(study.isBright ? "bright" : "dark") ground."
                )
            )
        }
        try writer.finish()
        try PreparedData.write(
            samples: samples,
            annotations: annotations,
            sources: [],
            key: "made \(seed) \(count)",
            imageSize: size,
            to: folder
        )
        return try PreparedData.open(at: folder)
    }

    private static func samples(of study: Study, image: ImageReference, number: Int) -> [Sample] {
        let (tone, color) = (study.isBright ? "bright" : "dark", study.isRed ? "red" : "blue")
        func sample(_ task: MedicalTask, _ suffix: String = "", _ change: (inout Sample) -> Void) -> Sample {
            var sample = Sample(
                id: "\(number) \(task.rawValue)\(suffix)",
                dataset: dataset,
                split: study.split,
                task: task,
                group: "\(number)",
                image: task.usesImage ? image : nil,
                answer: ""
            )
            change(&sample)
            return sample
        }
        return [
            sample(.questionAnswering) {
                $0.question = "Is \(number) even?"
                $0.answer = number.isMultiple(of: 2) ? "yes" : "no"
            },
            sample(.visualQuestionAnswering) {
                $0.question = "Is the ground bright or dark?"
                $0.questionKind = "ground"
                $0.answer = tone
            },
            sample(.visualQuestionAnswering, " count") {
                $0.question = "How many green square are in the image?"
                $0.questionKind = "count green square"
                $0.answer = study.hasSecond ? "1" : "0"
            },
            sample(.reportGeneration) { $0.answer = "A \(color) square on \(tone) ground." },
            sample(.referringExpressionComprehension) {
                $0.objectName = "\(color) square"
                $0.box = study.box
            },
            sample(.referringExpressionGeneration) {
                $0.objectName = "\(color) square"
                $0.box = study.box
                $0.answer = "\(color) square"
            },
            sample(.imageClassification) {
                $0.choices = ["bright", "dark"]
                $0.question = "Which category does this image belong to: bright or dark?"
                $0.answer = tone
            },
        ]
    }
}

extension Recipe {
    /// A tiny model on the made data.
    static func tiny(steps: Int = 8, pretraining: Bool = true, views: Int = 2) -> Recipe {
        Recipe(
            name: "tiny",
            seed: 3,
            threads: 1,
            data: DataConfiguration(
                sets: [
                    DatasetConfiguration(
                        importer: SyntheticData.dataset,
                        path: "nowhere",
                        augmentation: AugmentationConfiguration()
                    )
                ],
                imageSize: SyntheticData.size
            ),
            tokenizer: .train(TokenizerTraining(vocabularySize: 420)),
            model: UniMedConfiguration(
                vision: VisionConfiguration(
                    imageSize: 16,
                    patchSize: 4,
                    hiddenSize: 16,
                    layerCount: 2,
                    headCount: 2,
                    mlpRatio: 2
                ),
                resampler: .projection(rate: 4),
                connector: ConnectorConfiguration(router: RouterConfiguration(hiddenSize: 16)),
                language: LlamaConfiguration(
                    vocabularySize: 420,
                    hiddenSize: 32,
                    intermediateSize: 48,
                    layerCount: 2,
                    headCount: 2
                ),
                fineTuning: .full
            ),
            visionPretraining: pretraining ? VisionPretrainingConfiguration(steps: 4, batchSize: 4) : nil,
            training: TrainingConfiguration(
                steps: steps,
                batchSize: 6,
                learningRate: LearningRateConfiguration(peak: 2e-3, lowest: 1e-4, warmupSteps: 2),
                gradientClipping: 1,
                coordinateDeviation: 1.5,
                dropout: DropoutRates(language: 0.1, visualTokens: 0.1),
                views: views,
                checkpointEvery: 3,
                keptCheckpoints: 2,
                logEvery: 2
            )
        )
    }
}
