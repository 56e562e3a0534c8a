import Foundation

/// How often values fall into bins of equal width.
public struct Histogram: Plot {
    /// What it shows.
    public var title: String
    /// The width, in CSS pixels.
    public var width: Int
    /// The height, in CSS pixels.
    public var height: Int
    /// The label of the values' axis, with its unit.
    public var valueLabel: String
    /// What is counted.
    public var countLabel: String
    /// The values; those that are not finite are left out and counted in the label.
    public var values: [Double]
    /// The number of bins; from the number of values (Rice's rule) when `nil`.
    public var binCount: Int?
    /// The ends of the bins; the smallest and largest value when `nil`.
    public var range: ClosedRange<Double>?

    /// Makes a histogram.
    ///
    /// - Parameters:
    ///   - title: What it shows.
    ///   - valueLabel: The label of the values' axis, with its unit.
    ///   - countLabel: What is counted.
    ///   - values: The values.
    ///   - binCount: The number of bins; from the number of values when `nil`.
    ///   - range: The ends of the bins; the smallest and largest value when `nil`.
    ///   - width: In CSS pixels.
    ///   - height: In CSS pixels.
    public init(
        title: String,
        valueLabel: String,
        countLabel: String = "Samples",
        values: [Double],
        binCount: Int? = nil,
        range: ClosedRange<Double>? = nil,
        width: Int = 560,
        height: Int = 320
    ) {
        self.title = title
        self.valueLabel = valueLabel
        self.countLabel = countLabel
        self.values = values
        self.binCount = binCount
        self.range = range
        self.width = width
        self.height = height
    }

    /// The edges of the bins and how many values each holds; the last bin includes its upper edge.
    ///
    /// - Throws: ``ReportError`` when no value is finite or the number of bins is not positive.
    public func bins() throws(ReportError) -> (edges: [Double], counts: [Int]) {
        let finite = values.filter(\.isFinite)
        guard let smallest = finite.min(), let largest = finite.max() else { throw .noData(plot: title) }
        let count = binCount ?? max(1, Int((2 * cbrt(Double(finite.count))).rounded(.up)))
        guard count > 0 else {
            throw .invalidInput(plot: title, field: "binCount", expected: "at least 1", got: "\(count)")
        }
        var (lower, upper) = (range?.lowerBound ?? smallest, range?.upperBound ?? largest)
        if lower == upper { (lower, upper) = (lower - 0.5, upper + 0.5) }
        let size = (upper - lower) / Double(count)
        var counts = [Int](repeating: 0, count: count)
        for value in finite where value >= lower && value <= upper {
            counts[min(count - 1, Int((value - lower) / size))] += 1
        }
        return ((0...count).map { lower + Double($0) * size }, counts)
    }

    /// The commands that draw it.
    ///
    /// - Throws: ``ReportError`` when there is nothing to draw or the parts do not fit.
    public func script(ink: String) throws(ReportError) -> String {
        let (edges, counts) = try bins()
        let rows = counts.indices.map { bin -> [Double] in
            let gap = (edges[bin + 1] - edges[bin]) * 0.03
            return [(edges[bin] + edges[bin + 1]) / 2, Double(counts[bin]), edges[bin] + gap, edges[bin + 1] - gap]
        }
        let shown = counts.reduce(0, +)
        let left = values.count - shown
        let label = "\(valueLabel), n = \(shown)" + (left > 0 ? " (\(left) outside)" : "")
        return Script.block("bins", rows) + """
            set xlabel \(Script.quoted(label))
            set ylabel \(Script.quoted(countLabel))
            set yrange [0:*]
            set xrange [\(Script.number(edges[0])):\(Script.number(edges[edges.count - 1]))]
            set grid ytics linecolor rgb '#A0A0A0' linewidth 0.5 dashtype 3
            unset key
            plot $bins using 1:($2/2):3:4:(0):2 with boxxyerror fillstyle solid 1.0 noborder lc rgb '\(Palette.colors[3])'
            """
    }
}
