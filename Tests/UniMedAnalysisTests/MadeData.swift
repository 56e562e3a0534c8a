import Foundation
import Torch
import UniMedAnalysis
import UniMedData
import UniMedEvaluation
import UniMedModel
import UniMedTesting

/// A folder of its own for one test, removed with the object.
final class TemporaryFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-analysis-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}

/// Made data with pictures of 16 x 16 pixels, half bright and half dark, in two data sets and two modalities.
enum MadeData {
    static let size = 16

    static func make(in folder: URL, count: Int = 24) throws -> PreparedData {
        var generator = SeededGenerator(seed: 4)
        var writer = ImageShardWriter(folder: folder, size: size)
        var samples: [Sample] = []
        for number in 0..<count {
            let (isBright, dataset) = (number.isMultiple(of: 2), number % 3 == 0 ? "first" : "second")
            let level = isBright ? 170 : 50
            let pixels = (0..<size * size * 3).map { _ in UInt8(level + generator.integer(below: 60)) }
            let image = ImageReference(path: "\(number).png", width: size, height: size)
            try writer.append(pixels, dataset: dataset, path: image.path)
            func add(_ task: MedicalTask, _ change: (inout Sample) -> Void) {
                var sample = Sample(
                    id: "\(number) \(task.rawValue)",
                    dataset: dataset,
                    split: number % 4 == 3 ? .validation : .train,
                    task: task,
                    group: "\(number)",
                    image: task.usesImage ? image : nil,
                    answer: isBright ? "bright" : "dark"
                )
                sample.fields = ["modality": isBright ? "MR" : "CT"]
                change(&sample)
                samples.append(sample)
            }
            add(.questionAnswering) { $0.question = "Is \(number) even?" }
            add(.visualQuestionAnswering) { $0.question = "Is it bright or dark?" }
            add(.reportGeneration) { $0.answer = "A picture that is \(isBright ? "bright" : "dark")." }
            add(.imageClassification) {
                $0.choices = ["bright", "dark"]
                $0.question = "Which category does this image belong to: bright or dark?"
            }
        }
        try writer.finish()
        try PreparedData.write(
            samples: samples,
            annotations: [],
            sources: [],
            key: "made \(count)",
            imageSize: size,
            to: folder
        )
        return try PreparedData.open(at: folder)
    }

    /// Pictures, and in another data set volumes all of whose slices are one of these pictures; all for validation.
    static func makeVolumes(in folder: URL, count: Int = 12) throws -> PreparedData {
        var generator = SeededGenerator(seed: 6)
        var writer = ImageShardWriter(folder: folder, size: size)
        var samples: [Sample] = []
        for number in 0..<count {
            let level = generator.integer(below: 190)
            let pixels = (0..<size * size * 3).map { _ in UInt8(level + generator.integer(below: 60)) }
            for (dataset, volume) in [("pictures", nil), ("volumes", VolumeReference(slices: 3 + number % 3))] {
                let image = ImageReference(path: "\(number)", width: size, height: size, volume: volume)
                for picture in image.pictures { try writer.append(pixels, dataset: dataset, path: picture.path) }
                samples.append(
                    Sample(
                        id: "\(dataset) \(number)",
                        dataset: dataset,
                        split: .validation,
                        task: .visualQuestionAnswering,
                        image: image,
                        question: "Is it bright?",
                        answer: level < 95 ? "no" : "yes"
                    )
                )
            }
        }
        try writer.finish()
        try PreparedData.write(
            samples: samples,
            annotations: [],
            sources: [],
            key: "made volumes \(count)",
            imageSize: size,
            to: folder
        )
        return try PreparedData.open(at: folder)
    }

    /// The analysis of a model on made data.
    static func analysis(_ model: UniMed, _ data: PreparedData) -> ModelAnalysis {
        ModelAnalysis(
            model: model,
            tokenizer: ByteTokenizer(),
            encoder: PromptEncoder(
                tokenizer: ByteTokenizer(),
                imageTokenCount: model.configuration.imageTokenCount,
                volume: model.configuration.volume
            ),
            data: data,
            input: .sameSize(as: model),
            seed: 3
        )
    }
}
