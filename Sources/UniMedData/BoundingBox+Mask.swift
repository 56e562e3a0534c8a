extension BoundingBox {
    /// Whether a box around pixels ends with the last of them or behind it; the paper does not say.
    public enum MaskExtent: String, Codable, CaseIterable, Sendable {
        /// The right edge is the last column's number: the width is the greatest minus the smallest.
        case inclusiveLastPixel
        /// The right edge is one more: a single pixel has a width of 1.
        case exclusiveEnd
    }

    /// The box around the pixels of a mask that are not zero; `nil` when there are none.
    ///
    /// - Parameters:
    ///   - mask: `width * height` values, row by row.
    ///   - width: The number of columns, in pixels.
    ///   - extent: Where the box ends.
    public init?(mask: some RandomAccessCollection<UInt8>, width: Int, extent: MaskExtent) {
        precondition(width > 0 && mask.count % width == 0, "a mask is whole rows of \(width)")
        var (xMin, xMax, yMin, yMax) = (Int.max, -1, Int.max, -1)
        var (column, row) = (0, 0)
        for value in mask {
            if value != 0 {
                (xMin, xMax) = (min(xMin, column), max(xMax, column))
                (yMin, yMax) = (min(yMin, row), row)
            }
            column += 1
            if column == width { (column, row) = (0, row + 1) }
        }
        guard yMax >= 0 else { return nil }
        let end = extent == .exclusiveEnd ? 1 : 0
        self.init(xMin: Double(xMin), yMin: Double(yMin), xMax: Double(xMax + end), yMax: Double(yMax + end))
    }
}
