public import Foundation
public import Torch
import TorchCheckpoints
import TorchNN
import UniMedTokenizers

/// The model that finds the entities and relations of a report: BERT, a scorer of spans and one of pairs of spans.
///
/// RadGraph (Jain et al., 2021), with the architecture of DyGIE++ (Wadden et al., 2019) as published for it: the whole
/// report is one sentence, spans are their first and last words' vectors and an embedding of their length, and a word's
/// vector is the mean over its pieces. Heads for coreference and events, which the published archive has too, are dropped.
public final class RadGraphModel {
    // Legend: W words, S spans, K spans kept for relations, D width of BERT, E = 2 D + F width of a span.
    private let configuration: RadGraphConfiguration
    private let network: Network
    private let tokenizer: WordPieceTokenizer
    private let device: Device
    private let maximumLength: Int
    /// How reports are split into words.
    public let words: RadGraphWords

    /// The most elements of the pairs of spans that are held at once.
    private static let pairElementLimit = 1 << 24

    /// Loads a model.
    ///
    /// - Parameters:
    ///   - archive: The published `model.tar.gz`, or the folder that it unpacks to: `config.json`, `vocabulary` and
    ///     `weights.th`.
    ///   - encoder: The folder of the encoder that `config.json` names, with its own `config.json` and `vocab.txt` or
    ///     `tokenizer.json`. Its weights are in the archive.
    ///   - words: How reports are split into words; default: as for RadGraph 1.0.
    ///   - device: Where the model goes.
    /// - Throws: ``ReportMetricError``, which names file and field.
    public init(
        archive: URL,
        encoder: URL,
        words: RadGraphWords = .radGraph,
        device: Device = .cpu
    ) throws(ReportMetricError) {
        var folder = archive
        var temporary: URL?
        if !FileManager.default.isDirectory(archive) {
            let place = FileManager.default.temporaryDirectory.appending(path: "radgraph-\(UUID().uuidString)")
            do {
                try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
            } catch {
                throw ReportMetricError(.unreadable, file: place.path, error.localizedDescription)
            }
            temporary = place
            folder = place
        }
        defer {
            // What is left in the system's folder for temporary files is not worth failing for.
            if let temporary { try? FileManager.default.removeItem(at: temporary) }
        }
        if temporary != nil {
            try CompressedArchive.unpack(archive, to: folder) { name in
                name == "config.json" || name == "weights.th" || name.hasPrefix("vocabulary/")
            }
        }
        let configuration = try RadGraphConfiguration(folder: folder)
        let sizes = try BERTConfiguration(contentsOf: encoder.appending(path: "config.json"))
        guard sizes.family == .bert else {
            throw ReportMetricError(.unsupported, file: encoder.path, "an encoder of the family roberta, expected bert")
        }
        do throws(TokenizerError) {
            tokenizer = try WordPieceTokenizer(folder: encoder)
        } catch {
            throw ReportMetricError(error)
        }
        guard tokenizer.vocabularySize <= sizes.vocabularySize else {
            throw ReportMetricError(
                .tokenizer,
                file: encoder.path,
                "\(tokenizer.vocabularySize) tokens, expected at most \(sizes.vocabularySize)"
            )
        }
        do throws(CheckpointError) {
            do throws(TorchError) {
                network = try Network(sizes, configuration, builder: WeightBuilder(device: .meta))
                try network.freeze()
            } catch {
                throw CheckpointError(.tensor, file: folder.path, error.description)
            }
            try loadWeights(
                into: network,
                from: Checkpoint.open(folder.appending(path: "weights.th")),
                mapping: RadGraphModel.keyMap(dataset: configuration.dataset),
                device: device
            )
        } catch {
            throw ReportMetricError(error)
        }
        self.configuration = configuration
        self.device = device
        self.words = words
        maximumLength = min(configuration.maximumLength ?? sizes.maximumLength, sizes.maximumLength)
    }

    private static func keyMap(dataset: String) -> KeyMap {
        let relations = "\(dataset)__relation_labels"
        return KeyMap([
            ("_coref.**", nil), ("_events.**", nil), ("**.position_ids", nil),
            ("_embedder.token_embedder_bert._matched_embedder.transformer_model.pooler.**", nil),
            ("_embedder.token_embedder_bert._matched_embedder.transformer_model.**", "bert.**"),
            ("_endpoint_span_extractor._span_width_embedding.**", "widths.**"),
            ("_ner._ner_scorers.\(dataset)__ner_labels.0._module._linear_layers.**", "entities.hidden.**"),
            ("_ner._ner_scorers.\(dataset)__ner_labels.1._module.**", "entities.output.**"),
            ("_relation._mention_pruners.\(relations)._scorer.0._module._linear_layers.**", "mentions.hidden.**"),
            ("_relation._mention_pruners.\(relations)._scorer.1._module.**", "mentions.output.**"),
            ("_relation._relation_feedforwards.\(relations)._linear_layers.**", "relations.hidden.**"),
            ("_relation._relation_scorers.\(relations).**", "relations.output.**"),
        ])
    }

