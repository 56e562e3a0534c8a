public import Torch
public import TorchCheckpoints
import TorchNN

/// The names and layouts of the published code's checkpoint, and ours, in both directions.
///
/// The published file holds what is trained: LoRA (`llm_model.base_model.model.….lora_A.default.weight`), one pair of
/// linear layers per expert (`moe_layers.0.0.weight`), the router with its first layer in one piece (task token first)
/// and one token per task. Ours keeps the experts stacked and the router's first layer in two halves. The file holds the
/// experts a second time (`llm_proj.…`) and rotary frequencies; both are dropped. A connector without experts is
/// `llm_proj` alone. The network of constant and hard routers and task tokens that no router sees, which the published
/// code saves although nothing reads them, are dropped and not written.
public struct PublishedCheckpoint: Sendable {
    /// A tensor of one side and what it is made of on the other.
    fileprivate struct Piece: Sendable {
        let name: String
        let shape: [Int]
    }

    /// One tensor that is several tensors of the other side, joined along a dimension.
    fileprivate struct Joint: Sendable {
        let whole: Piece
        let parts: [Piece]
        let dimension: Int

        /// The shape in which the whole has the parts side by side; the parts may have fewer dimensions.
        var joinedShape: [Int] {
            var shape = parts[0].shape
            shape[dimension] = parts.reduce(0) { $0 + $1.shape[dimension] }
            return shape
        }

        func join(_ tensors: [Tensor]) throws(TorchError) -> Tensor {
            try Tensor.cat(tensors, dimension: dimension).reshape(whole.shape)
        }

        func part(_ index: Int, of tensor: Tensor) throws(TorchError) -> Tensor {
            let start = parts.prefix(index).reduce(0) { $0 + $1.shape[dimension] }
            return try tensor.reshape(joinedShape)
                .narrow(dimension, start: start, length: parts[index].shape[dimension]).contiguous()
        }
    }

    /// Our parameters that are several tensors of the file.
    private let stacked: [Joint]
    /// Tensors of the file that are several parameters of ours.
    private let halved: [Joint]
    /// Tensors that are the same on both sides.
    private let names: KeyMap
    /// The rows of the table that drop a tensor of the file.
    private let dropped: [(file: String, model: String?)]

    /// The table of a whole model.
    public init(_ configuration: UniMedConfiguration) {
        let language: [(file: String, model: String?)]
        if case .lowRank = configuration.fineTuning {
            language = [
                ("llm_model.base_model.model.**.lora_A.default.weight", "llm.**.lora_A.weight"),
                ("llm_model.base_model.model.**.lora_B.default.weight", "llm.**.lora_B.weight"),
            ]
        } else {
            language = [("llm_model.**", "llm.**")]
        }
        self.init(
            configuration.connector,
            inputSize: configuration.aggregatedSize,
            outputSize: configuration.language.hiddenSize,
            prefix: "connector.",
            further: language + [
                ("visual_encoder.**", "visual_encoder.**"), ("ln_vision.*", "ln_vision.*"),
                // Not of the published code, which has no volumes.
                ("\(UniMed.slicePoolingName).*", "\(UniMed.slicePoolingName).*"),
            ]
        )
    }

    /// The table of a connector alone.
    public init(connector: ConnectorConfiguration, inputSize: Int, outputSize: Int) {
        self.init(connector, inputSize: inputSize, outputSize: outputSize, prefix: "", further: [])
    }

    private init(
        _ connector: ConnectorConfiguration,
        inputSize: Int,
        outputSize: Int,
        prefix: String,
        further: [(file: String, model: String?)]
    ) {
        var dropped: [(file: String, model: String?)] = [
            ("llm_model.base_model.model.model.layers.*.self_attn.rotary_emb.inv_freq", nil),
            ("llm_model.model.layers.*.self_attn.rotary_emb.inv_freq", nil),
        ]
        var kept: [(file: String, model: String?)] = []
        switch connector {
        case .linear:
            (stacked, halved) = ([], [])
            kept.append(("llm_proj.*", prefix + "projector.*"))
        case .mlp(let layerCount):
            (stacked, halved) = ([], [])
            // The activations have a number as well.
            for layer in 0..<layerCount {
                kept.append(("llm_proj.\(2 * layer).*", prefix + "projector.\(layer).*"))
            }
        case .mixtureOfExperts(let mixture):
            stacked = Self.experts(mixture, inputSize: inputSize, outputSize: outputSize, prefix: prefix)
            halved = Self.router(mixture, inputSize: inputSize, prefix: prefix)
            dropped.append(("llm_proj.**", nil))
            if mixture.router.network != nil {
                kept += [
                    ("router.fc1.bias", prefix + "router.fc1.bias"), ("router.fc2.*", prefix + "router.fc2.*"),
                ]
            } else {
                // The published code makes and saves a network for constant and hard routers too; nothing reads it.
                dropped.append(("router.**", nil))
            }
        }
        if connector.mixture?.router.seesTaskToken ?? false {
            kept.append(("task_tokens.*", prefix + "task_tokens.*"))
        } else {
            // The published code saves task tokens also where nothing reads them.
            dropped.append(("task_tokens.*", nil))
        }
        self.dropped = dropped
        names = KeyMap(dropped + kept + further)
    }

