import CMedicalImages
public import Foundation

/// The header of a NIfTI-1 or NIfTI-2 file.
struct NIfTIHeader {
    /// The types of voxels that are read, by NIfTI's codes.
    enum VoxelType: Int, CaseIterable {
        case uint8 = 2
        case int16 = 4
        case int32 = 8
        case float32 = 16
        case float64 = 64
        case int8 = 256
        case uint16 = 512
        case uint32 = 768
        case int64 = 1024
        case uint64 = 1280

        var scalar: ScalarType {
            switch self {
            case .uint8: .uint8
            case .int16: .int16
            case .int32: .int32
            case .float32: .float32
            case .float64: .float64
            case .int8: .int8
            case .uint16: .uint16
            case .uint32: .uint32
            case .int64: .int64
            case .uint64: .uint64
            }
        }
    }

    let version: Int
    let isBigEndian: Bool
    /// Whether header and voxels are in one file.
    let isSingleFile: Bool
    let shape: [Int]
    let type: VoxelType
    let voxelSize: [Double]
    let dataOffset: Int
    let slope: Double
    let intercept: Double
    let displayWindow: GrayWindow?
    /// Three rows of four numbers, in millimetres of right, anterior, superior.
    let affine: [[Double]]

    /// Whether bytes begin as a NIfTI file does that holds voxels as well.
    static func hasSignature(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if bytes.count >= 348, bytes[344..<348].elementsEqual([0x6E, 0x2B, 0x31, 0]) { return true }
        return bytes.count >= 12 && bytes[4..<8].elementsEqual([0x6E, 0x2B, 0x32, 0])
    }

    /// Whether bytes are the header of a NIfTI pair, whose voxels are in another file.
    static func hasPairSignature(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if bytes.count >= 348, bytes[344..<348].elementsEqual([0x6E, 0x69, 0x31, 0]) { return true }
        return bytes.count >= 12 && bytes[4..<8].elementsEqual([0x6E, 0x69, 0x32, 0])
    }

    init(_ bytes: UnsafeRawBufferPointer, name: String) throws(ImagingError) {
        func fault(_ detail: String) -> ImagingError { ImagingError(.malformed, file: name, detail: detail) }
        guard bytes.count >= 348 else { throw fault("the NIfTI header is truncated") }
        let little = bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self)
        let size: UInt32
        switch little {
        case 348, 540: (size, isBigEndian) = (little, false)
        case UInt32(348).byteSwapped, UInt32(540).byteSwapped: (size, isBigEndian) = (little.byteSwapped, true)
        default: throw fault("sizeof_hdr is neither 348 nor 540")
        }
        version = size == 348 ? 1 : 2
        guard bytes.count >= Int(size) else { throw fault("the NIfTI header is truncated") }
        let reader = EndianReader(bytes: bytes, isBigEndian: isBigEndian)
        let isFirst = version == 1
        let magic = Array(bytes[(isFirst ? 344..<348 : 4..<8)])
        switch magic {
        case [0x6E, 0x2B, isFirst ? 0x31 : 0x32, 0]: isSingleFile = true
        case [0x6E, 0x69, isFirst ? 0x31 : 0x32, 0]: isSingleFile = false
        default: throw fault("magic is not that of NIfTI-\(version)")
        }
        let dimensions = (0..<8).map { index in
            isFirst ? Int(reader.integer(40 + 2 * index, Int16.self)) : Int(reader.integer(16 + 8 * index, Int64.self))
        }
        guard (1...7).contains(dimensions[0]) else { throw fault("dim[0] is \(dimensions[0])") }
        for axis in 1...dimensions[0] where !(1...(1 << 32)).contains(dimensions[axis]) {
            throw fault("dim[\(axis)] is \(dimensions[axis])")
        }
        shape = Array(dimensions[1...dimensions[0]])
        let code = Int(reader.integer(isFirst ? 70 : 12, Int16.self))
        guard let type = VoxelType(rawValue: code) else {
            throw ImagingError(.unsupported, file: name, detail: "datatype is \(code)")
        }
        self.type = type
        func real(_ first: Int, _ second: Int) -> Double {
            isFirst ? Double(reader.float32(first)) : reader.float64(second)
        }
        let pixelDimensions = (0..<8).map { real(76 + 4 * $0, 104 + 8 * $0) }
        voxelSize = (1...max(3, dimensions[0])).map { axis in
            pixelDimensions[axis].isFinite ? abs(pixelDimensions[axis]) : 0
        }
        let offset = isFirst ? Double(reader.float32(108)) : Double(reader.integer(168, Int64.self))
        guard offset.isFinite, offset >= 0, offset < 1e15 else { throw fault("vox_offset is \(offset)") }
        let smallest = isSingleFile ? (isFirst ? 352 : 544) : 0
        dataOffset = offset == 0 ? smallest : Int(offset)
        guard !isSingleFile || dataOffset >= Int(size) else { throw fault("vox_offset is \(offset)") }
        let (slope, intercept) = (real(112, 176), real(116, 184))
        if slope == 0 || !slope.isFinite {
            (self.slope, self.intercept) = (1, 0)
        } else {
            guard intercept.isFinite else { throw fault("scl_inter is no number") }
            (self.slope, self.intercept) = (slope, intercept)
        }
        let (brightest, darkest) = (real(124, 192), real(128, 200))
        displayWindow =
            brightest > darkest
            ? GrayWindow(
                center: (brightest + darkest) / 2,
                width: brightest - darkest,
                function: .linearExact
            ) : nil

