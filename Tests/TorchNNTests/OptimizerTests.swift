import Foundation
import Testing
import Torch
import TorchNN

@Suite("AdamW")
struct AdamWTests {
    @Test func `every update is the textbook's`() throws {
        let settings = AdamWConfiguration(beta1: 0.8, beta2: 0.9, epsilon: 1e-4, weightDecay: 0.1)
        let matrix = try Parameter(random([2, 3], seed: 1))
        let vector = try Parameter(random([4], seed: 2))
        let optimizer = try AdamW([("w", matrix), ("b", vector)], settings)
        var expected = try [matrix, vector].map { try $0.value.detach().array(of: Float.self).map(Double.init) }
        var first = expected.map { [Double](repeating: 0, count: $0.count) }
        var second = first
        for step in 1...20 {
            let rate = 0.1 / Double(step)
            for (index, parameter) in [matrix, vector].enumerated() {
                let gradient = try random(parameter.value.shape, seed: UInt64(100 * step + index))
                try parameter.value.setGradient(gradient)
                for (place, value) in try gradient.array(of: Float.self).enumerated() {
                    let g = Double(value)
                    // The matrix decays, the vector does not.
                    if index == 0 { expected[index][place] *= 1 - rate * 0.1 }
                    first[index][place] = 0.8 * first[index][place] + 0.2 * g
                    second[index][place] = 0.9 * second[index][place] + 0.1 * g * g
                    let mean = first[index][place] / (1 - pow(0.8, Double(step)))
                    let scale = (second[index][place] / (1 - pow(0.9, Double(step)))).squareRoot()
                    expected[index][place] -= rate * mean / (scale + 1e-4)
                }
            }
            try optimizer.step(learningRate: rate)
            try optimizer.clearGradients()
        }
        // Twenty updates of up to 0.1, each rounded to float32.
        #expect(try distance(matrix.value, Tensor(expected[0], shape: [2, 3])) < 5e-6)
        #expect(try distance(vector.value, Tensor(expected[1], shape: [4])) < 5e-6)
    }

    @Test func `a parameter without gradient is left alone, with its own count of steps`() throws {
        let (used, unused) = (try Parameter(Tensor.ones([2, 2])), try Parameter(Tensor.ones([2, 2])))
        let optimizer = try AdamW([("used", used), ("unused", unused)], AdamWConfiguration())
        try used.value.setGradient(Tensor.ones([2, 2]))
        try optimizer.step(learningRate: 0.1)
        #expect(try distance(unused.value, Tensor.ones([2, 2])) == 0)
        #expect(try distance(used.value, Tensor.ones([2, 2])) > 0.05)
        let steps = try optimizer.state().filter { $0.name.hasSuffix(".step") }.map { try $0.tensor.item() }
        #expect(steps == [1, 0])
    }

    @Test func `frozen parameters are no business of the optimizer`() throws {
        let frozen = try Parameter(Tensor.ones([2]), trainable: false)
        #expect(try AdamW([("frozen", frozen)], AdamWConfiguration()).state().isEmpty)
    }

    @Test(arguments: [
        ("w.weight", 2, true), ("task_tokens.vqa", 3, true), ("w.weight", 1, false), ("w.bias", 2, false),
        ("ln_vision.weight", 2, false), ("bn.weight", 2, false),
    ])
    func `vectors, biases and norms do not decay`(name: String, rank: Int, decays: Bool) {
        #expect(AdamW.decays(name: name, rank: rank) == decays)
    }

    @Test func `clipping scales all gradients to the norm asked for`() throws {
        let parameters = try [Parameter(Tensor.zeros([1])), Parameter(Tensor.zeros([2]))]
        let optimizer = try AdamW([("a", parameters[0]), ("b", parameters[1])], AdamWConfiguration())
        try parameters[0].value.setGradient(Tensor([3] as [Float]))
        try parameters[1].value.setGradient(Tensor([0, 4] as [Float]))
        #expect(try optimizer.clipGradients(to: 1).item() == 5)
        #expect(abs(try optimizer.gradientNorm().item() - 1) < 1e-5)
        // A norm below the limit stays.
        try optimizer.clipGradients(to: 2)
        #expect(abs(try optimizer.gradientNorm().item() - 1) < 1e-5)
    }

