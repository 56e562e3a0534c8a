public import Torch
public import TorchNN

/// The projection experts `E_1 … E_N` of a connector, their weights stacked.
///
/// Uni-Med eq. 9. Each kind has three exact forms of `Σ_k w_k E_k(x)`, and ``callAsFunction(_:routing:)`` takes the one that costs least:
/// for equal weights, for any weights, and for tokens that need only some of the experts.
public protocol ProjectionExperts: Module {
    /// `N`.
    var expertCount: Int { get }
    /// For each weight, by its name, the dimension along which the experts' parts lie one after the other, all of one size.
    var expertDimensions: [String: Int] { get }

    /// The experts' mean: `[M, T, Da]` becomes `[M, T, Dt]`.
    func mean(of tokens: Tensor) throws(TorchError) -> Tensor

    /// The experts' weighted sum: `[M, T, Da]` with weights `[M, T or 1, N]` becomes `[M, T, Dt]`.
    func weighted(_ tokens: Tensor, by weights: Tensor) throws(TorchError) -> Tensor

    /// Every row through one expert: `[rows, Da]`, sorted by expert, becomes `[rows, Dt]`.
    ///
    /// - Parameter sizes: The number of rows of each of the `N` experts.
    func separate(_ rows: Tensor, sizes: [Int]) throws(TorchError) -> Tensor
}

extension ProjectionExperts {
    /// The experts' weighted sum.
    ///
    /// - Parameters:
    ///   - tokens: `[M, T, Da]`.
    ///   - routing: The weights.
    /// - Returns: `[M, T, Dt]`.
    public func callAsFunction(_ tokens: Tensor, routing: Routing) throws(TorchError) -> Tensor {
        switch routing {
        case .equal: return try mean(of: tokens)
        case .dense(let weights): return try weighted(tokens, by: weights)
        case .single(let experts):
            let count = tokens.size(1)
            let groups = try ExpertGroups(
                experts.flatMap { repeatElement($0, count: count) },
                perRow: 1,
                expertCount: expertCount,
                device: tokens.device
            )
            return try separate(tokens, groups).reshape(tokens.size(0), count, -1)
        case .sparse(let experts, let weights):
            let perToken = experts.size(-1)
            guard
                ExpertSorting.isWorthwhile(
                    expertCount: expertCount,
                    perToken: perToken,
                    onCPU: tokens.device.isCPU
                )
            else {
                return try weighted(tokens, by: routing.weights(for: tokens, expertCount: expertCount))
            }
            let shape = [tokens.size(0), tokens.size(1), perToken]
            let groups = try ExpertGroups(
                experts.expand(shape).reshape(-1).to(.cpu).array(of: Int.self),
                perRow: perToken,
                expertCount: expertCount,
                device: tokens.device
            )
            let outputs = try separate(tokens, groups).reshape(shape + [-1])
            return try (outputs * weights.unsqueeze(-1)).sum(2)
        }
    }

    /// The outputs of each row's experts: `[rows · perRow, Dt]`, in the order of the rows.
    private func separate(_ tokens: Tensor, _ groups: ExpertGroups) throws(TorchError) -> Tensor {
        let rows = try tokens.reshape(-1, tokens.size(-1))
        return try groups.restore(separate(groups.gather(rows), sizes: groups.sizes))
    }
}

/// When tokens that need only some of the experts are sorted by expert.
package enum ExpertSorting {
    /// Whether sorting costs less than the products it saves.
    ///
    /// The CPU always gains. An accelerator has to wait for the routing before it knows the groups, and its small products
    /// are far from its peak, so that it should save most of them.
    package static func isWorthwhile(expertCount: Int, perToken: Int, onCPU: Bool) -> Bool {
        onCPU || expertCount >= 4 * perToken
    }
}

/// Rows sorted by the experts that they need, and the way back.
private struct ExpertGroups {
    /// The number of rows of each expert.
    let sizes: [Int]
    private let perRow: Int
    /// For each place in the sorted order the assignment that stands there, and the other way round; `nil` when they are
    /// sorted already.
    private let order: (forward: Tensor, back: Tensor)?
    /// For each place in the sorted order the row; `nil` where every row has one expert.
    private let rows: Tensor?

    /// Sorts rows.
    ///
    /// - Parameter experts: The experts of every row, `perRow` of them for each.
    init(_ experts: [Int], perRow: Int, expertCount: Int, device: Device) throws(TorchError) {
        var sizes = [Int](repeating: 0, count: expertCount)
        for expert in experts {
            guard sizes.indices.contains(expert) else {
                throw TorchError(operation: "experts", message: "expert \(expert) of \(expertCount)")
            }
            sizes[expert] += 1
        }
        var places: [Int] = []
        var start = 0
        for size in sizes {
            places.append(start)
            start += size
        }
        var forward = [Int](repeating: 0, count: experts.count)
        var back = forward
        for (assignment, expert) in experts.enumerated() {
            forward[places[expert]] = assignment
            back[assignment] = places[expert]
            places[expert] += 1
        }
        self.sizes = sizes
        self.perRow = perRow
        let isSorted = zip(experts, experts.dropFirst()).allSatisfy { $0 <= $1 }
        order = isSorted ? nil : (try Tensor(forward).to(device), try Tensor(back).to(device))
        rows = perRow == 1 ? nil : try Tensor(forward.map { $0 / perRow }).to(device)
    }

    /// The rows in the sorted order, once for each of their experts.
    func gather(_ x: Tensor) throws(TorchError) -> Tensor {
        if let rows { return try x.indexSelect(0, rows) }
        guard let order else { return x }
        return try x.placeRows(order.forward, inverse: order.back)
    }

    /// Sorted rows in the order of the assignments.
    func restore(_ sorted: Tensor) throws(TorchError) -> Tensor {
        guard let order else { return sorted }
        return try sorted.placeRows(order.back, inverse: order.forward)
    }
}
