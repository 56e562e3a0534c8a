import Foundation
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel

/// Trains connector and language model on all tasks at once (Uni-Med section 3.3).
///
/// A step: draw samples of all tasks by their rates, take the cached features of their pictures, compute the loss over all
/// answer tokens, clip, update by AdamW. Prompts are written and tokenised on another thread. Nothing is fetched from the
/// device but the numbers of a line of metrics.
///
/// With accumulation a step draws all of its samples at once and passes them through the model in ``MicroBatches``, one
/// after the other, before its one update. Checkpoints are written between steps only.
///
/// The default generators are seeded anew at every step from the recipe's seed and the step, so dropout depends on the
/// step alone: a resumed run draws what the uninterrupted one draws, on any device.
final class JointTrainer {
    /// What a checkpoint keeps besides tensors.
    struct State: Codable, Sendable {
        var formatVersion: Int
        var key: String
        var step: Int
        var sampler: MixtureSampler.State
        var log: MetricsLog.Position
        var counts: StepStatistics.Counts
        var samplesSeen: Int
        var elapsedSeconds: Double
        /// What the treatment of conflicts keeps; `nil` without one.
        var conflict: ConflictState?
    }

    static let formatVersion = 1
    static let weightsName = "weights.safetensors"
    static let optimizerName = "optimizer.safetensors"

    private let model: UniMed
    private let examples: TrainingExamples
    private let features: (any FeatureSource)?
    private let configuration: TrainingConfiguration
    private let ordinalTargets: OrdinalTargets?
    private let seed: UInt64
    private let key: String
    private let folder: URL
    private let store: CheckpointStore

    private let parameters: [(name: String, parameter: Parameter)]
    private let optimizer: AdamW
    private var resolver: ConflictResolver?
    private var statistics: StepStatistics
    private var sampler: MixtureSampler
    private var step = 0
    private var samplesSeen = 0
    private var elapsedSeconds = 0.0
    /// Since the start of the step.
    private var waitingSeconds = 0.0

    /// Prepares training of a model, which is on its device and has the weights to start from.
    ///
    /// - Parameters:
    ///   - features: Of the pictures; `nil` when no sample has one.
    ///   - key: What a checkpoint of this run carries; one with another key is refused.
    ///   - folder: The run's folder, with `checkpoints/`, `metrics.jsonl` and TensorBoard's events.
    init(
        model: UniMed,
        examples: TrainingExamples,
        features: (any FeatureSource)?,
        configuration: TrainingConfiguration,
        ordinalTargets: OrdinalTargets? = nil,
        seed: UInt64,
        key: String,
        folder: URL
    ) throws(TrainingError) {
        self.model = model
        self.examples = examples
        self.features = features
        self.configuration = configuration
        self.ordinalTargets = ordinalTargets
        self.seed = seed
        self.key = key
        self.folder = folder
        store = CheckpointStore(
            folder: folder.appendingPathComponent("checkpoints"),
            keptCount: configuration.keptCheckpoints
        )
        parameters = model.trainableParameters()
        guard !parameters.isEmpty else { throw TrainingError(.recipe, "there is nothing to train", field: "model") }
        (optimizer, statistics, sampler) = try UniMedTraining.training {
            (
                try AdamW(model.trainableParameters(), configuration.optimizer),
                try StepStatistics(
                    expertCount: model.configuration.connector.expertCount,
                    device: model.device
                ),
                try MixtureSampler(
                    tasks: examples.tasks,
                    rates: examples.rates,
                    seed: SeededGenerator.derivedSeed(from: seed, label: "samples")
                )
            )
        }
        resolver = try configuration.optimization.map { optimization throws(TrainingError) in
            try ConflictResolver(optimization, parameters: parameters)
        }
        model.dropout = configuration.dropout
        model.language.checkpointsBlocks = configuration.gradientCheckpointing
    }