        let qform = isFirst ? Int(reader.integer(252, Int16.self)) : Int(reader.integer(344, Int32.self))
        let sform = isFirst ? Int(reader.integer(254, Int16.self)) : Int(reader.integer(348, Int32.self))
        if sform > 0 {
            affine = (0..<3).map { row in
                (0..<4).map { real(280 + 16 * row + 4 * $0, 400 + 32 * row + 8 * $0) }
            }
        } else if qform > 0 {
            let quaternion = (0..<3).map { real(256 + 4 * $0, 352 + 8 * $0) }
            let origin = (0..<3).map { real(268 + 4 * $0, 376 + 8 * $0) }
            let sizes = Array(pixelDimensions[1...3])
            guard let map = Self.affine(quaternion, origin, sizes, isFlipped: pixelDimensions[0] < 0) else {
                throw fault("quatern_b, quatern_c and quatern_d are no rotation")
            }
            affine = map
        } else {
            affine = Self.baseAffine(shape: shape, voxelSize: voxelSize)
        }
        guard affine.allSatisfy({ $0.allSatisfy(\.isFinite) }) else { throw fault("the affine map is not finite") }
    }

    /// The map of the quaternion form: rotation, voxel size and the sign of the third axis.
    private static func affine(
        _ q: [Double],
        _ origin: [Double],
        _ sizes: [Double],
        isFlipped: Bool
    ) -> [[Double]]? {
        let (b, c, d) = (q[0], q[1], q[2])
        let rest = 1 - (b * b + c * c + d * d)
        // As much below 0 as rounding to 32 bits may bring it.
        guard rest > -1e-5, sizes.allSatisfy({ $0 >= 0 && $0.isFinite }) else { return nil }
        let a = max(0, rest).squareRoot()
        let rotation: [[Double]] = [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
        let steps: [Double] = [sizes[0], sizes[1], isFlipped ? -sizes[2] : sizes[2]]
        return (0..<3).map { row in zip(rotation[row], steps).map { $0 * $1 } + [origin[row]] }
    }

    /// The map of a file that has none: centred, x flipped, as nibabel has it.
    private static func baseAffine(shape: [Int], voxelSize: [Double]) -> [[Double]] {
        (0..<3).map { row in
            let size = (voxelSize[row] > 0 ? voxelSize[row] : 1) * (row == 0 ? -1 : 1)
            let count = row < shape.count ? shape[row] : 1
            return (0..<3).map { $0 == row ? size : 0 } + [-Double(count - 1) / 2 * size]
        }
    }
}

/// A NIfTI-1 or NIfTI-2 file: `.nii`, `.nii.gz`, or a pair of `.hdr` and `.img`.
///
/// NIfTI is a header over raw or gzip bytes; it is read here, with checked bounds.
public struct NIfTIFile: Sendable {
    private let header: NIfTIHeader
    private let voxels: Data
    /// What errors call the file.
    public let name: String

    private static let pairEndings = [".hdr", ".img", ".hdr.gz", ".img.gz"]
    /// The most bytes of a header, compressed or not, that are read to tell a pair.
    private static let maximumHeaderCount = 1 << 20

    /// The path of a pair's files without their endings; `nil` for a file of another name.
    private static func pairStem(_ url: URL) -> String? {
        pairEndings.first { url.lastPathComponent.hasSuffix($0) }.map { String(url.path.dropLast($0.count)) }
    }

    /// Whether a file is one of a pair of `.hdr` and `.img`, by its name and the content of the header.
    public static func isPair(_ url: URL) -> Bool {
        guard let stem = pairStem(url) else { return false }
        for path in [stem + ".hdr", stem + ".hdr.gz"] {
            guard let file = FileHandle(forReadingAtPath: path) else { continue }
            defer { try? file.close() }
            guard let start = try? file.read(upToCount: maximumHeaderCount),
                let header = try? VolumeData.inflated(start, name: path)
            else { return false }
            return header.withUnsafeBytes { NIfTIHeader.hasPairSignature($0) }
        }
        return false
    }

    /// Opens a file; of a pair, either.
    ///
    /// - Throws: ``ImagingError`` with the file's path.
    public init(contentsOf url: URL) throws(ImagingError) {
        guard let stem = Self.pairStem(url) else {
            self = try NIfTIFile(data: VolumeData.read(url), name: url.path)
            return
        }
        let first = try Self.content(stem, ".hdr")
        let header = try Self.header(first, name: stem + ".hdr")
        try self.init(
            header: header,
            voxels: header.isSingleFile ? first : Self.content(stem, ".img"),
            name: url.path
        )
    }

