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
        UniMedConfiguration(resampler: .averagePooling(side: 4), connector: .linear),
        UniMedConfiguration(resampler: .maxPooling(side: 2), connector: .mlp(layerCount: 3)),
        UniMedConfiguration(connector: ConnectorConfiguration(expert: .linear, expertCount: 7, router: .constant)),
        UniMedConfiguration(connector: ConnectorConfiguration(router: .hard(by: .modality(["CT", "MR"])))),
        UniMedConfiguration(connector: ConnectorConfiguration(router: .hard(by: .task))),
        UniMedConfiguration(
            connector: ConnectorConfiguration(
                expertCount: 16,
                router: .sparse(topK: 3, .paper, network: .init(inputs: [.taskToken], hiddenSize: 5)),
                taskTokenSize: 9
            )
        ),
    ])
    func `what is written is read again`(configuration: UniMedConfiguration) throws {
        let data = try JSONEncoder().encode(configuration)
        #expect(try JSONDecoder().decode(UniMedConfiguration.self, from: data) == configuration)
    }

    @Test func `recipes of the paper's comparison are read`() throws {
        func connector(_ json: String) throws -> ConnectorConfiguration {
            try decode(#"{"connector": \#(json)}"#).connector
        }
        #expect(try connector(#"{"projector": "linear"}"#) == .linear)
        #expect(try connector(#"{"projector": "mlp"}"#) == .mlp(layerCount: 2))
        #expect(try connector(#"{"router": {"type": "hard"}}"#).expertCount == 5)
        #expect(try connector(#"{"tasks": ["vqa", "rg"], "router": {"type": "hard"}}"#).expertCount == 2)
        let modality = #"{"router": {"type": "hard", "by": "modality", "modalities": ["CT", "MR", "US"]}}"#
        #expect(try connector(modality).expertCount == 3)
        #expect(
            try connector(#"{"expert": "linear", "expertCount": 3, "router": {"type": "constant"}}"#)
                == ConnectorConfiguration(expert: .linear, expertCount: 3, router: .constant)
        )
        #expect(
            try connector(#"{"router": {"type": "sparse", "inputs": ["imageToken"]}}"#)
                == ConnectorConfiguration(router: .sparse(topK: 2, .published, network: .init(inputs: [.imageToken])))
        )
        #expect(
            try connector(#"{"expertCount": 5, "router": {"inputs": ["imageToken", "taskToken"], "hiddenSize": 128}}"#)
                == ConnectorConfiguration(expertCount: 5, router: .soft(network: .init(hiddenSize: 128)))
        )
        let pooled = try decode(#"{"resampler": {"method": "averagePooling", "rate": 16}}"#)
        #expect(pooled.resampler == .averagePooling(side: 4))
        #expect(pooled.imageTokenCount == 16 && pooled.aggregatedSize == 1408)
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
        (#"{"resampler": {"method": "maxPooling", "rate": 8}}"#, "resampler.rate", "squares of the image"),
        (#"{"resampler": {"method": "averagePooling", "rate": 9}}"#, "resampler", "3x3, which do not divide the 16x16"),
        (#"{"connector": {"projector": "linear", "expertCount": 2}}"#, "connector.expertCount", "linear has no"),
        (#"{"connector": {"projector": "mlp", "router": {}}}"#, "connector.router", "mlp has no router"),
        (#"{"connector": {"projector": "mlp", "layerCount": 0}}"#, "connector.layerCount", "must be positive, got 0"),
        (#"{"connector": {"layerCount": 2}}"#, "connector.layerCount", "mixtureOfExperts has no layerCount"),
        (
            #"{"connector": {"router": {"type": "hard", "inputs": []}}}"#, "connector.router.inputs",
            "hard router has no"
        ),
        (#"{"connector": {"router": {"topK": 2}}}"#, "connector.router.topK", "a soft router has no topK"),
        (#"{"connector": {"router": {"type": "sparse", "topK": 6}}}"#, "connector.router.topK", "1...5 experts, got 6"),
        (#"{"connector": {"router": {"type": "sparse", "topK": 0}}}"#, "connector.router.topK", "must be positive"),
        (
            #"{"connector": {"router": {"type": "sparse", "normalization": "sigmoid"}}}"#,
            "connector.router.normalization", "sigmoid"
        ),
        (#"{"connector": {"expertCount": 4, "router": {"type": "hard"}}}"#, "connector.expertCount", "of 5 types"),
        (
            #"{"connector": {"router": {"type": "hard", "modalities": []}}}"#, "connector.router.modalities",
            "by: modality"
        ),
        (#"{"connector": {"router": {"type": "hard", "by": "modality"}}}"#, "connector.router", "modalities"),
        (
            #"{"connector": {"taskTokenSize": 8, "router": {"inputs": ["imageToken"]}}}"#,
            "connector.taskTokenSize", "sees no task token"
        ),
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
