import Foundation
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedEvaluation
import UniMedModel
import UniMedTraining

/// Training steps of a recipe's model at its true size, with random weights made on the device.
///
/// Everything of a step is done that training does: images through the frozen encoder (or features that were kept),
/// prompts, loss, backward pass, AdamW. What is written to a folder beside the measurements lets
/// `Benchmarks/peer/full_size.py` do the same work in PyTorch.
struct FullSizeBenchmark {
    let recipe: Recipe
    let device: Device
    /// Measures the structure made small, and gives the peer its weights: the losses must then agree.
    let isDryRun: Bool
    let dtype: DType
    let warmups: Int
    let steps: Int
    /// Where the peer's work is written.
    let folder: URL?

    /// The prompts of a step.
    struct Batch: Codable {
        let name: String
        let tokens: [[Int]]
        let targets: [[Int]]
        /// The position of each prompt's task in the connector's list.
        let imageTasks: [Int]
    }

    /// A way of training that is measured.
    struct Variant: Codable {
        let name: String
        let batch: String
        /// Whether a step runs the vision encoder, as the published training does; features are kept otherwise, as ours does.
        let encodesImages: Bool
        let gradientCheckpointing: Bool
    }

    /// What one variant took.
    struct Measurement: Codable {
        let variant: Variant
        /// Samples, tokens with the images', and predicted tokens of a step.
        let samples: Int
        let tokens: Int
        let targets: Int
        /// The longest prompt.
        let longest: Int
        /// The time of each step, waited for.
        var stepSeconds: [Double] = []
        /// Of all steps queued one after the other.
        var samplesPerSecond: Double?
        /// Bytes: before the first step, at the peak, and reserved from the driver at the peak.
        var memoryBefore: Int?
        var memoryPeak: Int?
        var memoryReservedPeak: Int?
        /// Of every step, those that warm up included.
        var losses: [Double] = []
        /// Why it was not measured.
        var failure: String?
    }

    /// What both sides do.
    struct Work: Encodable {
        let recipe: String
        let seed: UInt64
        let model: UniMedConfiguration
        let dtype: String
        let optimizer: AdamWConfiguration
        let learningRate: Double
        let gradientClipping: Double?
        let batches: [Batch]
        let variants: [Variant]
        let warmups: Int
        let steps: Int
        /// The file with weights and pixels, beside this one; `nil` where the peer draws its own.
        let weights: String?
    }

    /// All measurements.
    struct Report: Encodable {
        let recipe: String
        let device: String
        let libTorch: String
        let isDryRun: Bool
        let dtype: String
        let trainedDType: String
        let parameters: Int
        let trainedParameters: Int
        let buildSeconds: Double
        let measurements: [Measurement]

        /// A table in Markdown.
        var markdown: String {
            let count = { (number: Int) in String(format: "%.2f", Double(number) / 1e9) }
            var lines = [
                "\(recipe)\(isDryRun ? " made small" : ""): \(count(parameters)) billion weights, \(count(trainedParameters)) "
                    + "of them trained (in \(trainedDType), all products in \(dtype)), \(device), LibTorch \(libTorch), "
                    + "random weights made on the device in \(String(format: "%.1f", buildSeconds)) s:",
                "",
                "| | samples | tokens | longest | step, s | range | samples/s | memory, GB | at the peak | reserved |",
                "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|",
            ]
            for measurement in measurements {
                let gigabytes = { (bytes: Int?) in bytes.map { String(format: "%.1f", Double($0) / 1e9) } ?? "-" }
                let seconds = { (value: Double?) in value.map { String(format: "%.4f", $0) } ?? "-" }
                let m = measurement
                let time =
                    m.failure.map { "\($0) | " }
                    ?? "\(seconds(BenchmarkResult.median(m.stepSeconds))) | \(seconds(m.stepSeconds.min())) to \(seconds(m.stepSeconds.max()))"
                lines.append(
                    "| \(m.variant.name) | \(m.samples) | \(m.tokens) | \(m.longest) | \(time) "
                        + "| \(m.samplesPerSecond.map { String(format: "%.2f", $0) } ?? "-") | \(gigabytes(m.memoryBefore)) "
                        + "| \(gigabytes(m.memoryPeak)) | \(gigabytes(m.memoryReservedPeak)) |"
                )
            }
            return lines.joined(separator: "\n")
        }
    }

