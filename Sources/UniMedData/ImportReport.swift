/// What an importer found, took, and left out and why.
///
/// Nothing is lost silently: for every kind of thing the number found is the number imported plus the numbers skipped.
public struct ImportReport: Codable, Sendable, Equatable {
    /// The counts of one kind of thing, for example `image` or `vqa plane`.
    public struct Tally: Codable, Sendable, Equatable {
        /// The number that the data set holds.
        public var found = 0
        /// The number that was imported.
        public var imported = 0
        /// The number that was left out, by reason.
        public var skipped: [String: Int] = [:]

        /// Makes a tally of nothing.
        public init() {}

        /// The number that was left out.
        public var skippedCount: Int { skipped.values.reduce(0, +) }
        /// Whether everything found was either imported or skipped.
        public var isBalanced: Bool { found == imported + skippedCount }
    }

    /// The counts by kind.
    public private(set) var tallies: [String: Tally] = [:]
    /// For each kind and reason the first few things that were left out, by file or record name.
    public private(set) var examples: [String: [String]] = [:]

    /// What is not as expected although nothing is wrong with a single thing, in sentences: for example counts that
    /// differ from those of the paper.
    public var warnings: [String] { warningList ?? [] }
    // Optional, so that reports written before there were warnings can still be read.
    private var warningList: [String]?

    private static let exampleLimit = 5

    private enum CodingKeys: String, CodingKey {
        case tallies, examples
        case warningList = "warnings"
    }

    /// Makes an empty report.
    public init() {}

    /// Notes that things were found.
    public mutating func found(_ count: Int = 1, _ kind: String) {
        tallies[kind, default: Tally()].found += count
    }

    /// Notes that things were imported.
    public mutating func imported(_ count: Int = 1, _ kind: String) {
        tallies[kind, default: Tally()].imported += count
    }

    /// Notes that a thing was left out.
    ///
    /// - Parameters:
    ///   - kind: What it is.
    ///   - reason: Why, in words that are the same for all things with the same fault.
    ///   - item: Its name: a file or record.
    public mutating func skipped(_ kind: String, because reason: String, item: String) {
        tallies[kind, default: Tally()].skipped[reason, default: 0] += 1
        let key = "\(kind): \(reason)"
        if examples[key, default: []].count < ImportReport.exampleLimit { examples[key, default: []].append(item) }
    }

    /// Notes that many things were left out for the same reason, without examples.
    public mutating func skipped(_ count: Int, _ kind: String, because reason: String) {
        guard count > 0 else { return }
        tallies[kind, default: Tally()].skipped[reason, default: 0] += count
    }

    /// Notes something about the data set as a whole.
    public mutating func warn(_ warning: String) {
        warningList = warnings + [warning]
    }

    /// Notes that a thing that had been imported is left out after all.
    public mutating func withdrawn(_ kind: String, because reason: String, item: String) {
        tallies[kind, default: Tally()].imported -= 1
        skipped(kind, because: reason, item: item)
    }

    /// Whether everything found was either imported or skipped, for every kind.
    public var isBalanced: Bool { tallies.values.allSatisfy(\.isBalanced) }

    /// The kind under which a sample is counted: its task's short code and, where it has one, its kind of question.
    public static func kind(of sample: Sample) -> String {
        kind(task: sample.task, questionKind: sample.questionKind)
    }

    /// The kind under which samples are counted.
    public static func kind(task: MedicalTask, questionKind: String? = nil) -> String {
        questionKind.map { "\(task.rawValue) \($0)" } ?? task.rawValue
    }
}
