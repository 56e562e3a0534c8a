extension RGBImage {
    /// Draws the outline of a rectangle, for report pages.
    ///
    /// The outline lies inside the rectangle, whose edges are rounded to whole pixels; what lies outside the picture is
    /// cut off, and a rectangle without area draws at most one pixel's width.
    ///
    /// - Parameters:
    ///   - xMin: The left edge, in pixels from the left side of the picture.
    ///   - yMin: The upper edge, in pixels from the top.
    ///   - xMax: The right edge, in pixels.
    ///   - yMax: The lower edge, in pixels.
    ///   - color: The colour of the outline.
    ///   - thickness: The width of the outline, in pixels.
    public mutating func strokeRectangle(
        xMin: Double,
        yMin: Double,
        xMax: Double,
        yMax: Double,
        color: RGBColor,
        thickness: Int = 2
    ) {
        guard xMin.isFinite, yMin.isFinite, xMax.isFinite, yMax.isFinite, thickness > 0 else { return }
        let left = Self.edge(min(xMin, xMax), limit: width)
        let right = max(left + 1, Self.edge(max(xMin, xMax), limit: width))
        let top = Self.edge(min(yMin, yMax), limit: height)
        let bottom = max(top + 1, Self.edge(max(yMin, yMax), limit: height))
        let innerLeft = min(right, left + thickness)
        let innerRight = max(left, right - thickness)
        fill(left..<right, top..<min(bottom, top + thickness), with: color)
        fill(left..<right, max(top, bottom - thickness)..<bottom, with: color)
        fill(left..<innerLeft, top..<bottom, with: color)
        fill(innerRight..<right, top..<bottom, with: color)
    }

    /// Fills the part of a rectangle of whole pixels that lies inside the picture.
    public mutating func fill(_ columns: Range<Int>, _ rows: Range<Int>, with color: RGBColor) {
        let columns = columns.clamped(to: 0..<width)
        let rows = rows.clamped(to: 0..<height)
        let width = width
        pixels.withUnsafeMutableBufferPointer { pixels in
            for y in rows {
                for x in columns {
                    let offset = 3 * (y * width + x)
                    pixels[offset] = color.red
                    pixels[offset + 1] = color.green
                    pixels[offset + 2] = color.blue
                }
            }
        }
    }

    /// The nearest whole pixel, from one outline's width before the picture to one after, so that huge values are safe.
    private static func edge(_ value: Double, limit: Int) -> Int {
        let margin = 64.0
        return Int(min(max(value, -margin), Double(limit) + margin).rounded())
    }
}
