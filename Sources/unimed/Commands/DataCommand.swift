import ArgumentParser

/// `unimed data`: the data sets.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Prepare data sets, count what is in them, check them.",
        subcommands: [DataPrepareCommand.self, DataStatsCommand.self, DataVerifyCommand.self]
    )
}
