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

    /// The file before PyTorch 1.6 around the pickle: pickles of version and properties in front, storages behind.
    ///
    /// - Parameters:
    ///   - storages: The storages in the order of the file, each with its number of elements.
    ///   - version: What the file says its version is.
    ///   - isLittleEndian: What the file says of its byte order.
    public func sequence(
        _ storages: [(key: String, count: Int, bytes: Data)],
        version: UInt16 = 1001,
        isLittleEndian: Bool = true
    ) -> Data {
        var first = PickleBuilder()
        first.raw([0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19])
        var second = PickleBuilder()
        second.raw("M")
        second.bytes.append(little: version)
        var properties = PickleBuilder()
        properties.raw("}(")
        properties.string("protocol_version")
        properties.raw("M")
        properties.bytes.append(little: version)
        properties.string("little_endian")
        properties.raw([isLittleEndian ? 0x88 : 0x89])
        properties.raw("u")
        var names = PickleBuilder()
        names.raw("](")
        for storage in storages { names.string(storage.key) }
        names.raw("e")
        var file = Data()
        for pickle in [first, second, properties, self, names] { file += pickle.bytes + Data(".".utf8) }
        for storage in storages {
            file.append(little: UInt64(storage.count))
            file += storage.bytes
        }
        return file
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
