import Foundation
import Testing
import Torch
import UniMedAnalysis
import UniMedTesting

/// What a fixture holds of the three readings of the direction interference.
private struct Readings: Decodable {

    let literal: [[Double]]
    let ratioOfMeans: [[Double]]
    let sameBatch: [[Double]]

    enum CodingKeys: String, CodingKey {
        case literal = "reading_A_mean_of_ratios"
        case ratioOfMeans = "reading_B_ratio_of_means"
        case sameBatch = "reading_C_self_batch_denominator"
    }

    func expect(_ interference: Interference, within tolerance: Double, _ name: String) {
        expectClose(interference.direction(.meanOfRatios), literal, within: tolerance, "\(name) GD A")
        expectClose(interference.direction(.ratioOfMeans), ratioOfMeans, within: tolerance, "\(name) GD B")
        expectClose(interference.direction(.sameBatch), sameBatch, within: tolerance, "\(name) GD C")
    }
}

private struct Magnitudes: Decodable {
    let squareOfMean: [[Double]]
    let meanOfSquare: [[Double]]

    enum CodingKeys: String, CodingKey {
        case squareOfMean = "reading_A_square_of_mean_norm"
        case meanOfSquare = "reading_B_mean_of_squared_norm"
    }

    func expect(_ interference: Interference, within tolerance: Double) {
        expectClose(interference.magnitude(.squareOfMean), squareOfMean, within: tolerance, "GM A")
        expectClose(interference.magnitude(.meanOfSquare), meanOfSquare, within: tolerance, "GM B")
    }
}

private struct Indexes: Decodable {
    let tug_of_war_indexes: [Double]
    let max_normalized: [Double]
    let max_normalized_mean: Double
    let max_normalized_std_population: Double
}

private func expect(_ expected: [String: Indexes], of interference: Interference) throws {
    #expect(expected.count == 6)
    for (name, values) in expected {
        let letters = name.split(separator: "_")
        let direction = try #require(
            ["A": DirectionReading.meanOfRatios, "B": .ratioOfMeans, "C": .sameBatch][letters[1]]
        )
        let magnitude = try #require(["A": MagnitudeReading.squareOfMean, "B": .meanOfSquare][letters[3]])
        let indexes = try #require(interference.indexes(direction, magnitude))
        expectClose([indexes.values], [values.tug_of_war_indexes], name)
        expectClose([indexes.maxNormalized], [values.max_normalized], name)
        expectClose(
            [[indexes.mean, indexes.standardDeviation]],
            [[values.max_normalized_mean, values.max_normalized_std_population]],
            name
        )
    }
}

private struct Histogram: Decodable {
    let counts: [Int]
    let ratios: [Double]
    let edges: [Double]
    let valid: Int
    let undefined: Int
}

private struct Statistics: Decodable {
    let abs_numerator_0_1: Histogram
    let raw_minus1_1: Histogram
    let gradient_positive_sign_purity_0_1: Histogram
    let mean_abs: Double
    let mean_raw: Double

    func expect(_ statistics: ParameterStatistics) {
        for (form, histogram) in [
            (ParameterStatistics.Form.absolute, abs_numerator_0_1), (.signed, raw_minus1_1),
            (.purity, gradient_positive_sign_purity_0_1),
        ] {
            #expect(statistics.counts(form) == histogram.counts, "\(statistics.reading) \(form)")
            expectClose([statistics.ratios(form)], [histogram.ratios], "\(form)")
            expectClose([ParameterStatistics.edges(form)], [histogram.edges], "\(form)")
            #expect(statistics.scored == histogram.valid && statistics.undefined == histogram.undefined)
        }
        #expect(abs(statistics.meanAbsolute - mean_abs) < 1e-9 && abs(statistics.meanSigned - mean_raw) < 1e-9)
    }
}

private let random = "tug_of_war/random_gradients.json"
private let network = "tug_of_war/mlp.json"

@Suite("Tug-of-war on reference numbers")
struct TugOfWarGoldenTests {
    private struct Fixture: Decodable {
        let lambda: Double
        let gradient_norms: [[Double]]
        let delta_first_order: [[[Double]]]
        let GD: Readings
        let GM: Magnitudes
        let indexes: [String: Indexes]
        let statistics_score: [String: Statistics]
    }

