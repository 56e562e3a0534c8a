import Foundation
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel

/// Pretrains the vision transformer on the training pictures, then freezes it.
///
/// Every head reads the tokens after `ln_vision`, or their mean: what the connector will see, and so not CLS. The sum of these losses is
/// minimised, on augmented views with some patches hidden:
///
/// | of | by | loss |
/// | --- | --- | --- |
/// | each field | mean token | cross entropy, smoothed |
/// | the words of the report | mean token | binary cross entropy, times 10 |
/// | boxes | every token | inside (times 2/3), extent (L1, times 5), centre (times 1/3) |
/// | boxes | mean token | number (times 1.5), box of what is alone of its class (L1, times 10) |
/// | texture | every token, hidden ones twice; mean token | squared error, times 30 |
///
/// A step's batch and all its draws follow from the seed and the step alone.
final class VisionPretrainer {
    struct State: Codable, Sendable {
        var formatVersion: Int
        var key: String
        var step: Int
        var log: Int
        var elapsedSeconds: Double
    }

    static let formatVersion = 1
    private static let weightsName = "weights.safetensors"
    private static let optimizerName = "optimizer.safetensors"
    static let logName = "metrics.jsonl"

    private let model: UniMed
    private let targets: VisionTargets
    private let images: ImageShards
    private let preprocessing: ImagePreprocessing
    private let configuration: VisionPretrainingConfiguration
    private let seed: UInt64
    private let key: String
    private let folder: URL
    private let store: CheckpointStore
    private let heads: VisionHeads
    private let texture: TextureDescriptors
    private let parameters: [(name: String, parameter: Parameter)]
    private let optimizer: AdamW
    private var step = 0
    private var elapsedSeconds = 0.0

    init(
        model: UniMed,
        data: PreparedData,
        recipe: DataConfiguration,
        preprocessing: ImagePreprocessing,
        configuration: VisionPretrainingConfiguration,
        seed: UInt64,
        key: String,
        folder: URL
    ) throws(TrainingError) {
        self.model = model
        self.preprocessing = preprocessing
        self.configuration = configuration
        self.seed = seed
        self.key = key
        self.folder = folder
        images = data.images
        targets = VisionTargets(data, configuration: recipe, wordCount: configuration.wordCount)
        guard !targets.pictures.isEmpty else {
            throw TrainingError(.data, "there is no training picture to pretrain on", file: data.folder.path)
        }
        for name in configuration.shares.keys where !targets.groups.contains(where: { $0.dataset == name }) {
            let problem = "names '\(name)', which has no training pictures"
            throw TrainingError(.recipe, problem, field: "visionPretraining.shares")
        }
        store = CheckpointStore(folder: folder.appendingPathComponent("checkpoints"), keptCount: 1)
        let targets = self.targets
        (heads, texture, parameters, optimizer) = try training {
            try Runtime.seed(SeededGenerator.derivedSeed(from: seed, label: "vision heads"))
            let vision = model.configuration.vision
            let texture = try TextureDescriptors(grid: vision.gridSize, patch: vision.patchSize, device: model.device)
            let heads = try VisionHeads(
                width: vision.hiddenSize,
                targets: targets,
                pictureTextureSize: texture.pictureSize,
                builder: WeightBuilder(device: model.device)
            )
            if configuration.initialization == .structured {
                try VisionInitialization.apply(to: model.vision, seed: seed)
            }
            let trained = model.vision.namedParameters(prefix: "visual_encoder.")
            for (_, parameter) in trained { try parameter.unfreeze() }
            let parameters = trained + heads.namedParameters(prefix: "heads.")
            return (heads, texture, parameters, try AdamW(parameters, configuration.optimizer))
        }
    }

