import Foundation

/// How often each task is drawn during joint training.
public enum TaskRates: Sendable, Equatable {
    /// In proportion to the task's number of samples (Uni-Med section 4.1).
    case proportional
    /// In proportion to the number of samples to the power of `1 / temperature`: `1` is proportional, larger values
    /// bring the tasks closer together.
    case temperature(Double)
    /// Given rates, of any positive sum. Every task with samples must be named; a rate of `0` leaves a task out.
    case explicit([MedicalTask: Double])
}

/// What one batch is drawn from.
public enum BatchComposition: String, Codable, Sendable, CaseIterable {
    /// Every sample's task is drawn on its own.
    case mixed
    /// One task is drawn for the whole batch.
    case singleTask
}

/// One drawn sample.
public struct MixtureDraw: Codable, Sendable, Equatable {
    /// The sample's index in the list the sampler was made for.
    public var sampleIndex: Int
    /// The sample's task.
    public var task: MedicalTask
    /// The seed with which the sample's instruction template (and augmentation) is drawn.
    public var seed: UInt64

    /// Makes a draw.
    public init(sampleIndex: Int, task: MedicalTask, seed: UInt64) {
        self.sampleIndex = sampleIndex
        self.task = task
        self.seed = seed
    }
}

/// Draws training samples of several tasks with a rate per task.
///
/// A task is drawn by its rate; within a task every sample comes once, in random order, before any comes again. The
/// order of an epoch follows from the seed, the task and the epoch's number, so that the state to keep is small: one
/// generator and two counters a task. A sampler restored from its state continues exactly as the original would have.
/// A draw costs the same whatever the number of samples, apart from one shuffle at each start of an epoch. A sample takes 8
/// bytes of memory.
public struct MixtureSampler: Sendable {
    /// Everything a sampler needs to continue, besides the list of samples and the rates.
    public struct State: Codable, Sendable, Equatable {
        /// The position within the samples of one task.
        public struct Cursor: Codable, Sendable, Equatable {
            /// The number of epochs of the task that are complete.
            public var epoch: Int
            /// The number of samples drawn in the current epoch.
            public var position: Int
        }

        /// The seed of all shuffles.
        public var seed: UInt64
        /// The number of samples drawn so far.
        public var drawCount: Int
        /// The generator of tasks and seeds.
        public var generator: SeededGenerator
        /// The position in each task, by the task's short code.
        public var cursors: [String: Cursor]
        /// The number of samples of each task, by the task's short code.
        public var sampleCounts: [String: Int]
    }

    private struct Pool: Sendable {
        let task: MedicalTask
        /// 4 bytes a sample, and as many for the order.
        let indices: [Int32]
        let upperRate: Double
        var order: [Int32]
        var epoch: Int
        var position: Int
    }

    /// The seed of all shuffles.
    public let seed: UInt64
    /// The probability of each task that can be drawn; the sum is 1.
    public let rates: [MedicalTask: Double]
    /// The number of samples drawn so far.
    public private(set) var drawCount = 0
    private var generator: SeededGenerator
    private var pools: [Pool]
    private let sampleCounts: [String: Int]

    /// Makes a sampler at the start of its sequence.
    ///
    /// - Parameters:
    ///   - tasks: The task of each sample, in the order of the samples.
    ///   - rates: How often each task is drawn.
    ///   - seed: The seed of everything that is drawn.
    /// - Throws: ``DataError`` of kind ``DataError/Kind/invalid`` when there is no sample, a rate is negative or not
    ///   finite, a task with samples has no explicit rate, a task with a positive rate has no samples, or all are zero.
    public init(tasks: [MedicalTask], rates: TaskRates = .proportional, seed: UInt64) throws(DataError) {
        guard !tasks.isEmpty else { throw DataError(.invalid, "there is no sample to draw from") }
        var indices: [MedicalTask: [Int32]] = [:]
        for (index, task) in tasks.enumerated() { indices[task, default: []].append(Int32(index)) }
        let weights = try MixtureSampler.weights(rates, counts: indices.mapValues(\.count))
        let total = weights.values.reduce(0, +)
        guard total > 0, total.isFinite else {
            throw DataError(.invalid, "the rates of all tasks together are \(total), expected a positive number")
        }
        self.seed = seed
        self.rates = weights.mapValues { $0 / total }
        sampleCounts = Dictionary(uniqueKeysWithValues: indices.map { ($0.key.rawValue, $0.value.count) })
        generator = SeededGenerator.derived(from: seed, label: "mixture")
        pools = []
        var upperRate = 0.0
        for task in MedicalTask.allCases {
            guard let rate = self.rates[task], rate > 0, let indices = indices[task] else { continue }
            upperRate += rate
            pools.append(Pool(task: task, indices: indices, upperRate: upperRate, order: [], epoch: 0, position: 0))
        }
    }

