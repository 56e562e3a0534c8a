/// The number of samples of a task in an imported data set, beside that of the paper.
public struct PaperComparison: Codable, Sendable, Equatable, CustomStringConvertible {
    /// The kind of samples, as in the report.
    public var kind: String
    /// The number of samples for training.
    public var train: Int
    /// The number of samples for testing.
    public var test: Int
    /// The paper's number of samples for training.
    public var paperTrain: Int
    /// The paper's number of samples for testing.
    public var paperTest: Int
    /// Whether the paper divided the samples by chance, so that only the sums can be equal.
    public var splitsAreRandom: Bool

    /// Makes a comparison.
    public init(kind: String, train: Int, test: Int, paperTrain: Int, paperTest: Int, splitsAreRandom: Bool) {
        self.kind = kind
        self.train = train
        self.test = test
        self.paperTrain = paperTrain
        self.paperTest = paperTest
        self.splitsAreRandom = splitsAreRandom
    }

    /// Whether the numbers are the paper's; of random splits only the sums are compared.
    public var agrees: Bool {
        splitsAreRandom ? train + test == paperTrain + paperTest : train == paperTrain && test == paperTest
    }

    /// One line: the numbers, and whether they agree or by how much they differ.
    public var description: String {
        func difference(_ number: Int, _ paper: Int) -> String {
            number == paper
                ? "as in the paper" : "\(abs(number - paper)) \(number > paper ? "more" : "fewer") than the paper"
        }
        if splitsAreRandom {
            return
                "\(kind): \(train + test) samples, \(difference(train + test, paperTrain + paperTest)) (\(train) and "
                + "\(test); the paper drew \(paperTrain) and \(paperTest))"
        }
        return "\(kind): \(train) samples for training, \(difference(train, paperTrain)); "
            + "\(test) for testing, \(difference(test, paperTest))"
    }
}

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
    /// What was imported beside what Uni-Med states for the data set, one entry a task; empty for a part of a data set.
    public var paperComparisons: [PaperComparison] { comparisonList ?? [] }
    // Optional, so that reports written before there were these can still be read.
    private var warningList: [String]?
    private var comparisonList: [PaperComparison]?
    // What was left out by a rule of the importer, such as a selection, as `kind: reason`; the rest are faults.
    private var ruleList: [String]?

    private static let exampleLimit = 5

    private enum CodingKeys: String, CodingKey {
        case tallies, examples
        case warningList = "warnings"
        case ruleList = "leftOutByRule"
        case comparisonList = "paperComparisons"
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
    ///   - isFault: Whether the data are at fault; if not, a rule of the importer leaves sound things out.
    public mutating func skipped(_ kind: String, because reason: String, item: String, isFault: Bool = true) {
        if !isFault { noteRule(kind, reason) }
        tallies[kind, default: Tally()].skipped[reason, default: 0] += 1
        let key = "\(kind): \(reason)"
        if examples[key, default: []].count < ImportReport.exampleLimit { examples[key, default: []].append(item) }
    }

    /// Notes that many things were left out by the same rule of the importer, without examples.
    public mutating func skipped(_ count: Int, _ kind: String, byRule reason: String) {
        guard count > 0 else { return }
        noteRule(kind, reason)
        tallies[kind, default: Tally()].skipped[reason, default: 0] += count
    }

    /// Notes something about the data set as a whole.
    public mutating func warn(_ warning: String) {
        warningList = warnings + [warning]
    }

    /// Notes how the numbers of samples compare with the paper's.
    package mutating func compare(_ comparison: PaperComparison) {
        comparisonList = paperComparisons + [comparison]
    }

    /// Notes that a thing that had been imported is left out after all.
    public mutating func withdrawn(_ kind: String, because reason: String, item: String) {
        tallies[kind, default: Tally()].imported -= 1
        skipped(kind, because: reason, item: item)
    }

    private mutating func noteRule(_ kind: String, _ reason: String) {
        let key = "\(kind): \(reason)"
        if !(ruleList?.contains(key) ?? false) { ruleList = ((ruleList ?? []) + [key]).sorted() }
    }

    /// Whether things of a kind were left out for a reason although nothing is wrong with them.
    public func isRule(_ kind: String, because reason: String) -> Bool {
        ruleList?.contains("\(kind): \(reason)") ?? false
    }

    /// The number of things that were left out because the data are at fault.
    public var faultCount: Int {
        tallies.reduce(0) { sum, entry in
            entry.value.skipped.reduce(sum) { isRule(entry.key, because: $1.key) ? $0 : $0 + $1.value }
        }
    }

    /// The first fault in the order of kinds and reasons, and the name of the first thing that has it.
    public var firstFault: (kind: String, reason: String, item: String?)? {
        for (kind, tally) in tallies.sorted(by: { $0.key < $1.key }) {
            for reason in tally.skipped.keys.sorted() where !isRule(kind, because: reason) {
                return (kind, reason, examples["\(kind): \(reason)"]?.first)
            }
        }
        return nil
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
