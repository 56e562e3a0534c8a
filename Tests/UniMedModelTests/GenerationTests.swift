import Foundation
import Testing
import Torch
import TorchNN
import UniMedData
import UniMedModel
import UniMedTesting
import UniMedTokenizers

/// Prompts of tokens, packed.
private func prompts(_ rows: [[Int]], _ model: Llama) throws -> GenerationPrompts {
    try withoutGradients {
        GenerationPrompts(
            embeddings: try model.embedding(Tensor(rows.flatMap { $0 })),
            layout: try SequenceLayout(lengths: rows.map(\.count))
        )
    }
}

/// A language model over a few ids, with weights that follow from a seed.
private func smallModel(vocabulary: Int = ByteTokenizer.size, seed: UInt64 = 1) throws -> Llama {
    let model = try Llama(
        LlamaConfiguration(
            vocabularySize: vocabulary,
            hiddenSize: 24,
            intermediateSize: 40,
            layerCount: 2,
            headCount: 4,
            keyValueHeadCount: 2
        )
    )
    try TinyModel.randomize(model, seed: seed)
    return model
}

private let rows = [[1, 70, 80, 90], [1, 100], [1, 33, 44, 55, 66, 77, 88], [1, 200, 201]]

/// A vocabulary like those of large models: words with a blank before them, whole coordinates, several marks in one piece.
private struct PieceTokenizer: Tokenizer {
    let pieces: [String]
    let bosID: Int? = 1
    let eosID = 2
    let padID = 0

    init(coordinates: Bool = true) {
        var pieces = ["", "", "", " ", " {", "{", "<", ">", "}", "><", " {<", ">}", " <", "}{", " a", "a", "\u{FFFD}"]
        pieces += (0...9).map { "\($0)" } + ["10", "16", "99", "100", "007", "0>"]
        if coordinates { pieces += (0...100).map { "<\($0)>" } }
        self.pieces = pieces
    }

    var vocabularySize: Int { pieces.count }

    func encode(_ text: String, addBOS: Bool) throws(TokenizerError) -> [Int] {
        var rest = Substring(" " + text)
        var ids = addBOS ? [1] : []
        while !rest.isEmpty {
            let best = pieces.indices.filter { !pieces[$0].isEmpty && rest.hasPrefix(pieces[$0]) }
                .max { pieces[$0].count < pieces[$1].count }
            if let best { ids.append(best) }
            rest = rest.dropFirst(best.map { pieces[$0].count } ?? 1)
        }
        return ids
    }

    func decode(_ ids: [Int], skippingSpecialTokens: Bool) throws(TokenizerError) -> String {
        let text = ids.map { pieces[$0] }.joined()
        return text.hasPrefix(" ") ? String(text.dropFirst()) : text
    }
}

@Suite("Generation")
struct GenerationTests {
    // MARK: Prompts

