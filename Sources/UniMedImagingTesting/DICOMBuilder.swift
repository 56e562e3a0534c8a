public import Foundation

/// Writes small DICOM files for tests and for the program that feeds the reader with damaged ones.
public struct DICOMBuilder: Sendable {
    /// How the data set is written.
    public enum Syntax: String, Sendable, CaseIterable {
        /// Implicit VR little endian.
        case implicitLittleEndian = "1.2.840.10008.1.2"
        /// Explicit VR little endian.
        case explicitLittleEndian = "1.2.840.10008.1.2.1"
        /// Explicit VR little endian, deflated.
        case deflated = "1.2.840.10008.1.2.1.99"
        /// Explicit VR big endian.
        case explicitBigEndian = "1.2.840.10008.1.2.2"
        /// Run lengths, in fragments.
        case rle = "1.2.840.10008.1.2.5"
    }

    /// The value of an element.
    public enum Value: Sendable {
        /// Text of any kind.
        case text(String)
        /// Numbers of 16 bits.
        case words([UInt16])
        /// Numbers of 32 bits.
        case longs([UInt32])
        /// Bytes as they are.
        case bytes([UInt8])
        /// The items of a sequence.
        case items([[Element]])
    }

    /// One element.
    public struct Element: Sendable {
        var tag: UInt32
        var vr: String
        var value: Value

        /// Makes an element; the tag is group and element in one number, such as `0x0028_0010`.
        public init(_ tag: UInt32, _ vr: String, _ value: Value) {
            self.tag = tag
            self.vr = vr
            self.value = value
        }
    }

    /// How the data set is written.
    public var syntax: Syntax
    /// Whether sequences and items are written without lengths.
    public var hasOpenSequences = false
    private var elements: [UInt32: Element] = [:]
    private var pixels: [[UInt16]] = []
    private var bytesPerSample = 2
    private var samples = 1

    /// A grey picture of 16 bits.
    ///
    /// - Parameters:
    ///   - rows: The height in pixels.
    ///   - columns: The width in pixels.
    ///   - frames: The stored values of each frame, with the samples of a pixel beside each other.
    ///   - bitsStored: The bits that carry a value; up to 8 are stored in bytes.
    ///   - isSigned: Whether the words are those of signed numbers.
    ///   - samples: 1, or 3 for RGB.
    ///   - syntax: How the data set is written.
    public init(
        rows: Int,
        columns: Int,
        frames: [[UInt16]],
        bitsStored: Int = 16,
        isSigned: Bool = false,
        samples: Int = 1,
        syntax: Syntax = .explicitLittleEndian
    ) {
        self.syntax = syntax
        self.samples = samples
        pixels = frames
        bytesPerSample = bitsStored <= 8 ? 1 : 2
        set(0x0008_0016, "UI", .text("1.2.840.10008.5.1.4.1.1.2"))
        set(0x0008_0018, "UI", .text("1.2.3.4.5"))
        set(0x0008_0060, "CS", .text("CT"))
        set(0x0020_000D, "UI", .text("1.2.3.1"))
        set(0x0020_000E, "UI", .text("1.2.3.2"))
        set(0x0028_0002, "US", .words([UInt16(samples)]))
        set(0x0028_0004, "CS", .text(samples == 3 ? "RGB" : "MONOCHROME2"))
        if samples == 3 { set(0x0028_0006, "US", .words([0])) }
        if frames.count > 1 { set(0x0028_0008, "IS", .text("\(frames.count)")) }
        set(0x0028_0010, "US", .words([UInt16(rows)]))
        set(0x0028_0011, "US", .words([UInt16(columns)]))
        set(0x0028_0100, "US", .words([UInt16(8 * bytesPerSample)]))
        set(0x0028_0101, "US", .words([UInt16(bitsStored)]))
        set(0x0028_0102, "US", .words([UInt16(bitsStored - 1)]))
        set(0x0028_0103, "US", .words([isSigned ? 1 : 0]))
    }

