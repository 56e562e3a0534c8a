/// What an answer may be, as a machine over tokens: in each state some tokens may come next, and in some it may end.
///
/// A constraint keeps what it has found out about its states, so one object serves many answers, on one thread.
public protocol TokenConstraint: AnyObject {
    /// The state before the first token.
    var start: Int { get }

    /// Whether an answer may end in a state.
    func isAccepting(_ state: Int) -> Bool

    /// The state after one more token; `nil` where the token may not come.
    func state(after token: Int, in state: Int) -> Int?

    /// The tokens that may come next and from which an answer can still be completed.
    ///
    /// - Parameters:
    ///   - state: A state that was reached.
    ///   - remaining: How many tokens may still come at most, this one included.
    /// - Returns: Ascending ids; not empty as long as ``completion(of:)`` is positive and at most `remaining`.
    func allowedTokens(in state: Int, remaining: Int) -> [Int]

    /// A number of tokens that is enough to get from a state to one where an answer may end; `nil` where none is.
    func completion(of state: Int) -> Int?
}

extension TokenConstraint {
    /// Whether an answer that has come here can only end.
    func isFinal(_ state: Int) -> Bool {
        isAccepting(state) && allowedTokens(in: state, remaining: .max).isEmpty
    }

    /// Checks that an answer fits a number of tokens.
    func check(maximumNewTokens: Int) throws(GenerationError) {
        guard let needed = completion(of: start) else {
            throw .invalidOption(
                field: "constrained",
                expected: "a vocabulary that can write the constrained answer",
                got: "one that cannot"
            )
        }
        guard needed <= maximumNewTokens else {
            throw .invalidOption(
                field: "maximumNewTokens",
                expected: "at least \(needed) for a constrained answer",
                got: "\(maximumNewTokens)"
            )
        }
    }
}
