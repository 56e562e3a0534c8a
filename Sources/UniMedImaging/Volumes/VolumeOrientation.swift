/// A direction in the patient.
public enum PatientDirection: String, Sendable, Equatable, Hashable, CaseIterable {
    /// To the patient's left.
    case left = "L"
    /// To the patient's right.
    case right = "R"
    /// To the front.
    case anterior = "A"
    /// To the back.
    case posterior = "P"
    /// To the head.
    case superior = "S"
    /// To the feet.
    case inferior = "I"

    /// The axis: 0 is right and left, 1 front and back, 2 head and feet.
    public var axis: Int {
        switch self {
        case .left, .right: 0
        case .anterior, .posterior: 1
        case .superior, .inferior: 2
        }
    }

    /// Whether it is right, anterior or superior, the directions in which patient coordinates grow.
    public var isPositive: Bool { [.right, .anterior, .superior].contains(self) }

    init(axis: Int, isPositive: Bool) {
        self =
            axis == 0
            ? (isPositive ? .right : .left)
            : axis == 1 ? (isPositive ? .anterior : .posterior) : (isPositive ? .superior : .inferior)
    }
}

/// A part of a volume: half-open ranges of voxels.
public struct VoxelBox: Sendable, Equatable, Hashable {
    /// The columns.
    public var columns: Range<Int>
    /// The rows.
    public var rows: Range<Int>
    /// The slices.
    public var slices: Range<Int>

    /// Makes a box.
    public init(columns: Range<Int>, rows: Range<Int>, slices: Range<Int>) {
        self.columns = columns
        self.rows = rows
        self.slices = slices
    }
}

/// How the axes of a volume are exchanged and turned round; nothing is interpolated.
public struct VolumeOrientation: Sendable, Equatable {
    /// For each new axis (columns, rows, slices) the axis that it was.
    public let sources: [Int]
    /// For each new axis whether it runs the other way.
    public let flips: [Bool]
    /// The old numbers of columns, rows and slices.
    public let sizes: [Int]

    /// The orientation that gives axes certain directions.
    ///
    /// - Parameters:
    ///   - directions: Where columns, rows and slices are to grow; one of each axis of the patient.
    ///   - volume: The volume as it is.
    /// - Precondition: No two directions are of the same axis.
    public init(to directions: [PatientDirection], from volume: ImageVolume) {
        self.init(to: directions, sizes: [volume.columns, volume.rows, volume.slices], affine: volume.affine)
    }

    init(to directions: [PatientDirection], sizes: [Int], affine: [[Double]]) {
        precondition(Set(directions.map(\.axis)).count == 3, "three directions name each axis of the patient once")
        let present = Self.directions(of: affine)
        sources = directions.map { wanted in present.firstIndex { $0.axis == wanted.axis } ?? wanted.axis }
        flips = zip(directions, sources).map { wanted, source in wanted != present[source] }
        self.sizes = sizes
    }

    /// The direction in which each voxel axis grows: columns, rows, slices.
    ///
    /// The pair of axes that agree best is matched first, so that oblique volumes have three different ones.
    static func directions(of affine: [[Double]]) -> [PatientDirection] {
        let lengths = (0..<3).map { column in
            (0..<3).reduce(0) { $0 + affine[$1][column] * affine[$1][column] }.squareRoot()
        }
        var pairs = (0..<3).flatMap { row in (0..<3).map { (row: row, column: $0) } }
        func agreement(_ pair: (row: Int, column: Int)) -> Double {
            let length = lengths[pair.column]
            return length > 0 ? abs(affine[pair.row][pair.column]) / length : 0
        }
        var result: [PatientDirection?] = [nil, nil, nil]
        while let best = pairs.max(by: { agreement($0) < agreement($1) }) {
            result[best.column] = PatientDirection(
                axis: best.row,
                isPositive: affine[best.row][best.column] >= 0
            )
            pairs.removeAll { $0.row == best.row || $0.column == best.column }
        }
        return result.compactMap { $0 }
    }

    /// The orientation in which slices stand on a page as DICOM's do, whatever axis they lie along.
    static func display(sizes: [Int], affine: [[Double]]) -> VolumeOrientation {
        let slice = directions(of: affine)[2]
        switch slice.axis {
        case 2: return VolumeOrientation(to: [.left, .posterior, slice], sizes: sizes, affine: affine)
        case 1: return VolumeOrientation(to: [.left, .inferior, slice], sizes: sizes, affine: affine)
        default: return VolumeOrientation(to: [.posterior, .inferior, slice], sizes: sizes, affine: affine)
        }
    }

    static func pictureSize(sizes: [Int], affine: [[Double]], name: String) throws(ImagingError) -> ImageFile.Size {
        let orientation = display(sizes: sizes, affine: affine)
        let (width, height) = (sizes[orientation.sources[0]], sizes[orientation.sources[1]])
        guard let count = width.product(with: height), count <= ImageDecoder.maximumPixelCount else {
            throw ImagingError(.tooLarge, file: name, detail: "slices of \(width) x \(height) pixels")
        }
        return ImageFile.Size(width: width, height: height)
    }

