public import UniMedData
import UniMedMetrics

/// What can be answered without looking at the picture, learned from a training split: the floor for every model.
///
/// Per data set and task:
/// - cls, qa and vqa: the most frequent answer to the same kind of question (or the same question, or at all); among a
///   sample's choices the most frequent one, the first on a tie;
/// - rec: the mean box of the objects of that name, or of all;
/// - reg: the most frequent name;
/// - rg: the one text, out of training reports and lists of frequent words, with the best mean sentence BLEU-1 on a part of
///   the training reports.
public struct TrivialBaseline: Codable, Sendable, Equatable {
    /// How often answers occur, for one kind of question.
    private struct AnswerCounts: Codable, Sendable, Equatable {
        var counts: [String: Int] = [:]
        var mostFrequent = ""

        mutating func count(_ answer: String) { counts[answer, default: 0] += 1 }

        mutating func settle() {
            mostFrequent = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? ""
        }

        func best(among choices: [String]?) -> String {
            guard let choices, !choices.isEmpty, !choices.contains(mostFrequent) else { return mostFrequent }
            var best = choices[0]
            for choice in choices where (counts[choice] ?? 0) > (counts[best] ?? 0) { best = choice }
            return best
        }
    }

    /// Sums of boxes, in shares of the image.
    private struct MeanBox: Codable, Sendable, Equatable {
        var sums = [0.0, 0, 0, 0]
        var count = 0
        /// The sums of the ranges of slices, in shares of the volume, and their number; `nil` without volumes.
        var slices: [Double]?
        var volumeCount: Int?

        mutating func add(_ box: BoundingBox, _ image: ImageReference, slices range: SliceRange?) {
            let width = Double(image.width)
            let height = Double(image.height)
            for (index, edge) in [box.xMin / width, box.yMin / height, box.xMax / width, box.yMax / height].enumerated()
            {
                sums[index] += edge
            }
            count += 1
            guard let range, let total = image.volume?.slices, total > 0 else { return }
            let known = slices ?? [0, 0]
            slices = [known[0] + range.start / Double(total), known[1] + range.end / Double(total)]
            volumeCount = (volumeCount ?? 0) + 1
        }

        /// The mean box, of six numbers for a volume where volumes were seen.
        func text(isVolume: Bool) -> String {
            let edges = sums.map { Int(($0 / Double(max(1, count)) * 100).rounded()) }
            let box = NormalizedBox(xMin: edges[0], yMin: edges[1], xMax: edges[2], yMax: edges[3])
            guard isVolume, let slices, let volumeCount else { return box.text() }
            let range = slices.map { Int(($0 / Double(max(1, volumeCount)) * 100).rounded()) }
            return NormalizedBox3D(box: box, zMin: range[0], zMax: range[1]).text()
        }
    }

    /// What is known about one data set and task.
    private struct Part: Codable, Sendable, Equatable {
        var answers: [String: AnswerCounts] = [:]
        var overall = AnswerCounts()
        var boxes: [String: MeanBox] = [:]
        var meanBox = MeanBox()
        var report: String?
    }

    private var parts: [String: Part]

    private static func key(_ sample: Sample) -> String { sample.dataset + "/" + sample.task.rawValue }

    private static func questionKey(_ sample: Sample) -> String {
        if let kind = sample.questionKind { return "kind " + kind }
        return "question " + (sample.question ?? "")
    }

    /// Learns from training samples; samples of other splits are left out.
    ///
    /// - Parameters:
    ///   - samples: The samples, in any order and of any tasks.
    ///   - seed: The seed with which the reports to compare are drawn.
    /// - Throws: ``TaskError`` when a sample lacks its reference.
    public init(fittedTo samples: some Sequence<Sample>, seed: UInt64 = 0) throws(TaskError) {
        parts = [:]
        var reports: [String: [String]] = [:]
        for sample in samples where sample.split == .train {
            let key = Self.key(sample)
            var part = parts[key] ?? Part()
            parts[key] = nil  // so that the part is changed in place, not copied
            switch sample.task {
            case .questionAnswering, .visualQuestionAnswering, .imageClassification, .referringExpressionGeneration:
                let answer = try sample.referenceText()
                part.answers[Self.questionKey(sample), default: AnswerCounts()].count(answer)
                part.overall.count(answer)
            case .referringExpressionComprehension:
                let (box, image) = try sample.annotatedBox()
                let slices = try sample.annotatedBox3D()?.box.slices
                part.meanBox.add(box, image, slices: slices)
                if let name = sample.objectName {
                    part.boxes[name, default: MeanBox()].add(box, image, slices: slices)
                }
            case .reportGeneration:
                reports[key, default: []].append(try sample.referenceText())
            }
            parts[key] = part
        }
        for key in Array(parts.keys) {
            parts[key]?.overall.settle()
            for question in Array(parts[key]?.answers.keys ?? [:].keys) { parts[key]?.answers[question]?.settle() }
            if let texts = reports[key] { parts[key]?.report = ConstantReport.best(for: texts, seed: seed) }
        }
    }

