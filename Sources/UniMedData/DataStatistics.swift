/// Counts of samples, per data set, split and task.
public struct DataStatistics: Codable, Sendable, Equatable {
    /// A label and how often it occurs.
    public struct LabelCount: Codable, Sendable, Equatable {
        /// The label.
        public var label: String
        /// How often it occurs.
        public var count: Int
    }

    /// The samples of one task in one split of one data set.
    public struct Group: Codable, Sendable, Equatable {
        /// The data set's name.
        public var dataset: String
        /// The split.
        public var split: Split
        /// The task.
        public var task: MedicalTask
        /// The number of samples.
        public var samples: Int
        /// The number of different images.
        public var images: Int
        /// The number of those that are volumes.
        public var volumes: Int
        /// The number of different patients, cases or studies.
        public var groups: Int
        /// The shortest answer, in words.
        public var shortestAnswer: Int
        /// The median answer length, in words; of the two middle lengths the smaller.
        public var medianAnswer: Int
        /// The longest answer, in words.
        public var longestAnswer: Int
        /// The number of different answers (for rec: of different object names).
        public var differentAnswers: Int
        /// The most frequent answers (for rec: object names), the most frequent first.
        public var topAnswers: [LabelCount]
        /// The number of samples by kind of question, the most frequent first.
        public var questionKinds: [LabelCount]
        /// The number of samples by modality, the most frequent first; those without one are left out.
        public var modalities: [LabelCount]
    }

    /// The number of samples.
    public var sampleCount: Int
    /// The number of different images.
    public var imageCount: Int
    /// The number of those that are volumes.
    public var volumeCount: Int
    /// One entry per data set, split and task that occurs, in this order of sorting.
    public var groups: [Group]

    /// Counts samples.
    ///
    /// - Parameters:
    ///   - samples: The samples.
    ///   - topCount: The number of most frequent answers to keep per group.
    public init(_ samples: [Sample], topCount: Int = 5) {
        struct Key: Hashable {
            let dataset: String
            let split: Split
            let task: MedicalTask
        }
        sampleCount = samples.count
        imageCount = Set(samples.compactMap { sample in sample.image.map { "\(sample.dataset)/\($0.path)" } }).count
        let volumes = samples.compactMap { sample in
            sample.image?.volume == nil ? nil : sample.image.map { "\(sample.dataset)/\($0.path)" }
        }
        volumeCount = Set(volumes).count
        groups = Dictionary(grouping: samples) { Key(dataset: $0.dataset, split: $0.split, task: $0.task) }
            .map { key, members in
                DataStatistics.group(key.dataset, key.split, key.task, members, topCount: topCount)
            }
            .sorted { left, right in
                (left.dataset, left.split.order, left.task.order) < (right.dataset, right.split.order, right.task.order)
            }
    }

    private static func group(
        _ dataset: String,
        _ split: Split,
        _ task: MedicalTask,
        _ samples: [Sample],
        topCount: Int
    ) -> Group {
        let lengths = samples.map { $0.answer.split(whereSeparator: \.isWhitespace).count }.sorted()
        let labels = count(
            samples.compactMap { task == .referringExpressionComprehension ? $0.objectName : $0.answer }
        )
        return Group(
            dataset: dataset,
            split: split,
            task: task,
            samples: samples.count,
            images: Set(samples.compactMap(\.image?.path)).count,
            volumes: Set(samples.compactMap(\.image).filter { $0.volume != nil }.map(\.path)).count,
            groups: Set(samples.compactMap(\.group)).count,
            shortestAnswer: lengths.first ?? 0,
            medianAnswer: lengths.isEmpty ? 0 : lengths[(lengths.count - 1) / 2],
            longestAnswer: lengths.last ?? 0,
            differentAnswers: labels.count,
            topAnswers: Array(labels.prefix(topCount)),
            questionKinds: count(samples.compactMap(\.questionKind)),
            modalities: count(samples.compactMap(\.modality))
        )
    }

    private static func count(_ labels: [String]) -> [LabelCount] {
        labels.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
            .map { LabelCount(label: $0.key, count: $0.value) }
            .sorted { ($1.count, $0.label) < ($0.count, $1.label) }
    }

    /// The counts as a table of plain text, one line per group and below it the most frequent answers.
    ///
    /// - Parameter answers: Whether the most frequent answers and kinds of question are listed. They may hold text
    ///   of patients' records.
    /// - Returns: Lines of text, each ended by a newline.
    public func table(answers: Bool = true) -> String {
        var rows = [["data set", "split", "task", "samples", "images", "groups", "answers", "words (min/median/max)"]]
        for group in groups {
            rows.append([
                group.dataset, group.split.rawValue, group.task.rawValue, "\(group.samples)", "\(group.images)",
                "\(group.groups)", "\(group.differentAnswers)",
                "\(group.shortestAnswer)/\(group.medianAnswer)/\(group.longestAnswer)",
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                return (3...6).contains(column) ? padding + cell.0 : cell.0 + padding
            }
            .joined(separator: "  ").trimmingSuffix()
        }
        var text = lines[0] + "\n" + widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ") + "\n"
        for (group, line) in zip(groups, lines.dropFirst()) {
            text += line + "\n"
            if !group.modalities.isEmpty { text += "    modalities: \(DataStatistics.list(group.modalities))\n" }
            guard answers else { continue }
            if !group.questionKinds.isEmpty {
                text += "    questions: \(DataStatistics.list(group.questionKinds))\n"
            }
            if group.differentAnswers < group.samples {
                text += "    most frequent: \(DataStatistics.list(group.topAnswers))\n"
            }
        }
        let volumes = volumeCount == 0 ? "" : ", \(volumeCount) of them volumes"
        return text + "\(sampleCount) samples, \(imageCount) images\(volumes)\n"
    }

    private static func list(_ labels: [LabelCount]) -> String {
        labels.map { label in
            let words = label.label.split(whereSeparator: \.isWhitespace)
            let short = words.prefix(8).joined(separator: " ") + (words.count > 8 ? " …" : "")
            return "\(short) \(label.count)"
        }
        .joined(separator: ", ")
    }
}

extension Split {
    fileprivate var order: Int { Split.allCases.firstIndex(of: self) ?? 0 }
}

extension MedicalTask {
    fileprivate var order: Int { MedicalTask.allCases.firstIndex(of: self) ?? 0 }
}

extension String {
    fileprivate func trimmingSuffix() -> String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