    /// Continues from the newest checkpoint, or starts, and trains to the last step or until it is asked to stop; the
    /// transformer is then frozen.
    func run(
        control: TrainingControl = TrainingControl(),
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> TrainingOutcome {
        try RunFolder.create(folder)
        try store.clean()
        var position = 0
        if let checkpoint = store.latest() { position = try restore(checkpoint) }
        let log = try AppendFile(folder.appendingPathComponent(Self.logName), keeping: position)
        let (targets, grid, seed) = (self.targets, model.configuration.vision.gridSize, self.seed)
        let configuration = self.configuration
        let prefetcher = BatchPrefetcher(state: step, depth: 2) { step -> VisionTargets.Batch? in
            defer { step += 1 }
            return targets.batch(
                step: step,
                size: configuration.batchSize,
                grid: grid,
                maskRatio: configuration.maskRatio,
                shares: configuration.shares,
                seed: seed
            )
        }
        defer { prefetcher.cancel() }
        let clock = ContinuousClock()
        var begin = clock.now
        var sums: [String: Tensor] = [:]
        var since = 0
        var saved = step
        while step < configuration.steps, !control.isCancelled {
            let produced = try training(step: step) { try prefetcher.next() }
            guard let batch = produced?.batch else { preconditionFailure("the sequence of batches has no end") }
            try update(batch, &sums)
            step += 1
            since += 1
            let now = clock.now
            let passed = begin.duration(to: now)
            elapsedSeconds += Double(passed.components.seconds) + Double(passed.components.attoseconds) * 1e-18
            begin = now
            var metrics: [String: Double] = [:]
            if step % configuration.logEvery == 0 || step == configuration.steps {
                metrics = try means(&sums, steps: since)
                since = 0
                try append(metrics, to: log)
            }
            progress(
                StageProgress(
                    stage: .vision,
                    done: step,
                    total: configuration.steps,
                    unit: "steps",
                    metrics: metrics
                )
            )
            if step % configuration.checkpointEvery == 0 || step == configuration.steps {
                try save(log)
                saved = step
            }
        }
        if saved < step { try save(log) }
        try training { try model.vision.freeze() }
        return step == configuration.steps ? .finished(step: step) : .interrupted(step: step)
    }

    // MARK: A step

    private func update(_ batch: VisionTargets.Batch, _ sums: inout [String: Tensor]) throws(TrainingError) {
        try training(step: step) {
            try Runtime.seed(SeededGenerator.derivedSeed(from: seed, label: "vision draws \(step)"))
            let losses = try losses(of: batch)
            var total = losses[0].value
            for loss in losses.dropFirst() { total = try total + loss.value }
            if model.device.isCPU {
                let value = try total.item()
                guard value.isFinite else {
                    throw TrainingError(.notFinite, "the loss of the vision pretraining is \(value)", step: step)
                }
            }
            try total.backward()
            try optimizer.clipGradients(to: configuration.gradientClipping)
            try optimizer.step(learningRate: configuration.schedule.rate(at: step))
            try optimizer.clearGradients()
            for (name, value) in losses + [("loss", total)] {
                let value = try value.detach()
                sums[name] = try sums[name].map { sum throws(TorchError) in try sum + value } ?? value
            }
        }
    }

    /// The losses by name, each times its factor.
    private func losses(of batch: VisionTargets.Batch) throws -> [(name: String, value: Tensor)] {
        let device = model.device
        let factors = configuration.losses
        let pixels = try images.tensor(of: batch.positions).to(device)
        let views = try withoutGradients { () throws(TorchError) in
            try preprocessing.unit(pixels, batch.views, generator: nil)
        }
        let count = batch.positions.count
        let mask = try Tensor(batch.mask, shape: [count, batch.mask.count / count]).to(device)
        let vision = model.vision
        let normalized = try ImageTensor.normalized(unit: views).to(model.computeDType)
        var patches = try vision.embedPatches(normalized)
        if configuration.maskRatio > 0 {
            patches = try Tensor.choose(mask.unsqueeze(-1), heads.maskToken.cast(to: patches.dtype), patches)
        }
        let hidden = try vision.runBlocks(vision.addPositions(to: patches), dropPath: configuration.dropPath)
        let normed = try model.visionNorm(hidden)
        let tokens = try normed.narrow(1, start: 1, length: normed.size(1) - 1)
        let mean = try tokens.mean(1)
        let dropped = try mean.dropout(configuration.dropout)

        var losses: [(name: String, value: Tensor)] = []
        func add(_ name: String, _ value: Tensor, times factor: Double) throws {
            if factor > 0 { losses.append((name, try value * factor)) }
        }
        for (index, field) in targets.fields.enumerated() where batch.fields[index].contains(where: { $0 >= 0 }) {
            let logits = try heads.fields.elements[index](dropped).to(.float32)
            let loss = try logits.crossEntropy(
                Tensor(batch.fields[index]).to(device),
                ignoredTarget: -1,
                labelSmoothing: configuration.labelSmoothing
            )
            try add("field/" + field.name, loss, times: factors.fields)
        }
        if let head = heads.words, !batch.reportRows.isEmpty {
            let rows = try dropped.indexSelect(0, Tensor(batch.reportRows).to(device))
            let words = try Tensor(batch.words, shape: [batch.reportRows.count, targets.words.count]).to(device)
            try add("words", head(rows).to(.float32).binaryCrossEntropy(words), times: 10 * factors.words)
        }
        if let boxHead = heads.boxes, let locationHead = heads.locations, !batch.objectRows.isEmpty, factors.boxes > 0 {
            let rows = try Tensor(batch.objectRows).to(device)
            let means = try mean.indexSelect(0, rows)
            let boxLosses = try self.boxLosses(
                batch,
                predicted: boxHead(tokens.indexSelect(0, rows)).to(.float32),
                locations: locationHead(means).to(.float32),
                counts: heads.counts.map { try $0(means).to(.float32) }
            )
            for (name, value) in boxLosses { try add(name, value, times: factors.boxes) }
        }
        guard factors.texture > 0 else { return losses }
        let (tokenTexture, pictureTexture) = try withoutGradients { () throws(TorchError) in try texture(views) }
        let weight = try mask.to(.float32).unsqueeze(-1) + 1
        let tokenError = try heads.tokenTexture(tokens).to(.float32) - tokenTexture
        try add("texture", (tokenError * tokenError * weight).mean(), times: 30 * factors.texture)
        let pictureError = try heads.pictureTexture(mean).to(.float32) - pictureTexture
        try add("pictureTexture", (pictureError * pictureError).mean(), times: 30 * factors.texture)
        return losses
    }

    /// The losses of the annotated pictures.
    ///
    /// - Parameters:
    ///   - predicted: `[M, patches, labels + 4 + labels]`: inside, extent, centre.
    ///   - locations: `[M, labels · 4]`: the box of each class.
    ///   - counts: `[M, …]`: the logits of the number of boxes, class after class; `nil` where nothing is counted.
    private func boxLosses(
        _ batch: VisionTargets.Batch,
        predicted: Tensor,
        locations: Tensor,
        counts: Tensor?
    ) throws -> [(name: String, value: Tensor)] {
        let device = model.device
        let (pictures, patches, labels) = (predicted.size(0), predicted.size(1), targets.labels.count)
        func tensor(_ values: [Float], _ shape: [Int]) throws(TorchError) -> Tensor {
            try Tensor(values, shape: shape).to(device)
        }
        let known = try tensor(batch.known, [pictures, 1, labels])
        let places = Double(pictures * patches)
        let inside = try predicted.narrow(2, start: 0, length: labels).binaryCrossEntropy(
            tensor(batch.inside, [pictures, patches, labels]),
            weight: known,
            positiveWeight: tensor([Float](repeating: 2, count: labels), [labels]),
            reduction: .sum
        )
        let centers = try predicted.narrow(2, start: labels + 4, length: labels).binaryCrossEntropy(
            tensor(batch.centers, [pictures, patches, labels]),
            weight: known,
            positiveWeight: tensor([Float](repeating: 5, count: labels), [labels]),
            reduction: .sum
        )
        let extent = try predicted.narrow(2, start: labels, length: 4).sigmoid()
        let covered = try tensor(batch.covered, [pictures, patches])
        let distance = try (extent - tensor(batch.boxes, [pictures, patches, 4])).abs().mean(2) * covered
        let coveredCount = Double(max(batch.covered.reduce(0, +), 1))
        let alone = try tensor(batch.alone, [pictures, labels])
        let found =
            try locations.sigmoid().reshape(pictures, labels, 4) - tensor(batch.locations, [pictures, labels, 4])
        let aloneCount = Double(max(batch.alone.reduce(0, +), 1))
        var losses = [
            (name: "boxes/inside", value: try inside / places * (2.0 / 3)),
            (name: "boxes/extent", value: try distance.sum() / coveredCount * 5),
            (name: "boxes/center", value: try centers / places / 3),
            (name: "boxes/location", value: try (found.abs().mean(2) * alone).sum() / aloneCount * 10),
        ]
        if let counts, let number = try countLoss(batch, logits: counts) {
            losses.append((name: "boxes/number", value: number))
        }
        return losses
    }

    /// Cross entropy with a bump around the true number, so that a near miss costs less.
    private func countLoss(_ batch: VisionTargets.Batch, logits: Tensor) throws -> Tensor? {
        let labels = targets.labels.count
        var offset = 0
        var sum: Tensor?
        for (label, classes, width) in targets.countedClasses {
            defer { offset += classes }
            var bumps: [Float] = []
            for (row, count) in batch.counts[label].enumerated() {
                guard batch.known[row * labels + label] > 0 else {
                    bumps += [Float](repeating: 0, count: classes)
                    continue
                }
                let target = Double(min(count, classes - 1))
                let weights = (0..<classes).map { exp(-0.5 * pow((Double($0) - target) / width, 2)) }
                let total = weights.reduce(0, +)
                bumps += weights.map { Float($0 / total) }
            }
            let rows = batch.objectRows.count
            let probabilities = try logits.narrow(1, start: offset, length: classes).logSoftmax()
            let target = try Tensor(bumps, shape: [rows, classes]).to(model.device)
            let loss = try -(target * probabilities).sum() * (1.5 / Double(rows * targets.countedClasses.count))
            sum = try sum.map { sum throws(TorchError) in try sum + loss } ?? loss
        }
        return sum
    }

    // MARK: Metrics and checkpoints

    private func means(_ sums: inout [String: Tensor], steps: Int) throws(TrainingError) -> [String: Double] {
        let means = try training(step: step) {
            var means: [String: Double] = [:]
            for (name, sum) in sums { means[name] = try sum.item() / Double(steps) }
            return means
        }
        sums = [:]
        return means
    }

    private func append(_ metrics: [String: Double], to log: AppendFile) throws(TrainingError) {
        var line = metrics
        line["step"] = Double(step)
        line["learningRate"] = configuration.schedule.rate(at: step - 1)
        line["elapsedSeconds"] = elapsedSeconds
        let values = line
        let bytes = try training {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return try Array(encoder.encode(values)) + [UInt8(ascii: "\n")]
        }
        try log.append(bytes)
    }

    private func save(_ log: AppendFile) throws(TrainingError) {
        try training(step: step) {
            // A gradient may have spoiled the weights although the loss before it was finite.
            let norm = try OptimizerKernel.totalNorm(parameters.map { try $0.parameter.value.detach() }).item()
            guard norm.isFinite else {
                throw TrainingError(.notFinite, "the weights of the vision transformer are not finite", step: step)
            }
        }
        try log.synchronize()
        try store.save(
            step: step,
            files: [
                (name: Self.weightsName, tensors: parameters.map { ($0.name, $0.parameter.value) }),
                (name: Self.optimizerName, tensors: optimizer.state().map { ($0.name, $0.tensor) }),
            ],
            state: State(
                formatVersion: Self.formatVersion,
                key: key,
                step: step,
                log: log.position,
                elapsedSeconds: elapsedSeconds
            )
        )
    }

    private func restore(_ checkpoint: URL) throws(TrainingError) -> Int {
        let state = try CheckpointStore.state(State.self, of: checkpoint)
        guard state.formatVersion == Self.formatVersion, state.key == key else {
            // Of another recipe or other data: the stage starts anew.
            return 0
        }
        try training {
            try loadWeights(
                into: parameters.map { (name: $0.name, tensor: $0.parameter.value) },
                from: SafetensorsFile(contentsOf: checkpoint.appendingPathComponent(Self.weightsName))
            )
            let moments = try SafetensorsFile(contentsOf: checkpoint.appendingPathComponent(Self.optimizerName))
                .tensors()
            try optimizer.restore { name in moments[name] }
        }
        step = state.step
        elapsedSeconds = state.elapsedSeconds
        return state.log
    }
}
