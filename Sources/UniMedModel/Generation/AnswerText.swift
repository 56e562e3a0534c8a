import UniMedTokenizers

/// The text of an answer while it grows: what will not change any more, and where a stop string ends it.
struct AnswerText {
    private let tokenizer: any Tokenizer
    private let stopStrings: [[UInt8]]
    /// Whether the text is read token by token; otherwise only at the end.
    private let isWatched: Bool
    private var tokens: [Int] = []
    /// Tokens are decoded from here on, so that the cost of a token does not grow with the answer: one token more than is
    /// new, for tokenizers whose first token loses its blank.
    private var windowStart = 0
    /// The tokens whose text is in ``bytes``.
    private var readCount = 0
    /// The text of the tokens that have been read, as UTF-8.
    private var bytes: [UInt8] = []

    /// The text before the first stop string, once there is one.
    private(set) var stopped: String?

    /// Begins a text.
    ///
    /// - Parameter isWatched: Whether ``stable`` is needed while the answer grows; stop strings always are.
    init(_ tokenizer: any Tokenizer, stopStrings: [String], isWatched: Bool = true) {
        self.tokenizer = tokenizer
        self.isWatched = isWatched || !stopStrings.isEmpty
        self.stopStrings = stopStrings.map { Array($0.utf8) }
    }

    /// The text that will not change: without what may become a stop string.
    var stable: String {
        if let stopped { return stopped }
        var held = 0
        for stop in stopStrings {
            for length in stride(from: min(stop.count - 1, bytes.count), to: held, by: -1)
            where bytes.suffix(length).elementsEqual(stop.prefix(length)) {
                held = length
                break
            }
        }
        return String(decoding: bytes.dropLast(held), as: UTF8.self)
    }

    /// Reads one more token.
    mutating func append(_ token: Int) throws(GenerationError) {
        tokens.append(token)
        guard isWatched else { return }
        let before = try text(tokens[windowStart..<readCount])
        let after = try text(tokens[windowStart...])
        // The bytes of a character may still be incomplete.
        guard after.utf8.count > before.utf8.count, after.utf8.starts(with: before.utf8),
            after.unicodeScalars.last != "\u{FFFD}"
        else { return }
        let searched = bytes.count
        bytes += after.utf8.dropFirst(before.utf8.count)
        windowStart = readCount
        readCount = tokens.count
        findStop(from: searched)
    }

    /// The whole answer: its tokens and text, without a stop string and what follows, and whether there was one.
    func finished() throws(GenerationError) -> (tokens: [Int], text: String, isStopped: Bool) {
        if let stopped { return (try tokens(of: stopped), stopped, true) }
        let whole = try text(tokens[...])
        // What was held back as incomplete may hold a stop string.
        guard let end = AnswerText.firstStop(stopStrings, in: Array(whole.utf8), from: 0) else {
            return (tokens, whole, false)
        }
        let text = String(decoding: whole.utf8.prefix(end), as: UTF8.self)
        return (try tokens(of: text), text, true)
    }

    /// The fewest tokens that hold a text with which the answer begins.
    private func tokens(of text: String) throws(GenerationError) -> [Int] {
        var kept = tokens
        while let last = kept.popLast() {
            guard try self.text(kept[...]).utf8.starts(with: text.utf8) else {
                kept.append(last)
                break
            }
        }
        return kept
    }

    private mutating func findStop(from searched: Int) {
        let longest = stopStrings.map(\.count).max() ?? 0
        guard stopped == nil, longest > 0,
            let end = AnswerText.firstStop(stopStrings, in: bytes, from: max(0, searched - longest + 1))
        else { return }
        stopped = String(decoding: bytes[..<end], as: UTF8.self)
    }

    /// Where the first stop string begins.
    private static func firstStop(_ stops: [[UInt8]], in bytes: [UInt8], from start: Int) -> Int? {
        for position in start..<max(start, bytes.count)
        where stops.contains(where: { bytes[position...].starts(with: $0) }) {
            return position
        }
        return nil
    }

    private func text(_ tokens: ArraySlice<Int>) throws(GenerationError) -> String {
        if tokens.isEmpty { return "" }
        return try tokenizing { () throws(TokenizerError) in try tokenizer.decode(Array(tokens)) }
    }
}
