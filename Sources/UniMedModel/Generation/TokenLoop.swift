import Torch
import UniMedTokenizers

/// What a search needs beside the model.
struct SearchSettings {
    let options: GenerationOptions
    /// The most tokens of an answer.
    let maximumNewTokens: Int
    /// The tokens that end a sequence, all in the model's vocabulary.
    let ends: Set<Int>
    let tokenizer: (any Tokenizer)?
    /// For each prompt the constraint of its answer.
    let constraints: [(any TokenConstraint)?]
    let onToken: ((GeneratedToken) -> GenerationDirective)?

    /// The text of a new answer, where someone wants it.
    func makeText() -> AnswerText? {
        tokenizer.map { AnswerText($0, stopStrings: options.stopStrings, isWatched: onToken != nil) }
    }

    /// An answer that has ended, with its text and cut before a stop string where there is a tokenizer.
    func answer(
        _ tokens: [Int],
        text: AnswerText?,
        finish: GeneratedAnswer.Finish,
        score: Double? = nil
    ) throws(GenerationError) -> GeneratedAnswer {
        guard let text else { return GeneratedAnswer(tokens: tokens, text: "", finish: finish, score: score) }
        let (kept, written, isStopped) = try text.finished()
        return GeneratedAnswer(tokens: kept, text: written, finish: isStopped ? .stopString : finish, score: score)
    }
}

/// Generates answers token by token, one row for each: the loop of greedy search and sampling.
///
/// The host waits for the device once a step, to read the chosen tokens.
struct TokenLoop {
    private struct Answer {
        var tokens: [Int] = []
        var text: AnswerText?
        var cursor: ConstraintCursor?
        var finish: GeneratedAnswer.Finish?
    }

    private let session: DecodingSession
    private let settings: SearchSettings
    private var choice: any TokenChoice
    private var penalties: [any LogitsProcessor]
    private var warpers: [any LogitsProcessor]
    private var mask: TokenMask
    private var answers: [Answer]
    private var isEnded = false

    init(
        _ session: DecodingSession,
        _ settings: SearchSettings,
        context: [[Int]],
        choice: any TokenChoice
    ) throws(GenerationError) {
        self.session = session
        self.settings = settings
        self.choice = choice
        penalties = LogitsProcessors.make(LogitsProcessors.penalties, settings.options)
        warpers = LogitsProcessors.make(LogitsProcessors.warpers, settings.options)
        mask = TokenMask(ends: settings.ends.sorted())
        answers = settings.constraints.map { constraint in
            Answer(text: settings.makeText(), cursor: constraint.map { ConstraintCursor($0) })
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
        for step in 0..<settings.maximumNewTokens {
            if isCancelled() { break }
            let remaining = settings.maximumNewTokens - step
            let scores = try processed(remaining: remaining)
            let next = try generating { () throws(TorchError) in try choice(scores) }
            let tokens = try generating { () throws(TorchError) in try next.array(of: Int.self) }
            for (index, token) in tokens.enumerated() where answers[index].finish == nil {
                try append(token, to: index, isLast: remaining == 1)
            }
            if isEnded || remaining == 1 || answers.allSatisfy({ $0.finish != nil }) { break }
            try generating { () throws(TorchError) in
                for index in penalties.indices { try penalties[index].append(next) }
                try session.advance(next)
            }
        }
        var results: [GeneratedAnswer] = []
        for index in answers.indices { results.append(try result(of: index)) }
        return results
    }

    /// The scores of the next tokens as they are chosen from.
    private mutating func processed(remaining: Int) throws(GenerationError) -> Tensor {
        var scores = try generating { () throws(TorchError) -> Tensor in
            var scores = try session.scores()
            for penalty in penalties { scores = try penalty(scores) }
            return scores
        }
        // An answer that has ended is held to nothing: its tokens are not read.
        scores = try mask(scores, answers.map { $0.finish == nil ? $0.cursor : nil }, remaining: remaining)
        return try generating { () throws(TorchError) -> Tensor in
            for warper in warpers { scores = try warper(scores) }
            return scores
        }
    }

    private mutating func append(_ token: Int, to index: Int, isLast: Bool) throws(GenerationError) {
        let isEnd = settings.ends.contains(token)
        if isEnd {
            answers[index].finish = .endOfSequence
        } else {
            answers[index].tokens.append(token)
            answers[index].cursor?.advance(token)
            try answers[index].text?.append(token)
            if answers[index].text?.stopped != nil {
                answers[index].finish = .stopString
            } else if answers[index].cursor?.isFinal == true {
                answers[index].finish = .endOfSequence
            } else if isLast {
                answers[index].finish = .length
            }
        }
        guard let onToken = settings.onToken else { return }
        // What is held back belongs to the answer once it has ended.
        let text = answers[index].finish == nil ? answers[index].text?.stable : try result(of: index).text
        let step = GeneratedToken(
            sequence: index,
            token: isEnd ? nil : token,
            text: text ?? "",
            finish: answers[index].finish
        )
        switch onToken(step) {
        case .proceed: break
        case .endAnswer: answers[index].finish = answers[index].finish ?? .cancelled
        case .endAll:
            answers[index].finish = answers[index].finish ?? .cancelled
            isEnded = true
        }
    }

    private func result(of index: Int) throws(GenerationError) -> GeneratedAnswer {
        let answer = answers[index]
        return try settings.answer(answer.tokens, text: answer.text, finish: answer.finish ?? .cancelled)
    }
}
