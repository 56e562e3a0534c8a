public import Torch
public import TorchNN

// The vision transformer (Dosovitskiy et al. 2021), the "visual encoder" of Uni-Med figure 3. Its families differ in
// biases, activation and norms; what each has stands in a file of its own (`VisionArchitecture`).
//
// B batch, N patches, D width, H heads, d head width. All blocks are pre-norm.

/// The family and sizes of a ``VisionTransformer``; the defaults are EVA-CLIP ViT-G/14 as the published code uses it.
public struct VisionConfiguration: Codable, Sendable, Equatable {
    /// Whose transformer it is.
    ///
    /// Default: EVA-CLIP's. The other defaults are those of the family.
    public var family: VisionFamily
    /// The side of the input image, in pixels.
    ///
    /// Default: 224.
    public var imageSize: Int
    /// The side of a patch, in pixels.
    ///
    /// Default: 14; BiomedCLIP's 16.
    public var patchSize: Int
    /// `Dv`.
    ///
    /// Default: 1408; CLIP's 1024, BiomedCLIP's 768.
    public var hiddenSize: Int
    /// The number of blocks.
    ///
    /// Default: 39, as the published code uses of EVA-CLIP's 40; 23 of CLIP's 24, the penultimate layer; BiomedCLIP's 12.
    public var layerCount: Int
    /// The number of attention heads.
    ///
    /// Default: 16; BiomedCLIP's 12.
    public var headCount: Int
    /// The width of a block's MLP as a multiple of `hiddenSize`, rounded down.
    ///
    /// Default: 4.3637; 4 of the others.
    public var mlpRatio: Double

    enum CodingKeys: String, CodingKey, CaseIterable {
        case family, imageSize, patchSize, hiddenSize, layerCount, headCount, mlpRatio
    }

    /// Makes a configuration; what is not given is as the family has published it.
    public init(
        family: VisionFamily = .evaCLIP,
        imageSize: Int? = nil,
        patchSize: Int? = nil,
        hiddenSize: Int? = nil,
        layerCount: Int? = nil,
        headCount: Int? = nil,
        mlpRatio: Double? = nil
    ) {
        self.family = family
        self.imageSize = imageSize ?? family.published.imageSize
        self.patchSize = patchSize ?? family.published.patchSize
        self.hiddenSize = hiddenSize ?? family.published.hiddenSize
        self.layerCount = layerCount ?? family.published.layerCount
        self.headCount = headCount ?? family.published.headCount
        self.mlpRatio = mlpRatio ?? family.published.mlpRatio
    }

    /// Reads a configuration; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        family = try container.decodeIfPresent(VisionFamily.self, forKey: .family) ?? .evaCLIP
        let defaults = family.published
        imageSize = try container.decodePositive(.imageSize, default: defaults.imageSize)
        patchSize = try container.decodePositive(.patchSize, default: defaults.patchSize)
        hiddenSize = try container.decodePositive(.hiddenSize, default: defaults.hiddenSize)
        layerCount = try container.decodePositive(.layerCount, default: defaults.layerCount)
        headCount = try container.decodePositive(.headCount, default: defaults.headCount)
        mlpRatio = try container.decodeIfPresent(Double.self, forKey: .mlpRatio) ?? defaults.mlpRatio
        try container.require(
            imageSize.isMultiple(of: patchSize),
            .patchSize,
            "\(patchSize) does not divide imageSize \(imageSize)"
        )
        try container.require(
            hiddenSize.isMultiple(of: headCount),
            .headCount,
            "\(headCount) does not divide hiddenSize \(hiddenSize)"
        )
        try container.require(mlpRatio > 0, .mlpRatio, "must be positive, got \(mlpRatio)")
    }

    /// Writes every value; a family that is the default is left out.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        if family != .evaCLIP { try container.encode(family, forKey: .family) }
        try container.encode(imageSize, forKey: .imageSize)
        try container.encode(patchSize, forKey: .patchSize)
        try container.encode(hiddenSize, forKey: .hiddenSize)
        try container.encode(layerCount, forKey: .layerCount)
        try container.encode(headCount, forKey: .headCount)
        try container.encode(mlpRatio, forKey: .mlpRatio)
    }

    /// The patches along one side of the image.
    public var gridSize: Int { imageSize / patchSize }
    /// `Nv = HW / P²`: the number of image tokens.
    public var patchCount: Int { gridSize * gridSize }
    /// The width of a block's MLP.
    public var intermediateSize: Int { Int(Double(hiddenSize) * mlpRatio) }
}

