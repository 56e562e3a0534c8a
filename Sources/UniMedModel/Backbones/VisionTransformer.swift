public import Torch
public import TorchNN

// EVA-CLIP's vision transformer (Fang et al. 2023), the "visual encoder" of Uni-Med figure 3.
//
// B batch, N patches, D width, H heads, d head width.
// Pre-norm blocks; q and v have a bias, k has none; exact GELU; no norm after the last block (Uni-Med adds `ln_vision`).

/// The sizes of a ``VisionTransformer``; the defaults are EVA-CLIP ViT-G/14 as the published code uses it.
public struct VisionConfiguration: Codable, Sendable, Equatable {
    /// The side of the input image, in pixels.
    ///
    /// Default: 224.
    public var imageSize: Int
    /// The side of a patch, in pixels.
    ///
    /// Default: 14.
    public var patchSize: Int
    /// `Dv`.
    ///
    /// Default: 1408.
    public var hiddenSize: Int
    /// The number of blocks.
    ///
    /// Default: 39, as the published code uses of the checkpoint's 40.
    public var layerCount: Int
    /// The number of attention heads.
    ///
    /// Default: 16.
    public var headCount: Int
    /// The width of a block's MLP as a multiple of `hiddenSize`, rounded down.
    ///
    /// Default: 4.3637.
    public var mlpRatio: Double

    enum CodingKeys: String, CodingKey, CaseIterable {
        case imageSize, patchSize, hiddenSize, layerCount, headCount, mlpRatio
    }

    /// Makes a configuration.
    public init(
        imageSize: Int = 224,
        patchSize: Int = 14,
        hiddenSize: Int = 1408,
        layerCount: Int = 39,
        headCount: Int = 16,
        mlpRatio: Double = 4.3637
    ) {
        self.imageSize = imageSize
        self.patchSize = patchSize
        self.hiddenSize = hiddenSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.mlpRatio = mlpRatio
    }

    /// Reads a configuration; what is not named has its default.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let defaults = VisionConfiguration()
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

    /// The patches along one side of the image.
    public var gridSize: Int { imageSize / patchSize }
    /// `Nv = HW / P²`: the number of image tokens.
    public var patchCount: Int { gridSize * gridSize }
    /// The width of a block's MLP.
    public var intermediateSize: Int { Int(Double(hiddenSize) * mlpRatio) }
}

/// The vision transformer of EVA-CLIP: `[B, 3, H, W]` becomes `[B, 1 + N, D]`, the CLS token first.
public final class VisionTransformer: Module {
    /// The sizes.
    public let configuration: VisionConfiguration
    private let patchWeight: Parameter
    private let patchBias: Parameter
    private let classToken: Parameter
    /// `[1, 1 + N, D]`, learned.
    public let positionEmbedding: Parameter
    private let blocks: ModuleList<VisionBlock>

    /// Makes a transformer with random weights.
    public init(_ configuration: VisionConfiguration, builder: WeightBuilder = WeightBuilder()) throws(TorchError) {
        self.configuration = configuration
        let (width, patch) = (configuration.hiddenSize, configuration.patchSize)
        let bound = 1 / Double(3 * patch * patch).squareRoot()
        patchWeight = try builder.uniform([width, 3, patch, patch], bound: bound)
        patchBias = try builder.uniform([width], bound: bound)
        classToken = try builder.normal([1, 1, width], deviation: 0.02)
        positionEmbedding = try builder.normal([1, 1 + configuration.patchCount, width], deviation: 0.02)
        var blocks: [VisionBlock] = []
        for _ in 0..<configuration.layerCount { blocks.append(try VisionBlock(configuration, builder: builder)) }
        self.blocks = ModuleList(blocks)
    }

