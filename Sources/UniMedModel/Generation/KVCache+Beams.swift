import Torch

extension KVCache {
    /// Gives every beam what was read of its prompt, which only the first beam of each holds so far.
    ///
    /// - Parameter count: The beams of a prompt; its rows lie together.
    func spread(to count: Int) throws(TorchError) {
        precondition(lengths.count * count == sequences, "the cache was made for these beams")
        let (prompts, longest) = (lengths, lengths.max() ?? 0)
        if count > 1 {
            for tensor in keys + values {
                let rows = try tensor.reshape(prompts.count, count, capacity, -1).narrow(2, start: 0, length: longest)
                let first = try rows.narrow(1, start: 0, length: 1)
                try rows.narrow(1, start: 1, length: count - 1).copy(from: first)
            }
        }
        lengths = prompts.flatMap { repeatElement($0, count: count) }
        sharedLength = prompts.min() ?? 0
    }

    /// Lets every row go on from another one: row `i` from what was row `parents[i]`, of the same prompt.
    ///
    /// Only what lies behind the prompts is moved, by way of one buffer for all layers.
    func reorder(_ parents: [Int]) throws(TorchError) {
        precondition(parents.count == sequences, "every row has a parent")
        let count = (lengths.max() ?? 0) - sharedLength
        guard count > 0, parents != Array(0..<sequences) else { return }
        lengths = parents.map { lengths[$0] }
        let index = try Tensor(parents).to(device)
        for tensor in keys + values {
            let suffix = try tensor.reshape(sequences, capacity, -1).narrow(1, start: sharedLength, length: count)
            let width = suffix.size(2)
            if spare == nil {
                let size = sequences * (capacity - sharedLength) * width
                spare = try Tensor.empty([size], dtype: tensor.dtype, device: device)
            }
            guard let spare else { preconditionFailure("the buffer was just made") }
            let moved = try spare.narrow(0, start: 0, length: sequences * count * width)
                .reshape(sequences, count, width)
            try suffix.indexSelect(0, index, into: moved)
            try suffix.copy(from: moved)
        }
    }
}
