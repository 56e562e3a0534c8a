import ArgumentParser
import Foundation
import UniMedData

/// `unimed data stats`: what is in prepared data.
struct DataStatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Count samples, pictures and answers per data set, split and task."
    )

    @Argument(help: "A folder that `unimed data prepare` made.", completion: .directory)
    var folder: String

    @Flag(name: .long, help: "List the most frequent answers too. They may hold text of patients' records.")
    var answers = false

    @OptionGroup var output: OutputOptions

    func run() throws {
        let data = try PreparedData.open(at: URL(fileURLWithPath: folder))
        let statistics = DataStatistics(data.samples, topCount: answers ? 5 : 0)
        if output.json {
            try Terminal.output(json: statistics)
        } else {
            Terminal.output(statistics.table(answers: answers).trimmingCharacters(in: .newlines))
        }
    }
}
