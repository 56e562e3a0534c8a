import Dispatch
import Foundation
import Synchronization

/// The user's wish to stop: Ctrl-C or a termination signal.
///
/// The first signal is only noted, so that the work can save and end in good order; a second one ends the program.
enum Interruption {
    private static let flag = Atomic<Bool>(false)
    private static let sources = Mutex<[any DispatchSourceSignal]>([])

    /// Whether a signal has come.
    static var isRequested: Bool { flag.load(ordering: .relaxed) }

    /// Starts listening. Without this a signal ends the program at once, as usual.
    static func listen() {
        sources.withLock { sources in
            guard sources.isEmpty else { return }
            for number in [SIGINT, SIGTERM] {
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler {
                    if flag.exchange(true, ordering: .relaxed) { _exit(Outcome.interrupted.rawValue) }
                    Terminal.note("\nstopping after this step; once more to stop at once")
                }
                source.resume()
                sources.append(source)
            }
        }
    }

    /// Throws when a signal has come.
    static func check() throws(Failure) {
        if isRequested { throw Failure.interrupted }
    }
}
