import Torch
import TorchNN
import UniMedData
import UniMedModel

/// What is summed up between two lines of metrics, on the device, without waiting for it.
struct StepStatistics {
    /// The host's part.
    struct Counts: Codable, Sendable, Equatable {
        var steps = 0
        var samples = [Int](repeating: 0, count: MedicalTask.allCases.count)
        var targets = [Int](repeating: 0, count: MedicalTask.allCases.count)
        var images = [Int](repeating: 0, count: MedicalTask.allCases.count)
        var tokens = 0
        var seconds = 0.0
        /// The part of `seconds` in which steps waited for data; `nil` in checkpoints of earlier versions.
        var waitingSeconds: Double?
    }

    private static let tasks = MedicalTask.allCases
    private let device: Device
    private(set) var counts = Counts()
    /// The sum of the steps' losses.
    private var loss: Tensor
    /// The summed token losses of each task: `[6]`.
    private var taskLosses: Tensor
    /// The summed routing weights of each task, averaged over an image's tokens: `[6, experts]`; zeros without experts.
    private var routing: Tensor
    private let hasExperts: Bool
    /// Whether all was finite since the last look (one element, bool).
    private var finite: Tensor

    init(expertCount: Int, device: Device) throws(TorchError) {
        self.device = device
        loss = try Tensor.zeros([], device: device)
        taskLosses = try Tensor.zeros([Self.tasks.count], device: device)
        routing = try Tensor.zeros([Self.tasks.count, max(1, expertCount)], device: device)
        hasExperts = expertCount > 0
        finite = try Tensor.ones([], dtype: .bool, device: device)
    }

    private static func position(of task: MedicalTask) -> Int { tasks.firstIndex(of: task) ?? 0 }

    /// Adds a micro-batch of a step: its samples, and what its loss was made of.
    ///
    /// - Parameters:
    ///   - output: `nil` where no sample of the micro-batch has a target, so that there is no loss.
    ///   - share: The share of the micro-batch's loss in the step's, as in ``MicroBatches``.
    mutating func add(_ output: LossOutput?, share: Double, batch: PromptBatch, hasImage: [Bool]) throws(TorchError) {
        counts.tokens += batch.layout.tokenCount
        var owners: [Int] = []
        owners.reserveCapacity(batch.targetCount)
        var imageTasks: [Int] = []
        for (index, task) in batch.tasks.enumerated() {
            let position = Self.position(of: task)
            counts.samples[position] += 1
            counts.targets[position] += batch.targetCounts[index]
            owners.append(contentsOf: repeatElement(position, count: batch.targetCounts[index]))
            if hasImage[index] { imageTasks.append(position) }
        }
        guard let output else { return }
        try withoutGradients { () throws(TorchError) in
            let detached = try output.loss.detach()
            loss = try loss + detached.to(.float32) * share
            finite = try finite.and(detached.isFinite())
            taskLosses = try taskLosses.indexAdd(0, Tensor(owners).to(device), output.tokenLosses.to(.float32))
            if let weights = output.routingWeights {
                for position in imageTasks { counts.images[position] += 1 }
                routing = try routing.indexAdd(0, Tensor(imageTasks).to(device), weights.to(.float32).mean(1))
            }
        }
    }

    /// Counts a step, all of whose micro-batches were added.
    mutating func addStep() { counts.steps += 1 }

    mutating func add(seconds: Double, waiting: Double) {
        counts.seconds += seconds
        counts.waitingSeconds = (counts.waitingSeconds ?? 0) + waiting
    }

    /// Notes whether a norm is finite.
    mutating func note(_ norm: Tensor) throws(TorchError) { finite = try finite.and(norm.isFinite()) }

    /// Whether everything was finite; waits for the device.
    func isFinite() throws(TorchError) -> Bool { try finite.item() != 0 }

    /// The numbers since the last line; waits for the device.
    func metrics(
        step: Int,
        learningRate: Double,
        gradientNorm: Double,
        samplesSeen: Int,
        elapsedSeconds: Double
    ) throws(TorchError) -> TrainingMetrics {
        let lossSums = try taskLosses.array(of: Float.self)
        let experts = routing.size(1)
        let routingSums = try routing.array(of: Float.self)
        var taskLossMeans: [String: Double] = [:]
        var taskSamples: [String: Int] = [:]
        var routingMeans: [String: [Double]] = [:]
        for (index, task) in Self.tasks.enumerated() {
            if counts.targets[index] > 0 {
                taskLossMeans[task.rawValue] = Double(lossSums[index]) / Double(counts.targets[index])
            }
            if counts.samples[index] > 0 { taskSamples[task.rawValue] = counts.samples[index] }
            if hasExperts, counts.images[index] > 0 {
                routingMeans[task.rawValue] = (0..<experts).map {
                    Double(routingSums[index * experts + $0]) / Double(counts.images[index])
                }
            }
        }
        let seconds = max(counts.seconds, 1e-9)
        return TrainingMetrics(
            step: step,
            loss: try loss.item() / Double(max(counts.steps, 1)),
            taskLosses: taskLossMeans,
            taskSamples: taskSamples,
            learningRate: learningRate,
            gradientNorm: gradientNorm,
            samplesPerSecond: Double(counts.samples.reduce(0, +)) / seconds,
            tokensPerSecond: Double(counts.tokens) / seconds,
            dataWaitShare: (counts.waitingSeconds ?? 0) / seconds,
            routingWeights: routingMeans,
            samplesSeen: samplesSeen,
            elapsedSeconds: elapsedSeconds
        )
    }

    // MARK: Checkpoints

    private static let prefix = "statistics."

    var tensors: [(String, Tensor)] {
        [(Self.prefix + "loss", loss), (Self.prefix + "taskLosses", taskLosses), (Self.prefix + "routing", routing)]
    }

    mutating func restore(_ counts: Counts, tensor: (String) throws -> Tensor) throws {
        self.counts = counts
        loss = try tensor(Self.prefix + "loss").clone().to(device)
        taskLosses = try tensor(Self.prefix + "taskLosses").clone().to(device)
        routing = try tensor(Self.prefix + "routing").clone().to(device)
    }
}
