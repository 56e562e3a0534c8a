/// What makes an image reference one to a volume: a stack of slices along the direction in which they were taken.
///
/// In prepared data each slice is a picture of the shards under the path of its own, ``ImageReference/slicePath(_:)``:
/// 8-bit, windowed and resized like any other picture. Slices that are equal are stored once.
public struct VolumeReference: Codable, Sendable, Equatable, Hashable {
    /// The direction in which slices follow each other, in the patient.
    public enum Axis: String, Codable, Sendable, CaseIterable {
        case axial
        case coronal
        case sagittal
    }

    /// The number of slices.
    public var slices: Int
    /// The distance between the centres of neighbouring slices in millimetres; `nil` where it is not known.
    public var spacing: Double?
    /// The direction in which slices follow each other; `nil` where it is not known or oblique.
    public var axis: Axis?

    /// Makes the description of a stack.
    public init(slices: Int, spacing: Double? = nil, axis: Axis? = nil) {
        self.slices = slices
        self.spacing = spacing
        self.axis = axis
    }
}

extension ImageReference {
    private static let sliceMark: Character = "#"
    private static let sliceDigits = 4

    /// The path under which a slice of a volume is kept, for example `ct/7.nii.gz#0012`.
    ///
    /// - Parameter slice: The slice, counted from 0 along the stack.
    public func slicePath(_ slice: Int) -> String {
        let digits = String(slice)
        return path + String(Self.sliceMark)
            + String(repeating: "0", count: max(0, Self.sliceDigits - digits.count)) + digits
    }

    /// The volume's path and the slice's number of a path that ``slicePath(_:)`` made; `nil` for any other.
    public static func sliceParts(ofPath path: String) -> (path: String, slice: Int)? {
        guard let mark = path.lastIndex(of: sliceMark) else { return nil }
        let digits = path[path.index(after: mark)...]
        guard digits.count >= sliceDigits, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let slice = Int(digits)
        else { return nil }
        return (String(path[..<mark]), slice)
    }

    /// The pictures that this reference stands for: itself, or the slices of a volume in order.
    public var pictures: [ImageReference] {
        guard let volume else { return [self] }
        return (0..<max(0, volume.slices)).map { ImageReference(path: slicePath($0), width: width, height: height) }
    }
}

extension ImageShards {
    /// The positions of the pictures that a reference stands for: one for an image, one per slice for a volume.
    ///
    /// - Returns: `nil` when a picture is not here, or there is none.
    public func positions(dataset: String, image: ImageReference) -> [Int]? {
        let pictures = image.pictures
        let positions = pictures.compactMap { position(dataset: dataset, path: $0.path) }
        return positions.isEmpty || positions.count != pictures.count ? nil : positions
    }

    /// The positions of a sample's pictures; `nil` when the sample has none or one of them is not here.
    public func positions(of sample: Sample) -> [Int]? {
        sample.image.flatMap { positions(dataset: sample.dataset, image: $0) }
    }
}
