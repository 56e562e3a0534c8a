import Foundation

/// What the `config.json` and the vocabulary of a RadGraph archive say (AllenNLP and DyGIE++).
struct RadGraphConfiguration: Equatable {
    /// The most words of an entity.
    var maximumSpanWidth: Int
    /// The width of the embedding of an entity's length.
    var featureSize: Int
    /// The layers and width of the feed-forward parts.
    var feedForward: (layerCount: Int, size: Int)
    /// How many spans per word are looked at for relations.
    var spansPerWord: Float
    /// The most word pieces that go through the encoder together, special tokens included; `nil` where there is no limit.
    var maximumLength: Int?
    /// Which annotations the heads were trained for, as the names of their weights have it.
    var dataset: String
    /// What an entity can be; the first, empty one is no entity.
    var entityLabels: [String]
    /// What an entity can be to another.
    var relationLabels: [String]

    static func == (first: RadGraphConfiguration, second: RadGraphConfiguration) -> Bool {
        first.maximumSpanWidth == second.maximumSpanWidth && first.featureSize == second.featureSize
            && first.feedForward == second.feedForward && first.spansPerWord == second.spansPerWord
            && first.maximumLength == second.maximumLength && first.dataset == second.dataset
            && first.entityLabels == second.entityLabels && first.relationLabels == second.relationLabels
    }

    private struct File: Decodable {
        struct Reader: Decodable {
            struct Indexers: Decodable {
                struct Indexer: Decodable {
                    var max_length: Int?
                }
                var bert: Indexer
            }
            var max_span_width: Int
            var token_indexers: Indexers
        }
        struct Model: Decodable {
            struct FeedForward: Decodable {
                var num_layers: Int
                var hidden_dims: Int
            }
            struct Modules: Decodable {
                struct Coreference: Decodable {
                    var coref_prop: Int?
                }
                struct Relation: Decodable {
                    var spans_per_word: Float
                }
                var coref: Coreference?
                var relation: Relation
            }
            var feature_size: Int
            var max_span_width: Int
            var feedforward_params: FeedForward
            var modules: Modules
        }
        var dataset_reader: Reader
        var model: Model
    }

    /// Reads an unpacked archive.
    init(folder: URL) throws(ReportMetricError) {
        let url = folder.appending(path: "config.json")
        let file: File
        do {
            file = try JSONDecoder().decode(File.self, from: Data(contentsOf: url))
        } catch let error as DecodingError {
            throw ReportMetricError(.malformed, file: url.path, "not the configuration of RadGraph: \(error.place)")
        } catch {
            throw ReportMetricError(.unreadable, file: url.path, error.localizedDescription)
        }
        if let rounds = file.model.modules.coref?.coref_prop, rounds > 0 {
            throw ReportMetricError(
                .unsupported,
                file: url.path,
                "model.modules.coref.coref_prop is \(rounds), expected 0"
            )
        }
        guard file.dataset_reader.max_span_width == file.model.max_span_width else {
            throw ReportMetricError(
                .malformed,
                file: url.path,
                "max_span_width is \(file.dataset_reader.max_span_width) in dataset_reader and "
                    + "\(file.model.max_span_width) in model"
            )
        }
        maximumSpanWidth = file.model.max_span_width
        featureSize = file.model.feature_size
        feedForward = (file.model.feedforward_params.num_layers, file.model.feedforward_params.hidden_dims)
        spansPerWord = file.model.modules.relation.spans_per_word
        maximumLength = file.dataset_reader.token_indexers.bert.max_length
        for (name, size) in [
            ("max_span_width", maximumSpanWidth), ("feature_size", featureSize),
            ("feedforward_params.num_layers", feedForward.layerCount),
            ("feedforward_params.hidden_dims", feedForward.size),
        ] where !(1...1 << 16).contains(size) {
            throw ReportMetricError(.malformed, file: url.path, "\(name) is \(size)")
        }
        guard spansPerWord > 0, spansPerWord < 1000, (maximumLength ?? 3) >= 3 else {
            throw ReportMetricError(
                .malformed,
                file: url.path,
                "spans_per_word is \(spansPerWord), max_length \(maximumLength ?? 0)"
            )
        }

        let vocabulary = folder.appending(path: "vocabulary")
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: vocabulary.path)
        } catch {
            throw ReportMetricError(.unreadable, file: vocabulary.path, error.localizedDescription)
        }
        let suffix = "__ner_labels.txt"
        let datasets = names.filter { $0.hasSuffix(suffix) }.map { String($0.dropLast(suffix.count)) }.sorted()
        guard datasets.count == 1, let dataset = datasets.first, !dataset.contains(".") else {
            throw ReportMetricError(
                .unsupported,
                file: vocabulary.path,
                "heads for \(datasets.count) sets of labels (\(datasets.joined(separator: ", "))), expected 1"
            )
        }
        self.dataset = dataset
        entityLabels = try RadGraphConfiguration.lines(vocabulary.appending(path: dataset + suffix))
        relationLabels = try RadGraphConfiguration.lines(
            vocabulary.appending(path: "\(dataset)__relation_labels.txt")
        )
        guard entityLabels.first == "", entityLabels.count > 1, !relationLabels.isEmpty else {
            throw ReportMetricError(
                .malformed,
                file: vocabulary.path,
                "expected labels of entities, the first of them empty, and of relations"
            )
        }
    }

    private static func lines(_ file: URL) throws(ReportMetricError) -> [String] {
        let text: String
        do {
            text = try String(contentsOf: file, encoding: .utf8)
        } catch {
            throw ReportMetricError(.unreadable, file: file.path, error.localizedDescription)
        }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.last == "\r" ? String($0.dropLast()) : String($0) }
        if lines.last == "" { lines.removeLast() }
        return lines
    }
}
