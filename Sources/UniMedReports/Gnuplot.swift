public import Foundation
import UniMedData

/// The program that draws the plots.
///
/// It runs as a separate process without the user's settings. What is plotted goes in through standard input; it never
/// becomes part of a command line.
public struct Gnuplot: Sendable {
    /// The program.
    public let executable: URL

    /// Finds the program.
    ///
    /// - Parameter folders: The folders to look in; those of `PATH` unless given.
    /// - Throws: ``ReportError/gnuplotMissing(searched:)``, which names the package to install.
    public init(searching folders: [String]? = nil) throws(ReportError) {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        let folders = folders ?? path.split(separator: ":").map(String.init)
        for folder in folders {
            let candidate = URL(fileURLWithPath: folder, isDirectory: true).appendingPathComponent("gnuplot")
            if FileManager.default.isExecutableFile(atPath: candidate.path) {
                executable = candidate
                return
            }
        }
        throw .gnuplotMissing(searched: folders)
    }

    /// Draws a plot as SVG to be placed inside a page.
    ///
    /// Text and axes take the colour of the surrounding text; the ids are the plot's own, so that several plots can
    /// stand in one page.
    ///
    /// - Parameters:
    ///   - plot: What to draw.
    ///   - identifier: Letters and digits that no other plot of the page has.
    /// - Returns: One `<svg>` element.
    /// - Throws: ``ReportError`` when there is nothing to draw or the program fails.
    public func svg(_ plot: some Plot, identifier: String) throws(ReportError) -> String {
        precondition(
            identifier.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) },
            "an id has letters and digits"
        )
        let terminal =
            "set terminal svg size \(plot.width),\(plot.height) dynamic font 'sans-serif,13' name '\(identifier)'"
        let output = try run(plot, terminal: terminal, ink: Palette.ink)
        return Self.inlined(String(decoding: output, as: UTF8.self), plot, identifier)
    }

    /// Draws a plot as a PNG picture on white.
    ///
    /// - Parameters:
    ///   - plot: What to draw.
    ///   - scale: Pixels per unit of the plot's size, 2 unless set.
    /// - Returns: The bytes of the file.
    /// - Throws: ``ReportError`` when there is nothing to draw or the program fails.
    public func png(_ plot: some Plot, scale: Double = 2) throws(ReportError) -> Data {
        let width = Int(Double(plot.width) * scale)
        let height = Int(Double(plot.height) * scale)
        let terminal = "set terminal pngcairo size \(width),\(height) fontscale \(scale) linewidth \(scale)"
        return try run(plot, terminal: terminal, ink: "#202020")
    }

    private func run(_ plot: some Plot, terminal: String, ink: String) throws(ReportError) -> Data {
        let axes = """
            set encoding utf8
            \(terminal)
            set border 3 linecolor rgb '\(ink)'
            set tics out nomirror scale 0.6 textcolor rgb '\(ink)'
            set xlabel textcolor rgb '\(ink)' noenhanced
            set ylabel textcolor rgb '\(ink)' noenhanced
            set cblabel textcolor rgb '\(ink)' noenhanced
            set key textcolor rgb '\(ink)' noenhanced

            """
        let script = axes + (try plot.script(ink: ink)) + "\n"
        do {
            return try execute(script, plot.title)
        } catch let error as ReportError {
            throw error
        } catch {
            throw .plotFailed(plot: plot.title, message: "\(error)")
        }
    }

    /// Input and output go through files, so that neither process can block the other on a full pipe.
    private func execute(_ script: String, _ title: String) throws -> Data {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("plot-" + UUID().uuidString)
        try FileManager.default.createDirectory(
            at: folder,
            withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700]
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        let input = folder.appendingPathComponent("script")
        let output = folder.appendingPathComponent("output")
        let messages = folder.appendingPathComponent("messages")
        try Data(script.utf8).write(to: input)
        for url in [output, messages] { try Data().write(to: url) }
        let process = Process()
        process.executableURL = executable
        process.arguments = ["--default-settings", "-"]
        process.standardInput = try FileHandle(forReadingFrom: input)
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: messages)
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0, process.terminationReason == .exit else {
            let message = String(decoding: try Data(contentsOf: messages), as: UTF8.self)
            let lines = message.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            throw ReportError.plotFailed(plot: title, message: lines.last { !$0.isEmpty } ?? "no message")
        }
        return try Data(contentsOf: output)
    }

    private static func inlined(_ svg: String, _ plot: some Plot, _ identifier: String) -> String {
        var svg = svg
        if let start = svg.range(of: "<svg"), let end = svg.range(of: ">", range: start.upperBound..<svg.endIndex) {
            svg = String(svg[end.upperBound...])
        }
        for tag in ["title", "desc"] {
            if let start = svg.range(of: "<\(tag)>"), let end = svg.range(of: "</\(tag)>"),
                start.lowerBound < end.lowerBound
            {
                svg.removeSubrange(start.lowerBound..<end.upperBound)
            }
        }
        for (part, replacement) in [
            ("id='gp", "id='\(identifier)gp"), ("#gp", "#\(identifier)gp"), ("gnuplot_canvas", "\(identifier)canvas"),
            ("id='textbox'", "id='\(identifier)textbox'"), ("id='greybox'", "id='\(identifier)greybox'"),
            (" color=\"black\"", ""), ("rgb(1,2,3)", "currentColor"), ("rgb(  1,   2,   3)", "currentColor"),
            ("font-family=\"sans-serif\" ", ""), (" font-family=\"sans-serif\"", ""),
        ] {
            svg = svg.replacingOccurrences(of: part, with: replacement)
        }
        let label = HTML.escape(plot.title)
        return """
            <svg viewBox="0 0 \(plot.width) \(plot.height)" xmlns="http://www.w3.org/2000/svg" \
            xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="\(label)" style="max-width: \(plot.width)px">
            """ + svg
    }
}

/// Text for pages.
enum HTML {
    /// The text with everything that has a meaning in HTML written as a character reference.
    static func escape(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
