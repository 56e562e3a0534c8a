import Foundation

/// Values over a common axis, for example losses over steps, each as its course and a smoothed line.
public struct LineChart: Plot {
    /// One line.
    public struct Series: Sendable, Equatable {
        /// The name in the legend.
        public var name: String
        /// The positions, rising.
        public var x: [Double]
        /// The values.
        public var y: [Double]
        /// The colour, as `#RRGGBB`; taken in turn from ``Palette/colors`` when `nil`.
        public var color: String?

        /// Makes a line.
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
    /// The lines.
    public var series: [Series]
    /// The share of a line's points over which it is smoothed; `0` draws the values alone.
    public var smoothing: Double
    /// Whether the vertical axis is logarithmic.
    public var isLogarithmic: Bool

    /// The most points drawn per line; more are averaged.
    private static let pointLimit = 600

    /// Makes a chart.
    ///
    /// - Parameters:
    ///   - title: What it shows.
    ///   - xLabel: The label of the horizontal axis, with its unit.
    ///   - yLabel: The label of the vertical axis, with its unit.
    ///   - series: The lines.
    ///   - smoothing: The share of a line's points over which it is smoothed, 0.04 unless set.
    ///   - isLogarithmic: Whether the vertical axis is logarithmic.
    ///   - width: In CSS pixels.
    ///   - height: In CSS pixels.
    public init(
        title: String,
        xLabel: String,
        yLabel: String,
        series: [Series],
        smoothing: Double = 0.04,
        isLogarithmic: Bool = false,
        width: Int = 860,
        height: Int = 380
    ) {
        self.title = title
        self.xLabel = xLabel
        self.yLabel = yLabel
        self.series = series
        self.smoothing = smoothing
        self.isLogarithmic = isLogarithmic
        self.width = width
        self.height = height
    }

    /// The commands that draw it.
    ///
    /// - Throws: ``ReportError`` when there is nothing to draw or the parts do not fit.
    public func script(ink: String) throws(ReportError) -> String {
        var blocks = ""
        var curves: [String] = []
        for (index, line) in series.enumerated() {
            guard line.x.count == line.y.count else {
                throw .invalidInput(
                    plot: title,
                    field: line.name,
                    expected: "\(line.x.count) values, as many as positions",
                    got: "\(line.y.count)"
                )
            }
            let points = zip(line.x, line.y).filter { x, y in x.isFinite && y.isFinite && (!isLogarithmic || y > 0) }
            guard !points.isEmpty else { continue }
            let course = Self.averaged(points.map(\.0), points.map(\.1))
            let smooth = Self.smoothed(course.y, window: Int((Double(course.y.count) * smoothing).rounded()))
            blocks += Script.block("line\(index)", zip(course.x, zip(course.y, smooth)).map { [$0, $1.0, $1.1] })
            let color = line.color ?? Palette.color(index)
            let name = Script.quoted(line.name)
            if course.y.count == 1 {
                curves.append("$line\(index) using 1:2 with points pt 7 ps 0.6 lc rgb '\(color)' title \(name)")
                continue
            }
            if smooth != course.y {
                // 0xA0 of 0xFF transparent, so that the course stays in the background.
                curves.append("$line\(index) using 1:2 with lines lw 1 lc rgb '#A0\(color.dropFirst())' notitle")
            }
            curves.append("$line\(index) using 1:3 with lines lw 2 lc rgb '\(color)' title \(name)")
        }
        guard !curves.isEmpty else { throw .noData(plot: title) }
        return blocks + """
            set xlabel \(Script.quoted(xLabel))
            set ylabel \(Script.quoted(yLabel))
            set grid ytics linecolor rgb '#A0A0A0' linewidth 0.5 dashtype 3
            set key outside right top vertical Left reverse samplen 2
            \(isLogarithmic ? "set logscale y" : "set yrange [0:*]")
            plot \(curves.joined(separator: ", "))
            """
    }

    /// Means of neighbouring points, so that no more than the limit remain.
    private static func averaged(_ x: [Double], _ y: [Double]) -> (x: [Double], y: [Double]) {
        guard x.count > pointLimit else { return (x, y) }
        let size = (x.count + pointLimit - 1) / pointLimit
        var result: (x: [Double], y: [Double]) = ([], [])
        for start in stride(from: 0, to: x.count, by: size) {
            let end = min(start + size, x.count)
            result.x.append(x[start..<end].reduce(0, +) / Double(end - start))
            result.y.append(y[start..<end].reduce(0, +) / Double(end - start))
        }
        return result
    }

    /// The mean over a centred window, which shrinks to a quarter towards both ends so that a steep start is not drawn
    /// inwards.
    static func smoothed(_ values: [Double], window: Int) -> [Double] {
        let half = window / 2
        guard half > 0 else { return values }
        var sums = [0.0]
        sums.reserveCapacity(values.count + 1)
        for value in values { sums.append(sums[sums.count - 1] + value) }
        return values.indices.map { index in
            let reach = min(half, max(half / 4, min(index, values.count - 1 - index)))
            let (start, end) = (max(0, index - reach), min(values.count, index + reach + 1))
            return (sums[end] - sums[start]) / Double(end - start)
        }
    }
}
