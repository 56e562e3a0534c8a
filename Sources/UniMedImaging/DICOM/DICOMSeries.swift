public import Foundation

/// Slices of one series that make up a volume.
///
/// Slices belong together by Series Instance UID, direction and size; their order is that of their places along the
/// normal of the slices, never that of file names.
public struct DICOMSeries: Sendable {
    /// What is noteworthy about the places of slices.
    public enum Finding: Sendable, Equatable {
        /// So many slices lie where another one does; the volume has the one with the lowest instance number.
        case duplicates(count: Int)
        /// Slices are missing: so many at the places of a gap.
        case gap(afterSlice: Int, missing: Int)
        /// Distances differ by more than a hundredth; the volume has their mean.
        case unequalSpacing(smallest: Double, largest: Double)
        /// Slices follow each other at an angle to their normal (a tilted gantry), in degrees; the volume is sheared as
        /// its affine map says.
        case tilt(degrees: Double)
        /// Slices have no place in the patient; they are in the order of their instance numbers.
        case noPlaces
    }

    /// One file.
    public struct Slice: Sendable {
        /// The file.
        public let url: URL
        /// The number of frames in it.
        public let frameCount: Int
        /// How it was taken.
        public let technical: DICOMTechnicalFields
        /// Why its pixels may tell who the patient is.
        public let pixelRisks: [DICOMFile.PixelRisk]
        /// The first window that the file names; `nil` where it has none.
        public let window: GrayWindow?
        /// Whether small values are meant to be white (MONOCHROME1).
        public let isInverted: Bool
        let plane: DICOMFile.Plane?
        let instanceNumber: Int
    }

    /// The Series Instance UID: identifies, so that it belongs into no log.
    public let instanceUID: String
    /// The Study Instance UID: identifies as well.
    public let studyUID: String?
    /// The Patient ID: identifies.
    public let patientID: String?
    /// CT, MR, ….
    public let modality: String?
    /// The slices in order, without those that lie where another one does.
    public let slices: [Slice]
    /// The height of a slice in pixels.
    public let rows: Int
    /// The width of a slice in pixels.
    public let columns: Int
    /// What is noteworthy.
    public let findings: [Finding]
    /// The mean distance of neighbouring slices in millimetres; `nil` for one slice, or without places.
    public var spacing: Double? {
        guard let affine, slices.count > 1 else { return nil }
        return affine.map { $0[2] }.length
    }
    private let affine: [[Double]]?

    /// What is in a folder.
    public struct Scan: Sendable {
        /// The series, in the order of study, series and the place of the first slice.
        public var series: [DICOMSeries] = []
        /// DICOM files that cannot be read or hold no picture, and why, in the order of paths.
        public var rejected: [ImagingError] = []
        /// The number of files that are not DICOM files, a DICOMDIR among them.
        public var otherFileCount = 0
    }

