import Torch

/// Measures how tasks pull at shared parameters, batch by batch.
///
/// Uni-Med section 3.1.1.
///
/// Two passes over the batches: the first sums the directions `u_j = ∇L_j / ‖∇L_j‖` of each task, the second takes the
/// product of every gradient with all of them. Where only ``DirectionReading/sameBatch`` is asked for, the first is enough.
/// At no time are there more than `T + 2` copies of the analysed parameters for `T` tasks, the gradient included, and with
/// the parameter statistics too: those need three vectors of their own, so that the last two tasks' part of them is computed
/// before any direction is kept, and their batches pass once more.
///
/// ```swift
/// let result = try TugOfWar(sets: [connector]).measure(batches)
/// let indexes = result.interference[0].indexes()
/// ```
public struct TugOfWar {
    /// What is measured.
    public struct Measurement: Sendable, Equatable {
        /// One for each set.
        public let interference: [Interference]
        /// One for each set; empty unless asked for.
        public let statistics: [ParameterStatistics]
    }

    /// The sets of parameters.
    public var sets: [ParameterSet]
    /// Whether one pass is enough, which gives the reading ``DirectionReading/sameBatch`` alone.
    ///
    /// Default: two passes, which give all.
    public var takesOnePass: Bool
    /// How parameter statistics are read; `nil` leaves them out.
    ///
    /// Default: from each task's mean gradient.
    public var statistics: ParameterStatistics.Reading?

    /// Makes a measurement.
    public init(
        sets: [ParameterSet],
        takesOnePass: Bool = false,
        statistics: ParameterStatistics.Reading? = .meanGradients
    ) {
        self.sets = sets
        self.takesOnePass = takesOnePass
        self.statistics = statistics
    }

    /// The largest number of copies of the analysed parameters that exist at a time, the gradient included.
    public static func copyCount(taskCount: Int) -> Int { max(taskCount + 2, 4) }

    /// The number of gradients that a measurement computes.
    ///
    /// - Parameter batchCounts: The batches of each task.
    public func gradientCount(batchCounts: [Int]) -> Int {
        let early = statistics.map { batchCounts.suffix($0.earlyTaskCount).reduce(0, +) } ?? 0
        return early + batchCounts.reduce(0, +) * (takesOnePass ? 1 : 2)
    }

