public import UniMedData

/// How the model looks at volumes: which slices, and in how many tokens.
///
/// Each chosen slice goes through the vision transformer and the resampler like an image of its own. Neighbouring slices
/// then share tokens, as many slices as the budget of tokens asks for: see ``SlicePooling``. A volume of which one slice is
/// chosen has the tokens of that slice as an image, bit by bit.
public struct VolumeConfiguration: Codable, Sendable, Equatable {
    /// How the tokens of a slice tell where it lies along the axis.
    public enum PositionCode: String, Codable, Sendable, CaseIterable {
        /// Sines and cosines of the position with a learned strength.
        case sinusoidal
        /// A learned table, read between its entries where a slice lies between them.
        case learned
        /// Nothing tells.
        case none
    }

    /// What a position along the axis is measured in.
    public enum PositionUnit: String, Codable, Sendable, CaseIterable {
        /// The length of the stack.
        case relative
        /// Millimetres from where the stack begins.
        case millimetres
    }

    /// The most slices of a volume that the model looks at.
    ///
    /// Default: 16.
    public var slices: Int
    /// How they are chosen.
    ///
    /// Default: evenly.
    public var choice: SliceSelection.Choice
    /// Whether training draws each slice from its part of the axis instead of taking the middle.
    ///
    /// Default: false.
    public var jitter: Bool
    /// The most tokens of a volume in the language model, a multiple of those of an image; `nil` is as many as an image has.
    public var tokens: Int?
    /// How tokens tell where their slices lie.
    ///
    /// Default: sinusoidal.
    public var position: PositionCode
    /// What positions are measured in.
    ///
    /// Default: the length of the stack.
    public var positionUnit: PositionUnit
    /// The number of parts of a token's width, each of which weighs slices by itself.
    ///
    /// Default: 1.
    public var heads: Int

    enum CodingKeys: String, CodingKey, CaseIterable {
        case slices, choice, jitter, tokens, position, positionUnit, heads
    }

    /// Makes settings.
    public init(
        slices: Int = 16,
        choice: SliceSelection.Choice = .even,
        jitter: Bool = false,
        tokens: Int? = nil,
        position: PositionCode = .sinusoidal,
        positionUnit: PositionUnit = .relative,
        heads: Int = 1
    ) {
        self.slices = slices
        self.choice = choice
        self.jitter = jitter
        self.tokens = tokens
        self.position = position
        self.positionUnit = positionUnit
        self.heads = heads
    }

    /// Reads settings such as `{slices: 16, choice: content, tokens: 64}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        slices = try container.decodePositive(.slices, default: 16)
        choice = try container.decodeIfPresent(SliceSelection.Choice.self, forKey: .choice) ?? .even
        jitter = try container.decodeIfPresent(Bool.self, forKey: .jitter) ?? false
        tokens = container.contains(.tokens) ? try container.decodePositive(.tokens) : nil
        position = try container.decodeIfPresent(PositionCode.self, forKey: .position) ?? .sinusoidal
        positionUnit = try container.decodeIfPresent(PositionUnit.self, forKey: .positionUnit) ?? .relative
        heads = try container.decodePositive(.heads, default: 1)
        if positionUnit == .millimetres {
            try container.require(
                position == .sinusoidal,
                .positionUnit,
                position == .learned
                    ? "contradicts position learned: its table covers the length of the stack, not millimetres"
                    : "contradicts position none: there is nothing to measure"
            )
        }
    }

    /// Writes what ``init(from:)`` reads.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(slices, forKey: .slices)
        try container.encode(choice, forKey: .choice)
        try container.encode(jitter, forKey: .jitter)
        try container.encodeIfPresent(tokens, forKey: .tokens)
        try container.encode(position, forKey: .position)
        try container.encode(positionUnit, forKey: .positionUnit)
        try container.encode(heads, forKey: .heads)
    }

    /// Which slices the model looks at.
    public var selection: SliceSelection { SliceSelection(count: slices, choice: choice) }

    /// The number of slabs, groups of neighbouring slices with the tokens of one image each, of so many chosen slices.
    ///
    /// - Parameters:
    ///   - count: The number of chosen slices.
    ///   - imageTokenCount: The number of tokens of an image.
    public func slabCount(of count: Int, imageTokenCount: Int) -> Int {
        max(1, min(count, (tokens ?? imageTokenCount) / imageTokenCount))
    }

    /// What does not fit a model's sizes, with the setting that is wrong; `nil` when all does.
    func contradiction(imageTokenCount: Int, aggregatedSize: Int) -> (key: CodingKeys, problem: String)? {
        if let tokens, !tokens.isMultiple(of: imageTokenCount) {
            return (
                .tokens,
                "must be a multiple of the \(imageTokenCount) tokens of an image, got \(tokens); "
                    + "the resampler's rate says how many an image has"
            )
        }
        if let tokens, tokens / imageTokenCount > slices {
            let most = slices * imageTokenCount
            return (.tokens, "contradicts slices: \(slices) slices have \(most) tokens at most, got \(tokens)")
        }
        if !aggregatedSize.isMultiple(of: heads) {
            return (.heads, "must divide the width \(aggregatedSize) of an aggregated token, got \(heads)")
        }
        return nil
    }
}
