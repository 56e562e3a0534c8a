public import Foundation
package import Torch
public import TorchCheckpoints
public import TorchNN

/// A LoRA adapter in the form of PEFT: `adapter_config.json` and the weights beside it.
public struct PEFTAdapter {
    /// What `adapter_config.json` says.
    public let configuration: PEFTConfiguration
    /// The weights, under the names of the file (`base_model.model.….lora_A.weight`).
    public let weights: any WeightSource

    static let configurationName = "adapter_config.json"
    static let weightsName = "adapter_model.safetensors"
    private static let prefix = "base_model.model."

    /// Makes an adapter of its parts.
    public init(configuration: PEFTConfiguration, weights: any WeightSource) {
        self.configuration = configuration
        self.weights = weights
    }

    /// Opens a folder with `adapter_config.json` and `adapter_model.safetensors` or `adapter_model.bin`.
    ///
    /// - Throws: ``CheckpointError`` that names the file and the key.
    public init(folder: URL) throws(CheckpointError) {
        configuration = try PEFTConfiguration(contentsOf: folder.appending(path: PEFTAdapter.configurationName))
        let names = [PEFTAdapter.weightsName, "adapter_model.bin"]
        guard
            let name = names.first(where: { FileManager.default.fileExists(atPath: folder.appending(path: $0).path) })
        else {
            throw CheckpointError(
                .unreadable,
                file: folder.path,
                "no weights of an adapter in the folder",
                expected: names.joined(separator: " or ")
            )
        }
        weights = try Checkpoint.open(folder.appending(path: name))
    }

    /// The one configuration of all target layers, when they do not differ and the ends of their names tell them apart.
    ///
    /// - Parameter linears: The names of all linear layers of the model.
    /// - Returns: `nil` where layers differ in rank or scale, or of layers whose names end alike only some have an adapter.
    /// - Throws: ``CheckpointError`` of kind `unsupported` when a pattern is no regular expression.
    public func uniformConfiguration(of linears: [String]) throws(CheckpointError) -> LowRankConfiguration? {
        let layers = try configuration.layers(of: linears)
        let adaptable = linears.filter { $0 != "lm_head" }
        guard var common = layers.values.first, layers.values.allSatisfy({ $0 == common }) else { return nil }
        let ends = Set(layers.keys.map(Self.lastPart))
        guard Set(layers.keys) == Set(adaptable.filter { ends.contains(Self.lastPart($0)) }) else { return nil }
        common.targets = ends == Set(adaptable.map(Self.lastPart)) ? nil : ends
        return common
    }

    /// The adapter of a model, uniform or not; `nil` when no layer has one.
    ///
    /// The most frequent rank and scale are the adapter's own, others become PEFT's patterns. The weights are those of the
    /// model, not copies.
    ///
    /// - Parameters:
    ///   - module: The language model, with the layers' names of a Hugging Face checkpoint.
    ///   - baseModel: What the model without the adapter is called.
    /// - Throws: ``CheckpointError`` when a weight cannot be detached from its gradient.
    public init?(of module: some Module, baseModel: String? = nil) throws(CheckpointError) {
        let linears = module.namedLinears()
        let adapted = linears.compactMap { name, linear in linear.adapter.map { (name: name, adapter: $0) } }
        guard !adapted.isEmpty else { return nil }
        let ranks = adapted.map { $0.adapter.down.value.size(0) }
        let alphas = zip(adapted, ranks).map { $0.adapter.scaling * Double($1) }
        let (rank, alpha) = (mostFrequent(ranks), mostFrequent(alphas))

        // The last parts of the names say it all when every layer that ends so has an adapter.
        let ends = Set(adapted.map { Self.lastPart($0.name) })
        let names = Set(adapted.map(\.name))
        let isByEnd = linears.allSatisfy { names.contains($0.name) == ends.contains(Self.lastPart($0.name)) }
        configuration = PEFTConfiguration(
            rank: rank,
            alpha: alpha,
            dropout: adapted[0].adapter.dropout,
            targets: .names(isByEnd ? ends.sorted() : adapted.map(\.name)),
            ranks: zip(adapted, ranks).filter { $1 != rank }.map { .init(pattern: $0.name, value: $1) },
            alphas: zip(adapted, alphas).filter { $1 != alpha }.map { .init(pattern: $0.name, value: $1) },
            baseModel: baseModel
        )
        var tensors: [(name: String, tensor: Tensor)] = []
        for (name, adapter) in adapted {
            for (end, parameter) in adapter.namedParameters() {
                do throws(TorchError) {
                    tensors.append((name: "\(Self.prefix)\(name).\(end)", tensor: try parameter.value.detach()))
                } catch {
                    throw CheckpointError(.tensor, file: nil, key: name, "\(error)")
                }
            }
        }
        weights = TensorWeights(tensors, path: "adapter")
    }

