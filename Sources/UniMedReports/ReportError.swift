/// Why a plot or a page cannot be made.
public enum ReportError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The program that draws plots is not installed.
    case gnuplotMissing(searched: [String])
    /// The program that draws plots refused a plot.
    case plotFailed(plot: String, message: String)
    /// A plot was asked for without anything to draw.
    case noData(plot: String)
    /// A plot's inputs do not belong together.
    case invalidInput(plot: String, field: String, expected: String, got: String)
    /// A file cannot be written.
    case fileSystem(path: String, reason: String)

    /// What went wrong, where, what was expected and what was got.
    public var description: String {
        switch self {
        case .gnuplotMissing(let searched):
            "plots need the program gnuplot, which is not in \(searched.joined(separator: ":")): install the package "
                + "gnuplot-nox (Debian, Ubuntu) or gnuplot (Fedora, Homebrew)"
        case .plotFailed(let plot, let message): "plot \"\(plot)\": gnuplot failed: \(message)"
        case .noData(let plot): "plot \"\(plot)\": expected at least one finite value, got none"
        case .invalidInput(let plot, let field, let expected, let got):
            "plot \"\(plot)\", \(field): expected \(expected), got \(got)"
        case .fileSystem(let path, let reason): "\(path): \(reason)"
        }
    }

    /// The kind of error without anything that depends on the data.
    public var shortDescription: String {
        switch self {
        case .gnuplotMissing: "gnuplot missing"
        case .plotFailed: "plot failed"
        case .noData: "no data"
        case .invalidInput: "invalid input"
        case .fileSystem: "file system"
        }
    }
}
