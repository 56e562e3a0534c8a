public import Foundation
import Torch
import TorchCheckpoints
import TorchNN
public import UniMedData
public import UniMedEvaluation
import UniMedMetrics
public import UniMedModel
import UniMedTasks
public import UniMedTokenizers

/// Looks inside a model: routing, ablation of experts, feature maps and what single answers rest on.
///
/// The model is used by one thread at a time; its weights are not changed. A volume counts as one image, with the mean of its
/// slabs. Only attribution, which goes back to the pixels of a picture, leaves volumes out.
public struct ModelAnalysis {
    let model: UniMed
    let tokenizer: any Tokenizer
    let encoder: PromptEncoder
    let data: PreparedData
    let input: ImageInput
    private let features: any ImageFeatureSource
    let seed: UInt64

    /// Makes an analysis.
    ///
    /// - Parameters:
    ///   - input: How pictures become what the model takes.
    ///   - features: Where vision features come from; `nil` computes them.
    ///   - seed: From which all draws follow.
    public init(
        model: UniMed,
        tokenizer: any Tokenizer,
        encoder: PromptEncoder,
        data: PreparedData,
        input: ImageInput,
        features: (any ImageFeatureSource)? = nil,
        seed: UInt64 = 0
    ) {
        self.model = model
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.data = data
        self.input = input
        self.features = features ?? ComputedFeatures(model: model, images: data.images, input: input)
        self.seed = seed
    }

    /// Batches for ``TugOfWar`` and others.
    public func batches(
        split: Split = .train,
        tasks: Set<MedicalTask> = Set(MedicalTask.allCases),
        grouping: Grouping = .task,
        batchCount: Int = 100,
        batchSize: Int = 4
    ) throws(AnalysisError) -> AnalysisBatches {
        try AnalysisBatches(
            model: model,
            data: data,
            encoder: encoder,
            features: features,
            split: split,
            tasks: tasks,
            grouping: grouping,
            batchCount: batchCount,
            batchSize: batchSize,
            seed: seed
        )
    }

    /// Up to a number of samples with an image of each task, drawn by the seed.
    ///
    /// - Parameter isMeant: Which samples are drawn from. Default: all.
    func drawn(
        _ count: Int,
        split: Split,
        from isMeant: (Sample) -> Bool = { _ in true }
    ) throws(AnalysisError) -> [Sample] {
        var drawn: [Sample] = []
        for task in MedicalTask.allCases where task.usesImage {
            let members = data.indices(split: split, tasks: [task]).filter { index in
                let sample = data.samples[index]
                return isMeant(sample) && data.images.positions(of: sample) != nil
            }
            var generator = SeededGenerator.derived(from: seed, label: "pictures of \(task.rawValue)")
            drawn += generator.permutation(of: members.count).prefix(count).map { data.samples[members[$0]] }
        }
        if let sample = drawn.first(where: { $0.image?.volume != nil }), model.configuration.volume == nil {
            throw AnalysisError(
                .data,
                "\(sample.dataset) holds volumes, and the model has no settings for them",
                field: "model.volume"
            )
        }
        return drawn
    }

    /// As ``drawn(_:split:from:)``, at least one.
    private func drawnImages(_ count: Int, split: Split) throws(AnalysisError) -> [Sample] {
        let samples = try drawn(count, split: split)
        guard !samples.isEmpty else {
            throw AnalysisError(
                .data,
                "expected samples with pictures in the split \(split.rawValue), got none",
                field: "split"
            )
        }
        return samples
    }

    private static let imageBatch = 32

    /// What is seen of the images of some samples.
    private struct Seen {
        let samples: [Sample]
        /// The mean vision features: `[images, Dv]`.
        let features: Tensor
        /// `[images, tokens, Dt]`.
        let aligned: Tensor
        /// `[images, tokens, experts]`; `nil` without experts.
        let routing: Tensor?
    }

