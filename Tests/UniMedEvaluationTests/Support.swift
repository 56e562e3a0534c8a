import Foundation
import Torch
import TorchNN
import UniMedData
import UniMedEvaluation
import UniMedModel
import UniMedTokenizers

/// A folder of its own for one test, removed with the object.
final class TemporaryFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-evaluation-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}

/// One token per byte.
struct ByteTokenizer: Tokenizer {
    let vocabularySize = 259
    let bosID: Int? = 1
    let eosID = 2
    let padID = 0

    func encode(_ text: String, addBOS: Bool) throws(TokenizerError) -> [Int] {
        (addBOS ? [1] : []) + text.utf8.map { Int($0) + 3 }
    }

    func decode(_ ids: [Int], skippingSpecialTokens: Bool) throws(TokenizerError) -> String {
        String(decoding: ids.filter { $0 >= 3 }.map { UInt8($0 - 3) }, as: UTF8.self)
    }
}

/// The smallest model that has every part.
enum Tiny {
    static let configuration = UniMedConfiguration(
        vision: VisionConfiguration(imageSize: 16, patchSize: 8, hiddenSize: 16, layerCount: 1, headCount: 2),
        resampler: .projection(rate: 2),
        connector: ConnectorConfiguration(expertCount: 3),
        language: LlamaConfiguration(
            vocabularySize: 259,
            hiddenSize: 16,
            intermediateSize: 32,
            layerCount: 1,
            headCount: 2
        ),
        fineTuning: .full
    )

    /// A model with weights large enough that different prompts have different answers.
    static func model(seed: UInt64 = 5, connector: ConnectorConfiguration = configuration.connector) throws -> UniMed {
        var configuration = configuration
        configuration.connector = connector
        try Runtime.seed(seed)
        let model = try UniMed(configuration)
        for (_, parameter) in model.namedParameters() where parameter.value.rank >= 2 {
            try parameter.load(parameter.value * 8)
        }
        return model
    }

    /// Prepared data of every task: `count` samples each, split three to one into training and validation.
    static func data(_ folder: TemporaryFolder, count: Int = 8, withoutPicture: Set<String> = []) throws -> PreparedData
    {
        var samples: [Sample] = []
        var pictures = ImageShardWriter(folder: folder.url, size: 16)
        for number in 0..<count {
            let path = "\(number).png"
            if !withoutPicture.contains(path) {
                let pixels = (0..<16 * 16 * 3).map { UInt8(truncatingIfNeeded: ($0 % 48) * (number + 1)) }
                try pictures.append(pixels, dataset: "made", path: path)
            }
            for task in MedicalTask.allCases { samples.append(sample(number, task)) }
        }
        try pictures.finish()
        try PreparedData.write(
            samples: samples,
            annotations: [],
            sources: [],
            key: "made",
            imageSize: 16,
            to: folder.url
        )
        return try PreparedData.open(at: folder.url)
    }

    private static func sample(_ number: Int, _ task: MedicalTask) -> Sample {
        let answers = ["liver", "left lung", "spleen", "heart"]
        return Sample(
            id: "\(task.rawValue)-\(number)",
            dataset: "made",
            split: number % 4 == 3 ? .validation : .train,
            task: task,
            group: "case \(number)",
            image: task.usesImage ? ImageReference(path: "\(number).png", width: 200, height: 100) : nil,
            question: "Question \(String(repeating: "x", count: number * 3))?",
            questionKind: "kind",
            objectName: answers[number % 4],
            box: BoundingBox(xMin: 20, yMin: 10, xMax: 120 + Double(number), yMax: 60),
            choices: task == .imageClassification ? answers : nil,
            answer: task == .referringExpressionComprehension ? "" : answers[number % 4]
        )
    }

    /// Short answers, so that tests are quick.
    static func options(batchSize: Int = 4) -> EvaluationOptions {
        EvaluationOptions(
            batchSize: batchSize,
            maximumNewTokens: Dictionary(uniqueKeysWithValues: MedicalTask.allCases.map { ($0, 6) })
        )
    }
}
