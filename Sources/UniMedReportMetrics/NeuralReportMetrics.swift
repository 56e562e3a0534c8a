public import Foundation
public import Torch
public import UniMedMetrics

/// The metrics of reports that need models: BERTScore, CheXbert, RadGraph and RadCliQ, out of one folder of checkpoints.
///
/// ```
/// <folder>/
///   bertscore/<model>/   config.json, weights, tokenizer of the encoder; RadCliQ needs distilroberta-base
///                        (baseline.tsv: the model's file of the bert-score package, where it is not known here)
///   chexbert/            chexbert.pth, and vocab.txt of bert-base-uncased
///   radgraph/            model.tar.gz, or what it unpacks to
///   radgraph/encoder/    config.json and vocab.txt of the encoder that the archive names
///   radcliq/             v0.json, v1.json: other numbers than the published ones; may be left out
/// ```
///
/// What is not there is named in ``missing``; what is there and damaged is an error.
public final class NeuralReportMetrics {
    /// A metric that cannot be computed.
    public struct Missing: Sendable, Equatable, Codable {
        /// The metric.
        public var metric: Metric
        /// What is not there, in a few words.
        public var reason: String

        /// Names a metric.
        public init(metric: Metric, reason: String) {
            self.metric = metric
            self.reason = reason
        }
    }

    /// The metrics of this kind, in the order of tables.
    public static let metrics = Metric.ofReportModels

    /// The metrics that cannot be computed, and why.
    public let missing: [Missing]
    /// BERTScore, where its encoder is there.
    public let bertScore: BERTScore?
    /// The labeler, where it is there.
    public let chexbert: CheXbert?
    /// The model of entities and relations, where it is there.
    public let radGraph: RadGraphModel?
    private let radCliQ0: RadCliQ
    private let radCliQ1: RadCliQ

    /// Loads what a folder has.
    ///
    /// - Parameters:
    ///   - folder: The folder; `nil` has nothing, so that every metric is missing.
    ///   - device: Where the models go.
    ///   - usesInverseDocumentFrequency: Whether BERTScore weighs tokens by their frequency in the references; default:
    ///     `false`, as published for RadCliQ.
    /// - Throws: ``ReportMetricError``, which names the file that is damaged.
    public convenience init(
        folder: URL?,
        device: Device = .cpu,
        usesInverseDocumentFrequency: Bool = false
    ) throws(ReportMetricError) {
        var options = BERTScore.Options.radCliQ
        options.usesInverseDocumentFrequency = usesInverseDocumentFrequency
        try self.init(folder: folder, device: device, bertScoreOptions: options)
    }

    /// The same with a layer of BERTScore of one's own.
    package init(folder: URL?, device: Device, bertScoreOptions: BERTScore.Options) throws(ReportMetricError) {
        guard let folder else {
            missing = NeuralReportMetrics.metrics.map {
                Missing(metric: $0, reason: "no folder of checkpoints was given")
            }
            (bertScore, chexbert, radGraph) = (nil, nil, nil)
            (radCliQ0, radCliQ1) = (.v0, .v1)
            return
        }
        guard FileManager.default.isDirectory(folder) else {
            throw ReportMetricError(.unreadable, file: folder.path, "there is no such folder")
        }
        var reasons: [Metric: String] = [:]

        switch try NeuralReportMetrics.encoder(in: folder.appending(path: "bertscore")) {
        case .found(let encoder):
            bertScore = try BERTScore(folder: encoder, options: bertScoreOptions, device: device)
        case .missing(let reason):
            bertScore = nil
            reasons[.bertScore] = reason
        }
        switch NeuralReportMetrics.labeler(in: folder.appending(path: "chexbert")) {
        case .found(let checkpoint):
            let place = checkpoint.deletingLastPathComponent()
            let sizes = place.appending(path: "config.json")
            chexbert = try CheXbert(
                checkpoint: checkpoint,
                vocabulary: place,
                configuration: FileManager.default.fileExists(atPath: sizes.path)
                    ? BERTConfiguration(contentsOf: sizes) : .bertBaseUncased,
                device: device
            )
        case .missing(let reason):
            chexbert = nil
            reasons[.chexbertSimilarity] = reason
        }
        let graphs = folder.appending(path: "radgraph")
        switch NeuralReportMetrics.archive(in: graphs) {
        case .found(let archive):
            radGraph = try RadGraphModel(
                archive: archive,
                encoder: graphs.appending(path: "encoder"),
                device: device
            )
        case .missing(let reason):
            radGraph = nil
            reasons[.radGraphF1] = reason
        }
        if bertScore.map({ $0.modelName != "distilroberta-base" }) ?? false {
            let reason = "bertscore has another encoder than distilroberta-base"
            (reasons[.radCliQ0], reasons[.radCliQ1]) = (reason, reason)
        }
        radCliQ0 = try NeuralReportMetrics.numbers(folder.appending(path: "radcliq/v0.json")) ?? .v0
        radCliQ1 = try NeuralReportMetrics.numbers(folder.appending(path: "radcliq/v1.json")) ?? .v1
        missing = NeuralReportMetrics.missing(reasons)
    }

