import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedAnalysis
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedModel
import UniMedTesting
import UniMedTraining

@Suite("Sets of parameters")
struct ParameterSelectionTests {
    @Test func `every selection names what it holds`() throws {
        let adapters = FineTuning.lowRank(LowRankConfiguration())
        let model = try TinyModel.make(TinyModel.configuration(fineTuning: adapters))
        let selections = try ["connector", "router", "experts", "lora", "head=connector.router.fc2.*"].map {
            try #require(ParameterSelection($0))
        }
        let (sets, parameters) = try ParameterSelection.resolve(selections, in: model)
        #expect(
            sets.map(\.name) == [
                "connector", "router", "expert 1", "expert 2", "expert 3", "LoRA layer 0", "LoRA layer 1", "head",
            ]
        )
        #expect(parameters.allSatisfy { $0.parameter.isTrainable })
        #expect(selections.map(\.text) == ["connector", "router", "experts", "lora", "head=connector.router.fc2.*"])
        // The experts are all of the connector that the router is not.
        func count(_ set: ParameterSet) -> Int {
            set.pieces.reduce(0) { sum, piece in
                let value = parameters[piece.parameter].parameter.value
                return sum + (piece.slice.map { value.count / value.size($0.dimension) * $0.length } ?? value.count)
            }
        }
        #expect(count(sets[0]) == model.connector.parameterCount())
        #expect(count(sets[0]) == count(sets[1]) + count(sets[2]) + count(sets[3]) + count(sets[4]))
        #expect(count(sets[2]) == count(sets[3]) && count(sets[3]) == count(sets[4]))
    }

    @Test func `what a model does not have is refused by name`() throws {
        let model = try TinyModel.make()
        #expect {
            try ParameterSelection.resolve([.adapters], in: model)
        } throws: { error in
            (error as? AnalysisError)?.field == "lora"
        }
        #expect {
            try ParameterSelection.resolve([.connector, .connector], in: model)
        } throws: { error in
            (error as? AnalysisError)?.field == "connector"
        }
        #expect(ParameterSelection("experts one by one") == nil && ParameterSelection("=a") == nil)
    }

    @Test func `an expert's slice is what the expert computes with`() throws {
        // With all weight on one expert, the gradient of the others' slices is zero.
        let model = try TinyModel.make(TinyModel.configuration(router: .hard(by: .task), expertCount: 5))
        let (sets, parameters) = try ParameterSelection.resolve([.experts], in: model)
        let features = try TinyModel.features(count: 2)
        let aligned = try model.alignedTokens(of: features, tasks: [1, 1]).aligned
        let gradients = try Tensor.gradients(
            of: [(aligned * aligned).sum()],
            withRespectTo: parameters.map(\.parameter.value)
        )
        for (expert, set) in sets.enumerated() {
            var sum = 0.0
            for piece in set.pieces {
                guard let gradient = gradients[piece.parameter], let slice = piece.slice else { continue }
                sum += try gradient.narrow(slice.dimension, start: slice.start, length: slice.length).abs().sum().item()
            }
            #expect(expert == 1 ? sum > 0 : sum == 0, "expert \(expert + 1)")
        }
    }
}

@Suite("Analysis of a model")
struct ModelAnalysisTests {
    private let folder: TemporaryFolder
    private let data: PreparedData
    private let model: UniMed
    private let analysis: ModelAnalysis

    init() throws {
        folder = try TemporaryFolder()
        data = try MadeData.make(in: folder.url)
        model = try TinyModel.make()
        analysis = MadeData.analysis(model, data)
    }

