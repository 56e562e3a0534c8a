import Foundation
import Torch

/// Searches the answer with the largest sum of log probabilities, divided by its length to a power, among a few at a time.
///
/// As in `transformers`, see ``GenerationOptions/Convention`` for what its versions do differently. In each step the best
/// `2 · beams` continuations of a prompt's beams are taken (more where several tokens end a sequence); those that end are
/// kept as finished when they are among the best `beams`, of the others the best `beams` go on. The vocabulary-wide work
/// is the device's; the host reads the best continuations once a step.
struct BeamSearch {
    private struct Beam {
        var score: Double
        var tokens: [Int] = []
        var cursor: ConstraintCursor?
    }

    private struct Finished {
        var score: Double
        var tokens: [Int]
        var finish: GeneratedAnswer.Finish
    }

    /// One of the best continuations of a prompt's beams.
    private struct Candidate {
        var score: Double
        var beam: Int
        var token: Int
    }

    /// The search for one prompt's answer.
    private struct Search {
        /// As many as there are beams; before the first step one.
        var beams: [Beam]
        /// The best finished answers, the best first, at most as many as there are beams.
        var finished: [Finished] = []
        var isDone = false
        /// The number of tokens that count as the answer's length beside the new ones.
        let lengthBefore: Int

        mutating func add(_ answer: Finished, limit: Int) {
            // Behind its equals, as the one that was there first stays.
            let place = finished.firstIndex { $0.score < answer.score } ?? finished.endIndex
            finished.insert(answer, at: place)
            if finished.count > limit { finished.removeLast() }
        }
    }

    private let session: DecodingSession
    private let settings: SearchSettings
    private let beamCount: Int
    private let candidateCount: Int
    private let isCountedAs430: Bool
    private var searches: [Search]
    private var penalties: [any LogitsProcessor]
    private var mask: TokenMask

    init(_ session: DecodingSession, _ settings: SearchSettings, context: [[Int]]) throws(GenerationError) {
        self.session = session
        self.settings = settings
        beamCount = settings.options.beamCount
        candidateCount = max(2, 1 + settings.ends.count) * beamCount
        let isCountedAs430 = settings.options.convention == .transformers430
        self.isCountedAs430 = isCountedAs430
        penalties = LogitsProcessors.make(LogitsProcessors.penalties, settings.options)
        mask = TokenMask(ends: settings.ends.sorted())
        searches = zip(context, settings.constraints).map { context, constraint in
            Search(
                beams: [Beam(score: 0, cursor: constraint.map { ConstraintCursor($0) })],
                lengthBefore: isCountedAs430 ? context.count : 0
            )
        }
        for index in penalties.indices {
            try generating { () throws(TorchError) in
                try penalties[index].begin(
                    context: context,
                    vocabularySize: session.vocabularySize,
                    device: session.device
                )
            }
        }
    }

    mutating func run(isCancelled: () -> Bool) throws(GenerationError) -> [GeneratedAnswer] {
        var wasCancelled = false
        for step in 1...settings.maximumNewTokens {
            wasCancelled = isCancelled()
            if wasCancelled { break }
            let candidates = try candidates(remaining: settings.maximumNewTokens - step + 1)
            let isLast = step == settings.maximumNewTokens
            var parents: [Int] = []
            var areAllSatisfied = true
            for index in searches.indices {
                if searches[index].isDone {
                    // Its rows go on with any token; nobody reads them.
                    parents += 0..<beamCount
                    continue
                }
                let (chosen, isSatisfied) = choose(candidates[index], for: index, step: step, isLast: isLast)
                parents += chosen
                if isCountedAs430 {
                    searches[index].isDone = isSatisfied
                } else {
                    areAllSatisfied = areAllSatisfied && isSatisfied
                }
            }
            let areAllDone = isCountedAs430 ? searches.allSatisfy(\.isDone) : areAllSatisfied
            if isLast || areAllDone { break }
            try advance(parents, isFirst: step == 1)
        }
        var results: [GeneratedAnswer] = []
        for index in searches.indices { results.append(try answer(of: index, wasCancelled: wasCancelled)) }
        try report(results)
        return results
    }

    // MARK: A step

    /// The best continuations of every prompt's beams, the best first.
    private mutating func candidates(remaining: Int) throws(GenerationError) -> [[Candidate]] {
        let scores = try generating { () throws(TorchError) -> Tensor in
            var scores = try session.scores().logSoftmax()
            for penalty in penalties { scores = try penalty(scores) }
            return scores
        }
        // Beams that cannot go on are held to nothing; their scores say that they do not count.
        let cursors = searches.flatMap { search in
            search.beams.map { search.isDone || $0.score == -.infinity ? nil : $0.cursor }
        }
        let masked = try mask(scores, cursors, remaining: remaining)
        let rows = searches[0].beams.count
        let vocabulary = session.vocabularySize
        let before = searches.flatMap { search in search.beams.map { Float($0.score) } }
        let best = try generating { () throws(TorchError) -> [Double] in
            let sums = try masked + Tensor(before, shape: [before.count, 1]).to(session.device)
            let (values, indices) = try sums.reshape(searches.count, rows * vocabulary)
                .topK(min(candidateCount, rows * vocabulary))
            // One reading for both: a double holds the sums and the indices exactly.
            return try Tensor.stack([values.to(.float64), indices.to(.float64)], dimension: -1).array(of: Double.self)
        }
        let width = best.count / searches.count
        return searches.indices.map { search in
            stride(from: search * width, to: (search + 1) * width, by: 2).map { place in
                let index = Int(best[place + 1])
                return Candidate(score: best[place], beam: index / vocabulary, token: index % vocabulary)
            }
        }
    }

