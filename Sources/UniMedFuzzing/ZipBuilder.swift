public import Foundation

extension Data {
    /// Appends a number in little-endian order.
    public mutating func append<Number: FixedWidthInteger>(little number: Number) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }
}

/// Writes zip archives whose entries are stored, and lies about them where it is asked to.
public struct ZipBuilder: Sendable {
    /// One file of the archive.
    public struct Entry: Sendable {
        /// The name.
        public var name: String
        /// The bytes.
        public var bytes: Data
        /// The compression that the archive claims; 0 is none.
        public var method: UInt16
        /// The size that the archive claims; `nil` is the true one.
        public var claimedSize: UInt32?
        /// Whether the checksum is that of other bytes.
        public var hasWrongChecksum: Bool

        /// Makes a file.
        public init(
            name: String,
            bytes: Data,
            method: UInt16 = 0,
            claimedSize: UInt32? = nil,
            hasWrongChecksum: Bool = false
        ) {
            self.name = name
            self.bytes = bytes
            self.method = method
            self.claimedSize = claimedSize
            self.hasWrongChecksum = hasWrongChecksum
        }
    }

    /// The files, in order.
    public var entries: [Entry]

    /// Makes an archive.
    public init(entries: [Entry] = []) { self.entries = entries }

    /// The bytes of the archive.
    public func data() -> Data {
        var file = Data()
        var directory = Data()
        for entry in entries {
            let offset = UInt32(file.count)
            let checksum = Self.checksum(entry.bytes) ^ (entry.hasWrongChecksum ? 1 : 0)
            let size = entry.claimedSize ?? UInt32(entry.bytes.count)
            var fields = Data()
            fields.append(little: UInt16(20))
            fields.append(little: UInt16(0x0800))
            fields.append(little: entry.method)
            fields.append(little: UInt32(0))
            fields.append(little: checksum)
            fields.append(little: entry.method == 0 ? size : UInt32(entry.bytes.count))
            fields.append(little: size)
            fields.append(little: UInt16(entry.name.utf8.count))
            fields.append(little: UInt16(0))
            file.append(contentsOf: [0x50, 0x4B, 3, 4] + fields + Data(entry.name.utf8) + entry.bytes)
            directory.append(contentsOf: [0x50, 0x4B, 1, 2, 20, 0])
            directory.append(fields)
            directory.append(contentsOf: Data(count: 10))
            directory.append(little: offset)
            directory.append(Data(entry.name.utf8))
        }
        let start = UInt32(file.count)
        file.append(directory)
        file.append(contentsOf: [0x50, 0x4B, 5, 6, 0, 0, 0, 0])
        file.append(little: UInt16(entries.count))
        file.append(little: UInt16(entries.count))
        file.append(little: UInt32(directory.count))
        file.append(little: start)
        file.append(little: UInt16(0))
        return file
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }

    /// CRC-32 as zip archives have it.
    static func checksum(_ bytes: Data) -> UInt32 {
        ~bytes.reduce(UInt32.max) { crc, byte in crc >> 8 ^ table[Int((crc ^ UInt32(byte)) & 0xFF)] }
    }
}
