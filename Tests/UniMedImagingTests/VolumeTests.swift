import Foundation
import Testing
import UniMedImaging
import UniMedImagingTesting

@Suite("Volumes")
struct VolumeTests {
    /// A volume in which one box is bright.
    private func volume(with box: VoxelBox, directions: [PatientDirection]) -> ImageVolume {
        let (columns, rows, slices) = (7, 5, 4)
        var values = [Float](repeating: 0, count: columns * rows * slices)
        for slice in box.slices {
            for row in box.rows {
                for column in box.columns { values[(slice * rows + row) * columns + column] = 1 }
            }
        }
        var affine = [[Double]](repeating: [0, 0, 0, 0], count: 3)
        for (axis, direction) in directions.enumerated() {
            affine[direction.axis][axis] = (direction.isPositive ? 1 : -1) * Double(axis + 1)
        }
        for axis in 0..<3 { affine[axis][3] = Double(10 * axis) }
        return ImageVolume(slices: slices, rows: rows, columns: columns, values: values, affine: affine)
    }

    /// The smallest box around everything bright.
    private func brightBox(_ volume: ImageVolume) -> VoxelBox {
        var found: [(Int, Int, Int)] = []
        for (index, value) in volume.values.enumerated() where value > 0.5 {
            let inSlice = index % (volume.rows * volume.columns)
            found.append((inSlice % volume.columns, inSlice / volume.columns, index / (volume.rows * volume.columns)))
        }
        func range(_ numbers: [Int]) -> Range<Int> { (numbers.min() ?? 0)..<(numbers.max() ?? -1) + 1 }
        return VoxelBox(columns: range(found.map(\.0)), rows: range(found.map(\.1)), slices: range(found.map(\.2)))
    }

    private func place(_ volume: ImageVolume, _ column: Int, _ row: Int, _ slice: Int) -> [Double] {
        volume.affine.map { $0[0] * Double(column) + $0[1] * Double(row) + $0[2] * Double(slice) + $0[3] }
    }