    private func source() throws -> GivenGradients {
        let tensors = try Golden.tensors("tug_of_war/random_gradients.safetensors")
        return try GivenGradients(
            (0..<5).map { try #require(tensors["grad_task\($0)"]).to(.float64) }
        )
    }

    @Test(.enabled(if: Golden.has(random), "there are no reference numbers"))
    func `norms, changes, interference and indexes are those of the reference`() throws {
        let fixture = try Golden.decode(Fixture.self, from: random)
        let source = try source()
        let result = try TugOfWar(sets: [source.set], statistics: nil).measure(source).interference[0]
        expectClose(result.gradientNorms, fixture.gradient_norms, "norms")
        let changes = try #require(result.changes).values.map { row in row.map { $0.map { $0 * fixture.lambda } } }
        for (actual, expected) in zip(changes, fixture.delta_first_order) { expectClose(actual, expected, "changes") }
        fixture.GD.expect(result, within: 1e-9, "random")
        fixture.GM.expect(result, within: 1e-9)
        try expect(fixture.indexes, of: result)
        #expect(result.parameterCount == 3000 && result.unreached.isEmpty)
    }

    @Test(.enabled(if: Golden.has(random), "there are no reference numbers"))
    func `one pass gives the same-batch reading and no other`() throws {
        let fixture = try Golden.decode(Fixture.self, from: random)
        let source = try source()
        let tug = TugOfWar(sets: [source.set], takesOnePass: true, statistics: nil)
        let result = try tug.measure(source).interference[0]
        expectClose(result.direction(.sameBatch), fixture.GD.sameBatch, "GD C")
        #expect(result.direction(.meanOfRatios) == nil && result.indexes() == nil)
        #expect(tug.gradientCount(batchCounts: [6, 8, 5, 7, 6]) == 32)
    }

    @Test(
        .enabled(if: Golden.has(random), "there are no reference numbers"),
        arguments: ParameterStatistics.Reading.allCases
    )
    func `parameter statistics are those of the reference`(reading: ParameterStatistics.Reading) throws {
        let names: [ParameterStatistics.Reading: (fixture: String, tensor: String)] = [
            .meanGradients: ("mean_gradient_per_task", "statistics_score_raw"),
            .pooledBatches: ("pooled_batches", "statistics_score_raw_pooled_batches"),
            .meanMagnitudes: ("mean_abs_denominator", "statistics_score_raw_mean_abs"),
        ]
        let name = try #require(names[reading])
        let fixture = try Golden.decode(Fixture.self, from: random)
        let source = try source()
        let result = try TugOfWar(sets: [source.set], statistics: reading).measure(source)
        try #require(fixture.statistics_score[name.fixture]).expect(try #require(result.statistics.first))

        let accumulator = try StatisticsAccumulator(reading, set: source.set, parameters: source.parameters)
        for task in source.tasks.indices {
            for batch in 0..<source.batchCount(ofTask: task) {
                try accumulator.add(
                    source.gradients(task: task, batch: batch),
                    batchCount: source.batchCount(ofTask: task)
                )
            }
            try accumulator.endTask()
        }
        let scores = try accumulator.scores().array(of: Double.self)
        let expected = try #require(
            Golden.tensors("tug_of_war/random_gradients.safetensors")[name.tensor]
        ).array(of: Double.self)
        #expect(scores.map(\.isNaN) == expected.map(\.isNaN), "parameters without a gradient have no score")
        let defined = zip(scores, expected).filter { !$1.isNaN }
        #expect(defined.allSatisfy { abs($0 - $1) < 1e-9 })
    }

    /// The two-layer network of the fixture, whose gradients are computed here.
    private struct Network: GradientSource {
        let tasks = ["task0", "task1"]
        let parameters: [Tensor]
        private let inputs: [Tensor]
        private let targets: [Tensor]

