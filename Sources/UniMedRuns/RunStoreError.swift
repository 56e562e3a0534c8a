/// Why the store of runs cannot be used.
public struct RunStoreError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure it was.
    public enum Kind: String, Sendable, Equatable {
        /// There is no such file, or it cannot be made.
        case fileSystem
        /// The file is no store, or one of a later version of the program.
        case format
        /// No run, or more than one, is meant by a name.
        case unknownRun
        /// Another program holds the file for too long.
        case busy
        /// Anything else that SQLite tells.
        case database
    }

    /// What kind of failure it was.
    public let kind: Kind
    /// What is wrong, in words.
    public let problem: String
    /// The path of the store.
    public let file: String

    /// Makes an error.
    public init(_ kind: Kind, _ problem: String, file: String) {
        self.kind = kind
        self.problem = problem
        self.file = file
    }

    /// The file and what is wrong, on one line.
    public var description: String { "\(file): \(problem)" }

    /// The kind of failure without any dynamic text, safe as a metric label.
    public var shortDescription: String {
        switch kind {
        case .fileSystem: "file system"
        case .format: "format of the store"
        case .unknownRun: "unknown run"
        case .busy: "store busy"
        case .database: "database"
        }
    }
}
