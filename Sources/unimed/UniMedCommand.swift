import ArgumentParser
import Foundation

/// The program: `unimed COMMAND`.
@main
struct UniMedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unimed",
        abstract: "Uni-Med: one medical multimodal model for six tasks.",
        discussion: """
            Exit status: 0 success, 1 the work failed, 2 bad usage or bad input (one line on standard error names the \
            file and the field), 130 interrupted. Results go to standard output, progress to standard error.
            """,
        version: "0.1.0",
        subcommands: [
            DemoCommand.self, DataCommand.self, TrainCommand.self, EvaluateCommand.self, ScoreCommand.self,
            AblateCommand.self, RunsCommand.self, AskCommand.self, AnalyzeCommand.self, DescribeCommand.self,
            ImportCommand.self, ExportCommand.self,
            CheckpointCommand.self, BenchCommand.self,
        ]
    )

    static func main() async {
        // A reader of our output that goes away is an error of that write, not the end of the program.
        signal(SIGPIPE, SIG_IGN)
        ThreadWaiting.limitSpinning()
        do {
            var command = try parseAsRoot()
            do {
                if var command = command as? any AsyncParsableCommand {
                    try await command.run()
                } else {
                    try command.run()
                }
            } catch {
                end(with: error)
            }
        } catch {
            end(with: error)
        }
    }

    /// Ends the program as an error of parsing or of the work asks.
    private static func end(with error: any Error) -> Never {
        let isParserError = exitCode(for: error) == .validationFailure || error is CleanExit
        guard isParserError || exitCode(for: error).isSuccess else {
            if !(error is ExitCode) { Terminal.note("unimed: \(oneLine(error))") }
            Foundation.exit((error as? ExitCode)?.rawValue ?? Outcome(error).rawValue)
        }
        if exitCode(for: error).isSuccess {
            Terminal.output(fullMessage(for: error))
            Foundation.exit(Outcome.success.rawValue)
        }
        Terminal.note("unimed: \(message(for: error).split(whereSeparator: \.isNewline).joined(separator: " "))")
        Foundation.exit(Outcome.badInput.rawValue)
    }
}
