/// A box in pixels of the original image, origin at the top left, `xMin` to `xMax` and `yMin` to `yMax`.
public struct BoundingBox: Codable, Sendable, Equatable, Hashable {
    /// The left edge, in pixels.
    public var xMin: Double
    /// The upper edge, in pixels.
    public var yMin: Double
    /// The right edge, in pixels.
    public var xMax: Double
    /// The lower edge, in pixels.
    public var yMax: Double

    /// Makes a box from its edges, in pixels.
    public init(xMin: Double, yMin: Double, xMax: Double, yMax: Double) {
        self.xMin = xMin
        self.yMin = yMin
        self.xMax = xMax
        self.yMax = yMax
    }

    /// The horizontal extent, in pixels.
    public var width: Double { xMax - xMin }
    /// The vertical extent, in pixels.
    public var height: Double { yMax - yMin }
    /// The area, in square pixels; `0` when a side is not positive.
    public var area: Double { width > 0 && height > 0 ? width * height : 0 }
}