    @Test func `a restored optimizer goes on bit for bit`() throws {
        func make() throws -> (Parameter, AdamW) {
            let parameter = try Parameter(random([3, 3], seed: 1))
            return (parameter, try AdamW([("w", parameter)], AdamWConfiguration()))
        }
        func advance(_ parameter: Parameter, _ optimizer: AdamW, _ steps: ClosedRange<UInt64>) throws {
            for step in steps {
                try parameter.value.setGradient(random([3, 3], seed: 10 + step))
                try optimizer.step(learningRate: 0.01)
            }
        }
        let (whole, wholeOptimizer) = try make()
        try advance(whole, wholeOptimizer, 1...6)
        let (begun, begunOptimizer) = try make()
        try advance(begun, begunOptimizer, 1...3)
        let saved = try Dictionary(
            uniqueKeysWithValues: begunOptimizer.state().map { ($0.name, try $0.tensor.clone()) }
        )
        let (resumed, resumedOptimizer) = try make()
        try resumed.load(begun.value)
        try resumedOptimizer.restore { saved[$0] }
        try advance(resumed, resumedOptimizer, 4...6)
        #expect(try resumed.value.detach().isEqual(to: whole.value.detach()))
        let error = try #require(throws: TorchError.self) { try resumedOptimizer.restore { _ in nil } }
        #expect(error.description.contains("w.exp_avg is missing"))
    }
}

@Suite("Learning rate")
struct LearningRateScheduleTests {
    private let schedule = LearningRateSchedule(
        peak: 1e-3,
        lowest: 1e-5,
        warmupStart: 1e-4,
        warmupSteps: 10,
        totalSteps: 100
    )

    @Test func `it rises in a line, then falls along half a cosine`() {
        #expect(schedule.rate(at: 0) == 1e-4)
        #expect(abs(schedule.rate(at: 5) - 5.5e-4) < 1e-12)
        // As published, the cosine has been falling since step 0, so the peak is not reached.
        #expect(schedule.rate(at: 10) < 1e-3)
        #expect(abs(schedule.rate(at: 50) - 5.05e-4) < 1e-12)
        #expect(abs(schedule.rate(at: 100) - 1e-5) < 1e-12)
        #expect(abs(schedule.rate(at: 1000) - 1e-5) < 1e-12)
        for step in 11..<100 { #expect(schedule.rate(at: step) < schedule.rate(at: step - 1)) }
    }

    @Test func `a cosine that starts after the warm-up starts at the peak`() {
        var smooth = schedule
        smooth.cosineStart = .afterWarmup
        #expect(smooth.rate(at: 10) == 1e-3)
        #expect(abs(smooth.rate(at: 55) - 5.05e-4) < 1e-12)
        #expect(abs(smooth.rate(at: 100) - 1e-5) < 1e-12)
    }

    @Test func `the published warm-up starts anew in every epoch`() {
        let published = PublishedLearningRateSchedule(
            decay: .cosine,
            peak: 1,
            lowest: 0,
            warmupStart: 0,
            warmupSteps: 15,
            stepsPerEpoch: 10,
            epochCount: 2
        )
        #expect(published.rate(epoch: 0, step: 3) == published.rate(epoch: 1, step: 3))
        #expect(published.rate(epoch: 1, step: 5) > published.rate(epoch: 1, step: 6))
    }

    @Test func `the published steps halve with the epochs`() {
        var published = PublishedLearningRateSchedule(
            decay: .stepwise(factor: 0.5),
            peak: 1,
            lowest: 0.2,
            warmupStart: -1,
            warmupSteps: 5,
            stepsPerEpoch: 10,
            epochCount: 5
        )
        #expect((0..<4).map { published.rate(epoch: $0, step: 2) } == [1, 0.5, 0.25, 0.2])
        published.warmupStart = 0
        #expect(published.rate(epoch: 0, step: 2) == 0.4)
    }
}
