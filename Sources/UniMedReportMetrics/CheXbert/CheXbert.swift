public import Foundation
public import Torch
import TorchCheckpoints
import TorchNN
import UniMedMetrics
import UniMedTokenizers

/// The labeler of radiology reports: BERT base and a linear head for each of 14 conditions.
///
/// "CheXbert: Combining Automatic Labelers and Expert Annotations for Accurate Radiology Report Labeling Using BERT" (Smit
/// et al., 2020). The vector of the first token is also what "CheXbert similarity" compares (Yu et al., 2023).
public final class CheXbert {
    /// A condition; the order is that of the heads.
    public enum Condition: String, CaseIterable, Sendable, Codable {
        case enlargedCardiomediastinum = "Enlarged Cardiomediastinum"
        case cardiomegaly = "Cardiomegaly"
        case lungOpacity = "Lung Opacity"
        case lungLesion = "Lung Lesion"
        case edema = "Edema"
        case consolidation = "Consolidation"
        case pneumonia = "Pneumonia"
        case atelectasis = "Atelectasis"
        case pneumothorax = "Pneumothorax"
        case pleuralEffusion = "Pleural Effusion"
        case pleuralOther = "Pleural Other"
        case fracture = "Fracture"
        case supportDevices = "Support Devices"
        case noFinding = "No Finding"

        /// The five conditions that reports are often compared on.
        public static let five: [Condition] = [
            .cardiomegaly, .edema, .consolidation, .atelectasis, .pleuralEffusion,
        ]
    }

    /// What a report says of a condition; the order is that of a head's outputs.
    ///
    /// The head of "No Finding" has only the first two.
    public enum Label: String, CaseIterable, Sendable, Codable {
        case blank, positive, negative, uncertain

        /// Whether the condition counts as there; an uncertain one does, as in the public scorer of reports.
        public var isPresent: Bool { self == .positive || self == .uncertain }
    }

    private let network: Network
    private let tokenizer: WordPieceTokenizer
    private let device: Device

    /// Loads a labeler.
    ///
    /// - Parameters:
    ///   - checkpoint: The published `chexbert.pth`, with the weights at `model_state_dict`, or a file of the weights alone
    ///     (also safetensors). A prefix `module.` of the names is taken off.
    ///   - vocabulary: The folder, `vocab.txt` or `tokenizer.json` of `bert-base-uncased`.
    ///   - configuration: The sizes of the encoder; default: those of the published labeler.
    ///   - device: Where the labeler goes.
    /// - Throws: ``ReportMetricError``, which names the file.
    public init(
        checkpoint: URL,
        vocabulary: URL,
        configuration: BERTConfiguration = .bertBaseUncased,
        device: Device = .cpu
    ) throws(ReportMetricError) {
        do throws(TokenizerError) {
            tokenizer =
                vocabulary.hasDirectoryPath || FileManager.default.isDirectory(vocabulary)
                ? try WordPieceTokenizer(folder: vocabulary) : try WordPieceTokenizer(contentsOf: vocabulary)
        } catch {
            throw ReportMetricError(error)
        }
        guard tokenizer.vocabularySize <= configuration.vocabularySize else {
            throw ReportMetricError(
                .tokenizer,
                file: vocabulary.path,
                "\(tokenizer.vocabularySize) tokens, expected at most \(configuration.vocabularySize)"
            )
        }
        do throws(CheckpointError) {
            do throws(TorchError) {
                network = try Network(configuration, builder: WeightBuilder(device: .meta))
                try network.freeze()
            } catch {
                throw CheckpointError(.tensor, file: checkpoint.path, error.description)
            }
            try loadWeights(
                into: network,
                from: CheXbert.weights(checkpoint),
                mapping: CheXbert.keyMap,
                device: device
            )
        } catch {
            throw ReportMetricError(error)
        }
        self.device = device
    }

    private static func weights(_ url: URL) throws(CheckpointError) -> any WeightSource {
        guard try Checkpoint.isArchive(url) else { return try Checkpoint.open(url) }
        let file = try PyTorchFile(contentsOf: url)
        return try file.weights(at: file.root["model_state_dict"] == nil ? [] : ["model_state_dict"])
    }

    private static let keyMap: KeyMap = {
        var rows: [(file: String, model: String?)] = [("**.position_ids", nil)]
        for prefix in ["module.", ""] {
            rows.append(("\(prefix)bert.pooler.**", nil))
            rows.append(("\(prefix)bert.**", "bert.**"))
            rows.append(("\(prefix)linear_heads.**", "linear_heads.**"))
        }
        return KeyMap(rows)
    }()