    /// Continues from the newest checkpoint, or starts, and trains to the last step or until it is asked to stop.
    ///
    /// - Returns: How it ended; a checkpoint of the step is on disk in either case.
    /// - Throws: ``TrainingError`` of kind `notFinite` when the loss or a gradient is; the newest checkpoint is then one
    ///   of a step before.
    func run(
        control: TrainingControl = TrainingControl(),
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> TrainingOutcome {
        try RunFolder.create(folder)
        try store.clean()
        var position = MetricsLog.Position(metrics: 0, events: 0)
        if let checkpoint = store.latest() { position = try restore(checkpoint) }
        let log = try MetricsLog(folder: folder, keeping: position)
        report(progress, metrics: [:])
        guard step < configuration.steps else { return .finished(step: step) }

        let (batchSize, composition) = (configuration.samplesPerStep, configuration.composition)
        let examples = self.examples
        let prefetcher = BatchPrefetcher(state: sampler, depth: 2) { sampler -> [TrainingExample]? in
            try sampler.nextBatch(of: batchSize, composition: composition).map { try examples.example(for: $0) }
        }
        defer { prefetcher.cancel() }

        let clock = ContinuousClock()
        var begin = clock.now
        var saved = step
        while step < configuration.steps, !control.isCancelled {
            waitingSeconds = 0
            let produced = try waiting { try prefetcher.next() }
            guard let produced else { preconditionFailure("the sequence of batches has no end") }
            let done = step + 1
            let logs = done % configuration.logEvery == 0 || done == configuration.steps
            let saves = done % configuration.checkpointEvery == 0 || done == configuration.steps
            let norm = try update(produced.batch, measuresNorm: logs || saves)
            sampler = produced.stateAfter
            step = done
            samplesSeen += produced.batch.count

            var metrics: [String: Double] = [:]
            if logs || saves { try checkFinite() }
            let now = clock.now
            let seconds = begin.duration(to: now).seconds
            begin = now
            statistics.add(seconds: seconds, waiting: waitingSeconds)
            elapsedSeconds += seconds
            if logs {
                let line = try self.metrics(norm: norm)
                try log.append(line)
                metrics = ["loss": line.loss, "learningRate": line.learningRate]
                metrics["samplesPerSecond"] = line.samplesPerSecond
                metrics["dataWaitShare"] = line.dataWaitShare
            }
            report(progress, metrics: metrics)
            if saves {
                try save(log)
                saved = step
            }
        }
        if saved < step {
            try checkFinite()
            try save(log)
        }
        return step == configuration.steps ? .finished(step: step) : .interrupted(step: step)
    }

    private func report(_ progress: ProgressHandler, metrics: [String: Double]) {
        progress(
            StageProgress(stage: .training, done: step, total: configuration.steps, unit: "steps", metrics: metrics)
        )
    }

    // MARK: A step

    /// One optimizer step.
    ///
    /// - Returns: The gradients' norm where it was measured.
    private func update(_ examples: [TrainingExample], measuresNorm: Bool) throws(TrainingError) -> Tensor? {
        try UniMedTraining.training(step: step) {
            try Runtime.seed(SeededGenerator.derivedSeed(from: seed, label: "step \(step)"))
            let losses = try resolver.map { try taskGradients(examples, $0) }
            if losses == nil { try gradients(examples) }
            statistics.addStep()
            var norm: Tensor?
            if let maximum = configuration.gradientClipping {
                norm = try optimizer.clipGradients(to: maximum)
            } else if measuresNorm {
                norm = try optimizer.gradientNorm()
            }
            if let norm {
                if model.device.isCPU {
                    let value = try norm.item()
                    guard value.isFinite else {
                        throw notFinite("the gradients' norm is \(value)", tasks: examples.map(\.prompt.task))
                    }
                }
                try statistics.note(norm)
            }
            try optimizer.step(learningRate: configuration.schedule.rate(at: step))
            try optimizer.clearGradients()
            if let resolver, resolver.looksAtLossesAfterwards, let losses {
                try noteLosses(examples, before: losses, resolver)
            }
            return norm
        }
    }

    /// Adds up the gradients of the step's loss.
    private func gradients(_ examples: [TrainingExample]) throws {
        let parts = try microBatches(examples)
        for (part, share) in zip(parts, try shares(of: parts)) {
            let output = share > 0 ? try backward(part.batch, share: share) : nil
            try statistics.add(output, share: share, batch: part.batch, hasImage: part.hasImage)
        }
    }

    private func shares(of parts: [(batch: PromptBatch, hasImage: [Bool])]) throws -> [Double] {
        let counts = parts.map(\.batch.targetCounts)
        guard let shares = MicroBatches.shares(targetCounts: counts, lengthExponent: configuration.lengthExponent)
        else { throw TorchError(operation: "loss", message: "the batch has no answer token to learn from") }
        return shares
    }

    // MARK: Conflicts between tasks

    /// The parts of a step's samples task by task, with the share of each in the step's loss.
    private func taskParts(
        _ examples: [TrainingExample]
    ) throws -> [(task: MedicalTask, parts: [(batch: PromptBatch, hasImage: [Bool], share: Double)])] {
        let groups = MedicalTask.allCases.compactMap { task in
            let own = examples.filter { $0.prompt.task == task }
            return own.isEmpty ? nil : (task: task, examples: own)
        }
        let parts = try groups.map { try microBatches($0.examples) }
        var shares = try shares(of: parts.flatMap { $0 })[...]
        return zip(groups, parts).map { group, parts in
            (group.task, parts.map { ($0.batch, $0.hasImage, shares.removeFirst()) })
        }
    }

    /// Computes the gradients of each task by itself and makes them one.
    ///
    /// - Returns: The mean loss of each task.
    private func taskGradients(
        _ examples: [TrainingExample],
        _ resolver: ConflictResolver
    ) throws -> [(task: MedicalTask, loss: Double)] {
        var losses: [(task: MedicalTask, loss: Double)] = []
        var weighed: [Tensor] = []
        for (task, parts) in try taskParts(examples) {
            let own = parts.reduce(0) { $0 + $1.share }
            var sum: Tensor?
            for (batch, hasImage, share) in parts {
                let output = share > 0 ? try forward(batch) : nil
                try statistics.add(output, share: share, batch: batch, hasImage: hasImage)
                guard let output else { continue }
                let part = try output.loss * (share / own)
                if resolver.looksAtGradients {
                    if part.requiresGradient { try (part * own).backward() }
                    sum = try Self.sum(sum, part.detach())
                } else {
                    sum = try Self.sum(sum, part)
                }
            }
            guard let sum else { continue }
            losses.append((task, try sum.detach().item()))
            if resolver.looksAtGradients { try resolver.take(task) } else { weighed.append(sum) }
        }
        guard losses.allSatisfy(\.loss.isFinite) else {
            throw notFinite("the loss of a task is not finite", tasks: examples.map(\.prompt.task))
        }
        if resolver.looksAtGradients {
            var generator = SeededGenerator.derived(from: seed, label: "conflicts of step \(step)")
            let means = Dictionary(uniqueKeysWithValues: losses.map { ($0.task, $0.loss) })
            try resolver.resolve(losses: means, generator: &generator)
        } else {
            let weights = resolver.lossWeights(for: losses.map(\.task), losses: losses.map(\.loss))
            var total: Tensor?
            for (loss, weight) in zip(weighed, weights) where loss.requiresGradient {
                total = try Self.sum(total, loss * weight)
            }
            try total?.backward()
        }
        return losses
    }

    private static func sum(_ total: Tensor?, _ part: Tensor) throws(TorchError) -> Tensor {
        guard let total else { return part }
        return try total + part
    }

    /// Computes the losses of the same samples, with the same dropout, after the step.
    private func noteLosses(
        _ examples: [TrainingExample],
        before: [(task: MedicalTask, loss: Double)],
        _ resolver: ConflictResolver
    ) throws {
        try Runtime.seed(SeededGenerator.derivedSeed(from: seed, label: "step \(step)"))
        let after = try withoutGradients {
            try taskParts(examples).compactMap { task, parts -> (task: MedicalTask, loss: Double)? in
                let own = parts.reduce(0) { $0 + $1.share }
                guard own > 0 else { return nil }
                return (
                    task,
                    try parts.filter { $0.share > 0 }.reduce(0) { sum, part in
                        sum + part.share / own * (try forward(part.batch).loss.item())
                    }
                )
            }
        }
        resolver.note(before.map(\.task), before: before.map(\.loss), after: after.map(\.loss))
    }

    /// The samples of a step as the model takes them, in parts of the batch's size.
    private func microBatches(_ examples: [TrainingExample]) throws -> [(batch: PromptBatch, hasImage: [Bool])] {
        try stride(from: 0, to: examples.count, by: configuration.batchSize).map { start in
            let part = examples[start..<min(start + configuration.batchSize, examples.count)]
            let rows = part.flatMap(\.featureRows)
            let batch = try PromptBatch(
                part.map(\.prompt),
                features: rows.isEmpty ? nil : gather(rows),
                imageTokenCount: model.configuration.imageTokenCount,
                taskOrder: model.configuration.connector.tasks,
                roundsSizes: model.prefersRoundedSizes,
                device: model.device
            )
            return (batch, part.map { !$0.featureRows.isEmpty })
        }
    }

    private func gather(_ rows: [Int]) throws -> Tensor? {
        guard let features else { return nil }
        guard features.isRead else { return try features.gather(rows, device: model.device) }
        return try waiting { try features.gather(rows, device: model.device) }
    }

    /// Does what brings data, and adds its time to that of waiting.
    private func waiting<Result>(_ body: () throws -> Result) throws(TrainingError) -> Result {
        let start = ContinuousClock.now
        defer { waitingSeconds += (ContinuousClock.now - start).seconds }
        return try UniMedTraining.training(step: step, body)
    }

    /// Adds the gradients of a part's loss, weighed with its share.
    private func backward(_ batch: PromptBatch, share: Double) throws -> LossOutput {
        let output = try forward(batch)
        // A batch without images does not reach a connector that alone is trained.
        if output.loss.requiresGradient { try (share == 1 ? output.loss : output.loss * share).backward() }
        return output
    }

    /// The loss of a part.
    private func forward(_ batch: PromptBatch) throws -> LossOutput {
        let output = try model.loss(
            batch,
            labelSmoothing: configuration.labelSmoothing,
            lengthExponent: configuration.lengthExponent,
            ordinalTargets: ordinalTargets
        )
        // On the CPU the number is there already; elsewhere asking for it would wait for the device.
        if model.device.isCPU {
            let loss = try output.loss.item()
            guard loss.isFinite else { throw notFinite("the loss is \(loss)", tasks: batch.tasks) }
        }
        return output
    }

    private func notFinite(_ problem: String, tasks: [MedicalTask]) -> TrainingError {
        let mix = MedicalTask.allCases.compactMap { task in
            let count = tasks.count { $0 == task }
            return count > 0 ? "\(task.rawValue) \(count)" : nil
        }
        return TrainingError(
            .notFinite,
            "\(problem); the batch had \(mix.joined(separator: ", ")); the last checkpoint is untouched",
            step: step
        )
    }

    /// Throws when anything since the last look was not finite; what was seen then is not saved.
    private func checkFinite() throws(TrainingError) {
        guard try UniMedTraining.training(step: step, { try statistics.isFinite() }) else {
            throw TrainingError(
                .notFinite,
                "the loss or a gradient of the last \(statistics.counts.steps) steps is not finite; "
                    + "the last checkpoint is untouched",
                step: step - 1
            )
        }
    }

    /// The line of metrics of the steps since the last, which starts anew.
    private func metrics(norm: Tensor?) throws(TrainingError) -> TrainingMetrics {
        try UniMedTraining.training(step: step) {
            let line = try statistics.metrics(
                step: step,
                learningRate: configuration.schedule.rate(at: step - 1),
                gradientNorm: try norm?.item() ?? 0,
                samplesSeen: samplesSeen,
                elapsedSeconds: elapsedSeconds
            )
            statistics = try StepStatistics(
                expertCount: model.configuration.connector.expertCount,
                device: model.device
            )
            return line
        }
    }

    // MARK: Checkpoints

    private func save(_ log: MetricsLog) throws(TrainingError) {
        try log.synchronize()
        let state = State(
            formatVersion: Self.formatVersion,
            key: key,
            step: step,
            sampler: sampler.state,
            log: log.position,
            counts: statistics.counts,
            samplesSeen: samplesSeen,
            elapsedSeconds: elapsedSeconds,
            conflict: resolver?.state
        )
        let weights = parameters.map { ($0.name, $0.parameter.value) }
        let moments = optimizer.state().map { ($0.name, $0.tensor) } + statistics.tensors
        try store.save(
            step: step,
            files: [(name: Self.weightsName, tensors: weights), (name: Self.optimizerName, tensors: moments)],
            state: state
        )
    }

    private func restore(_ checkpoint: URL) throws(TrainingError) -> MetricsLog.Position {
        let state = try CheckpointStore.state(State.self, of: checkpoint)
        guard state.formatVersion == Self.formatVersion else {
            let problem = "expected version \(Self.formatVersion), found \(state.formatVersion)"
            throw TrainingError(.checkpoint, problem, file: checkpoint.path, field: "formatVersion")
        }
        guard state.key == key else {
            let problem =
                "the checkpoint belongs to a run with other data, model or training settings; "
                + "use another folder, or the recipe it was started with"
            throw TrainingError(.checkpoint, problem, file: checkpoint.path, field: "key")
        }
        try UniMedTraining.training {
            try loadWeights(
                into: parameters.map { (name: $0.name, tensor: $0.parameter.value) },
                from: SafetensorsFile(contentsOf: checkpoint.appendingPathComponent(Self.weightsName))
            )
            let kept = try SafetensorsFile(contentsOf: checkpoint.appendingPathComponent(Self.optimizerName))
            let moments = try kept.tensors()
            try optimizer.restore { name in moments[name] }
            try statistics.restore(state.counts) { name in try kept.tensor(named: name) }
            sampler = try MixtureSampler(tasks: examples.tasks, rates: examples.rates, state: state.sampler)
        }
        resolver = try configuration.optimization.map { optimization throws(TrainingError) in
            try ConflictResolver(optimization, parameters: parameters, state: state.conflict)
        }
        step = state.step
        samplesSeen = state.samplesSeen
        elapsedSeconds = state.elapsedSeconds
        return state.log
    }
}

extension Duration {
    fileprivate var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
