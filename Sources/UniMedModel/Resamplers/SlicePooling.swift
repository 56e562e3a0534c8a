import Foundation
public import Torch
public import TorchNN
import UniMedData

// Volumes: the slices of a volume are images; neighbouring ones are pooled into slabs.
//
// P pictures (images and slices), M tokens of each, Da width of an aggregated token, H heads, K slabs, L slices of a slab.

/// Pools the tokens of neighbouring slices: a slab of slices has as many tokens as one image.
///
/// The chosen slices of a volume are divided, in order, into as many slabs as the budget of tokens holds images. To each
/// token of a slice comes the code of the slice's position along the axis; then each place in the plane is pooled over the
/// slices of its slab by attention, `y = Σ_s softmax_s(q · x_s / √d) x_s`, head by head, with a learned query `q` that is 0 at
/// first: the mean. What the connector and the language model see of a slab is one image. Not part of Uni-Med, which
/// looks at single slices (its first limitation).
public final class SlicePooling: Module {
    /// The settings.
    public let configuration: VolumeConfiguration
    /// What slices are weighed by: `[H, Da/H]`.
    public let query: Parameter
    /// The strength of a sinusoidal code: `[1]`.
    public let positionGain: Parameter?
    /// A learned code: `[entries, Da]`.
    public let positionTable: Parameter?
    private let size: Int

    /// The number of entries of a learned code, evenly from one end of the stack to the other.
    public static let tableSize = 33
    private static let initialGain = 0.5
    /// The lengths of the slowest and the fastest wave, as shares of the stack and in millimetres.
    private static let relativeWaves = (slowest: 2.0, fastest: 1.0 / 64)
    private static let millimetreWaves = (slowest: 1024.0, fastest: 2.0)

    /// Makes the pooling of tokens of width `size`.
    ///
    /// - Throws: ``TorchError`` when the heads do not divide the width.
    public init(
        _ configuration: VolumeConfiguration,
        size: Int,
        builder: WeightBuilder = WeightBuilder()
    ) throws(TorchError) {
        guard size.isMultiple(of: configuration.heads) else {
            throw TorchError(
                operation: "SlicePooling",
                message: "\(configuration.heads) heads do not divide tokens of width \(size)"
            )
        }
        self.configuration = configuration
        self.size = size
        query = try builder.constant([configuration.heads, size / configuration.heads], 0)
        switch configuration.position {
        case .sinusoidal: (positionGain, positionTable) = (try builder.constant([1], Self.initialGain), nil)
        case .learned:
            (positionGain, positionTable) = (nil, try builder.normal([Self.tableSize, size], deviation: 0.02))
        case .none: (positionGain, positionTable) = (nil, nil)
        }
    }

