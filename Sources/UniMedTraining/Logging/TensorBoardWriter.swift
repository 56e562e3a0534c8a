public import Foundation

/// Writes TensorBoard event files: a record per step with one number per tag.
///
/// A record is the length (8 bytes, little-endian), its masked CRC-32C, the `Event` protocol buffer, and its masked
/// CRC-32C. There is one file per run, which a resumed run cuts back to its checkpoint and continues.
public final class TensorBoardWriter {
    /// The file's name in the run's folder; TensorBoard looks for `tfevents` in it.
    public static let fileName = "events.out.tfevents.0.unimed"

    private let file: AppendFile

    /// Opens the event file of a folder.
    ///
    /// - Parameters:
    ///   - folder: It must exist.
    ///   - position: The bytes to keep of an earlier run's file; `nil` keeps all.
    /// - Throws: ``TrainingError`` with the path and the system's reason.
    public init(folder: URL, keeping position: Int? = nil) throws(TrainingError) {
        file = try AppendFile(folder.appendingPathComponent(Self.fileName), keeping: position)
        if file.position == 0 {
            try file.append(Self.record(Self.event(wallTime: Date().timeIntervalSince1970, version: "brain.Event:2")))
        }
    }

    /// The bytes written so far.
    public var position: Int { file.position }

    /// Appends numbers of a step.
    ///
    /// - Throws: ``TrainingError`` with the path and the system's reason.
    public func write(_ scalars: [(tag: String, value: Double)], step: Int, wallTime: Double) throws(TrainingError) {
        try file.append(Self.record(Self.event(wallTime: wallTime, step: step, scalars: scalars)))
    }

    /// Waits until everything is on the disk.
    ///
    /// - Throws: ``TrainingError`` with the path and the system's reason.
    public func synchronize() throws(TrainingError) { try file.synchronize() }

    // MARK: Encoding

    /// A record around the bytes of an event.
    package static func record(_ event: [UInt8]) -> [UInt8] {
        let length = bytes(UInt64(event.count))
        return length + bytes(CRC32C.masked(length)) + event + bytes(CRC32C.masked(event))
    }

    /// The masked CRC-32C of bytes.
    package static func maskedChecksum(_ bytes: [UInt8]) -> UInt32 { CRC32C.masked(bytes) }

    /// The `Event` of a file's first record.
    static func event(wallTime: Double, version: String) -> [UInt8] {
        [0x09] + bytes(wallTime.bitPattern) + delimited(field: 3, Array(version.utf8))
    }

    /// The `Event` of a step: `wall_time` (1), `step` (2), `summary` (5) of values with `tag` (1), `simple_value` (2).
    package static func event(wallTime: Double, step: Int, scalars: [(tag: String, value: Double)]) -> [UInt8] {
        var summary: [UInt8] = []
        for (tag, value) in scalars {
            let entry = delimited(field: 1, Array(tag.utf8)) + [0x15] + bytes(Float(value).bitPattern)
            summary += delimited(field: 1, entry)
        }
        return [0x09] + bytes(wallTime.bitPattern) + [0x10] + variableLength(UInt64(bitPattern: Int64(step)))
            + delimited(field: 5, summary)
    }

    private static func delimited(field: UInt8, _ content: [UInt8]) -> [UInt8] {
        [field << 3 | 2] + variableLength(UInt64(content.count)) + content
    }

    private static func variableLength(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}
