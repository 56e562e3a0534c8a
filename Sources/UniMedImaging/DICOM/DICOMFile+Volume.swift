import Foundation

extension DICOMFile {
    /// The frame that stands for the file as a picture: the middle one where frames have places in the patient.
    func pictureFrame() throws(ImagingError) -> Int {
        let layout = try pixelLayout()
        guard layout.frames > 1, hasFramePlaces else { return 0 }
        return layout.frames / 2
    }

    /// Whether frames have places in the patient.
    var hasFramePlaces: Bool {
        let place = [Step(sequence: .frameFunctionalGroups, item: 0), Step(sequence: .planePosition, item: 0)]
        return numbers(.imagePosition, in: place) != nil || numbers(.gridFrameOffsets) != nil
    }

    /// The place and direction of a frame in the patient (left, posterior, superior; millimetres).
    struct Plane: Equatable {
        /// The centre of the first pixel.
        var position: [Double]
        /// The direction in which columns grow.
        var columnDirection: [Double]
        /// The direction in which rows grow.
        var rowDirection: [Double]
        /// The distances of neighbouring rows and columns.
        var rowSpacing: Double
        var columnSpacing: Double

        var normal: [Double] { columnDirection.crossed(with: rowDirection) }
        /// How far along the normal the frame lies.
        var depth: Double { position.dotted(with: normal) }
    }

    /// The plane of a frame; `nil` where the file does not say it.
    func plane(frame: Int = 0) -> Plane? {
        guard
            let position = numbers(.imagePosition, group: .planePosition, frame: frame), position.count == 3,
            let orientation = numbers(.imageOrientation, group: .planeOrientation, frame: frame),
            orientation.count == 6, (position + orientation).allSatisfy({ $0.isFinite && abs($0) < 1e9 })
        else { return nil }
        let columns = Array(orientation[..<3])
        let rows = Array(orientation[3...])
        // Directions of the standard have length 1 and stand upright on each other.
        guard abs(columns.length - 1) < 0.01, abs(rows.length - 1) < 0.01, abs(columns.dotted(with: rows)) < 0.01 else {
            return nil
        }
        let spacing = numbers(.pixelSpacing, group: .pixelMeasures, frame: frame) ?? [1, 1]
        guard spacing.count == 2, spacing.allSatisfy({ $0.isFinite && $0 > 0 && $0 < 1e6 }) else { return nil }
        return Plane(
            position: position,
            columnDirection: columns,
            rowDirection: rows,
            rowSpacing: spacing[0],
            columnSpacing: spacing[1]
        )
    }

    /// The frames of a file as a volume, in the order of their places in the patient.
    ///
    /// Places are those of each frame (enhanced CT and MR), or the first one and the offsets of a dose grid, or the first
    /// one and the distance between slices.
    ///
    /// - Throws: ``ImagingError``; `unsupported` for frames in colour, `malformed` where places are missing or frames do
    ///   not lie in parallel.
    public func volume() throws(ImagingError) -> ImageVolume {
        let layout = try pixelLayout()
        let voxels = layout.rows * layout.columns * layout.frames
        guard voxels <= ImageVolume.maximumVoxelCount else {
            throw ImagingError(.tooLarge, file: name, detail: "\(voxels) voxels")
        }
        var planes: [Plane] = []
        let perFrame = itemCount(.frameFunctionalGroups) == layout.frames && layout.frames > 1
        if perFrame {
            for frame in 0..<layout.frames {
                guard let plane = plane(frame: frame) else {
                    throw ImagingError(.malformed, file: name, detail: "(0020,0032) of frame \(frame) is missing")
                }
                planes.append(plane)
            }
        } else {
            guard let first = plane() else {
                throw ImagingError(.malformed, file: name, detail: "(0020,0032) or (0020,0037) is missing")
            }
            let offsets = numbers(.gridFrameOffsets)
            let given = numbers(.spacingBetweenSlices, group: .pixelMeasures, frame: 0)?.first
            let thickness = numbers(.sliceThickness, group: .pixelMeasures, frame: 0)?.first
            let step = [given, thickness].compactMap { $0 }.first { $0.isFinite && $0 > 0 } ?? 1
            for frame in 0..<layout.frames {
                var plane = first
                let offset: Double
                if let offsets, offsets.count == layout.frames {
                    // Offsets that do not begin with 0 are places themselves.
                    offset = offsets[frame] - offsets[0]
                } else {
                    offset = Double(frame) * step
                }
                plane.position = zip(plane.position, plane.normal).map { $0 + offset * $1 }
                planes.append(plane)
            }
        }
        let stack = try SliceStack(planes: planes, name: name)
        var values: [Float] = []
        values.reserveCapacity(stack.order.count * layout.rows * layout.columns)
        for frame in stack.order { values += try self.values(frame: frame) }
        return ImageVolume(
            slices: stack.order.count,
            rows: layout.rows,
            columns: layout.columns,
            values: values,
            affine: stack.affine
        )
    }
}