    private init(header: NIfTIHeader, voxels: Data, name: String) throws(ImagingError) {
        self.header = header
        self.voxels = voxels
        self.name = name
        try checkSize()
    }

    /// One file of a pair, which may be compressed.
    private static func content(_ stem: String, _ kind: String) throws(ImagingError) -> Data {
        for suffix in ["", ".gz"] where FileManager.default.fileExists(atPath: stem + kind + suffix) {
            let file = URL(fileURLWithPath: stem + kind + suffix)
            return try VolumeData.inflated(VolumeData.read(file), name: file.path)
        }
        throw ImagingError(.unreadableFile, file: stem + kind, detail: "the other file of the pair is missing")
    }

    /// Opens the content of a single file.
    ///
    /// - Throws: ``ImagingError`` with the name.
    public init(data: Data, name: String) throws(ImagingError) {
        let voxels = try VolumeData.inflated(data, name: name)
        let header = try Self.header(voxels, name: name)
        guard header.isSingleFile else {
            throw ImagingError(
                .noImage,
                file: name,
                detail: "the voxels are in another file, which has the ending .img"
            )
        }
        try self.init(header: header, voxels: voxels, name: name)
    }

    private static func header(_ data: Data, name: String) throws(ImagingError) -> NIfTIHeader {
        let result: Result<NIfTIHeader, ImagingError> = data.withUnsafeBytes { bytes in
            do throws(ImagingError) {
                return .success(try NIfTIHeader(bytes, name: name))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func checkSize() throws(ImagingError) {
        let there = max(0, voxels.count - header.dataOffset)
        let needs = header.shape.reduce(header.type.scalar.byteCount as Int?) { total, count in
            total.flatMap { $0.product(with: count) }
        }
        guard let needs, needs <= there else {
            let sizes = header.shape.map(String.init).joined(separator: " x ")
            throw ImagingError(.malformed, file: name, detail: "dim says \(sizes) voxels, there are \(there) bytes")
        }
    }

    /// 1 or 2.
    public var version: Int { header.version }
    /// Whether numbers are written with the largest byte first.
    public var isBigEndian: Bool { header.isBigEndian }
    /// The number of voxels along each axis: columns, rows, slices, time, ….
    public var shape: [Int] { header.shape }
    /// The extent of a voxel along each axis, in the units of the file (mostly millimetres).
    public var voxelSize: [Double] { header.voxelSize }
    /// NIfTI's code of the type of voxels.
    public var datatypeCode: Int { header.type.rawValue }
    /// The factor of stored values; 1 where the file has none.
    public var slope: Double { header.slope }
    /// What is added to stored values times the factor.
    public var intercept: Double { header.intercept }
    /// The place of a voxel in the patient (see ``ImageVolume/affine``): of sform, else qform, else centred.
    public var affine: [[Double]] { header.affine }
    /// The number of volumes: the product of the axes behind the third.
    public var volumeCount: Int { shape.dropFirst(3).reduce(1, *) }

    /// One volume of the file.
    ///
    /// - Parameter index: Its number along the axes behind the third, the fourth fastest.
    /// - Returns: The values after slope and intercept; the first axis of the file are the columns.
    /// - Throws: ``ImagingError`` when there is no such volume or it has more than
    ///   ``ImageVolume/maximumVoxelCount`` voxels.
    public func volume(at index: Int = 0) throws(ImagingError) -> ImageVolume {
        guard (0..<volumeCount).contains(index) else {
            throw ImagingError(.malformed, file: name, detail: "there is no volume \(index) of \(volumeCount)")
        }
        let sizes = (0..<3).map { $0 < shape.count ? shape[$0] : 1 }
        let count = sizes.reduce(1, *)
        guard count <= ImageVolume.maximumVoxelCount else {
            throw ImagingError(.tooLarge, file: name, detail: "\(count) voxels")
        }
        let values = VolumeData.scaled(
            voxels,
            type: header.type.scalar,
            isBigEndian: header.isBigEndian,
            byteOffset: header.dataOffset + index * count * header.type.scalar.byteCount,
            count: count,
            stride: 1,
            slope: header.slope,
            intercept: header.intercept
        )
        return ImageVolume(
            slices: sizes[2],
            rows: sizes[1],
            columns: sizes[0],
            values: values,
            affine: header.affine
        )
    }

    func picture(rendering: GrayRendering) throws(ImagingError) -> RGBImage {
        try volume().middlePicture(rendering: rendering, fileWindow: header.displayWindow)
    }

    func pictureSize() throws(ImagingError) -> ImageFile.Size {
        let sizes = (0..<3).map { $0 < shape.count ? shape[$0] : 1 }
        return try VolumeOrientation.pictureSize(sizes: sizes, affine: affine, name: name)
    }
}
