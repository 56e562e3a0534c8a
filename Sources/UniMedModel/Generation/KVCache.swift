import Torch
import TorchNN

/// The keys and values of sequences that are being continued, in memory set aside once.
public final class KVCache {
    /// Where the tokens of one step are written and what they may see.
    struct Step {
        /// Rows of the flattened cache, one per sequence (int64).
        let places: Tensor
        /// The longest sequence, the new token included.
        let length: Int
        /// `[sequences, 1, 1, length]` (bool).
        let mask: Tensor
        /// What layers with a sliding window see; `nil` while that is all.
        let window: Window?

        /// The part of the cache that some sequence's window reaches.
        struct Window {
            /// The first position of it.
            let start: Int
            /// `[sequences, 1, 1, length - start]` (bool).
            let mask: Tensor
        }
    }

    /// The number of tokens kept of each sequence.
    public internal(set) var lengths: [Int]
    /// The most tokens a sequence may have.
    public let capacity: Int
    let sequences: Int
    private let headCount: Int
    private let headSize: Int
    /// Per layer `[sequences * capacity, heads, headSize]`.
    let keys: [Tensor]
    let values: [Tensor]
    let device: Device
    /// Room for moving rows, made when it is first needed.
    var spare: Tensor?
    /// The positions that all beams of a prompt share and no reordering has to move.
    var sharedLength = 0

    init(
        layerCount: Int,
        sequences: Int,
        capacity: Int,
        headCount: Int,
        headSize: Int,
        dtype: DType,
        device: Device
    ) throws(TorchError) {
        self.sequences = sequences
        self.capacity = capacity
        self.headCount = headCount
        self.headSize = headSize
        self.device = device
        lengths = [Int](repeating: 0, count: sequences)
        var keys: [Tensor] = []
        var values: [Tensor] = []
        for _ in 0..<layerCount {
            // Zeros: memory that was never written may hold NaN, which a mask does not silence.
            keys.append(try Tensor.zeros([sequences * capacity, headCount, headSize], dtype: dtype, device: device))
            values.append(try Tensor.zeros([sequences * capacity, headCount, headSize], dtype: dtype, device: device))
        }
        self.keys = keys
        self.values = values
    }

    /// The rows of the tokens of a layout that starts every sequence, or the first beam of each: `[tokens]` (int64).
    func places(of layout: SequenceLayout) throws(TorchError) -> Tensor {
        precondition(
            sequences.isMultiple(of: layout.lengths.count) && layout.longest <= capacity,
            "the cache was made for this batch"
        )
        var rows: [Int] = []
        rows.reserveCapacity(layout.tokenCount)
        let stride = sequences / layout.lengths.count * capacity
        for (sequence, length) in layout.lengths.enumerated() {
            rows.append(contentsOf: (sequence * stride)..<(sequence * stride + length))
        }
        return try Tensor(rows).to(device)
    }

    /// Begins a step of one token per sequence.
    ///
    /// - Parameter window: How many tokens a token sees in layers with a sliding window, itself included.
    func beginStep(window: Int? = nil) throws(TorchError) -> Step {
        let length = (lengths.max() ?? 0) + 1
        guard length <= capacity else {
            throw TorchError(
                operation: "KVCache",
                message: "a sequence would exceed the capacity of \(capacity) tokens"
            )
        }
        let columns = try Tensor.arange(0, Double(length), device: device).unsqueeze(0)
        let own = try Tensor(lengths).to(device)
        let past = try columns.compare(.lessOrEqual, own.unsqueeze(1))
        let mask = try past.reshape(sequences, 1, 1, length)
        var windowed: Step.Window?
        if let window, window < length {
            // Token i sees i - window < j <= i; nothing before the shortest sequence's window is needed.
            let start = max((lengths.min() ?? 0) + 1 - window, 0)
            let near = try past.and(columns.compare(.greater, (own - Double(window)).unsqueeze(1)))
                .narrow(1, start: start, length: length - start)
            windowed = Step.Window(start: start, mask: try near.reshape(sequences, 1, 1, length - start))
        }
        let places = try Tensor.arange(0, Double(sequences), device: device) * Double(capacity) + own
        return Step(places: places, length: length, mask: mask, window: windowed)
    }

    func endStep() {
        for index in lengths.indices { lengths[index] += 1 }
    }

    /// Writes keys and values of the tokens that have places; filler behind them is left out.
    func write(layer: Int, at places: Tensor, key: Tensor, value: Tensor) throws(TorchError) {
        let count = places.size(0)
        let isFilled = key.size(0) > count
        try keys[layer].indexCopy(0, places, isFilled ? key.narrow(0, start: 0, length: count) : key)
        try values[layer].indexCopy(0, places, isFilled ? value.narrow(0, start: 0, length: count) : value)
    }

    /// The positions `start..<length`: `[sequences, heads, length - start, headSize]`.
    func read(layer: Int, start: Int = 0, length: Int) throws(TorchError) -> (key: Tensor, value: Tensor) {
        func view(_ tensor: Tensor) throws(TorchError) -> Tensor {
            try tensor.reshape(sequences, capacity, headCount, headSize)
                .narrow(1, start: start, length: length - start).transpose(1, 2)
        }
        return (try view(keys[layer]), try view(values[layer]))
    }
}
