public import Foundation

/// Writes pickles, instruction by instruction, and archives of them as `torch.save` does.
public struct PickleBuilder: Sendable {
    /// The instructions so far, without the one that ends them.
    public var bytes = Data([0x80, 2])

    /// Begins a pickle of version 2.
    public init() {}

    /// Makes a pickle.
    public static func of(_ build: (inout PickleBuilder) -> Void) -> PickleBuilder {
        var pickle = PickleBuilder()
        build(&pickle)
        return pickle
    }

    /// Appends bytes.
    public mutating func raw(_ codes: [UInt8]) { bytes.append(contentsOf: codes) }

    /// Appends a text's UTF-8 bytes.
    public mutating func raw(_ text: String) { bytes.append(contentsOf: text.utf8) }

    /// Pushes a text.
    public mutating func string(_ text: String) {
        raw("X")
        bytes.append(little: UInt32(text.utf8.count))
        raw(text)
    }

    /// Pushes a whole number of 32 bits.
    public mutating func int(_ value: Int32) {
        raw("J")
        bytes.append(little: value)
    }

    /// Pushes a whole number of 64 bits.
    public mutating func long(_ value: Int64) {
        raw([0x8A, 8])
        bytes.append(little: value)
    }

    /// Pushes a class or function.
    public mutating func global(_ module: String, _ name: String) { raw("c\(module)\n\(name)\n") }

    /// Pushes a storage.
    public mutating func storage(_ type: String = "FloatStorage", key: String = "0", count: Int64) {
        raw("(")
        string("storage")
        global("torch", type)
        string(key)
        string("cpu")
        long(count)
        raw("tQ")
    }

    /// Pushes a tensor as `torch.save` writes it.
    public mutating func tensor(
        _ type: String = "FloatStorage",
        key: String = "0",
        count: Int64,
        offset: Int64 = 0,
        shape: [Int64],
        strides: [Int64]
    ) {
        global("torch._utils", "_rebuild_tensor_v2")
        raw("(")
        storage(type, key: key, count: count)
        long(offset)
        for sizes in [shape, strides] {
            raw("(")
            sizes.forEach { long($0) }
            raw("t")
        }
        raw([0x89])
        global("collections", "OrderedDict")
        raw(")R")
        raw("tR")
    }

    /// The archive around the pickle; the storages are by name.
    public func archive(_ storages: [String: Data] = ["0": Data(count: 16)], byteOrder: String? = "little") -> Data {
        Self.archive(of: bytes + Data(".".utf8), storages, byteOrder: byteOrder)
    }

    /// The archive around the bytes of a pickle.
    public static func archive(
        of pickle: Data,
        _ storages: [String: Data],
        byteOrder: String? = "little"
    ) -> Data {
        var zip = ZipBuilder()
        zip.entries.append(.init(name: "archive/data.pkl", bytes: pickle))
        if let byteOrder { zip.entries.append(.init(name: "archive/byteorder", bytes: Data(byteOrder.utf8))) }
        for (name, bytes) in storages.sorted(by: { $0.key < $1.key }) {
            zip.entries.append(.init(name: "archive/data/\(name)", bytes: bytes))
        }
        return zip.data()
    }
}
