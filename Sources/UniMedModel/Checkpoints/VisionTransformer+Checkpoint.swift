public import Torch
public import TorchCheckpoints
import TorchNN

extension VisionTransformer {
    /// Sets the weights from an EVA-CLIP checkpoint, as the published code does.
    ///
    /// Blocks beyond this model's, the last norm and the head are dropped. Position embeddings of another grid are
    /// interpolated (``interpolatePositions(_:toGrid:)``).
    ///
    /// - Throws: ``CheckpointError`` of kind `mismatch` when something is missing, unexpected or of another shape.
    @discardableResult
    public func load(_ source: any WeightSource) throws(CheckpointError) -> WeightLoadingReport {
        var rows: [(file: String, model: String?)] = [("norm.*", nil), ("fc_norm.*", nil), ("head.*", nil)]
        let blocks = Set(
            source.keys.compactMap { key -> Int? in
                let parts = key.split(separator: ".", maxSplits: 2)
                return parts.count == 3 && parts[0] == "blocks" ? Int(parts[1]) : nil
            }
        )
        for block in blocks.sorted() where block >= configuration.layerCount {
            rows.append(("blocks.\(block).**", nil))
        }
        return try loadWeights(
            into: namedParameters().map { (name: $0.name, tensor: $0.parameter.value) },
            from: RegriddedWeights(source: source, grid: configuration.gridSize),
            mapping: KeyMap(rows + [("**", "**")])
        )
    }
}

/// Weights whose position embeddings fit a grid.
private struct RegriddedWeights: WeightSource {
    let source: any WeightSource
    let grid: Int
    private let positions = "pos_embed"

    var path: String { source.path }
    var keys: [String] { source.keys }

    init(source: any WeightSource, grid: Int) {
        self.source = source
        self.grid = grid
    }

    func shape(of key: String) throws(CheckpointError) -> [Int] {
        let shape = try source.shape(of: key)
        guard key == positions, shape.count == 3, shape[0] == 1, isSquare(shape[1] - 1) else { return shape }
        return [1, 1 + grid * grid, shape[2]]
    }

    func dtype(of key: String) throws(CheckpointError) -> DType { try source.dtype(of: key) }

    func tensor(named key: String) throws(CheckpointError) -> Tensor {
        let tensor = try source.tensor(named: key)
        guard key == positions else { return tensor }
        do throws(TorchError) {
            return try VisionTransformer.interpolatePositions(tensor, toGrid: grid)
        } catch {
            throw CheckpointError(.tensor, file: path, key: key, "\(error)")
        }
    }

    private func isSquare(_ count: Int) -> Bool {
        let side = Int(Double(max(count, 0)).squareRoot())
        return side > 0 && side * side == count
    }
}
