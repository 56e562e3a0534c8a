import Foundation

/// What LibTorch and OpenMP read from the environment before the program begins.
enum RuntimeEnvironment {
    private static let settings = [
        // How often a thread that waits for others looks before it sleeps: some ten microseconds, as long as the pause between
        // two operations. OpenMP lets it spin for about a millisecond. On a machine that does something else as well, each of a
        // step's thousands of operations then waits for a thread that is not running, and training becomes ten times slower.
        "GOMP_SPINCOUNT": "5000",
        // Large tensors lie in pages of 2 MB where the kernel has them: a gradient of a gigabyte is not 250,000 page faults.
        "THP_MEM_ALLOC_ENABLE": "1",
    ]

    /// Begins the program anew with these settings, except for those that the environment has already.
    static func prepare() {
        #if os(Linux)
            let missing = settings.filter { name, _ in
                getenv(name) == nil && !(name == "GOMP_SPINCOUNT" && getenv("OMP_WAIT_POLICY") != nil)
            }
            guard !missing.isEmpty,
                let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            else { return }
            for (name, value) in missing { setenv(name, value, 1) }
            // Returns only where it fails; the program then goes on as it is.
            execv(program, CommandLine.unsafeArgv)
        #endif
    }
}
