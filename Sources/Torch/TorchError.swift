/// A tensor operation that LibTorch refused.
public struct TorchError: Error, Equatable, CustomStringConvertible {
    /// What went wrong, in kinds a caller can act on.
    public enum Kind: String, Sendable {
        /// Shapes, dtypes or devices do not fit the operation.
        case invalidOperation
        /// The device or the host has no memory left; the caller may retry with less.
        case outOfMemory
        /// LibTorch failed without saying how.
        case unknown
    }

    /// The kind of failure.
    public let kind: Kind
    /// The operation's name, for example `matmul`.
    public let operation: String
    /// The operands' dtypes and shapes.
    public let operands: [String]
    /// LibTorch's own message, its first line.
    public let message: String

    /// Makes an error for an operation.
    public init(kind: Kind = .invalidOperation, operation: String, operands: [String] = [], message: String) {
        self.kind = kind
        self.operation = operation
        self.operands = operands
        self.message = message
    }

    /// What, with which operands, and why, on one line.
    public var description: String {
        let shapes = operands.isEmpty ? "" : "(" + operands.joined(separator: ", ") + ")"
        return "\(operation)\(shapes): \(message)"
    }

    /// The kind of failure without any dynamic text, safe as a metric label.
    public var shortDescription: String { "tensor operation: \(kind.rawValue)" }
}
