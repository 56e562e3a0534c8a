public import Torch

/// Rows put in another order, with the way back for gradients.
public struct RowPlacement {
    private let index: Tensor
    private let inverse: Tensor

    /// Makes a placement.
    ///
    /// - Parameters:
    ///   - rows: For each new row the old one it comes from, or -1 for zeros. No old row comes twice.
    ///   - sourceCount: The number of old rows.
    public init(_ rows: [Int], sourceCount: Int, device: Device) throws(TorchError) {
        var inverse = [Int](repeating: -1, count: sourceCount)
        for (new, old) in rows.enumerated() where old >= 0 { inverse[old] = new }
        index = try Tensor(rows).to(device)
        self.inverse = try Tensor(inverse).to(device)
    }

    /// Places rows: `[old, …]` becomes `[new, …]`.
    public func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor { try x.placeRows(index, inverse: inverse) }

    /// Takes rows back: `[new, …]` becomes `[old, …]`, with zeros for those that were not placed.
    public func inverted(_ x: Tensor) throws(TorchError) -> Tensor { try x.placeRows(inverse, inverse: index) }
}
