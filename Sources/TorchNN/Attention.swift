public import Torch

/// How the tokens of a batch lie in memory: sequence after sequence, without padding.
///
/// All layers but attention see one long row of tokens `[tokens, width]`. Attention looks at each sequence by itself:
/// where the sequences differ in length, they are laid out as `[sequences, longest, …]` for the products and taken back
/// afterwards.
///
/// Kernels that are compiled for a shape (the CPU's bfloat16 products) are compiled anew for every new one. A layout can
/// therefore round its sizes up: filler tokens, which belong to no sequence, stand at the end of the row.
public final class SequenceLayout {
    /// The length of each sequence.
    public let lengths: [Int]
    /// The number of tokens in the row, filler included.
    public let tokenCount: Int
    /// The places of a sequence in attention: the longest length, rounded up.
    public let longest: Int
    /// The position of each token in its sequence, 0 for filler: `[tokens]` (int64).
    public let positions: Tensor
    /// Where the last token of each sequence is in the row of all tokens.
    public let lastTokens: [Int]
    /// Whether tokens must be moved to their places in `[sequences, longest]`.
    let isPadded: Bool
    /// Tokens to these places, made when it is first needed: the CPU's kernel moves nothing.
    private var padding: RowPlacement?
    /// By window.
    private var causalBiases: [Int: Tensor] = [:]

    /// Makes the layout of sequences with these lengths.
    ///
    /// - Parameters:
    ///   - tokenMultiple: What the number of tokens is rounded up to a multiple of; 1 rounds nothing.
    ///   - placeMultiple: What the places of a sequence in attention are rounded up to a multiple of.
    /// - Precondition: There is a sequence, and none is empty.
    public init(
        lengths: [Int],
        tokenMultiple: Int = 1,
        placeMultiple: Int = 1,
        device: Device = .cpu
    ) throws(TorchError) {
        precondition(!lengths.isEmpty && lengths.allSatisfy { $0 > 0 }, "a layout needs sequences with tokens")
        precondition(tokenMultiple > 0 && placeMultiple > 0, "sizes are rounded to multiples of a positive number")
        self.lengths = lengths
        let real = lengths.reduce(0, +)
        let count = (real + tokenMultiple - 1) / tokenMultiple * tokenMultiple
        let longest = ((lengths.max() ?? 0) + placeMultiple - 1) / placeMultiple * placeMultiple
        self.longest = longest
        tokenCount = count
        var positions: [Int] = []
        positions.reserveCapacity(count)
        var ends: [Int] = []
        for length in lengths {
            positions.append(contentsOf: 0..<length)
            ends.append(positions.count - 1)
        }
        positions.append(contentsOf: repeatElement(0, count: count - real))
        lastTokens = ends
        self.positions = try Tensor(positions).to(device)
        isPadded = count != lengths.count * longest || lengths.contains { $0 != longest }
    }

    /// Tokens to their places; `nil` where they stand there already.
    private func placement() throws(TorchError) -> RowPlacement? {
        guard isPadded else { return nil }
        if let padding { return padding }
        var rows = [Int](repeating: -1, count: lengths.count * longest)
        var token = 0
        for (row, length) in lengths.enumerated() {
            for column in 0..<length {
                rows[row * longest + column] = token
                token += 1
            }
        }
        let made = try RowPlacement(rows, sourceCount: tokenCount, device: positions.device)
        padding = made
        return made
    }

    /// Lays tokens `[tokens, …]` out as `[sequences, longest, …]`, with zeros where there is none.
    public func pad(_ x: Tensor) throws(TorchError) -> Tensor {
        let shape = [lengths.count, longest] + x.shape.dropFirst()
        return try (placement()?(x) ?? x).reshape(shape)
    }

    /// Takes tokens back from `[sequences, longest, …]` to `[tokens, …]`, with zeros for filler.
    public func unpad(_ x: Tensor) throws(TorchError) -> Tensor {
        let flat = try x.reshape([lengths.count * longest] + x.shape.dropFirst(2))
        return try placement()?.inverted(flat) ?? flat
    }

    /// What a causal model adds to its scores, 0 or minus infinity: `[longest, longest]`.
    ///
    /// Padding stands behind the tokens of its sequence, so the causal mask hides it as well.
    ///
    /// - Parameter window: How many tokens a token sees, itself included; `nil` is all before it.
    func causalMask(window: Int?, dtype: DType, device: Device) throws(TorchError) -> Tensor {
        let window = min(window ?? longest, longest)
        if let bias = causalBiases[window], bias.dtype == dtype, bias.device == device { return bias }
        let index = try Tensor.arange(0, Double(longest), device: device)
        let (key, query) = (try index.unsqueeze(0), try index.unsqueeze(1))
        let visible = try key.compare(.lessOrEqual, query).and(key.compare(.greater, query - Double(window)))
        let bias = try Tensor.zeros([longest, longest], dtype: dtype, device: device)
            .maskedFill(visible.not(), -.infinity)
        causalBiases[window] = bias
        return bias
    }
}

/// Scaled-dot-product attention: the one place where the way of computing it is chosen.
public enum Attention {
    /// Up to this length the CPU takes a kernel of our own, which is faster than LibTorch's for short sequences and their
    /// gradients.
    static let longestShortSequence = 640

