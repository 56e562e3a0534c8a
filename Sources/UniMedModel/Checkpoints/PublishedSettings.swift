public import TorchCheckpoints
import TorchNN

extension UniMedConfiguration {
    /// Takes the settings that a training checkpoint of the published code carries beside its weights.
    ///
    /// Connector, router, resampler, image size and LoRA are the file's; what it does not name, such as the sizes of the
    /// vision transformer, stays. Shapes alone would not tell the scale of LoRA or the kind of a router.
    ///
    /// - Parameters:
    ///   - settings: The dictionary `model` of the checkpoint's `config`.
    ///   - file: The file, for messages.
    /// - Throws: ``CheckpointError`` of kind `unsupported` for a setting that is not known, with its key.
    public mutating func adopt(publishedSettings settings: CheckpointValue, file: String) throws(CheckpointError) {
        func refusal(_ key: String, expected: String) -> CheckpointError {
            let got = settings[key]?.string ?? settings[key]?.kind ?? "nothing"
            return CheckpointError(.unsupported, file: file, key: "config/model/\(key)", expected: expected, got: got)
        }
        func positive(_ key: String) throws(CheckpointError) -> Int? {
            guard let value = settings[key] else { return nil }
            if case .none = value { return nil }
            guard let number = value.int, (1...1 << 20).contains(number) else {
                throw refusal(key, expected: "a positive number")
            }
            return number
        }
        if let size = try positive("image_size") { vision.imageSize = size }

        if let method = settings["resample_method"]?.string {
            switch method {
            case "projection": resampler = .projection(rate: try positive("resample_rate") ?? 4)
            // The published code pools 2 by 2 tokens, whatever the rate says.
            case "avgpool": resampler = .averagePooling(side: 2)
            case "maxpool": resampler = .maxPooling(side: 2)
            default: throw refusal("resample_method", expected: "projection, avgpool or maxpool")
            }
        }

        if let projector = settings["projector_type"]?.string {
            let experts: [String: ConnectorMoEConfiguration.Expert] = ["moe_mlp": .mlp, "moe_linear": .linear]
            if projector == "linear" {
                connector = .linear
            } else if let match = projector.wholeMatch(of: /mlp([1-9])x_gelu/), let count = Int(match.1) {
                connector = .mlp(layerCount: count)
            } else if let expert = experts[projector] {
                let router = try publishedRouter(settings, topK: positive("sparse_topk") ?? 2) {
                    refusal($0, expected: $1)
                }
                let count = try positive("num_experts")
                var tasks = ConnectorConfiguration.publishedTasks
                // A hard router's experts are those of the first tasks.
                if case .hard = router, let count { tasks = Array(tasks.prefix(count)) }
                connector = ConnectorConfiguration(
                    expert: expert,
                    expertCount: count,
                    router: router,
                    tasks: tasks,
                    taskTokenSize: try positive("task_token_c")
                )
            } else {
                throw refusal("projector_type", expected: "linear, mlp2x_gelu, moe_linear or moe_mlp")
            }
        }

        if let method = settings["sft_type"]?.string {
            guard method == "lora" else { throw refusal("sft_type", expected: "lora") }
            var adapter = LowRankConfiguration()
            if case .lowRank(let own) = fineTuning { adapter = own }
            adapter.rank = try positive("lora_r") ?? adapter.rank
            adapter.alpha = settings["lora_alpha"]?.double ?? adapter.alpha
            adapter.dropout = settings["lora_dropout"]?.double ?? adapter.dropout
            if let targets = settings["lora_target_modules"]?.elements {
                let names = targets.compactMap(\.string)
                guard names.count == targets.count else { throw refusal("lora_target_modules", expected: "names") }
                adapter.targets = names.contains("all") ? nil : Set(names)
            }
            fineTuning = .lowRank(adapter)
        }
    }

    private func publishedRouter(
        _ settings: CheckpointValue,
        topK: Int,
        _ refusal: (String, String) -> CheckpointError
    ) throws(CheckpointError) -> RouterConfiguration {
        func network() throws(CheckpointError) -> RouterNetworkConfiguration {
            switch settings["router_method"]?.string {
            case "router_task_token": return RouterNetworkConfiguration(inputs: [.taskToken, .imageToken])
            case "router_token": return RouterNetworkConfiguration(inputs: [.imageToken])
            case "router_task": return RouterNetworkConfiguration(inputs: [.taskToken])
            default: throw refusal("router_method", "router_task_token, router_token or router_task")
            }
        }
        switch settings["router_type"]?.string {
        case "constant": return .constant
        case "hard": return .hard(by: .task)
        case "sparse": return .sparse(topK: topK, network: try network())
        case "soft": return .soft(network: try network())
        default: throw refusal("router_type", "constant, hard, sparse or soft")
        }
    }
}
