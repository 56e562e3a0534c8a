public import ArgumentParser
import Foundation
public import UniMedData
import UniMedReports
public import UniMedTasks

/// `unimed data browse`: a page of samples.
struct DataBrowseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "browse",
        abstract: "Write a page of samples of every data set, task and split, as the model gets them.",
        discussion: """
            The page is one HTML file that needs no other. It holds pictures and texts of the data sets and belongs where \
            they belong.
            """
    )

    @Argument(help: "A folder that `unimed data prepare` made.", completion: .directory)
    var folder: String

    @Option(name: .shortAndLong, help: "The page to write.")
    var output: String

    @Option(name: .long, help: "The most samples of a data set, task and split.")
    var count = 6

    @Option(name: .long, help: "Only this data set.")
    var dataset: String?

    @Option(name: .long, help: "Only this task; may be repeated.")
    var task: [MedicalTask] = []

    @Option(name: .long, help: "Only this split; may be repeated.")
    var split: [Split] = []

    @Option(name: .long, help: "The layout of the prompts: training or evaluation.")
    var form = Prompt.Form.training

    @Option(name: .long, help: "The seed of the choice of samples and of the templates.")
    var seed: UInt64 = 0

    @Option(name: .long, help: "The most slices of a volume.")
    var slices = 16

    @Option(name: .long, help: "How the slices of a volume are chosen: even or content.")
    var sliceChoice = SliceSelection.Choice.even

    @Flag(name: .long, help: "Call samples and groups by their names. They may identify patients.")
    var names = false

    @OptionGroup var outputOptions: OutputOptions

    private struct Summary: Encodable {
        struct Section: Encodable {
            let dataset: String
            let split: Split
            let task: MedicalTask
            let samples: Int
            let shown: Int
        }

        let page: String
        let sections: [Section]
    }

    func validate() throws {
        guard count > 0 else { throw ValidationError("--count: must be positive, got \(count)") }
        guard slices > 0 else { throw ValidationError("--slices: must be positive, got \(slices)") }
    }

    func run() throws {
        let data = try PreparedData.open(at: URL(fileURLWithPath: folder))
        let page = try DataBrowsing(
            data: data,
            dataset: dataset,
            tasks: task.isEmpty ? Set(MedicalTask.allCases) : Set(task),
            splits: split.isEmpty ? Set(Split.allCases) : Set(split),
            count: count,
            seed: seed,
            form: form,
            selection: SliceSelection(count: slices, choice: sliceChoice),
            names: names
        ).page()
        guard !page.sections.isEmpty else {
            throw Failure.badInput("\(folder): no sample is of these tasks and splits")
        }
        try page.write(to: URL(fileURLWithPath: output))
        let sections = page.sections.map { section in
            Summary.Section(
                dataset: section.dataset,
                split: section.split,
                task: section.task,
                samples: section.count,
                shown: section.cards.count
            )
        }
        if outputOptions.json {
            try Terminal.output(json: Summary(page: output, sections: sections))
        } else {
            let shown = sections.reduce(0) { $0 + $1.shown }
            Terminal.output("\(shown) of \(data.samples.count) samples in \(output)")
        }
    }
}

extension Prompt.Form: ExpressibleByArgument {}
extension SliceSelection.Choice: ExpressibleByArgument {}