    /// The name of the weights' file.
    private static let weightsName = "weights.safetensors"

    /// Measures all variants.
    func run(_ progress: ProgressPrinter) throws -> Report {
        try device.requireAvailable()
        let configuration =
            isDryRun ? SyntheticWork.withoutDropout(SyntheticWork.small(recipe.model)) : recipe.model
        let batches = batches(configuration)
        let start = ContinuousClock.now
        try Runtime.seed(recipe.seed)
        let frozen = WeightBuilder(dtype: dtype, device: device)
        let model = try UniMed(
            configuration,
            builder: WeightBuilder(device: device),
            visionBuilder: frozen,
            languageBuilder: configuration.fineTuning == .full ? nil : frozen
        )
        try model.castFrozenParameters(to: dtype)
        model.computeDType = dtype
        if isDryRun { try SyntheticWork.disturbConstants(model, seed: recipe.seed) }
        try device.synchronize()
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let side = configuration.vision.imageSize
        let images = batches.map { $0.prompts.count }.max() ?? 0
        let pixels = try Tensor.normal([images, 3, side, side], generator: Generator(seed: recipe.seed))
        if let folder { try write(folder, configuration, batches.map(\.batch), model, pixels) }

        let optimizer = try AdamW(model.trainableParameters(), recipe.training.optimizer)
        var measurements: [Measurement] = []
        for variant in variants {
            guard let (_, prompts) = batches.first(where: { $0.batch.name == variant.batch }) else { continue }
            measurements.append(try measure(variant, prompts, pixels, model, optimizer, progress))
        }
        progress.finish()
        return Report(
            recipe: recipe.name,
            device: device.description,
            libTorch: Runtime.version,
            isDryRun: isDryRun,
            dtype: dtype.rawValue,
            trainedDType: (model.trainableParameters().first?.parameter.value.dtype ?? dtype).rawValue,
            parameters: model.parameterCount(),
            trainedParameters: model.parameterCount(trainableOnly: true),
            buildSeconds: seconds,
            measurements: measurements
        )
    }

    // MARK: Work

    private var variants: [Variant] {
        func variant(_ name: String, _ batch: String, encodes: Bool = true, again: Bool = false) -> Variant {
            Variant(name: name, batch: batch, encodesImages: encodes, gradientCheckpointing: again)
        }
        return [
            variant("typical lengths", "typical"),
            variant("typical lengths, features kept", "typical", encodes: false),
            variant("typical lengths, gradient checkpointing", "typical", again: true),
            variant("longest prompts", "longest"),
            variant("longest prompts, gradient checkpointing", "longest", again: true),
        ]
    }

    /// Prompts of the recipe's batch size: around the paper's 66 tokens of text beside the image, and as long as the recipe
    /// allows.
    private func batches(_ configuration: UniMedConfiguration) -> [(batch: Batch, prompts: [EncodedPrompt])] {
        let images = configuration.imageTokenCount
        let count = recipe.training.batchSize
        let longest = isDryRun ? images + 60 : recipe.training.maximumLength ?? 1024
        let typical = [34, 50, 82, 98].map { images + (isDryRun ? $0 / 2 : $0) }
        let lengths = [
            ("typical", (0..<count).map { typical[$0 % typical.count] }),
            ("longest", [Int](repeating: longest, count: count)),
        ]
        return lengths.map { name, lengths in
            let prompts = SyntheticWork.prompts(lengths: lengths, configuration, seed: recipe.seed)
            let tasks = configuration.connector.tasks
            let batch = Batch(
                name: name,
                tokens: prompts.map(\.tokens),
                targets: prompts.map(\.targets),
                imageTasks: prompts.map { tasks.firstIndex(of: $0.task) ?? 0 }
            )
            return (batch, prompts)
        }
    }

