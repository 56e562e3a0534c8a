import Foundation
import Testing
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting

@Suite("Model configuration")
struct ConfigurationTests {
    private func decode(_ json: String) throws -> UniMedConfiguration {
        try JSONDecoder().decode(UniMedConfiguration.self, from: Data(json.utf8))
    }

    @Test func `nothing said is the paper's model`() throws {
        let configuration = try decode("{}")
        #expect(configuration == UniMedConfiguration())
        #expect(configuration.vision.patchCount == 256 && configuration.vision.intermediateSize == 6144)
        #expect(configuration.imageTokenCount == 64 && configuration.aggregatedSize == 5632)
        #expect(configuration.connector.expertCount == 5)
        #expect(configuration.fineTuning == .lowRank(LowRankConfiguration(rank: 8, alpha: 16, dropout: 0.05)))
    }

    @Test(arguments: [
        TinyModel.configuration(), TinyModel.configuration(fineTuning: .frozen),
        TinyModel.configuration(fineTuning: .lowRank(LowRankConfiguration(rank: 2, alpha: 3, dropout: 0.25))),
        TinyModel.configuration(fineTuning: .lowRank(LowRankConfiguration(targets: ["v_proj", "q_proj"]))),
        TinyModel.configuration(fineTuning: .lowRankExperts(LowRankExpertsConfiguration())),
        TinyModel.configuration(
            fineTuning: .lowRankExperts(LowRankExpertsConfiguration(rank: 3, router: .constant, targets: ["o_proj"]))
        ),
        TinyModel.configuration(
            fineTuning: .lowRankExperts(
                LowRankExpertsConfiguration(router: .sparse(topK: 1, dropped: .zero, network: .mlp(hiddenSize: nil)))
            )
        ),
        TinyModel.configuration(
            fineTuning: .lowRankExperts(
                LowRankExpertsConfiguration(expertCount: 2, router: .soft(.softmax, network: .mlp(hiddenSize: 9)))
            )
        ),
        TinyModel.configuration(router: RouterConfiguration(inputs: [.imageToken], normalization: .softmax)),
        UniMedConfiguration(
            connector: ConnectorConfiguration(tasks: [.imageClassification], taskTokenSize: 5),
            language: LlamaConfiguration(tiesEmbeddings: true)
        ),
    ])
    func `what is written is read again`(configuration: UniMedConfiguration) throws {
        let data = try JSONEncoder().encode(configuration)
        #expect(try JSONDecoder().decode(UniMedConfiguration.self, from: data) == configuration)
    }

