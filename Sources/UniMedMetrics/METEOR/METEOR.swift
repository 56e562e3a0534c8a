import Foundation

/// METEOR 1.5 for English: words aligned by form, stem, synonym and paraphrase, and a penalty for their disorder.
///
/// Michael Denkowski and Alon Lavie, "Meteor Universal", 2014, with the settings of its option `-l en -norm`. The stages
/// whose data is not there are left out and named in ``missingStages``; a score without them is not comparable.
///
/// The paraphrase table has millions of entries, so that of all texts to be scored only the applicable ones are kept:
/// build one scorer for one corpus.
public final class METEOR {
    /// How two words are matched, in the order in which the stages run.
    public enum Stage: Int, Codable, Sendable, CaseIterable {
        /// Equal words.
        case exact
        /// Different words with equal stems.
        case stem
        /// Different words with a synonym set in common.
        case synonym
        /// Phrases that stand together in the paraphrase table.
        case paraphrase

        /// The name in reports.
        public var title: String {
            switch self {
            case .exact: "exact"
            case .stem: "stem"
            case .synonym: "synonym"
            case .paraphrase: "paraphrase"
            }
        }

        /// What a match of the stage counts.
        var weight: Double {
            switch self {
            case .exact: 1
            case .stem, .paraphrase: 0.6
            case .synonym: 0.8
            }
        }
    }

    /// The weight of recall against precision.
    private static let alpha = 0.85
    /// The power of the fragmentation.
    private static let beta = 0.2
    /// The largest penalty.
    private static let gamma = 0.6
    /// The weight of content words; function words have the rest.
    private static let delta = 0.75

    /// The numbers of words, matches and chunks, of one pair or of many.
    public struct Statistics: Codable, Sendable, Equatable {
        /// The words of the hypothesis.
        public var hypothesisLength = 0
        /// The words of the reference.
        public var referenceLength = 0
        /// The function words of the hypothesis.
        public var hypothesisFunctionWords = 0
        /// The function words of the reference.
        public var referenceFunctionWords = 0
        /// The matched content words of the hypothesis, by stage.
        public var hypothesisContentMatches = [0, 0, 0, 0]
        /// The matched content words of the reference, by stage.
        public var referenceContentMatches = [0, 0, 0, 0]
        /// The matched function words of the hypothesis, by stage.
        public var hypothesisFunctionMatches = [0, 0, 0, 0]
        /// The matched function words of the reference, by stage.
        public var referenceFunctionMatches = [0, 0, 0, 0]
        /// The runs of matches that are in order on both sides.
        public var chunks = 0
        /// The matched words of the hypothesis.
        public var hypothesisMatches = 0
        /// The matched words of the reference.
        public var referenceMatches = 0

        /// No words at all.
        public init() {}

        /// Reads the numbers back from a ``line``, or from the sum of several.
        ///
        /// - Precondition: `line` has 23 numbers.
        public init(line: [Int]) {
            precondition(line.count == 23, "the statistics of METEOR are 23 numbers, got \(line.count)")
            hypothesisLength = line[0]
            referenceLength = line[1]
            hypothesisFunctionWords = line[2]
            referenceFunctionWords = line[3]
            for stage in 0..<4 {
                hypothesisContentMatches[stage] = line[4 + 4 * stage]
                referenceContentMatches[stage] = line[5 + 4 * stage]
                hypothesisFunctionMatches[stage] = line[6 + 4 * stage]
                referenceFunctionMatches[stage] = line[7 + 4 * stage]
            }
            chunks = line[20]
            hypothesisMatches = line[21]
            referenceMatches = line[22]
        }

        /// Adds the numbers of another pair; a pair that matches as a whole adds no chunk.
        public mutating func add(_ other: Statistics) {
            hypothesisLength += other.hypothesisLength
            referenceLength += other.referenceLength
            hypothesisFunctionWords += other.hypothesisFunctionWords
            referenceFunctionWords += other.referenceFunctionWords
            for stage in 0..<4 {
                hypothesisContentMatches[stage] += other.hypothesisContentMatches[stage]
                referenceContentMatches[stage] += other.referenceContentMatches[stage]
                hypothesisFunctionMatches[stage] += other.hypothesisFunctionMatches[stage]
                referenceFunctionMatches[stage] += other.referenceFunctionMatches[stage]
            }
            if !other.isWhole { chunks += other.chunks }
            hypothesisMatches += other.hypothesisMatches
            referenceMatches += other.referenceMatches
        }

        /// Whether everything matches in one piece.
        var isWhole: Bool {
            chunks == 1 && hypothesisMatches == hypothesisLength && referenceMatches == referenceLength
        }