    /// Where a box of the old volume is in the new one.
    public func map(_ box: VoxelBox) -> VoxelBox {
        let old = [box.columns, box.rows, box.slices]
        let new = (0..<3).map { axis in
            let range = old[sources[axis]]
            let size = sizes[sources[axis]]
            return flips[axis] ? size - range.upperBound..<size - range.lowerBound : range
        }
        return VoxelBox(columns: new[0], rows: new[1], slices: new[2])
    }

    /// The volume in the new orientation, with the same voxels at the same places in the patient.
    ///
    /// - Precondition: The volume has the sizes that the orientation was made for.
    public func apply(to volume: ImageVolume) -> ImageVolume {
        precondition([volume.columns, volume.rows, volume.slices] == sizes, "the orientation is of another volume")
        let strides = [1, sizes[0], sizes[0] * sizes[1]]
        let new = sources.map { sizes[$0] }
        let steps = (0..<3).map { flips[$0] ? -strides[sources[$0]] : strides[sources[$0]] }
        let start = (0..<3).reduce(0) { $0 + (flips[$1] ? (new[$1] - 1) * strides[sources[$1]] : 0) }
        let values = volume.values.withUnsafeBufferPointer { source in
            [Float](unsafeUninitializedCapacity: source.count) { target, count in
                var place = 0
                for slice in 0..<new[2] {
                    for row in 0..<new[1] {
                        var from = start + slice * steps[2] + row * steps[1]
                        for _ in 0..<new[0] {
                            target[place] = source[from]
                            place += 1
                            from += steps[0]
                        }
                    }
                }
                count = source.count
            }
        }
        let affine = volume.affine.map { row in
            let columns = (0..<3).map { (flips[$0] ? -1 : 1) * row[sources[$0]] }
            let origin = (0..<3).reduce(row[3]) { $0 + (flips[$1] ? row[sources[$1]] * Double(new[$1] - 1) : 0) }
            return columns + [origin]
        }
        return ImageVolume(slices: new[2], rows: new[1], columns: new[0], values: values, affine: affine)
    }
}

extension ImageVolume {
    /// The most voxels that a volume from a file may have.
    public static let maximumVoxelCount = 1 << 29

    /// The direction in which columns, rows and slices grow.
    public var directions: [PatientDirection] { VolumeOrientation.directions(of: affine) }

    /// The volume with columns to the right, rows to the front and slices to the head.
    public func canonical() -> ImageVolume {
        VolumeOrientation(to: [.right, .anterior, .superior], from: self).apply(to: self)
    }

    /// How to turn the volume so that its slices are those that were acquired, each as it stands on a page.
    ///
    /// The axis along which voxels are longest is that of acquisition; where none is longer by a hundredth it is that of
    /// the slices.
    public func acquisitionOrientation() -> VolumeOrientation {
        let lengths = [spacing.column, spacing.row, spacing.slice]
        let longest = lengths.indices.max { lengths[$0] < lengths[$1] } ?? 2
        let axis = lengths[longest] > 1.01 * lengths[2] ? longest : 2
        let slice = directions[axis]
        let plane: [PatientDirection] =
            slice.axis == 2 ? [.left, .posterior] : slice.axis == 1 ? [.left, .inferior] : [.posterior, .inferior]
        return VolumeOrientation(to: plane + [slice], from: self)
    }

    /// A slice as a picture, without turning it.
    ///
    /// - Parameters:
    ///   - index: The number of the slice, from 0.
    ///   - rendering: How its values become 8 bits; ``GrayRendering/file`` is the full range of the slice.
    /// - Precondition: There is such a slice.
    public func picture(slice index: Int, rendering: GrayRendering) -> RGBImage {
        picture(slice: index, rendering: rendering, fileWindow: nil)
    }

    func picture(slice index: Int, rendering: GrayRendering, fileWindow: GrayWindow?) -> RGBImage {
        precondition((0..<slices).contains(index), "there is no slice \(index) of \(slices)")
        let count = rows * columns
        let slice = Array(values[index * count..<(index + 1) * count])
        let pixels = GrayPicture.pixels(
            slice,
            rangeOf: slice,
            rendering: rendering,
            fileWindow: fileWindow,
            inverted: false
        )
        return RGBImage(width: columns, height: rows, pixels: pixels)
    }

    func middlePicture(rendering: GrayRendering, fileWindow: GrayWindow?) -> RGBImage {
        VolumeOrientation.display(sizes: [columns, rows, slices], affine: affine).apply(to: self)
            .picture(slice: slices / 2, rendering: rendering, fileWindow: fileWindow)
    }
}
