public import Torch

/// Tensors in memory as a source of weights.
public struct TensorWeights: WeightSource {
    /// What messages call the source.
    public let path: String

    /// The names of the tensors, in the given order.
    public let keys: [String]

    private let tensors: [String: Tensor]

    /// Makes a source of named tensors.
    ///
    /// - Precondition: No name is there twice.
    public init(_ tensors: [(name: String, tensor: Tensor)], path: String = "memory") {
        self.path = path
        keys = tensors.map(\.name)
        self.tensors = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) })
    }

    /// The size of each dimension of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func shape(of key: String) throws(CheckpointError) -> [Int] { try tensor(named: key).shape }

    /// The element type of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func dtype(of key: String) throws(CheckpointError) -> DType { try tensor(named: key).dtype }

    /// A tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func tensor(named key: String) throws(CheckpointError) -> Tensor {
        guard let tensor = tensors[key] else { throw CheckpointError(.missingKey, file: path, key: key) }
        return tensor
    }
}

/// Weights that are computed one by one when they are asked for, so that no more than one is in memory.
public struct ComputedWeights: WeightSource {
    /// A tensor that is computed when it is asked for.
    public struct Entry {
        /// The name.
        public let name: String
        /// The size of each dimension.
        public let shape: [Int]
        /// The element type.
        public let dtype: DType

        fileprivate let compute: () throws -> Tensor

        /// Makes an entry.
        ///
        /// - Parameters:
        ///   - name: The name.
        ///   - shape: The shape that `compute` gives.
        ///   - dtype: The element type that `compute` gives.
        ///   - compute: Computes the tensor, each time anew.
        public init(name: String, shape: [Int], dtype: DType, compute: @escaping () throws -> Tensor) {
            self.name = name
            self.shape = shape
            self.dtype = dtype
            self.compute = compute
        }
    }

    /// What messages call the source.
    public let path: String

    /// The names of the tensors, in the given order.
    public let keys: [String]

    private let entries: [String: Entry]

    /// Makes a source of computed tensors.
    ///
    /// - Precondition: No name is there twice.
    public init(_ entries: [Entry], path: String = "memory") {
        self.path = path
        keys = entries.map(\.name)
        self.entries = Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0) })
    }

    private func entry(_ key: String) throws(CheckpointError) -> Entry {
        guard let entry = entries[key] else { throw CheckpointError(.missingKey, file: path, key: key) }
        return entry
    }

    /// The size of each dimension of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func shape(of key: String) throws(CheckpointError) -> [Int] { try entry(key).shape }

    /// The element type of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func dtype(of key: String) throws(CheckpointError) -> DType { try entry(key).dtype }

    /// Computes a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`, of kind `tensor` when the computation fails, or what the
    ///   computation throws of this type.
    public func tensor(named key: String) throws(CheckpointError) -> Tensor {
        let entry = try entry(key)
        do {
            return try entry.compute()
        } catch let error as CheckpointError {
            throw error
        } catch {
            throw CheckpointError(.tensor, file: path, key: key, "\(error)")
        }
    }
}

extension WeightSource {
    /// The same weights with every fraction in one type, converted one by one; `nil` keeps the type of each.
    ///
    /// Whole numbers and truth values keep theirs. A key that the source does not have is an error when it is read.
    public func converted(to dtype: DType?) -> any WeightSource {
        guard let dtype else { return self }
        return ConvertedWeights(source: self, target: dtype)
    }
}

private struct ConvertedWeights: WeightSource {
    let source: any WeightSource
    let target: DType

    var path: String { source.path }
    var keys: [String] { source.keys }

    func shape(of key: String) throws(CheckpointError) -> [Int] { try source.shape(of: key) }

    func dtype(of key: String) throws(CheckpointError) -> DType {
        let own = try source.dtype(of: key)
        return own.isFloatingPoint ? target : own
    }

    func tensor(named key: String) throws(CheckpointError) -> Tensor {
        let tensor = try source.tensor(named: key)
        guard tensor.dtype.isFloatingPoint else { return tensor }
        do throws(TorchError) {
            return try tensor.to(target)
        } catch {
            throw CheckpointError(.tensor, file: path, key: key, "\(error)")
        }
    }
}

/// Several sources as one, each under a prefix of its own.
public struct JoinedWeights: WeightSource {
    /// What messages call the whole.
    public let path: String

    /// The names of all tensors, with their prefixes.
    public let keys: [String]

    private let places: [String: (source: any WeightSource, key: String)]

    /// Joins sources.
    ///
    /// - Throws: ``CheckpointError`` of kind `mismatch` when a name is there twice.
    public init(_ parts: [(prefix: String, source: any WeightSource)], path: String) throws(CheckpointError) {
        var keys: [String] = []
        var places: [String: (source: any WeightSource, key: String)] = [:]
        for (prefix, source) in parts {
            for key in source.keys {
                guard places.updateValue((source, key), forKey: prefix + key) == nil else {
                    throw CheckpointError(.mismatch, file: path, key: prefix + key, "the key is there twice")
                }
                keys.append(prefix + key)
            }
        }
        self.path = path
        self.keys = keys
        self.places = places
    }

    private func place(_ key: String) throws(CheckpointError) -> (source: any WeightSource, key: String) {
        guard let place = places[key] else { throw CheckpointError(.missingKey, file: path, key: key) }
        return place
    }

    /// The size of each dimension of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func shape(of key: String) throws(CheckpointError) -> [Int] {
        let place = try place(key)
        return try place.source.shape(of: place.key)
    }

    /// The element type of a tensor.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    public func dtype(of key: String) throws(CheckpointError) -> DType {
        let place = try place(key)
        return try place.source.dtype(of: place.key)
    }

    /// A tensor of one of the sources.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`, or what its source throws.
    public func tensor(named key: String) throws(CheckpointError) -> Tensor {
        let place = try place(key)
        return try place.source.tensor(named: place.key)
    }
}
