public import Foundation

/// Writes small NIfTI-1 and NIfTI-2 files of 16-bit voxels.
public struct NIfTIBuilder: Sendable {
    /// 1 or 2.
    public var version = 1
    /// Whether numbers are written with the largest byte first.
    public var isBigEndian = false
    /// Whether header and voxels are in one file.
    public var isSingleFile = true
    /// The number of voxels along each axis.
    public var shape: [Int]
    /// The voxels, the first axis fastest.
    public var voxels: [Int16]
    /// The extent of a voxel along each axis.
    public var voxelSize: [Double] = [1, 1, 1, 1]
    /// The factor and what is added.
    public var scaling: (slope: Double, intercept: Double) = (0, 0)
    /// Where the voxels begin; 0 is right behind the header.
    public var voxelOffset = 0
    /// The code and the rows of the affine map.
    public var sform: (code: Int, rows: [[Double]]) = (0, [])
    /// The code, the quaternion's b, c and d, and the origin.
    public var qform: (code: Int, quaternion: [Double], origin: [Double]) = (0, [0, 0, 0], [0, 0, 0])
    /// The sign of the third axis in the quaternion form.
    public var qfac = 1.0

    /// Describes a file.
    public init(shape: [Int], voxels: [Int16]) {
        self.shape = shape
        self.voxels = voxels
    }

    /// The header and, in a single file, the voxels.
    public func data() -> Data { Data(header() + (isSingleFile ? body() : [])) }

    /// The voxels alone.
    public func voxelData() -> Data { Data(body()) }

    /// The same as ``data()``, as gzip.
    public func compressedData() -> Data { Data(StoredDeflate.gzip([UInt8](data()))) }

    private func body() -> [UInt8] {
        voxels.flatMap { voxel -> [UInt8] in bytes(UInt64(UInt16(bitPattern: voxel)), 2) }
    }

    private func bytes(_ number: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { index in
            UInt8(truncatingIfNeeded: number >> UInt64(8 * (isBigEndian ? count - 1 - index : index)))
        }
    }

    private func header() -> [UInt8] {
        let isFirst = version == 1
        var header = [UInt8](repeating: 0, count: isFirst ? 352 : 544)
        func put(_ value: [UInt8], at offset: Int) {
            header.replaceSubrange(offset..<offset + value.count, with: value)
        }
        func integer(_ value: Int, _ count: Int, at offset: Int) {
            put(bytes(UInt64(bitPattern: Int64(value)), count), at: offset)
        }
        func real(_ value: Double, _ first: Int, _ second: Int) {
            if isFirst {
                put(bytes(UInt64(Float(value).bitPattern), 4), at: first)
            } else {
                put(bytes(value.bitPattern, 8), at: second)
            }
        }
        integer(isFirst ? 348 : 540, 4, at: 0)
        for (index, size) in ([shape.count] + shape).enumerated() {
            if isFirst { integer(size, 2, at: 40 + 2 * index) } else { integer(size, 8, at: 16 + 8 * index) }
        }
        integer(4, 2, at: isFirst ? 70 : 12)
        integer(16, 2, at: isFirst ? 72 : 14)
        for (index, size) in ([qfac] + voxelSize).enumerated() { real(size, 76 + 4 * index, 104 + 8 * index) }
        if isFirst { real(Double(voxelOffset), 108, 0) } else { integer(voxelOffset, 8, at: 168) }
        real(scaling.slope, 112, 176)
        real(scaling.intercept, 116, 184)
        integer(qform.code, isFirst ? 2 : 4, at: isFirst ? 252 : 344)
        integer(sform.code, isFirst ? 2 : 4, at: isFirst ? 254 : 348)
        for (index, number) in (qform.quaternion + qform.origin).enumerated() {
            real(number, 256 + 4 * index, 352 + 8 * index)
        }
        for (row, numbers) in sform.rows.enumerated() {
            for (column, number) in numbers.enumerated() {
                real(number, 280 + 16 * row + 4 * column, 400 + 32 * row + 8 * column)
            }
        }
        let magic = Array((isSingleFile ? "n+" : "ni").utf8) + [isFirst ? 0x31 : 0x32, 0]
        put(isFirst ? magic : magic + [0x0D, 0x0A, 0x1A, 0x0A], at: isFirst ? 344 : 4)
        return isSingleFile ? header : Array(header.prefix(isFirst ? 348 : 540))
    }
}