    /// The weights under the names of EVA-CLIP's checkpoint.
    public var members: [ModuleMember] {
        [
            .parameter("cls_token", classToken), .parameter("pos_embed", positionEmbedding),
            .parameter("patch_embed.proj.weight", patchWeight), .parameter("patch_embed.proj.bias", patchBias),
            .module("blocks", blocks),
        ]
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
            bias: patchBias.cast(to: pixels.dtype)
        )
    }

    /// Patch embeddings with the CLS token in front and positions added: `[B, 1 + N, D]`.
    public func embed(_ pixels: Tensor) throws(TorchError) -> Tensor { try addPositions(to: embedPatches(pixels)) }

    /// Puts the CLS token in front of patch embeddings `[B, N, D]` and adds positions: `[B, 1 + N, D]`.
    public func addPositions(to patches: Tensor) throws(TorchError) -> Tensor {
        let classTokens = try classToken.cast(to: patches.dtype).expand([patches.size(0), 1, configuration.hiddenSize])
        return try Tensor.cat([classTokens, patches], dimension: 1) + positionEmbedding.cast(to: patches.dtype)
    }

    /// Runs the transformer on normalised pixels.
    ///
    /// - Parameter onBlock: Sees the output `[B, 1 + N, D]` of every block, for inspection.
    public func callAsFunction(
        _ pixels: Tensor,
        onBlock: ((_ index: Int, _ output: Tensor) -> Void)? = nil
    ) throws(TorchError) -> Tensor {
        try runBlocks(embed(pixels), onBlock: onBlock)
    }

    /// Runs all blocks on embeddings with positions: `[B, 1 + N, D]`.
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
        return hidden
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

    init(_ configuration: VisionConfiguration, builder: WeightBuilder) throws(TorchError) {
        let width = configuration.hiddenSize
        norm1 = try LayerNorm(width, epsilon: 1e-6, builder: builder)
        attention = try VisionAttention(configuration, builder: builder)
        norm2 = try LayerNorm(width, epsilon: 1e-6, builder: builder)
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
        return try attended + dropped(fc2(fc1(norm2(attended)).gelu()), dropPath)
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
        return (first, try fc2(fc1(norm2(hidden + first)).gelu()))
    }
}

/// Multi-head self-attention with biases on queries and values only.
private final class VisionAttention: Module {
    private let qkv: Parameter
    private let queryBias: Parameter
    private let valueBias: Parameter
    private let projection: Linear
    private let headCount: Int
    /// The fused bias and layout of the last batch size.
    private var layout: SequenceLayout?

    init(_ configuration: VisionConfiguration, builder: WeightBuilder) throws(TorchError) {
        let width = configuration.hiddenSize
        headCount = configuration.headCount
        qkv = try builder.normal([3 * width, width], deviation: 0.02)
        queryBias = try builder.constant([width], 0)
        valueBias = try builder.constant([width], 0)
        projection = try Linear(width, width, initialization: .normal(0.02), builder: builder)
    }

    var members: [ModuleMember] {
        [
            .parameter("q_bias", queryBias), .parameter("v_bias", valueBias), .parameter("qkv.weight", qkv),
            .module("proj", projection),
        ]
    }

    func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        let (batch, length, width) = (x.size(0), x.size(1), x.size(2))
        let query = try queryBias.cast(to: x.dtype)
        let bias = try Tensor.cat([
            query, Tensor.zeros([width], dtype: x.dtype, device: x.device), valueBias.cast(to: x.dtype),
        ])
        let fused = try x.linear(qkv.cast(to: x.dtype), bias: bias).reshape(
            batch * length,
            3,
            headCount,
            width / headCount
        )
        if layout?.lengths.count != batch || layout?.longest != length || layout?.positions.device != x.device {
            layout = try SequenceLayout(lengths: [Int](repeating: length, count: batch), device: x.device)
        }
        guard let layout else { preconditionFailure("the layout was just made") }
        let parts = try fused.split([1, 1, 1], dimension: 1)
        let attended = try Attention.withinSequences(
            query: parts[0].squeeze(1),
            key: parts[1].squeeze(1),
            value: parts[2].squeeze(1),
            layout: layout,
            causal: false
        )
        return try projection(attended.reshape(batch, length, width))
    }
}
