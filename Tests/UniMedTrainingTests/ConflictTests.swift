import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting
import UniMedTraining

private let tasks: [MedicalTask] = [
    .visualQuestionAnswering, .imageClassification, .reportGeneration,
]

/// What is known of tasks with these gradients.
private func step(_ gradients: [[Double]], losses: [Double]? = nil) -> ConflictStep {
    ConflictStep(
        tasks: Array(tasks.prefix(gradients.count)),
        products: gradients.map { a in gradients.map { b in zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } } },
        losses: losses ?? gradients.map { _ in 1 }
    )
}

private func sum(_ weights: [Double], _ gradients: [[Double]]) -> [Double] {
    gradients[0].indices.map { index in zip(weights, gradients).reduce(0) { $0 + $1.0 * $1.1[index] } }
}

private func isClose(_ a: [Double], _ b: [Double], within tolerance: Double = 1e-9) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance }
}

private func weights(_ method: any ConflictMethod, _ step: ConflictStep, seed: UInt64 = 1) -> [Double] {
    var (method, generator) = (method, SeededGenerator(seed: seed))
    return method.weights(for: step, generator: &generator)
}

@Suite("Gradients that conflict")
struct ConflictTests {
    @Test func `PCGrad projects each gradient onto the plane of the other`() {
        let gradients: [[Double]] = [[1, 0], [-1, 1]]
        // (1, 0) loses half of (-1, 1) and becomes (0.5, 0.5); (-1, 1) loses (-1, 0) and becomes (0, 1).
        let result = sum(weights(PCGrad(), step(gradients)), gradients)
        #expect(isClose(result, [0.5, 1.5]))
        for gradient in gradients {
            #expect(zip(result, gradient).reduce(0) { $0 + $1.0 * $1.1 } >= 0, "no task is harmed")
        }
    }

    @Test func `PCGrad leaves gradients alone that agree`() {
        let gradients: [[Double]] = [[1, 0], [0.2, 1], [3, 3]]
        #expect(weights(PCGrad(), step(gradients)) == [1, 1, 1])
    }

    @Test func `two exactly opposed tasks cancel out in the shared parameters, and nowhere else`() throws {
        let shared = try Parameter(Tensor([1.0, 2, 3]).to(.float32))
        let own = try Parameter(Tensor([1.0]).to(.float32))
        let resolver = try ConflictResolver(
            OptimizationConfiguration(conflict: .pcgrad, parameters: "shared*"),
            parameters: [("shared.weight", shared), ("own", own)]
        )
        let direction = try Tensor([0.5, -1, 2]).to(.float32)
        for (task, scale) in [(tasks[0], 1.0), (tasks[1], -4)] {
            try ((shared.value * direction).sum() * scale + own.value.sum()).backward()
            try resolver.take(task)
        }
        #expect(shared.value.gradient == nil)
        var generator = SeededGenerator(seed: 1)
        try resolver.resolve(losses: [:], generator: &generator)
        let gradient = try #require(shared.value.gradient)
        try expectClose(gradient, Tensor([0.0, 0, 0]), tolerance: 1e-6, "the projected gradients")
        #expect(try #require(own.value.gradient).item() == 2, "what is not shared keeps the plain sum")
    }

