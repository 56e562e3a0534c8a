/// Why a checkpoint could not be read, written or loaded into a model.
public struct CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of failure it was.
    public enum Kind: String, Sendable {
        /// The file or folder is not there or cannot be read.
        case unreadable = "it cannot be read"
        /// The file is cut, damaged, or not of the format.
        case malformed = "the file is malformed"
        /// The file is well formed but has something that is not read here.
        case unsupported = "this is not supported"
        /// There is no such key.
        case missingKey = "there is no such key"
        /// The weights do not fit the model.
        case mismatch = "the weights do not fit the model"
        /// The file cannot be written.
        case unwritable = "it cannot be written"
        /// A tensor operation failed.
        case tensor = "a tensor operation failed"
    }

    /// What kind of failure it was.
    public let kind: Kind

    /// The path of the file or folder, where there is one.
    public let file: String?

    /// The key of the tensor or of the header's field, where there is one.
    public let key: String?

    /// What is wrong, in a few words.
    public let problem: String

    /// What should have been there.
    public let expected: String?

    /// What was there.
    public let got: String?

    /// Makes an error; `problem` may be empty where the kind says it all.
    public init(
        _ kind: Kind,
        file: String?,
        key: String? = nil,
        _ problem: String = "",
        expected: String? = nil,
        got: String? = nil
    ) {
        self.kind = kind
        self.file = file
        self.key = key
        self.problem = problem
        self.expected = expected
        self.got = got
    }

    /// Where, what, expected and got, in one line.
    public var description: String {
        var parts: [String] = []
        if let file { parts.append(file) }
        if let key { parts.append("key '\(CheckpointError.shortened(key))'") }
        parts.append(problem.isEmpty ? kind.rawValue : problem)
        var line = parts.joined(separator: ": ")
        if let expected { line += ", expected \(expected)" }
        if let got { line += ", got \(got)" }
        return line
    }

    /// The kind of failure, without any text that depends on the input.
    public var shortDescription: String { kind.rawValue }

    /// A name from a file, in one line of readable length.
    static func shortened(_ text: String) -> String {
        let line = String(
            text.unicodeScalars.prefix(200).map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) }
        )
        return text.unicodeScalars.count > 200 ? line + "…" : line
    }
}