    /// `query`, and `position_gain` or `position_table`.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = [.parameter("query", query)]
        if let positionGain { members.append(.parameter("position_gain", positionGain)) }
        if let positionTable { members.append(.parameter("position_table", positionTable)) }
        return members
    }

    /// Pools the slices of a batch's volumes.
    ///
    /// - Parameters:
    ///   - tokens: `[P, M, Da]`.
    ///   - stacks: Which pictures are images and which are slices.
    /// - Returns: `[images and slabs, M, Da]` in the order of the prompts, and zeros that round up. Images, and slices that
    ///   are all that is chosen of a volume, are as they were.
    func callAsFunction(_ tokens: Tensor, _ stacks: SliceStacks) throws(TorchError) -> Tensor {
        var parts = [try pooled(tokens, stacks)]
        if !stacks.singles.isEmpty { parts.append(try tokens.indexSelect(0, Tensor(stacks.singles).to(tokens.device))) }
        if stacks.filler > 0 {
            let shape = [stacks.filler, tokens.size(1), tokens.size(2)]
            parts.append(try Tensor.zeros(shape, dtype: tokens.dtype, device: tokens.device))
        }
        return try Tensor.cat(parts).indexSelect(0, Tensor(stacks.order).to(tokens.device))
    }

    /// `[K, M, Da]`.
    private func pooled(_ tokens: Tensor, _ stacks: SliceStacks) throws(TorchError) -> Tensor {
        let (count, width) = (tokens.size(1), tokens.size(2))
        guard width == size else {
            throw TorchError(
                operation: "SlicePooling",
                operands: [tokens.summary],
                message: "expected tokens of width \(size)"
            )
        }
        let slabs = stacks.slabs
        let longest = slabs.map(\.count).max() ?? 0
        // Slabs of fewer slices are filled with their first, which then weighs nothing.
        let slices = slabs.flatMap { slab in (0..<longest).map { slab[$0 < slab.count ? $0 : 0] } }
        let mask = slabs.flatMap { slab in (0..<longest).map { $0 < slab.count ? Float(0) : -Float.infinity } }
        var picked = try tokens.indexSelect(0, Tensor(slices.map(\.picture)).to(tokens.device))
        if let code = try code(slices.map(\.position), device: tokens.device) {
            picked = try picked + code.to(tokens.dtype).unsqueeze(1)
        }
        let heads = configuration.heads
        // [K, L, M, H, Da/H]
        let split = try picked.reshape(slabs.count, longest, count, heads, width / heads)
        let scale = 1 / Double(width / heads).squareRoot()
        let scores = try (split * query.cast(to: tokens.dtype)).sum(4).to(.float32) * scale
        let masked = try scores + Tensor(mask, shape: [slabs.count, longest, 1, 1]).to(tokens.device)
        let weights = try masked.softmax(1).to(tokens.dtype).unsqueeze(4)
        return try (split * weights).sum(1).reshape(slabs.count, count, width)
    }

    /// The codes of positions along the axis: `[positions, Da]` in float32; `nil` without a code.
    private func code(_ positions: [SlicePosition], device: Device) throws(TorchError) -> Tensor? {
        if let positionGain {
            let isRelative = configuration.positionUnit == .relative
            let waves = isRelative ? Self.relativeWaves : Self.millimetreWaves
            let pairs = (size + 1) / 2
            let frequencies = (0..<pairs).map { pair -> Float in
                let share = pairs > 1 ? Double(pair) / Double(pairs - 1) : 0
                return Float(2 * Double.pi / (waves.slowest * Foundation.pow(waves.fastest / waves.slowest, share)))
            }
            let places = positions.map { Float(isRelative ? $0.relative : $0.millimetres) }
            let angles = try Tensor(places, shape: [places.count, 1]) * Tensor(frequencies, shape: [1, pairs])
            let waved = try Tensor.cat([angles.sin(), angles.cos()], dimension: 1).narrow(1, start: 0, length: size)
            return try waved.to(device) * positionGain.cast(to: .float32)
        }
        guard let positionTable else { return nil }
        var shares = [Float](repeating: 0, count: positions.count * Self.tableSize)
        for (row, position) in positions.enumerated() {
            let place = min(max(position.relative, 0), 1) * Double(Self.tableSize - 1)
            let entry = min(Int(place), Self.tableSize - 2)
            shares[row * Self.tableSize + entry] = Float(1 - (place - Double(entry)))
            shares[row * Self.tableSize + entry + 1] = Float(place - Double(entry))
        }
        return try Tensor(shares, shape: [positions.count, Self.tableSize]).to(device)
            .matmul(positionTable.cast(to: .float32))
    }
}

/// Which pictures of a batch are images, and which are slices of which slab of a volume.
struct SliceStacks {
    /// A slice of a slab.
    struct Slice {
        /// Its row among the batch's pictures.
        let picture: Int
        /// Where it lies along the axis.
        let position: SlicePosition
    }

    /// The pictures that stay as they are: images, and slices that are all that is chosen of a volume.
    private(set) var singles: [Int] = []
    /// The slices of each slab, in order.
    private(set) var slabs: [[Slice]] = []
    /// For each image or slab, in the order of the prompts, its row in slabs, singles and filler one after the other.
    private(set) var order: [Int] = []
    /// The number of slabs of each prompt with an image; 1 for an image.
    private(set) var slabCounts: [Int] = []
    /// The rows of zeros at the end.
    let filler: Int

    /// The number of images and slabs, without filler.
    var count: Int { slabCounts.reduce(0, +) }

    /// Lays out the pictures of prompts with an image; `nil` when there is no volume of more than one slice.
    ///
    /// - Parameters:
    ///   - prompts: For each prompt with an image the positions of its slices, none for an image, and its number of slabs.
    ///   - multiple: What the number of images and slabs is rounded up to.
    init?(_ prompts: [(slices: [SlicePosition], slabs: Int)], multiple: Int) {
        guard prompts.contains(where: { $0.slices.count > 1 }) else { return nil }
        let total = prompts.reduce(0) { $0 + $1.slabs }
        filler = (multiple - total % multiple) % multiple
        let slabTotal = prompts.reduce(0) { $0 + ($1.slices.count > 1 ? $1.slabs : 0) }
        var picture = 0
        for prompt in prompts {
            slabCounts.append(prompt.slabs)
            let count = prompt.slices.count
            guard count > 1 else {
                order.append(slabTotal + singles.count)
                singles.append(picture)
                picture += 1
                continue
            }
            for slab in 0..<prompt.slabs {
                order.append(slabs.count)
                let members = slab * count / prompt.slabs..<(slab + 1) * count / prompt.slabs
                slabs.append(members.map { Slice(picture: picture + $0, position: prompt.slices[$0]) })
            }
            picture += count
        }
        order += slabTotal + singles.count..<slabTotal + singles.count + filler
    }
}
