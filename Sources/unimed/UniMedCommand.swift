import ArgumentParser

@main
struct UniMedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unimed",
        abstract: "Uni-Med: one medical multimodal model for six tasks."
    )
}