extension [Double] {
    var length: Double { dotted(with: self).squareRoot() }

    func dotted(with other: [Double]) -> Double { zip(self, other).reduce(0) { $0 + $1.0 * $1.1 } }

    /// The vector that stands upright on two of three numbers.
    func crossed(with other: [Double]) -> [Double] {
        [
            self[1] * other[2] - self[2] * other[1], self[2] * other[0] - self[0] * other[2],
            self[0] * other[1] - self[1] * other[0],
        ]
    }

    /// The difference of two vectors.
    func less(_ other: [Double]) -> [Double] { zip(self, other).map { $0 - $1 } }
}

/// Slices in the order of their places along their normal.
struct SliceStack {
    /// The slices in order; of several at one place the first.
    let order: [Int]
    /// Those that lie where another one does.
    let duplicates: [Int]
    /// The distances of neighbours along the normal.
    let distances: [Double]
    /// The angle in degrees between the normal and the line on which slices follow each other.
    let tilt: Double
    /// See ``ImageVolume/affine``.
    let affine: [[Double]]

    /// Sorts slices.
    ///
    /// - Throws: ``ImagingError`` when there are none or they do not lie in parallel.
    init(planes: [DICOMFile.Plane], name: String) throws(ImagingError) {
        guard let first = planes.first else {
            throw ImagingError(.malformed, file: name, detail: "(0020,0032) no slice has a place")
        }
        for plane in planes {
            let isParallel =
                plane.columnDirection.dotted(with: first.columnDirection) > 0.9999
                && plane.rowDirection.dotted(with: first.rowDirection) > 0.9999
            guard isParallel, abs(plane.rowSpacing - first.rowSpacing) < 1e-3 * first.rowSpacing,
                abs(plane.columnSpacing - first.columnSpacing) < 1e-3 * first.columnSpacing
            else {
                throw ImagingError(.malformed, file: name, detail: "(0020,0037) slices do not lie in parallel")
            }
        }
        guard planes.allSatisfy({ $0.position.allSatisfy { abs($0) < 1e9 } }) else {
            throw ImagingError(.malformed, file: name, detail: "(0020,0032) a slice lies nowhere")
        }
        let normal = first.normal
        let depths = planes.map { $0.position.dotted(with: normal) }
        let sorted = planes.indices.sorted { (depths[$0], $0) < (depths[$1], $1) }
        var order: [Int] = []
        var duplicates: [Int] = []
        for index in sorted {
            if let last = order.last, depths[index] - depths[last] < 1e-3 {
                duplicates.append(index)
            } else {
                order.append(index)
            }
        }
        self.order = order
        self.duplicates = duplicates
        distances = zip(order.dropFirst(), order).map { depths[$0] - depths[$1] }
        let start = planes[order[0]]
        let end = planes[order[order.count - 1]]
        var step = normal
        var tilt = 0.0
        if order.count > 1 {
            let path = end.position.less(start.position)
            step = path.map { $0 / Double(order.count - 1) }
            // acos of a number near 1 is coarse; the sine of small angles is not.
            let across = path.crossed(with: normal).length
            tilt = (across / path.length).clamped(to: 0...1).arcSineInDegrees
        }
        self.tilt = tilt
        // DICOM counts to the left and to the back, volumes to the right and to the front.
        let signs: [Double] = [-1, -1, 1]
        affine = (0..<3).map { axis in
            [
                start.columnDirection[axis] * start.columnSpacing, start.rowDirection[axis] * start.rowSpacing,
                step[axis], start.position[axis],
            ].map { $0 * signs[axis] }
        }
    }
}

extension Double {
    /// The angle whose sine this is, in degrees.
    fileprivate var arcSineInDegrees: Double { asin(self) * 180 / .pi }
}
