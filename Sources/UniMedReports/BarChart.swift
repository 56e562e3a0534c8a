import Foundation

/// Horizontal bars: for every category one bar per series, with an interval where there is one.
public struct BarChart: Plot {
    /// One bar.
    public struct Bar: Sendable, Equatable {
        /// Its length; not finite draws no bar.
        public var value: Double
        /// The ends of the whisker, where there is one.
        public var interval: ClosedRange<Double>?

        /// Makes a bar.
        public init(value: Double, interval: ClosedRange<Double>? = nil) {
            self.value = value
            self.interval = interval
        }
    }

    /// The bars of one colour, one per category.
    public struct Series: Sendable, Equatable {
        /// The name in the legend.
        public var name: String
        /// One bar per category.
        public var bars: [Bar]
        /// The colour, as `#RRGGBB`; taken in turn from ``Palette/colors`` when `nil`.
        public var color: String?

        /// Makes a series.
        public init(name: String, bars: [Bar], color: String? = nil) {
            self.name = name
            self.bars = bars
            self.color = color
        }
    }

    /// What it shows.
    public var title: String
    /// The width, in CSS pixels.
    public var width: Int
    /// The label of the values' axis, with its unit.
    public var valueLabel: String
    /// The categories, from the top.
    public var categories: [String]
    /// The series.
    public var series: [Series]
    /// The values' axis; fitted to the bars when `nil`.
    public var range: ClosedRange<Double>?

    /// Makes a chart.
    ///
    /// - Parameters:
    ///   - title: What it shows.
    ///   - valueLabel: The label of the values' axis, with its unit.
    ///   - categories: From the top.
    ///   - series: One bar per category each.
    ///   - range: The values' axis; fitted to the bars when `nil`.
    ///   - width: In CSS pixels.
    public init(
        title: String,
        valueLabel: String,
        categories: [String],
        series: [Series],
        range: ClosedRange<Double>? = nil,
        width: Int = 860
    ) {
        self.title = title
        self.valueLabel = valueLabel
        self.categories = categories
        self.series = series
        self.range = range
        self.width = width
    }

    /// The height, in CSS pixels, from the number of bars.
    public var height: Int { 96 + categories.count * (18 * max(1, series.count) + 12) }

    /// The commands that draw it.
    ///
    /// - Throws: ``ReportError`` when there is nothing to draw or the parts do not fit.
    public func script(ink: String) throws(ReportError) -> String {
        for line in series where line.bars.count != categories.count {
            throw .invalidInput(
                plot: title,
                field: line.name,
                expected: "\(categories.count) bars, one per category",
                got: "\(line.bars.count)"
            )
        }
        guard series.contains(where: { $0.bars.contains { $0.value.isFinite } }) else { throw .noData(plot: title) }
        let thickness = 0.8 / Double(series.count)
        var blocks = ""
        var curves: [String] = []
        for (index, line) in series.enumerated() {
            var bars: [[Double]] = []
            var whiskers: [[Double]] = []
            for (category, bar) in line.bars.enumerated() where bar.value.isFinite {
                let middle = Double(category) - 0.4 + (Double(index) + 0.5) * thickness
                let (lower, upper) = (middle - thickness * 0.46, middle + thickness * 0.46)
                bars.append([bar.value, middle, min(0, bar.value), max(0, bar.value), lower, upper])
                if let interval = bar.interval {
                    whiskers.append([bar.value, middle, interval.lowerBound, interval.upperBound])
                }
            }
            guard !bars.isEmpty else { continue }
            blocks += Script.block("bars\(index)", bars)
            let color = line.color ?? Palette.color(index)
            curves.append(
                "$bars\(index) using 1:2:3:4:5:6 with boxxyerror fillstyle solid 1.0 noborder lc rgb '\(color)' "
                    + "title \(Script.quoted(line.name))"
            )
            if !whiskers.isEmpty {
                blocks += Script.block("whiskers\(index)", whiskers)
                curves.append(
                    "$whiskers\(index) using 1:2:3:4 with xerrorbars pt 0 ps 0 lw 1.6 lc rgb '\(ink)' notitle"
                )
            }
        }
        let tics = categories.enumerated().map { "\(Script.quoted($1)) \($0)" }.joined(separator: ", ")
        return blocks + """
            set xlabel \(Script.quoted(valueLabel))
            set ytics noenhanced scale 0 (\(tics))
            set yrange [\(Double(categories.count) - 0.4):-0.6]
            set xrange [\(range.map { "\($0.lowerBound):\($0.upperBound)" } ?? "*<0:0<*")]
            set grid xtics linecolor rgb '#A0A0A0' linewidth 0.5 dashtype 3
            set key outside center top horizontal samplen 1
            plot \(curves.joined(separator: ", "))
            """
    }
}
