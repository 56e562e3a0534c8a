/// The text metrics of reports, in the order of steps of the published evaluation.
///
/// Pairs of which a text is empty are left out. BLEU is that of pycocoevalcap on PTB tokens of the raw texts; METEOR takes
/// the PTB tokens of normalised words; ROUGE and F1 take words normalised twice, because the published code keeps its
/// first result. A pair that is empty only after normalisation stays, except in ROUGE.
public struct ReportScores: Sendable {
    /// What is scored beside BLEU, ROUGE and F1, which always are.
    public struct Options: Sendable {
        /// Leaves out pairs of which a text is empty, as the published evaluation does.
        public var leavesOutEmpty: Bool
        /// The METEOR data, or `nil` for no METEOR.
        public var meteor: METEORResources?

        /// Makes options.
        public init(leavesOutEmpty: Bool = true, meteor: METEORResources? = METEORResources()) {
            self.leavesOutEmpty = leavesOutEmpty
            self.meteor = meteor
        }
    }

    /// The scores of one report.
    public struct Pair: Sendable, Equatable {
        /// The pair's place in the lists that were given.
        public var index: Int
        /// The n-grams, of which the corpus BLEU is made.
        public var bleu: BLEU.Counts
        /// The scores of `rouge` 1.0.1, or `nil` when a text is empty after normalisation.
        public var rouge: ROUGE.Scores?
        /// The published F1.
        public var f1: Double
        /// METEOR's numbers, when METEOR is scored.
        public var meteor: METEOR.Statistics?
    }

    /// The scores of each report that was not left out, in the order given.
    public private(set) var pairs: [Pair] = []
    /// How many pairs were given.
    public let count: Int
    /// The stages of METEOR whose data is not there.
    public private(set) var missingStages: [METEOR.Stage] = []

    /// Scores reports.
    ///
    /// - Parameters:
    ///   - predictions: The answers as the model gave them.
    ///   - references: The reports, in the same order.
    ///   - options: What is scored.
    /// - Throws: ``MetricError`` when the lists differ in length, nothing is left, or METEOR's data cannot be read.
    public init(predictions: [String], references: [String], options: Options = Options()) throws(MetricError) {
        guard predictions.count == references.count else {
            throw .countMismatch(metric: "report metrics", expected: references.count, got: predictions.count)
        }
        count = references.count
        // The paraphrase table is read while the texts are cut into words.
        let loading = options.meteor.map { resources in
            BackgroundWork { Result { () throws(MetricError) in try resources.loaded() } }
        }
        let cleaned = concurrentMap(count) { $0.map { WordNormalizer.cleanedPrediction(predictions[$0]) } }
        let kept = references.indices.filter {
            !options.leavesOutEmpty || !(cleaned[$0].isEmpty || references[$0].isEmpty)
        }
        guard !kept.isEmpty else { throw .noValues(metric: "report metrics") }
        let answers = kept.map { cleaned[$0] }
        let truths = kept.map { references[$0] }
        let answersOnce = ReportScores.normalized(answers)
        let truthsOnce = ReportScores.normalized(truths)
        // Each list is one text for the tokeniser, and knows nothing of the others.
        let lists = [answers, truths] + (options.meteor == nil ? [] : [answersOnce, truthsOnce])
        let tokens = concurrentMap(lists.count, smallest: 1) { range in
            range.map { PTBTokenizer.words(ofCaptions: lists[$0]) }
        }
        var meteor: [METEOR.Statistics]?
        if let resources = try loading?.value.get() {
            let scorer = METEOR(resources: resources)
            missingStages = scorer.missingStages
            let lines = { (tokens: [[String]]) in
                concurrentMap(tokens.count) { $0.map { tokens[$0].joined(separator: " ") } }
            }
            meteor = try scorer.score(hypotheses: lines(tokens[2]), references: lines(tokens[3])).statistics
        }
        let statistics = meteor
        pairs = concurrentMap(kept.count) { range in
            range.map { place in
                let answer = WordNormalizer.words(answersOnce[place])
                let truth = WordNormalizer.words(truthsOnce[place])
                return Pair(
                    index: kept[place],
                    bleu: BLEU.Counts(tokens[0][place], reference: tokens[1][place], order: 4),
                    rouge: ROUGE.published(answer.joined(separator: " "), reference: truth.joined(separator: " ")),
                    f1: F1.published(answer, reference: truth),
                    meteor: statistics?[place]
                )
            }
        }
    }

    private static func normalized(_ texts: [String]) -> [String] {
        concurrentMap(texts.count) { range in range.map { WordNormalizer.normalize(texts[$0]) } }
    }

    /// How many pairs were left out because a text is empty.
    public var leftOut: Int { count - pairs.count }

    /// The corpus BLEU of the orders 1 to 4.
    public var bleu: [Double] { ReportScores.bleu(pairs) }

    /// The corpus METEOR, when METEOR was scored.
    public var meteor: METEOR.Score? { ReportScores.meteor(pairs) }

    /// The mean ROUGE scores; `nil` when no pair has any.
    public var rouge: ROUGE.Scores? { ReportScores.rouge(pairs) }

    /// The mean F1.
    public var f1: Double { pairs.reduce(0) { $0 + $1.f1 } / Double(pairs.count) }

    /// The corpus BLEU of some of the pairs, with repetitions when they are drawn.
    public static func bleu(_ pairs: some Collection<Pair>) -> [Double] {
        var sum = BLEU.Counts(order: 4)
        for pair in pairs { sum.add(pair.bleu) }
        return sum.scores
    }

    /// The corpus METEOR of some of the pairs.
    public static func meteor(_ pairs: some Collection<Pair>) -> METEOR.Score? {
        var sum = METEOR.Statistics()
        for pair in pairs {
            guard let statistics = pair.meteor else { return nil }
            sum.add(statistics)
        }
        return METEOR.Score(sum)
    }

    /// The mean ROUGE scores of some of the pairs.
    public static func rouge(_ pairs: some Collection<Pair>) -> ROUGE.Scores? {
        let scores = pairs.compactMap(\.rouge)
        guard !scores.isEmpty else { return nil }
        let mean = { (part: KeyPath<ROUGE.Scores, ROUGE.Score>) in
            let count = Double(scores.count)
            return ROUGE.Score(
                recall: scores.reduce(0) { $0 + $1[keyPath: part].recall } / count,
                precision: scores.reduce(0) { $0 + $1[keyPath: part].precision } / count,
                f1: scores.reduce(0) { $0 + $1[keyPath: part].f1 } / count
            )
        }
        return ROUGE.Scores(rouge1: mean(\.rouge1), rouge2: mean(\.rouge2), rougeL: mean(\.rougeL))
    }
}
