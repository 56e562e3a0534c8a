/// A stretch of a volume's slices.
///
/// Slice `i` reaches from `i` to `i + 1`, as a pixel does, so slices 3 to 5 are `3` to `6`.
public struct SliceRange: Codable, Sendable, Equatable, Hashable {
    /// Where the first slice begins, in slices of the volume.
    public var start: Double
    /// Where the last slice ends, in slices of the volume.
    public var end: Double

    /// Makes a range from its ends, in slices.
    public init(start: Double, end: Double) {
        self.start = start
        self.end = end
    }

    /// The range of whole slices.
    public init(_ slices: ClosedRange<Int>) {
        self.init(start: Double(slices.lowerBound), end: Double(slices.upperBound + 1))
    }

    /// The number of slices; `0` when the end is not behind the start.
    public var length: Double { max(0, end - start) }

    /// Whether any part of a slice is in the range.
    public func contains(slice: Int) -> Bool { Double(slice + 1) > start && Double(slice) < end }
}

/// A box in a volume: a box in the plane of its slices, in pixels of the original slices, and a range of slices.
public struct BoundingBox3D: Codable, Sendable, Equatable, Hashable {
    /// The box in every slice of the range, in pixels of the original slice, origin at the top left.
    public var box: BoundingBox
    /// The slices.
    public var slices: SliceRange

    /// Makes a box.
    public init(box: BoundingBox, slices: SliceRange) {
        self.box = box
        self.slices = slices
    }

    /// The box around the voxels of a mask that are not zero; `nil` when there are none.
    ///
    /// - Parameters:
    ///   - mask: `slices * height * width` values, a slice after the other, each row by row.
    ///   - width: The number of columns of a slice, in pixels.
    ///   - height: The number of rows of a slice, in pixels.
    ///   - extent: Where the box ends in the plane; along the slices it ends behind the last one.
    /// - Precondition: `mask` is whole slices.
    public init?(
        mask: some RandomAccessCollection<UInt8>,
        width: Int,
        height: Int,
        extent: BoundingBox.MaskExtent = .exclusiveEnd
    ) {
        let area = width * height
        precondition(area > 0 && mask.count % area == 0, "a mask is whole slices of \(width) x \(height)")
        var plane = [UInt8](repeating: 0, count: area)
        var (first, last) = (Int.max, -1)
        for (index, value) in mask.enumerated() where value != 0 {
            plane[index % area] = 1
            (first, last) = (min(first, index / area), index / area)
        }
        guard last >= 0, let box = BoundingBox(mask: plane, width: width, extent: extent) else { return nil }
        self.init(box: box, slices: SliceRange(first...last))
    }

    /// The number of voxels; `0` when a side is not positive.
    public var volume: Double { box.area * slices.length }
}

/// A box in a volume as the model speaks it: edges in hundredths of the width, the height and the number of slices.
///
/// Extends Uni-Med's `{<x0><y0><x1><y1>}` by the range of slices: `{<x0><y0><x1><y1><z0><z1>}`.
public struct NormalizedBox3D: Codable, Sendable, Equatable, Hashable {
    /// The box in the plane of the slices.
    public var box: NormalizedBox
    /// Where the range of slices begins, in hundredths of the volume's slices.
    public var zMin: Int
    /// Where the range of slices ends, in hundredths of the volume's slices.
    public var zMax: Int

    /// Makes a box from its edges, in hundredths.
    public init(box: NormalizedBox, zMin: Int, zMax: Int) {
        self.box = box
        self.zMin = zMin
        self.zMax = zMax
    }

    /// Normalises a box of voxels, in the arithmetic of ``NormalizedBox/init(_:width:height:)``.
    ///
    /// - Parameters:
    ///   - box: In pixels and slices of the original volume.
    ///   - width: The width of an original slice, in pixels.
    ///   - height: The height of an original slice, in pixels.
    ///   - slices: The number of slices of the volume, whether the model looks at all of them or not.
    /// - Precondition: The sizes are positive and the box's edges are finite and of ordinary size.
    public init(_ box: BoundingBox3D, width: Int, height: Int, slices: Int) {
        precondition(slices > 0, "a box is normalised by the size of a volume with slices")
        self.init(
            box: NormalizedBox(box.box, width: width, height: height),
            zMin: Int(box.slices.start / Double(slices) * 100),
            zMax: Int(box.slices.end / Double(slices) * 100)
        )
    }

    /// Reads a box of six numbers from a text; `nil` when there is none, also where there is one of four.
    ///
    /// - Parameters:
    ///   - text: A prompt or a model's answer.
    ///   - search: Where to look.
    public init?(parsing text: String, search: NormalizedBox.Search = .anywhere) {
        guard let edges = NormalizedBox.firstEdges(count: 6, in: text, search: search) else { return nil }
        self.init(
            box: NormalizedBox(xMin: edges[0], yMin: edges[1], xMax: edges[2], yMax: edges[3]),
            zMin: edges[4],
            zMax: edges[5]
        )
    }

    /// The box as text.
    public func text(_ style: NormalizedBox.Style = .publishedCode) -> String {
        let edges = box.text(.paper) + "<\(zMin)><\(zMax)>"
        return style == .publishedCode ? "{\(edges)}" : edges
    }

    /// The box in pixels and slices of a volume: `v / 100 * size`.
    ///
    /// - Parameters:
    ///   - width: The width of an original slice, in pixels.
    ///   - height: The height of an original slice, in pixels.
    ///   - slices: The number of slices of the volume.
    /// - Returns: A box in pixels and slices of that volume.
    public func voxels(width: Int, height: Int, slices: Int) -> BoundingBox3D {
        BoundingBox3D(
            box: box.pixels(width: width, height: height),
            slices: SliceRange(start: Double(zMin) / 100 * Double(slices), end: Double(zMax) / 100 * Double(slices))
        )
    }
}
