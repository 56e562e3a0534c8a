public import UniMedData

/// Why a metric cannot be computed.
public enum MetricError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A box has no area under the extent that was asked for.
    case emptyBox(BoundingBox)
    /// A mean, percentile or interval was asked of no values at all.
    case noValues(metric: String)
    /// Two lists that belong together differ in length.
    case countMismatch(metric: String, expected: Int, got: Int)
    /// A parameter lies outside its range.
    case outOfRange(parameter: String, expected: String, got: String)
    /// A label that is not among the classes.
    case unknownLabel(String)
    /// A data file of a metric cannot be read.
    case unreadableResource(path: String, reason: String)

    /// What went wrong, where, what was expected and what was got.
    public var description: String {
        switch self {
        case .emptyBox(let box):
            "a box has no area: expected xMin < xMax and yMin < yMax, got (\(box.xMin), \(box.yMin)) to "
                + "(\(box.xMax), \(box.yMax))"
        case .noValues(let metric): "\(metric): expected at least one value, got none"
        case .countMismatch(let metric, let expected, let got):
            "\(metric): the lists differ in length: expected \(expected), got \(got)"
        case .outOfRange(let parameter, let expected, let got): "\(parameter): expected \(expected), got \(got)"
        case .unknownLabel(let label): "a reference label is not among the classes: got \"\(label)\""
        case .unreadableResource(let path, let reason): "\(path): \(reason)"
        }
    }

    /// The kind of error without anything that depends on the data.
    public var shortDescription: String {
        switch self {
        case .emptyBox: "empty box"
        case .noValues: "no values"
        case .countMismatch: "count mismatch"
        case .outOfRange: "out of range"
        case .unknownLabel: "unknown label"
        case .unreadableResource: "unreadable resource"
        }
    }
}
