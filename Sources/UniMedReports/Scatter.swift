import Foundation

/// Points in a plane, with a colour and a shape for each kind.
public struct Scatter: Plot {
    /// The points of one kind.
    public struct Series: Sendable, Equatable {
        /// The name in the legend; the number of points is added.
        public var name: String
        /// The horizontal coordinates.
        public var x: [Double]
        /// The vertical coordinates, as many; points that are not finite are left out.
        public var y: [Double]
        /// The colour, as `#RRGGBB`; taken in turn from ``Palette/colors`` when `nil`.
        public var color: String?

        /// Makes a series.
        public init(name: String, x: [Double], y: [Double], color: String? = nil) {
            self.name = name
            self.x = x
            self.y = y
            self.color = color
        }
    }

    /// What it shows.
    public var title: String
    /// The width, in CSS pixels.
    public var width: Int
    /// The height, in CSS pixels.
    public var height: Int
    /// The label of the horizontal axis, with its unit.
    public var xLabel: String
    /// The label of the vertical axis, with its unit.
    public var yLabel: String
    /// The kinds.
    public var series: [Series]

    /// Makes a plot.
    public init(
        title: String,
        xLabel: String,
        yLabel: String,
        series: [Series],
        width: Int = 640,
        height: Int = 560
    ) {
        self.title = title
        self.xLabel = xLabel
        self.yLabel = yLabel
        self.series = series
        self.width = width
        self.height = height
    }

    /// Filled circle, square, triangle, diamond and pentagon, and the same hollow: kinds differ in more than colour.
    private static let shapes = [7, 5, 9, 13, 15, 6, 4, 8, 12, 14]

    /// The commands that draw it.
    ///
    /// - Throws: ``ReportError`` when there is nothing to draw or the parts do not fit.
    public func script(ink: String) throws(ReportError) -> String {
        var blocks = ""
        var curves: [String] = []
        for (index, kind) in series.enumerated() {
            guard kind.x.count == kind.y.count else {
                throw .invalidInput(
                    plot: title,
                    field: kind.name,
                    expected: "\(kind.x.count) vertical coordinates, as many as horizontal ones",
                    got: "\(kind.y.count)"
                )
            }
            let points = zip(kind.x, kind.y).filter { $0.isFinite && $1.isFinite }.map { [$0, $1] }
            guard !points.isEmpty else { continue }
            blocks += Script.block("points\(index)", points)
            let color = kind.color ?? Palette.color(index)
            curves.append(
                "$points\(index) using 1:2 with points pt \(Self.shapes[index % Self.shapes.count]) ps 0.7 "
                    + "lc rgb '\(color)' title \(Script.quoted("\(kind.name), n = \(points.count)"))"
            )
        }
        guard !curves.isEmpty else { throw .noData(plot: title) }
        return blocks + """
            set xlabel \(Script.quoted(xLabel))
            set ylabel \(Script.quoted(yLabel))
            set grid linecolor rgb '#A0A0A0' linewidth 0.5 dashtype 3
            set key outside center bottom horizontal samplen 1
            plot \(curves.joined(separator: ", "))
            """
    }
}
