import Foundation
import UniMedReportMetrics

/// Numbers of small models with random weights, computed by the public tools (`Fixtures/README.md`).
enum Fixture {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")

    static func read<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(contentsOf: folder.appending(path: name)))
    }

    /// What `expected.json` holds.
    struct Expected: Decodable {
        struct BERTScoreCase: Decodable {
            var folder: String
            var layer: Int
            var idf: Bool
            var rescale: Bool
            var scores: [[Double]]
        }
        struct CheXbertNumbers: Decodable {
            var labels: [[LabelCode]]
            var vectors: [[Double]]
            var similarities: [Double]
            var accuracyFive: Double
            var fourteen: [String: Ratios]
            var five: [String: Ratios]

            enum CodingKeys: String, CodingKey {
                case labels, vectors, similarities, fourteen, five
                case accuracyFive = "accuracy_five"
            }
        }
        struct Ratios: Decodable {
            var precision: Double
            var recall: Double
            var f1: Double
            var support: Double

            enum CodingKeys: String, CodingKey {
                case precision, recall, support
                case f1 = "f1-score"
            }
        }
        /// The tool writes a blank as an empty text, the others as 1, 0 and -1.
        struct LabelCode: Decodable {
            var label: CheXbert.Label

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                guard let code = try? container.decode(Int.self) else {
                    label = .blank
                    return
                }
                label = code == 1 ? .positive : code == 0 ? .negative : .uncertain
            }
        }

        var predictions: [String]
        var references: [String]
        var bertscore: [BERTScoreCase]
        var chexbert: CheXbertNumbers

        var pairs: [ReportPair] {
            zip(predictions, references).map { ReportPair(prediction: $0, reference: $1) }
        }
    }

    static func expected() throws -> Expected { try read("expected.json") }

    /// A folder of its own, removed afterwards.
    static func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "report-metrics-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try body(folder)
    }
}
