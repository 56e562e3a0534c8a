public import Foundation

/// Reads volumes of any format: NIfTI (of a pair either file), NRRD, DICOM with several frames, or a folder with one
/// DICOM series.
public enum VolumeFile {
    /// Reads a volume and turns its slices as they would stand in DICOM files.
    ///
    /// Of a file with several volumes the first one is read.
    ///
    /// - Parameter url: A file, whose format is told by its content, or a folder of DICOM files.
    /// - Throws: ``ImagingError`` when it is none, cannot be read, or a folder has more or fewer than one series.
    public static func read(_ url: URL) throws(ImagingError) -> ImageVolume {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
            let series = try DICOMSeries.scan(url).series
            guard series.count == 1 else {
                throw ImagingError(.malformed, file: url.path, detail: "\(series.count) DICOM series, expected one")
            }
            return try series[0].volume()
        }
        if NIfTIFile.isPair(url) { return standing(try NIfTIFile(contentsOf: url).volume()) }
        let data: Data
        do {
            data = try Data(contentsOf: url, options: .mappedIfSafe)
        } catch {
            throw ImagingError(.unreadableFile, file: url.path)
        }
        switch data.withUnsafeBytes({ ImageFormat(signatureOf: $0) }) {
        case .dicom: return try DICOMFile(data: data, name: url.path).volume()
        case .nifti: return standing(try NIfTIFile(data: data, name: url.path).volume())
        case .nrrd: return standing(try NRRDFile(data: data, name: url.path).volume())
        case .png, .jpeg, .tiff, nil:
            throw ImagingError(.unknownFormat, file: url.path, detail: "no format of volumes")
        }
    }

    /// Whether a file's content is that of a volume: NIfTI, NRRD, or DICOM with several frames that have places.
    public static func isVolume(_ url: URL) -> Bool {
        if NIfTIFile.isPair(url) { return true }
        guard let file = try? FileHandle(forReadingFrom: url) else { return false }
        defer { try? file.close() }
        guard let start = try? file.read(upToCount: 1024) else { return false }
        let format = start.withUnsafeBytes { ImageFormat(signatureOf: $0) }
        if format == .dicom {
            guard let dicom = try? DICOMFile(contentsOf: url), let layout = try? dicom.pixelLayout() else {
                return false
            }
            return layout.frames > 1 && dicom.hasFramePlaces
        }
        return format == .nifti || format == .nrrd
    }

    /// Whether a file begins as a DICOM file does.
    public static func isDICOM(_ url: URL) -> Bool {
        guard let file = try? FileHandle(forReadingFrom: url) else { return false }
        defer { try? file.close() }
        guard let start = try? file.read(upToCount: 132) else { return false }
        return start.withUnsafeBytes { ImageFormat(signatureOf: $0) } == .dicom
    }

    private static func standing(_ volume: ImageVolume) -> ImageVolume {
        VolumeOrientation.display(sizes: [volume.columns, volume.rows, volume.slices], affine: volume.affine)
            .apply(to: volume)
    }
}