    /// What is missing, RadCliQ included where one of its parts is.
    private static func missing(_ reasons: [Metric: String]) -> [Missing] {
        var reasons = reasons
        let parts = [Metric.bertScore, .chexbertSimilarity, .radGraphF1].filter { reasons[$0] != nil }
        for metric in [Metric.radCliQ0, .radCliQ1] where !parts.isEmpty && reasons[metric] == nil {
            reasons[metric] = "it needs \(parts.map(\.title).joined(separator: " and "))"
        }
        return metrics.compactMap { metric in reasons[metric].map { Missing(metric: metric, reason: $0) } }
    }

    // MARK: The folder

    private enum Place {
        case found(URL)
        case missing(String)
    }

    private static func encoder(in folder: URL) throws(ReportMetricError) -> Place {
        let manager = FileManager.default
        guard manager.isDirectory(folder) else { return .missing("there is no folder bertscore") }
        let names: [String]
        do {
            names = try manager.contentsOfDirectory(atPath: folder.path).sorted()
        } catch {
            throw ReportMetricError(.unreadable, file: folder.path, error.localizedDescription)
        }
        let models = names.filter {
            manager.fileExists(atPath: folder.appending(path: $0).appending(path: "config.json").path)
        }
        guard let name = models.first else { return .missing("bertscore has no folder of an encoder") }
        guard models.count == 1 else {
            throw ReportMetricError(
                .invalidInput,
                file: folder.path,
                "\(models.count) encoders (\(models.joined(separator: ", "))), expected 1"
            )
        }
        return .found(folder.appending(path: name))
    }

    private static func labeler(in folder: URL) -> Place {
        for name in ["chexbert.pth", "chexbert.safetensors"] {
            let file = folder.appending(path: name)
            if FileManager.default.fileExists(atPath: file.path) { return .found(file) }
        }
        return .missing("there is no chexbert/chexbert.pth")
    }

    private static func archive(in folder: URL) -> Place {
        let manager = FileManager.default
        for name in ["model.tar.gz", "radgraph.tar.gz", "radgraph-xl.tar.gz"] {
            let file = folder.appending(path: name)
            if manager.fileExists(atPath: file.path) { return .found(file) }
        }
        if manager.fileExists(atPath: folder.appending(path: "weights.th").path) { return .found(folder) }
        return .missing("there is no radgraph/model.tar.gz")
    }

    private static func numbers(_ file: URL) throws(ReportMetricError) -> RadCliQ? {
        guard FileManager.default.fileExists(atPath: file.path) else { return nil }
        return try RadCliQ(contentsOf: file)
    }

    // MARK: Scores

