import Foundation

/// A box as the model speaks it: edges in hundredths of the image's width and height, as integers.
///
/// Uni-Med writes boxes into prompts and answers as `<x0><y0><x1><y1>`. A box inside the image has values in 0...100;
/// other values can only come from a box that leaves the image, or from a model's answer.
public struct NormalizedBox: Codable, Sendable, Equatable, Hashable {
    /// The left edge, in hundredths of the width.
    public var xMin: Int
    /// The upper edge, in hundredths of the height.
    public var yMin: Int
    /// The right edge, in hundredths of the width.
    public var xMax: Int
    /// The lower edge, in hundredths of the height.
    public var yMax: Int

    /// How a box is written.
    public enum Style: String, Codable, Sendable, CaseIterable {
        /// With braces, `{<16><36><42><61>}`, as the published code trains and evaluates.
        case publishedCode
        /// Without braces, `<16><36><42><61>`, as the paper prints.
        case paper
    }

    /// Where a box is looked for in a text.
    public enum Search: String, Codable, Sendable, CaseIterable {
        /// The first box anywhere, with or without braces, blanks allowed inside.
        case anywhere
        /// Only at the start, in braces, after removal of `<unk>` and blanks, with one to three digits of any script,
        /// as the published evaluation code does.
        case publishedCode
    }

    /// Makes a box from its edges, in hundredths.
    public init(xMin: Int, yMin: Int, xMax: Int, yMax: Int) {
        self.xMin = xMin
        self.yMin = yMin
        self.xMax = xMax
        self.yMax = yMax
    }

    /// Normalises a box of pixels.
    ///
    /// `v / size * 100` is evaluated from left to right in double precision and truncated toward zero, as the published
    /// code does, so 29 of 100 pixels gives 28. Values are not clipped.
    ///
    /// - Parameters:
    ///   - box: In pixels of the original image.
    ///   - width: The original image's width, in pixels.
    ///   - height: The original image's height, in pixels.
    /// - Precondition: Both sizes are positive and the box's edges are finite and of ordinary size.
    public init(_ box: BoundingBox, width: Int, height: Int) {
        precondition(width > 0 && height > 0, "a box is normalised by the size of an image with pixels")
        xMin = Int(box.xMin / Double(width) * 100)
        yMin = Int(box.yMin / Double(height) * 100)
        xMax = Int(box.xMax / Double(width) * 100)
        yMax = Int(box.yMax / Double(height) * 100)
    }

    /// Reads a box from a text; `nil` when there is none.
    ///
    /// - Parameters:
    ///   - text: A prompt or a model's answer.
    ///   - search: Where to look.
    public init?(parsing text: String, search: Search = .anywhere) {
        guard let edges = NormalizedBox.firstEdges(count: 4, in: text, search: search) else { return nil }
        self.init(xMin: edges[0], yMin: edges[1], xMax: edges[2], yMax: edges[3])
    }

    /// The numbers of the first box of `count` of them in a text.
    static func firstEdges(count: Int, in text: String, search: Search) -> [Int]? {
        let scalars: [Unicode.Scalar]
        switch search {
        case .anywhere:
            scalars = Array(text.unicodeScalars)
        case .publishedCode:
            let cleaned = text.replacingOccurrences(of: "<unk>", with: "").replacingOccurrences(of: " ", with: "")
            scalars = Array(cleaned.trimmingCharacters(in: .whitespacesAndNewlines).unicodeScalars)
        }
        let starts = search == .anywhere ? scalars.indices : scalars.startIndex..<min(1, scalars.endIndex)
        for start in starts {
            var position = start
            if search == .publishedCode {
                guard scalars[position] == "{" else { return nil }
                position += 1
            } else if scalars[position] != "<" {
                continue
            }
            guard let edges = edges(count: count, in: scalars, at: &position, search: search) else { continue }
            if search == .publishedCode {
                guard position < scalars.endIndex, scalars[position] == "}" else { return nil }
            }
            return edges
        }
        return nil
    }

    /// The box as text.
    public func text(_ style: Style = .publishedCode) -> String {
        let edges = "<\(xMin)><\(yMin)><\(xMax)><\(yMax)>"
        return style == .publishedCode ? "{\(edges)}" : edges
    }

    /// The box in pixels of an image: `v / 100 * size`.
    ///
    /// - Parameters:
    ///   - width: The original image's width, in pixels.
    ///   - height: The original image's height, in pixels.
    /// - Returns: A box in pixels of that image.
    public func pixels(width: Int, height: Int) -> BoundingBox {
        BoundingBox(
            xMin: Double(xMin) / 100 * Double(width),
            yMin: Double(yMin) / 100 * Double(height),
            xMax: Double(xMax) / 100 * Double(width),
            yMax: Double(yMax) / 100 * Double(height)
        )
    }

    private static func edges(
        count: Int,
        in scalars: [Unicode.Scalar],
        at position: inout Int,
        search: Search
    ) -> [Int]? {
        func skipBlanks(_ position: inout Int) {
            guard search == .anywhere else { return }
            while position < scalars.endIndex, scalars[position].properties.isWhitespace { position += 1 }
        }
        var edges: [Int] = []
        for _ in 0..<count {
            skipBlanks(&position)
            guard position < scalars.endIndex, scalars[position] == "<" else { return nil }
            position += 1
            skipBlanks(&position)
            var value = 0
            var digits = 0
            while digits < 3, position < scalars.endIndex, let digit = decimalValue(of: scalars[position]) {
                value = value * 10 + digit
                digits += 1
                position += 1
            }
            skipBlanks(&position)
            guard digits > 0, position < scalars.endIndex, scalars[position] == ">" else { return nil }
            position += 1
            edges.append(value)
        }
        return edges
    }

    private static func decimalValue(of scalar: Unicode.Scalar) -> Int? {
        guard scalar.properties.generalCategory == .decimalNumber, let value = scalar.properties.numericValue else {
            return nil
        }
        return Int(value)
    }
}