    /// Finds the series in a folder and all folders in it.
    ///
    /// - Throws: ``ImagingError`` when the folder cannot be read.
    public static func scan(_ folder: URL) throws(ImagingError) -> Scan {
        var urls: [URL] = []
        guard
            let enumerator = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: [.isRegularFileKey])
        else { throw ImagingError(.unreadableFile, file: folder.path) }
        for case let url as URL in enumerator {
            guard (try? url.resourceValues(forKeys: [.isRegularFileKey]))?.isRegularFile == true else { continue }
            urls.append(url)
        }
        return scan(files: urls.sorted { $0.path < $1.path })
    }

    /// Finds the series among files.
    public static func scan(files: [URL]) -> Scan {
        var scan = Scan()
        var groups: [Key: [Slice]] = [:]
        for url in files {
            do throws(ImagingError) {
                guard let (key, slice) = try read(url) else {
                    scan.otherFileCount += 1
                    continue
                }
                groups[key, default: []].append(slice)
            } catch {
                scan.rejected.append(error)
            }
        }
        for (key, slices) in groups {
            do throws(ImagingError) {
                scan.series.append(try DICOMSeries(key: key, slices: slices))
            } catch {
                scan.rejected.append(error)
            }
        }
        scan.series.sort { first, second in
            let a = (first.studyUID ?? "", first.instanceUID, first.slices[0].url.path)
            let b = (second.studyUID ?? "", second.instanceUID, second.slices[0].url.path)
            return a < b
        }
        return scan
    }

    private struct Key: Hashable {
        var series: String
        var study: String?
        var patient: String?
        var modality: String?
        var rows: Int
        var columns: Int
        /// The directions in thousandths; `nil` without a place.
        var orientation: [Int]?
        /// Files of several frames are volumes of their own.
        var file: String?
    }

    /// A slice and where it belongs; `nil` for what is not a DICOM file, or is a DICOMDIR.
    private static func read(_ url: URL) throws(ImagingError) -> (Key, Slice)? {
        let data: Data
        do {
            let handle = try FileHandle(forReadingFrom: url)
            defer { try? handle.close() }
            let start = try handle.read(upToCount: 132) ?? Data()
            guard start.count == 132, start.suffix(4).elementsEqual("DICM".utf8) else { return nil }
            data = try start + (handle.readToEnd() ?? Data())
        } catch {
            throw ImagingError(.unreadableFile, file: url.path)
        }
        let file = try DICOMFile(data: data, name: url.path)
        // Media Storage Directory Storage: a DICOMDIR.
        if file.numbers(DICOMTag(0x0004, 0x1130)) != nil || file.itemCount(DICOMTag(0x0004, 0x1220)) > 0 { return nil }
        let layout = try file.pixelLayout()
        guard let series = file.text(.seriesInstanceUID) else {
            throw ImagingError(.malformed, file: url.path, detail: "(0020,000E) Series Instance UID is missing")
        }
        let plane = file.plane()
        let directions = plane.map { $0.columnDirection + $0.rowDirection }
        let key = Key(
            series: series,
            study: file.text(.studyInstanceUID),
            patient: file.text(.patientID),
            modality: file.text(.modality),
            rows: layout.rows,
            columns: layout.columns,
            orientation: directions?.map { Int(($0 * 1000).rounded()) },
            file: layout.frames > 1 ? url.path : nil
        )
        let number = file.numbers(.instanceNumber)?.first ?? 0
        let slice = Slice(
            url: url,
            frameCount: layout.frames,
            technical: DICOMTechnicalFields(file),
            pixelRisks: file.pixelRisks,
            window: file.windows(frame: layout.frames / 2).first,
            isInverted: file.text(.photometricInterpretation) == "MONOCHROME1",
            plane: plane,
            instanceNumber: Int(number.clamped(to: -1e9...1e9))
        )
        return (key, slice)
    }

    private init(key: Key, slices: [Slice]) throws(ImagingError) {
        instanceUID = key.series
        studyUID = key.study
        patientID = key.patient
        modality = key.modality
        rows = key.rows
        columns = key.columns
        let numbered = slices.sorted { ($0.instanceNumber, $0.url.path) < ($1.instanceNumber, $1.url.path) }
        let planes = numbered.compactMap(\.plane)
        guard planes.count == numbered.count, key.file == nil else {
            self.slices = numbered
            affine = nil
            findings = key.file == nil ? [.noPlaces] : []
            return
        }
        let stack = try SliceStack(planes: planes, name: numbered[0].url.path)
        self.slices = stack.order.map { numbered[$0] }
        affine = stack.affine
        var findings: [Finding] = []
        if !stack.duplicates.isEmpty { findings.append(.duplicates(count: stack.duplicates.count)) }
        let sorted = stack.distances.sorted()
        if let smallest = sorted.first, let largest = sorted.last {
            let median = sorted[sorted.count / 2]
            for (index, distance) in stack.distances.enumerated() where distance > 1.5 * median {
                findings.append(.gap(afterSlice: index, missing: Int((distance / median).rounded()) - 1))
            }
            if largest - smallest > 0.01 * median {
                findings.append(.unequalSpacing(smallest: smallest, largest: largest))
            }
        }
        if stack.tilt > 0.5 { findings.append(.tilt(degrees: stack.tilt)) }
        self.findings = findings
    }

    /// The slices as a volume, in the units of the modality.
    ///
    /// - Throws: ``ImagingError`` when a file has changed since or cannot be decoded, slices have no places, or there are
    ///   more than ``ImageVolume/maximumVoxelCount`` voxels.
    public func volume() throws(ImagingError) -> ImageVolume {
        if slices.count == 1, slices[0].frameCount > 1 { return try DICOMFile(contentsOf: slices[0].url).volume() }
        guard let affine else {
            let detail = "(0020,0032) Image Position or (0020,0037) Image Orientation is missing"
            throw ImagingError(.malformed, file: slices[0].url.path, detail: detail)
        }
        let voxels = rows * columns * slices.count
        guard voxels <= ImageVolume.maximumVoxelCount else {
            throw ImagingError(.tooLarge, file: slices[0].url.path, detail: "\(voxels) voxels")
        }
        var values: [Float] = []
        values.reserveCapacity(voxels)
        for slice in slices {
            let file = try DICOMFile(contentsOf: slice.url)
            let layout = try file.pixelLayout()
            guard layout.rows == rows, layout.columns == columns else {
                throw ImagingError(.malformed, file: slice.url.path, detail: "the file has changed")
            }
            values += try file.values()
        }
        return ImageVolume(slices: slices.count, rows: rows, columns: columns, values: values, affine: affine)
    }
}