    @Test func `left-padded ids and embeddings give the answers of packed prompts`() throws {
        let model = try smallModel()
        let width = rows.map(\.count).max() ?? 0
        let padded = rows.flatMap { [Int](repeating: 0, count: width - $0.count) + $0 }
        let mask = rows.flatMap { [Int](repeating: 0, count: width - $0.count) + $0.map { _ in 1 } }
        let ids = try Tensor(padded, shape: [rows.count, width])
        let kept = try Tensor(mask, shape: [rows.count, width])
        let embeddings = try withoutGradients { try model.embedding(Tensor(padded)).reshape(rows.count, width, -1) }
        let packed = try model.generate(prompts(rows, model), endOfSequence: [2])
        let fromIDs = try GenerationPrompts(inputIDs: ids, attentionMask: kept, for: model)
        let fromEmbeddings = try GenerationPrompts(inputEmbeddings: embeddings, attentionMask: kept)
        #expect(try model.generate(fromIDs, endOfSequence: [2]) == packed)
        #expect(try model.generate(fromEmbeddings, endOfSequence: [2]) == packed)
        #expect(fromIDs.context[1] == [0, 0, 0, 0, 0, 1, 100])
        for (row, alone) in rows.enumerated() {
            #expect(try model.generate(prompts([alone], model), endOfSequence: [2])[0] == packed[row])
        }
        #expect(throws: TorchError.self) {
            try GenerationPrompts(inputIDs: ids, attentionMask: kept.flip(1), for: model)
        }
        #expect(throws: TorchError.self) {
            try GenerationPrompts(inputIDs: ids, attentionMask: kept.narrow(0, start: 0, length: 2), for: model)
        }
    }

    // MARK: Options

    @Test(arguments: [
        (#"{"topP": 1.5, "temperature": 1}"#, "topP"), (#"{"topP": -0.1, "temperature": 1}"#, "topP"),
        (#"{"topP": 0.5}"#, "topP"), (#"{"topK": 5}"#, "topK"), (#"{"topK": 0, "temperature": 1}"#, "topK"),
        (#"{"temperature": 0}"#, "temperature"), (#"{"beamCount": 3, "temperature": 1}"#, "temperature"),
        (#"{"beamCount": 0}"#, "beamCount"), (#"{"maximumNewTokens": 0}"#, "maximumNewTokens"),
        (#"{"repetitionPenalty": 0}"#, "repetitionPenalty"), (#"{"lengthPenalty": 2}"#, "lengthPenalty"),
        (#"{"earlyStopping": "never"}"#, "earlyStopping"), (#"{"stopStrings": [""]}"#, "stopStrings"),
        (#"{"numBeams": 3}"#, "numBeams"),
    ])
    func `contradictions and unknown keys are refused by name`(json: String, field: String) throws {
        let error = try #require(throws: DecodingError.self) {
            try JSONDecoder().decode(GenerationOptions.self, from: Data(json.utf8))
        }
        guard case .dataCorrupted(let context) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(context.codingPath.last?.stringValue == field)
    }

    @Test func `options read back as written, and the defaults are the published ones`() throws {
        let options = GenerationOptions(
            maximumNewTokens: 7,
            beamCount: 3,
            lengthPenalty: 0.5,
            earlyStopping: .never,
            repetitionPenalty: 1.2,
            seed: 9,
            stopStrings: ["\n"],
            constrained: true,
            boxStyle: .paper,
            convention: .transformers451
        )
        for options in [options, GenerationOptions(temperature: 0.5, topK: 3, topP: 0.9)] {
            #expect(try JSONDecoder().decode(GenerationOptions.self, from: JSONEncoder().encode(options)) == options)
        }
        let standard = try JSONDecoder().decode(GenerationOptions.self, from: Data("{}".utf8))
        #expect(standard == GenerationOptions())
        #expect(standard.beamCount == 1 && standard.temperature == nil && standard.repetitionPenalty == 1)
        #expect(!standard.constrained && GenerationOptions.publishedMaximumNewTokens == 20)
        let model = try smallModel()
        #expect(throws: GenerationError.invalidOption(field: "topK", expected: "a positive number", got: "0")) {
            try model.generate(
                prompts(rows, model),
                options: GenerationOptions(temperature: 1, topK: 0),
                endOfSequence: []
            )
        }
    }

    // MARK: Processors

    @Test func `a penalty makes what was said less likely, once`() throws {
        var penalty = try #require(RepetitionPenalty(GenerationOptions(repetitionPenalty: 2)))
        #expect(RepetitionPenalty(GenerationOptions()) == nil)
        try penalty.begin(context: [[0, 0, 9], [3]], vocabularySize: 4, device: .cpu)
        let scores = try Tensor([1, -1, 4, -4, 1, -1, 4, -4] as [Float], shape: [2, 4])
        #expect(try penalty(scores).array(of: Float.self) == [0.5, -1, 4, -4, 1, -1, 4, -8])
        try penalty.append(Tensor([2, 1]))
        #expect(try penalty(scores).array(of: Float.self) == [0.5, -1, 2, -4, 1, -2, 4, -8])
        try penalty.select(rows: Tensor([1, 1]))
        #expect(try penalty(scores).array(of: Float.self) == [1, -2, 4, -8, 1, -2, 4, -8])
    }

    @Test func `top-k, top-p and temperature leave what their definitions say`() throws {
        let no = -Float.infinity
        let scores = try Tensor([2, 1, 1, 0, 3, 0, 1, 2] as [Float], shape: [2, 4])
        let topK = try #require(TopK(GenerationOptions(temperature: 1, topK: 2)))
        #expect(try topK(scores).array(of: Float.self) == [2, 1, 1, no, 3, no, no, 2])
        let all = try #require(TopK(GenerationOptions(temperature: 1, topK: 50)))
        #expect(try all(scores).array(of: Float.self) == scores.array(of: Float.self))
        // The probabilities of the second row are 0.644, 0.032, 0.087 and 0.237.
        for (p, kept) in [(0.0, 1), (0.6, 1), (0.65, 2), (0.88, 2), (0.89, 3), (0.99, 4)] {
            let topP = try #require(TopP(GenerationOptions(temperature: 1, topP: p)))
            let left = try topP(scores).array(of: Float.self).suffix(4)
            #expect(left.count { $0 != no } == kept && left.first == 3, "\(p)")
        }
        #expect(TopP(GenerationOptions(temperature: 1, topP: 1)) == nil)
        let temperature = try #require(Temperature(GenerationOptions(temperature: 0.5)))
        #expect(try temperature(scores).array(of: Float.self).first == 4)
    }

    // MARK: Draws

    @Test func `draws follow from the seed alone, not from what else is in the batch`() throws {
        let model = try smallModel()
        let options = GenerationOptions(maximumNewTokens: 12, temperature: 1.5, topK: 100, topP: 0.95)
        func drawn(_ chosen: [Int], _ seeds: [UInt64]) throws -> [[Int]] {
            try model.generate(
                prompts(chosen.map { rows[$0] }, model),
                options: options,
                endOfSequence: [2],
                seeds: seeds
            ).map(\.tokens)
        }
        let together = try drawn([0, 1, 2, 3], [5, 6, 7, 8])
        #expect(try drawn([3, 1], [8, 6]) == [together[3], together[1]])
        #expect(try drawn([2], [7]) == [together[2]])
        #expect(try drawn([2], [8]) != [together[2]])
        #expect(throws: GenerationError.self) { try drawn([0, 1], [1]) }
    }

    @Test func `the likeliest token is drawn where no other may be`() throws {
        let model = try smallModel()
        let greedy = try model.generate(prompts(rows, model), endOfSequence: [2]).map(\.tokens)
        for options in [
            GenerationOptions(temperature: 2, topK: 1), GenerationOptions(temperature: 2, topP: 0),
            GenerationOptions(temperature: 1e-4),
        ] {
            #expect(
                try model.generate(prompts(rows, model), options: options, endOfSequence: [2]).map(\.tokens) == greedy
            )
        }
    }

    @Test func `draws are as frequent as their probabilities`() throws {
        let model = try smallModel(vocabulary: 12)
        let count = 3000
        let prompt = [1, 5, 7]
        let answers = try model.generate(
            prompts([[Int]](repeating: prompt, count: count), model),
            options: GenerationOptions(maximumNewTokens: 1, temperature: 2),
            endOfSequence: [],
            seeds: (0..<UInt64(count)).map { $0 }
        )
        let probabilities = try withoutGradients {
            try
                (model.logits(
                    model.hiddenStates(of: model.embedding(Tensor(prompt)), layout: SequenceLayout(lengths: [3]))
                ) / 2).softmax().narrow(0, start: 2, length: 1).reshape(-1).array(of: Float.self)
        }
        for (token, probability) in probabilities.map({ Double($0) }).enumerated() {
            let share = Double(answers.count { $0.tokens == [token] }) / Double(count)
            // Four standard deviations of a share; the seeds are fixed, so this holds always or never.
            let deviation = (probability * (1 - probability) / Double(count)).squareRoot()
            #expect(abs(share - probability) <= 4 * deviation + 1e-3, "token \(token): \(share) for \(probability)")
        }
    }

    // MARK: Beams

    /// The sum of the log probabilities of tokens behind a prompt, read all at once.
    private func logProbability(of tokens: [Int], behind prompt: [Int], _ model: Llama) throws -> Double {
        try withoutGradients {
            let all = prompt + tokens
            let states = try model.hiddenStates(
                of: model.embedding(Tensor(all)),
                layout: SequenceLayout(lengths: [all.count])
            )
            let scores = try model.logits(states).logSoftmax().narrow(
                0,
                start: prompt.count - 1,
                length: tokens.count
            )
            return try scores.gather(1, Tensor(tokens).unsqueeze(1)).to(.float64).sum().item()
        }
    }

    @Test func `as many beams as there are answers find the best of all`() throws {
        let model = try smallModel(vocabulary: 5, seed: 3)
        let options = GenerationOptions(maximumNewTokens: 3, beamCount: 25)
        for prompt in [[1, 2], [3, 4, 0], [2]] {
            let answer = try model.generate(prompts([prompt], model), options: options, endOfSequence: [])[0]
            var best = (score: -Double.infinity, tokens: [Int]())
            for number in 0..<125 {
                let tokens = [number / 25, number / 5 % 5, number % 5]
                let score = try logProbability(of: tokens, behind: prompt, model)
                if score > best.score { best = (score, tokens) }
            }
            #expect(answer.tokens == best.tokens)
            #expect(answer.finish == .length)
        }
    }

    @Test(arguments: [GenerationOptions.Convention.transformers430, .transformers451])
    func `a beam's score is what its tokens have when they are read at once`(
        convention: GenerationOptions.Convention
    ) throws {
        let model = try smallModel(vocabulary: 30, seed: 2)
        let rows = [[1, 7, 8, 9], [1, 10], [1, 3, 4, 5, 6, 7, 8], [1, 20, 21]]
        for penalty in [0, 1, 2.0] {
            let options = GenerationOptions(
                maximumNewTokens: 10,
                beamCount: 4,
                lengthPenalty: penalty,
                convention: convention
            )
            let answers = try model.generate(prompts(rows, model), options: options, endOfSequence: [2, 11])
            for (prompt, answer) in zip(rows, answers) {
                var tokens = answer.tokens
                #expect(tokens.count <= 10 && !tokens.contains(2) && !tokens.contains(11))
                // The end of a sequence is not among the tokens: it was one of two.
                let ends = answer.finish == .endOfSequence ? [[2], [11]] : [[]]
                let sums = try ends.map { try logProbability(of: tokens + $0, behind: prompt, model) }
                if answer.finish == .endOfSequence, convention == .transformers451 { tokens.append(2) }
                let scores = sums.map { $0 / Foundation.pow(Double(max(tokens.count, 1)), penalty) }
                let score = try #require(answer.score)
                // Sums of float32 numbers of the order of 10.
                #expect(scores.contains { abs($0 - score) < 1e-4 }, "\(scores) \(score)")
            }
        }
    }

    @Test func `with the published code's counting a search does not depend on its neighbours`() throws {
        let model = try smallModel(vocabulary: 30, seed: 4)
        let rows = [[1, 7, 8, 9], [1, 10], [1, 3, 4, 5, 6, 7, 8], [1, 20, 21]]
        for stopping in GenerationOptions.EarlyStopping.allCases {
            let options = GenerationOptions(
                maximumNewTokens: 12,
                beamCount: 3,
                earlyStopping: stopping,
                repetitionPenalty: 1.3
            )
            let together = try model.generate(prompts(rows, model), options: options, endOfSequence: [2])
            for (row, answer) in zip(rows, together) {
                let alone = try model.generate(prompts([row], model), options: options, endOfSequence: [2])[0]
                #expect(alone.tokens == answer.tokens && alone.finish == answer.finish)
            }
        }
    }

    // MARK: Ends

    @Test func `a stop string ends an answer and is cut from it`() throws {
        let model = try smallModel()
        let tokenizer = ByteTokenizer()
        let label = "left lung, übel → right lung"
        let constraint = try LabelConstraint([label], tokenizer: tokenizer)
        func answer(_ stops: [String], beams: Int = 1) throws -> (GeneratedAnswer, [GeneratedToken]) {
            var steps: [GeneratedToken] = []
            let answer = try model.generate(
                prompts([rows[0]], model),
                options: GenerationOptions(maximumNewTokens: 50, beamCount: beams, stopStrings: stops),
                endOfSequence: [2],
                tokenizer: tokenizer,
                constraints: [constraint],
                onToken: { step in
                    steps.append(step)
                    return .proceed
                }
            )[0]
            return (answer, steps)
        }
        for beams in [1, 2] {
            for (stops, text) in [
                (["lung"], "left "), (["→ r", "no"], "left lung, übel "), (["xyz"], label), ([], label),
                (["lungs", "ng,"], "left lu"),
            ] {
                let (answer, steps) = try answer(stops, beams: beams)
                #expect(answer.text == text)
                #expect(answer.finish == (text == label ? .endOfSequence : .stopString))
                #expect(try tokenizer.decode(answer.tokens) == text)
                #expect(steps.last?.text == text && steps.last?.finish == answer.finish)
                // What was shown stays: no half character, nothing of a stop string.
                #expect(steps.allSatisfy { text.utf8.starts(with: $0.text.utf8) })
                #expect(steps.dropLast().allSatisfy { $0.finish == nil })
            }
        }
        #expect(throws: GenerationError.self) {
            try model.generate(
                prompts(rows, model),
                options: GenerationOptions(stopStrings: ["a"]),
                endOfSequence: []
            )
        }
    }

    @Test func `a caller sees every token, and can end one answer or all`() throws {
        let model = try smallModel()
        let options = GenerationOptions(maximumNewTokens: 9)
        var seen = [[Int]](repeating: [], count: rows.count)
        let free = try model.generate(
            prompts(rows, model),
            options: options,
            endOfSequence: [],
            onToken: { step in
                if let token = step.token { seen[step.sequence].append(token) }
                return .proceed
            }
        )
        #expect(free.map(\.tokens) == seen)
        #expect(free.allSatisfy { $0.finish == .length && $0.tokens.count == 9 && $0.text.isEmpty })

        var counts = [Int](repeating: 0, count: rows.count)
        let one = try model.generate(
            prompts(rows, model),
            options: options,
            endOfSequence: [],
            onToken: { step in
                counts[step.sequence] += 1
                return step.sequence == 1 && counts[1] == 3 ? .endAnswer : .proceed
            }
        )
        #expect(counts == [9, 3, 9, 9])
        #expect(one[1].tokens == Array(free[1].tokens.prefix(3)) && one[1].finish == .cancelled)
        #expect([0, 2, 3].allSatisfy { one[$0] == free[$0] })

        var steps = 0
        let all = try model.generate(
            prompts(rows, model),
            options: options,
            endOfSequence: [],
            onToken: { step in
                steps += 1
                return step.sequence == 3 && steps > 4 ? .endAll : .proceed
            }
        )
        #expect(all.map(\.tokens) == free.map { Array($0.tokens.prefix(2)) })
        #expect(all.allSatisfy { $0.finish == .cancelled })

        for beams in [1, 3] {
            var asked = 0
            let cancelled = try model.generate(
                prompts(rows, model),
                options: GenerationOptions(maximumNewTokens: 9, beamCount: beams),
                endOfSequence: [],
                isCancelled: {
                    asked += 1
                    return asked > 4
                }
            )
            #expect(cancelled.allSatisfy { $0.tokens.count == 4 && $0.finish == .cancelled })
        }
    }
}

@Suite("Constrained generation")
struct ConstrainedGenerationTests {
    static let tokenizers: [any Tokenizer] = [
        ByteTokenizer(), PieceTokenizer(), PieceTokenizer(coordinates: false),
    ]

    private func expectBox(_ answer: GeneratedAnswer, _ style: NormalizedBox.Style) throws {
        let box = try #require(NormalizedBox(parsing: answer.text), "\(answer.text)")
        #expect(box.text(style) == answer.text)
        #expect(0 <= box.xMin && box.xMin < box.xMax && box.xMax <= 100, "\(answer.text)")
        #expect(0 <= box.yMin && box.yMin < box.yMax && box.yMax <= 100, "\(answer.text)")
    }

    @Test(arguments: tokenizers.indices, NormalizedBox.Style.allCases)
    func `whatever the model wants to say, it is a box`(index: Int, style: NormalizedBox.Style) throws {
        let tokenizer = Self.tokenizers[index]
        let constraint = BoxConstraint(try TokenTexts(tokenizer), style: style)
        let needed = try #require(constraint.completion(of: constraint.start))
        var texts: Set<String> = []
        for seed in 1...2 as ClosedRange<UInt64> {
            let model = try smallModel(vocabulary: tokenizer.vocabularySize, seed: seed)
            let prompt = [[Int]](repeating: [1, 5, 6], count: 16)
            for options in [
                GenerationOptions(maximumNewTokens: 32, temperature: 1), GenerationOptions(maximumNewTokens: needed),
                GenerationOptions(maximumNewTokens: needed, temperature: 9),
                GenerationOptions(maximumNewTokens: needed + 2, temperature: 3),
                GenerationOptions(maximumNewTokens: 32, temperature: 9, topP: 0.2),
                GenerationOptions(maximumNewTokens: 32, repetitionPenalty: 3),
            ] {
                let count = options.temperature == nil ? 1 : prompt.count
                for ends in [Set([2]), []] {
                    let answers = try model.generate(
                        prompts(Array(prompt.prefix(count)), model),
                        options: options,
                        endOfSequence: ends,
                        tokenizer: tokenizer,
                        constraints: [(any TokenConstraint)?](repeating: constraint, count: count),
                        seeds: (0..<UInt64(count)).map { seed * 1000 + $0 }
                    )
                    for answer in answers {
                        try expectBox(answer, style)
                        #expect(answer.finish == .endOfSequence)
                        texts.insert(answer.text)
                    }
                }
            }
            for ends in [Set([2]), []] {
                for convention in GenerationOptions.Convention.allCases {
                    let answers = try model.generate(
                        prompts([[1, 5, 6], [1, 7]], model),
                        options: GenerationOptions(maximumNewTokens: 30, beamCount: 3, convention: convention),
                        endOfSequence: ends,
                        tokenizer: tokenizer,
                        constraints: [constraint, constraint]
                    )
                    for answer in answers {
                        try expectBox(answer, style)
                        #expect((answer.score ?? -.infinity) > -.infinity)
                    }
                }
            }
        }
        #expect(texts.count > 20)
    }

    @Test func `every box can be said, and nothing else`() throws {
        let tokenizer = ByteTokenizer()
        for style in NormalizedBox.Style.allCases {
            let constraint = BoxConstraint(try TokenTexts(tokenizer), style: style)
            func isAccepted(_ text: String) throws -> Bool {
                var state: Int? = constraint.start
                for token in try tokenizer.encode(text) {
                    guard let present = state,
                        constraint.allowedTokens(in: present, remaining: .max).contains(token)
                    else { return false }
                    state = constraint.state(after: token, in: present)
                }
                return state.map(constraint.isAccepting) ?? false
            }
            let edges = [0, 1, 9, 10, 42, 99, 100]
            for x0 in edges {
                for x1 in edges {
                    for (y0, y1) in [(0, 100), (99, 100), (7, 7), (8, 7), (10, 9)] {
                        let box = NormalizedBox(xMin: x0, yMin: y0, xMax: x1, yMax: y1)
                        #expect(try isAccepted(box.text(style)) == (x0 < x1 && y0 < y1), "\(box.text(style))")
                    }
                }
            }
            let other: NormalizedBox.Style = style == .paper ? .publishedCode : .paper
            let box = NormalizedBox(xMin: 1, yMin: 2, xMax: 30, yMax: 40)
            for text in [
                box.text(other), " " + box.text(style), box.text(style) + " ", "<01><2><30><40>", "<1><2><101><40>",
                "{<1><2><30><40>", "<1><2><30>", "", "{<1><2><030><40>}", "{<1> <2><30><40>}",
            ] {
                #expect(try !isAccepted(text), "\(text)")
            }
        }
    }

    @Test func `an answer too short for a box is refused`() throws {
        let model = try smallModel()
        let constraint = BoxConstraint(try TokenTexts(ByteTokenizer()))
        let error = #expect(throws: GenerationError.self) {
            try model.generate(
                prompts([[1, 5]], model),
                options: GenerationOptions(maximumNewTokens: 13),
                endOfSequence: [2],
                constraints: [constraint]
            )
        }
        guard case .invalidOption("maximumNewTokens", _, "13") = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        // {<0><0><1><1>}
        #expect(constraint.completion(of: constraint.start) == 14)
    }

    @Test(arguments: [1, 3])
    func `answers are labels, also where one begins another`(beams: Int) throws {
        let tokenizer = ByteTokenizer()
        let labels = ["no", "not sure", "yes", "maybe"]
        let constraint = try LabelConstraint(labels, tokenizer: tokenizer)
        var said: Set<String> = []
        for seed in 1...6 as ClosedRange<UInt64> {
            let model = try smallModel(seed: seed)
            let count = 16
            let answers = try model.generate(
                prompts((0..<count).map { [1, 5 + $0, 6 + 3 * $0] }, model),
                options: GenerationOptions(
                    maximumNewTokens: 8,
                    beamCount: beams,
                    temperature: beams == 1 ? 4 : nil
                ),
                endOfSequence: [2],
                tokenizer: tokenizer,
                // The second half may say anything.
                constraints: (0..<count).map { $0 < count / 2 ? constraint : nil },
                seeds: (0..<UInt64(count)).map { seed * 100 + $0 }
            )
            for answer in answers.prefix(count / 2) {
                #expect(labels.contains(answer.text), "\(answer.text)")
                said.insert(answer.text)
            }
            #expect(answers.dropFirst(count / 2).contains { !labels.contains($0.text) })
        }
        #expect(said.count > 1)
        #expect(beams > 1 || said == Set(labels))
        // Where the longer labels do not fit, the short ones remain.
        let model = try smallModel()
        let short = try model.generate(
            prompts([[Int]](repeating: [1, 9], count: 30), model),
            options: GenerationOptions(maximumNewTokens: 3, temperature: 5),
            endOfSequence: [2],
            tokenizer: tokenizer,
            constraints: [(any TokenConstraint)?](repeating: constraint, count: 30),
            seeds: (0..<30).map { $0 }
        )
        #expect(Set(short.map(\.text)) == ["no", "yes"])
        for wrong in [[], [""]] {
            #expect(throws: GenerationError.self) { try LabelConstraint(wrong, tokenizer: tokenizer) }
        }
    }
}
