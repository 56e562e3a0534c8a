import Foundation
import UniMedData
import UniMedMetrics

/// What scoring reports costs, beside pycocoevalcap and `rouge`: the same texts, and equal scores.
struct MetricsBenchmark {
    let peer: PeerProcess?
    /// The folder with METEOR's data; `nil` takes that of the peer's pycocoevalcap.
    let meteorData: URL?
    let count: Int
    let rounds: Int
    /// What the scores were, filled in by ``run(_:)``.
    private(set) var notes: [String] = []

    init(peer: PeerProcess?, meteorData: URL?, count: Int, rounds: Int) {
        self.peer = peer
        self.meteorData = meteorData
        self.count = count
        self.rounds = rounds
    }

    private struct FolderRequest: Encodable { let command = "metricsData" }
    private struct Folder: Decodable { let folder: String }
    private struct ScoreRequest: Encodable {
        let command = "metrics"
        let file: String
    }
    private struct Answer: Decodable {
        let seconds: [String: Double]
        let scores: [String: Double]
    }
    private struct Line: Encodable {
        let prediction: String
        let reference: String
        let predictionOnce: String
        let referenceOnce: String
        let predictionTwice: String
        let referenceTwice: String
    }

    /// Times both sides in turns.
    mutating func run(_ progress: ProgressPrinter) throws -> [BenchmarkResult] {
        let (predictions, references) = reports()
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-bench-\(UUID()).jsonl")
        defer { try? FileManager.default.removeItem(at: file) }
        try JSONLines.write(
            zip(predictions, references).map { prediction, reference in
                let answer = WordNormalizer.cleanedPrediction(prediction)
                let answerOnce = WordNormalizer.normalize(answer)
                let referenceOnce = WordNormalizer.normalize(reference)
                return Line(
                    prediction: answer,
                    reference: reference,
                    predictionOnce: answerOnce,
                    referenceOnce: referenceOnce,
                    predictionTwice: WordNormalizer.normalize(answerOnce),
                    referenceTwice: WordNormalizer.normalize(referenceOnce)
                )
            },
            to: file
        )
        let folder =
            try meteorData
            ?? peer.map { try $0.request(FolderRequest(), Folder.self) }.map {
                URL(fileURLWithPath: $0.folder, isDirectory: true)
            }
        var ours: [Double] = []
        var theirs: [Double] = []
        var difference: Double?
        var missing: [METEOR.Stage] = []
        for round in 1...rounds {
            let start = ContinuousClock.now
            // The data is read anew in every round, as the peer's Java does.
            let scores = try ReportScores(
                predictions: predictions,
                references: references,
                options: ReportScores.Options(meteor: try METEORResources.find(in: folder))
            )
            let values = Self.values(scores)
            ours.append((ContinuousClock.now - start) / .seconds(1))
            missing = scores.missingStages
            if let answer = try peer?.request(ScoreRequest(file: file.path), Answer.self) {
                theirs.append(answer.seconds.values.reduce(0, +))
                let largest = values.map { name, value in abs(value - (answer.scores[name] ?? .infinity)) }.max()
                difference = max(difference ?? 0, largest ?? 0)
            }
            progress.show("report metrics", round, of: rounds, unit: "rounds")
        }
        progress.finish()
        if let difference {
            notes.append(
                "Report metrics: the largest difference of BLEU-1 to 4, ROUGE-1, 2, L and METEOR from the peer's is "
                    + String(format: "%.1e", difference) + "; ours has the word normaliser in its time as well."
            )
            guard difference < 1e-6 else {
                throw Failure.failed("the report metrics differ from the peer's by \(difference)")
            }
        }
        if !missing.isEmpty {
            notes.append(
                "Report metrics: METEOR without its stages \(missing.map(\.title).joined(separator: " and ")); give "
                    + "--meteor-data."
            )
        }
        return [
            BenchmarkResult(
                "score \(count) reports: BLEU, ROUGE, METEOR",
                unit: "s",
                ours: ours,
                peer: theirs.isEmpty ? nil : theirs,
                goal: .speed(atLeast: 10, as: "pycocoevalcap's and rouge's")
            )
        ]
    }

    private static func values(_ scores: ReportScores) -> [String: Double] {
        var values: [String: Double] = [:]
        for (index, value) in scores.bleu.enumerated() { values["bleu\(index + 1)"] = value }
        values["meteor"] = scores.meteor?.score
        values["rouge1"] = scores.rouge?.rouge1.f1
        values["rouge2"] = scores.rouge?.rouge2.f1
        values["rougeL"] = scores.rouge?.rougeL.f1
        return values
    }

    private static let organs = [
        "heart", "right lung", "left lung", "mediastinum", "pleura", "trachea", "aorta", "diaphragm", "thoracic spine",
        "right upper lobe", "left lower lobe", "hila", "cardiac silhouette", "costophrenic angle", "rib cage",
    ]
    private static let findings = [
        "is normal in size", "is enlarged", "is clear", "shows a small nodule of {n} mm",
        "shows a mass of {n} x {m} cm",
        "is unremarkable", "appears slightly widened", "demonstrates mild atelectasis", "has no focal consolidation",
        "contains an opacity that may represent pneumonia", "is stable compared with the prior examination",
        "shows increased interstitial markings, consistent with edema", "is partially obscured by overlying devices",
        "has degenerative changes", "shows no evidence of pneumothorax or pleural effusion",
    ]
    private static let openings = [
        "The {organ} {finding}.", "There is no change: the {organ} {finding}.", "On this view, the {organ} {finding}.",
        "In comparison to the study of {n}/{m}/2019 the {organ} {finding}.", "The patient's {organ} {finding}.",
    ]

    /// Made-up reports of about 50 words, and answers that share most of their sentences with them.
    private func reports() -> (predictions: [String], references: [String]) {
        var generator = SeededGenerator(seed: 0)
        func pick(_ list: [String]) -> String { list[generator.integer(below: list.count)] }
        func sentence() -> String {
            pick(Self.openings).replacingOccurrences(of: "{organ}", with: pick(Self.organs))
                .replacingOccurrences(of: "{finding}", with: pick(Self.findings))
                .replacingOccurrences(of: "{n}", with: "\(1 + generator.integer(below: 12))")
                .replacingOccurrences(of: "{m}", with: "\(1 + generator.integer(below: 9))")
        }
        var predictions: [String] = []
        var references: [String] = []
        for _ in 0..<count {
            let reference = (0..<(3 + generator.integer(below: 5))).map { _ in sentence() }
            var prediction = reference.map { generator.integer(below: 2) == 0 ? $0 : sentence() }
            if prediction.count > 1, generator.integer(below: 3) == 0 { prediction.swapAt(0, prediction.count - 1) }
            references.append(reference.joined(separator: " "))
            predictions.append(prediction.joined(separator: " "))
        }
        return (predictions, references)
    }
}