    private func write(
        _ folder: URL,
        _ configuration: UniMedConfiguration,
        _ batches: [Batch],
        _ model: UniMed,
        _ pixels: Tensor
    ) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let work = Work(
            recipe: recipe.name,
            seed: recipe.seed,
            model: configuration,
            dtype: dtype.rawValue,
            optimizer: recipe.training.optimizer,
            learningRate: recipe.training.learningRate.peak,
            gradientClipping: recipe.training.gradientClipping,
            batches: batches,
            variants: variants,
            warmups: warmups,
            steps: steps,
            weights: isDryRun ? Self.weightsName : nil
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        try AtomicFile.write(try encoder.encode(work), to: folder.appendingPathComponent("work.json"))
        guard isDryRun else { return }
        try SafetensorsFile.write(
            model.namedParameters().map { ($0.name, $0.parameter.value) } + [("benchmark.pixels", pixels)],
            to: folder.appendingPathComponent(Self.weightsName)
        )
    }

    // MARK: Measuring

    private func measure(
        _ variant: Variant,
        _ prompts: [EncodedPrompt],
        _ pixels: Tensor,
        _ model: UniMed,
        _ optimizer: AdamW,
        _ progress: ProgressPrinter
    ) throws -> Measurement {
        var result = Measurement(
            variant: variant,
            samples: prompts.count,
            tokens: prompts.reduce(0) { $0 + $1.tokens.count },
            targets: prompts.reduce(0) { $0 + $1.targets.count { $0 != EncodedPrompt.noTarget } },
            longest: prompts.map(\.tokens.count).max() ?? 0
        )
        model.language.checkpointsBlocks = variant.gradientCheckpointing
        try Runtime.seed(recipe.seed)
        do {
            try time(variant, prompts, pixels, model, optimizer, &result) { done, total in
                progress.show(variant.name, done, of: total, unit: "steps")
            }
        } catch let error as TorchError where error.kind == .outOfMemory {
            result.failure = "out of memory"
        }
        try optimizer.clearGradients()
        try Runtime.emptyCache()
        return result
    }

    private func time(
        _ variant: Variant,
        _ prompts: [EncodedPrompt],
        _ pixels: Tensor,
        _ model: UniMed,
        _ optimizer: AdamW,
        _ result: inout Measurement,
        _ show: (_ done: Int, _ total: Int) -> Void
    ) throws {
        let kept = variant.encodesImages ? nil : try model.encodeImages(pixels)
        if !device.isCPU {
            try device.synchronize()
            try Runtime.emptyCache()
            try device.resetPeakMemory()
            result.memoryBefore = try device.memory().current
        }
        var losses: [Tensor] = []
        func step() throws {
            try Interruption.check()
            let batch = try PromptBatch(
                prompts,
                features: kept ?? model.encodeImages(pixels),
                imageTokenCount: model.configuration.imageTokenCount,
                taskOrder: model.configuration.connector.tasks,
                roundsSizes: model.prefersRoundedSizes,
                device: device
            )
            let output = try model.loss(batch)
            try output.loss.backward()
            if let clipping = recipe.training.gradientClipping { try optimizer.clipGradients(to: clipping) }
            try optimizer.step(learningRate: recipe.training.learningRate.peak)
            try optimizer.clearGradients()
            losses.append(try output.loss.detach())
        }
        let total = warmups + 2 * steps
        for _ in 0..<warmups { try step() }
        try device.synchronize()
        show(warmups, total)
        let start = ContinuousClock.now
        for _ in 0..<steps { try step() }
        try device.synchronize()
        result.samplesPerSecond = Double(steps * prompts.count) / ((ContinuousClock.now - start) / .seconds(1))
        show(warmups + steps, total)
        for index in 0..<steps {
            let start = ContinuousClock.now
            try step()
            try device.synchronize()
            result.stepSeconds.append((ContinuousClock.now - start) / .seconds(1))
            show(warmups + steps + index + 1, total)
        }
        if !device.isCPU {
            let memory = try device.memory()
            result.memoryPeak = memory.peak
            result.memoryReservedPeak = memory.peakReserved
        }
        for loss in losses { result.losses.append(try loss.item()) }
        guard result.losses.allSatisfy(\.isFinite) else {
            throw Failure.failed("\(variant.name): the losses are \(result.losses)")
        }
    }
}