    /// Calls `body` with batches of samples with images.
    private func forEachBatch(
        of samples: [Sample],
        _ stage: String,
        control: AnalysisControl,
        _ body: (Seen) throws -> Void
    ) throws(AnalysisError) {
        for start in stride(from: 0, to: samples.count, by: Self.imageBatch) {
            let part = Array(samples[start..<min(samples.count, start + Self.imageBatch)])
            try analysing { try withoutGradients { try body(seen(part)) } }
            try control.step(stage, start + part.count, of: samples.count, unit: "pictures")
        }
    }

    private func seen(_ samples: [Sample]) throws -> Seen {
        let (batch, counts) = try AnalysisBatches.batch(
            of: samples,
            model: model,
            data: data,
            encoder: encoder,
            features: features,
            seed: seed
        )
        guard let features = batch.features else { preconditionFailure("all of these samples have an image") }
        let (aligned, routing) = try model.alignedTokens(of: batch)
        let pictures = counts.reduce(0, +)
        let means = try features.narrow(0, start: 0, length: pictures).to(.float32).mean(1)
        return Seen(
            samples: samples,
            features: pictures == samples.count
                ? means
                : try Tensor.cat(means.split(counts, dimension: 0).map { try $0.mean(0, keepingDimensions: true) }),
            aligned: aligned,
            routing: routing
        )
    }

    // MARK: Routing

