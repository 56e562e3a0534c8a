import Torch

/// Measures how tasks pull at shared parameters, batch by batch.
///
/// Uni-Med section 3.1.1.
///
/// Two passes over the batches: the first sums the directions `u_j = ∇L_j / ‖∇L_j‖` of each task, the second takes the
/// product of every gradient with all of them. Where only ``DirectionReading/sameBatch`` is asked for, the first is
/// enough. At no time are there more than `T + 2` copies of the analysed parameters for `T` tasks, the gradient
/// included, and with the parameter statistics too: those need three vectors of their own, so that the last two tasks'
/// part of them is computed before any direction is kept, and their batches pass once more.
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

    /// The blocks that the parameters are taken in, one after the other.
    ///
    /// Every block passes over the batches anew and holds `T + 1` copies of its own share of the parameters beside the
    /// whole gradient: less memory for more time, with the same result.
    ///
    /// Default: 1.
    public var blocks: Int

    /// Makes a measurement.
    public init(
        sets: [ParameterSet],
        takesOnePass: Bool = false,
        statistics: ParameterStatistics.Reading? = .meanGradients,
        blocks: Int = 1
    ) {
        self.sets = sets
        self.takesOnePass = takesOnePass
        self.statistics = statistics
        self.blocks = blocks
    }

    /// The largest number of copies of the analysed parameters that exist at a time, the gradient included.
    ///
    /// - Parameter blocks: The blocks that the parameters are taken in; the gradient is always whole.
    public static func copyCount(taskCount: Int, blocks: Int = 1) -> Double {
        1 + Double(max(taskCount + 1, 3)) / Double(blocks)
    }

    /// The number of gradients that a measurement computes.
    ///
    /// - Parameter batchCounts: The batches of each task.
    public func gradientCount(batchCounts: [Int]) -> Int {
        let early = statistics.map { batchCounts.suffix($0.earlyTaskCount).reduce(0, +) } ?? 0
        return blocks * (early + batchCounts.reduce(0, +) * (takesOnePass ? 1 : 2))
    }

    /// Measures to first order.
    ///
    /// - Throws: ``AnalysisError``, of kind `notFinite` when a gradient is.
    public func measure(
        _ source: some GradientSource,
        control: AnalysisControl = AnalysisControl()
    ) throws(AnalysisError) -> Measurement {
        let counts = try checkedCounts(source)
        guard blocks > 0 else {
            throw AnalysisError(.request, "expected a positive number, got \(blocks)", field: "blocks")
        }
        var done = 0
        let total = gradientCount(batchCounts: counts)
        var sums = Sums(setCount: sets.count, counts: counts)
        for block in 0..<blocks {
            try add(block, to: &sums, source, counts) { () throws(AnalysisError) in
                done += 1
                try control.step("gradients", done, of: total, unit: "batches")
            }
        }
        let interference = sets.indices.map { index in
            Self.interference(
                sets[index],
                source,
                norms: sums.norms[index],
                changes: takesOnePass ? nil : (sums.changes[index], sums.norms[index]),
                products: sums.products[index],
                step: .firstOrder
            )
        }
        return Measurement(interference: interference, statistics: sums.statistics)
    }

    /// What is summed up over blocks, by set.
    private struct Sums {
        var norms: [[[Double]]]
        var products: [[[Double]]]
        var changes: [[[[Double]]]]
        var statistics: [ParameterStatistics] = []

        init(setCount: Int, counts: [Int]) {
            let square = [[Double]](repeating: [Double](repeating: 0, count: counts.count), count: counts.count)
            norms = [[[Double]]](repeating: [[Double]](repeating: [], count: counts.count), count: setCount)
            products = [[[Double]]](repeating: square, count: setCount)
            changes = [[[[Double]]]](
                repeating: counts.map { [[Double]](repeating: [Double](repeating: 0, count: $0), count: counts.count) },
                count: setCount
            )
        }
    }

    /// Adds what a block of the parameters contributes.
    private func add(
        _ block: Int,
        to sums: inout Sums,
        _ source: some GradientSource,
        _ counts: [Int],
        step: () throws(AnalysisError) -> Void
    ) throws(AnalysisError) {
        let taskCount = counts.count
        let parts = sets.map { $0.part(block, of: blocks, parameters: source.parameters) }
        func gradients(_ task: Int, _ batch: Int) throws(AnalysisError) -> [Tensor?] {
            let result = try source.gradients(task: task, batch: batch)
            try step()
            return result
        }

        // Parameter statistics of the last tasks, as long as no directions take memory.
        let early = min(statistics?.earlyTaskCount ?? 0, taskCount)
        var scores: [StatisticsAccumulator] = []
        if let statistics {
            for set in parts {
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
        var statisticsResults: [ParameterStatistics] = []
        for task in 0..<taskCount {
            let keepsScores = statistics != nil && task < taskCount - early
            if statistics != nil, task == taskCount - early {
                statisticsResults = try analysing { try scores.map { try $0.result() } }
                scores = []
            }
            for (index, set) in parts.enumerated() {
                directions[index].append(
                    try analysing { try ParameterVector(zerosFor: set, parameters: source.parameters) }
                )
            }
            for batch in 0..<counts[task] {
                let gradients = try gradients(task, batch)
                for (index, set) in sets.enumerated() {
                    if block == 0 {
                        let norm = try analysing { try Self.norm(gradients, in: set) }
                        guard norm.isFinite else { throw Self.notFinite(source.tasks[task], batch, set) }
                        sums.norms[index][task].append(norm)
                    }
                    let norm = sums.norms[index][task][batch]
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
        for (index, rows) in directions.enumerated() {
            for (i, first) in rows.enumerated() {
                for (j, second) in rows.enumerated() {
                    sums.products[index][i][j] += try analysing { try first.dot(second).item() }
                }
            }
        }
        for (index, result) in statisticsResults.enumerated() {
            if block == 0 { sums.statistics.append(result) } else { sums.statistics[index].add(result) }
        }

        guard !takesOnePass else { return }
        // How much a step along each direction changes the loss of every batch.
        for task in 0..<taskCount {
            for batch in 0..<counts[task] {
                let gradients = try gradients(task, batch)
                for index in sets.indices {
                    let row = try analysing {
                        try Tensor.stack(directions[index].map { try $0.dot(gradients).to(.cpu) })
                            .array(of: Double.self)
                    }
                    for (other, value) in row.enumerated() { sums.changes[index][task][other][batch] += value }
                }
            }
        }
    }

    /// Measures by taking each step and computing every loss again, for one set after the other.
    ///
    /// The cost is the square of the number of all batches, in losses without gradients. Beside the gradient there is
    /// one copy of the parameters, from which they are put back, bit for bit, after every step and when anything fails.
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
        let count = set.pieces.reduce(0) { $0 + ParameterSet.count(of: $1, source.parameters) }
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
