/// What can go wrong between an image file and its pixels; the description names the file.
public struct ImagingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of failure.
    public enum Kind: String, Sendable, Equatable, CaseIterable {
        /// The file is missing or may not be read.
        case unreadableFile = "the file cannot be read"
        /// The data are of no format that is read.
        case unknownFormat = "this is not a PNG, JPEG, TIFF, DICOM, NIfTI or NRRD image"
        /// The data are truncated or corrupt.
        case malformed = "the image is damaged"
        /// The data are well-formed, of a kind that is not read.
        case unsupported = "this kind of image is not supported"
        /// The data are well-formed and hold no picture.
        case noImage = "the file holds no image"
        /// The picture has more pixels than are read.
        case tooLarge = "the image is too large"
        /// There is not enough memory for the picture.
        case outOfMemory = "there is not enough memory for the image"
        /// The picture could not be encoded.
        case encodingFailed = "the image cannot be encoded"
    }

    /// The kind of failure.
    public let kind: Kind
    /// The file's path, or the name given to data in memory.
    public let file: String
    /// What was found, in one line; may be empty.
    public let detail: String

    /// Makes an error.
    public init(_ kind: Kind, file: String, detail: String = "") {
        self.kind = kind
        self.file = file
        self.detail = detail
    }

    /// The file, the kind of failure and what was found, in one line.
    public var description: String {
        detail.isEmpty ? "\(file): \(kind.rawValue)" : "\(file): \(kind.rawValue) (\(detail))"
    }

    /// The kind of failure alone: no dynamic text, so that it names no patient.
    public var shortDescription: String { kind.rawValue }
}
