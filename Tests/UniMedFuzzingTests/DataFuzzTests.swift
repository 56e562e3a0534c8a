import Foundation
import Testing
import UniMedFuzzing

/// Pictures, arrays, tables and annotations that are damaged must be read or refused; nothing may end the program.
///
/// About half a minute of one core. `UNIMED_FUZZ_SEED` and `UNIMED_FUZZ_COUNT` repeat a run or make it longer; what
/// fails here is seen again with `unimed-fuzz --seed … --first … --count 1` and the same formats.
@Suite("Fuzzing of data")
struct DataFuzzTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let seed =
        environment["UNIMED_FUZZ_SEED"].flatMap(UInt64.init) ?? .random(in: 0...UInt64(UInt32.max))
    private static let count = environment["UNIMED_FUZZ_COUNT"].flatMap(Int.init) ?? 50_000

    @Test func `50,000 damaged pictures, arrays, records and annotations crash nothing`() throws {
        // In memory where there is such a folder: every case writes a file.
        let memory = URL(fileURLWithPath: "/dev/shm")
        let parent =
            FileManager.default.isWritableFile(atPath: memory.path)
            ? memory : FileManager.default.temporaryDirectory
        let folder = parent.appending(path: "unimed-data-fuzz-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let formats = FuzzFormat.data
        let names = formats.map { " --format \($0.name)" }.joined()
        // Before anything can crash, and not kept in a buffer.
        try FileHandle.standardError.write(contentsOf: Data("fuzzing of data: seed \(Self.seed),\(names)\n".utf8))
        let clock = ContinuousClock()
        var slowest: (case: Int, time: Duration) = (0, .zero)
        var last: (case: Int, start: ContinuousClock.Instant)?
        let report = try Fuzzer(seed: Self.seed, formats: formats, folder: folder).run(0..<Self.count) { index in
            let now = clock.now
            if let last, now - last.start > slowest.time { slowest = (last.case, now - last.start) }
            last = (index, now)
        }
        #expect(report.count == Self.count, "seed \(Self.seed)")
        for format in formats {
            // Both ends of every reader are reached.
            #expect(report.accepted[format.name, default: 0] > 0, "\(format.name), seed \(Self.seed)")
            #expect(report.refused[format.name, default: 0] > 0, "\(format.name), seed \(Self.seed)")
        }
        #expect(slowest.time < .seconds(30), "case \(slowest.case) took \(slowest.time), seed \(Self.seed)")
    }
}