        /// The numbers in the order of the published tool's statistics line.
        public var line: [Int] {
            var result = [hypothesisLength, referenceLength, hypothesisFunctionWords, referenceFunctionWords]
            for stage in 0..<4 {
                result += [
                    hypothesisContentMatches[stage], referenceContentMatches[stage],
                    hypothesisFunctionMatches[stage], referenceFunctionMatches[stage],
                ]
            }
            return result + [chunks, hypothesisMatches, referenceMatches]
        }
    }

    /// A score with its parts.
    public struct Score: Codable, Sendable, Equatable {
        /// Weighted matches out of the hypothesis's weighted words.
        public var precision: Double
        /// Weighted matches out of the reference's weighted words.
        public var recall: Double
        /// The harmonic mean of precision and recall, with recall at 0.85; not a number when nothing matches.
        public var mean: Double
        /// What the disorder takes off, in `[0, 0.6]`; not a number when nothing matches.
        public var penalty: Double
        /// `mean · (1 − penalty)`, in `[0, 1]`; `0` when nothing matches.
        public var score: Double

        /// The score of the numbers of words and matches.
        public init(_ statistics: Statistics) {
            let weighted = { (content: [Int], function: [Int]) in
                // The order of the sums is the published tool's, for equal last digits.
                let weights = Stage.allCases.map(\.weight)
                let contentSum = zip(content, weights).reduce(0.0) { $0 + Double($1.0) * $1.1 * METEOR.delta }
                return zip(function, weights).reduce(contentSum) { $0 + Double($1.0) * $1.1 * (1 - METEOR.delta) }
            }
            let length = { (words: Int, function: Int) in
                METEOR.delta * Double(words - function) + (1 - METEOR.delta) * Double(function)
            }
            let hypothesis = weighted(statistics.hypothesisContentMatches, statistics.hypothesisFunctionMatches)
            let reference = weighted(statistics.referenceContentMatches, statistics.referenceFunctionMatches)
            precision = hypothesis / length(statistics.hypothesisLength, statistics.hypothesisFunctionWords)
            recall = reference / length(statistics.referenceLength, statistics.referenceFunctionWords)
            mean = 1 / ((1 - METEOR.alpha) / precision + METEOR.alpha / recall)
            let matched = Double(statistics.hypothesisMatches + statistics.referenceMatches) / 2
            let fragmentation = statistics.isWhole ? 0 : Double(statistics.chunks) / matched
            penalty = METEOR.gamma * pow(fragmentation, METEOR.beta)
            let value = mean * (1 - penalty)
            score = value.isFinite ? max(value, 0) : 0
        }
    }

    /// The stages that run.
    public let stages: [Stage]
    private var vocabulary = WordNumbers()
    private var words: [Word] = []
    private let synonyms: METEORSynonyms?
    private var paraphrases: METEORParaphrases?
    private var stems = WordNumbers()

    /// What is known of a word, found once.
    fileprivate struct Word {
        var isFunction: Bool
        var stem: Int32
        /// The synonym sets it stands in.
        var synsets: [Int32]
    }

    /// A sentence in the numbers of its words.
    fileprivate typealias Sentence = [Int32]

    /// Makes a scorer with the data that is there.
    ///
    /// - Parameters:
    ///   - resources: The synonyms and paraphrases.
    ///   - stages: The stages to run; one whose data is not there is left out.
    public init(resources: METEORResources = METEORResources(), stages: [Stage] = Stage.allCases) {
        self.stages = stages.filter { resources.has($0) }.sorted { $0.rawValue < $1.rawValue }
        synonyms = self.stages.contains(.synonym) ? resources.synonyms : nil
        paraphraseSource = self.stages.contains(.paraphrase) ? resources.paraphrases : nil
        missingStages = stages.filter { !resources.has($0) }
    }

    private let paraphraseSource: METEORParaphraseSource?

    /// The stages that were asked for and whose data is not there.
    public let missingStages: [Stage]

    /// The scores of a corpus.
    public struct Result: Sendable {
        /// The score of the summed numbers; not the mean of the pairs' scores.
        public var corpus: Score
        /// The score of each pair.
        public var pairs: [Score]
        /// The numbers of each pair.
        public var statistics: [Statistics]
    }

    /// The scores of texts, after METEOR's own normalisation.
    ///
    /// - Parameters:
    ///   - hypotheses: The predictions; for pycocoevalcap's numbers their PTB tokens, joined by spaces.
    ///   - references: The references, in the same order.
    /// - Throws: ``MetricError/countMismatch(metric:expected:got:)``, ``MetricError/noValues(metric:)``, or
    ///   ``MetricError/unreadableResource(path:reason:)`` when the paraphrase table cannot be read.
    public func score(hypotheses: [String], references: [String]) throws(MetricError) -> Result {
        try score(
            tokens: concurrentMap(hypotheses.count) { $0.map { METEORNormalizer.tokens(hypotheses[$0]) } },
            references: concurrentMap(references.count) { $0.map { METEORNormalizer.tokens(references[$0]) } }
        )
    }