    /// Makes a sampler that continues from a kept state.
    ///
    /// - Throws: ``DataError`` as ``init(tasks:rates:seed:)`` does, and of kind ``DataError/Kind/mismatch`` when the
    ///   state belongs to another list of samples.
    public init(tasks: [MedicalTask], rates: TaskRates = .proportional, state: State) throws(DataError) {
        try self.init(tasks: tasks, rates: rates, seed: state.seed)
        guard state.sampleCounts == sampleCounts else {
            throw DataError(
                .mismatch,
                "the sampler's state was kept for other data: expected \(MixtureSampler.list(sampleCounts)) samples, "
                    + "found \(MixtureSampler.list(state.sampleCounts))"
            )
        }
        guard Set(state.cursors.keys) == Set(pools.map(\.task.rawValue)) else {
            throw DataError(.mismatch, "the sampler's state was kept for other tasks", field: "cursors")
        }
        generator = state.generator
        drawCount = state.drawCount
        for index in pools.indices {
            guard let cursor = state.cursors[pools[index].task.rawValue] else { continue }
            guard cursor.epoch >= 0, (0...pools[index].indices.count).contains(cursor.position) else {
                throw DataError(.invalid, "outside the task's samples", field: "cursors.\(pools[index].task.rawValue)")
            }
            pools[index].epoch = cursor.epoch
            pools[index].position = cursor.position
        }
    }

    /// The state from which ``init(tasks:rates:state:)`` continues.
    public var state: State {
        var cursors: [String: State.Cursor] = [:]
        for pool in pools {
            cursors[pool.task.rawValue] = State.Cursor(epoch: pool.epoch, position: pool.position)
        }
        return State(
            seed: seed,
            drawCount: drawCount,
            generator: generator,
            cursors: cursors,
            sampleCounts: sampleCounts
        )
    }

    /// Draws the next sample.
    public mutating func next() -> MixtureDraw {
        draw(from: drawPool())
    }

    /// Draws the samples of the next batch.
    ///
    /// - Parameters:
    ///   - count: The number of samples.
    ///   - composition: Whether the samples may be of different tasks.
    /// - Returns: `count` draws.
    /// - Precondition: `count` is not negative.
    public mutating func nextBatch(of count: Int, composition: BatchComposition = .mixed) -> [MixtureDraw] {
        var draws: [MixtureDraw] = []
        draws.reserveCapacity(count)
        switch composition {
        case .mixed:
            for _ in 0..<count { draws.append(next()) }
        case .singleTask:
            let pool = drawPool()
            for _ in 0..<count { draws.append(draw(from: pool)) }
        }
        return draws
    }

    private mutating func drawPool() -> Int {
        let value = generator.uniform()
        return pools.firstIndex { value < $0.upperRate } ?? pools.endIndex - 1
    }

    private mutating func draw(from index: Int) -> MixtureDraw {
        let count = pools[index].indices.count
        if pools[index].position == count {
            pools[index].epoch += 1
            pools[index].position = 0
            pools[index].order = []
        }
        if pools[index].order.isEmpty {
            let label = "\(pools[index].task.rawValue) epoch \(pools[index].epoch)"
            var shuffling = SeededGenerator.derived(from: seed, label: label)
            var order = Array(0..<Int32(count))
            shuffling.shuffle(&order)
            pools[index].order = order
        }
        let sampleIndex = Int(pools[index].indices[Int(pools[index].order[pools[index].position])])
        pools[index].position += 1
        drawCount += 1
        return MixtureDraw(
            sampleIndex: sampleIndex,
            task: pools[index].task,
            seed: generator.next()
        )
    }

    private static func weights(
        _ rates: TaskRates,
        counts: [MedicalTask: Int]
    ) throws(DataError) -> [MedicalTask: Double] {
        switch rates {
        case .proportional:
            return counts.mapValues(Double.init)
        case .temperature(let temperature):
            guard temperature > 0, temperature.isFinite else {
                throw DataError(.invalid, "expected a positive number, found \(temperature)", field: "temperature")
            }
            return counts.mapValues { pow(Double($0), 1 / temperature) }
        case .explicit(let given):
            for task in MedicalTask.allCases {
                let field = "rates.\(task.rawValue)"
                switch (given[task], counts[task]) {
                case (nil, .some(let count)):
                    throw DataError(
                        .invalid,
                        "missing, and there are \(count) samples (0 leaves them out)",
                        field: field
                    )
                case (.some(let rate), _) where !rate.isFinite || rate < 0:
                    throw DataError(.invalid, "expected 0 or a positive number, found \(rate)", field: field)
                case (.some(let rate), nil) where rate > 0:
                    throw DataError(.invalid, "is \(rate), but the task has no sample", field: field)
                default:
                    continue
                }
            }
            return given.filter { counts[$0.key] != nil }
        }
    }

    private static func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
}
