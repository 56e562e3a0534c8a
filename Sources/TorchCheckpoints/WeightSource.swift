public import Torch

/// Named tensors in a file or a folder of files.
public protocol WeightSource {
    /// The path of the file or folder, for messages.
    var path: String { get }

    /// The names of the tensors, each once.
    var keys: [String] { get }

    /// The size of each dimension of a tensor, without reading its elements.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    func shape(of key: String) throws(CheckpointError) -> [Int]

    /// The element type of a tensor, without reading its elements.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`.
    func dtype(of key: String) throws(CheckpointError) -> DType

    /// A tensor on the CPU.
    ///
    /// The tensor may share memory with the source and with other tensors of it, never with the file: what is written
    /// to it does not reach the disk.
    ///
    /// - Throws: ``CheckpointError`` of kind `missingKey`, or `malformed` when its elements cannot be read.
    func tensor(named key: String) throws(CheckpointError) -> Tensor
}

extension WeightSource {
    /// All tensors by name.
    ///
    /// - Throws: ``CheckpointError`` for the first tensor that cannot be read.
    public func tensors() throws(CheckpointError) -> [String: Tensor] {
        var tensors: [String: Tensor] = [:]
        for key in keys { tensors[key] = try tensor(named: key) }
        return tensors
    }
}
