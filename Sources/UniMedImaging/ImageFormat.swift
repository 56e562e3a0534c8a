/// The image formats that are read, told apart by their first bytes and never by the file's name.
public enum ImageFormat: String, Sendable, Equatable, CaseIterable {
    case png
    case jpeg
    case tiff
    /// DICOM, with its preamble.
    case dicom
    /// NIfTI-1 or NIfTI-2 with header and voxels in one file, which may be compressed with gzip.
    case nifti
    /// NRRD with header and voxels in one file.
    case nrrd

    /// The format whose signature the bytes start with.
    package init?(signatureOf bytes: UnsafeRawBufferPointer) {
        if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if bytes.count >= 132, bytes[128..<132].elementsEqual("DICM".utf8) {
            // Before TIFF: the preamble of a DICOM file may be the header of one.
            self = .dicom
        } else if bytes.starts(with: [0x49, 0x49, 0x2A, 0x00]) || bytes.starts(with: [0x4D, 0x4D, 0x00, 0x2A])
            || bytes.starts(with: [0x49, 0x49, 0x2B, 0x00]) || bytes.starts(with: [0x4D, 0x4D, 0x00, 0x2B])
        {
            self = .tiff
        } else if bytes.starts(with: "NRRD000".utf8) {
            self = .nrrd
        } else if bytes.starts(with: [0x1F, 0x8B]) || NIfTIHeader.hasSignature(bytes) {
            self = .nifti
        } else {
            return nil
        }
    }
}