/// The vision transformer: `[B, 3, H, W]` becomes `[B, 1 + N, D]`, the CLS token first.
public final class VisionTransformer: Module {
    /// The family and sizes.
    public let configuration: VisionConfiguration
    private let patchWeight: Parameter
    private let patchBias: Parameter?
    private let classToken: Parameter
    /// `[1, 1 + N, D]`, learned.
    public let positionEmbedding: Parameter
    private let embeddingNorm: LayerNorm?
    private let blocks: ModuleList<VisionBlock>
    private let outputNorm: LayerNorm?

    /// Makes a transformer with random weights.
    public init(_ configuration: VisionConfiguration, builder: WeightBuilder = WeightBuilder()) throws(TorchError) {
        self.configuration = configuration
        let architecture = configuration.family.architecture
        let (width, patch) = (configuration.hiddenSize, configuration.patchSize)
        let bound = 1 / Double(3 * patch * patch).squareRoot()
        patchWeight = try builder.uniform([width, 3, patch, patch], bound: bound)
        patchBias = architecture.hasPatchBias ? try builder.uniform([width], bound: bound) : nil
        classToken = try builder.normal([1, 1, width], deviation: 0.02)
        positionEmbedding = try builder.normal([1, 1 + configuration.patchCount, width], deviation: 0.02)
        var blocks: [VisionBlock] = []
        for _ in 0..<configuration.layerCount { blocks.append(try VisionBlock(configuration, builder: builder)) }
        self.blocks = ModuleList(blocks)
        func norm() throws(TorchError) -> LayerNorm {
            try LayerNorm(width, epsilon: architecture.normEpsilon, builder: builder)
        }
        embeddingNorm = architecture.normalizesEmbeddings ? try norm() : nil
        outputNorm = architecture.normalizesOutput ? try norm() : nil
    }

    /// The weights under timm's names, which EVA-CLIP's checkpoint has too.
    public var members: [ModuleMember] {
        var members: [ModuleMember] = [
            .parameter("cls_token", classToken), .parameter("pos_embed", positionEmbedding),
            .parameter("patch_embed.proj.weight", patchWeight),
        ]
        if let patchBias { members.append(.parameter("patch_embed.proj.bias", patchBias)) }
        if let embeddingNorm { members.append(.module("norm_pre", embeddingNorm)) }
        members.append(.module("blocks", blocks))
        if let outputNorm { members.append(.module("norm", outputNorm)) }
        return members
    }

    /// The patches' embeddings, before positions and CLS: `[B, N, D]`.
    public func embedPatches(_ pixels: Tensor) throws(TorchError) -> Tensor {
        let (batch, side, patch) = (pixels.size(0), configuration.gridSize, configuration.patchSize)
        guard pixels.shape == [batch, 3, configuration.imageSize, configuration.imageSize] else {
            throw TorchError(
                operation: "VisionTransformer",
                operands: [pixels.summary],
                message: "expected [batch, 3, \(configuration.imageSize), \(configuration.imageSize)]"
            )
        }
        // A convolution whose stride is its kernel is one product over the patches' pixels.
        let patches = try pixels.reshape(batch, 3, side, patch, side, patch).permute(0, 2, 4, 1, 3, 5)
            .reshape(batch, side * side, 3 * patch * patch)
        return try patches.linear(
            patchWeight.cast(to: pixels.dtype).reshape(configuration.hiddenSize, -1),
            bias: patchBias?.cast(to: pixels.dtype)
        )
    }

    /// What the first block takes: patch embeddings with the CLS token in front and positions added, `[B, 1 + N, D]`.
    public func embed(_ pixels: Tensor) throws(TorchError) -> Tensor { try addPositions(to: embedPatches(pixels)) }

