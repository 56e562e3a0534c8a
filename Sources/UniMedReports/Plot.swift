import Foundation

/// Something gnuplot can draw.
public protocol Plot: Sendable {
    /// What the plot shows, in a few words.
    var title: String { get }
    /// The width, in CSS pixels.
    var width: Int { get }
    /// The height, in CSS pixels.
    var height: Int { get }

    /// The commands that draw it, after the terminal and the colours of the axes are set.
    ///
    /// - Parameter ink: The colour of text, as `#RRGGBB`.
    /// - Returns: Lines in gnuplot's language.
    /// - Throws: ``ReportError`` when there is nothing to draw or the parts do not fit.
    func script(ink: String) throws(ReportError) -> String
}

/// Text and numbers in gnuplot's language.
enum Script {
    /// A quoted text in which nothing is interpreted.
    static func quoted(_ text: String) -> String {
        let line = String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) })
        return "'" + line.replacingOccurrences(of: "'", with: "''") + "'"
    }

    /// A number; what is not finite is a gap.
    static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "NaN" }

    /// A block of data with a name.
    static func block(_ name: String, _ rows: [[Double]]) -> String {
        "$\(name) << END_OF_DATA\n"
            + rows.map { $0.map(number).joined(separator: " ") }.joined(separator: "\n")
            + "\nEND_OF_DATA\n"
    }
}