    /// The stacked weights of the experts.
    private static func experts(
        _ mixture: ConnectorMoEConfiguration,
        inputSize: Int,
        outputSize: Int,
        prefix: String
    ) -> [Joint] {
        let count = mixture.expertCount
        func joint(_ name: String, _ shape: [Int], _ layer: String, _ part: [Int], along dimension: Int = 0) -> Joint {
            Joint(
                whole: Piece(name: prefix + "experts." + name, shape: shape),
                parts: (0..<count).map { Piece(name: "moe_layers.\($0).\(layer)", shape: part) },
                dimension: dimension
            )
        }
        let (stackedSize, first) = (count * outputSize, [outputSize, inputSize])
        switch mixture.expert {
        case .linear:
            return [
                joint("weight", [stackedSize, inputSize], "0.weight", first),
                joint("bias", [count, outputSize], "0.bias", [outputSize]),
            ]
        case .mlp:
            return [
                joint("first.weight", [stackedSize, inputSize], "0.weight", first),
                joint("first.bias", [stackedSize], "0.bias", [outputSize]),
                joint("second.weight", [outputSize, stackedSize], "2.weight", [outputSize, outputSize], along: 1),
                joint("second.bias", [count, outputSize], "2.bias", [outputSize]),
            ]
        }
    }

    /// The first layer of the router's network, which is in one piece in the file.
    private static func router(_ mixture: ConnectorMoEConfiguration, inputSize: Int, prefix: String) -> [Joint] {
        guard let network = mixture.router.network else { return [] }
        let taskSize = mixture.taskTokenSize ?? inputSize
        let sizes = network.inputSizes(tokenSize: inputSize, taskSize: taskSize)
        let hidden = network.hiddenSize(tokenSize: inputSize, taskSize: taskSize)
        let parts = [("task_weight", sizes.task), ("token_weight", sizes.token)].filter { $0.1 > 0 }
        return [
            Joint(
                whole: Piece(name: "router.fc1.weight", shape: [hidden, sizes.task + sizes.token]),
                parts: parts.map { Piece(name: prefix + "router.fc1." + $0.0, shape: [hidden, $0.1]) },
                dimension: 1
            )
        ]
    }

    /// What ``weights(of:)`` leaves under its published name because nothing of ours takes it.
    package var dropping: KeyMap { KeyMap(dropped + [("**", "**")]) }

    /// A published file's weights under our names and in our layout; what has no place keeps its name.
    public func weights(of source: any WeightSource) -> any WeightSource {
        var origins: [(name: String, origin: RenamedWeights.Origin)] = []
        let there = Set(source.keys)
        var used: Set<String> = []
        for joint in stacked where joint.parts.allSatisfy({ there.contains($0.name) }) {
            used.formUnion(joint.parts.map(\.name))
            origins.append((joint.whole.name, .joined(joint)))
        }
        for joint in halved where there.contains(joint.whole.name) {
            used.insert(joint.whole.name)
            for (index, part) in joint.parts.enumerated() { origins.append((part.name, .part(index, joint))) }
        }
        for key in source.keys where !used.contains(key) {
            if case .parameter(let name) = names.destination(ofFileKey: key) {
                origins.append((name, .same(key)))
            } else {
                origins.append((key, .same(key)))
            }
        }
        return RenamedWeights(source: source, origins: origins)
    }