    /// Attention of every sequence of a layout to itself.
    ///
    /// - Parameters:
    ///   - query: `[tokens, heads, headSize]`.
    ///   - key: `[tokens, keyHeads, headSize]`, with `keyHeads` a divisor of `heads`.
    ///   - value: `[tokens, keyHeads, headSize]`.
    ///   - causal: Whether a token sees only itself and those before it.
    ///   - window: With `causal`, how many tokens a token sees, itself included: token `i` sees `i - window < j <= i`.
    ///     Default: all before it.
    /// - Returns: `[tokens, heads * headSize]`.
    public static func withinSequences(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        layout: SequenceLayout,
        causal: Bool,
        window: Int? = nil
    ) throws(TorchError) -> Tensor {
        guard !layout.isPadded, !hasKernel(for: query, layout: layout) else {
            return try withinSequences(
                fused: Tensor.cat([query, key, value], dimension: 1),
                headCount: query.size(1),
                keyHeadCount: key.size(1),
                layout: layout,
                causal: causal,
                window: window
            )
        }
        return try withinSequences(
            laidOut: [query, key, value].map { part throws(TorchError) in try layout.pad(part).transpose(1, 2) },
            layout: layout,
            causal: causal,
            window: window
        )
    }

    /// Attention of every sequence of a layout to itself, of queries, keys and values that lie side by side.
    ///
    /// - Parameters:
    ///   - fused: `[tokens, headCount + 2 · keyHeadCount, headSize]`: queries, then keys, then values.
    ///   - causal: Whether a token sees only itself and those before it.
    ///   - window: As in the form with separate parts.
    /// - Returns: `[tokens, headCount * headSize]`.
    public static func withinSequences(
        fused: Tensor,
        headCount: Int,
        keyHeadCount: Int,
        layout: SequenceLayout,
        causal: Bool,
        window: Int? = nil
    ) throws(TorchError) -> Tensor {
        precondition(window == nil || causal, "a window belongs to causal attention")
        precondition(window.map { $0 > 0 } ?? true, "a token sees at least itself")
        if hasKernel(for: fused, layout: layout) {
            return try fused.selfAttention(
                lengths: layout.lengths,
                headCount: headCount,
                keyHeadCount: keyHeadCount,
                scale: scale(headSize: fused.size(2)),
                causal: causal,
                window: window
            )
        }
        // What has to be moved is moved at once.
        return try withinSequences(
            laidOut: layout.pad(fused).transpose(1, 2).split([headCount, keyHeadCount, keyHeadCount], dimension: 1),
            layout: layout,
            causal: causal,
            window: window
        )
    }

    private static func hasKernel(for x: Tensor, layout: SequenceLayout) -> Bool {
        x.device.isCPU && (x.dtype == .float32 || x.dtype == .bfloat16) && layout.longest <= longestShortSequence
    }

    private static func scale(headSize: Int) -> Double { 1 / Double(headSize).squareRoot() }

    /// Attention of queries, keys and values `[B, H, L, D]` by LibTorch's kernels.
    private static func withinSequences(
        laidOut parts: [Tensor],
        layout: SequenceLayout,
        causal: Bool,
        window: Int?
    ) throws(TorchError) -> Tensor {
        let (q, k, v) = (parts[0], parts[1], parts[2])
        let (heads, headSize) = (q.size(1), q.size(3))
        // A window that no sequence reaches changes nothing, and the kernel needs no mask.
        let isWindowed = window.map { $0 < layout.longest } ?? false
        let mask: Tensor?
        if isWindowed {
            mask = try layout.causalMask(window: window, dtype: q.dtype, device: q.device)
        } else {
            // Without a causal mask, padding would be seen.
            mask = !causal && layout.isPadded ? try keyMask(layout, device: q.device) : nil
        }
        let attended = try q.attention(
            key: k,
            value: v,
            mask: mask,
            causal: causal && !isWindowed,
            scale: scale(headSize: headSize),
            grouped: k.size(1) != heads
        )
        return try layout.unpad(attended.transpose(1, 2)).reshape(layout.tokenCount, heads * headSize)
    }

    /// Attention of one new token per sequence to the keys kept so far.
    ///
    /// - Parameters:
    ///   - query: `[sequences, heads, 1, headSize]`.
    ///   - key: `[sequences, keyHeads, length, headSize]`.
    ///   - value: As `key`.
    ///   - mask: `[sequences, 1, 1, length]` (bool): which keys belong to the sequence.
    /// - Returns: `[sequences, heads * headSize]`.
    public static func toCache(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) throws(TorchError) -> Tensor {
        let (sequences, heads, headSize) = (query.size(0), query.size(1), query.size(3))
        let attended = try query.attention(
            key: key,
            value: value,
            mask: mask,
            scale: scale(headSize: headSize),
            grouped: key.size(1) != heads
        )
        return try attended.transpose(1, 2).reshape(sequences, heads * headSize)
    }

    /// What keeps padding out of the scores of attention without a causal mask, 0 or minus infinity:
    /// `[sequences * heads, 1, longest]`; `nil` where there is no padding.
    private static func keyMask(_ layout: SequenceLayout, device: Device) throws(TorchError) -> Tensor {
        let columns = try Tensor.arange(0, Double(layout.longest), device: device).unsqueeze(0)
        let lengths = try Tensor(layout.lengths).to(device).unsqueeze(1)
        return try columns.compare(.less, lengths).reshape(layout.lengths.count, 1, 1, layout.longest)
    }
}
