import Foundation
import Testing
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting

/// One configuration of a `connector` case.
struct ConnectorCase: Sendable, CustomStringConvertible {
    struct Configuration: Decodable, Sendable {
        let projector: String
        let router: String?
        let routerInput: String?
        let resampler: String
        let rate: Int
        let expertCount: Int?
        let taskTokenSize: Int?
        let visualSize: Int
        let aggregatedSize: Int
        let languageSize: Int
        let routerHidden: Int?

        enum CodingKeys: String, CodingKey {
            case projector = "projector_type"
            case router = "router_type"
            case routerInput = "router_method"
            case resampler = "resample_method"
            case rate = "resample_rate"
            case expertCount = "num_experts"
            case taskTokenSize = "task_token_c"
            case visualSize = "visual_dim"
            case aggregatedSize = "img_f_dim"
            case languageSize = "llm_hidden"
            case routerHidden = "router_hidden"
        }

        /// The inputs by the published code's names; `nil` for one that is not known.
        var routerInputs: Set<RouterConfiguration.Input>? {
            switch routerInput {
            case "router_task_token": [.taskToken, .imageToken]
            case "router_token": [.imageToken]
            case "router_task": [.taskToken]
            default: nil
            }
        }
    }

    struct Record: Decodable, Sendable {
        let file: String
        let config: Configuration
        let task: String
        let withoutGradient: [String]

        enum CodingKeys: String, CodingKey {
            case file, config, task
            case withoutGradient = "parameters_without_gradient"
        }
    }

    struct Manifest: Decodable {
        let cases: [String: Record]
    }

    let golden: GoldenCase
    let name: String
    let record: Record

    var description: String { name }

    /// Whether the model has this kind of connector.
    var isCovered: Bool {
        let config = record.config
        return config.projector == "moe_mlp" && config.router == "soft" && config.resampler == "projection"
            && config.routerInputs != nil
    }

    static let all: [ConnectorCase] = GoldenCase.named("connector").flatMap { golden in
        let cases = (try? golden.decode(Manifest.self).cases) ?? [:]
        return cases.sorted { $0.key < $1.key }.map { ConnectorCase(golden: golden, name: $0.key, record: $0.value) }
    }

    static let covered = all.filter(\.isCovered)

    /// What is skipped and why.
    static var uncovered: Comment {
        let names = all.filter { !$0.isCovered }.map(\.name)
        return "not covered yet: \(names.count) of \(all.count) connector cases: \(names.joined(separator: " "))"
    }
}

@Suite("Parity: connector mixture-of-experts")
struct ConnectorParityTests {
    @Test(
        .enabled(if: !ConnectorCase.covered.isEmpty, "there is no connector case under UNIMED_GOLDEN"),
        arguments: ConnectorCase.covered
    )
    func `output, routing weights and gradients are the published model's`(item: ConnectorCase) throws {
        let config = item.record.config
        let settings = ConnectorConfiguration(
            expertCount: try #require(config.expertCount),
            router: RouterConfiguration(inputs: try #require(config.routerInputs), hiddenSize: config.routerHidden),
            taskTokenSize: config.taskTokenSize
        )
        let connector = try ConnectorMoE(settings, inputSize: config.aggregatedSize, outputSize: config.languageSize)
        let table = PublishedCheckpoint(
            connector: settings,
            inputSize: config.aggregatedSize,
            outputSize: config.languageSize
        )
        let golden = try item.golden.tensors(item.record.file)
        let source = try TensorSource(
            golden.names.filter { $0.hasPrefix("param.") }.map {
                (String($0.dropFirst("param.".count)), try golden($0))
            }
        )
        // Published routers without task input come with task tokens that nothing reads.
        let dropped: KeyMap = connector.taskTokens.isEmpty ? ["task_tokens.*": nil, "**": "**"] : .identity
        let report = try loadWeights(
            into: connector.namedParameters().map { (name: $0.name, tensor: $0.parameter.value) },
            from: table.weights(of: source),
            mapping: dropped
        )
        #expect(report.missing.isEmpty)

        let features = try golden("features").clone().requireGradient()
        let tokens = try ResamplerConfiguration.projection(rate: config.rate)(
            features.narrow(1, start: 1, length: features.size(1) - 1)
        )
        let task = try #require(settings.tasks.firstIndex { $0.identifier == item.record.task })
        let (aligned, weights) = try connector(tokens, tasks: [Int](repeating: task, count: features.size(0)))
        let loss = try (aligned * golden("loss_weight")).mean()
        try loss.backward()

        let comparison = Comparison(item.golden, item.name)
        try comparison.close(aligned, golden("output"), "output")
        try comparison.close(weights, golden("routing_weights"), "routing_weights")
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

    @Test(.disabled(ConnectorCase.uncovered))
    func `linear experts, other routers and pooling`() {}
}