    @Test func `a resolver gives the method's sum of gradients, also where a task reaches only a part`() throws {
        let first = try Parameter(Tensor([0.0, 0]).to(.float32))
        let second = try Parameter(Tensor([0.0]).to(.float32))
        let resolver = try ConflictResolver(
            OptimizationConfiguration(conflict: .pcgrad, parameters: "*"),
            parameters: [("first", first), ("second", second)]
        )
        try (first.value * Tensor([1.0, 0]).to(.float32)).sum().backward()
        try resolver.take(tasks[0])
        try ((first.value * Tensor([-1.0, 1]).to(.float32)).sum() + second.value.sum() * 0.5).backward()
        try resolver.take(tasks[1])
        var generator = SeededGenerator(seed: 1)
        let weights = try resolver.resolve(losses: [:], generator: &generator)
        // Products: 1, -1 and 2.25.
        #expect(abs((weights[tasks[0]] ?? 0) - 2) < 1e-6 && abs((weights[tasks[1]] ?? 0) - (1 + 1 / 2.25)) < 1e-6)
        let factor = 1 + 1 / 2.25
        try expectClose(#require(first.value.gradient), Tensor([2 - factor, factor]), tolerance: 1e-6, "first")
        try expectClose(#require(second.value.gradient), Tensor([factor * 0.5]), tolerance: 1e-6, "second")
    }

    @Test func `CAGrad helps the worst-off task more than the mean, and stays near it`() {
        let gradients: [[Double]] = [[2, 0.5], [-1, 1], [0.5, -0.2]]
        let (count, strength) = (3.0, 0.4)
        let mean = sum([1 / count, 1 / count, 1 / count], gradients)
        let norm = (mean[0] * mean[0] + mean[1] * mean[1]).squareRoot()
        let result = sum(weights(CAGrad(strength: strength), step(gradients)), gradients)
            .map { $0 / count * (1 + strength * strength) }
        let distance = zip(result, mean).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
        #expect(abs(distance - strength * norm) < 1e-6, "on the edge of what is allowed")
        func worst(_ direction: [Double]) -> Double {
            gradients.map { zip($0, direction).reduce(0) { $0 + $1.0 * $1.1 } }.min() ?? 0
        }
        // No direction as near to the mean is better for the worst-off task.
        let best =
            (0..<3600).map { degree -> Double in
                let angle = Double(degree) / 3600 * 2 * Double.pi
                return worst([mean[0] + strength * norm * cos(angle), mean[1] + strength * norm * sin(angle)])
            }.max() ?? 0
        #expect(worst(result) > worst(mean) && worst(result) > best - 1e-3 * norm)
        #expect(weights(CAGrad(strength: 0), step(gradients)) == [1, 1, 1], "without strength it is the plain step")
    }

    @Test func `GradNorm raises the weights of weak and slow tasks, and keeps their sum`() {
        var method = GradNorm(strength: 1.5, learningRate: 0.005)
        var generator = SeededGenerator(seed: 1)
        let gradients: [[Double]] = [[4, 0], [0, 1]]
        #expect(method.weights(for: step(gradients), generator: &generator) == [1, 1])
        for _ in 0..<400 { _ = method.weights(for: step(gradients), generator: &generator) }
        let result = method.weights(for: step(gradients), generator: &generator)
        #expect(abs(result.reduce(0, +) - 2) < 1e-9)
        #expect(abs(result[0] * 4 - result[1]) < 0.1, "weighted gradients are about equally long")
        // The second task's loss has fallen less: now it is pushed further.
        for _ in 0..<400 { _ = method.weights(for: step(gradients, losses: [0.5, 1]), generator: &generator) }
        let pushed = method.weights(for: step(gradients, losses: [0.5, 1]), generator: &generator)
        #expect(pushed[1] > result[1])
        var other = GradNorm(strength: 1.5, learningRate: 0.005, state: method.state)
        let state = try? JSONDecoder().decode(ConflictState.self, from: JSONEncoder().encode(method.state))
        #expect(state == method.state)
        #expect(
            other.weights(for: step(gradients), generator: &generator)
                == method.weights(for: step(gradients), generator: &generator),
            "a method goes on from its state"
        )
    }

    @Test func `FAMO weighs logarithms of losses, and raises the weight of what falls slowly`() {
        var method = FAMO(learningRate: 0.5, decay: 0)
        let pair = Array(tasks.prefix(2))
        // Equal logits: the gradient of the logarithm weighs a loss by its inverse.
        #expect(isClose(method.lossWeights(for: pair, losses: [1, 3]), [0.75, 0.25]))
        method.note(pair, before: [1, 1], after: [0.5, 1])
        let weights = method.lossWeights(for: pair, losses: [1, 1])
        #expect(weights[0] < 0.5 && abs(weights.reduce(0, +) - 1) < 1e-12)
        // softmax(∓ 0.5 * 0.5 * (ln 2 / 2)).
        let logit = 0.25 * log(2.0) / 2
        #expect(abs(weights[0] - exp(-logit) / (exp(-logit) + exp(logit))) < 1e-12)
    }

    @Test func `names fit patterns with stars and alternatives`() {
        let pattern = NamePattern("connector.*|llm.*lora_A*")
        for name in ["connector.router.fc2.bias", "connector.", "llm.layers.3.q.lora_A.weight"] {
            #expect(pattern.matches(name), "\(name)")
        }
        for name in ["connector", "llm.layers.3.q.lora_B.weight", "a.connector.b", ""] {
            #expect(!pattern.matches(name), "\(name)")
        }
        #expect(NamePattern("a*b*c").matches("axbxbc") && !NamePattern("a*b*c").matches("axcxb"))
    }

    @Test func `settings that contradict each other are refused by name`() throws {
        func decode(_ json: String) throws -> TrainingConfiguration {
            try JSONDecoder().decode(TrainingConfiguration.self, from: Data(json.utf8))
        }
        let good = try decode(#"{"steps": 5, "optimization": {"conflict": "cagrad", "strength": 0.2}}"#)
        #expect(good.optimization == OptimizationConfiguration(conflict: .cagrad, strength: 0.2))
        #expect(try decode(String(decoding: JSONEncoder().encode(good), as: UTF8.self)) == good)
        #expect(try decode(#"{"steps": 5}"#).optimization == nil)
        let faults = [
            (#"{"conflict": "pcgrad", "strength": 0.2}"#, "pcgrad has no strength"),
            (#"{"conflict": "famo", "parameters": "*"}"#, "famo has no parameters"),
            (#"{"conflict": "cagrad", "strength": 1.5}"#, "expected less than 1"),
            (#"{"conflict": "gradnorm", "learningRate": 0}"#, "must be positive"),
            (#"{"conflict": "pcgrad", "speed": 1}"#, "speed"),
            (#"{"conflict": "mean"}"#, "mean"),
        ]
        for (settings, problem) in faults {
            #expect {
                try decode(#"{"steps": 5, "optimization": \#(settings)}"#)
            } throws: { error in
                "\(error)".contains(problem)
            }
        }
        #expect {
            try decode(#"{"steps": 5, "accumulation": 2, "optimization": {"conflict": "famo"}}"#)
        } throws: { error in
            "\(error)".contains("accumulation")
        }
    }

    @Test func `the recipes that compare methods differ in the method alone`() throws {
        let folder = RecipeTests.repository.appendingPathComponent("Recipes/conflicts")
        let plain = try Recipe.load(contentsOf: folder.appendingPathComponent("mlp.yaml"))
        #expect(plain.model.connector == .mlp(layerCount: 2) && plain.training.optimization == nil)
        for conflict in OptimizationConfiguration.Conflict.allCases {
            var recipe = try Recipe.load(contentsOf: folder.appendingPathComponent("mlp-\(conflict.rawValue).yaml"))
            #expect(recipe.training.optimization?.conflict == conflict)
            #expect(recipe.name == "mini-real-mlp-\(conflict.rawValue)")
            recipe.training.optimization = nil
            recipe.name = plain.name
            #expect(recipe == plain)
        }
    }

    @Test func `a pattern without parameters is refused by its field`() throws {
        let parameter = try Parameter(Tensor([1.0]))
        #expect {
            try ConflictResolver(
                OptimizationConfiguration(conflict: .pcgrad, parameters: "nothing"),
                parameters: [("weight", parameter)]
            )
        } throws: { error in
            (error as? TrainingError)?.field == "training.optimization.parameters"
        }
    }
}

extension DefaultGeneratorTests {
    @Suite("Training with conflicts resolved")
    struct ConflictTrainingTests {
        private func weights(_ folder: URL) throws -> [String: [Float]] {
            let file = try SafetensorsFile(contentsOf: folder.appendingPathComponent("model/model.safetensors"))
            var weights: [String: [Float]] = [:]
            for key in file.keys { weights[key] = try file.tensor(named: key).to(.float32).array() }
            return weights
        }

        private func train(
            _ recipe: Recipe,
            _ data: PreparedData,
            _ folder: URL,
            stoppingAfter step: Int? = nil
        ) throws -> TrainingOutcome {
            let control = TrainingControl()
            return try TrainingRun(recipe: recipe, recipeFolder: folder, folder: folder)
                .train(data, control: control) { progress in
                    if progress.stage == .training, progress.done == step { control.cancel() }
                }
        }

        @Test(arguments: OptimizationConfiguration.Conflict.allCases)
        func `a resumed run ends with the same weights, bit for bit`(
            conflict: OptimizationConfiguration.Conflict
        ) throws {
            let folder = try TemporaryFolder()
            let data = try SyntheticData.make(in: folder.file("data"))
            var recipe = Recipe.tiny(steps: 6, pretraining: false)
            recipe.training.batchSize = 8
            let plain = try train(recipe, data, folder.file("plain"))
            recipe.training.optimization = OptimizationConfiguration(conflict: conflict)
            #expect(plain == .finished(step: 6))
            #expect(try train(recipe, data, folder.file("whole")) == .finished(step: 6))
            #expect(try train(recipe, data, folder.file("parts"), stoppingAfter: 4) == .interrupted(step: 4))
            #expect(try train(recipe, data, folder.file("parts")) == .finished(step: 6))
            let whole = try weights(folder.file("whole"))
            #expect(try weights(folder.file("parts")) == whole)
            #expect(whole.values.joined().allSatisfy { $0.isFinite })
            #expect(try weights(folder.file("plain")) != whole, "the method changes something")
        }
    }
}