    /// The routing of up to a number of pictures of each task.
    ///
    /// - Returns: `nil` for a connector without experts.
    public func routing(
        picturesPerTask: Int = 200,
        split: Split = .validation,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> RoutingAnalysis? {
        let experts = model.configuration.connector.expertCount
        guard experts > 0 else { return nil }
        let layout = PatchLayout(model.configuration)
        var sums: [[String: RoutingAccumulator]] = [[:], [:], [:]]
        try forEachBatch(of: drawnImages(picturesPerTask, split: split), "routing", control: control) { seen in
            guard let routing = seen.routing else { return }
            for (row, sample) in seen.samples.enumerated() {
                let weights = try routing.narrow(0, start: row, length: 1)
                for (kind, name) in [sample.task.rawValue, sample.dataset, sample.modality ?? ""].enumerated()
                where !name.isEmpty {
                    try sums[kind][name, default: RoutingAccumulator(expertCount: experts, layout: layout)]
                        .add(weights)
                }
            }
        }
        return try analysing {
            func summaries(_ kind: Int, _ names: [String]) throws -> [RoutingSummary] {
                try names.compactMap { name in try sums[kind][name]?.summary(name) }
            }
            return RoutingAnalysis(
                tasks: try summaries(0, MedicalTask.allCases.map(\.rawValue)),
                datasets: try summaries(1, sums[1].keys.sorted()),
                modalities: try summaries(2, sums[2].keys.sorted())
            )
        }
    }

    /// The routing at a moment of the training.
    public struct RoutingMoment: Codable, Sendable, Equatable {
        /// The optimizer steps that were done.
        public let step: Int
        /// By task.
        public let tasks: [RoutingSummary]
    }

    /// The routing of the same pictures with the weights of several checkpoints, which are then put back.
    ///
    /// - Parameter checkpoints: Steps, and safetensors files of all that is trained, as a run keeps them.
    /// - Returns: Empty for a connector without experts.
    public func routing(
        at checkpoints: [(step: Int, weights: URL)],
        picturesPerTask: Int = 50,
        split: Split = .validation,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> [RoutingMoment] {
        guard model.configuration.connector.expertCount > 0 else { return [] }
        let trained = model.trainableParameters().filter { $0.name.hasPrefix("connector.") }
        let kept = try analysing { try trained.map { try $0.parameter.value.detach().clone() } }
        func restore() throws(AnalysisError) {
            try analysing { for (entry, value) in zip(trained, kept) { try entry.parameter.load(value) } }
        }
        var moments: [RoutingMoment] = []
        do throws(AnalysisError) {
            for checkpoint in checkpoints.sorted(by: { $0.step < $1.step }) {
                try analysing {
                    let file = try SafetensorsFile(contentsOf: checkpoint.weights)
                    for entry in trained { try entry.parameter.load(file.tensor(named: entry.name)) }
                }
                let routing = try routing(picturesPerTask: picturesPerTask, split: split, control: control)
                if let routing { moments.append(RoutingMoment(step: checkpoint.step, tasks: routing.tasks)) }
            }
        } catch {
            try restore()
            throw error
        }
        try restore()
        return moments
    }

    // MARK: Ablation

    /// What becomes of a group when an expert is left out.
    public struct Ablation: Codable, Sendable, Equatable {
        /// The task or data set.
        public let group: String
        /// The samples.
        public let samples: Int
        /// The mean loss of an answer token with all experts.
        public let loss: Double
        /// The same without each expert.
        public let lossesWithout: [Double]
    }

    /// Leaves out one expert after the other and computes every group's loss anew.
    ///
    /// - Parameter batches: The samples; their losses are averaged over batches.
    /// - Returns: Empty for a connector with fewer than two experts.
    public func ablation(
        _ batches: AnalysisBatches,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> [Ablation] {
        guard let connector = model.connector as? ConnectorMoE, connector.experts.expertCount > 1 else { return [] }
        let groups = batches.groups.filter { $0.task.usesImage }
        let experts = connector.experts.expertCount
        let before = connector.removedExperts
        defer { connector.removedExperts = before }
        let total = groups.reduce(0) { $0 + $1.batches.count }
        var done = 0
        var results: [Ablation] = []
        for group in groups {
            var sums = [Double](repeating: 0, count: experts + 1)
            var samples: Set<Int> = []
            for indices in group.batches {
                let batch = try batches.batch(indices)
                for removed in 0...experts {
                    connector.removedExperts = removed == 0 ? before : before.union([removed - 1])
                    sums[removed] += try analysing {
                        try withoutGradients { try model.loss(batch, training: false).loss.item() }
                    }
                }
                samples.formUnion(indices)
                done += 1
                try control.step("expert ablation", done, of: total, unit: "batches")
            }
            let means = sums.map { $0 / Double(group.batches.count) }
            results.append(
                Ablation(
                    group: group.name,
                    samples: samples.count,
                    loss: means[0],
                    lossesWithout: Array(means.dropFirst())
                )
            )
        }
        return results
    }

    /// The score that stands for a task in a data set, with all experts and without each.
    public struct ScoreAblation: Codable, Sendable, Equatable {
        /// The data set.
        public let dataset: String
        /// The task.
        public let task: MedicalTask
        /// What the score is, for example `accuracy`.
        public let metric: String
        /// The samples.
        public let samples: Int
        /// With all experts; 0 to 1.
        public let score: Double
        /// Without each expert.
        public let scoresWithout: [Double]
    }

    /// Leaves out one expert after the other and lets the model answer anew.
    ///
    /// - Parameter options: What is answered, and how; only tasks with pictures are.
    /// - Returns: Empty for a connector with fewer than two experts.
    public func scoreAblation(
        _ options: EvaluationOptions,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> [ScoreAblation] {
        guard let connector = model.connector as? ConnectorMoE, connector.experts.expertCount > 1 else { return [] }
        var options = options
        options.tasks = options.tasks.filter(\.usesImage)
        let experts = connector.experts.expertCount
        let before = connector.removedExperts
        defer { connector.removedExperts = before }
        var tables: [EvaluationTable] = []
        for removed in 0...experts {
            connector.removedExperts = removed == 0 ? before : before.union([removed - 1])
            let table = try analysing {
                try Evaluator(model: model, tokenizer: tokenizer, options: options, input: input).evaluate(
                    data,
                    features: features,
                    isCancelled: control.isCancelled,
                    progress: { step in
                        control.progress(
                            AnalysisProgress(
                                stage: "answers without experts",
                                done: removed * step.total + step.done,
                                total: (experts + 1) * step.total,
                                unit: "answers"
                            )
                        )
                    }
                ).table
            }
            tables.append(table)
        }
        return tables[0].rows.compactMap { row in
            guard let whole = row.primary else { return nil }
            let others = tables.dropFirst().map { table in
                table.rows.first { $0.dataset == row.dataset && $0.task == row.task }?.primary?.value ?? .nan
            }
            return ScoreAblation(
                dataset: row.dataset,
                task: row.task,
                metric: whole.metric.title,
                samples: whole.n,
                score: whole.value,
                scoresWithout: Array(others)
            )
        }
    }

    // MARK: Feature maps

    /// The features of pictures at one place of the model, in a plane or in space.
    public struct FeatureMap: Codable, Sendable, Equatable {
        /// Where the features are from: `before connector` or `after connector`.
        public let place: String
        /// The width of the features.
        public let width: Int
        /// The task of each picture.
        public let tasks: [MedicalTask]
        /// The data set of each picture.
        public let datasets: [String]
        /// The modality of each picture, empty where it is not known.
        public let modalities: [String]
        /// Each picture's coordinates by t-SNE.
        public let embedding: [[Double]]
        /// How far the neighbourhoods there are from the true ones (Kullback-Leibler divergence).
        public let divergence: Double
        /// How many neighbours there are true ones, 0 to 1.
        public let trustworthiness: Double
        /// Each picture's first principal components.
        public let components: [[Double]]
        /// The share of the variance along each.
        public let varianceShares: [Double]
        /// The mean silhouettes of the features themselves, by what they are grouped by: `task`, `dataset` or
        /// `modality`; left out where there is only one group.
        public let silhouettes: [String: Double]
    }

    /// The features before and after the connector of up to a number of pictures of each task, the mean over an
    /// image's tokens.
    ///
    /// - Parameter map: How they are laid out; its perplexity is lowered where there are few pictures.
    public func featureMaps(
        picturesPerTask: Int = 100,
        split: Split = .validation,
        map: TSNE = TSNE(),
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> [FeatureMap] {
        let samples = try drawnImages(picturesPerTask, split: split)
        guard samples.count >= 8 else {
            throw AnalysisError(.data, "expected at least 8 pictures, got \(samples.count)", field: "feature maps")
        }
        var (before, after): ([Tensor], [Tensor]) = ([], [])
        try forEachBatch(of: samples, "features", control: control) { seen in
            before.append(try seen.features.to(.cpu))
            after.append(try seen.aligned.to(.float32).mean(1).to(.cpu))
        }
        var settings = map
        settings.perplexity = min(map.perplexity, max(2, Double(samples.count - 1) / 4))
        return try [("before connector", before), ("after connector", after)].map {
            place,
            parts throws(AnalysisError) in
            let points = try analysing { try Tensor.cat(parts) }
            let embedding = try settings.embed(points, control: control)
            let components = try analysing { try PrincipalComponents(points, count: map.dimensions) }
            var silhouettes: [String: Double] = [:]
            for (kind, names) in [
                ("task", samples.map(\.task.rawValue)), ("dataset", samples.map(\.dataset)),
                ("modality", samples.map { $0.modality ?? "" }),
            ] {
                let numbers = Dictionary(uniqueKeysWithValues: Set(names).sorted().enumerated().map { ($1, $0) })
                guard numbers.count > 1 else { continue }
                silhouettes[kind] = try Silhouette.score(points, labels: names.map { numbers[$0] ?? 0 })
            }
            let neighbours = min(5, (samples.count - 1) / 2 - 1)
            return FeatureMap(
                place: place,
                width: points.size(1),
                tasks: samples.map(\.task),
                datasets: samples.map(\.dataset),
                modalities: samples.map { $0.modality ?? "" },
                embedding: try analysing { try Self.rows(embedding.points) },
                divergence: embedding.divergence,
                trustworthiness: try Trustworthiness.score(
                    of: embedding.points,
                    for: points,
                    neighbours: max(1, neighbours)
                ),
                components: try analysing { try Self.rows(components.points) },
                varianceShares: components.varianceShares,
                silhouettes: silhouettes
            )
        }
    }

    static func rows(_ matrix: Tensor) throws(TorchError) -> [[Double]] {
        let (values, width) = (try matrix.to(.float64).array(of: Double.self), matrix.size(1))
        return stride(from: 0, to: values.count, by: width).map { Array(values[$0..<$0 + width]) }
    }
}