    // MARK: Modules

    /// Linear layers with ReLU between them, and one without.
    private final class Scorer: Module {
        let hidden: ModuleList<Linear>
        let output: Linear

        init(
            _ inputSize: Int,
            _ outputSize: Int,
            _ configuration: RadGraphConfiguration,
            builder: WeightBuilder
        ) throws(TorchError) {
            var layers: [Linear] = []
            for index in 0..<configuration.feedForward.layerCount {
                let size = index == 0 ? inputSize : configuration.feedForward.size
                layers.append(try Linear(size, configuration.feedForward.size, builder: builder))
            }
            hidden = ModuleList(layers)
            output = try Linear(configuration.feedForward.size, outputSize, builder: builder)
        }

        var members: [ModuleMember] { [.module("hidden", hidden), .module("output", output)] }

        func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
            var x = x
            for layer in hidden.elements { x = try layer(x).relu() }
            return try output(x)
        }
    }

    private final class Network: Module {
        let bert: BERTEncoder
        let widths: Embedding
        let entities: Scorer
        let mentions: Scorer
        let relations: Scorer

        init(
            _ sizes: BERTConfiguration,
            _ configuration: RadGraphConfiguration,
            builder: WeightBuilder
        ) throws(TorchError) {
            bert = try BERTEncoder(sizes, builder: builder)
            widths = try Embedding(configuration.maximumSpanWidth, configuration.featureSize, builder: builder)
            let span = 2 * sizes.hiddenSize + configuration.featureSize
            // That a span is no entity is not scored: it has the score 0.
            entities = try Scorer(span, configuration.entityLabels.count - 1, configuration, builder: builder)
            mentions = try Scorer(span, 1, configuration, builder: builder)
            relations = try Scorer(3 * span, configuration.relationLabels.count, configuration, builder: builder)
        }

        var members: [ModuleMember] {
            [
                .module("bert", bert), .module("widths", widths), .module("entities", entities),
                .module("mentions", mentions), .module("relations", relations),
            ]
        }
    }

    // MARK: Reports

    /// The entities and relations of each report; a report without words has none.
    ///
    /// - Throws: ``ReportMetricError`` of kind `tensor`.
    public func annotations(of reports: [String]) throws(ReportMetricError) -> [RadGraphAnnotation] {
        let texts = reports.map(words.words)
        let pieces = texts.map { WordPieces(tokenizer: tokenizer, words: $0) }
        var annotations = [RadGraphAnnotation](repeating: .empty, count: reports.count)
        let filled = texts.indices.filter { !texts[$0].isEmpty }
        let lengths = filled.map { pieces[$0].ids.count }
        for batch in SequenceBatches(lengths: lengths, tokenLimit: TextEncoder.tokenLimit).batches {
            let chosen = batch.map { filled[$0] }
            let found = try computing { () throws(TorchError) -> [RadGraphAnnotation] in
                let vectors = try wordVectors(chosen.map { pieces[$0] })
                var found: [RadGraphAnnotation] = []
                for (index, vectors) in zip(chosen, vectors) {
                    found.append(try annotation(words: texts[index], vectors: vectors))
                }
                return found
            }
            for (index, annotation) in zip(chosen, found) { annotations[index] = annotation }
        }
        return annotations
    }

    /// RadGraph F1 of every pair, and its relatives.
    ///
    /// - Throws: ``ReportMetricError`` of kind `tensor`.
    public func scores(of pairs: [ReportPair]) throws(ReportMetricError) -> [RadGraphF1] {
        let found = try annotations(of: pairs.map(\.prediction) + pairs.map(\.reference))
        return pairs.indices.map { RadGraphF1(prediction: found[$0], reference: found[pairs.count + $0]) }
    }

    /// The pieces of a report's words, each word by itself.
    private struct WordPieces {
        var ids: [Int] = []
        /// Where each word's pieces are among ``ids``; empty for a word of characters that are left out.
        var ranges: [Range<Int>] = []

        init(tokenizer: WordPieceTokenizer, words: [String]) {
            for word in words {
                // The reader of the published model takes these two for plain marks.
                let plain = word == "/." || word == "/?" ? String(word.dropFirst()) : word
                let pieces = tokenizer.encode(plain)
                ranges.append(ids.count..<ids.count + pieces.count)
                ids += pieces
            }
        }
    }

    /// The vectors of the words of each report: `[W, D]`.
    private func wordVectors(_ reports: [WordPieces]) throws(TorchError) -> [Tensor] {
        // A long report goes through the encoder in parts, each between special tokens.
        var sequences: [[Int]] = []
        var owners: [Int] = []
        let room = maximumLength - 2
        for (index, report) in reports.enumerated() {
            var start = 0
            repeat {
                let end = min(start + room, report.ids.count)
                sequences.append([tokenizer.beginID] + report.ids[start..<end] + [tokenizer.separatorID])
                owners.append(index)
                start = end
            } while start < report.ids.count
        }
        let (hidden, layout) = try network.bert(sequences)
        var rows = [[Int]](repeating: [], count: reports.count)
        var start = 0
        for (owner, length) in zip(owners, layout.lengths) {
            rows[owner] += Array((start + 1)..<(start + length - 1))
            start += length
        }
        var vectors: [Tensor] = []
        for (report, rows) in zip(reports, rows) {
            vectors.append(try means(of: hidden, rows: rows, ranges: report.ranges))
        }
        return vectors
    }

    /// The mean over each word's pieces, 0 for a word without any.
    private func means(of hidden: Tensor, rows: [Int], ranges: [Range<Int>]) throws(TorchError) -> Tensor {
        let width = hidden.size(1)
        let sums = try Tensor.zeros([ranges.count, width], device: device)
        guard !rows.isEmpty else { return sums }
        var words: [Int] = []
        for (word, range) in ranges.enumerated() { words += repeatElement(word, count: range.count) }
        let pieces = try hidden.indexSelect(0, Tensor(rows).to(device))
        let counts = try Tensor(ranges.map { Float(max($0.count, 1)) }, shape: [ranges.count, 1]).to(device)
        return try sums.indexAdd(0, Tensor(words).to(device), pieces) / counts
    }

    private func annotation(words: [String], vectors: Tensor) throws(TorchError) -> RadGraphAnnotation {
        // Every run of words up to the greatest width, by its first word and then its last.
        var (starts, ends): ([Int], [Int]) = ([], [])
        for start in words.indices {
            for end in start..<min(start + configuration.maximumSpanWidth, words.count) {
                starts.append(start)
                ends.append(end)
            }
        }
        let lengths = try Tensor(zip(starts, ends).map { $1 - $0 }).to(device)
        // [S, E]
        let spans = try Tensor.cat(
            [
                vectors.indexSelect(0, Tensor(starts).to(device)), vectors.indexSelect(0, Tensor(ends).to(device)),
                network.widths(lengths),
            ],
            dimension: 1
        )
        let labels: [Int] = try withNull(network.entities(spans)).argmax(-1).array()
        var entities: [RadGraphAnnotation.Entity] = []
        var placeOfSpan: [Int: Int] = [:]
        for (span, label) in labels.enumerated() where label != 0 {
            placeOfSpan[span] = entities.count
            entities.append(
                RadGraphAnnotation.Entity(
                    tokens: words[starts[span]...ends[span]].joined(separator: " "),
                    label: configuration.entityLabels[label],
                    start: starts[span],
                    end: ends[span]
                )
            )
        }
        // Relations between spans that are no entities are left out.
        guard !entities.isEmpty else { return .empty }
        for relation in try relations(between: spans, wordCount: words.count) {
            guard let source = placeOfSpan[relation.source], let target = placeOfSpan[relation.target] else { continue }
            entities[source].relations.append(
                RadGraphAnnotation.Relation(label: configuration.relationLabels[relation.label], target: target)
            )
        }
        return RadGraphAnnotation(checked: entities)
    }

    /// Scores `[..., labels]` with that of no label, which is 0, in front.
    private func withNull(_ scores: Tensor) throws(TorchError) -> Tensor {
        let shape = Array(scores.shape.dropLast()) + [1]
        return try Tensor.cat([Tensor.zeros(shape, device: device), scores], dimension: -1)
    }

    /// The relations between the most promising spans, in the order of their first and then their second span.
    private func relations(
        between spans: Tensor,
        wordCount: Int
    ) throws(TorchError) -> [(source: Int, target: Int, label: Int)] {
        let scores = try network.mentions(spans).reshape(spans.size(0))
        let wished = Int((Float(wordCount) * configuration.spansPerWord).rounded(.up))
        let kept = min(max(wished, 1), spans.size(0))
        let best: [Int] = try scores.topK(kept, dimension: 0).indices.array()
        let order = best.sorted()
        let index = try Tensor(order).to(device)
        let chosen = try spans.indexSelect(0, index)
        let mentions = try scores.indexSelect(0, index)
        let width = chosen.size(1)
        // Rows of pairs, so many at once that they fit.
        let step = max(1, RadGraphModel.pairElementLimit / (kept * 3 * width))
        var found: [(source: Int, target: Int, label: Int)] = []
        for start in stride(from: 0, to: kept, by: step) {
            let count = min(step, kept - start)
            let shape = [count, kept, width]
            let first = try chosen.narrow(0, start: start, length: count).unsqueeze(1).expand(shape)
            let second = try chosen.unsqueeze(0).expand(shape)
            let pairs = try Tensor.cat([first, second, first * second], dimension: 2)
            let own = try mentions.narrow(0, start: start, length: count).reshape(count, 1, 1)
            let sum = try own + mentions.reshape(1, kept, 1)
            let labels: [Int] = try withNull(network.relations(pairs) + sum).argmax(-1).array()
            for (pair, label) in labels.enumerated() where label != 0 {
                found.append((order[start + pair / kept], order[pair % kept], label - 1))
            }
        }
        return found
    }
}
