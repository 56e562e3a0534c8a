import CMedicalImages
public import Foundation

/// A DICOM file: its elements, and its frames as stored values.
///
/// Data sets and RLE, JPEG and JPEG-LS pixel data are read by DCMTK, JPEG 2000 by OpenJPEG. DCMTK is kept by its
/// makers, reads every transfer syntax that is in use but those of JPEG 2000, and is a small dependency beside ITK. In
/// front of both stand checks of our own: the structure of the data set is walked before DCMTK sees it (lengths inside
/// what holds them, sequences of a sane depth), and the header of each code stream is compared with Rows, Columns and
/// Samples per Pixel before its decoder takes memory.
///
/// Errors name the file and the element; they never hold a value from the file that could name a person. A file may be
/// read from several threads at once.
public final class DICOMFile: @unchecked Sendable {
    // Safe to share: the C object is immutable once open, and locks itself while DCMTK looks values up.
    private let handle: OpaquePointer
    /// What errors call the file.
    public let name: String
    /// The identifier of the transfer syntax.
    public let transferSyntax: String

    /// How the pixels of a file lie.
    public struct PixelLayout: Sendable, Equatable {
        /// The height of a frame in pixels.
        public let rows: Int
        /// The width of a frame in pixels.
        public let columns: Int
        /// The number of frames, at least 1.
        public let frames: Int
        /// The numbers of a pixel: 1, or 3 for colour.
        public let samples: Int
        /// The bits that a number takes.
        public let bitsAllocated: Int
        /// The bits of these that carry its value.
        public let bitsStored: Int
        /// Whether the numbers may be negative.
        public let isSigned: Bool
    }

    /// A decoded frame.
    public struct Frame: Sendable, Equatable {
        /// `rows * columns * samples` stored values by rows, the samples of a pixel beside each other; unsigned values of
        /// 32 bits stand with the same bits.
        public let values: [Int32]
        /// What the numbers mean after decoding: codecs undo some colour transforms.
        public let photometricInterpretation: String
    }

    /// Opens a file.
    ///
    /// - Throws: ``ImagingError`` with the file's path; `noImage` is left to ``pixelLayout()``.
    public convenience init(contentsOf url: URL) throws(ImagingError) {
        let data: Data
        do {
            data = try Data(contentsOf: url)
        } catch {
            throw ImagingError(.unreadableFile, file: url.path)
        }
        try self.init(data: data, name: url.path)
    }

    /// Opens the content of a file, which is copied.
    ///
    /// - Parameters:
    ///   - data: The content of a file.
    ///   - name: What errors call it.
    /// - Throws: ``ImagingError`` with the name.
    public init(data: Data, name: String) throws(ImagingError) {
        var opened: OpaquePointer?
        let bytes = [UInt8](data)
        try MedicalStatus.check(name: name) { message in
            bytes.withUnsafeBufferPointer { buffer in
                guard let start = buffer.baseAddress else {
                    return Int32(bitPattern: MEDICAL_MALFORMED.rawValue)
                }
                return medical_dicom_open(start, buffer.count, &opened, message)
            }
        }
        guard let opened else { preconditionFailure("an opened file has a handle") }
        handle = opened
        self.name = name
        transferSyntax = String(cString: medical_dicom_transfer_syntax(opened))
    }

    deinit { medical_dicom_close(handle) }

    // MARK: - Elements

    /// One step of a path: an item of a sequence.
    struct Step {
        var sequence: DICOMTag
        var item: Int
    }

    /// The text of an element, without blanks at its ends; `nil` where there is none or it is empty.
    ///
    /// Several values are separated by backslashes.
    public func text(_ tag: DICOMTag) -> String? { text(tag, in: []) }

    /// The numbers of an element; `nil` where there is none, it is empty or it is not made of numbers.
    public func numbers(_ tag: DICOMTag) -> [Double]? { numbers(tag, in: []) }

