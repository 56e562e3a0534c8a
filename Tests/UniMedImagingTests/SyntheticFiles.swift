import Foundation

/// PNG files written byte by byte, so that every kind of header can be tested.
enum SyntheticPNG {
    static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    static func bigEndian(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    static func chunk(_ type: String, _ content: [UInt8]) -> [UInt8] {
        let body = Array(type.utf8) + content
        var crc: UInt32 = .max
        for byte in body {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return bigEndian(UInt32(content.count)) + body + bigEndian(~crc)
    }

    static func header(width: Int, height: Int, depth: UInt8, color: UInt8) -> [UInt8] {
        chunk("IHDR", bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [depth, color, 0, 0, 0])
    }

    /// A zlib stream of one stored block, which holds up to 65,535 bytes.
    static func stored(_ content: [UInt8]) -> [UInt8] {
        let count = UInt16(content.count)
        var (a, b): (UInt32, UInt32) = (1, 0)
        for byte in content {
            a = (a + UInt32(byte)) % 65521
            b = (b + a) % 65521
        }
        return [0x78, 0x01, 0x01, UInt8(count & 255), UInt8(count >> 8), UInt8(~count & 255), UInt8(~count >> 8)]
            + content + bigEndian(b << 16 | a)
    }

    /// A PNG file whose rows are given without their filter byte.
    static func file(
        width: Int,
        rows: [[UInt8]],
        depth: UInt8,
        color: UInt8,
        before: [[UInt8]] = []
    ) -> Data {
        var file = signature + header(width: width, height: rows.count, depth: depth, color: color)
        for chunk in before { file += chunk }
        var content: [UInt8] = []
        for row in rows {
            content.append(0)
            content += row
        }
        file += chunk("IDAT", stored(content))
        file += chunk("IEND", [])
        return Data(file)
    }
}

/// TIFF files of one strip or one tile per plane, little-endian and uncompressed.
struct SyntheticTIFF {
    var width: Int
    var height: Int
    var bits = 8
    var samples = 1
    /// 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 inks.
    var photometric = 1
    var isSeparate = false
    /// 1 unsigned, 2 signed, 3 floating point.
    var sampleFormat = 1
    /// The side of square tiles; strips when `nil`.
    var tileSide: Int?
    var colorMap: [UInt16] = []
    /// The bytes of each strip or tile.
    var parts: [[UInt8]]

    var data: Data {
        var body: [UInt8] = []
        func bytes(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(value >> (8 * $0) & 255) } }
        // The parts follow the header; the directory comes last.
        var offsets: [Int] = []
        for part in parts {
            offsets.append(8 + body.count)
            body += part
        }
        func outside(_ values: [Int], _ size: Int) -> Int {
            if body.count % 2 == 1 { body.append(0) }
            let offset = 8 + body.count
            body += values.flatMap { bytes($0, size) }
            return offset
        }
        // Tag, type (3 short, 4 long), values.
        var fields: [(Int, Int, [Int])] = [
            (256, 4, [width]), (257, 4, [height]), (258, 3, Array(repeating: bits, count: samples)),
            (259, 3, [1]), (262, 3, [photometric]), (277, 3, [samples]), (284, 3, [isSeparate ? 2 : 1]),
            (339, 3, Array(repeating: sampleFormat, count: samples)),
        ]
        if let tileSide {
            fields += [(322, 4, [tileSide]), (323, 4, [tileSide]), (324, 4, offsets), (325, 4, parts.map(\.count))]
        } else {
            fields += [(273, 4, offsets), (278, 4, [height]), (279, 4, parts.map(\.count))]
        }
        if !colorMap.isEmpty { fields.append((320, 3, colorMap.map { Int($0) })) }
        fields.sort { $0.0 < $1.0 }
        var directory = bytes(fields.count, 2)
        for (tag, type, values) in fields {
            let size = type == 3 ? 2 : 4
            directory += bytes(tag, 2) + bytes(type, 2) + bytes(values.count, 4)
            if values.count * size <= 4 {
                let content = values.flatMap { bytes($0, size) }
                directory += content + Array(repeating: 0, count: 4 - content.count)
            } else {
                directory += bytes(outside(values, size), 4)
            }
        }
        directory += bytes(0, 4)
        if body.count % 2 == 1 { body.append(0) }
        return Data([0x49, 0x49, 42, 0] + bytes(8 + body.count, 4) + body + directory)
    }
}
