import Foundation

/// Adapters of PEFT 0.15.2 on a Llama of three blocks: rank and scale of each layer, as PEFT itself made them.
struct PEFTCase: Decodable, CustomStringConvertible, Sendable {
    let name: String
    /// The rank and the scale of each layer with an adapter.
    let layers: [String: [Double]]

    var description: String { name }

    /// The cases, each with its `adapter_config.json`.
    static let all: [(item: PEFTCase, configuration: Data)] = {
        let data = Data(("[" + json + "]").utf8)
        guard let items = try? JSONDecoder().decode([PEFTCase].self, from: data),
            let objects = try? JSONSerialization.jsonObject(with: data) as? [[String: Any]]
        else { return [] }
        return zip(items, objects).map { item, object in
            let configuration = object["config"].flatMap { try? JSONSerialization.data(withJSONObject: $0) }
            return (item: item, configuration: configuration ?? Data())
        }
    }()

    private static let json = #"""
        {"name": "all-linear",
         "config": {"lora_alpha": 16, "peft_type": "LORA", "r": 4, "target_modules": "all-linear"},
         "layers": {
          "model.layers.0.mlp.down_proj": [4, 4.0], "model.layers.0.mlp.gate_proj": [4, 4.0],
          "model.layers.0.mlp.up_proj": [4, 4.0], "model.layers.0.self_attn.k_proj": [4, 4.0],
          "model.layers.0.self_attn.o_proj": [4, 4.0], "model.layers.0.self_attn.q_proj": [4, 4.0],
          "model.layers.0.self_attn.v_proj": [4, 4.0], "model.layers.1.mlp.down_proj": [4, 4.0],
          "model.layers.1.mlp.gate_proj": [4, 4.0], "model.layers.1.mlp.up_proj": [4, 4.0],
          "model.layers.1.self_attn.k_proj": [4, 4.0], "model.layers.1.self_attn.o_proj": [4, 4.0],
          "model.layers.1.self_attn.q_proj": [4, 4.0], "model.layers.1.self_attn.v_proj": [4, 4.0],
          "model.layers.2.mlp.down_proj": [4, 4.0], "model.layers.2.mlp.gate_proj": [4, 4.0],
          "model.layers.2.mlp.up_proj": [4, 4.0], "model.layers.2.self_attn.k_proj": [4, 4.0],
          "model.layers.2.self_attn.o_proj": [4, 4.0], "model.layers.2.self_attn.q_proj": [4, 4.0],
          "model.layers.2.self_attn.v_proj": [4, 4.0]}},
        {"name": "excluded",
         "config": {
          "exclude_modules": ["down_proj", "model.layers.0.mlp.up_proj"], "lora_alpha": 16, "peft_type": "LORA",
          "r": 4, "target_modules": "all-linear"},
         "layers": {
          "model.layers.0.mlp.gate_proj": [4, 4.0], "model.layers.0.self_attn.k_proj": [4, 4.0],
          "model.layers.0.self_attn.o_proj": [4, 4.0], "model.layers.0.self_attn.q_proj": [4, 4.0],
          "model.layers.0.self_attn.v_proj": [4, 4.0], "model.layers.1.mlp.gate_proj": [4, 4.0],
          "model.layers.1.mlp.up_proj": [4, 4.0], "model.layers.1.self_attn.k_proj": [4, 4.0],
          "model.layers.1.self_attn.o_proj": [4, 4.0], "model.layers.1.self_attn.q_proj": [4, 4.0],
          "model.layers.1.self_attn.v_proj": [4, 4.0], "model.layers.2.mlp.gate_proj": [4, 4.0],
          "model.layers.2.mlp.up_proj": [4, 4.0], "model.layers.2.self_attn.k_proj": [4, 4.0],
          "model.layers.2.self_attn.o_proj": [4, 4.0], "model.layers.2.self_attn.q_proj": [4, 4.0],
          "model.layers.2.self_attn.v_proj": [4, 4.0]}},
        {"name": "excluded pattern",
         "config": {
          "exclude_modules": ".*\\.1\\..*", "lora_alpha": 16, "peft_type": "LORA", "r": 4,
          "target_modules": ["q_proj", "k_proj"]},
         "layers": {
          "model.layers.0.self_attn.k_proj": [4, 4.0], "model.layers.0.self_attn.q_proj": [4, 4.0],
          "model.layers.2.self_attn.k_proj": [4, 4.0], "model.layers.2.self_attn.q_proj": [4, 4.0]}},
        {"name": "layers",
         "config": {
          "layers_to_transform": [0, 2], "lora_alpha": 16, "peft_type": "LORA", "r": 4,
          "target_modules": ["q_proj"]},
         "layers": {
          "model.layers.0.self_attn.q_proj": [4, 4.0], "model.layers.2.self_attn.q_proj": [4, 4.0]}},
        {"name": "names",
         "config": {"lora_alpha": 16, "peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"]},
         "layers": {
          "model.layers.0.self_attn.q_proj": [4, 4.0], "model.layers.0.self_attn.v_proj": [4, 4.0],
          "model.layers.1.self_attn.q_proj": [4, 4.0], "model.layers.1.self_attn.v_proj": [4, 4.0],
          "model.layers.2.self_attn.q_proj": [4, 4.0], "model.layers.2.self_attn.v_proj": [4, 4.0]}},
        {"name": "one layer",
         "config": {
          "layers_pattern": "layers", "layers_to_transform": 1, "lora_alpha": 16, "peft_type": "LORA", "r": 4,
          "target_modules": ["q_proj", "model.layers.0.mlp.up_proj"]},
         "layers": {
          "model.layers.0.mlp.up_proj": [4, 4.0], "model.layers.1.self_attn.q_proj": [4, 4.0]}},
        {"name": "pattern",
         "config": {
          "lora_alpha": 3, "peft_type": "LORA", "r": 2,
          "target_modules": ".*layers\\.[02]\\.self_attn\\.(q|o)_proj"},
         "layers": {
          "model.layers.0.self_attn.o_proj": [2, 1.5], "model.layers.0.self_attn.q_proj": [2, 1.5],
          "model.layers.2.self_attn.o_proj": [2, 1.5], "model.layers.2.self_attn.q_proj": [2, 1.5]}},
        {"name": "patterns",
         "config": {
          "alpha_pattern": {"layers\\.[01]\\.self_attn\\.o_proj": 5, "q_proj": 24}, "lora_alpha": 16,
          "peft_type": "LORA", "r": 4, "rank_pattern": {"layers.1.self_attn.v_proj": 2, "q_proj": 8},
          "target_modules": ["q_proj", "v_proj", "o_proj"]},
         "layers": {
          "model.layers.0.self_attn.o_proj": [4, 1.25], "model.layers.0.self_attn.q_proj": [8, 3.0],
          "model.layers.0.self_attn.v_proj": [4, 4.0], "model.layers.1.self_attn.o_proj": [4, 1.25],
          "model.layers.1.self_attn.q_proj": [8, 3.0], "model.layers.1.self_attn.v_proj": [2, 8.0],
          "model.layers.2.self_attn.o_proj": [4, 4.0], "model.layers.2.self_attn.q_proj": [8, 3.0],
          "model.layers.2.self_attn.v_proj": [4, 4.0]}},
        {"name": "rslora",
         "config": {
          "lora_alpha": 16, "peft_type": "LORA", "r": 4, "target_modules": ["q_proj"], "use_rslora": true},
         "layers": {
          "model.layers.0.self_attn.q_proj": [4, 8.0], "model.layers.1.self_attn.q_proj": [4, 8.0],
          "model.layers.2.self_attn.q_proj": [4, 8.0]}},
        {"name": "rslora patterns",
         "config": {
          "alpha_pattern": {".*v_proj": 6}, "lora_alpha": 16, "peft_type": "LORA", "r": 4,
          "rank_pattern": {"model.layers.2.self_attn.v_proj": 9}, "target_modules": ["q_proj", "v_proj"],
          "use_rslora": true},
         "layers": {
          "model.layers.0.self_attn.q_proj": [4, 8.0], "model.layers.0.self_attn.v_proj": [4, 3.0],
          "model.layers.1.self_attn.q_proj": [4, 8.0], "model.layers.1.self_attn.v_proj": [4, 3.0],
          "model.layers.2.self_attn.q_proj": [4, 8.0], "model.layers.2.self_attn.v_proj": [9, 2.0]}},
        {"name": "whole names",
         "config": {
          "lora_alpha": 8, "peft_type": "LORA", "r": 4,
          "target_modules": ["model.layers.1.self_attn.q_proj", "down_proj"]},
         "layers": {
          "model.layers.0.mlp.down_proj": [4, 2.0], "model.layers.1.mlp.down_proj": [4, 2.0],
          "model.layers.1.self_attn.q_proj": [4, 2.0], "model.layers.2.mlp.down_proj": [4, 2.0]}}
        """#
}
