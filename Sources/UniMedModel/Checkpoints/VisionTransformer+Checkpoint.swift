public import Torch
public import TorchCheckpoints
import TorchNN

extension VisionTransformer {
    /// Sets the weights from a checkpoint of the model's family, in any of the forms that the family has.
    ///
    /// Blocks beyond this model's, norms and heads that it does not use, and a text model beside it are dropped. Position
    /// embeddings of another grid are interpolated (``interpolatePositions(_:toGrid:)``).
    ///
    /// - Parameters:
    ///   - source: The checkpoint.
    ///   - device: Where weights without memory go.
    /// - Throws: ``CheckpointError`` of kind `mismatch` when something is missing, unexpected or of another shape.
    @discardableResult
    public func load(_ source: any WeightSource, device: Device = .cpu) throws(CheckpointError) -> WeightLoadingReport {
        let kinds = configuration.family.architecture.checkpoints
        guard let kind = kinds.first(where: { kind in source.keys.contains { $0.hasPrefix(kind.prefix) } }) else {
            throw CheckpointError(.mismatch, file: source.path, "there are no weights of a vision transformer in it")
        }
        let weights = VisionWeights(source: source, kind: kind, grid: configuration.gridSize)
        let map = KeyMap(kind.rows)
        var rows: [(file: String, model: String?)] = []
        for key in weights.keys {
            guard case .parameter(let name) = map.destination(ofFileKey: key) else { continue }
            let parts = name.split(separator: ".", maxSplits: 2)
            if parts.count == 3, parts[0] == "blocks", let block = Int(parts[1]), block >= configuration.layerCount {
                rows.append((key, nil))
            }
        }
        return try loadWeights(
            into: self,
            from: weights,
            mapping: KeyMap(rows).followed(by: map),
            device: device
        )
    }
}

/// The weights of a file as the model has them: products fused, dimensions added, position embeddings on its grid.
private struct VisionWeights: WeightSource {
    let keys: [String]
    private let source: any WeightSource
    private let grid: Int
    private let isFlat: Bool
    /// The file's names of what is fused under a name.
    private let parts: [String: [String]]
    private let positions: Set<String>
    private let classTokens: Set<String>

    var path: String { source.path }

    init(source: any WeightSource, kind: VisionCheckpoint, grid: Int) {
        self.source = source
        self.grid = grid
        isFlat = kind.isFlat
        let map = KeyMap(kind.rows)
        func keys(of parameter: String) -> Set<String> {
            Set(source.keys.filter { map.destination(ofFileKey: $0) == .parameter(parameter) })
        }
        positions = keys(of: "pos_embed")
        classTokens = keys(of: "cls_token")
        var parts: [String: [String]] = [:]
        if let first = kind.separateProjections.first {
            let known = Set(source.keys)
            for key in source.keys {
                guard let range = key.firstRange(of: ".\(first).") else { continue }
                let (before, after) = (key[..<range.lowerBound], key[range.upperBound...])
                let together = kind.separateProjections.map { "\(before).\($0).\(after)" }
                let fused = "\(before).\(kind.fusedProjection).\(after)"
                guard case .parameter = map.destination(ofFileKey: fused) else { continue }
                if together.allSatisfy(known.contains) { parts[fused] = together }
            }
        }
        self.parts = parts
        let fused = Set(parts.values.joined())
        self.keys = source.keys.filter { !fused.contains($0) } + parts.keys.sorted()
    }

    func shape(of key: String) throws(CheckpointError) -> [Int] {
        if let names = parts[key] {
            var (rows, rest) = (0, [[Int]]())
            for name in names {
                let shape = try source.shape(of: name)
                rows += shape.first ?? 0
                rest.append(Array(shape.dropFirst()))
            }
            // Parts that do not fit each other fit no parameter either.
            return rest.allSatisfy { $0 == rest[0] } ? [rows] + rest[0] : [rows]
        }
        let shape = try source.shape(of: key)
        if positions.contains(key) {
            let full = isFlat && shape.count == 2 ? [1] + shape : shape
            guard full.count == 3, full[0] == 1, isSquare(full[1] - 1) else { return shape }
            return [1, 1 + grid * grid, full[2]]
        }
        return isFlat && classTokens.contains(key) && shape.count == 1 ? [1, 1] + shape : shape
    }

    func dtype(of key: String) throws(CheckpointError) -> DType { try source.dtype(of: parts[key]?.first ?? key) }

    func tensor(named key: String) throws(CheckpointError) -> Tensor {
        var tensors: [Tensor] = []
        for name in parts[key] ?? [key] { tensors.append(try source.tensor(named: name)) }
        do throws(TorchError) {
            if parts[key] != nil { return try Tensor.cat(tensors) }
            let tensor = tensors[0]
            if positions.contains(key) {
                let embedding = isFlat ? try tensor.unsqueeze(0) : tensor
                return try VisionTransformer.interpolatePositions(embedding, toGrid: grid)
            }
            return isFlat && classTokens.contains(key) ? try tensor.reshape([1, 1] + tensor.shape) : tensor
        } catch {
            throw CheckpointError(.tensor, file: path, key: key, "\(error)")
        }
    }

    private func isSquare(_ count: Int) -> Bool {
        let side = Int(Double(max(count, 0)).squareRoot())
        return side > 0 && side * side == count
    }
}
