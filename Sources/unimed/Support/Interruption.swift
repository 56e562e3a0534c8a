import Dispatch
import Foundation
import Synchronization
import UniMedTraining

/// The user's wish to stop: Ctrl-C or a termination signal.
///
/// The first signal is only passed on, so that the work can save and end in good order; a second one ends the program.
enum Interruption {
    /// Asked between steps.
    static let control = TrainingControl()
    private static let sources = Mutex<[any DispatchSourceSignal]>([])
    private static let endsAtOnce = Atomic<Bool>(false)

    /// Starts listening.
    ///
    /// Without this a signal ends the program at once, as usual.
    static func listen() {
        sources.withLock { sources in
            guard sources.isEmpty else { return }
            for number in [SIGINT, SIGTERM] {
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler {
                    if control.isCancelled { _exit(Outcome.interrupted.rawValue) }
                    if endsAtOnce.load(ordering: .sequentiallyConsistent) {
                        Terminal.note("\nwhat is finished is kept; the same command continues\nunimed: interrupted")
                        _exit(Outcome.interrupted.rawValue)
                    }
                    control.cancel()
                    Terminal.note("\nstopping in good order; once more to stop at once")
                }
                source.resume()
                sources.append(source)
            }
        }
    }

    /// Does work that loses nothing finished wherever it ends: a signal meanwhile ends the program at once.
    static func endingAtOnce<Result>(_ work: () throws -> Result) throws -> Result {
        try check()
        endsAtOnce.store(true, ordering: .sequentiallyConsistent)
        defer { endsAtOnce.store(false, ordering: .sequentiallyConsistent) }
        return try work()
    }

    /// Throws when a signal has come.
    static func check() throws(Failure) {
        if control.isCancelled { throw Failure.interrupted }
    }
}