    @Test func `tasks interfere at the connector, and question answering does not reach it`() throws {
        let batches = try analysis.batches(batchCount: 3, batchSize: 2)
        #expect(batches.groups.map(\.name) == ["qa", "vqa", "rg", "cls"])
        #expect(batches.groups.allSatisfy { $0.batches.allSatisfy { Set($0).count == 2 } })
        let (sets, parameters) = try ParameterSelection.resolve([.connector, .experts], in: model)
        let source = try ModelGradients(model: model, batches: batches, parameters: parameters)
        let measured = try TugOfWar(sets: sets).measure(source)
        let connector = measured.interference[0]
        #expect(connector.tasks == ["vqa", "rg", "cls"] && connector.unreached == ["qa"])
        #expect(connector.parameterCount == model.connector.parameterCount())
        #expect(
            connector.direction(.meanOfRatios)?.indices.allSatisfy { i in
                connector.direction(.meanOfRatios)?[i][i] == 1
            } == true
        )
        #expect(try #require(connector.indexes()).maxNormalized.max() == 1)
        #expect(measured.statistics[0].scored + measured.statistics[0].undefined == connector.parameterCount)
        // The squares of the norms of disjoint sets add up.
        let experts = try ParameterSelection.resolve([.experts, .router], in: model)
        let parts = try TugOfWar(sets: experts.sets, statistics: nil).measure(
            ModelGradients(model: model, batches: batches, parameters: experts.parameters)
        ).interference
        for task in connector.tasks.indices {
            for batch in 0..<3 {
                let sum = parts.reduce(0) { $0 + $1.gradientNorms[task][batch] * $1.gradientNorms[task][batch] }
                let whole = connector.gradientNorms[task][batch]
                #expect(abs(sum - whole * whole) < 1e-4 * whole * whole)
            }
        }
    }

    @Test(arguments: [2, 3, 7])
    func `blocks of parameters change the memory and not the result`(blocks: Int) throws {
        let batches = try analysis.batches(batchCount: 2, batchSize: 2)
        let (sets, parameters) = try ParameterSelection.resolve([.connector, .experts], in: model)
        let source = try ModelGradients(model: model, batches: batches, parameters: parameters)
        let whole = try TugOfWar(sets: sets).measure(source)
        let tug = TugOfWar(sets: sets, blocks: blocks)
        var last = 0
        let parts = try tug.measure(
            source,
            control: AnalysisControl(progress: { step in last = step.done })
        )
        #expect(last == tug.gradientCount(batchCounts: [2, 2, 2, 2]))
        for (a, b) in zip(whole.interference, parts.interference) {
            #expect(a.gradientNorms == b.gradientNorms && a.parameterCount == b.parameterCount)
            expectClose(
                b.direction(.ratioOfMeans),
                try #require(a.direction(.ratioOfMeans)),
                within: 1e-4,
                "GD of \(a.name)"
            )
        }
        for (a, b) in zip(whole.statistics, parts.statistics) {
            #expect(a.scored == b.scored && a.undefined == b.undefined, "\(a.name)")
            #expect(a.counts(.signed) == b.counts(.signed) && abs(a.meanAbsolute - b.meanAbsolute) < 1e-9)
        }
    }

    @Test func `exact steps agree with the first order when they are short, and change no weight`() throws {
        let batches = try analysis.batches(
            tasks: [.visualQuestionAnswering, .reportGeneration],
            batchCount: 2,
            batchSize: 4
        )
        let (sets, parameters) = try ParameterSelection.resolve([.connector], in: model)
        let source = try ModelGradients(model: model, batches: batches, parameters: parameters)
        let before = try source.parameters.map { try $0.clone() }
        let tug = TugOfWar(sets: sets, statistics: nil)
        let first = try #require(tug.measure(source).interference[0].direction(.ratioOfMeans))
        let exact = try tug.measureExactly(source, length: 0.003)[0].direction(.ratioOfMeans)
        expectClose(exact, first, within: 0.1, "GD")
        for (kept, parameter) in zip(before, source.parameters) { #expect(try parameter.isEqual(to: kept)) }
    }

    @Test func `batches are the same for a seed, and follow data sets where asked`() throws {
        let first = try analysis.batches(grouping: .dataset, batchCount: 2, batchSize: 2)
        let second = try analysis.batches(grouping: .dataset, batchCount: 2, batchSize: 2)
        #expect(first.groups.map(\.batches) == second.groups.map(\.batches))
        #expect(first.groups.map(\.name).prefix(4) == ["first qa", "second qa", "first vqa", "second vqa"])
        for group in first.groups {
            for index in group.batches.joined() {
                let sample = data.samples[index]
                #expect("\(sample.dataset) \(sample.task.rawValue)" == group.name && sample.split == .train)
            }
        }
        #expect(throws: AnalysisError.self) { try analysis.batches(split: .test) }
        #expect(throws: AnalysisError.self) { try analysis.batches(batchSize: 0) }
    }

    @Test func `routing sums to one everywhere, and its grid to its mean`() throws {
        let routing = try #require(try analysis.routing(picturesPerTask: 4))
        #expect(routing.tasks.map(\.name) == ["vqa", "rg", "cls"])
        #expect(routing.datasets.map(\.name) == ["first", "second"] && routing.modalities.map(\.name) == ["CT"])
        for summary in routing.tasks + routing.datasets + routing.modalities {
            #expect(abs(summary.meanWeights.reduce(0, +) - 1) < 1e-5 && abs(summary.load.reduce(0, +) - 1) < 1e-9)
            #expect((0...1.000001).contains(summary.entropy))
            for (weight, grid) in zip(summary.meanWeights, summary.grid) {
                #expect(grid.count == 4 && grid.allSatisfy { $0.count == 4 })
                #expect(abs(grid.joined().reduce(0, +) / 16 - weight) < 1e-6)
            }
        }
        #expect((0...1).contains(routing.specialisation))
    }

    @Test(arguments: [4, 8])
    func `a volume of one picture's slices counts as that picture`(tokens: Int) throws {
        let folder = try TemporaryFolder()
        let data = try MadeData.makeVolumes(in: folder.url)
        var configuration = TinyModel.configuration()
        // One slab, and two of different lengths; nothing tells where a slice lies.
        configuration.volume = VolumeConfiguration(slices: 5, tokens: tokens, position: .none)
        let analysis = MadeData.analysis(try TinyModel.make(configuration), data)
        let routing = try #require(try analysis.routing(picturesPerTask: 24))
        #expect(routing.datasets.map(\.name) == ["pictures", "volumes"])
        let (picture, volume) = (routing.datasets[0], routing.datasets[1])
        #expect(picture.images == 12 && volume.images == 12 && picture.load == volume.load)
        for (own, other) in zip(picture.grid.joined().joined(), volume.grid.joined().joined()) {
            #expect(abs(own - other) < 1e-5)
        }
        let maps = try analysis.featureMaps(picturesPerTask: 24, map: TSNE(steps: 30, exaggeratedSteps: 10))
        for map in maps {
            #expect(map.datasets.count == 24 && map.datasets.count { $0 == "volumes" } == 12)
            // Each point of a data set lies on one of the other.
            #expect(try #require(map.silhouettes["dataset"]) < 0.01)
        }
        var options = EvaluationOptions(split: .validation)
        options.generation.maximumNewTokens = 2
        // Answers are traced back to the pixels of pictures alone.
        let attributions = try analysis.attributions(count: 24, options: options)
        #expect(attributions.map(\.dataset) == [String](repeating: "pictures", count: 12))
        let blind = MadeData.analysis(model, data)
        #expect { try blind.routing(picturesPerTask: 24) } throws: { error in
            (error as? AnalysisError)?.field == "model.volume"
        }
    }

    @Test func `specialisation is zero for alike tasks and one for an expert each`() {
        #expect(RoutingAnalysis.divergence([[0.2, 0.8], [0.2, 0.8]]) < 1e-12)
        #expect(abs(RoutingAnalysis.divergence([[1, 0], [0, 1]]) - 1) < 1e-12)
        #expect(abs(RoutingAnalysis.divergence([[1, 0, 0], [0, 1, 0]]) - 1) < 1e-12)
    }

    @Test func `a hard router's tokens all go to the expert of the task`() throws {
        let hard = try TinyModel.make(TinyModel.configuration(router: .hard(by: .task), expertCount: 5))
        let routing = try #require(try MadeData.analysis(hard, data).routing(picturesPerTask: 3))
        #expect(routing.tasks.map(\.load) == routing.tasks.map(\.meanWeights))
        #expect(routing.tasks.allSatisfy { $0.entropy == 0 && $0.meanWeights.max() == 1 })
        #expect(abs(routing.specialisation - 1) < 1e-9)
    }

    @Test func `a grid over the image follows the resampler`() {
        var configuration = TinyModel.configuration()
        #expect(
            PatchLayout(configuration).grid([1, 2, 3, 4]) == [
                [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3], [4, 4, 4, 4],
            ]
        )
        configuration.resampler = .averagePooling(side: 2)
        #expect(
            PatchLayout(configuration).grid([1, 2, 3, 4]) == [
                [1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4],
            ]
        )
    }

    @Test func `routing at checkpoints is that of their weights, which are put back`() throws {
        let connector = model.trainableParameters().filter { $0.name.hasPrefix("connector.") }
        let kept = try connector.map { try $0.parameter.value.detach().clone() }
        var files: [(step: Int, weights: URL)] = []
        for (step, scale) in [(20, 1.0), (10, 0.0)] {
            let url = folder.url.appendingPathComponent("\(step).safetensors")
            // Zeros make all experts alike.
            try SafetensorsFile.write(
                connector.map { ($0.name, try $0.parameter.value.detach() * scale) },
                to: url
            )
            files.append((step, url))
        }
        let moments = try analysis.routing(at: files, picturesPerTask: 3)
        #expect(moments.map(\.step) == [10, 20])
        #expect(moments[0].tasks.allSatisfy { abs($0.entropy - 1) < 1e-6 })
        let now = try #require(try analysis.routing(picturesPerTask: 3))
        #expect(moments[1].tasks == now.tasks)
        for (entry, value) in zip(connector, kept) { #expect(try entry.parameter.value.isEqual(to: value)) }
    }

    @Test func `removing an expert that counts nothing changes no loss, removing the only one does`() throws {
        let hard = try TinyModel.make(TinyModel.configuration(router: .hard(by: .task), expertCount: 5))
        let analysis = MadeData.analysis(hard, data)
        let batches = try analysis.batches(split: .validation, batchCount: 1, batchSize: 4)
        let ablation = try analysis.ablation(batches)
        #expect(ablation.map(\.group) == ["vqa", "rg", "cls"])
        for group in ablation {
            let task = try #require(MedicalTask(rawValue: group.group))
            let expert = try #require(hard.configuration.connector.tasks.firstIndex(of: task))
            for (removed, loss) in group.lossesWithout.enumerated() {
                #expect((abs(loss - group.loss) < 1e-5) == (removed != expert), "\(task) without \(removed + 1)")
            }
        }
        #expect((hard.connector as? ConnectorMoE)?.removedExperts == [])
        let linear = try TinyModel.make(
            {
                var configuration = TinyModel.configuration()
                configuration.connector = .linear
                return configuration
            }()
        )
        #expect(try MadeData.analysis(linear, data).ablation(batches).isEmpty)
        #expect(try MadeData.analysis(linear, data).routing() == nil)
    }

    @Test func `a removed expert's share goes to the others`() throws {
        let connector = try #require(model.connector as? ConnectorMoE)
        let features = try TinyModel.features(count: 2)
        let whole = try #require(model.alignedTokens(of: features, tasks: [0, 1]).routingWeights)
        connector.removedExperts = [1]
        let rest = try #require(model.alignedTokens(of: features, tasks: [0, 1]).routingWeights)
        #expect(try rest.select(2, 1).abs().sum().item() == 0)
        let ratio = try whole.select(2, 0) / (whole.select(2, 0) + whole.select(2, 2))
        try expectClose(rest.select(2, 0), ratio, tolerance: 1e-6, "the first expert's share")
    }

    @Test func `scores are those of an evaluation with and without each expert`() throws {
        var options = EvaluationOptions(split: .validation, tasks: [.imageClassification])
        options.generation.maximumNewTokens = 3
        let ablation = try analysis.scoreAblation(options)
        #expect(Set(ablation.map(\.dataset)) == ["first", "second"])
        #expect(ablation.allSatisfy { $0.scoresWithout.count == 3 && (0...1).contains($0.score) && $0.samples > 0 })
        let evaluator = try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options)
        let table = try evaluator.evaluate(data).table
        for part in ablation {
            let row = try #require(table.rows.first { $0.dataset == part.dataset && $0.task == part.task })
            #expect(row.primary?.value == part.score)
        }
    }

    @Test(arguments: [2, 3])
    func `feature maps have a point for each picture and task`(dimensions: Int) throws {
        let map = TSNE(dimensions: dimensions, steps: 60, exaggeratedSteps: 20)
        let maps = try analysis.featureMaps(picturesPerTask: 6, map: map)
        #expect(maps.map(\.place) == ["before connector", "after connector"])
        #expect(maps[0].width == 12 && maps[1].width == 24)
        for map in maps {
            #expect(map.tasks.count == 18 && map.embedding.count == 18 && map.components.count == 18)
            #expect(map.embedding.allSatisfy { $0.count == dimensions } && map.varianceShares.count == dimensions)
            #expect(map.silhouettes["task"] != nil && map.silhouettes["dataset"] != nil)
            #expect((0...1).contains(map.trustworthiness))
        }
        // Before the connector the same picture is the same point for every task.
        #expect(try #require(maps[0].silhouettes["task"]) < 0.1)
    }

    @Test func `an answer's patches add up to one, and follow the gradient`() throws {
        var options = EvaluationOptions(split: .validation)
        options.generation.maximumNewTokens = 4
        let attributions = try analysis.attributions(count: 1, options: options)
        #expect(attributions.map(\.task) == [.visualQuestionAnswering, .reportGeneration, .imageClassification])
        for attribution in attributions {
            #expect(attribution.saliency.count == 4 && attribution.saliency.allSatisfy { $0.count == 4 })
            #expect(abs(attribution.saliency.joined().reduce(0, +) - 1) < 1e-5)
            #expect(attribution.saliency.joined().allSatisfy { $0 >= 0 })
            #expect(attribution.routing.count == 3 && attribution.meanLogProbability < 0)
            #expect(!attribution.instruction.hasPrefix("["))
            for (row, columns) in attribution.routing[0].enumerated() {
                for column in columns.indices {
                    let sum = attribution.routing.reduce(0) { $0 + $1[row][column] }
                    #expect(abs(sum - 1) < 1e-5, "the experts share every patch")
                }
            }
        }
    }

    @Test func `every part stops when it is asked to`() throws {
        let control = AnalysisControl(isCancelled: { true })
        #expect(throws: AnalysisError.cancelled) { try analysis.routing(control: control) }
        #expect(throws: AnalysisError.cancelled) { try analysis.featureMaps(control: control) }
        let batches = try analysis.batches(batchCount: 1, batchSize: 1)
        #expect(throws: AnalysisError.cancelled) { try analysis.ablation(batches, control: control) }
    }
}

