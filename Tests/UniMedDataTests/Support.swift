import Foundation
import Testing
import UniMedData

/// A folder of its own for one test, removed with the object.
final class TemporaryFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-data-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func file(_ name: String) -> URL { url.appendingPathComponent(name) }

    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted()
    }
}

/// Where the golden numbers are: `UNIMED_GOLDEN`, else beside the repository.
enum Golden {
    static let root: URL = {
        if let path = ProcessInfo.processInfo.environment["UNIMED_GOLDEN"] { return URL(fileURLWithPath: path) }
        let repository = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return repository.deletingLastPathComponent().appendingPathComponent("shared/golden")
    }()

    static let textProcessing = root.appendingPathComponent("eval/text_processing/cases.json")
    static let grounding = root.appendingPathComponent("eval/grounding_metrics/cases.json")

    static func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }
}

/// The error that an operation throws; records an issue when it throws none.
func dataError(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) -> DataError? {
    let error = #expect(throws: DataError.self, sourceLocation: sourceLocation) { try body() }
    return error
}

func makeSample(
    _ id: String,
    task: MedicalTask = .visualQuestionAnswering,
    split: Split = .train,
    group: String? = nil,
    image: String? = "a.png",
    box: BoundingBox? = nil,
    objectName: String? = nil,
    choices: [String]? = nil,
    answer: String = "CT"
) -> Sample {
    Sample(
        id: id,
        dataset: "made",
        split: split,
        task: task,
        group: group,
        image: image.map { ImageReference(path: $0, width: 100, height: 80) },
        question: "What is it?",
        questionKind: "modality",
        objectName: objectName,
        box: box,
        choices: choices,
        answer: answer
    )
}
