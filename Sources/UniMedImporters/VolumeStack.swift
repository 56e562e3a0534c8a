public import UniMedData
public import UniMedImaging

/// A volume made ready for prepared data: its slices as pictures, and how samples refer to them.
///
/// An importer of volumes puts ``reference`` into its samples and answers `picture(_:)` for the slices' paths with
/// ``picture(_:)``; the preparation asks for every slice of every volume.
///
/// ```swift
/// let stack = VolumeStack(volume, path: "ct/7.nii.gz", slicing: VolumeSlicing(window: .level(center: 40, width: 400)))
/// sample.image = stack.reference
/// ```
public struct VolumeStack: Sendable {
    /// The reference of the whole volume.
    public let reference: ImageReference
    /// The values and their place in the patient.
    public let volume: ImageVolume
    /// The axis and the window.
    public let slicing: VolumeSlicing
    private let black: Float
    private let white: Float

    /// Describes a volume.
    ///
    /// - Parameters:
    ///   - volume: The volume.
    ///   - path: The path of the file or folder, relative to the data set's root.
    ///   - slicing: The axis along which it is cut, and its window.
    public init(_ volume: ImageVolume, path: String, slicing: VolumeSlicing = VolumeSlicing()) {
        let size = slicing.size(of: volume)
        reference = ImageReference(
            path: path,
            width: size.width,
            height: size.height,
            volume: VolumeReference(
                slices: size.slices,
                spacing: size.spacing > 0 && size.spacing.isFinite ? size.spacing : nil,
                axis: Self.axis(of: volume, slicing.axis)
            )
        )
        self.volume = volume
        self.slicing = slicing
        (black, white) = slicing.limits(of: volume)
    }

    /// The picture of a slice.
    ///
    /// - Parameter reference: One of the pictures of this stack's ``reference``.
    /// - Throws: `ImagingError` when the path is not one of them.
    public func picture(_ reference: ImageReference) throws(ImagingError) -> RGBImage {
        guard let (path, slice) = ImageReference.sliceParts(ofPath: reference.path), path == self.reference.path,
            (0..<slicing.size(of: volume).slices).contains(slice)
        else { throw ImagingError(.unreadableFile, file: reference.path, detail: "the volume has no such slice") }
        return slicing.picture(of: volume, slice: slice, black: black, white: white)
    }

    /// The patient's axis that is nearest to the direction of the stack; `nil` where none is within 30 degrees.
    private static func axis(of volume: ImageVolume, _ axis: VolumeSlicing.Axis) -> VolumeReference.Axis? {
        let column =
            switch axis {
            case .acquisition: 2
            case .rows: 1
            case .columns: 0
            }
        let direction = volume.affine.map { $0[column] }
        let length = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
        guard length > 0, length.isFinite else { return nil }
        let axes: [VolumeReference.Axis] = [.sagittal, .coronal, .axial]
        // The cosine of 30 degrees.
        return zip(axes, direction).first { abs($0.1) / length > 0.866 }?.0
    }
}
