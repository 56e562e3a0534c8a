/// A family of vision transformers: the three of Uni-Med's figure 7.
///
/// A further family is a file with its ``VisionArchitecture``, a case here and a line in ``architecture``.
public enum VisionFamily: String, Codable, Sendable, CaseIterable {
    /// EVA-CLIP, ViT-G/14: the published model's.
    case evaCLIP
    /// OpenAI's CLIP, ViT-L/14.
    case clip
    /// BiomedCLIP, ViT-B/16.
    case biomedCLIP

    /// What the family computes, its published sizes and its checkpoints.
    var architecture: VisionArchitecture {
        switch self {
        case .evaCLIP: .evaCLIP
        case .clip: .clip
        case .biomedCLIP: .biomedCLIP
        }
    }

    /// The published sizes.
    public var published: VisionConfiguration { architecture.published }
}

/// What distinguishes the transformer of a ``VisionFamily`` from the others.
struct VisionArchitecture: Sendable {
    /// The biases of the products that make queries, keys and values.
    enum ProjectionBias: Sendable {
        /// On queries and values only, kept apart.
        case queryAndValue
        /// On all three, kept together.
        case all
    }

    /// What stands between the two layers of an MLP.
    enum Activation: Sendable {
        /// x Φ(x).
        case gelu
        /// x σ(1.702 x), a cheap approximation of it.
        case quickGELU
    }

    /// The published sizes.
    let published: VisionConfiguration
    let projectionBias: ProjectionBias
    let activation: Activation
    /// Whether the product that embeds patches has a bias.
    let hasPatchBias: Bool
    /// Added to the variance in norms.
    let normEpsilon: Double
    /// Whether the embeddings are normalised before the first block.
    let normalizesEmbeddings: Bool
    /// Whether the output of the last block is normalised.
    let normalizesOutput: Bool
    /// The forms in which checkpoints come, tried in order.
    let checkpoints: [VisionCheckpoint]
}

/// The names of a vision transformer's weights in a kind of checkpoint.
struct VisionCheckpoint: Sendable {
    /// The beginning of a name by which the kind is known; every file has it if it is empty.
    let prefix: String
    /// From the file's names to the model's; `nil` drops a tensor on purpose.
    let rows: [(file: String, model: String?)]
    /// What the names of a block's separate products of queries, keys and values end with; they are fused.
    var separateProjections: [String] = []
    /// What the name of the fused product ends with in their place.
    var fusedProjection = ""
    /// Whether class token and position embeddings lack the leading dimensions of size 1.
    var isFlat = false
}
