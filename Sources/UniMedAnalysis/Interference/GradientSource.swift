public import Torch

/// Losses of several tasks and their gradients, batch by batch.
///
/// A batch must give the same loss each time it is asked for, as long as the parameters are the same.
public protocol GradientSource {
    /// The names of the tasks, or data sets.
    var tasks: [String] { get }
    /// The analysed parameters, detached; the exact readings change them in place and put them back.
    var parameters: [Tensor] { get }

    /// The number of batches of a task.
    func batchCount(ofTask task: Int) -> Int

    /// The gradient of a batch's loss, one tensor for each parameter, `nil` where the loss does not depend on it.
    func gradients(task: Int, batch: Int) throws(AnalysisError) -> [Tensor?]

    /// A batch's loss with the parameters as they are, without gradients.
    func loss(task: Int, batch: Int) throws(AnalysisError) -> Double
}

/// A named set of parameters, or of parts of them, whose gradients are looked at as one vector.
public struct ParameterSet: Sendable, Equatable {
    /// A parameter, or some positions of one of its dimensions.
    public struct Piece: Sendable, Equatable {
        /// The parameter's position in ``GradientSource/parameters``.
        public var parameter: Int
        /// The positions of one dimension, where the piece is a part: an expert of stacked weights.
        public var slice: Slice?

        /// Makes a piece.
        public init(parameter: Int, slice: Slice? = nil) {
            self.parameter = parameter
            self.slice = slice
        }
    }

    /// Consecutive positions of one dimension.
    public struct Slice: Sendable, Equatable, Hashable {
        /// The dimension.
        public var dimension: Int
        /// The first position.
        public var start: Int
        /// The number of positions.
        public var length: Int

        /// Makes a slice.
        public init(dimension: Int, start: Int, length: Int) {
            self.dimension = dimension
            self.start = start
            self.length = length
        }
    }

    /// What the set is called, for example `connector` or `expert 3`.
    public var name: String
    /// What belongs to it.
    public var pieces: [Piece]

    /// Makes a set.
    public init(name: String, pieces: [Piece]) {
        self.name = name
        self.pieces = pieces
    }

    /// The number of elements of a piece.
    static func count(of piece: Piece, _ parameters: [Tensor]) -> Int {
        let parameter = parameters[piece.parameter]
        guard let slice = piece.slice else { return parameter.count }
        return parameter.count / max(1, parameter.size(slice.dimension)) * slice.length
    }

    /// One of several consecutive parts of the set, of about the same number of elements.
    func part(_ index: Int, of count: Int, parameters: [Tensor]) -> ParameterSet {
        guard count > 1 else { return self }
        let total = pieces.reduce(0) { $0 + Self.count(of: $1, parameters) }
        let (from, to) = (total * index / count, total * (index + 1) / count)
        var part = ParameterSet(name: name, pieces: [])
        var start = 0
        for piece in pieces {
            let size = Self.count(of: piece, parameters)
            defer { start += size }
            guard size > 0, parameters[piece.parameter].rank > 0 else {
                if (from..<to).contains(start) { part.pieces.append(piece) }
                continue
            }
            let whole =
                piece.slice ?? Slice(dimension: 0, start: 0, length: parameters[piece.parameter].size(0))
            // A position belongs to the part in which its first element would be.
            let width = size / whole.length
            let first = min(whole.length, max(0, (from - start + width - 1) / width))
            let end = min(whole.length, max(0, (to - start + width - 1) / width))
            guard first < end, to > start else { continue }
            part.pieces.append(
                Piece(
                    parameter: piece.parameter,
                    slice: Slice(dimension: whole.dimension, start: whole.start + first, length: end - first)
                )
            )
        }
        return part
    }

    /// A view of a piece of a tensor that has a parameter's shape.
    static func view(of tensor: Tensor, _ piece: Piece) throws(TorchError) -> Tensor {
        guard let slice = piece.slice else { return tensor }
        return try tensor.narrow(slice.dimension, start: slice.start, length: slice.length)
    }
}

/// A vector over a set of parameters, kept as one tensor for each piece.
///
/// Sums and products go through the tensors in parts of a few million elements: nothing as large as a tensor is made
/// on the way, and float32 sums stay exact to its own precision.
struct ParameterVector {
    private static let partSize = 1 << 22

