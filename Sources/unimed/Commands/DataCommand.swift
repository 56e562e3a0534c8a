import ArgumentParser

/// `unimed data`: the data sets.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Prepare data sets, keep their vision features, look at them, count what is in them, check them.",
        subcommands: [
            DataPrepareCommand.self, DataEncodeCommand.self, DataBrowseCommand.self, DataStatsCommand.self,
            DataVerifyCommand.self,
        ]
    )
}
