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
    /// - Parameter annotations: RadGraph's annotations of the reports, instead of its model's.
    /// - Returns: The metrics that were not computed; none where there are no reports.
    func score(
        _ files: inout [PredictionScorer.File],
        _ others: inout [PredictionScorer.File],
        annotations: RadGraphAnnotationFiles? = nil
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
        var missing = metrics.missing
        for index in files.indices {
            missing = try score(&files[index], metrics, annotations.map { ($0, index) }) ?? missing
        }
        for index in others.indices {
            missing = try score(&others[index], metrics, annotations.map { ($0, files.count + index) }) ?? missing
        }
        return missing.map { ScoreReport.MissingMetric(metric: $0.metric, reason: $0.reason) }
    }

    /// - Returns: The metrics that were not computed; `nil` for a file without reports.
    private func score(
        _ file: inout PredictionScorer.File,
        _ metrics: NeuralReportMetrics,
        _ annotations: (files: RadGraphAnnotationFiles, place: Int)?
    ) throws -> [NeuralReportMetrics.Missing]? {
        let places = file.records.indices.filter { file.records[$0].task == .reportGeneration }
        guard !places.isEmpty else { return nil }
        // Scores of other models that a file may have are not ours.
        for place in places {
            for metric in NeuralReportMetrics.metrics { file.records[place].scores[metric] = nil }
        }
        let pairs = places.map {
            ReportPair(prediction: file.records[$0].prediction, reference: file.records[$0].reference)
        }
        let radGraph = try annotations.map { try $0.files.scores(of: places.map { file.records[$0] }, file: $0.place) }
        let scores = try metrics.scores(of: pairs, radGraphF1: radGraph)
        for (place, scores) in zip(places, scores.pairs) {
            file.records[place].scores.merge(scores) { _, new in new }
        }
        return scores.missing
    }
}

/// RadGraph's annotations of generated reports and of their references, read from files.
struct RadGraphAnnotationFiles {
    private typealias Annotations = (file: String, reports: [String: RadGraphAnnotation])

    private let predictions: [Annotations]
    private let references: Annotations

    /// Reads the files.
    ///
    /// - Parameters:
    ///   - predictions: One for each file of predictions, in their order.
    ///   - references: Of the references of all.
    init(predictions: [String], references: String) throws {
        func read(_ file: String) throws -> Annotations {
            do {
                return (file, try RadGraphAnnotation.read(URL(fileURLWithPath: file)))
            } catch {
                throw Failure.badInput("\(error)")
            }
        }
        self.predictions = try predictions.map(read)
        self.references = try read(references)
    }

    /// RadGraph's figures of reports, found in a file by their ids, or by their numbers, from 0 on, where it has none of the ids.
    func scores(of records: [PredictionRecord], file: Int) throws -> [RadGraphF1] {
        func ordered(_ annotations: Annotations) throws(Failure) -> [RadGraphAnnotation] {
            let hasIDs = records.contains { annotations.reports[$0.id] != nil }
            var result: [RadGraphAnnotation] = []
            for (number, record) in records.enumerated() {
                guard let found = annotations.reports[hasIDs ? record.id : "\(number)"] else {
                    throw .badInput("\(annotations.file): there is no report '\(hasIDs ? record.id : "\(number)")'")
                }
                result.append(found)
            }
            return result
        }
        return zip(try ordered(predictions[file]), try ordered(references)).map {
            RadGraphF1(prediction: $0, reference: $1)
        }
    }
}
