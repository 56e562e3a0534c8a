import CImageCodecs
public import Foundation

/// Facts about image files that need no decoding.
public enum ImageFile {
    /// The size of a picture in pixels.
    public struct Size: Sendable, Equatable, Hashable {
        /// The width in pixels.
        public var width: Int
        /// The height in pixels.
        public var height: Int

        /// Makes a size.
        public init(width: Int, height: Int) {
            self.width = width
            self.height = height
        }
    }

    /// How much of a file is read first; enough for nearly every header.
    private static let headerByteCount = 1 << 16

    /// The size of the picture in a file, from its header.
    ///
    /// Only the beginning of the file is read, unless its size stands further behind. The header alone is checked: the
    /// pixels may still turn out to be damaged.
    ///
    /// - Throws: ``ImagingError`` with the file's path.
    public static func size(of url: URL) throws(ImagingError) -> Size {
        if NIfTIFile.isPair(url) { return try NIfTIFile(contentsOf: url).pictureSize() }
        let header: Data
        do {
            let handle = try FileHandle(forReadingFrom: url)
            defer { try? handle.close() }
            header = try handle.read(upToCount: headerByteCount) ?? Data()
        } catch {
            throw ImagingError(.unreadableFile, file: url.path)
        }
        let isWhole = header.count < headerByteCount
        do throws(ImagingError) {
            return try size(ofData: header, name: url.path)
        } catch  where !isWhole && error.kind == .malformed {
            let data: Data
            do {
                data = try Data(contentsOf: url)
            } catch {
                throw ImagingError(.unreadableFile, file: url.path)
            }
            return try size(ofData: data, name: url.path)
        }
    }

    /// The size of the picture in the content of a file, from its header.
    ///
    /// - Throws: ``ImagingError`` with the name.
    public static func size(ofData data: Data, name: String) throws(ImagingError) -> Size {
        switch data.withUnsafeBytes({ ImageFormat(signatureOf: $0) }) {
        case .dicom:
            let layout = try DICOMFile(data: data, name: name).pixelLayout()
            return Size(width: layout.columns, height: layout.rows)
        case .nifti: return try NIfTIFile(data: data, name: name).pictureSize()
        case .nrrd: return try NRRDFile(data: data, name: name).pictureSize()
        case .png, .jpeg, .tiff, nil: break
        }
        let outcome: Result<Size, ImagingError> = data.withUnsafeBytes { bytes in
            do throws(ImagingError) {
                guard let format = ImageFormat(signatureOf: bytes) else {
                    throw ImagingError(.unknownFormat, file: name, detail: bytes.isEmpty ? "no data" : "")
                }
                switch format {
                case .png: return .success(try pngSize(bytes, name: name))
                case .jpeg: return .success(try jpegSize(bytes, name: name))
                case .tiff: return .success(try tiffSize(bytes, name: name))
                case .dicom, .nifti, .nrrd: preconditionFailure("medical formats have decoders of their own")
                }
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private static func pngSize(_ bytes: UnsafeRawBufferPointer, name: String) throws(ImagingError) -> Size {
        guard bytes.count >= 24, bytes[12..<16].elementsEqual("IHDR".utf8) else {
            throw ImagingError(.malformed, file: name, detail: "the header of the PNG file is missing")
        }
        return try checked(width: bigEndian32(bytes, 16), height: bigEndian32(bytes, 20), name: name)
    }

    /// Walks the segments of a JPEG file up to its frame header.
    private static func jpegSize(_ bytes: UnsafeRawBufferPointer, name: String) throws(ImagingError) -> Size {
        var position = 2
        while position + 4 <= bytes.count, bytes[position] == 0xFF {
            let marker = bytes[position + 1]
            if marker == 0xFF {
                position += 1
                continue
            }
            if marker == 0x01 || (0xD0...0xD7).contains(marker) {
                position += 2
                continue
            }
            let isFrame = (0xC0...0xCF).contains(marker) && ![0xC4, 0xC8, 0xCC].contains(marker)
            if isFrame {
                guard position + 9 <= bytes.count else { break }
                let height = bigEndian16(bytes, position + 5)
                return try checked(width: bigEndian16(bytes, position + 7), height: height, name: name)
            }
            let length = bigEndian16(bytes, position + 2)
            guard length >= 2, marker != 0xDA, marker != 0xD9 else { break }
            position += 2 + length
        }
        throw ImagingError(.malformed, file: name, detail: "the frame header of the JPEG file is missing")
    }

    private static func tiffSize(_ bytes: UnsafeRawBufferPointer, name: String) throws(ImagingError) -> Size {
        guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else {
            throw ImagingError(.unknownFormat, file: name, detail: "no data")
        }
        var width: Int32 = 0
        var height: Int32 = 0
        try CodecStatus.check(name: name) { message in
            image_codec_tiff_size(start, bytes.count, &width, &height, message)
        }
        return Size(width: Int(width), height: Int(height))
    }

    private static func checked(width: Int, height: Int, name: String) throws(ImagingError) -> Size {
        guard width > 0, height > 0, width <= Int(Int32.max), height <= Int(Int32.max) else {
            throw ImagingError(.malformed, file: name, detail: "the size of the picture is \(width) x \(height)")
        }
        return Size(width: width, height: height)
    }

    private static func bigEndian16(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Int {
        Int(bytes[offset]) << 8 | Int(bytes[offset + 1])
    }

    private static func bigEndian32(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Int {
        bigEndian16(bytes, offset) << 16 | bigEndian16(bytes, offset + 2)
    }
}