    /// Whether the training split had samples of this data set and task.
    public func covers(_ sample: Sample) -> Bool { parts[Self.key(sample)] != nil }

    /// The answer for a sample, from everything but its picture.
    ///
    /// - Returns: An answer in the form the task asks for; `nil` when the training split had no sample of the same data
    ///   set and task.
    public func prediction(for sample: Sample) -> String? {
        guard let part = parts[Self.key(sample)] else { return nil }
        switch sample.task {
        case .questionAnswering, .visualQuestionAnswering, .imageClassification, .referringExpressionGeneration:
            let counts = part.answers[Self.questionKey(sample)] ?? part.overall
            return counts.best(among: sample.choices)
        case .referringExpressionComprehension:
            let box = sample.objectName.flatMap { part.boxes[$0] } ?? part.meanBox
            return box.text(isVolume: sample.image?.volume != nil)
        case .reportGeneration:
            return part.report
        }
    }
}

/// The constant text that scores best against many reports.
enum ConstantReport {
    /// How many reports are compared with, and how many are tried, at most.
    private static let comparedCount = 500
    private static let triedCount = 300
    /// The longest list of frequent words that is tried: reports have 50 words at most.
    private static let longestList = 60

    static func best(for reports: [String], seed: UInt64) -> String {
        var generator = SeededGenerator.derived(from: seed, label: "constant report")
        let order = generator.permutation(of: reports.count)
        let compared = order.prefix(comparedCount).map { WordNormalizer.words(reports[$0]) }
        var words = WordNumbers()
        var names: [String] = []
        let references = compared.map { text -> (counts: [Int: Int], length: Int) in
            let numbers = words.numbers(of: text)
            for (number, word) in zip(numbers, text) where number == names.count { names.append(word) }
            return (counts(numbers), text.count)
        }

        var candidates: [String] = []
        var seen = Set<String>()
        for index in order where candidates.count < triedCount {
            if seen.insert(reports[index]).inserted { candidates.append(reports[index]) }
        }
        candidates += frequentWordLists(references.map(\.counts), names)

        var best = ""
        var bestScore = -1.0
        for candidate in candidates {
            let numbers = words.numbers(of: WordNormalizer.words(candidate))
            guard !numbers.isEmpty else { continue }
            let candidateCounts = counts(numbers)
            var sum = 0.0
            for reference in references {
                sum += score(candidateCounts, numbers.count, reference.counts, reference.length)
            }
            if sum > bestScore {
                bestScore = sum
                best = candidate
            }
        }
        return best
    }

    /// Sentence BLEU-1 from counts.
    private static func score(_ candidate: [Int: Int], _ length: Int, _ reference: [Int: Int], _ truth: Int) -> Double {
        var matches = 0
        for (word, count) in candidate {
            if let available = reference[word] { matches += min(count, available) }
        }
        return BLEU.score(matches: matches, length: length, referenceLength: truth)
    }

    /// Texts of the 1, 2, 3, … words that most reports have; a word's second occurrence ranks by the reports that have it
    /// twice.
    private static func frequentWordLists(_ references: [[Int: Int]], _ names: [String]) -> [String] {
        struct Occurrence: Hashable {
            var word: Int
            var number: Int
        }
        var frequencies: [Occurrence: Int] = [:]
        for reference in references {
            for (word, count) in reference {
                for number in 1...count { frequencies[Occurrence(word: word, number: number), default: 0] += 1 }
            }
        }
        let ranked = frequencies.sorted {
            ($1.value, $0.key.word, $0.key.number) < ($0.value, $1.key.word, $1.key.number)
        }
        let list = ranked.prefix(longestList).map { names[$0.key.word] }
        return list.indices.map { list[...$0].joined(separator: " ") }
    }

    private static func counts(_ words: [Int]) -> [Int: Int] {
        var counts: [Int: Int] = [:]
        for word in words { counts[word, default: 0] += 1 }
        return counts
    }
}
