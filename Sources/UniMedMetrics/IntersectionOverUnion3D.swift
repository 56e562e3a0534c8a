public import UniMedData

public extension BoundingBox3D {
    /// The intersection over union with the annotated box of the same volume: the ratio of volumes.
    ///
    /// Uni-Med eq. 23 with one dimension more. The ratio does not depend on the distance between slices.
    ///
    /// - Parameters:
    ///   - reference: The annotated box, in pixels and slices of the same original volume.
    ///   - extent: `.continuous` is the ratio of volumes; `.inclusivePixels` adds one voxel to every width, height and
    ///     number of slices, as the published evaluation code does with pixels.
    /// - Returns: A ratio in `[0, 1]`, without unit; `1` only for equal boxes.
    /// - Throws: ``MetricError/emptyBox(_:)`` when a box has no volume. An answer without a box scores `0` instead.
    func intersectionOverUnion(
        with reference: BoundingBox3D,
        extent: BoundingBox.Extent
    ) throws(MetricError) -> Double {
        let padding = extent.padding
        var sizes: [(own: Double, other: Double, both: Double)] = []
        for axis in 0..<3 {
            let (own, other) = (edges(axis), reference.edges(axis))
            let both = min(own.end, other.end) - max(own.start, other.start) + padding
            sizes.append((own.end - own.start + padding, other.end - other.start + padding, max(0, both)))
        }
        for (box, lengths) in [(self, sizes.map(\.own)), (reference, sizes.map(\.other))] {
            guard lengths.allSatisfy({ $0 > 0 && $0.isFinite }) else { throw .emptyBox(box.box) }
        }
        let intersection = sizes.reduce(1) { $0 * $1.both }
        let union = sizes.reduce(1) { $0 * $1.own } + sizes.reduce(1) { $0 * $1.other } - intersection
        return intersection / union
    }

    private func edges(_ axis: Int) -> (start: Double, end: Double) {
        switch axis {
        case 0: (box.xMin, box.xMax)
        case 1: (box.yMin, box.yMax)
        default: (slices.start, slices.end)
        }
    }
}
