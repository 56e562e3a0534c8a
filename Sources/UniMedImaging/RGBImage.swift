/// An 8-bit RGB picture in memory, rows from the top, three bytes a pixel.
public struct RGBImage: Sendable, Equatable {
    /// The width in pixels.
    public let width: Int
    /// The height in pixels.
    public let height: Int
    /// `height * width * 3` bytes, red, green, blue.
    public var pixels: [UInt8]

    /// Makes a picture from its bytes.
    ///
    /// - Precondition: `pixels` holds `width * height * 3` bytes.
    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(pixels.count == width * height * 3, "an RGB image holds three bytes a pixel")
        self.width = width
        self.height = height
        self.pixels = pixels
    }
}
