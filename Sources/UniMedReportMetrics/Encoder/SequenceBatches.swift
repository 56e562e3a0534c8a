/// Which sequences go through a model together.
///
/// Sequences of similar length form a batch, so that little is computed for padding; what comes out for a sequence does
/// not depend on its batch.
public struct SequenceBatches: Sendable {
    /// The places of the sequences of each batch, the longest sequences first.
    public let batches: [[Int]]

    /// Groups sequences.
    ///
    /// - Parameters:
    ///   - lengths: The length of each sequence.
    ///   - tokenLimit: The most tokens in a batch, padding included; a longer sequence is a batch by itself.
    /// - Precondition: The limit is positive.
    public init(lengths: [Int], tokenLimit: Int) {
        precondition(tokenLimit > 0, "a batch has room for tokens")
        var batches: [[Int]] = []
        var current: [Int] = []
        var longest = 0
        for index in lengths.indices.sorted(by: { (lengths[$1], $0) < (lengths[$0], $1) }) {
            if !current.isEmpty, (current.count + 1) * longest > tokenLimit {
                batches.append(current)
                current = []
            }
            if current.isEmpty { longest = lengths[index] }
            current.append(index)
        }
        if !current.isEmpty { batches.append(current) }
        self.batches = batches
    }
}