    /// The scores of lists of words, which are taken as they are.
    public func score(tokens hypotheses: [[String]], references: [[String]]) throws(MetricError) -> Result {
        guard hypotheses.count == references.count else {
            throw .countMismatch(metric: "METEOR", expected: references.count, got: hypotheses.count)
        }
        guard !hypotheses.isEmpty else { throw .noValues(metric: "METEOR") }
        let first = hypotheses.map { numbers($0) }
        let second = references.map { numbers($0) }
        if let paraphraseSource { paraphrases = try paraphraseSource.entries(for: vocabulary) }
        let matcher = METEORMatcher(stages: stages, words: words, paraphrases: paraphrases)
        let statistics = concurrentMap(first.count) { range in
            range.map { index in
                let matches = matcher.align(first[index], second[index])
                return matcher.statistics(matches, first[index], second[index])
            }
        }
        var sum = Statistics()
        for pair in statistics { sum.add(pair) }
        return Result(corpus: Score(sum), pairs: statistics.map { Score($0) }, statistics: statistics)
    }

    /// The matches of the best alignment of two lists of words.
    ///
    /// - Throws: ``MetricError/unreadableResource(path:reason:)`` when the paraphrase table cannot be read.
    public func alignment(_ hypothesis: [String], reference: [String]) throws(MetricError) -> [METEORMatch] {
        let first = numbers(hypothesis)
        let second = numbers(reference)
        if let paraphraseSource { paraphrases = try paraphraseSource.entries(for: vocabulary) }
        let matcher = METEORMatcher(stages: stages, words: words, paraphrases: paraphrases)
        return matcher.align(first, second).map {
            METEORMatch(
                referenceStart: Int($0.start),
                referenceLength: Int($0.length),
                hypothesisStart: Int($0.matchStart),
                hypothesisLength: Int($0.matchLength),
                stage: $0.stage
            )
        }
    }

    private func numbers(_ text: [String]) -> Sentence {
        text.map { word in
            let number = vocabulary.number(of: word)
            if number == words.count {
                words.append(
                    Word(
                        isFunction: METEORLists.functionWords.contains(word),
                        stem: Int32(stems.number(of: EnglishStemmer.stem(word))),
                        synsets: synonyms?.synsets(of: word) ?? []
                    )
                )
            }
            return Int32(number)
        }
    }
}

/// What aligns sentences, without anything that changes: many threads share it.
private struct METEORMatcher: Sendable {
    let stages: [METEOR.Stage]
    let paraphrases: METEORParaphrases?
    private let words: [Word]
    /// The numbers of all words' synonyms, one word after the other, sorted for each.
    private let synonyms: [Int32]

    private struct Word {
        var isFunction: Bool
        var stem: Int32
        /// Where its synonyms stand: the other words with a synonym set in common.
        var synonyms: Range<Int>
        /// A bit for the last six bits of each synonym's number, which tells most other words.
        var synonymBits: UInt64

        func mayHaveSynonym(_ other: Int32) -> Bool { synonymBits & METEORMatcher.bit(other) != 0 }
    }

    private static func bit(_ word: Int32) -> UInt64 { 1 << UInt64(word & 63) }

    init(stages: [METEOR.Stage], words: [METEOR.Word], paraphrases: METEORParaphrases?) {
        self.stages = stages
        self.paraphrases = paraphrases
        var members: [Int32: [Int32]] = [:]
        for (number, word) in words.enumerated() {
            for set in word.synsets { members[set, default: []].append(Int32(number)) }
        }
        var synonyms: [Int32] = []
        self.words = words.enumerated().map { number, word in
            let first = synonyms.count
            let others = Set(word.synsets.flatMap { members[$0] ?? [] }).subtracting([Int32(number)])
            synonyms += others.sorted()
            return Word(
                isFunction: word.isFunction,
                stem: word.stem,
                synonyms: first..<synonyms.count,
                synonymBits: others.reduce(0) { $0 | METEORMatcher.bit($1) }
            )
        }
        self.synonyms = synonyms
    }

