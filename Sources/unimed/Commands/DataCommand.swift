import ArgumentParser

/// `unimed data`: the data sets.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Prepare data sets, look at them, count what is in them, check them.",
        subcommands: [
            DataPrepareCommand.self, DataBrowseCommand.self, DataStatsCommand.self, DataVerifyCommand.self,
        ]
    )
}
