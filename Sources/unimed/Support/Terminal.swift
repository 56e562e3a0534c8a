import Foundation
import Synchronization

/// Standard output and standard error.
enum Terminal {
    /// Writes a line of the result.
    static func output(_ text: String) {
        write(text + "\n", to: .standardOutput)
    }

    /// Writes a part of a line of the result, at once.
    static func output(part text: String) {
        write(text, to: .standardOutput)
    }

    /// Writes a line about the work, beside the result.
    static func note(_ text: String) {
        write(text + "\n", to: .standardError)
    }

    /// Writes one JSON document as the whole result.
    static func output(json value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity",
            negativeInfinity: "-Infinity",
            nan: "NaN"
        )
        output(String(decoding: try encoder.encode(value), as: UTF8.self))
    }

    /// Whether a person reads standard error as it is written.
    static let isInteractive = isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"

    /// Whether a person reads standard output as it is written.
    static let isOutputInteractive = isatty(STDOUT_FILENO) == 1

    /// A reader that has gone away, such as `head`, ends the program quietly.
    private static func write(_ text: String, to handle: FileHandle) {
        do {
            try handle.write(contentsOf: Data(text.utf8))
        } catch {
            exit(handle.fileDescriptor == STDOUT_FILENO ? Outcome.failed.rawValue : Outcome.success.rawValue)
        }
    }
}

/// The progress of one piece of work on standard error: a bar where a person looks, otherwise a line every ten seconds.
final class ProgressBar: Sendable {
    private struct State {
        var start = ContinuousClock.now
        var firstDone: Int?
        var lastShown: ContinuousClock.Instant?
        var width = 0
    }

    private let title: String
    private let unit: String
    private let state = Mutex(State())

    /// Names the work and what is counted, for example `steps`.
    init(_ title: String, unit: String) {
        self.title = title
        self.unit = unit
    }

    /// Shows how far the work is, at most ten times a second.
    func update(_ done: Int, of total: Int, detail: String = "") {
        state.withLock { state in
            let now = ContinuousClock.now
            if state.firstDone == nil {
                state.firstDone = done
                state.start = now
            }
            let pause: Duration = Terminal.isInteractive ? .milliseconds(100) : .seconds(10)
            let isDue = state.lastShown.map { now - $0 >= pause } ?? true
            guard isDue || done >= total else { return }
            state.lastShown = now
            show(done, total, detail, since: now - state.start, first: state.firstDone ?? 0, &state)
        }
    }

    /// Ends the line of the bar.
    func finish() {
        state.withLock { state in
            if Terminal.isInteractive, state.width > 0 { Terminal.note("") }
            state.width = 0
        }
    }

    private func show(
        _ done: Int,
        _ total: Int,
        _ detail: String,
        since elapsed: Duration,
        first: Int,
        _ state: inout State
    ) {
        let seconds = elapsed / .seconds(1)
        let rate = seconds > 0 ? Double(done - first) / seconds : 0
        var line = "\(title): \(done)/\(total) \(unit)"
        if rate > 0 {
            let rateText = rate >= 10 ? String(format: "%.0f", rate) : String(format: "%.2f", rate)
            line += ", \(rateText) \(unit)/s, \(Self.clock(Double(total - done) / rate)) left"
        }
        if !detail.isEmpty { line += ", \(detail)" }
        guard Terminal.isInteractive else {
            Terminal.note(line)
            return
        }
        let filled = total > 0 ? min(20, done * 20 / total) : 20
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 20 - filled)
        let text = "[\(bar)] \(line)"
        let padding = String(repeating: " ", count: max(0, state.width - text.count))
        state.width = text.count
        try? FileHandle.standardError.write(contentsOf: Data("\r\(text)\(padding)".utf8))
    }

    /// Seconds as `m:ss` or `h:mm:ss`.
    static func clock(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded())
        let (minutes, rest) = whole.quotientAndRemainder(dividingBy: 60)
        return minutes < 60
            ? String(format: "%d:%02d", minutes, rest)
            : String(format: "%d:%02d:%02d", minutes / 60, minutes % 60, rest)
    }
}

/// A bar at a time: a new one whenever the work has another name.
final class ProgressPrinter: Sendable {
    private let current = Mutex<(title: String, bar: ProgressBar)?>(nil)

    /// Shows how far a piece of work is.
    func show(_ title: String, _ done: Int, of total: Int, unit: String, detail: String = "") {
        let bar = current.withLock { current -> ProgressBar in
            if let current, current.title == title { return current.bar }
            current?.bar.finish()
            let bar = ProgressBar(title, unit: unit)
            current = (title, bar)
            return bar
        }
        bar.update(done, of: total, detail: detail)
    }

    /// Ends the line of the last bar.
    func finish() {
        current.withLock { current in
            current?.bar.finish()
            current = nil
        }
    }
}
