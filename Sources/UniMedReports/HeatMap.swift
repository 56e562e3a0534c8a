import Foundation

/// A matrix as coloured cells with their values, for example routing weights or tug-of-war indexes.
public struct HeatMap: Plot {
    /// What it shows.
    public var title: String
    /// The names of the rows, from the top.
    public var rows: [String]
    /// The names of the columns, from the left.
    public var columns: [String]
    /// The values, one list per row; not finite leaves a cell empty.
    public var values: [[Double]]
    /// What the values are, with their unit.
    public var valueLabel: String
    /// The values at the two ends of the colours; the smallest and largest when `nil`.
    public var range: ClosedRange<Double>?
    /// The number of decimals in the cells.
    public var decimals: Int
    /// Whether cells have no numbers and no names, and are small: an image rather than a table.
    ///
    /// Default: they have numbers.
    public var isImage = false

    /// Makes a heat map.
    ///
    /// - Parameters:
    ///   - title: What it shows.
    ///   - rows: From the top.
    ///   - columns: From the left.
    ///   - values: One list per row.
    ///   - valueLabel: What the values are, with their unit.
    ///   - range: The values at the two ends of the colours; the smallest and largest when `nil`.
    ///   - decimals: The number of decimals in the cells.
    public init(
        title: String,
        rows: [String],
        columns: [String],
        values: [[Double]],
        valueLabel: String,
        range: ClosedRange<Double>? = nil,
        decimals: Int = 2
    ) {
        self.title = title
        self.rows = rows
        self.columns = columns
        self.values = values
        self.valueLabel = valueLabel
        self.range = range
        self.decimals = decimals
    }

    /// The width, in CSS pixels, from the number of columns.
    public var width: Int { isImage ? 190 + Self.imageSide : 230 + 76 * columns.count }
    /// The height, in CSS pixels, from the number of rows.
    public var height: Int { isImage ? 90 + Self.imageSide : 90 + 40 * rows.count }

    private static let imageSide = 330

    /// Dark blue to yellow with evenly rising lightness, after the colour map cividis.
    private static let colors: [(Double, Double, Double)] = [
        (0, 34, 78), (53, 69, 108), (102, 105, 112), (148, 142, 119), (200, 184, 102), (254, 232, 56),
    ]

    /// An image's cells are as high as they are wide.
    private static let imageAxes =
        "set size ratio -1\nset xlabel 'Columns of patches, from the left'\nset ylabel 'Rows, from the top'"

    /// The commands that draw it.
    ///
    /// - Throws: ``ReportError`` when there is nothing to draw or the parts do not fit.
    public func script(ink: String) throws(ReportError) -> String {
        guard values.count == rows.count, values.allSatisfy({ $0.count == columns.count }) else {
            throw .invalidInput(
                plot: title,
                field: "values",
                expected: "\(rows.count) rows of \(columns.count)",
                got:
                    "\(values.count) rows of \(Set(values.map(\.count)).sorted().map(String.init).joined(separator: ", "))"
            )
        }
        let finite = values.joined().filter(\.isFinite)
        guard let smallest = finite.min(), let largest = finite.max() else { throw .noData(plot: title) }
        var (lower, upper) = (range?.lowerBound ?? smallest, range?.upperBound ?? largest)
        if lower == upper { (lower, upper) = (lower - 0.5, upper + 0.5) }
        var cells: [[Double]] = []
        var labels: [String] = []
        for (row, line) in values.enumerated() {
            for (column, value) in line.enumerated() where value.isFinite {
                cells.append([Double(column), Double(row), value])
                if isImage { continue }
                let isDark = (value - lower) / (upper - lower) < 0.55
                let text = String(format: "%.\(max(0, decimals))f", value)
                labels.append(
                    "set label \(labels.count + 1) '\(text)' at \(column),\(row) center front "
                        + "textcolor rgb '\(isDark ? "#FFFFFF" : "#000000")'"
                )
            }
        }
        let colors = Self.colors.enumerated().map { index, color in
            let part = { (value: Double) in String(format: "%.3f", value / 255) }
            return "\(index) \(part(color.0)) \(part(color.1)) \(part(color.2))"
        }
        let tics = { (names: [String]) in
            names.enumerated().map { "\(Script.quoted($1)) \($0)" }.joined(separator: ", ")
        }
        return Script.block("cells", cells) + """
            set palette defined (\(colors.joined(separator: ", ")))
            set cbrange [\(Script.number(lower)):\(Script.number(upper))]
            set cblabel \(Script.quoted(valueLabel))
            set colorbox noborder
            set cbtics textcolor rgb '\(ink)'
            set xrange [-0.5:\(Double(columns.count) - 0.5)]
            set yrange [\(Double(rows.count) - 0.5):-0.5]
            \(isImage ? Self.imageAxes : "")
            set xtics noenhanced scale 0 (\(isImage ? "" : tics(columns)))
            set ytics noenhanced scale 0 (\(isImage ? "" : tics(rows)))
            unset border
            unset key
            \(labels.joined(separator: "\n"))
            plot $cells using 1:2:($1-0.5):($1+0.5):($2-0.5):($2+0.5):3 with boxxyerror fillstyle solid 1.0 lc palette
            """
    }
}
