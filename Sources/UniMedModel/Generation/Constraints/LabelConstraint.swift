public import UniMedTokenizers

/// One of a closed set of labels, as the tokens that the tokenizer makes of them: a trie.
public final class LabelConstraint: TokenConstraint {
    private struct Node {
        var children: [Int: Int] = [:]
        var isEnd = false
        /// The fewest tokens to an end.
        var needed = 0
    }

    private var nodes = [Node()]

    /// The state before the first token.
    public let start = 0

    /// Makes the constraint.
    ///
    /// - Parameters:
    ///   - labels: The answers there may be, at least one; none is empty.
    ///   - tokenizer: The tokenizer of the model.
    /// - Throws: ``GenerationError`` when a label is empty, there is none, or the tokenizer fails.
    public init(_ labels: [String], tokenizer: any Tokenizer) throws(GenerationError) {
        guard !labels.isEmpty else {
            throw .invalidOption(field: "choices", expected: "at least one label", got: "none")
        }
        for label in labels {
            let tokens = try tokenizing { () throws(TokenizerError) in try tokenizer.encode(label) }
            guard !tokens.isEmpty, !tokens.contains(where: tokenizer.eosIDs.contains) else {
                throw .invalidOption(field: "choices", expected: "labels with a text", got: "one without")
            }
            var node = 0
            for token in tokens {
                if let child = nodes[node].children[token] {
                    node = child
                } else {
                    nodes.append(Node())
                    nodes[node].children[token] = nodes.count - 1
                    node = nodes.count - 1
                }
            }
            nodes[node].isEnd = true
        }
        // Children come after their parents.
        for number in nodes.indices.reversed() {
            let below = nodes[number].children.values.map { nodes[$0].needed + 1 }.min() ?? 0
            nodes[number].needed = nodes[number].isEnd ? 0 : below
        }
    }

    /// Whether the tokens so far are a label.
    public func isAccepting(_ state: Int) -> Bool { nodes[state].isEnd }

    /// The state after one more token.
    public func state(after token: Int, in state: Int) -> Int? { nodes[state].children[token] }

    /// The tokens that may come next.
    public func allowedTokens(in state: Int, remaining: Int) -> [Int] {
        nodes[state].children.filter { remaining > nodes[$0.value].needed }.keys.sorted()
    }

    /// The fewest tokens to a label.
    public func completion(of state: Int) -> Int? { nodes[state].needed }
}