    /// Sets an element; `nil` takes it out.
    public mutating func set(_ tag: UInt32, _ vr: String, _ value: Value?) {
        elements[tag] = value.map { Element(tag, vr, $0) }
    }

    /// Sets where the picture is: the centre of the first pixel, the directions of columns and rows, the spacing.
    public mutating func setPlane(
        position: [Double],
        orientation: [Double] = [1, 0, 0, 0, 1, 0],
        spacing: [Double] = [1, 1]
    ) {
        set(0x0020_0032, "DS", .text(Self.decimals(position)))
        set(0x0020_0037, "DS", .text(Self.decimals(orientation)))
        set(0x0028_0030, "DS", .text(Self.decimals(spacing)))
    }

    /// Numbers as DICOM writes them.
    public static func decimals(_ numbers: [Double]) -> String {
        numbers.map { String("\($0)".prefix(16)) }.joined(separator: "\\")
    }

    // MARK: - Writing

    /// The file.
    public func data() -> Data {
        var meta = Output(isExplicit: true, isBigEndian: false, isOpen: false)
        meta.write(Element(0x0002_0002, "UI", .text("1.2.840.10008.5.1.4.1.1.2")))
        meta.write(Element(0x0002_0003, "UI", .text("1.2.3.4.5")))
        meta.write(Element(0x0002_0010, "UI", .text(syntax.rawValue)))
        var head = Output(isExplicit: true, isBigEndian: false, isOpen: false)
        head.write(Element(0x0002_0000, "UL", .longs([UInt32(meta.bytes.count)])))
        var body = Output(
            isExplicit: syntax != .implicitLittleEndian,
            isBigEndian: syntax == .explicitBigEndian,
            isOpen: hasOpenSequences
        )
        for (_, element) in elements.sorted(by: { $0.key < $1.key }) { body.write(element) }
        if !pixels.isEmpty { writePixels(to: &body) }
        let dataSet = syntax == .deflated ? StoredDeflate.deflate(body.bytes) : body.bytes
        return Data([UInt8](repeating: 0, count: 128) + Array("DICM".utf8) + head.bytes + meta.bytes + dataSet)
    }

    private func writePixels(to body: inout Output) {
        if syntax == .rle {
            body.tag(0x7FE0_0010)
            body.bytes += Array("OB".utf8) + [0, 0, 0xFF, 0xFF, 0xFF, 0xFF]
            body.item([])
            for frame in pixels { body.item(RunLengths.encode(frame, samples: samples, bytes: bytesPerSample)) }
            body.tag(0xFFFE_E0DD)
            body.number(0, 4)
            return
        }
        if bytesPerSample == 2 {
            body.write(Element(0x7FE0_0010, "OW", .words(pixels.flatMap { $0 })))
        } else {
            body.write(Element(0x7FE0_0010, "OB", .bytes(pixels.flatMap { $0.map { UInt8(truncatingIfNeeded: $0) } })))
        }
    }

    private struct Output {
        let isExplicit: Bool
        let isBigEndian: Bool
        let isOpen: Bool
        var bytes: [UInt8] = []