@Suite("Plans of an analysis")
struct AnalysisPlanTests {
    private func plan(
        _ configuration: UniMedConfiguration,
        groups: Int = 12,
        memoryLimit: Int = 40_000_000_000
    ) throws -> AnalysisPlan {
        let description = try ModelDescription(
            configuration,
            precision: .bfloat16,
            training: .init(frozenType: .bfloat16, gradientCheckpointing: true, isAccelerated: true)
        )
        return try AnalysisPlan(
            configuration,
            selections: [.connector],
            groups: groups,
            batches: 100,
            memoryLimit: memoryLimit,
            description: description
        )
    }

    @Test func `the paper's connector and its baseline fit 40 GB for 12 data sets`() throws {
        var configuration = UniMedConfiguration()
        let experts = try plan(configuration)
        #expect(experts.totalBytes < 40_000_000_000 && experts.sets.map(\.name) == ["connector"])
        #expect(experts.gradientBytes == experts.sets[0].parameters * 4 && experts.gradientBytes > 2_000_000_000)
        configuration.connector = .mlp(layerCount: 2)
        let baseline = try plan(configuration)
        #expect(baseline.blocks == 1 && baseline.totalBytes < experts.totalBytes)
        #expect(baseline.sumBytes == 13 * baseline.gradientBytes, "13 vectors and the gradient are T + 2")
        #expect(baseline.gradients == 12 * 100 * 2 + 200)
    }

    @Test func `less memory takes more blocks, and too little is refused`() throws {
        let configuration = TinyModel.configuration()
        let roomy = try plan(configuration, groups: 5)
        let tight = try plan(configuration, groups: 5, memoryLimit: roomy.totalBytes - roomy.sumBytes / 2)
        #expect(roomy.blocks == 1 && tight.blocks > 1 && tight.totalBytes < roomy.totalBytes)
        #expect(tight.gradients == roomy.gradients * tight.blocks)
        #expect {
            try plan(configuration, memoryLimit: 1000)
        } throws: { error in
            (error as? AnalysisError)?.field == "memory"
        }
        let copy = try JSONDecoder().decode(AnalysisPlan.self, from: JSONEncoder().encode(tight))
        #expect(copy == tight)
    }
}
