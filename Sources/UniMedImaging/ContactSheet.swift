/// Pictures of one size side by side, such as the slices of a volume, row by row from the top left.
public struct ContactSheet: Sendable, Equatable {
    /// The sheet.
    public private(set) var image: RGBImage
    /// The number of pictures of a row.
    public let columns: Int
    private let count: Int
    private let width: Int
    private let height: Int
    private let gap: Int

    /// Lays out pictures.
    ///
    /// - Parameters:
    ///   - pictures: At least one, all of one size.
    ///   - gap: The pixels of black between them.
    /// - Precondition: The pictures have one size.
    public init(_ pictures: [RGBImage], gap: Int = 2) {
        guard let first = pictures.first else { preconditionFailure("a contact sheet has a picture") }
        precondition(
            pictures.allSatisfy { $0.width == first.width && $0.height == first.height },
            "the pictures of a contact sheet have one size"
        )
        (width, height, count, self.gap) = (first.width, first.height, pictures.count, gap)
        columns = Int(Double(pictures.count).squareRoot().rounded(.up))
        let rows = (pictures.count + columns - 1) / columns
        let sheetWidth = columns * (width + gap) - gap
        image = RGBImage(
            width: sheetWidth,
            height: rows * (height + gap) - gap,
            color: RGBColor(red: 0, green: 0, blue: 0)
        )
        for (number, picture) in pictures.enumerated() {
            let (left, top) = origin(of: number)
            for row in 0..<height {
                let target = 3 * ((top + row) * sheetWidth + left)
                let source = 3 * row * width
                image.pixels.replaceSubrange(
                    target..<target + 3 * width,
                    with: picture.pixels[source..<source + 3 * width]
                )
            }
        }
    }

    /// The place of a picture's top left pixel on the sheet.
    ///
    /// - Precondition: The picture exists.
    public func origin(of number: Int) -> (left: Int, top: Int) {
        precondition((0..<count).contains(number), "picture \(number) of \(count)")
        return (number % columns * (width + gap), number / columns * (height + gap))
    }

    /// Draws the outline of a rectangle on one of the pictures, cut off at its sides.
    ///
    /// - Parameters:
    ///   - number: The picture.
    ///   - xMin: The left edge, in pixels of the picture.
    ///   - yMin: The upper edge, in pixels of the picture.
    ///   - xMax: The right edge, in pixels of the picture.
    ///   - yMax: The lower edge, in pixels of the picture.
    ///   - color: The colour of the outline.
    /// - Precondition: The picture exists.
    public mutating func strokeRectangle(
        on number: Int,
        xMin: Double,
        yMin: Double,
        xMax: Double,
        yMax: Double,
        color: RGBColor
    ) {
        let (left, top) = origin(of: number)
        func clipped(_ value: Double, _ limit: Int) -> Double { min(max(value, 0), Double(limit)) }
        image.strokeRectangle(
            xMin: Double(left) + clipped(xMin, width),
            yMin: Double(top) + clipped(yMin, height),
            xMax: Double(left) + clipped(xMax, width),
            yMax: Double(top) + clipped(yMax, height),
            color: color,
            thickness: 1
        )
    }
}