    func text(_ tag: DICOMTag, in steps: [Step]) -> String? {
        let path = path(tag, steps)
        let capacity = 1 << 10
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer -> String? in
            guard let start = buffer.baseAddress, medical_dicom_text(handle, path, path.count, start, capacity) >= 0
            else { return nil }
            return String(cString: start)
        }
        guard let trimmed = text?.trimmingCharacters(in: .whitespacesAndNewlines), !trimmed.isEmpty else { return nil }
        return trimmed
    }

    func numbers(_ tag: DICOMTag, in steps: [Step]) -> [Double]? {
        let path = path(tag, steps)
        var few = [Double](repeating: 0, count: 16)
        let count = Int(medical_dicom_numbers(handle, path, path.count, &few, few.count))
        guard count > 0 else { return nil }
        guard count > few.count else { return Array(few.prefix(count)) }
        var all = [Double](repeating: 0, count: count)
        guard Int(medical_dicom_numbers(handle, path, path.count, &all, count)) == count else { return nil }
        return all
    }

    func itemCount(_ tag: DICOMTag, in steps: [Step] = []) -> Int {
        let path = path(tag, steps)
        return Int(medical_dicom_item_count(handle, path, path.count))
    }

    private func path(_ tag: DICOMTag, _ steps: [Step]) -> [UInt32] {
        steps.flatMap { [$0.sequence.rawValue, UInt32($0.item)] } + [tag.rawValue]
    }

    /// Where an element of a frame may stand: in the frame's functional group, in the shared one, in the data set.
    func places(of group: DICOMTag, frame: Int) -> [[Step]] {
        [
            [Step(sequence: .frameFunctionalGroups, item: frame), Step(sequence: group, item: 0)],
            [Step(sequence: .sharedFunctionalGroups, item: 0), Step(sequence: group, item: 0)],
            [],
        ]
    }

    func numbers(_ tag: DICOMTag, group: DICOMTag, frame: Int) -> [Double]? {
        for place in places(of: group, frame: frame) {
            if let found = numbers(tag, in: place) { return found }
        }
        return nil
    }

    // MARK: - Pixels

    /// How the pixels lie.
    ///
    /// - Throws: ``ImagingError`` of kind `noImage` for a file without pixel data, and others when what the header says
    ///   does not fit the data, is not read, or is more than ``ImageDecoder/maximumPixelCount``.
    public func pixelLayout() throws(ImagingError) -> PixelLayout {
        var pixels = medical_pixels()
        try MedicalStatus.check(name: name) { message in
            medical_dicom_pixels(handle, ImageDecoder.maximumPixelCount, &pixels, message)
        }
        return PixelLayout(
            rows: Int(pixels.rows),
            columns: Int(pixels.columns),
            frames: Int(pixels.frames),
            samples: Int(pixels.samples),
            bitsAllocated: Int(pixels.bits_allocated),
            bitsStored: Int(pixels.bits_stored),
            isSigned: pixels.is_signed != 0
        )
    }

    /// Decodes a frame to its stored values: no lookup table, rescale, window or colour transform is applied.
    ///
    /// - Parameter frame: The number of the frame, from 0.
    /// - Throws: ``ImagingError`` when there is no such frame or it cannot be decoded.
    public func frame(_ frame: Int = 0) throws(ImagingError) -> Frame {
        let layout = try pixelLayout()
        guard (0..<layout.frames).contains(frame) else {
            throw ImagingError(.malformed, file: name, detail: "there is no frame \(frame) of \(layout.frames)")
        }
        let count = layout.rows * layout.columns * layout.samples
        var color: Int32 = 0
        var status: Result<Void, ImagingError> = .success(())
        let values = [Int32](unsafeUninitializedCapacity: count) { buffer, filled in
            guard let start = buffer.baseAddress else { return }
            do throws(ImagingError) {
                try MedicalStatus.check(name: name) { message in
                    medical_dicom_decode(
                        handle,
                        ImageDecoder.maximumPixelCount,
                        Int32(frame),
                        start,
                        count,
                        &color,
                        message
                    )
                }
                filled = count
            } catch {
                status = .failure(error)
            }
        }
        try status.get()
        let named = photometricInterpretation(samples: layout.samples)
        switch UInt32(bitPattern: color) {
        case MEDICAL_COLOR_RGB.rawValue: return Frame(values: values, photometricInterpretation: "RGB")
        case MEDICAL_COLOR_YBR_FULL.rawValue: return Frame(values: values, photometricInterpretation: "YBR_FULL")
        default: return Frame(values: values, photometricInterpretation: named)
        }
    }

    private func photometricInterpretation(samples: Int) -> String {
        text(.photometricInterpretation) ?? (samples == 3 ? "RGB" : "MONOCHROME2")
    }
}

/// Turns the statuses of the C functions into errors.
enum MedicalStatus {
    /// Calls a C function with a message buffer and throws what it reports.
    static func check(name: String, _ body: (UnsafeMutablePointer<CChar>) -> Int32) throws(ImagingError) {
        let capacity = Int(MEDICAL_MESSAGE_CAPACITY)
        let (status, detail): (UInt32, String) = withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) {
            buffer in
            guard let message = buffer.baseAddress else { preconditionFailure("a message buffer is never empty") }
            message.initialize(repeating: 0, count: capacity)
            let status = body(message)
            return (UInt32(bitPattern: status), String(cString: message))
        }
        switch status {
        case MEDICAL_OK.rawValue: return
        case MEDICAL_UNSUPPORTED.rawValue: throw ImagingError(.unsupported, file: name, detail: detail)
        case MEDICAL_TOO_LARGE.rawValue: throw ImagingError(.tooLarge, file: name, detail: detail)
        case MEDICAL_OUT_OF_MEMORY.rawValue: throw ImagingError(.outOfMemory, file: name, detail: detail)
        case MEDICAL_NO_IMAGE.rawValue: throw ImagingError(.noImage, file: name, detail: detail)
        default: throw ImagingError(.malformed, file: name, detail: detail)
        }
    }
}