    func align(
        _ hypothesis: METEOR.Sentence,
        _ reference: METEOR.Sentence
    ) -> [METEORAligner.Candidate] {
        var candidates: [METEORAligner.Candidate] = []
        // The beam search may miss the whole match of equal sentences when it has more to choose from.
        let stages = hypothesis == reference ? [.exact] : stages
        for stage in stages {
            switch stage {
            case .exact: addWords(hypothesis, reference, stage, to: &candidates, mark: { $0 }, mayMatch: ==)
            case .stem:
                addWords(hypothesis, reference, stage, to: &candidates, mark: { words[Int($0)].stem }, mayMatch: ==)
            case .synonym:
                addWords(hypothesis, reference, stage, to: &candidates, mark: { $0 }) { word, other in
                    words[Int(word)].mayHaveSynonym(other)
                }
            case .paraphrase: break
            }
        }
        if stages.contains(.paraphrase), let paraphrases {
            paraphrases.forEachMatch(of: reference, in: hypothesis) { start, length, matchStart, matchLength in
                candidates.append(
                    METEORAligner.Candidate(
                        start: Int32(start),
                        length: Int32(length),
                        matchStart: Int32(matchStart),
                        matchLength: Int32(matchLength),
                        stage: .paraphrase
                    )
                )
            }
            paraphrases.forEachMatch(of: hypothesis, in: reference) { start, length, matchStart, matchLength in
                candidates.append(
                    METEORAligner.Candidate(
                        start: Int32(matchStart),
                        length: Int32(matchLength),
                        matchStart: Int32(start),
                        matchLength: Int32(length),
                        stage: .paraphrase
                    )
                )
            }
        }
        return METEORAligner.best(candidates, hypothesisCount: hypothesis.count, referenceCount: reference.count)
    }

    /// Adds the words that match; a mark of each, compared first, tells nearly all that do not.
    @inline(__always)
    private func addWords<Mark>(
        _ hypothesis: METEOR.Sentence,
        _ reference: METEOR.Sentence,
        _ stage: METEOR.Stage,
        to candidates: inout [METEORAligner.Candidate],
        mark: (Int32) -> Mark,
        mayMatch: (Mark, Mark) -> Bool
    ) {
        let marks = reference.map(mark)
        for (start, word) in hypothesis.enumerated() {
            let own = mark(word)
            for (place, other) in marks.enumerated()
            where mayMatch(own, other) && matches(word, reference[place], stage) {
                candidates.append(
                    METEORAligner.Candidate(
                        start: Int32(place),
                        length: 1,
                        matchStart: Int32(start),
                        matchLength: 1,
                        stage: stage
                    )
                )
            }
        }
    }

    private func matches(_ word: Int32, _ other: Int32, _ stage: METEOR.Stage) -> Bool {
        switch stage {
        case .exact: return word == other
        case .stem: return word != other && words[Int(word)].stem == words[Int(other)].stem
        case .synonym: return isSynonym(other, of: words[Int(word)].synonyms)
        case .paraphrase: return false
        }
    }

    /// Whether a word stands in a part of the synonyms.
    private func isSynonym(_ word: Int32, of part: Range<Int>) -> Bool {
        var part = part
        while !part.isEmpty {
            let middle = (part.lowerBound + part.upperBound) / 2
            if synonyms[middle] == word { return true }
            part = synonyms[middle] < word ? (middle + 1)..<part.upperBound : part.lowerBound..<middle
        }
        return false
    }

    func statistics(
        _ matches: [METEORAligner.Candidate],
        _ hypothesis: METEOR.Sentence,
        _ reference: METEOR.Sentence
    ) -> METEOR.Statistics {
        var result = METEOR.Statistics()
        result.hypothesisLength = hypothesis.count
        result.referenceLength = reference.count
        let isFunction = { (word: Int32) in self.words[Int(word)].isFunction }
        result.hypothesisFunctionWords = hypothesis.count(where: isFunction)
        result.referenceFunctionWords = reference.count(where: isFunction)
        var next: (reference: Int32, hypothesis: Int32)?
        for match in matches {
            let stage = match.stage.rawValue
            for word in hypothesis[Int(match.matchStart)..<Int(match.matchStart + match.matchLength)] {
                if isFunction(word) {
                    result.hypothesisFunctionMatches[stage] += 1
                } else {
                    result.hypothesisContentMatches[stage] += 1
                }
            }
            for word in reference[Int(match.start)..<Int(match.start + match.length)] {
                if isFunction(word) {
                    result.referenceFunctionMatches[stage] += 1
                } else {
                    result.referenceContentMatches[stage] += 1
                }
            }
            result.hypothesisMatches += Int(match.matchLength)
            result.referenceMatches += Int(match.length)
            if next?.reference != match.start || next?.hypothesis != match.matchStart { result.chunks += 1 }
            next = (match.start + match.length, match.matchStart + match.matchLength)
        }
        return result
    }
}