    @Test func `a box is where it was drawn after every change of orientation`() throws {
        let box = VoxelBox(columns: 1..<3, rows: 0..<4, slices: 2..<3)
        let all: [[PatientDirection]] = [[.right, .left], [.anterior, .posterior], [.superior, .inferior]]
        var orientations: [[PatientDirection]] = []
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for signs in 0..<8 { orientations.append(order.enumerated().map { all[$1][signs >> $0 & 1] }) }
        }
        let original = volume(with: box, directions: [.left, .posterior, .superior])
        #expect(brightBox(original) == box)
        for directions in orientations {
            let orientation = VolumeOrientation(to: directions, from: original)
            let turned = orientation.apply(to: original)
            #expect(turned.directions == directions)
            let mapped = orientation.map(box)
            #expect(brightBox(turned) == mapped)
            // The same corner of the patient: the bright voxels are where they were in millimetres.
            let corners = { (volume: ImageVolume, box: VoxelBox) in
                Set(
                    [box.columns.lowerBound, box.columns.upperBound - 1].flatMap { column in
                        [box.rows.lowerBound, box.rows.upperBound - 1].flatMap { row in
                            [box.slices.lowerBound, box.slices.upperBound - 1].map { slice in
                                place(volume, column, row, slice)
                            }
                        }
                    }
                )
            }
            #expect(corners(turned, mapped) == corners(original, box))
            let back = VolumeOrientation(to: [.left, .posterior, .superior], from: turned)
            #expect(back.apply(to: turned) == original)
            #expect(back.map(mapped) == box)
        }
    }

    @Test func `a box is where it was drawn in a slice's picture, also when that is resized`() throws {
        let box = VoxelBox(columns: 2..<5, rows: 1..<4, slices: 1..<2)
        let original = volume(with: box, directions: [.right, .inferior, .anterior])
        let orientation = original.acquisitionOrientation()
        let turned = orientation.apply(to: original)
        let mapped = orientation.map(box)
        let picture = turned.picture(slice: mapped.slices.lowerBound, rendering: .fullRange)
        for y in 0..<picture.height {
            for x in 0..<picture.width {
                let isInside = mapped.columns.contains(x) && mapped.rows.contains(y)
                #expect(picture[x, y].red == (isInside ? 255 : 0))
            }
        }
        let scale = 8
        let large = PillowResizer.resize(picture, width: picture.width * scale, height: picture.height * scale)
        // Edges are blurred by the resizing: half as bright is the border.
        let bright = (0..<large.width * large.height).filter { large.pixels[3 * $0] > 127 }
        #expect((bright.map { $0 % large.width }.min() ?? -1) == mapped.columns.lowerBound * scale)
        #expect((bright.map { $0 % large.width }.max() ?? -1) == mapped.columns.upperBound * scale - 1)
        #expect((bright.map { $0 / large.width }.min() ?? -1) == mapped.rows.lowerBound * scale)
        #expect((bright.map { $0 / large.width }.max() ?? -1) == mapped.rows.upperBound * scale - 1)
    }

    @Test func `the axis with the longest voxels becomes that of the slices`() throws {
        // Columns 1 mm, rows 2 mm, slices 3 mm to the right: sagittal.
        let values = [Float](repeating: 0, count: 24)
        let affine: [[Double]] = [[0, 0, 3, 0], [1, 0, 0, 0], [0, 2, 0, 0]]
        let volume = ImageVolume(slices: 2, rows: 3, columns: 4, values: values, affine: affine)
        let turned = volume.acquisitionOrientation().apply(to: volume)
        #expect(turned.directions == [.posterior, .inferior, .right])
        let other = ImageVolume(
            slices: 4,
            rows: 2,
            columns: 3,
            values: values,
            affine: [[5, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
        )
        let sliced = other.acquisitionOrientation().apply(to: other)
        #expect(sliced.slices == 3 && sliced.directions[2] == .right)
        #expect(other.canonical().directions == [.right, .anterior, .superior])
    }

    // MARK: - NIfTI

    @Test(arguments: [1, 2], [false, true])
    func `NIfTI in both versions and byte orders`(version: Int, isBigEndian: Bool) throws {
        let voxels = (0..<48).map { Int16($0 * 100 - 2000) }
        var builder = NIfTIBuilder(shape: [4, 3, 2, 2], voxels: voxels)
        builder.version = version
        builder.isBigEndian = isBigEndian
        for data in [builder.data(), builder.compressedData()] {
            let file = try NIfTIFile(data: data, name: "made")
            #expect(file.version == version && file.isBigEndian == isBigEndian && file.shape == [4, 3, 2, 2])
            #expect(file.volumeCount == 2)
            // A slope of 0 is none.
            #expect(try file.volume(at: 0).values == voxels[..<24].map(Float.init))
            #expect(try file.volume(at: 1).values == voxels[24...].map(Float.init))
            #expect(throws: ImagingError.self) { try file.volume(at: 2) }
            #expect(try ImageFile.size(ofData: data, name: "made") == ImageFile.Size(width: 4, height: 3))
        }
        builder.scaling = (2, -3)
        #expect(try NIfTIFile(data: builder.data(), name: "made").volume().values[5] == Float(voxels[5]) * 2 - 3)
    }

    @Test func `the affine map is that of sform, else qform, else the centred one`() throws {
        var builder = NIfTIBuilder(shape: [5, 3, 2], voxels: [Int16](repeating: 0, count: 30))
        builder.voxelSize = [2, 3, 4]
        // nibabel: x is flipped, the middle of the volume is the origin.
        #expect(
            try NIfTIFile(data: builder.data(), name: "base").affine == [
                [-2, 0, 0, 4], [0, 3, 0, -3], [0, 0, 4, -2],
            ]
        )
        // A quarter turn about z, and the third axis the other way.
        builder.qform = (1, [0, 0, 0.5.squareRoot()], [7, 8, 9])
        builder.qfac = -1
        let turned = try NIfTIFile(data: builder.data(), name: "qform").affine
        let rows: [[Double]] = [[0, -3, 0, 7], [2, 0, 0, 8], [0, 0, -4, 9]]
        for (row, expected) in rows.enumerated() {
            for (column, number) in expected.enumerated() { #expect(abs(turned[row][column] - number) < 1e-6) }
        }
        builder.sform = (2, [[1, 0, 0, 5], [0, 0, 1, 6], [0, 1, 0, 7]])
        #expect(
            try NIfTIFile(data: builder.data(), name: "sform").affine == [[1, 0, 0, 5], [0, 0, 1, 6], [0, 1, 0, 7]]
        )
        builder.sform.code = 0
        builder.qform.quaternion = [1, 1, 1]
        #expect(throws: ImagingError.self) { try NIfTIFile(data: builder.data(), name: "no rotation") }
    }

    @Test func `a pair of files is opened by either, and not without the other`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "nifti-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var builder = NIfTIBuilder(shape: [2, 2, 1], voxels: [1, 2, 3, 4])
        builder.isSingleFile = false
        try builder.data().write(to: folder.appending(path: "a.hdr"))
        #expect(throws: ImagingError.self) { try NIfTIFile(contentsOf: folder.appending(path: "a.hdr")) }
        try builder.voxelData().write(to: folder.appending(path: "a.img"))
        for name in ["a.hdr", "a.img"] {
            let url = folder.appending(path: name)
            #expect(try NIfTIFile(contentsOf: url).volume().values == [1, 2, 3, 4])
            #expect(NIfTIFile.isPair(url) && VolumeFile.isVolume(url))
            let picture = try ImageDecoder.decode(contentsOf: url, rendering: .fullRange)
            #expect(picture.width == 2 && picture.height == 2 && Set(picture.pixels) == [0, 85, 170, 255])
            #expect(try ImageFile.size(of: url) == ImageFile.Size(width: 2, height: 2))
            #expect(try VolumeFile.read(url).values.sorted() == [1, 2, 3, 4])
        }
        // Files of other formats with these endings are what their content says.
        try Data(PNGEncoder.encode(RGBImage(width: 1, height: 1, pixels: [1, 2, 3])))
            .write(to: folder.appending(path: "b.img"))
        #expect(!NIfTIFile.isPair(folder.appending(path: "b.img")))
        #expect(try ImageDecoder.decode(contentsOf: folder.appending(path: "b.img")).pixels == [1, 2, 3])
    }

    @Test func `NIfTI files that say more than they hold are refused`() throws {
        let whole = NIfTIBuilder(shape: [2, 2, 2], voxels: [Int16](repeating: 1, count: 8)).data()
        #expect(throws: ImagingError.self) { try NIfTIFile(data: whole.dropLast(), name: "cut") }
        var large = NIfTIBuilder(shape: [32767, 32767, 32767], voxels: [1])
        #expect(throws: ImagingError.self) { try NIfTIFile(data: large.data(), name: "lie") }
        large.version = 2
        large.shape = [1 << 31, 1 << 31, 1 << 31]
        #expect(throws: ImagingError.self) { try NIfTIFile(data: large.data(), name: "overflow") }
    }

    // MARK: - NRRD

    @Test func `NRRD with raw, gzip and ASCII numbers, in one file and in two`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "nrrd-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let space =
            "space: left-posterior-superior\nspace directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)\n"
        func header(_ encoding: String, _ more: String = "", type: String = "short") -> Data {
            Data(
                ("NRRD0004\n# a comment\ntype: \(type)\ndimension: 3\nsizes: 2 2 2\nendian: big\n"
                    + "encoding: \(encoding)\n\(space)key:=value\n\(more)\n").utf8
            )
        }
        let numbers = Data((0..<8).flatMap { [UInt8(0), UInt8($0)] })
        let text = Data("0 1 2\n3 4 5, 6 7\n".utf8)
        let expected = (0..<8).map(Float.init)
        for data in [
            header("raw") + numbers, header("ascii") + text, header("raw", "byte skip: -1\n") + text + numbers,
        ] {
            let volume = try NRRDFile(data: data, name: "made").volume()
            #expect(volume.values == expected)
            #expect(volume.affine == [[-2, 0, 0, -10], [0, -3, 0, -20], [0, 0, 4, 30]])
        }
        try numbers.write(to: folder.appending(path: "v.raw"))
        let url = folder.appending(path: "v.nhdr")
        try header("raw", "data file: v.raw\n").write(to: url)
        #expect(try NRRDFile(contentsOf: url).volume().values == expected)
        #expect(throws: ImagingError.self) { try NRRDFile(data: header("raw", "data file: v.raw\n"), name: "alone") }
        try header("raw", "data file: ../v.raw\n").write(to: url)
        #expect(throws: ImagingError.self) { try NRRDFile(contentsOf: url) }
        #expect(throws: ImagingError.self) { try NRRDFile(data: header("raw") + numbers.dropLast(), name: "cut") }
        #expect(throws: ImagingError.self) { try NRRDFile(data: header("bzip2") + numbers, name: "other") }
        let picture = try ImageDecoder.decode(data: header("raw") + numbers, name: "made")
        // The slice in the middle, from its smallest to its largest value.
        #expect(picture.pixels[0] == 0 && picture.pixels[9] == 255)
    }

    @Test func `axes of an NRRD file that are not of space are volumes`() throws {
        let header =
            "NRRD0005\ntype: uchar\ndimension: 4\nsizes: 2 2 1 2\nencoding: raw\nspace: RAS\n"
            + "space directions: none (1,0,0) (0,1,0) (0,0,1)\n\n"
        let file = try NRRDFile(data: Data(header.utf8) + Data(0..<8), name: "made")
        #expect(file.volumeCount == 2)
        #expect(try file.volume(at: 0).values == [0, 2, 4, 6])
        #expect(try file.volume(at: 1).values == [1, 3, 5, 7])
    }
}
