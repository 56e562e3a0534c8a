import ArgumentParser
import Foundation
import UniMedData

/// `unimed data verify`: whether prepared data are sound.
struct DataVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check prepared data: digests, counts, boxes, answers, leaks between splits.",
        discussion: "Exit status 1 when something is wrong; warnings alone leave it 0."
    )

    @Argument(help: "A folder that `unimed data prepare` made.", completion: .directory)
    var folder: String

    @Flag(name: .long, help: "Call samples, pictures and groups by their names. They may identify patients.")
    var names = false

    @OptionGroup var output: OutputOptions

    private struct Report: Encodable {
        let samples: Int
        let errors: Int
        let warnings: Int
        let findings: [DataFinding]
    }

    func run() throws {
        let data = try PreparedData.open(at: URL(fileURLWithPath: folder))
        let privateNames = PrivateNames(salt: data.key, areShown: names)
        let findings = data.verify().map { $0.showing(privateNames) }
        let errors = findings.count { $0.severity == .error }
        if output.json {
            try Terminal.output(
                json: Report(
                    samples: data.samples.count,
                    errors: errors,
                    warnings: findings.count - errors,
                    findings: findings
                )
            )
        } else {
            for finding in findings {
                Terminal.output("\(finding.severity.rawValue): \(finding.subject): \(finding.message)")
            }
            Terminal.output("\(data.samples.count) samples: \(errors) errors, \(findings.count - errors) warnings")
        }
        if errors > 0 { throw ExitCode(Outcome.failed.rawValue) }
    }
}
