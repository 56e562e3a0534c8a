public import Foundation
import UniMedData

/// What is logged of the steps since the last line.
public struct TrainingMetrics: Codable, Sendable, Equatable {
    /// The steps that are done.
    public var step: Int
    /// The mean loss of the steps: the mean over each step's answer tokens.
    public var loss: Double
    /// The mean loss of the answer tokens of each task, by short code; without the tasks that were not drawn.
    public var taskLosses: [String: Double]
    /// The samples of each task, by short code.
    public var taskSamples: [String: Int]
    /// The learning rate of the last step.
    public var learningRate: Double
    /// The norm of all gradients at the last step, before clipping.
    public var gradientNorm: Double
    /// Samples per second of wall time, since the last line.
    public var samplesPerSecond: Double
    /// Tokens per second of wall time, image tokens included, since the last line.
    public var tokensPerSecond: Double
    /// The share of the time since the last line in which steps waited for data, from 0 to 1.
    ///
    /// That is for prompts that were not ready, and for cached features being read; `nil` in lines of earlier versions.
    public var dataWaitShare: Double?
    /// The mean routing weight of each expert over the image tokens of a task, by short code; empty without experts.
    public var routingWeights: [String: [Double]]
    /// The samples seen since the start of the run.
    public var samplesSeen: Int
    /// The seconds of training since the start of the run, without the time it was interrupted.
    public var elapsedSeconds: Double

    enum CodingKeys: String, CodingKey {
        case step, loss, taskLosses, taskSamples, learningRate, gradientNorm, samplesPerSecond, tokensPerSecond
        case dataWaitShare, routingWeights, samplesSeen, elapsedSeconds
    }

    /// Reads the metrics of a run's folder.
    ///
    /// - Throws: ``TrainingError`` that names the file and what is wrong.
    public static func read(from folder: URL) throws(TrainingError) -> [TrainingMetrics] {
        try training {
            try JSONLines.read(TrainingMetrics.self, from: folder.appendingPathComponent(MetricsLog.fileName))
        }
    }

    /// The numbers under the names that TensorBoard shows.
    var scalars: [(tag: String, value: Double)] {
        var scalars: [(tag: String, value: Double)] = [
            ("loss", loss), ("learning_rate", learningRate), ("gradient_norm", gradientNorm),
            ("speed/samples_per_second", samplesPerSecond), ("speed/tokens_per_second", tokensPerSecond),
        ]
        if let dataWaitShare { scalars.append(("speed/data_wait_share", dataWaitShare)) }
        for task in MedicalTask.allCases {
            if let loss = taskLosses[task.rawValue] { scalars.append(("loss/\(task.rawValue)", loss)) }
            for (expert, weight) in (routingWeights[task.rawValue] ?? []).enumerated() {
                scalars.append(("routing/\(task.rawValue)/expert_\(expert)", weight))
            }
        }
        return scalars
    }
}

/// The files in which a run's numbers are kept: `metrics.jsonl` and TensorBoard's events.
final class MetricsLog {
    /// The ends of both files, which a checkpoint remembers.
    struct Position: Codable, Sendable, Equatable {
        var metrics: Int
        var events: Int
    }

    static let fileName = "metrics.jsonl"

    private let lines: AppendFile
    private let events: TensorBoardWriter

    /// Opens the files of a folder, cut back to a position.
    init(folder: URL, keeping position: Position) throws(TrainingError) {
        lines = try AppendFile(folder.appendingPathComponent(Self.fileName), keeping: position.metrics)
        events = try TensorBoardWriter(folder: folder, keeping: position.events)
    }

    var position: Position { Position(metrics: lines.position, events: events.position) }

    func append(_ metrics: TrainingMetrics) throws(TrainingError) {
        let line = try training {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return try Array(encoder.encode(metrics)) + [UInt8(ascii: "\n")]
        }
        try lines.append(line)
        try events.write(metrics.scalars, step: metrics.step, wallTime: Date().timeIntervalSince1970)
    }

    func synchronize() throws(TrainingError) {
        try lines.synchronize()
        try events.synchronize()
    }
}
