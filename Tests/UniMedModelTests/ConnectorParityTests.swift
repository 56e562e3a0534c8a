import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting

/// A connector and its resampler as the published code's configuration names them.
struct PublishedConnector: Decodable, Sendable {
    let projector: String
    let router: String?
    let routerInput: String?
    let resamplerName: String
    let rate: Int
    let expertCount: Int?
    let topK: Int?
    let taskTokenSize: Int?

    enum CodingKeys: String, CodingKey {
        case projector = "projector_type"
        case router = "router_type"
        case routerInput = "router_method"
        case resamplerName = "resample_method"
        case rate = "resample_rate"
        case expertCount = "num_experts"
        case topK = "sparse_topk"
        case taskTokenSize = "task_token_c"
    }

    /// The resampler; pooling is always over 2 by 2 tokens.
    func resampler() throws -> ResamplerConfiguration {
        switch resamplerName {
        case "projection": .projection(rate: rate)
        case "avgpool": .averagePooling(side: 2)
        case "maxpool": .maxPooling(side: 2)
        default: throw GoldenError("unknown resample_method '\(resamplerName)'")
        }
    }

    /// The connector.
    func connector() throws -> ConnectorConfiguration {
        if projector == "linear" { return .linear }
        if let match = projector.wholeMatch(of: /mlp(\d+)x_gelu/), let layerCount = Int(match.1) {
            return .mlp(layerCount: layerCount)
        }
        let experts: [String: ConnectorMoEConfiguration.Expert] = ["moe_mlp": .mlp, "moe_linear": .linear]
        guard let expert = experts[projector], let expertCount else {
            throw GoldenError("unknown projector_type '\(projector)'")
        }
        let router = try routerConfiguration()
        // A hard router's experts are those of the first tasks.
        var tasks = ConnectorConfiguration.publishedTasks
        if case .hard = router { tasks = Array(tasks.prefix(expertCount)) }
        return ConnectorConfiguration(
            expert: expert,
            expertCount: expertCount,
            router: router,
            tasks: tasks,
            taskTokenSize: taskTokenSize
        )
    }

    private func routerConfiguration() throws -> RouterConfiguration {
        let inputs: [String: Set<RouterConfiguration.Input>] = [
            "router_task_token": [.taskToken, .imageToken], "router_token": [.imageToken], "router_task": [.taskToken],
        ]
        func network() throws -> RouterNetworkConfiguration {
            guard let routerInput, let inputs = inputs[routerInput] else {
                throw GoldenError("unknown router_method '\(routerInput ?? "none")'")
            }
            return RouterNetworkConfiguration(inputs: inputs)
        }
        switch router {
        case "constant": return .constant
        case "hard": return .hard(by: .task)
        case "sparse": return .sparse(topK: topK ?? 2, network: try network())
        case "soft": return .soft(network: try network())
        default: throw GoldenError("unknown router_type '\(router ?? "none")'")
        }
    }
}

/// One configuration of a `connector` case.
struct ConnectorCase: Sendable, CustomStringConvertible {
    struct Sizes: Decodable, Sendable {
        let aggregatedSize: Int
        let languageSize: Int
        let visualSize: Int

        enum CodingKeys: String, CodingKey {
            case aggregatedSize = "img_f_dim"
            case languageSize = "llm_hidden"
            case visualSize = "visual_dim"
        }
    }

    struct Record: Decodable, Sendable {
        let file: String
        let config: PublishedConnector
        let sizes: Sizes
        let task: String
        let withoutGradient: [String]

        enum CodingKeys: String, CodingKey {
            case file, config, task
            case withoutGradient = "parameters_without_gradient"
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            file = try container.decode(String.self, forKey: .file)
            config = try container.decode(PublishedConnector.self, forKey: .config)
            sizes = try container.decode(Sizes.self, forKey: .config)
            task = try container.decode(String.self, forKey: .task)
            withoutGradient = try container.decode([String].self, forKey: .withoutGradient)
        }
    }

    struct Manifest: Decodable {
        let cases: [String: Record]
    }

    let golden: GoldenCase
    let name: String
    let record: Record

    var description: String { name }

    static let all: [ConnectorCase] = GoldenCase.named("connector").flatMap { golden in
        let cases = (try? golden.decode(Manifest.self).cases) ?? [:]
        return cases.sorted { $0.key < $1.key }.map { ConnectorCase(golden: golden, name: $0.key, record: $0.value) }
    }
}

@Suite("Parity: connectors")
struct ConnectorParityTests {
    @Test(
        .enabled(if: !ConnectorCase.all.isEmpty, "there is no connector case under UNIMED_GOLDEN"),
        arguments: ConnectorCase.all
    )
    func `output, routing weights and gradients are the published model's`(item: ConnectorCase) throws {
        let settings = try item.record.config.connector()
        let resampler = try item.record.config.resampler()
        let sizes = item.record.sizes
        #expect(resampler.outputSize(of: sizes.visualSize) == sizes.aggregatedSize)
        let connector = try settings.makeConnector(inputSize: sizes.aggregatedSize, outputSize: sizes.languageSize)
        let table = PublishedCheckpoint(
            connector: settings,
            inputSize: sizes.aggregatedSize,
            outputSize: sizes.languageSize
        )
        let golden = try item.golden.tensors(item.record.file)
        let parameters = golden.names.filter { $0.hasPrefix("param.") }.map { String($0.dropFirst("param.".count)) }
        let report = try loadWeights(
            into: connector.namedParameters().map { (name: $0.name, tensor: $0.parameter.value) },
            from: table.weights(of: TensorSource(parameters.map { ($0, try golden("param." + $0)) })),
            mapping: table.dropping
        )
        #expect(report.missing.isEmpty)
        #expect(Set(report.dropped).isSubset(of: item.record.withoutGradient), "only what nothing reads is dropped")

        let features = try golden("features").clone().requireGradient()
        let tokens = try resampler(features.narrow(1, start: 1, length: features.size(1) - 1))
        let task = try #require(settings.tasks.firstIndex { $0.identifier == item.record.task })
        let (aligned, weights) = try connector(tokens, tasks: [Int](repeating: task, count: features.size(0)))
        let loss = try (aligned * golden("loss_weight")).mean()
        try loss.backward()

        let comparison = Comparison(item.golden, item.name)
        try comparison.close(aligned, golden("output"), "output")
        #expect((weights == nil) == !golden.contains("routing_weights"))
        if let weights { try comparison.close(weights, golden("routing_weights"), "routing_weights") }
        try comparison.close(loss.reshape(1), golden("loss"), "loss")
        try comparison.close(#require(features.gradient), golden("grad.features"), "grad.features")

        let gradients = try table.published(
            connector.namedParameters().compactMap { name, parameter in
                parameter.value.gradient.map { (name: name, tensor: $0) }
            }
        )
        let expected = golden.names.filter { $0.hasPrefix("grad.") && $0 != "grad.features" }
        #expect(gradients.map { "grad." + $0.0 }.sorted() == expected)
        #expect(Set(item.record.withoutGradient).isDisjoint(with: gradients.map(\.0)))
        for (name, gradient) in gradients {
            try comparison.close(gradient, golden("grad." + name), "grad." + name)
        }
        print(comparison.summary)
    }
}
