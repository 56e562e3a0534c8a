public import Torch

/// What is in a file or folder of weights, without its elements.
public struct CheckpointSummary: Codable, Sendable, Equatable {
    /// One tensor.
    public struct Entry: Codable, Sendable, Equatable {
        /// The name.
        public let key: String
        /// The element type.
        public let dtype: DType
        /// The size of each dimension.
        public let shape: [Int]
        /// The bytes of its elements.
        public let byteCount: Int
    }

    /// All tensors of one element type.
    public struct Total: Codable, Sendable, Equatable {
        /// The element type.
        public let dtype: DType
        /// The number of tensors.
        public let tensorCount: Int
        /// The number of their elements.
        public let elementCount: Int
        /// The bytes of their elements.
        public let byteCount: Int
    }

    /// The path of the file or folder.
    public let path: String
    /// The tensors, in the order of the source.
    public let tensors: [Entry]
    /// The totals per element type, the largest first.
    public let totals: [Total]
    /// The number of elements of all tensors; tensors that share memory count each.
    public let elementCount: Int
    /// The bytes of all elements.
    public let byteCount: Int

    /// Looks at every tensor of a source; no elements are read.
    ///
    /// - Throws: ``CheckpointError`` when the source does.
    public init(_ source: any WeightSource) throws(CheckpointError) {
        var tensors: [Entry] = []
        var counts: [DType: (tensors: Int, elements: Int, bytes: Int)] = [:]
        for key in source.keys {
            let (shape, dtype) = (try source.shape(of: key), try source.dtype(of: key))
            guard let bytes = TorchCheckpoints.byteCount(shape, dtype) else {
                throw CheckpointError(
                    .malformed,
                    file: source.path,
                    key: key,
                    "its shape is too large",
                    got: "\(shape)"
                )
            }
            tensors.append(Entry(key: key, dtype: dtype, shape: shape, byteCount: bytes))
            let before = counts[dtype] ?? (0, 0, 0)
            counts[dtype] = (before.tensors + 1, before.elements + bytes / dtype.byteCount, before.bytes + bytes)
        }
        path = source.path
        self.tensors = tensors
        totals = counts.map {
            Total(
                dtype: $0.key,
                tensorCount: $0.value.tensors,
                elementCount: $0.value.elements,
                byteCount: $0.value.bytes
            )
        }
        .sorted { ($1.byteCount, $0.dtype.rawValue) < ($0.byteCount, $1.dtype.rawValue) }
        elementCount = totals.reduce(0) { $0 + $1.elementCount }
        byteCount = totals.reduce(0) { $0 + $1.byteCount }
    }
}
