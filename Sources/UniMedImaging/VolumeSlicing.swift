/// How a volume becomes a stack of 8-bit pictures: along which of its axes, and which values are black and white.
public struct VolumeSlicing: Sendable, Equatable {
    /// The direction in which slices follow each other.
    public enum Axis: String, Codable, Sendable, CaseIterable {
        /// As they were taken: the slices of ``ImageVolume``.
        case acquisition
        /// From the top row down; a slice's rows are the acquired slices.
        case rows
        /// From the left column on; a slice's rows are the acquired slices.
        case columns
    }

    /// Which values become black and white; between them grey is linear.
    public enum Window: Sendable, Equatable {
        /// A window of the modality's units, such as 40 and 400 Hounsfield units for soft tissue.
        case level(center: Double, width: Double)
        /// The values that these parts of all voxels are below, each in `0...1`: for units without a meaning, as in MR.
        case percentiles(lower: Double, upper: Double)
    }

    /// The direction in which slices follow each other.
    public var axis: Axis
    /// Which values become black and white.
    public var window: Window

    /// Makes a slicing; by default along the acquisition, from the first to the ninety-ninth percentile.
    public init(axis: Axis = .acquisition, window: Window = .percentiles(lower: 0.01, upper: 0.99)) {
        self.axis = axis
        self.window = window
    }

    /// The values that become black and white.
    ///
    /// Values that are not finite count for nothing. The upper is always above the lower.
    public func limits(of volume: ImageVolume) -> (black: Float, white: Float) {
        let black: Float
        let white: Float
        switch window {
        case .level(let center, let width):
            (black, white) = (Float(center - width / 2), Float(center + width / 2))
        case .percentiles(let lower, let upper):
            let sorted = volume.values.filter(\.isFinite).sorted()
            guard let last = sorted.last else { return (0, 1) }
            func value(_ share: Double) -> Float {
                sorted[min(sorted.count - 1, max(0, Int((share * Double(sorted.count - 1)).rounded())))]
            }
            (black, white) = (value(lower), max(value(lower), min(value(upper), last)))
        }
        return white > black ? (black, white) : (black, black.nextUp)
    }

    /// The number of slices, their size in pixels, and the distance between them in millimetres.
    public func size(of volume: ImageVolume) -> (slices: Int, width: Int, height: Int, spacing: Double) {
        let spacing = volume.spacing
        return switch axis {
        case .acquisition: (volume.slices, volume.columns, volume.rows, spacing.slice)
        case .rows: (volume.rows, volume.columns, volume.slices, spacing.row)
        case .columns: (volume.columns, volume.rows, volume.slices, spacing.column)
        }
    }

    /// The slices as pictures, grey in three equal channels, in order.
    ///
    /// - Parameter volume: The volume.
    /// - Returns: As many pictures as ``size(of:)`` says, of its width and height.
    public func pictures(of volume: ImageVolume) -> [RGBImage] {
        let (black, white) = limits(of: volume)
        return (0..<size(of: volume).slices).map { picture(of: volume, slice: $0, black: black, white: white) }
    }

    /// One slice as a picture.
    ///
    /// - Parameters:
    ///   - volume: The volume.
    ///   - slice: Counted from 0 along the axis.
    ///   - black: The value that becomes 0, and all below; see ``limits(of:)``.
    ///   - white: The value that becomes 255, and all above.
    /// - Precondition: The slice exists.
    public func picture(of volume: ImageVolume, slice: Int, black: Float, white: Float) -> RGBImage {
        let (count, width, height, _) = size(of: volume)
        precondition((0..<count).contains(slice), "slice \(slice) of \(count)")
        let plane = volume.rows * volume.columns
        let (start, rowStride, columnStride) =
            switch axis {
            case .acquisition: (slice * plane, volume.columns, 1)
            case .rows: (slice * volume.columns, plane, 1)
            case .columns: (slice, plane, volume.columns)
            }
        let scale = 255 / (white - black)
        let pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { pixels, initialized in
            volume.values.withUnsafeBufferPointer { values in
                var next = 0
                for row in 0..<height {
                    for column in 0..<width {
                        let value = values[start + row * rowStride + column * columnStride]
                        let level = ((value - black) * scale).rounded()
                        // What is not a number is black.
                        let grey = level > 0 ? UInt8(min(level, 255)) : 0
                        for _ in 0..<3 {
                            pixels[next] = grey
                            next += 1
                        }
                    }
                }
            }
            initialized = width * height * 3
        }
        return RGBImage(width: width, height: height, pixels: pixels)
    }
}
