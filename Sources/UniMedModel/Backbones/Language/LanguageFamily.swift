import TorchCheckpoints

/// A family of language models that ``Llama`` computes: its published sizes, and what its `config.json` means.
///
/// A further family is a file beside this one and a line in ``all``.
public struct LanguageFamily: Sendable {
    /// What a recipe calls it.
    public let name: String
    /// What the `config.json` of a Hugging Face checkpoint calls it.
    public let modelType: String
    /// The sizes of its best-known model.
    public let published: LlamaConfiguration
    /// The heads of keys and values of a `config.json` that does not say; `nil` is as many as heads.
    let defaultKeyValueHeadCount: Int?
    /// Whether the products that make queries, keys and values always have a bias.
    let hasAttentionBias: Bool
    /// The sliding window that a `config.json` asks for.
    let slidingWindow: @Sendable (HuggingFaceFile) throws(CheckpointError) -> SlidingWindow?

    init(
        name: String,
        modelType: String,
        published: LlamaConfiguration,
        defaultKeyValueHeadCount: Int? = nil,
        hasAttentionBias: Bool = false,
        slidingWindow: @escaping @Sendable (HuggingFaceFile) throws(CheckpointError) -> SlidingWindow? = {
            (_) throws(CheckpointError) in nil
        }
    ) {
        self.name = name
        self.modelType = modelType
        self.published = published
        self.defaultKeyValueHeadCount = defaultKeyValueHeadCount
        self.hasAttentionBias = hasAttentionBias
        self.slidingWindow = slidingWindow
    }

    /// Every family.
    public static let all: [LanguageFamily] = [.llama2, .llama3, .qwen2, .mistral]

    /// The family whose rules a `config.json` follows; Llama 2 and 3 have the same.
    static func reading(modelType: String) -> LanguageFamily? { all.first { $0.modelType == modelType } }
}
