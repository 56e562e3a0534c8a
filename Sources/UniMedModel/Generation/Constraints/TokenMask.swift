import Torch

/// Where an answer is in its constraint.
struct ConstraintCursor {
    let constraint: any TokenConstraint
    private(set) var state: Int

    init(_ constraint: any TokenConstraint) {
        self.constraint = constraint
        state = constraint.start
    }

    /// Whether the answer can only end here.
    var isFinal: Bool { constraint.isFinal(state) }

    /// Goes on by a token that ``TokenMask`` let through.
    mutating func advance(_ token: Int) {
        guard let next = constraint.state(after: token, in: state) else {
            preconditionFailure("a token came that the constraint does not allow")
        }
        state = next
    }
}

/// Puts the scores of tokens that a constraint does not allow to minus infinity.
struct TokenMask {
    /// The tokens that end a sequence, allowed where an answer may end.
    let ends: [Int]
    /// What is added to the scores: `[rows, vocabulary]`, made when first needed.
    private var bias: Tensor?

    init(ends: [Int]) { self.ends = ends }

    /// The masked scores.
    ///
    /// - Parameters:
    ///   - scores: `[rows, vocabulary]` in float32.
    ///   - cursors: Where each row is; `nil` leaves it as it is.
    ///   - remaining: How many tokens each answer may still get, the next included.
    mutating func callAsFunction(
        _ scores: Tensor,
        _ cursors: [ConstraintCursor?],
        remaining: Int
    ) throws(GenerationError) -> Tensor {
        guard cursors.contains(where: { $0 != nil }) else { return scores }
        let vocabulary = scores.size(-1)
        var places: [Int] = []
        for (row, cursor) in cursors.enumerated() {
            guard let cursor else { continue }
            let before = places.count
            for token in cursor.constraint.allowedTokens(in: cursor.state, remaining: remaining)
            where token < vocabulary {
                places.append(row * vocabulary + token)
            }
            if cursor.constraint.isAccepting(cursor.state) { places += ends.map { row * vocabulary + $0 } }
            guard places.count > before else {
                throw .invalidOption(
                    field: "constrained",
                    expected: "a token of the model's vocabulary that goes on with the constrained answer",
                    got: "none"
                )
            }
        }
        return try generating { () throws(TorchError) -> Tensor in
            let closed = try Tensor(cursors.map { $0 == nil ? 0 : -Float.infinity }, shape: [cursors.count, 1])
                .to(scores.device)
            let bias: Tensor
            if let kept = self.bias, kept.shape == scores.shape {
                bias = kept
            } else {
                bias = try Tensor.empty(scores.shape, device: scores.device)
                self.bias = bias
            }
            try bias.copy(from: closed)
            try bias.reshape(-1).indexCopy(
                0,
                Tensor(places).to(scores.device),
                Tensor.zeros([places.count], device: scores.device)
            )
            return try scores + bias
        }
    }
}
