import CZlib
import Foundation

/// Unpacks `.tar.gz` archives.
enum CompressedArchive {
    /// The largest file that is unpacked, in bytes.
    static let maximumFileSize = 1 << 34
    private static let blockSize = 512

    /// Unpacks those files of an archive that are asked for.
    ///
    /// - Parameters:
    ///   - archive: A tar archive, with gzip or without.
    ///   - folder: Where the files go; it must be there.
    ///   - isWanted: Whether a file is unpacked, by its name without `./`.
    /// - Throws: ``ReportMetricError`` of kind `unreadable` or `malformed`. A name that leads out of the folder is an
    ///   error, also where it is not asked for.
    static func unpack(
        _ archive: URL,
        to folder: URL,
        where isWanted: (String) -> Bool
    ) throws(ReportMetricError) {
        guard let file = gzopen(archive.path, "rb") else {
            throw ReportMetricError(.unreadable, file: archive.path, String(cString: strerror(errno)))
        }
        defer { gzclose(file) }
        func malformed(_ problem: String) -> ReportMetricError {
            ReportMetricError(.malformed, file: archive.path, problem)
        }
        /// Fills a buffer; the archive must not end before.
        func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(ReportMetricError) {
            var position = 0
            while position < buffer.count {
                let part = UInt32(min(buffer.count - position, 1 << 20))
                let count = gzread(file, buffer.baseAddress?.advanced(by: position), part)
                guard count > 0 else { throw malformed(count == 0 ? "the archive ends too early" : "damaged data") }
                position += Int(count)
            }
        }
        func read(_ count: Int) throws(ReportMetricError) -> [UInt8] {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
            defer { memory.deallocate() }
            try fill(memory)
            return Array(memory)
        }

        var longName: String?
        while true {
            let header = try read(blockSize)
            if header.allSatisfy({ $0 == 0 }) { return }
            let entry = try Header(header, malformed)
            let padding = (blockSize - entry.size % blockSize) % blockSize
            switch entry.kind {
            case UInt8(ascii: "L"), UInt8(ascii: "x"), UInt8(ascii: "g"):
                // The name of the next entry, or attributes, of which only the name matters here.
                guard entry.size <= 1 << 20 else { throw malformed("a name of \(entry.size) bytes") }
                let content = try read(entry.size)
                if entry.kind == UInt8(ascii: "L") {
                    longName = String(decoding: content.prefix { $0 != 0 }, as: UTF8.self)
                } else if entry.kind == UInt8(ascii: "x") {
                    longName = extendedName(content) ?? longName
                }
            case 0, UInt8(ascii: "0"):
                var name = longName ?? entry.name
                longName = nil
                while name.hasPrefix("./") { name.removeFirst(2) }
                guard !name.isEmpty, !name.hasPrefix("/"), !name.split(separator: "/").contains("..") else {
                    throw malformed("a file whose name leads out of the archive")
                }
                guard entry.size <= maximumFileSize else { throw malformed("a file of \(entry.size) bytes") }
                try copy(
                    entry.size,
                    to: isWanted(name) ? folder.appending(path: name) : nil,
                    archive: archive,
                    fill: fill
                )
            default:
                // Folders and links have no contents that are wanted.
                longName = nil
                try copy(entry.size, to: nil, archive: archive, fill: fill)
            }
            if padding > 0 { _ = try read(padding) }
        }
    }

    private static func copy(
        _ size: Int,
        to url: URL?,
        archive: URL,
        fill: (UnsafeMutableRawBufferPointer) throws(ReportMetricError) -> Void
    ) throws(ReportMetricError) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { memory.deallocate() }
        var descriptor: Int32 = -1
        if let url {
            do {
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(),
                    withIntermediateDirectories: true
                )
            } catch {
                throw ReportMetricError(.unreadable, file: archive.path, error.localizedDescription)
            }
            descriptor = open(url.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else {
                throw ReportMetricError(.unreadable, file: url.path, String(cString: strerror(errno)))
            }
        }
        defer { if descriptor >= 0 { close(descriptor) } }
        var left = size
        while left > 0 {
            let part = UnsafeMutableRawBufferPointer(rebasing: memory[..<min(left, memory.count)])
            try fill(part)
            left -= part.count
            var written = 0
            while let url, written < part.count {
                let count = write(descriptor, part.baseAddress?.advanced(by: written), part.count - written)
                guard count > 0 else {
                    throw ReportMetricError(.unreadable, file: url.path, String(cString: strerror(errno)))
                }
                written += count
            }
        }
    }

    /// The `path` of extended attributes: lines of their length, a space, a name, `=` and a value.
    private static func extendedName(_ content: [UInt8]) -> String? {
        var rest = content[...]
        var name: String?
        while let space = rest.firstIndex(of: UInt8(ascii: " ")),
            let length = Int(String(decoding: rest[rest.startIndex..<space], as: UTF8.self)),
            length > space - rest.startIndex, length <= rest.count
        {
            let line = String(decoding: rest[(space + 1)..<(rest.startIndex + length - 1)], as: UTF8.self)
            if line.hasPrefix("path=") { name = String(line.dropFirst("path=".count)) }
            rest = rest[(rest.startIndex + length)...]
        }
        return name
    }

    /// What stands in front of an entry.
    private struct Header {
        let name: String
        let size: Int
        let kind: UInt8

        init(_ bytes: [UInt8], _ malformed: (String) -> ReportMetricError) throws(ReportMetricError) {
            func text(_ range: Range<Int>) -> String {
                String(decoding: bytes[range].prefix { $0 != 0 }, as: UTF8.self)
            }
            func octal(_ range: Range<Int>) -> Int? {
                let digits = text(range).filter { $0 != " " }
                return digits.isEmpty ? 0 : Int(digits, radix: 8)
            }
            // The sum is taken with spaces in its own place.
            let sum = bytes.enumerated().reduce(0) { $0 + ((148..<156).contains($1.0) ? 32 : Int($1.1)) }
            guard let expected = octal(148..<156), expected == sum else { throw malformed("not a tar archive") }
            if bytes[124] & 0x80 != 0 {
                // Sizes from 8 GiB on are binary.
                let value = bytes[128..<136].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                guard bytes[125..<128].allSatisfy({ $0 == 0 }), let size = Int(exactly: value) else {
                    throw malformed("a size that is too large")
                }
                self.size = size
            } else {
                guard let size = octal(124..<136), size >= 0 else { throw malformed("a size that is no number") }
                self.size = size
            }
            kind = bytes[156]
            let prefix = bytes[257..<262].elementsEqual("ustar".utf8) ? text(345..<500) : ""
            name = prefix.isEmpty ? text(0..<100) : prefix + "/" + text(0..<100)
        }
    }
}
