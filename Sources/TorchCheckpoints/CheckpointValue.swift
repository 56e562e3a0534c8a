public import Torch

/// What a `.pth` file holds: a tree of plain values and tensors.
public indirect enum CheckpointValue {
    /// Python's `None`.
    case none
    /// A truth value.
    case bool(Bool)
    /// A whole number.
    case int(Int)
    /// A fraction.
    case double(Double)
    /// A text; also the name of a dtype (`torch.float16`) or device.
    case string(String)
    /// A list.
    case list([CheckpointValue])
    /// A tuple; also a `torch.Size`.
    case tuple([CheckpointValue])
    /// A dictionary, ordered as in the file; attributes of an `OrderedDict` (such as `_metadata`) are left out.
    case dictionary(CheckpointDictionary)
    /// A tensor, whose elements are still in the file.
    case tensor(ArchivedTensor)

    /// The value at a text key of a dictionary.
    public subscript(key: String) -> CheckpointValue? { dictionary?[.string(key)] }

    /// The value at a number key of a dictionary, or the element of a list or tuple.
    public subscript(index: Int) -> CheckpointValue? {
        switch self {
        case .dictionary(let dictionary): dictionary[.int(index)]
        case .list(let values), .tuple(let values): values.indices.contains(index) ? values[index] : nil
        default: nil
        }
    }

    /// The dictionary, `nil` when this is something else.
    public var dictionary: CheckpointDictionary? { if case .dictionary(let value) = self { value } else { nil } }

    /// The elements of a list or tuple, `nil` when this is something else.
    public var elements: [CheckpointValue]? {
        switch self {
        case .list(let values), .tuple(let values): values
        default: nil
        }
    }

    /// The whole number, `nil` when this is something else.
    public var int: Int? { if case .int(let value) = self { value } else { nil } }

    /// The number as a fraction, `nil` when this is no number.
    public var double: Double? {
        switch self {
        case .double(let value): value
        case .int(let value): Double(value)
        default: nil
        }
    }

    /// The truth value, `nil` when this is something else.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The text, `nil` when this is something else.
    public var string: String? { if case .string(let value) = self { value } else { nil } }

    /// The tensor, `nil` when this is something else.
    public var tensor: ArchivedTensor? { if case .tensor(let value) = self { value } else { nil } }

    /// What the value is, in a word or two, for messages.
    public var kind: String {
        switch self {
        case .none: "None"
        case .bool: "a truth value"
        case .int: "a whole number"
        case .double: "a number"
        case .string: "a text"
        case .list: "a list"
        case .tuple: "a tuple"
        case .dictionary: "a dictionary"
        case .tensor: "a tensor"
        }
    }
}

/// A dictionary of a `.pth` file, in the order of the file.
public struct CheckpointDictionary {
    /// A key: state dictionaries have texts, the optimizer's state has numbers.
    public enum Key: Hashable, Sendable, CustomStringConvertible {
        /// A text.
        case string(String)
        /// A whole number.
        case int(Int)

        /// The text or number.
        public var description: String {
            switch self {
            case .string(let text): text
            case .int(let number): "\(number)"
            }
        }
    }

    /// The entries, in the order of the file; each key is there once.
    public let entries: [(key: Key, value: CheckpointValue)]

    private let positions: [Key: Int]

    /// Fails with the key that is there twice.
    init(_ entries: [(key: Key, value: CheckpointValue)]) throws(DuplicateKey) {
        var positions: [Key: Int] = [:]
        positions.reserveCapacity(entries.count)
        for (position, entry) in entries.enumerated() {
            guard positions.updateValue(position, forKey: entry.key) == nil else { throw DuplicateKey(key: entry.key) }
        }
        self.entries = entries
        self.positions = positions
    }

    struct DuplicateKey: Error {
        let key: Key
    }

    /// The keys, in the order of the file.
    public var keys: [Key] { entries.map(\.key) }

    /// The value at a key.
    public subscript(key: Key) -> CheckpointValue? { positions[key].map { entries[$0].value } }
}

/// A tensor of a `.pth` file; its elements are read when they are asked for.
public struct ArchivedTensor {
    /// The size of each dimension.
    public let shape: [Int]

    /// The step of each dimension, in elements.
    public let strides: [Int]

    /// The element type.
    public let dtype: DType

    let offset: Int
    let storage: StorageRecord
    let reader: StorageReader

    /// Whether two tensors lie in the same storage of the file, as tied weights do.
    public func sharesStorage(with other: ArchivedTensor) -> Bool {
        reader === other.reader && storage.key == other.storage.key
    }

    /// The tensor, which shares memory with the tensors of the same storage that are alive.
    ///
    /// - Throws: ``CheckpointError`` of kind `malformed` when the file's bytes are damaged.
    public func tensor() throws(CheckpointError) -> Tensor { try tensor(key: nil) }

    func tensor(key: String?) throws(CheckpointError) -> Tensor {
        let memory = try reader.memory(of: storage)
        let bytes = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[(offset * dtype.byteCount)...])
        return try RawTensor(shape: shape, strides: strides, dtype: dtype, bytes: bytes, owner: memory)
            .tensor(path: reader.path, key: key)
    }
}
