import Foundation
import Testing
import UniMedFuzzing

@Suite("Fuzzing")
struct FuzzerTests {
    private func withFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "fuzzing-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try body(folder)
    }

    @Test(arguments: FuzzFormat.all.map(\.name))
    func `damaged files of each format are read or refused`(name: String) throws {
        try withFolder { folder in
            let formats = FuzzFormat.all.filter { $0.name == name }
            let report = try Fuzzer(seed: 1, formats: formats, folder: folder).run(0..<600)
            #expect(report.count == 600)
            // Neither everything nor nothing is noticed: the damage reaches beyond the first check, and it is damage.
            #expect(report.refused[name, default: 0] > 100)
            #expect(report.accepted[name, default: 0] > 5)
        }
    }

    @Test func `a case is the same whichever others are asked for`() throws {
        try withFolder { folder in
            let first = try Fuzzer(seed: 7, folder: folder)
            let files = (0..<50).map(first.file)
            let again = try Fuzzer(seed: 7, folder: folder)
            for index in (0..<50).reversed() { #expect(again.file(index) == files[index], "\(index)") }
            let other = try Fuzzer(seed: 8, folder: folder)
            #expect((0..<50).contains { other.file($0) != files[$0] })
        }
    }

    @Test func `the numbers of cases are told before they are read`() throws {
        try withFolder { folder in
            var seen: [Int] = []
            let report = try Fuzzer(seed: 3, folder: folder).run(10..<14) { seen.append($0) }
            #expect(seen == [10, 11, 12, 13])
            #expect(report.seed == 3 && report.count == 4)
        }
    }
}
