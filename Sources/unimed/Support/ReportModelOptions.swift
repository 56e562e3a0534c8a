import ArgumentParser
import Foundation
import Torch
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedReportMetrics

/// The models that some metrics of reports need.
struct ReportModelOptionGroup: ParsableArguments {
    @Option(
        name: .customLong("report-models"),
        help: ArgumentHelp(
            "A folder with the checkpoints of BERTScore, CheXbert and RadGraph.",
            discussion: """
                bertscore/distilroberta-base; chexbert/chexbert.pth with vocab.txt; radgraph/model.tar.gz with \
                radgraph/encoder. Metrics whose checkpoint is not there are named in the report.
                """
        ),
        completion: .directory
    )
    var folder: String?

    @Option(name: .customLong("report-device"), help: "Where these models run: cpu, cuda or cuda:1.")
    var device = "cpu"

    /// Adds the scores of the models to the predictions of reports.
    ///
    /// - Returns: The metrics that were not computed; none where there are no reports.
    func score(
        _ files: inout [PredictionScorer.File],
        _ others: inout [PredictionScorer.File]
    ) throws -> [ScoreReport.MissingMetric] {
        let hasReports = (files + others).contains { $0.records.contains { $0.task == .reportGeneration } }
        guard hasReports else { return [] }
        let metrics: NeuralReportMetrics
        do {
            metrics = try NeuralReportMetrics(
                folder: folder.map { URL(fileURLWithPath: $0, isDirectory: true) },
                device: folder == nil ? .cpu : parsedDevice(device)
            )
        } catch let error as ReportMetricError {
            throw Failure.badInput("--report-models: \(error)")
        }
        for index in files.indices { try score(&files[index], metrics) }
        for index in others.indices { try score(&others[index], metrics) }
        return metrics.missing.map { ScoreReport.MissingMetric(metric: $0.metric, reason: $0.reason) }
    }

    private func score(_ file: inout PredictionScorer.File, _ metrics: NeuralReportMetrics) throws {
        let places = file.records.indices.filter { file.records[$0].task == .reportGeneration }
        // Scores of other models that a file may have are not ours.
        for place in places {
            for metric in NeuralReportMetrics.metrics { file.records[place].scores[metric] = nil }
        }
        let pairs = places.map {
            ReportPair(prediction: file.records[$0].prediction, reference: file.records[$0].reference)
        }
        for (place, scores) in zip(places, try metrics.scores(of: pairs).pairs) {
            file.records[place].scores.merge(scores) { _, new in new }
        }
    }
}
