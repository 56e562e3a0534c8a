import ArgumentParser
import Foundation
import UniMedFuzzing

/// `unimed-fuzz`: feeds the readers of checkpoints, tokenizers, pictures and data sets with damaged files.
@main
struct FuzzCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unimed-fuzz",
        abstract: "Feed the readers of checkpoints, tokenizers, pictures and data sets with damaged files.",
        discussion: """
            Everything follows from the seed. A crash, an allocation of gigabytes or a file that takes longer than 20 \
            seconds ends the program with a line on standard error that says how to see it again.
            """
    )

    @Option(name: .long, help: "The seed; a new one without this option.")
    var seed: UInt64?

    @Option(name: .long, help: "The number of files.")
    var count = 20_000

    @Option(name: .long, help: "The number of the first file.")
    var first = 0

    @Option(name: .long, help: "A format; may be repeated. All without this option.")
    var format: [String] = []

    @Option(name: .long, help: "A folder to keep the files of this run in, for looking at.", completion: .directory)
    var keep: String?

    func validate() throws {
        guard count > 0, first >= 0, first <= Int.max - count else {
            throw ValidationError("--count must be positive and --first not negative.")
        }
        let known = FuzzFormat.all.map(\.name)
        for name in format where !known.contains(name) {
            throw ValidationError("--format: unknown format '\(name)'; known: \(known.joined(separator: ", ")).")
        }
    }

    func run() throws {
        let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
        let formats = FuzzFormat.all.filter { format.isEmpty || format.contains($0.name) }
        let names = format.map { " --format \($0)" }.joined()
        // Before anything can crash, and not kept in a buffer.
        try FileHandle.standardOutput.write(contentsOf: Data("seed \(seed)\n".utf8))
        let folder = FileManager.default.temporaryDirectory.appending(path: "unimed-fuzz-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }

        Watch.install()
        Watch.message("while making sound files, seed \(seed)")
        let fuzzer = try Fuzzer(seed: seed, formats: formats, folder: folder)
        let kept = keep.map { URL(fileURLWithPath: $0) }
        if let kept { try FileManager.default.createDirectory(at: kept, withIntermediateDirectories: true) }
        let report = try fuzzer.run(first..<first + count) { index in
            Watch.message("see it again: unimed-fuzz --seed \(seed) --first \(index) --count 1\(names)")
            Watch.restartClock()
            if let kept {
                try? fuzzer.file(index).write(
                    to: kept.appending(path: "\(formats[index % formats.count].name)-\(index)")
                )
            }
        }
        alarm(0)
        Watch.finish()
        for format in formats {
            let (accepted, refused) = (report.accepted[format.name] ?? 0, report.refused[format.name] ?? 0)
            print("\(format.name): \(accepted + refused) files, \(refused) refused")
        }
        print("\(report.count) files, no crash")
    }
}

/// Says what was being read when the program crashes, hangs or takes all memory.
private enum Watch {
    /// The message that a signal handler writes; it may not allocate.
    nonisolated(unsafe) private static let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: capacity)
    nonisolated(unsafe) private static var length = 0
    private static let capacity = 1024
    private static let secondsPerFile: UInt32 = 20
    private static let memoryLimit: rlim_t = 6 << 30

    static func message(_ text: String) {
        let bytes = Array("unimed-fuzz: \(text)\n".utf8.prefix(capacity))
        for (index, byte) in bytes.enumerated() { buffer[index] = CChar(bitPattern: byte) }
        length = bytes.count
    }

    static func restartClock() { alarm(secondsPerFile) }

    static func install() {
        // A request for more fails, and the crash says at which file.
        var limit = rlimit(rlim_cur: memoryLimit, rlim_max: memoryLimit)
        _ = setrlimit(__rlimit_resource_t(2), &limit)  // RLIMIT_DATA
        // A stack that overflowed has no room for the handler.
        let size = 1 << 16
        var stack = stack_t()
        stack.ss_sp = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        stack.ss_size = size
        sigaltstack(&stack, nil)
        for number in [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGALRM] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { number in
                _ = write(STDERR_FILENO, Watch.buffer, Watch.length)
                signal(number, SIG_DFL)
                raise(number)
            }
            action.sa_flags = Int32(bitPattern: UInt32(SA_ONSTACK))
            sigaction(number, &action, nil)
        }
        // A library that gives up by calling exit is a crash too.
        atexit { Watch.reportExit() }
    }

    nonisolated(unsafe) private static var isDone = false

    static func finish() { isDone = true }

    private static func reportExit() {
        if !isDone { _ = write(STDERR_FILENO, buffer, length) }
    }
}