    /// Measures to first order.
    ///
    /// - Throws: ``AnalysisError``, of kind `notFinite` when a gradient is.
    public func measure(
        _ source: some GradientSource,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> Measurement {
        let counts = try checkedCounts(source)
        let taskCount = counts.count
        var done = 0
        let total = gradientCount(batchCounts: counts)
        func gradients(_ task: Int, _ batch: Int) throws(AnalysisError) -> [Tensor?] {
            let result = try source.gradients(task: task, batch: batch)
            done += 1
            try control.step("gradients", done, of: total, unit: "batches")
            return result
        }

        // Parameter statistics of the last tasks, as long as no directions take memory.
        let early = min(statistics?.earlyTaskCount ?? 0, taskCount)
        var scores: [StatisticsAccumulator] = []
        if let statistics {
            for set in sets {
                scores.append(
                    try analysing { try StatisticsAccumulator(statistics, set: set, parameters: source.parameters) }
                )
            }
            for task in (taskCount - early)..<taskCount {
                for batch in 0..<counts[task] {
                    let gradients = try gradients(task, batch)
                    try analysing {
                        for score in scores { try score.add(gradients, batchCount: counts[task]) }
                    }
                }
                try analysing { for score in scores { try score.endTask() } }
            }
        }

        // The mean direction of each task, and the gradients' norms.
        var directions = [[ParameterVector]](repeating: [], count: sets.count)
        var norms = [[[Double]]](repeating: [], count: sets.count)
        var statisticsResults: [ParameterStatistics] = []
        for task in 0..<taskCount {
            let keepsScores = statistics != nil && task < taskCount - early
            if statistics != nil, task == taskCount - early {
                statisticsResults = try analysing { try scores.map { try $0.result() } }
                scores = []
            }
            for (index, set) in sets.enumerated() {
                directions[index].append(
                    try analysing { try ParameterVector(zerosFor: set, parameters: source.parameters) }
                )
                norms[index].append([])
            }
            for batch in 0..<counts[task] {
                let gradients = try gradients(task, batch)
                for (index, set) in sets.enumerated() {
                    let norm = try analysing { try Self.norm(gradients, in: set) }
                    guard norm.isFinite else { throw Self.notFinite(source.tasks[task], batch, set) }
                    norms[index][task].append(norm)
                    try analysing {
                        if norm > 0 {
                            try directions[index][task].add(gradients, scale: 1 / (norm * Double(counts[task])))
                        }
                        if keepsScores { try scores[index].add(gradients, batchCount: counts[task]) }
                    }
                }
            }
            if keepsScores { try analysing { for score in scores { try score.endTask() } } }
        }
        if !scores.isEmpty {
            statisticsResults = try analysing { try scores.map { try $0.result() } }
            scores = []
        }
        let products = try analysing {
            try directions.map { rows in
                try rows.map { row in try rows.map { try row.dot($0).item() } }
            }
        }

        // How much a step along each direction changes the loss of every batch.
        var changes = [[[[Double]]]](
            repeating: counts.map { [[Double]](repeating: [Double](repeating: 0, count: $0), count: taskCount) },
            count: sets.count
        )
        if !takesOnePass {
            for task in 0..<taskCount {
                for batch in 0..<counts[task] {
                    let gradients = try gradients(task, batch)
                    for index in sets.indices {
                        let row = try analysing {
                            try Tensor.stack(directions[index].map { try $0.dot(gradients).to(.cpu) })
                                .array(of: Double.self)
                        }
                        for (other, value) in row.enumerated() { changes[index][task][other][batch] = value }
                    }
                }
            }
        }
        let interference = sets.indices.map { index in
            Self.interference(
                sets[index],
                source,
                norms: norms[index],
                changes: takesOnePass ? nil : (changes[index], norms[index]),
                products: products[index],
                step: .firstOrder
            )
        }
        return Measurement(interference: interference, statistics: statisticsResults)
    }

    /// Measures by taking each step and computing every loss again, for one set after the other.
    ///
    /// The cost is the square of the number of all batches, in losses without gradients. Beside the gradient there is one copy
    /// of the parameters, from which they are put back, bit for bit, after every step and when anything fails.
    ///
    /// - Parameter length: `λ`, the length of a step.
    /// - Throws: ``AnalysisError``, of kind `notFinite` when a gradient or a loss is.
    public func measureExactly(
        _ source: some GradientSource,
        length: Double,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> [Interference] {
        guard length > 0, length.isFinite else {
            throw AnalysisError(.request, "expected a positive number, got \(length)", field: "length")
        }
        let counts = try checkedCounts(source)
        let batches = counts.indices.flatMap { task in (0..<counts[task]).map { (task: task, batch: $0) } }
        let total = batches.count * (1 + sets.count * batches.count)
        var done = 0
        func loss(_ task: Int, _ batch: Int) throws(AnalysisError) -> Double {
            let value = try source.loss(task: task, batch: batch)
            guard value.isFinite else {
                throw AnalysisError(.notFinite, "the loss of batch \(batch) is \(value)", field: source.tasks[task])
            }
            done += 1
            try control.step("finite steps", done, of: total, unit: "losses")
            return value
        }
        var before: [Double] = []
        for (task, batch) in batches { before.append(try loss(task, batch)) }
        let kept = try analysing { try source.parameters.map { try $0.clone() } }
        func restore() throws(AnalysisError) {
            try analysing {
                try withoutGradients {
                    for (parameter, kept) in zip(source.parameters, kept) { try parameter.copy(from: kept) }
                }
            }
        }
        return try sets.map { set throws(AnalysisError) in
            var norms = [[Double]](repeating: [], count: counts.count)
            var changes = counts.map { count in
                [[Double]](repeating: [Double](repeating: 0, count: count), count: counts.count)
            }
            var own = counts.map { [Double](repeating: 0, count: $0) }
            for (j, stepBatch) in batches {
                do throws(AnalysisError) {
                    let gradients = try source.gradients(task: j, batch: stepBatch)
                    let norm = try analysing { try Self.norm(gradients, in: set) }
                    guard norm.isFinite else { throw Self.notFinite(source.tasks[j], stepBatch, set) }
                    norms[j].append(norm)
                    guard norm > 0 else {
                        done += batches.count
                        continue
                    }
                    try analysing {
                        try withoutGradients {
                            for piece in set.pieces {
                                guard let gradient = gradients[piece.parameter] else { continue }
                                try ParameterSet.view(of: source.parameters[piece.parameter], piece).add(
                                    ParameterSet.view(of: gradient, piece),
                                    scale: -length / norm
                                )
                            }
                        }
                    }
                    for (number, (i, batch)) in batches.enumerated() {
                        let change = before[number] - (try loss(i, batch))
                        changes[i][j][batch] += change / Double(counts[j])
                        if i == j, batch == stepBatch { own[i][batch] = change }
                    }
                } catch {
                    try restore()
                    throw error
                }
                try restore()
            }
            return Self.interference(
                set,
                source,
                norms: norms,
                changes: (changes, own),
                products: nil,
                step: .exact(length: length)
            )
        }
    }

    private func checkedCounts(_ source: some GradientSource) throws(AnalysisError) -> [Int] {
        let counts = source.tasks.indices.map(source.batchCount(ofTask:))
        guard counts.count > 1 else {
            throw AnalysisError(.request, "expected at least two, got \(counts.count)", field: "tasks")
        }
        for (task, count) in zip(source.tasks, counts) where count < 1 {
            throw AnalysisError(.data, "expected at least one batch, got none", field: task)
        }
        guard !sets.isEmpty else { throw AnalysisError(.request, "expected at least one, got none", field: "sets") }
        for set in sets
        where set.pieces.isEmpty || set.pieces.contains(where: { source.parameters.count <= $0.parameter }) {
            throw AnalysisError(
                .request,
                "expected pieces of the source's parameters, got \(set.pieces)",
                field: set.name
            )
        }
        return counts
    }

    private static func norm(_ gradients: [Tensor?], in set: ParameterSet) throws(TorchError) -> Double {
        try ParameterVector.squaredNorm(gradients, in: set).item().squareRoot()
    }

    private static func notFinite(_ task: String, _ batch: Int, _ set: ParameterSet) -> AnalysisError {
        AnalysisError(.notFinite, "the gradient of batch \(batch) at \(set.name) is not finite", field: task)
    }

    /// The result over the tasks whose gradients reach the set.
    private static func interference(
        _ set: ParameterSet,
        _ source: some GradientSource,
        norms: [[Double]],
        changes: (values: [[[Double]]], own: [[Double]])?,
        products: [[Double]]?,
        step: Interference.Step
    ) -> Interference {
        let reached = norms.indices.filter { norms[$0].contains { $0 > 0 } }
        let count = set.pieces.reduce(0) { sum, piece in
            let parameter = source.parameters[piece.parameter]
            guard let slice = piece.slice else { return sum + parameter.count }
            return sum + parameter.count / parameter.size(slice.dimension) * slice.length
        }
        return Interference(
            name: set.name,
            parameterCount: count,
            tasks: reached.map { source.tasks[$0] },
            unreached: norms.indices.filter { !reached.contains($0) }.map { source.tasks[$0] },
            step: step,
            gradientNorms: reached.map { norms[$0] },
            changes: changes.map { changes in
                Interference.Changes(
                    values: reached.map { i in reached.map { changes.values[i][$0] } },
                    own: reached.map { changes.own[$0] }
                )
            },
            directionProducts: products.map { products in reached.map { i in reached.map { products[i][$0] } } }
        )
    }
}