    /// Our parameters, or their gradients or moments, under the published names and in the published layout.
    ///
    /// - Throws: ``CheckpointError`` of kind `mismatch` for a tensor without a published name, or a half without its other.
    public func published(_ tensors: [(name: String, tensor: Tensor)]) throws(CheckpointError) -> [(String, Tensor)] {
        var byName = Dictionary(tensors.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
        var result: [(String, Tensor)] = []
        func checked(_ key: String, _ body: () throws(TorchError) -> Tensor) throws(CheckpointError) {
            do throws(TorchError) {
                result.append((key, try body()))
            } catch {
                throw CheckpointError(.tensor, file: nil, key: key, "\(error)")
            }
        }
        for joint in stacked {
            guard let whole = byName.removeValue(forKey: joint.whole.name) else { continue }
            for (index, part) in joint.parts.enumerated() {
                try checked(part.name) { () throws(TorchError) in try joint.part(index, of: whole) }
            }
        }
        for joint in halved {
            let parts = joint.parts.compactMap { byName[$0.name] }
            guard !parts.isEmpty else { continue }
            guard parts.count == joint.parts.count else {
                throw CheckpointError(.mismatch, file: nil, key: joint.whole.name, "a half of it is missing")
            }
            for part in joint.parts { byName[part.name] = nil }
            try checked(joint.whole.name) { () throws(TorchError) in try joint.join(parts) }
        }
        let others = tensors.filter { byName[$0.name] != nil }.map { (name: $0.name, value: $0.tensor) }
        return result + (try names.fileEntries(of: others))
    }
}

extension UniMed {
    /// Sets what is trained from a checkpoint of the published code; frozen weights that it leaves out keep their values.
    ///
    /// - Parameters:
    ///   - source: The state dictionary, which a `checkpoint_0.pth` has at `["model"]`.
    ///   - device: Where weights without memory go.
    /// - Returns: What was loaded, dropped and left.
    /// - Throws: ``CheckpointError`` of kind `mismatch` when something is missing, unexpected or of another shape.
    @discardableResult
    public func loadPublished(
        _ source: any WeightSource,
        device: Device = .cpu
    ) throws(CheckpointError) -> WeightLoadingReport {
        let table = PublishedCheckpoint(configuration)
        let parameters = namedParameters()
        return try loadWeights(
            into: self,
            from: table.weights(of: source),
            mapping: table.dropping,
            allowedMissing: parameters.filter {
                !$0.parameter.isTrainable || $0.name.hasPrefix(Self.slicePoolingName + ".")
            }.map(\.name),
            device: device
        )
    }

    /// What is trained, under the names and in the layout of the published code.
    ///
    /// - Throws: ``CheckpointError`` when a trained weight has no place in the published checkpoint.
    public func publishedWeights() throws(CheckpointError) -> [(String, Tensor)] {
        try PublishedCheckpoint(configuration).published(
            trainableParameters().map { (name: $0.name, tensor: $0.parameter.value) }
        )
    }
}

/// Weights of a file under other names and in another layout.
private struct RenamedWeights: WeightSource {
    enum Origin {
        case same(String)
        case joined(PublishedCheckpoint.Joint)
        case part(Int, PublishedCheckpoint.Joint)
    }

    let source: any WeightSource
    let keys: [String]
    private let origins: [String: Origin]

    init(source: any WeightSource, origins: [(name: String, origin: Origin)]) {
        self.source = source
        keys = origins.map(\.name)
        self.origins = Dictionary(origins.map { ($0.name, $0.origin) }, uniquingKeysWith: { first, _ in first })
    }

    var path: String { source.path }

    private func origin(of key: String) throws(CheckpointError) -> Origin {
        guard let origin = origins[key] else { throw CheckpointError(.missingKey, file: path, key: key) }
        return origin
    }

    /// The shape that the tensor would have; where the file's do not fit, one of theirs, which then fits nothing.
    func shape(of key: String) throws(CheckpointError) -> [Int] {
        switch try origin(of: key) {
        case .same(let name): return try source.shape(of: name)
        case .joined(let joint):
            for part in joint.parts {
                let shape = try source.shape(of: part.name)
                if shape != part.shape { return shape }
            }
            return joint.whole.shape
        case .part(let index, let joint):
            let shape = try source.shape(of: joint.whole.name)
            return shape == joint.whole.shape ? joint.parts[index].shape : shape
        }
    }

    func dtype(of key: String) throws(CheckpointError) -> DType {
        switch try origin(of: key) {
        case .same(let name): try source.dtype(of: name)
        case .joined(let joint): try source.dtype(of: joint.parts[0].name)
        case .part(_, let joint): try source.dtype(of: joint.whole.name)
        }
    }

    func tensor(named key: String) throws(CheckpointError) -> Tensor {
        switch try origin(of: key) {
        case .same(let name): return try source.tensor(named: name)
        case .joined(let joint):
            var parts: [Tensor] = []
            for part in joint.parts { parts.append(try source.tensor(named: part.name)) }
            do throws(TorchError) {
                return try joint.join(parts)
            } catch {
                throw CheckpointError(.tensor, file: path, key: key, "\(error)")
            }
        case .part(let index, let joint):
            let whole = try source.tensor(named: joint.whole.name)
            do throws(TorchError) {
                return try joint.part(index, of: whole)
            } catch {
                throw CheckpointError(.tensor, file: path, key: key, "\(error)")
            }
        }
    }
}
