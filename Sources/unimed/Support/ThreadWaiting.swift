import Foundation

/// How the CPU's threads wait for each other.
enum ThreadWaiting {
    /// How often a thread looks before it sleeps: some ten microseconds, as long as the pause between two operations.
    private static let spinCount = "5000"

    /// Has threads that wait for others go to sleep soon, unless the environment says how they wait.
    ///
    /// OpenMP lets a thread that has nothing to do spin for about a millisecond. On a machine that does something else as
    /// well, each of a step's thousands of operations then waits for a thread that is not running, and training becomes
    /// ten times slower. OpenMP reads its settings before the program begins, so the program begins anew with them.
    static func limitSpinning() {
        #if os(Linux)
            guard getenv("GOMP_SPINCOUNT") == nil, getenv("OMP_WAIT_POLICY") == nil,
                let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            else { return }
            // Read first: a runtime that is linked statically finds the arguments no more once the environment has grown.
            let arguments = CommandLine.unsafeArgv
            setenv("GOMP_SPINCOUNT", spinCount, 1)
            // Returns only where it fails; the program then goes on as it is.
            execv(program, arguments)
        #endif
    }
}