    /// Puts the CLS token in front of patch embeddings `[B, N, D]` and adds positions: `[B, 1 + N, D]`.
    ///
    /// CLIP's are normalised then.
    public func addPositions(to patches: Tensor) throws(TorchError) -> Tensor {
        let classTokens = try classToken.cast(to: patches.dtype).expand([patches.size(0), 1, configuration.hiddenSize])
        let embedded = try Tensor.cat([classTokens, patches], dimension: 1) + positionEmbedding.cast(to: patches.dtype)
        return try embeddingNorm?(embedded) ?? embedded
    }

    /// Runs the transformer on normalised pixels.
    ///
    /// - Parameter onBlock: Sees the output `[B, 1 + N, D]` of every block, before a last norm, for inspection.
    public func callAsFunction(
        _ pixels: Tensor,
        onBlock: ((_ index: Int, _ output: Tensor) -> Void)? = nil
    ) throws(TorchError) -> Tensor {
        try runBlocks(embed(pixels), onBlock: onBlock)
    }

    /// Runs all blocks, and BiomedCLIP's last norm, on embeddings with positions: `[B, 1 + N, D]`.
    ///
    /// - Parameters:
    ///   - dropPath: In training, the chance that a whole branch is left out for a sample, growing linearly from 0 in the
    ///     first block to this value in the last (stochastic depth). Default: 0.
    ///   - onBlock: Sees the output of every block, for inspection.
    public func runBlocks(
        _ embedded: Tensor,
        dropPath: Double = 0,
        onBlock: ((_ index: Int, _ output: Tensor) -> Void)? = nil
    ) throws(TorchError) -> Tensor {
        var hidden = embedded
        let last = Double(max(blocks.elements.count - 1, 1))
        for (index, block) in blocks.elements.enumerated() {
            hidden = try block(hidden, dropPath: dropPath * Double(index) / last)
            onBlock?(index, hidden)
        }
        return try outputNorm?(hidden) ?? hidden
    }

    /// Runs one block alone: `[B, 1 + N, D]`.
    package func runBlock(_ index: Int, _ hidden: Tensor) throws(TorchError) -> Tensor {
        try blocks.elements[index](hidden)
    }

    /// The two residual branches of one block: what attention and the MLP add.
    package func residualBranches(ofBlock index: Int, _ hidden: Tensor) throws(TorchError) -> (
        attention: Tensor, mlp: Tensor
    ) {
        try blocks.elements[index].branches(hidden)
    }

    /// Interpolates position embeddings of another grid to this model's.
    ///
    /// Bicubic with A = -0.75, without antialiasing, corners not aligned, in float32; the CLS row is copied.
    ///
    /// - Parameter embedding: `[1, 1 + g², D]`.
    /// - Returns: `[1, 1 + grid², D]` in float32; `embedding` itself (in float32) when the grids are equal.
    public static func interpolatePositions(_ embedding: Tensor, toGrid grid: Int) throws(TorchError) -> Tensor {
        let full = try embedding.to(.float32)
        let count = full.size(1) - 1
        let side = Int(Double(count).squareRoot())
        guard side * side == count else {
            throw TorchError(
                operation: "interpolatePositions",
                operands: [embedding.summary],
                message: "the patches are no square grid"
            )
        }
        guard side != grid else { return full }
        let width = full.size(2)
        let classRow = try full.narrow(1, start: 0, length: 1)
        let rows = try full.narrow(1, start: 1, length: count).reshape(1, side, side, width).permute(0, 3, 1, 2)
        let resized = try rows.bicubic(height: grid, width: grid).permute(0, 2, 3, 1).reshape(1, grid * grid, width)
        return try Tensor.cat([classRow, resized], dimension: 1)
    }
}

/// One pre-norm block: attention, then MLP, each added to its input.
private final class VisionBlock: Module {
    private let norm1: LayerNorm
    private let attention: VisionAttention
    private let norm2: LayerNorm
    private let fc1: Linear
    private let fc2: Linear
    private let activation: VisionArchitecture.Activation

    init(_ configuration: VisionConfiguration, builder: WeightBuilder) throws(TorchError) {
        let width = configuration.hiddenSize
        let architecture = configuration.family.architecture
        activation = architecture.activation
        norm1 = try LayerNorm(width, epsilon: architecture.normEpsilon, builder: builder)
        attention = try VisionAttention(configuration, builder: builder)
        norm2 = try LayerNorm(width, epsilon: architecture.normEpsilon, builder: builder)
        fc1 = try Linear(width, configuration.intermediateSize, initialization: .normal(0.02), builder: builder)
        fc2 = try Linear(configuration.intermediateSize, width, initialization: .normal(0.02), builder: builder)
    }