    /// Keeps what ends, and lets the best of the others go on.
    ///
    /// - Returns: The beam that each new one goes on from, and whether the search needs no further step.
    private mutating func choose(
        _ candidates: [Candidate],
        for index: Int,
        step: Int,
        isLast: Bool
    ) -> (parents: [Int], isSatisfied: Bool) {
        let options = settings.options
        let search = searches[index]
        let wasFull = search.finished.count == beamCount
        var next: [Beam] = []
        var parents: [Int] = []
        for (rank, candidate) in candidates.enumerated() where candidate.score > -.infinity {
            var beam = search.beams[candidate.beam]
            beam.score = candidate.score
            var isEnd = settings.ends.contains(candidate.token)
            if !isEnd {
                beam.tokens.append(candidate.token)
                beam.cursor?.advance(candidate.token)
                // Without a token that ends a sequence, a complete answer ends by itself.
                isEnd = settings.ends.isEmpty && beam.cursor?.isFinal == true
            }
            if isEnd || (isLast && !isCountedAs430) {
                let isClosed = wasFull && options.earlyStopping == .always && !isCountedAs430
                guard rank < beamCount, !isClosed else { continue }
                let finished = Finished(
                    score: score(
                        beam.score,
                        length: isCountedAs430 ? search.lengthBefore + beam.tokens.count : step
                    ),
                    tokens: beam.tokens,
                    finish: isEnd ? .endOfSequence : .length
                )
                searches[index].add(finished, limit: beamCount)
            } else if next.count < beamCount {
                next.append(beam)
                parents.append(candidate.beam)
            }
        }
        let bestOpen = isCountedAs430 ? candidates.first?.score : next.first?.score
        while next.count < beamCount {
            // There is nothing more to go on with: a beam that never counts fills the row.
            next.append(Beam(score: -.infinity, tokens: (next.first ?? search.beams[0]).tokens))
            parents.append(parents.first ?? 0)
        }
        searches[index].beams = next
        return (parents, isSatisfied(searches[index], bestOpen: bestOpen ?? -.infinity, step: step))
    }

    /// Whether open beams cannot, or must not, change the finished answers any more.
    private func isSatisfied(_ search: Search, bestOpen: Double, step: Int) -> Bool {
        let options = settings.options
        // Where nothing can go on, there is nothing to wait for.
        if search.beams.allSatisfy({ $0.score == -.infinity }) { return true }
        guard search.finished.count == beamCount, let worst = search.finished.last else { return false }
        if options.earlyStopping == .always { return true }
        let isLongest = options.earlyStopping == .never && options.lengthPenalty > 0
        let length = search.lengthBefore + (isLongest ? settings.maximumNewTokens : step)
        return worst.score >= score(bestOpen, length: length)
    }

    private func score(_ sum: Double, length: Int) -> Double {
        sum / Foundation.pow(Double(max(length, 1)), settings.options.lengthPenalty)
    }

    /// Reads the new token of every beam.
    private mutating func advance(_ parents: [Int], isFirst: Bool) throws(GenerationError) {
        let tokens = searches.flatMap { search in search.beams.map { $0.tokens.last ?? 0 } }
        // Before the first step there is one row for each prompt.
        let rowsBefore = isFirst ? 1 : beamCount
        let rows = parents.enumerated().map { $0 / beamCount * rowsBefore + $1 }
        try generating { () throws(TorchError) in
            let next = try Tensor(tokens).to(session.device)
            let index = try Tensor(rows).to(session.device)
            for number in penalties.indices {
                try penalties[number].select(rows: index)
                try penalties[number].append(next)
            }
            if isFirst {
                try session.spread()
            } else {
                try session.reorder(rows)
            }
            try session.advance(next)
        }
    }

    // MARK: The end

    /// The best answer of a prompt.
    private func answer(of index: Int, wasCancelled: Bool) throws(GenerationError) -> GeneratedAnswer {
        var search = searches[index]
        if (isCountedAs430 && !search.isDone) || search.finished.isEmpty {
            for beam in search.beams where beam.score > -.infinity {
                let open = Finished(
                    score: score(beam.score, length: search.lengthBefore + beam.tokens.count),
                    tokens: beam.tokens,
                    finish: wasCancelled ? .cancelled : .length
                )
                search.add(open, limit: beamCount)
            }
        }
        let best = search.finished.first ?? Finished(score: -.infinity, tokens: [], finish: .cancelled)
        var text = settings.makeText()
        for token in best.tokens { try text?.append(token) }
        return try settings.answer(best.tokens, text: text, finish: best.finish, score: best.score)
    }

    /// Shows the tokens, which are known only now.
    private func report(_ answers: [GeneratedAnswer]) throws(GenerationError) {
        guard let onToken = settings.onToken else { return }
        for (index, answer) in answers.enumerated() {
            var text = settings.makeText()
            let last = answer.tokens.count - 1
            if answer.tokens.isEmpty {
                let end = GeneratedToken(sequence: index, token: nil, text: answer.text, finish: answer.finish)
                if case .endAll = onToken(end) { return }
            }
            tokens: for (place, token) in answer.tokens.enumerated() {
                try text?.append(token)
                let step = GeneratedToken(
                    sequence: index,
                    token: token,
                    text: place == last ? answer.text : text?.stable ?? "",
                    finish: place == last ? answer.finish : nil
                )
                switch onToken(step) {
                case .proceed: continue
                case .endAnswer: break tokens
                case .endAll: return
                }
            }
        }
    }
}