    /// The scores of pairs of reports.
    ///
    /// - Parameters:
    ///   - pairs: Predictions and references.
    ///   - radGraphF1: The F1 of every pair where annotations of the reports are at hand, instead of the model's; `nil`,
    ///     the default, asks the model.
    ///   - documents: As for ``BERTScore/scores(of:documents:)``.
    /// - Throws: ``ReportMetricError`` of kind `tensor` or `tokenizer`, or `invalidInput` when lists differ in length.
    public func scores(
        of pairs: [ReportPair],
        radGraphF1: [RadGraphF1]? = nil,
        documents: [String]? = nil
    ) throws(ReportMetricError) -> NeuralReportScores {
        if let radGraphF1, radGraphF1.count != pairs.count {
            throw ReportMetricError(
                .invalidInput,
                "\(radGraphF1.count) RadGraph F1 for \(pairs.count) pairs of reports"
            )
        }
        var result = NeuralReportScores(pairs: [[Metric: Double]](repeating: [:], count: pairs.count))
        var reasons = Dictionary(uniqueKeysWithValues: missing.map { ($0.metric, $0.reason) })
        func set(_ metric: Metric, _ values: [Double]) {
            reasons[metric] = nil
            for (index, value) in values.enumerated() { result.pairs[index][metric] = value }
        }
        if let bertScore {
            // RadCliQ's texts: runs of spaces are one.
            let texts = pairs.map {
                ReportPair(
                    prediction: $0.prediction.withSingleSpaces,
                    reference: $0.reference.withSingleSpaces
                )
            }
            let scores = try bertScore.scores(of: texts, documents: documents?.map(\.withSingleSpaces))
            result.bertScore = scores
            set(.bertScore, scores.map(\.f1))
        }
        if let chexbert {
            let (similarities, agreement) = try chexbert.comparison(of: pairs)
            set(.chexbertSimilarity, similarities)
            result.agreement = agreement
        }
        result.radGraph = radGraphF1
        if radGraphF1 == nil, let radGraph { result.radGraph = try radGraph.scores(of: pairs) }
        if let scores = result.radGraph { set(.radGraphF1, scores.map(\.combined)) }
        let isOtherEncoder = bertScore.map { $0.modelName != "distilroberta-base" } ?? false
        if bertScore != nil, !isOtherEncoder, chexbert != nil, result.radGraph != nil {
            let inputs = zip(pairs, result.pairs).map { pair, values in
                RadCliQ.Input(
                    radGraphF1: values[.radGraphF1] ?? 0,
                    bertScore: values[.bertScore] ?? 0,
                    chexbertSimilarity: values[.chexbertSimilarity] ?? 0,
                    bleu2: RadCliQ.bleu2(prediction: pair.prediction, reference: pair.reference)
                )
            }
            result.radCliQInputs = inputs
            set(.radCliQ0, inputs.map(radCliQ0.score))
            set(.radCliQ1, inputs.map(radCliQ1.score))
        }
        if radGraphF1 != nil, !isOtherEncoder {
            // With annotations at hand RadCliQ needs less than what the folder lacks.
            (reasons[.radCliQ0], reasons[.radCliQ1]) = (nil, nil)
        }
        result.missing = NeuralReportMetrics.missing(reasons)
        return result
    }
}

/// What ``NeuralReportMetrics`` computed.
public struct NeuralReportScores: Sendable, Equatable {
    /// The metrics of every pair that could be computed, in order.
    public var pairs: [[Metric: Double]]
    /// The metrics that could not, and why: a report names them.
    public var missing: [NeuralReportMetrics.Missing] = []
    /// Precision, recall and F1 of every pair.
    public var bertScore: [BERTScore.Score]?
    /// All figures of RadGraph of every pair.
    public var radGraph: [RadGraphF1]?
    /// "CheXbert F1" of all pairs together.
    public var agreement: ConditionAgreement?
    /// What RadCliQ was computed from, for every pair.
    public var radCliQInputs: [RadCliQ.Input]?

    init(pairs: [[Metric: Double]]) { self.pairs = pairs }

    /// The mean of a metric over all pairs; `nil` when it is missing or there are no pairs.
    public func mean(of metric: Metric) -> Double? {
        let values = pairs.compactMap { $0[metric] }
        return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
}

extension String {
    /// The string with every run of spaces as one; other white space stays.
    fileprivate var withSingleSpaces: String {
        var result = String.UnicodeScalarView()
        for scalar in unicodeScalars where scalar != " " || result.last != " " { result.append(scalar) }
        return String(result)
    }
}
