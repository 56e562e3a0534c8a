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

    func beginStep() throws(TorchError) -> Step {
        let length = (lengths.max() ?? 0) + 1
        guard length <= capacity else {
            throw TorchError(
                operation: "KVCache",
                message: "a sequence would exceed the capacity of \(capacity) tokens"
            )
        }
        let columns = try Tensor.arange(0, Double(length), device: device).unsqueeze(0)
        let own = try Tensor(lengths).to(device)
        let mask = try columns.compare(.lessOrEqual, own.unsqueeze(1)).reshape(sequences, 1, 1, length)
        let places = try Tensor.arange(0, Double(sequences), device: device) * Double(capacity) + own
        return Step(places: places, length: length, mask: mask)
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

    /// The first `length` positions: `[sequences, heads, length, headSize]`.
    func read(layer: Int, length: Int) throws(TorchError) -> (key: Tensor, value: Tensor) {
        func view(_ tensor: Tensor) throws(TorchError) -> Tensor {
            try tensor.reshape(sequences, capacity, headCount, headSize).narrow(1, start: 0, length: length).transpose(
                1,
                2
            )
        }
        return (try view(keys[layer]), try view(values[layer]))
    }
}
