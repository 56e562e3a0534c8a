public import UniMedData

/// A box as the model speaks it, `<x0><y0><x1><y1>` with or without braces: integers in 0...100, `x0 < x1` and `y0 < y1`.
///
/// In a volume `<z0><z1>` with `z0 < z1` follow.
///
/// A machine over characters, whatever the tokens are: a coordinate may be one token, or several, or part of one.
public final class BoxConstraint: TokenConstraint {
    private enum Element {
        case character(UInt8)
        /// The edge's number in the box: left, upper, right, lower; in a volume also first and last.
        case number(Int)
    }

    /// Where in the form an answer is, and what of it limits the rest.
    private struct State: Hashable {
        /// The next element; -1 where a blank may still come before the first.
        var position: Int
        /// The digits of the present number so far; -1 for none.
        var value = -1
        /// The left and upper edge, 0 where they are not known or limit nothing any more.
        var left = 0
        var upper = 0
        /// The first slice's, likewise.
        var first = 0
    }

    private struct Transition {
        let token: Int
        let next: Int
    }

    private let elements: [Element]
    /// The tokens whose text has only characters of boxes.
    private let candidates: [(token: Int, text: [UInt8])]
    private var states: [State]
    private var numbers: [State: Int]
    private var transitions: [Int: [Transition]] = [:]
    private var completions: [Int: Int?] = [:]
    private var allowed: [Int: (tokens: [Int], needed: [Int], most: Int)] = [:]

    /// The state before the first token.
    public let start = 0

    /// Makes the constraint for a vocabulary.
    ///
    /// - Parameters:
    ///   - texts: The texts of its tokens.
    ///   - style: With the published code's braces, or without.
    ///   - isVolume: Whether the box is one in a volume, of six numbers.
    public init(_ texts: TokenTexts, style: NormalizedBox.Style = .publishedCode, isVolume: Bool = false) {
        var elements: [Element] = []
        if style == .publishedCode { elements.append(.character(UInt8(ascii: "{"))) }
        for edge in 0..<(isVolume ? 6 : 4) {
            elements += [.character(UInt8(ascii: "<")), .number(edge), .character(UInt8(ascii: ">"))]
        }
        if style == .publishedCode { elements.append(.character(UInt8(ascii: "}"))) }
        self.elements = elements
        let alphabet = Set("{}<>0123456789 ".utf8)
        candidates = texts.texts.enumerated().compactMap { id, text in
            !text.isEmpty && text.allSatisfy(alphabet.contains) ? (token: id, text: text) : nil
        }
        let first = State(position: texts.dropsLeadingBlank ? -1 : 0)
        states = [first]
        numbers = [first: 0]
    }

    /// Whether the box is complete.
    public func isAccepting(_ state: Int) -> Bool { states[state].position == elements.count }

    /// The state after one more token.
    public func state(after token: Int, in state: Int) -> Int? {
        transitions(of: state).first { $0.token == token }?.next
    }

    /// The tokens that may come next.
    public func allowedTokens(in state: Int, remaining: Int) -> [Int] {
        let known: (tokens: [Int], needed: [Int], most: Int)
        if let kept = allowed[state] {
            known = kept
        } else {
            var (tokens, needed) = ([Int](), [Int]())
            for transition in transitions(of: state) {
                guard let rest = completion(of: transition.next) else { continue }
                tokens.append(transition.token)
                needed.append(rest + 1)
            }
            known = (tokens, needed, needed.max() ?? 0)
            allowed[state] = known
        }
        if known.most <= remaining { return known.tokens }
        return zip(known.tokens, known.needed).filter { $1 <= remaining }.map { $0.0 }
    }

    /// The tokens of one way to complete the box, the one that has the fewest characters left after each token.
    public func completion(of state: Int) -> Int? {
        if isAccepting(state) { return 0 }
        if let known = completions[state] { return known }
        // Every token brings characters and no box is endless, so this comes to an end.
        let ways = transitions(of: state).map { (next: $0.next, rest: charactersLeft(states[$0.next])) }
        var result: Int?
        for way in ways.sorted(by: { ($0.rest, $0.next) < ($1.rest, $1.next) }) {
            guard let rest = completion(of: way.next) else { continue }
            result = rest + 1
            break
        }
        completions[state] = .some(result)
        return result
    }

    // MARK: The machine

    private func transitions(of state: Int) -> [Transition] {
        if let known = transitions[state] { return known }
        let from = states[state]
        var result: [Transition] = []
        for (token, text) in candidates {
            var position: State? = from
            for character in text {
                guard let present = position else { break }
                position = step(present, character)
            }
            if let position { result.append(Transition(token: token, next: number(of: position))) }
        }
        transitions[state] = result
        return result
    }

    private func number(of state: State) -> Int {
        if let known = numbers[state] { return known }
        states.append(state)
        numbers[state] = states.count - 1
        return states.count - 1
    }

    /// The state after one more character; `nil` where it may not come.
    private func step(_ state: State, _ character: UInt8) -> State? {
        var next = state
        if next.position == -1 {
            next.position = 0
            if character == UInt8(ascii: " ") { return next }
        }
        guard next.position < elements.count else { return nil }
        switch elements[next.position] {
        case .character(let expected):
            guard character == expected else { return nil }
            next.position += 1
        case .number(let edge):
            let range = range(of: edge, next)
            if character == UInt8(ascii: ">") {
                guard next.value >= 0, range.contains(next.value) else { return nil }
                switch edge {
                case 0: next.left = next.value
                case 1: next.upper = next.value
                case 2: next.left = 0
                case 3: next.upper = 0
                case 4: next.first = next.value
                default: next.first = 0
                }
                next.value = -1
                next.position += 2
            } else {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(character), next.value != 0 else { return nil }
                let value = max(next.value, 0) * 10 + Int(character - UInt8(ascii: "0"))
                guard BoxConstraint.digitsLeft(value, range) != nil else { return nil }
                next.value = value
            }
        }
        return next
    }

    /// The values that an edge may have, so that the box has an area.
    private func range(of edge: Int, _ state: State) -> ClosedRange<Int> {
        switch edge {
        case 0, 1, 4: 0...99
        case 2: (state.left + 1)...100
        case 3: (state.upper + 1)...100
        default: (state.first + 1)...100
        }
    }

    /// How many digits must follow a number's first ones for it to be in a range; `nil` where none do.
    private static func digitsLeft(_ value: Int, _ range: ClosedRange<Int>) -> Int? {
        var (low, high, digits) = (value, value, 0)
        while low <= range.upperBound {
            if high >= range.lowerBound { return digits }
            // A number does not go on after a leading zero.
            if value == 0 { return nil }
            (low, high, digits) = (low * 10, high * 10 + 9, digits + 1)
        }
        return nil
    }

    /// The fewest characters that complete a box; where an edge that is not complete limits a later one, a guess.
    private func charactersLeft(_ state: State) -> Int {
        var count = 0
        for (position, element) in elements.enumerated() where position >= state.position {
            switch element {
            case .character: count += 1
            case .number(let edge):
                let range = range(of: edge, state)
                if position == state.position, state.value >= 0 {
                    count += BoxConstraint.digitsLeft(state.value, range) ?? 3
                } else {
                    count += range.lowerBound < 10 ? 1 : range.lowerBound < 100 ? 2 : 3
                }
            }
        }
        return count
    }
}
