import Foundation
import Testing

/// What `scripts/device/run` runs on an accelerator, in its small form on the CPU.
@Suite("Benchmarks of a device")
struct DeviceBenchmarkTests {
    private struct Document: Decodable {
        struct Numbers: Decodable {
            struct Comparison: Decodable {
                struct Check: Decodable {
                    let name: String
                    let deviation: Double?
                    let isPassed: Bool
                }
                let arithmetic: String
                let checks: [Check]
            }
            let comparisons: [Comparison]
        }
        struct FullSize: Decodable {
            struct Measurement: Decodable {
                let losses: [Double]
                let stepSeconds: [Double]
                let samplesPerSecond: Double
            }
            let isDryRun: Bool
            let measurements: [Measurement]
        }
        let numbers: Numbers?
        let fullSize: FullSize?
    }

    private func bench(_ arguments: [String]) throws -> Document {
        let result = try Program.run(["bench", "--json"] + arguments, in: Program.root)
        #expect(result.status == 0, "\(result.errors)")
        return try JSONDecoder().decode(Document.self, from: Data(result.output.utf8))
    }

    @Test func `the CPU computes what the CPU computes, in bfloat16 nearly`() throws {
        let numbers = try #require(try bench(["--only", "numbers"]).numbers)
        #expect(numbers.comparisons.allSatisfy { $0.checks.allSatisfy(\.isPassed) })
        let exact = try #require(numbers.comparisons.first)
        #expect(exact.arithmetic == "float32" && exact.checks.count >= 7)
        #expect(exact.checks.allSatisfy { $0.deviation == 0 })
        let narrow = try #require(numbers.comparisons.first { $0.arithmetic == "bfloat16" })
        // The two sides are not the same computation by mistake.
        #expect(narrow.checks.contains { $0.name == "logits" && ($0.deviation ?? 0) > 1e-4 })
    }

    @Test func `a dry run takes its steps and writes the peer's work`() throws {
        let folder = try TemporaryFolder()
        let work = folder.url.appendingPathComponent("peer")
        let report = try #require(
            try bench([
                "--only", "full-size", "--dry-run", "--steps", "1", "--warmups", "1", "--peer-work", work.path,
            ]).fullSize
        )
        #expect(report.isDryRun && report.measurements.count == 5)
        for measurement in report.measurements {
            #expect(measurement.losses.count == 3 && measurement.stepSeconds.count == 1)
            #expect(measurement.losses.allSatisfy(\.isFinite) && measurement.samplesPerSecond > 0)
        }
        struct Work: Decodable {
            struct Batch: Decodable {
                let tokens: [[Int]]
                let targets: [[Int]]
            }
            let batches: [Batch]
            let weights: String?
        }
        let written = try JSONDecoder().decode(
            Work.self,
            from: Data(contentsOf: work.appendingPathComponent("work.json"))
        )
        #expect(written.batches.count == 2)
        #expect(written.batches.allSatisfy { zip($0.tokens, $0.targets).allSatisfy { $0.count == $1.count } })
        let weights = try #require(written.weights)
        #expect(FileManager.default.fileExists(atPath: work.appendingPathComponent(weights).path))
    }

    @Test func `what belongs to full-size is refused elsewhere`() throws {
        let result = try Program.run(["bench", "--only", "numbers", "--dry-run"], in: Program.root)
        #expect(result.status == 2)
        #expect(result.errors.contains("--only full-size"))
    }
}