    private let pieces: [ParameterSet.Piece]
    private(set) var tensors: [Tensor]

    /// Zeros for a set.
    init(zerosFor set: ParameterSet, parameters: [Tensor]) throws(TorchError) {
        pieces = set.pieces
        tensors = []
        for piece in set.pieces {
            let like = try ParameterSet.view(of: parameters[piece.parameter], piece)
            tensors.append(try Tensor.zeros(like.shape, dtype: like.dtype, device: like.device))
        }
    }

    /// Adds a gradient times a factor.
    func add(_ gradients: [Tensor?], scale: Double) throws(TorchError) {
        for (piece, tensor) in zip(pieces, tensors) {
            guard let gradient = gradients[piece.parameter] else { continue }
            try tensor.add(ParameterSet.view(of: gradient, piece), scale: scale)
        }
    }

    /// Adds the elements' magnitudes of a gradient times a factor.
    func addMagnitudes(_ gradients: [Tensor?], scale: Double) throws(TorchError) {
        for (piece, tensor) in zip(pieces, tensors) {
            guard let gradient = gradients[piece.parameter] else { continue }
            let view = try ParameterSet.view(of: gradient, piece)
            for (start, length) in Self.parts(of: tensor) {
                try Self.rows(tensor, start, length).add(Self.rows(view, start, length).abs(), scale: scale)
            }
        }
    }

    /// Adds another vector.
    func add(_ other: ParameterVector) throws(TorchError) {
        for (tensor, other) in zip(tensors, other.tensors) { try tensor.add(other) }
    }

    /// Adds the elements' magnitudes of another vector.
    func addMagnitudes(_ other: ParameterVector) throws(TorchError) {
        for (tensor, other) in zip(tensors, other.tensors) {
            for (start, length) in Self.parts(of: tensor) {
                try Self.rows(tensor, start, length).add(Self.rows(other, start, length).abs())
            }
        }
    }

    /// Sets every element to 0.
    func clear() throws(TorchError) {
        for tensor in tensors { try tensor.fill(0) }
    }

    /// The product with a gradient: one element in float64.
    func dot(_ gradients: [Tensor?]) throws(TorchError) -> Tensor {
        var total: Tensor?
        for (piece, tensor) in zip(pieces, tensors) {
            guard let gradient = gradients[piece.parameter] else { continue }
            total = try Self.add(tensor.innerProduct(ParameterSet.view(of: gradient, piece)), to: total)
        }
        if let total { return total }
        return try Tensor.zeros([], dtype: .float64)
    }

    /// The product with another vector of the same set: one element in float64.
    func dot(_ other: ParameterVector) throws(TorchError) -> Tensor {
        var total: Tensor?
        for (tensor, other) in zip(tensors, other.tensors) {
            total = try Self.add(tensor.innerProduct(other), to: total)
        }
        if let total { return total }
        return try Tensor.zeros([], dtype: .float64)
    }

    /// The squared norm of a gradient's part in a set: one element in float64.
    static func squaredNorm(_ gradients: [Tensor?], in set: ParameterSet) throws(TorchError) -> Tensor {
        var total: Tensor?
        for piece in set.pieces {
            guard let gradient = gradients[piece.parameter] else { continue }
            let view = try ParameterSet.view(of: gradient, piece)
            total = try add(view.innerProduct(view), to: total)
        }
        if let total { return total }
        return try Tensor.zeros([], dtype: .float64)
    }

    private static func add(_ value: Tensor, to total: Tensor?) throws(TorchError) -> Tensor {
        guard let total else { return value }
        return try total + value.to(total.device)
    }

    /// Positions of the first dimension that hold few enough elements.
    static func parts(of tensor: Tensor) -> [(start: Int, length: Int)] {
        let rows = tensor.rank == 0 ? 1 : tensor.size(0)
        guard tensor.count > partSize, rows > 1 else { return tensor.count == 0 ? [] : [(0, rows)] }
        let length = max(1, partSize / (tensor.count / rows))
        return stride(from: 0, to: rows, by: length).map { ($0, min(length, rows - $0)) }
    }

    static func rows(_ tensor: Tensor, _ start: Int, _ length: Int) throws(TorchError) -> Tensor {
        tensor.rank == 0 ? tensor : try tensor.narrow(0, start: start, length: length)
    }
}
