import CImageCodecs
public import Foundation

/// How grey values of 16 bits become 8 bits.
public enum SixteenBitGray: Sendable, Equatable, Hashable {
    /// The smallest value of the picture becomes 0 and its largest 255, with rounding; an even picture becomes 0.
    ///
    /// The default: medical pictures use 12 or so of the 16 bits, so that the whole range of the type would leave them
    /// almost black.
    case fullRange
    /// The values of a window become 0 to 255, with rounding; what lies outside is cut off.
    ///
    /// For computed tomography in signed values these are Hounsfield units.
    case window(ClosedRange<Int>)
    /// Values above 255 become 255 and negative ones 0, as Pillow's `convert('RGB')` does.
    ///
    /// It loses nearly all of a medical picture and exists for parity with the published code.
    case clip
}

/// Decodes PNG, JPEG, TIFF, DICOM, NIfTI and NRRD files to RGB.
///
/// The pixels are those of `Image.open(path).convert('RGB')` of Pillow 10, except for 16-bit grey (``SixteenBitGray``)
/// and for damaged files, which are refused also where Pillow would fill in grey. Grey is repeated, palettes are looked
/// up, alpha is dropped without composing, transparency chunks and the EXIF orientation are ignored, colour of 16 bits
/// keeps its upper byte, and inks are converted by the plain formula, without colour management.
///
/// Of a DICOM file with several frames the first one is the picture, or the middle one where the frames have places in
/// the patient; of NIfTI and NRRD volumes it is the middle slice, turned as it would stand in a DICOM file. ``GrayRendering``
/// says how their grey values become 8 bits.
public enum ImageDecoder {
    /// The most pixels a picture may have; larger ones are refused before memory is taken.
    public static let maximumPixelCount = 100_000_000

    /// Decodes a file.
    ///
    /// - Parameters:
    ///   - url: A file; its format is told by its content. Of a NIfTI pair either file.
    ///   - sixteenBitGray: How grey values of 16 bits become 8 bits, in PNG and TIFF files.
    ///   - rendering: How those of medical formats do.
    /// - Returns: The picture in its own size.
    /// - Throws: ``ImagingError`` with the file's path.
    public static func decode(
        contentsOf url: URL,
        sixteenBitGray: SixteenBitGray = .fullRange,
        rendering: GrayRendering = .file
    ) throws(ImagingError) -> RGBImage {
        if NIfTIFile.isPair(url) { return try NIfTIFile(contentsOf: url).picture(rendering: rendering) }
        let data: Data
        do {
            data = try Data(contentsOf: url)
        } catch {
            throw ImagingError(.unreadableFile, file: url.path)
        }
        return try decode(data: data, name: url.path, sixteenBitGray: sixteenBitGray, rendering: rendering)
    }