    var members: [ModuleMember] {
        [
            .module("norm1", norm1), .module("attn", attention), .module("norm2", norm2), .module("mlp.fc1", fc1),
            .module("mlp.fc2", fc2),
        ]
    }

    func callAsFunction(_ hidden: Tensor, dropPath: Double = 0) throws(TorchError) -> Tensor {
        let attended = try hidden + dropped(attention(norm1(hidden)), dropPath)
        return try attended + dropped(mlp(norm2(attended)), dropPath)
    }

    private func mlp(_ x: Tensor) throws(TorchError) -> Tensor {
        let inner = try fc1(x)
        switch activation {
        case .gelu: return try fc2(inner.gelu())
        case .quickGELU: return try fc2(inner * (inner * 1.702).sigmoid())
        }
    }

    /// Leaves a branch `[B, 1 + N, D]` out for some samples and scales it up for the others.
    private func dropped(_ branch: Tensor, _ probability: Double) throws(TorchError) -> Tensor {
        guard probability > 0 else { return branch }
        let keep = try Tensor.ones([branch.size(0), 1, 1], dtype: branch.dtype, device: branch.device).dropout(
            probability
        )
        return try branch * keep
    }

    func branches(_ hidden: Tensor) throws(TorchError) -> (attention: Tensor, mlp: Tensor) {
        let first = try attention(norm1(hidden))
        return (first, try mlp(norm2(hidden + first)))
    }
}

/// Multi-head self-attention.
private final class VisionAttention: Module {
    private enum Bias {
        case queryAndValue(Parameter, Parameter)
        case all(Parameter)
    }

    private let qkv: Parameter
    private let bias: Bias
    private let projection: Linear
    private let headCount: Int
    /// The layout of the last batch size.
    private var layout: SequenceLayout?

    init(_ configuration: VisionConfiguration, builder: WeightBuilder) throws(TorchError) {
        let width = configuration.hiddenSize
        headCount = configuration.headCount
        qkv = try builder.normal([3 * width, width], deviation: 0.02)
        switch configuration.family.architecture.projectionBias {
        case .queryAndValue:
            bias = .queryAndValue(try builder.constant([width], 0), try builder.constant([width], 0))
        case .all: bias = .all(try builder.constant([3 * width], 0))
        }
        projection = try Linear(width, width, initialization: .normal(0.02), builder: builder)
    }

    var members: [ModuleMember] {
        switch bias {
        case .queryAndValue(let query, let value):
            [
                .parameter("q_bias", query), .parameter("v_bias", value), .parameter("qkv.weight", qkv),
                .module("proj", projection),
            ]
        case .all(let bias):
            [.parameter("qkv.weight", qkv), .parameter("qkv.bias", bias), .module("proj", projection)]
        }
    }

    /// The bias of queries, keys and values: `[3 D]`.
    private func fusedBias(_ dtype: DType) throws(TorchError) -> Tensor {
        switch bias {
        case .all(let bias): return try bias.cast(to: dtype)
        case .queryAndValue(let query, let value):
            let query = try query.cast(to: dtype)
            let key = try Tensor.zeros(query.shape, dtype: dtype, device: query.device)
            return try Tensor.cat([query, key, value.cast(to: dtype)])
        }
    }

    func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        let (batch, length, width) = (x.size(0), x.size(1), x.size(2))
        let fused = try x.linear(qkv.cast(to: x.dtype), bias: fusedBias(x.dtype)).reshape(
            batch * length,
            3 * headCount,
            width / headCount
        )
        if layout?.lengths.count != batch || layout?.longest != length || layout?.positions.device != x.device {
            layout = try SequenceLayout(lengths: [Int](repeating: length, count: batch), device: x.device)
        }
        guard let layout else { preconditionFailure("the layout was just made") }
        let attended = try Attention.withinSequences(
            fused: fused,
            headCount: headCount,
            keyHeadCount: headCount,
            layout: layout,
            causal: false
        )
        return try projection(attended.reshape(batch, length, width))
    }
}