        mutating func number(_ value: UInt32, _ count: Int) {
            for index in 0..<count {
                let shift = UInt32(8 * (isBigEndian ? count - 1 - index : index))
                bytes.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }

        mutating func tag(_ tag: UInt32) {
            number(tag >> 16, 2)
            number(tag & 0xFFFF, 2)
        }

        mutating func item(_ content: [UInt8]) {
            tag(0xFFFE_E000)
            number(UInt32(content.count), 4)
            bytes += content
        }

        mutating func write(_ element: Element) {
            var value = Output(isExplicit: isExplicit, isBigEndian: isBigEndian, isOpen: isOpen)
            var isSequence = false
            switch element.value {
            case .text(let text):
                value.bytes = Array(text.utf8)
                if value.bytes.count % 2 == 1 { value.bytes.append(element.vr == "UI" ? 0 : 0x20) }
            case .words(let words): for word in words { value.number(UInt32(word), 2) }
            case .longs(let longs): for long in longs { value.number(long, 4) }
            case .bytes(let bytes): value.bytes = bytes + (bytes.count % 2 == 1 ? [0] : [])
            case .items(let items):
                isSequence = true
                for elements in items {
                    var content = Output(isExplicit: isExplicit, isBigEndian: isBigEndian, isOpen: isOpen)
                    for element in elements { content.write(element) }
                    if isOpen {
                        value.tag(0xFFFE_E000)
                        value.number(0xFFFF_FFFF, 4)
                        value.bytes += content.bytes
                        value.tag(0xFFFE_E00D)
                        value.number(0, 4)
                    } else {
                        value.item(content.bytes)
                    }
                }
                if isOpen {
                    value.tag(0xFFFE_E0DD)
                    value.number(0, 4)
                }
            }
            tag(element.tag)
            let length = isSequence && isOpen ? 0xFFFF_FFFF : UInt32(value.bytes.count)
            if isExplicit {
                bytes += Array(element.vr.utf8)
                if ["OB", "OW", "SQ", "UN", "UT", "OF", "OD", "UC", "UR"].contains(element.vr) {
                    bytes += [0, 0]
                    number(length, 4)
                } else {
                    number(length, 2)
                }
            } else {
                number(length, 4)
            }
            bytes += value.bytes
        }
    }
}

/// DICOM's run lengths, PS3.5 annex G.
enum RunLengths {
    static func encode(_ frame: [UInt16], samples: Int, bytes: Int) -> [UInt8] {
        var segments: [[UInt8]] = []
        for sample in 0..<samples {
            // The most significant byte comes first.
            for byte in stride(from: bytes - 1, through: 0, by: -1) {
                let plane = stride(from: sample, to: frame.count, by: samples).map {
                    UInt8(truncatingIfNeeded: frame[$0] >> UInt16(8 * byte))
                }
                segments.append(encode(plane))
            }
        }
        var header = [UInt32(segments.count)]
        var offset: UInt32 = 64
        for segment in segments {
            header.append(offset)
            offset += UInt32(segment.count)
        }
        header += [UInt32](repeating: 0, count: 16 - header.count)
        let head = header.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32(8 * $0)) } }
        return head + segments.joined()
    }

    private static func encode(_ plane: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        while index < plane.count {
            var run = 1
            while index + run < plane.count, run < 128, plane[index + run] == plane[index] { run += 1 }
            if run > 2 {
                result += [UInt8(257 - run), plane[index]]
            } else {
                run = min(run, plane.count - index)
                result += [UInt8(run - 1)] + plane[index..<index + run]
            }
            index += run
        }
        return result.count % 2 == 1 ? result + [0x80] : result
    }
}

/// Deflate and gzip without compressing anything.
enum StoredDeflate {
    static func deflate(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var start = 0
        repeat {
            let count = min(65_535, bytes.count - start)
            let isLast = start + count == bytes.count
            let length = UInt16(count)
            result += [isLast ? 1 : 0, UInt8(length & 0xFF), UInt8(length >> 8)]
            result += [UInt8(~length & 0xFF), UInt8(~length >> 8)]
            result += bytes[start..<start + count]
            start += count
        } while start < bytes.count
        return result
    }

    static func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var checksum: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            checksum ^= UInt32(byte)
            for _ in 0..<8 { checksum = checksum & 1 == 1 ? checksum >> 1 ^ 0xEDB8_8320 : checksum >> 1 }
        }
        let tail = [~checksum, UInt32(truncatingIfNeeded: bytes.count)].flatMap { number in
            (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32(8 * $0)) }
        }
        return [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3] + deflate(bytes) + tail
    }
}
