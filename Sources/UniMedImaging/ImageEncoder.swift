import CImageCodecs

/// Encodes pictures as PNG files in memory.
public enum PNGEncoder {
    /// The content of a PNG file, 8-bit RGB without loss.
    ///
    /// - Parameters:
    ///   - image: The picture.
    ///   - compression: From 0, fast and large, to 9, slow and small.
    /// - Returns: The bytes of the file.
    /// - Throws: ``ImagingError`` of kind `encodingFailed` when the picture has no pixels or memory runs out.
    /// - Precondition: `compression` is in 0 to 9.
    public static func encode(_ image: RGBImage, compression: Int = 6) throws(ImagingError) -> [UInt8] {
        precondition((0...9).contains(compression), "the compression of a PNG file is 0 to 9")
        return try EncodedMemory.make(image) { pixels, width, height, encoded, count, message in
            image_codec_encode_png(pixels, width, height, Int32(compression), encoded, count, message)
        }
    }
}

/// Encodes pictures as JPEG files in memory.
public enum JPEGEncoder {
    /// How finely colour is kept beside brightness.
    public enum Chroma: Sendable, Equatable {
        /// Colour of every pixel (4:4:4).
        case full
        /// Colour of two by two pixels (4:2:0).
        case quarter
    }

    /// The content of a baseline JPEG file.
    ///
    /// - Parameters:
    ///   - image: The picture.
    ///   - quality: From 1 to 100, as libjpeg counts it.
    ///   - chroma: How finely colour is kept.
    /// - Returns: The bytes of the file.
    /// - Throws: ``ImagingError`` of kind `encodingFailed` when the picture has no pixels, a side is longer than 65,500
    ///   pixels or memory runs out.
    /// - Precondition: `quality` is in 1 to 100.
    public static func encode(
        _ image: RGBImage,
        quality: Int = 90,
        chroma: Chroma = .quarter
    ) throws(ImagingError) -> [UInt8] {
        precondition((1...100).contains(quality), "the quality of a JPEG file is 1 to 100")
        return try EncodedMemory.make(image) { pixels, width, height, encoded, count, message in
            image_codec_encode_jpeg(
                pixels,
                width,
                height,
                Int32(quality),
                chroma == .full ? 1 : 0,
                encoded,
                count,
                message
            )
        }
    }
}

/// What both encoders share: the call, the copy and the release of the C memory.
enum EncodedMemory {
    typealias Encode = (
        UnsafePointer<UInt8>, Int32, Int32, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>,
        UnsafeMutablePointer<Int>, UnsafeMutablePointer<CChar>
    ) -> Int32

    static func make(_ image: RGBImage, _ encode: Encode) throws(ImagingError) -> [UInt8] {
        let name = "a picture of \(image.width) x \(image.height) pixels"
        guard let width = Int32(exactly: image.width), let height = Int32(exactly: image.height), width > 0, height > 0
        else {
            throw ImagingError(.encodingFailed, file: name)
        }
        var encoded: UnsafeMutablePointer<UInt8>?
        var count = 0
        defer { image_codec_free(encoded) }
        do throws(ImagingError) {
            try CodecStatus.check(name: name) { message in
                image.pixels.withUnsafeBufferPointer { pixels in
                    guard let start = pixels.baseAddress else { preconditionFailure("a picture has pixels") }
                    return encode(start, width, height, &encoded, &count, message)
                }
            }
        } catch {
            throw ImagingError(.encodingFailed, file: name, detail: error.detail)
        }
        return [UInt8](UnsafeBufferPointer(start: encoded, count: count))
    }
}
