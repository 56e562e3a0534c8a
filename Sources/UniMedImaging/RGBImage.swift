/// An 8-bit colour.
public struct RGBColor: Sendable, Equatable, Hashable {
    /// The red part.
    public var red: UInt8
    /// The green part.
    public var green: UInt8
    /// The blue part.
    public var blue: UInt8

    /// Makes a colour from its parts.
    public init(red: UInt8, green: UInt8, blue: UInt8) {
        self.red = red
        self.green = green
        self.blue = blue
    }

    /// The colour of reference boxes on report pages.
    public static let reference = RGBColor(red: 46, green: 204, blue: 64)
    /// The colour of predicted boxes on report pages.
    public static let prediction = RGBColor(red: 255, green: 133, blue: 27)
}

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

    /// Makes a picture of one colour.
    ///
    /// - Precondition: Both sides are at least one pixel.
    public init(width: Int, height: Int, color: RGBColor) {
        precondition(width > 0 && height > 0, "a picture has at least one pixel")
        self.width = width
        self.height = height
        pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { buffer, count in
            for pixel in 0..<width * height {
                buffer[3 * pixel] = color.red
                buffer[3 * pixel + 1] = color.green
                buffer[3 * pixel + 2] = color.blue
            }
            count = width * height * 3
        }
    }

    /// The colour of one pixel.
    ///
    /// - Precondition: The position is inside the picture.
    public subscript(x: Int, y: Int) -> RGBColor {
        get {
            precondition(x >= 0 && x < width && y >= 0 && y < height, "the position is outside the picture")
            let offset = 3 * (y * width + x)
            return RGBColor(red: pixels[offset], green: pixels[offset + 1], blue: pixels[offset + 2])
        }
        set {
            precondition(x >= 0 && x < width && y >= 0 && y < height, "the position is outside the picture")
            let offset = 3 * (y * width + x)
            pixels[offset] = newValue.red
            pixels[offset + 1] = newValue.green
            pixels[offset + 2] = newValue.blue
        }
    }
}