    private static func lastPart(_ name: String) -> String {
        name.split(separator: ".").last.map(String.init) ?? name
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` into a folder that is there.
    ///
    /// - Throws: ``CheckpointError`` of kind `unwritable`.
    public func write(to folder: URL) throws(CheckpointError) {
        try SafetensorsFile.write(
            weights,
            metadata: ["format": "pt"],
            to: folder.appending(path: PEFTAdapter.weightsName)
        )
        try DurableFile.write(configuration.json, to: folder.appending(path: PEFTAdapter.configurationName))
    }

    // MARK: Attaching

    /// Puts the adapter beside the layers of a model, sets its weights and freezes all others.
    ///
    /// Layers may have different ranks and scales, and layers that are no targets have no adapter.
    ///
    /// - Parameters:
    ///   - module: The language model, with the layers' names of a Hugging Face checkpoint.
    ///   - builder: The type and device of the adapter's weights; the file's are converted.
    /// - Returns: What was loaded.
    /// - Throws: ``CheckpointError`` of kind `unsupported` when no layer is a target, or `mismatch` when weights are
    ///   missing, unexpected or of another shape.
    @discardableResult
    public func attach(
        to module: some Module,
        builder: WeightBuilder = WeightBuilder()
    ) throws(CheckpointError) -> WeightLoadingReport {
        let linears = module.namedLinears()
        let layers = try configuration.layers(of: linears.map(\.name))
        guard !layers.isEmpty else {
            throw CheckpointError(
                .unsupported,
                file: weights.path,
                key: "target_modules",
                "no layer of the model is a target of the adapter"
            )
        }
        do throws(TorchError) {
            try module.freeze()
            for (name, linear) in linears {
                if let layer = layers[name] { try linear.attach(layer, builder: builder) }
            }
        } catch {
            throw CheckpointError(.tensor, file: weights.path, "\(error)")
        }
        return try loadWeights(
            into: module.namedParameters().filter { LowRankAdapter.owns($0.name) }
                .map { (name: $0.name, tensor: $0.parameter.value) },
            from: weights,
            mapping: [PEFTAdapter.prefix + "**": "**"]
        )
    }
}

private func mostFrequent<Value: Hashable & Comparable>(_ values: [Value]) -> Value {
    let counts = Dictionary(grouping: values, by: { $0 }).mapValues(\.count)
    guard let most = counts.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }) else {
        preconditionFailure("there is at least one value")
    }
    return most.key
}

extension Module {
    /// Every linear layer of the module and of those below it, without those of adapters, under its full name.
    package func namedLinears() -> [(name: String, linear: Linear)] {
        modules(of: Linear.self).filter { !LowRankAdapter.owns($0.name + ".weight") }
            .map { (name: $0.name, linear: $0.module) }
    }

    /// Every weight with its adapter, where there is one, merged into it, under the names of the module without adapters.
    ///
    /// Weights are merged one by one when they are asked for, in float32, and rounded once to the type of the weight or to
    /// `dtype`. A mixture whose router looks at its input cannot be merged: its weights are an error when they are read.
    ///
    /// - Parameter dtype: The type of all weights that hold fractions; `nil` keeps the type of each.
    package func mergedWeightSource(dtype: DType? = nil) -> ComputedWeights {
        var layers: [String: Linear] = [:]
        for (name, linear) in namedLinears() { layers[name + ".weight"] = linear }
        let entries = namedParameters().filter { !LowRankAdapter.owns($0.name) }.map { name, parameter in
            let own = parameter.value.dtype
            let type = own.isFloatingPoint ? dtype ?? own : own
            return ComputedWeights.Entry(name: name, shape: parameter.value.shape, dtype: type) {
                try withoutGradients { () throws(TorchError) -> Tensor in
                    let weight = try parameter.value.detach()
                    guard let update = try layers[name]?.unmergedUpdate() else { return try weight.to(type) }
                    return try (weight.to(.float32) + update).to(type)
                }
            }
        }
        return ComputedWeights(entries)
    }
}

extension Linear {
    /// What is not merged into the weight yet, in float32; `nil` where there is nothing.
    fileprivate func unmergedUpdate() throws(TorchError) -> Tensor? {
        guard !isMerged else { return nil }
        if let adapter {
            return try adapter.up.value.to(.float32).matmul(adapter.down.value.to(.float32)) * adapter.scaling
        }
        return try experts?.update().to(.float32)
    }
}