    @Test func `LoRA-MoE has the paper's numbers unless it is told others`() throws {
        let configuration = try decode(#"{"fineTuning": {"method": "loraMoE"}}"#)
        guard case .lowRankExperts(let experts) = configuration.fineTuning else {
            Issue.record("read as \(configuration.fineTuning)")
            return
        }
        #expect(experts.rank == 4 && experts.alpha == 8 && experts.expertCount == 5 && experts.targets == nil)
        #expect(experts.router == .sparse(topK: 2, dropped: .minusInfinity, network: .linear))
    }

    @Test(arguments: [
        (#"{"visoin": {}}"#, "visoin", "unknown key visoin"),
        (#"{"vision": {"hiddenSiez": 8}}"#, "vision.hiddenSiez", "unknown key hiddenSiez"),
        (#"{"connector": {"router": {"kind": "soft"}}}"#, "connector.router.kind", "unknown key kind"),
        (#"{"resampler": {"rate": 3}}"#, "resampler", "rate 3 does not divide the 256 image tokens"),
        (#"{"resampler": {"method": "pooling"}}"#, "resampler.method", "pooling"),
        (#"{"vision": {"patchSize": 15}}"#, "vision.patchSize", "15 does not divide imageSize 224"),
        (#"{"vision": {"headCount": 13}}"#, "vision.headCount", "13 does not divide hiddenSize 1408"),
        (#"{"vision": {"layerCount": 0}}"#, "vision.layerCount", "must be positive, got 0"),
        (#"{"vision": {"mlpRatio": -1}}"#, "vision.mlpRatio", "must be positive"),
        (#"{"connector": {"expertCount": -2}}"#, "connector.expertCount", "must be positive, got -2"),
        (#"{"connector": {"taskTokenSize": 0}}"#, "connector.taskTokenSize", "must be positive, got 0"),
        (#"{"connector": {"tasks": ["vqa", "vqa"]}}"#, "connector.tasks", "a task is named twice"),
        (#"{"connector": {"tasks": []}}"#, "connector.tasks", "needs tasks"),
        (#"{"connector": {"router": {"inputs": []}}}"#, "connector.router.inputs", "imageToken, taskToken or both"),
        (#"{"language": {"keyValueHeadCount": 5}}"#, "language.keyValueHeadCount", "5 does not divide headCount 32"),
        (#"{"language": {"headSize": 7}}"#, "language.headSize", "even head, got 7"),
        (#"{"language": {"hiddenSize": "large"}}"#, "language.hiddenSize", "Int"),
        (
            #"{"fineTuning": {"method": "full", "rank": 8}}"#, "fineTuning.rank",
            "belongs to methods lora and loraMoE only"
        ),
        (#"{"fineTuning": {"method": "none", "targets": ["q_proj"]}}"#, "fineTuning.targets", "belongs to methods"),
        (#"{"fineTuning": {"method": "lora", "targets": ["q"]}}"#, "fineTuning.targets", "unknown layer q; there are"),
        (#"{"fineTuning": {"method": "lora", "targets": []}}"#, "fineTuning.targets", "no layer is named"),
        (
            #"{"fineTuning": {"method": "lora", "targets": ["q_proj", "q_proj"]}}"#, "fineTuning.targets",
            "named twice"
        ),
        (#"{"fineTuning": {"method": "lora", "alpha": 0}}"#, "fineTuning.alpha", "must be positive"),
        (#"{"fineTuning": {"method": "lora", "expertCount": 2}}"#, "fineTuning.expertCount", "loraMoE only"),
        (#"{"fineTuning": {"method": "lora", "router": {"kind": "soft"}}}"#, "fineTuning.router", "loraMoE only"),
        (#"{"fineTuning": {"method": "loraMoE", "expertCount": 0}}"#, "fineTuning.expertCount", "must be positive"),
        (#"{"fineTuning": {"method": "loraMoE", "router": {}}}"#, "fineTuning.router", "kind"),
        (#"{"fineTuning": {"method": "loraMoE", "router": {"kind": "hard"}}}"#, "fineTuning.router.kind", "hard"),
        (
            #"{"fineTuning": {"method": "loraMoE", "router": {"kind": "sparse", "topk": 2}}}"#,
            "fineTuning.router.topk", "unknown key topk"
        ),
        (
            #"{"fineTuning": {"method": "loraMoE", "router": {"kind": "sparse", "topK": 6}}}"#,
            "fineTuning.router.topK", "6 experts are kept, but expertCount is 5"
        ),
        (
            #"{"fineTuning": {"method": "loraMoE", "expertCount": 1}}"#, "fineTuning.router.topK",
            "2 experts are kept, but expertCount is 1"
        ),
        (
            #"{"fineTuning": {"method": "loraMoE", "router": {"kind": "soft", "topK": 2}}}"#,
            "fineTuning.router.topK", "belongs to kind sparse only"
        ),
        (
            #"{"fineTuning": {"method": "loraMoE", "router": {"kind": "constant", "network": "linear"}}}"#,
            "fineTuning.router.network", "a constant router scores nothing"
        ),
        (
            #"{"fineTuning": {"method": "loraMoE", "router": {"kind": "soft", "hiddenSize": 4}}}"#,
            "fineTuning.router.hiddenSize", "belongs to network mlp only"
        ),
        (
            #"{"fineTuning": {"method": "loraMoE", "router": {"kind": "sparse", "normalization": "sigmoid"}}}"#,
            "fineTuning.router.normalization", "belongs to kind soft only"
        ),
        (#"{"fineTuning": {"method": "lora", "dropout": 1}}"#, "fineTuning.dropout", "must be in 0..<1"),
        (#"{"fineTuning": {"method": "qlora"}}"#, "fineTuning.method", "qlora"),
    ])
    func `a setting that cannot be is refused where it stands`(json: String, path: String, problem: String) throws {
        let error = try #require(throws: DecodingError.self) { try decode(json) }
        let context: DecodingError.Context
        switch error {
        case .dataCorrupted(let found), .typeMismatch(_, let found), .keyNotFound(_, let found),
            .valueNotFound(_, let found):
            context = found
        @unknown default: return
        }
        #expect(context.codingPath.map(\.stringValue).joined(separator: ".") == path)
        #expect(context.debugDescription.contains(problem), "\(context.debugDescription)")
    }
}