        init() throws {
            let tensors = try Golden.tensors("tug_of_war/mlp.safetensors")
            parameters = try ["W1", "b1", "W2", "b2"].map { try #require(tensors[$0]).clone().requireGradient() }
            inputs = try tasks.map { try #require(tensors["x_\($0)"]) }
            targets = try tasks.map { try #require(tensors["y_\($0)"]) }
        }

        var set: ParameterSet {
            ParameterSet(name: "all", pieces: parameters.indices.map { .init(parameter: $0) })
        }

        func batchCount(ofTask task: Int) -> Int { inputs[task].size(0) }

        private func loss(_ task: Int, _ batch: Int) throws(TorchError) -> Tensor {
            let output = try inputs[task].select(0, batch).linear(parameters[0], bias: parameters[1]).gelu()
                .linear(parameters[2], bias: parameters[3])
            let target = try targets[task].select(0, batch)
            if task == 0 { return try (output - target).power(2).mean() }
            return try output.crossEntropy(target)
        }

        func gradients(task: Int, batch: Int) throws(AnalysisError) -> [Tensor?] {
            do throws(TorchError) {
                return try Tensor.gradients(of: [loss(task, batch)], withRespectTo: parameters)
            } catch { throw AnalysisError(error) }
        }

        func loss(task: Int, batch: Int) throws(AnalysisError) -> Double {
            do throws(TorchError) {
                return try withoutGradients { () throws(TorchError) in try loss(task, batch).item() }
            } catch { throw AnalysisError(error) }
        }
    }

    private struct NetworkFixture: Decodable {
        struct Step: Decodable {
            let exact_delta: [[[Double]]]
            let exact_GD: Readings
            let first_order_GD: Readings
        }

        let loss_values: [[Double]]
        let gradient_norms: [[Double]]
        let by_lambda: [String: Step]
        let GM: Magnitudes
        let indexes_first_order: [String: Indexes]
    }

    @Test(.enabled(if: Golden.has(network), "there are no reference numbers"))
    func `a network's interference is that of the reference, to first order and by exact steps`() throws {
        let fixture = try Golden.decode(NetworkFixture.self, from: network)
        let source = try Network()
        let before = try source.parameters.map { try $0.clone() }
        let tug = TugOfWar(sets: [source.set])
        let result = try tug.measure(source).interference[0]
        expectClose(result.gradientNorms, fixture.gradient_norms, "norms")
        fixture.GM.expect(result, within: 1e-9)
        try expect(fixture.indexes_first_order, of: result)
        for (length, expected) in fixture.by_lambda {
            expected.first_order_GD.expect(result, within: 1e-9, "first order")
            let step = try #require(Double(length))
            let exact = try tug.measureExactly(source, length: step)[0]
            // Losses near 1 lose digits in small differences: 1e-15 / length, and the ratios as many again.
            let tolerance = 1e-12 / step
            let changes = try #require(exact.changes).values
            for (actual, expected) in zip(changes, expected.exact_delta) {
                expectClose(actual, expected, within: 1e-13, "changes at \(length)")
            }
            expected.exact_GD.expect(exact, within: max(1e-9, tolerance * 100), "exact at \(length)")
        }
        for (kept, parameter) in zip(before, source.parameters) {
            #expect(try parameter.isEqual(to: kept), "the parameters are put back")
        }
    }
}

@Suite("Tug-of-war")
struct TugOfWarTests {
    private let first: [[Double]] = [[1, 2, 0, -1], [0.5, 3, 1, 0]]
    private let second: [[Double]] = [[-2, 1, 0.5, 0], [1, 1, 4, -3], [0, 0.1, 2, 2]]

    private func measure(_ gradients: [[[Double]]]) throws -> Interference {
        let source = try GivenGradients(gradients)
        return try TugOfWar(sets: [source.set]).measure(source).interference[0]
    }

    @Test(arguments: DirectionReading.allCases)
    func `scaling a loss leaves the directions unchanged`(reading: DirectionReading) throws {
        let plain = try measure([first, second])
        let scaled = try measure([first.map { $0.map { $0 * 1000 } }, second.map { $0.map { $0 * 0.01 } }])
        expectClose(scaled.direction(reading), try #require(plain.direction(reading)), "GD")
        #expect(scaled.magnitude(.squareOfMean)[0][1] < 0.001, "while one task now dominates")
        let both = try measure([first.map { $0.map { $0 * 7 } }, second.map { $0.map { $0 * 7 } }])
        expectClose(both.magnitude(.meanOfSquare), plain.magnitude(.meanOfSquare), "GM")
    }

    @Test func `identical tasks help each other as themselves`() throws {
        let result = try measure([first, first, first])
        let ones = [[Double]](repeating: [1, 1, 1], count: 3)
        expectClose(result.direction(.meanOfRatios), ones, "GD A")
        expectClose(result.direction(.ratioOfMeans), ones, "GD B")
        expectClose(result.magnitude(.squareOfMean), ones, "GM")
        let indexes = try #require(result.indexes())
        expectClose([indexes.values], [[3, 3, 3]], "indexes")
        #expect(abs(indexes.mean - 1) < 1e-12 && indexes.standardDeviation < 1e-9)
    }

    @Test func `orthogonal gradients do not interfere, opposed ones do`() throws {
        let orthogonal = try measure([[[1, 0, 2]], [[0, 3, 0]]])
        for reading in DirectionReading.allCases {
            expectClose(orthogonal.direction(reading), [[1, 0], [0, 1]], "\(reading)")
        }
        let opposed = try measure([[[1, 2]], [[-2, -4]]])
        for reading in DirectionReading.allCases {
            expectClose(opposed.direction(reading), [[1, -1], [-1, 1]], "\(reading)")
        }
        expectClose(opposed.magnitude(.squareOfMean), [[1, 0.8], [0.8, 1]], "GM")
    }

    @Test func `a task that does not reach a set is named and left out`() throws {
        let source = try GivenGradients([first, [[0, 0, 0, 0]], second])
        let result = try TugOfWar(sets: [source.set]).measure(source).interference[0]
        #expect(result.tasks == ["task 0", "task 2"] && result.unreached == ["task 1"])
        expectClose(
            result.direction(.meanOfRatios),
            try #require(measure([first, second]).direction(.meanOfRatios)),
            "GD"
        )
    }

    @Test func `a set is a part of the parameters, also of one parameter's rows`() throws {
        let source = try GivenGradients([first, second])
        let part = ParameterSet(
            name: "half",
            pieces: [.init(parameter: 0, slice: .init(dimension: 0, start: 1, length: 2))]
        )
        let results = try TugOfWar(sets: [source.set, part]).measure(source)
        #expect(results.interference[1].parameterCount == 2 && results.statistics[1].scored == 2)
        let expected = try measure([first, second].map { $0.map { Array($0[1...2]) } })
        expectClose(
            results.interference[1].direction(.meanOfRatios),
            try #require(expected.direction(.meanOfRatios)),
            "GD"
        )
        expectClose(results.interference[1].gradientNorms, expected.gradientNorms, "norms")
    }

    @Test func `what cannot be measured is refused by name`() throws {
        let source = try GivenGradients([first, [[.nan, 0, 0, 0]]])
        #expect { try TugOfWar(sets: [source.set]).measure(source) } throws: { error in
            let error = error as? AnalysisError
            return error?.kind == .notFinite && error?.field == "task 1"
        }
        let single = try GivenGradients([first])
        #expect { try TugOfWar(sets: [single.set]).measure(single) } throws: { error in
            (error as? AnalysisError)?.field == "tasks"
        }
        #expect { try TugOfWar(sets: []).measure(source) } throws: { error in
            (error as? AnalysisError)?.field == "sets"
        }
    }

    @Test func `an analysis stops when it is asked to, and tells how far it is`() throws {
        let source = try GivenGradients([first, second])
        let tug = TugOfWar(sets: [source.set], statistics: nil)
        nonisolated(unsafe) var steps: [Int] = []
        _ = try tug.measure(source, control: AnalysisControl(progress: { steps.append($0.done) }))
        #expect(steps == Array(1...10) && tug.gradientCount(batchCounts: [2, 3]) == 10)
        #expect(throws: AnalysisError.cancelled) {
            try tug.measure(source, control: AnalysisControl(isCancelled: { true }))
        }
    }
}