    private final class Network: Module {
        let bert: BERTEncoder
        let heads: ModuleList<Linear>

        init(_ configuration: BERTConfiguration, builder: WeightBuilder) throws(TorchError) {
            bert = try BERTEncoder(configuration, builder: builder)
            var heads: [Linear] = []
            for condition in Condition.allCases {
                let count = condition == .noFinding ? 2 : Label.allCases.count
                heads.append(try Linear(configuration.hiddenSize, count, builder: builder))
            }
            self.heads = ModuleList(heads)
        }

        var members: [ModuleMember] { [.module("bert", bert), .module("linear_heads", heads)] }
    }

    // MARK: Reports

    /// The vector of each report, the last layer's output for the first token: `[reports, width]` (float32, on the CPU).
    ///
    /// White space is joined to single spaces; of a report with more tokens than the encoder has positions (512) the end
    /// is left out.
    ///
    /// - Throws: ``ReportMetricError`` of kind `tensor`.
    public func embeddings(of reports: [String]) throws(ReportMetricError) -> Tensor {
        try computing { () throws(TorchError) in try vectors(of: reports).to(.cpu) }
    }

    private func vectors(of reports: [String]) throws(TorchError) -> Tensor {
        let configuration = network.bert.configuration
        guard !reports.isEmpty else { return try Tensor.zeros([0, configuration.hiddenSize], device: device) }
        let sequences = reports.map { report in
            tokenizer.encodeSequence(
                report.referenceWords.joined(separator: " "),
                maximumLength: min(512, configuration.maximumLength)
            )
        }
        var rows: [Tensor] = []
        var order: [Int] = []
        for batch in SequenceBatches(lengths: sequences.map(\.count), tokenLimit: TextEncoder.tokenLimit).batches {
            let (hidden, layout) = try network.bert(batch.map { sequences[$0] })
            let firsts = zip(layout.lastTokens, layout.lengths).map { $0 - $1 + 1 }
            rows.append(try hidden.indexSelect(0, Tensor(firsts).to(device)))
            order += batch
        }
        var places = [Int](repeating: 0, count: order.count)
        for (row, report) in order.enumerated() { places[report] = row }
        return try Tensor.cat(rows).indexSelect(0, Tensor(places).to(device))
    }

    /// What each report says of each condition, in the order of ``Condition``.
    ///
    /// - Throws: ``ReportMetricError`` of kind `tensor`.
    public func labels(of reports: [String]) throws(ReportMetricError) -> [[Label]] {
        guard !reports.isEmpty else { return [] }
        let classes = try computing { () throws(TorchError) in
            let vectors = try vectors(of: reports)
            var columns: [[Int]] = []
            for head in network.heads.elements { columns.append(try head(vectors).argmax(-1).array()) }
            return columns
        }
        return reports.indices.map { report in classes.map { Label.allCases[$0[report]] } }
    }

    /// CheXbert similarity: the cosine of the vectors of prediction and reference, of every pair, in `[-1, 1]`.
    ///
    /// - Throws: ``ReportMetricError`` of kind `tensor`.
    public func similarities(of pairs: [ReportPair]) throws(ReportMetricError) -> [Double] {
        guard !pairs.isEmpty else { return [] }
        let cosines: [Float] = try computing { () throws(TorchError) in
            let vectors = try vectors(of: pairs.map(\.prediction) + pairs.map(\.reference))
            let parts = try vectors.split([pairs.count, pairs.count], dimension: 0)
            let norms = try (parts[0] * parts[0]).sum(-1).sqrt() * (parts[1] * parts[1]).sum(-1).sqrt()
            return try ((parts[0] * parts[1]).sum(-1) / norms).array()
        }
        return cosines.map(Double.init)
    }

    /// How well the conditions of the predictions agree with those of the references.
    ///
    /// - Throws: ``ReportMetricError`` of kind `tensor`, or `invalidInput` without pairs.
    public func agreement(of pairs: [ReportPair]) throws(ReportMetricError) -> ConditionAgreement {
        let labels = try labels(of: pairs.map(\.prediction) + pairs.map(\.reference))
        return try ConditionAgreement(
            predictions: Array(labels.prefix(pairs.count)),
            references: Array(labels.dropFirst(pairs.count))
        )
    }
}

extension FileManager {
    /// Whether there is a folder at a place.
    func isDirectory(_ url: URL) -> Bool {
        var isFolder: ObjCBool = false
        return fileExists(atPath: url.path, isDirectory: &isFolder) && isFolder.boolValue
    }
}
