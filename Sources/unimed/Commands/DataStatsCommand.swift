import ArgumentParser
import Foundation
import UniMedData

/// `unimed data stats`: what is in prepared data.
struct DataStatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Count samples, pictures and answers, find pictures that occur twice and leaks between splits.",
        discussion: """
            Pictures are compared as they were prepared: equal in every pixel, or with near perceptual hashes and little \
            difference in grey. A leak is a picture, or a patient, case or study, in more than one split. Exit status 1 \
            when there is one, unless --allow-leaks is given.
            """
    )

    @Argument(help: "A folder that `unimed data prepare` made.", completion: .directory)
    var folder: String

    @Flag(name: .long, help: "List the most frequent answers too. They may hold text of patients' records.")
    var answers = false

    @Flag(name: .long, help: "Name the pictures and groups that leak. The names may identify patients.")
    var names = false

    @Option(name: .long, help: "The most bits, from 0 to 8, in which the perceptual hashes of near pictures differ.")
    var hashDistance = 3

    @Flag(name: .long, help: "Leaks between splits do not change the exit status.")
    var allowLeaks = false

    @OptionGroup var output: OutputOptions

    private struct Report: Encodable {
        struct Duplicates: Encodable {
            let differentPictures: Int
            let equalClusters: Int
            let nearClusters: Int
            let surplusFiles: Int
        }

        struct Leaks: Encodable {
            let equalPictures: Int
            let nearPictures: Int
            let groups: Int
            /// With `--names` alone.
            let named: [DuplicateReport.Leak]?
        }

        let sampleCount: Int
        let imageCount: Int
        let volumeCount: Int
        let groups: [DataStatistics.Group]
        let duplicates: Duplicates
        let leaks: Leaks
    }

    func validate() throws {
        guard (0...8).contains(hashDistance) else {
            throw ValidationError("--hash-distance: expected 0 to 8, got \(hashDistance)")
        }
    }

    func run() throws {
        let data = try PreparedData.open(at: URL(fileURLWithPath: folder))
        let statistics = DataStatistics(data.samples, topCount: answers ? 5 : 0)
        let duplicates = data.duplicates(options: DuplicateOptions(hashDistance: hashDistance))
        if output.json {
            try Terminal.output(json: report(statistics, duplicates))
        } else {
            Terminal.output(statistics.table(answers: answers) + duplicates.text(names: names).trimmedEnd)
        }
        if !duplicates.leaks.isEmpty, !allowLeaks { throw ExitCode(Outcome.failed.rawValue) }
    }

    private func report(_ statistics: DataStatistics, _ duplicates: DuplicateReport) -> Report {
        let equal = duplicates.clusters.count { $0.likeness == .equal }
        return Report(
            sampleCount: statistics.sampleCount,
            imageCount: statistics.imageCount,
            volumeCount: statistics.volumeCount,
            groups: statistics.groups,
            duplicates: Report.Duplicates(
                differentPictures: duplicates.pictureCount,
                equalClusters: equal,
                nearClusters: duplicates.clusters.count - equal,
                surplusFiles: duplicates.surplusCount
            ),
            leaks: Report.Leaks(
                equalPictures: duplicates.leakCount(.equalPicture),
                nearPictures: duplicates.leakCount(.nearPicture),
                groups: duplicates.leakCount(.group),
                named: names ? duplicates.leaks : nil
            )
        )
    }
}

extension String {
    fileprivate var trimmedEnd: String { trimmingCharacters(in: .newlines) }
}
