/// Which of a volume's slices the model looks at.
///
/// The axis is divided into as many parts as there are slices to choose, and from each part one slice is taken: the
/// middle one, or in training with jitter one drawn evenly from the part. `even` makes parts of equal length. `content`
/// makes parts of equal weight, where a slice's weight is a quarter its share of the axis, three eighths its share of the
/// gradients in all slices, and three eighths its share of the differences between neighbours: where much is to be seen and
/// where it changes slices are chosen densely, and nowhere none. Both are deterministic, ascending and without repetition.
public struct SliceSelection: Sendable, Equatable {
    /// How slices are chosen.
    public enum Choice: String, Codable, Sendable, CaseIterable {
        /// At equal distances along the axis.
        case even
        /// Densely where much is to be seen.
        case content
    }

    /// The most slices that are chosen; a volume with fewer is looked at completely.
    public var count: Int
    /// How they are chosen.
    public var choice: Choice

    /// Makes a selection.
    ///
    /// - Precondition: `count` is positive.
    public init(count: Int, choice: Choice = .even) {
        precondition(count > 0, "at least one slice is chosen")
        self.count = count
        self.choice = choice
    }

    /// The chosen slices, ascending.
    ///
    /// - Parameters:
    ///   - weights: The weight of each slice of the volume, positive; see ``SliceWeights``. With the choice `even` only their
    ///     number counts.
    ///   - generator: Draws the place in each part; `nil` takes the middle.
    /// - Precondition: There is a slice.
    public func slices(weights: [Double], generator: inout SeededGenerator?) -> [Int] {
        let total = weights.count
        precondition(total > 0, "a volume has slices")
        let count = min(count, total)
        if count == total { return Array(0..<total) }
        let weights = choice == .even ? [Double](repeating: 1, count: total) : weights
        let sum = weights.reduce(0, +)
        var chosen: [Int] = []
        var slice = 0
        var passed = 0.0
        for part in 0..<count {
            let place = generator?.uniform() ?? 0.5
            let target = (Double(part) + place) / Double(count) * sum
            while slice < total - 1, passed + weights[slice] <= target {
                passed += weights[slice]
                slice += 1
            }
            // A slice that is heavier than a part is taken once; its neighbours follow, and at the end precede.
            chosen.append(max(slice, (chosen.last ?? -1) + 1))
        }
        for part in chosen.indices.reversed() { chosen[part] = min(chosen[part], total - count + part) }
        return chosen
    }

    /// The slices in the middle of their parts, ascending.
    public func slices(weights: [Double]) -> [Int] {
        var none: SeededGenerator?
        return slices(weights: weights, generator: &none)
    }
}

/// How much is to be seen in each slice of a volume, for ``SliceSelection/Choice/content``.
///
/// Slices are compared in grey at 16 by 16 values, so that noise counts little.
public struct SliceWeights: Sendable {
    /// The part of the weight that every slice has alike.
    private static let floor = 0.25
    private static let side = 16

    private var previous: [Float] = []
    private var gradients: [Double] = []
    private var changes: [Double] = []

    /// Begins before the first slice.
    public init() {}

    /// Adds the next slice of the stack.
    ///
    /// - Parameters:
    ///   - pixels: `[size, size, 3]`, 8-bit RGB.
    ///   - size: The width and height, in pixels.
    /// - Precondition: `pixels` holds `size * size * 3` bytes.
    public mutating func add(_ pixels: UnsafeRawBufferPointer, size: Int) {
        let side = Self.side
        let values = GreyThumbnail(pixels: pixels, size: size, side: side).values
        var gradient: Float = 0
        for y in 0..<side {
            for x in 0..<side {
                let value = values[y * side + x]
                if x + 1 < side { gradient += abs(values[y * side + x + 1] - value) }
                if y + 1 < side { gradient += abs(values[(y + 1) * side + x] - value) }
            }
        }
        gradients.append(Double(gradient))
        changes.append(previous.isEmpty ? 0 : zip(values, previous).reduce(0) { $0 + Double(abs($1.0 - $1.1)) })
        previous = values
    }

    /// The weights, which sum to 1.
    public var values: [Double] {
        let count = Double(max(1, gradients.count))
        // The change between two slices is half the one's and half the other's.
        let halves = changes.indices.map { slice in
            (changes[slice] + (slice + 1 < changes.count ? changes[slice + 1] : 0)) / 2
        }
        let (energy, change) = (gradients.reduce(0, +), halves.reduce(0, +))
        return gradients.indices.map { slice in
            let seen = energy > 0 ? gradients[slice] / energy : 1 / count
            let changed = change > 0 ? halves[slice] / change : 1 / count
            return Self.floor / count + (1 - Self.floor) * (seen + changed) / 2
        }
    }
}

/// Where a chosen slice lies along the axis of its volume.
public struct SlicePosition: Sendable, Equatable, Hashable {
    /// The slice's centre as a share of the stack's length, in `0...1`.
    public var relative: Double
    /// The distance of the slice's centre from where the first slice begins, in millimetres.
    ///
    /// Where a volume does not say how far apart its slices are, a slice is taken for one millimetre.
    public var millimetres: Double

    /// Makes a position.
    public init(relative: Double, millimetres: Double) {
        self.relative = relative
        self.millimetres = millimetres
    }

    /// The position of a slice in a volume.
    public init(slice: Int, of volume: VolumeReference) {
        let centre = Double(slice) + 0.5
        self.init(
            relative: centre / Double(max(1, volume.slices)),
            millimetres: centre * (volume.spacing ?? 1)
        )
    }
}

extension ImageShards {
    /// The weights of a volume's slices for a selection: of their pictures where it is by content, otherwise equal.
    ///
    /// - Parameter positions: The positions of all slices, in order.
    public func sliceWeights(at positions: [Int], for selection: SliceSelection) -> [Double] {
        guard selection.choice == .content, positions.count > selection.count else {
            return [Double](repeating: 1, count: positions.count)
        }
        var weights = SliceWeights()
        for position in positions { withPixels(at: position) { weights.add($0, size: size) } }
        return weights.values
    }
}
