import Foundation
import Testing
import UniMedImaging

/// Files of binary formats, made by hand so that every byte of them can be another one.
enum Synthetic {
    static func little(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    static func big(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> UInt32(24 - 8 * $0) & 255) } }

    static func crc(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(UInt32.max) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
        }
    }

    /// What `pickle.dumps` writes for a list of dictionaries in protocol 2.
    static func pickle(_ records: [[(String, String)]]) -> Data {
        func text(_ text: String) -> [UInt8] { [0x58] + little(text.utf8.count, 4) + Array(text.utf8) }
        var bytes: [UInt8] = [0x80, 2, 0x5D, 0x71, 0, 0x28]
        for record in records {
            bytes += [0x7D, 0x71, 1, 0x28]
            for (key, value) in record { bytes += text(key) + text(value) }
            bytes.append(0x75)
        }
        return Data(bytes + [0x65, 0x2E])
    }

    /// An npy file of bytes.
    static func array(_ shape: [Int], _ values: [UInt8]) -> [UInt8] {
        let list = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
        var text = "{'descr': '|u1', 'fortran_order': False, 'shape': (\(list)), }"
        text += String(repeating: " ", count: 117 - text.utf8.count) + "\n"
        return [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(text.utf8) + values
    }

    /// A zip archive without compression.
    static func archive(_ entries: [(String, [UInt8])]) -> Data {
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for (name, bytes) in entries {
            let common =
                little(20, 2) + little(0, 4) + little(0, 2) + little(33, 2) + little(Int(crc(bytes)), 4)
                + little(bytes.count, 4) + little(bytes.count, 4) + little(name.utf8.count, 2) + little(0, 2)
            directory +=
                [0x50, 0x4B, 1, 2] + little(20, 2) + common + little(0, 6) + little(0, 4) + little(file.count, 4)
                + Array(name.utf8)
            file += [0x50, 0x4B, 3, 4] + common + Array(name.utf8) + bytes
        }
        let end =
            [0x50, 0x4B, 5, 6] + little(0, 4) + little(entries.count, 2) + little(entries.count, 2)
            + little(directory.count, 4) + little(file.count, 4) + little(0, 2)
        return Data(file + directory + end)
    }

    /// A grey PNG of 8 bits whose pixels are 0 except in a rectangle.
    static func mask(
        _ value: UInt8,
        x: Range<Int>,
        y: Range<Int>,
        width: Int = 20,
        height: Int = 10
    ) -> Data {
        func chunk(_ name: String, _ body: [UInt8]) -> [UInt8] {
            let content = Array(name.utf8) + body
            return big(UInt32(body.count)) + content + big(crc(content))
        }
        var rows: [UInt8] = []
        for row in 0..<height {
            rows.append(0)
            for column in 0..<width { rows.append(x.contains(column) && y.contains(row) ? value : 0) }
        }
        var (a, b) = (UInt32(1), UInt32(0))
        for byte in rows {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        let stored = [0x78, 0x01, 0x01] + little(rows.count, 2) + little(~rows.count, 2) + rows + big(b << 16 | a)
        return Data(
            [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
                + chunk("IHDR", big(UInt32(width)) + big(UInt32(height)) + [8, 0, 0, 0, 0]) + chunk("IDAT", stored)
                + chunk("IEND", [])
        )
    }
}

extension MadeFolder {
    /// Replaces the first occurrence of a text in a file.
    func replace(_ old: String, with new: String, in path: String) throws {
        try replace(old, with: Array(new.utf8), in: path)
    }

    /// Replaces the first occurrence of a text in a file by bytes.
    func replace(_ old: String, with new: [UInt8], in path: String) throws {
        var data = try Data(contentsOf: file(path))
        let range = try #require(data.range(of: Data(old.utf8)), "\(path) holds no '\(old)'")
        data.replaceSubrange(range, with: new)
        try write(data, to: path)
    }

    /// Puts a byte into a text of a file with which it is no UTF-8 any more.
    func spoil(_ text: String, in path: String) throws {
        try replace(text, with: [0xFF] + Array(text.utf8.dropFirst()), in: path)
    }

    /// Puts a byte order mark before a file.
    func addByteOrderMark(to path: String) throws {
        try write([0xEF, 0xBB, 0xBF] + Data(contentsOf: file(path)), to: path)
    }

    /// Ends the lines of a file with CRLF.
    func endLinesAsWindowsDoes(in path: String) throws {
        let text = String(decoding: try Data(contentsOf: file(path)), as: UTF8.self)
        try write(text.replacingOccurrences(of: "\n", with: "\r\n"), to: path)
    }

    /// Keeps the first part of a file.
    func truncate(_ path: String, to part: Double = 0.6) throws {
        let data = try Data(contentsOf: file(path))
        try write(Data(data.prefix(Int(Double(data.count) * part))), to: path)
    }

    /// Writes a picture with a pattern, whose data reach far behind its header.
    func writePattern(_ path: String, seed: Int = 0) throws {
        let pixels = (0..<600).map { UInt8(truncatingIfNeeded: ($0 + seed) &* 2_654_435_761 >> 7) }
        try write(Data(try PNGEncoder.encode(RGBImage(width: 20, height: 10, pixels: pixels))), to: path)
    }
}