    /// Decodes data in memory.
    ///
    /// - Parameters:
    ///   - data: The content of an image file.
    ///   - name: What errors call the data.
    ///   - sixteenBitGray: How grey values of 16 bits become 8 bits, in PNG and TIFF files.
    ///   - rendering: How those of medical formats do.
    /// - Returns: The picture in its own size.
    /// - Throws: ``ImagingError`` with the name.
    public static func decode(
        data: Data,
        name: String,
        sixteenBitGray: SixteenBitGray = .fullRange,
        rendering: GrayRendering = .file
    ) throws(ImagingError) -> RGBImage {
        switch data.withUnsafeBytes({ ImageFormat(signatureOf: $0) }) {
        case .dicom:
            let file = try DICOMFile(data: data, name: name)
            return try file.picture(frame: try file.pictureFrame(), rendering: rendering)
        case .nifti: return try NIfTIFile(data: data, name: name).picture(rendering: rendering)
        case .nrrd: return try NRRDFile(data: data, name: name).picture(rendering: rendering)
        case .png, .jpeg, .tiff, nil: break
        }
        let outcome: Result<RGBImage, ImagingError> = data.withUnsafeBytes { bytes in
            do throws(ImagingError) {
                return .success(try decode(bytes, name: name, sixteenBitGray: sixteenBitGray))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private static func decode(
        _ bytes: UnsafeRawBufferPointer,
        name: String,
        sixteenBitGray: SixteenBitGray
    ) throws(ImagingError) -> RGBImage {
        guard let start = bytes.bindMemory(to: UInt8.self).baseAddress, let format = ImageFormat(signatureOf: bytes)
        else {
            throw ImagingError(.unknownFormat, file: name, detail: bytes.isEmpty ? "no data" : "")
        }
        var picture = image_codec_picture()
        try CodecStatus.check(name: name) { message in
            switch format {
            case .png: image_codec_decode_png(start, bytes.count, maximumPixelCount, &picture, message)
            case .jpeg: image_codec_decode_jpeg(start, bytes.count, maximumPixelCount, &picture, message)
            case .tiff: image_codec_decode_tiff(start, bytes.count, maximumPixelCount, &picture, message)
            case .dicom, .nifti, .nrrd: preconditionFailure("medical formats have decoders of their own")
            }
        }
        defer { image_codec_free(picture.samples) }
        guard let samples = picture.samples else {
            preconditionFailure("a decoded picture has samples")
        }
        let source = UnsafeRawBufferPointer(start: samples, count: picture.byte_count)
        let pixelCount = Int(picture.width) * Int(picture.height)
        let pixels = [UInt8](unsafeUninitializedCapacity: pixelCount * 3) { target, count in
            switch UInt32(picture.layout) {
            case IMAGE_CODEC_GRAY8.rawValue: RGBConversion.gray(source, to: target)
            case IMAGE_CODEC_GRAY16.rawValue:
                RGBConversion.gray16(source, offset: Int(picture.gray_offset), policy: sixteenBitGray, to: target)
            case IMAGE_CODEC_CMYK8.rawValue: RGBConversion.inks(source, to: target)
            default: UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
            }
            count = pixelCount * 3
        }
        return RGBImage(width: Int(picture.width), height: Int(picture.height), pixels: pixels)
    }
}

/// Turns the statuses of the C functions into errors.
enum CodecStatus {
    /// Calls a C function with a message buffer and throws what it reports.
    static func check(
        name: String,
        _ body: (UnsafeMutablePointer<CChar>) -> Int32
    ) throws(ImagingError) {
        let capacity = IMAGE_CODEC_MESSAGE_CAPACITY
        let (status, detail): (UInt32, String) = withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) {
            buffer in
            guard let message = buffer.baseAddress else { preconditionFailure("a message buffer is never empty") }
            message.initialize(repeating: 0, count: capacity)
            let status = body(message)
            return (UInt32(bitPattern: status), String(cString: message))
        }
        switch status {
        case IMAGE_CODEC_OK.rawValue: return
        case IMAGE_CODEC_UNSUPPORTED.rawValue: throw ImagingError(.unsupported, file: name, detail: detail)
        case IMAGE_CODEC_TOO_LARGE.rawValue: throw ImagingError(.tooLarge, file: name, detail: detail)
        case IMAGE_CODEC_OUT_OF_MEMORY.rawValue: throw ImagingError(.outOfMemory, file: name, detail: detail)
        default: throw ImagingError(.malformed, file: name, detail: detail)
        }
    }
}

/// The conversions to RGB, on whole pictures.
enum RGBConversion {
    static func gray(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableBufferPointer<UInt8>) {
        for pixel in 0..<source.count {
            let value = source[pixel]
            target[3 * pixel] = value
            target[3 * pixel + 1] = value
            target[3 * pixel + 2] = value
        }
    }

    static func gray16(
        _ source: UnsafeRawBufferPointer,
        offset: Int,
        policy: SixteenBitGray,
        to target: UnsafeMutableBufferPointer<UInt8>
    ) {
        let values = source.bindMemory(to: UInt16.self)
        // Every value a pixel can have is looked up, so that the policies cost the same.
        let table = [UInt8](unsafeUninitializedCapacity: 1 << 16) { table, count in
            let lower: Int
            let upper: Int
            switch policy {
            case .fullRange:
                var smallest = UInt16.max
                var largest = UInt16.min
                for value in values {
                    smallest = min(smallest, value)
                    largest = max(largest, value)
                }
                (lower, upper) = (Int(smallest) + offset, Int(largest) + offset)
            case .window(let window): (lower, upper) = (window.lowerBound, window.upperBound)
            case .clip: (lower, upper) = (0, 255)
            }
            for stored in 0..<1 << 16 {
                let value = stored + offset
                if value <= lower {
                    table[stored] = 0
                } else if value >= upper {
                    table[stored] = 255
                } else {
                    table[stored] = UInt8((Double(value - lower) * 255 / Double(upper - lower)).rounded())
                }
            }
            count = 1 << 16
        }
        table.withUnsafeBufferPointer { table in
            for pixel in 0..<values.count {
                let value = table[Int(values[pixel])]
                target[3 * pixel] = value
                target[3 * pixel + 1] = value
                target[3 * pixel + 2] = value
            }
        }
    }

    /// Pillow's plain formula: white less black, less each ink's share of what is left.
    static func inks(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableBufferPointer<UInt8>) {
        for pixel in 0..<source.count / 4 {
            let light = 255 - Int(source[4 * pixel + 3])
            for channel in 0..<3 {
                let product = Int(source[4 * pixel + channel]) * light + 128
                target[3 * pixel + channel] = UInt8(max(0, light - ((product >> 8) + product) >> 8))
            }
        }
    }
}
