public import Foundation
import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
public import UniMedModel
import UniMedTokenizers

/// Makes a model's folder of the files of others: a language model, a vision transformer, and what was trained on them.
///
/// The parts are mapped and written one tensor at a time, in the types that their files have.
public struct ModelImport {
    /// The name that the model shall have.
    public var name: String
    /// The sizes; those of the language model are taken from its `config.json`, and those of the connector and of LoRA from
    /// ``published`` where that carries them.
    ///
    /// Default: the paper's.
    public var model: UniMedConfiguration
    /// The language model: a folder that `save_pretrained` of transformers wrote, with its tokenizer.
    public var language: URL
    /// The tokenizer: a folder, a SentencePiece model or a `tokenizer.json`.
    ///
    /// Default: the one in ``language``.
    public var tokenizer: URL?
    /// The vision transformer: a `.pth` or safetensors file, or a folder of one; `nil` draws its weights.
    public var vision: URL?
    /// What the published code trained: its `checkpoint_0.pth`, or the same weights as safetensors.
    ///
    /// `nil` draws connector and adapter.
    public var published: URL?
    /// A LoRA adapter of PEFT for the language model.
    ///
    /// Contradicts ``published``, which has one.
    public var adapter: URL?
    /// Whether the adapter is merged into the language model instead of kept beside it.
    ///
    /// Default: no. Adapters that differ between layers, or leave some out, have to be.
    public var mergesAdapter = false
    /// The type of the computation.
    ///
    /// Default: float32.
    public var precision = Recipe.Precision.float32
    /// The side at which pictures are kept, in pixels.
    ///
    /// Default: the side that the vision transformer takes.
    public var storedSize: Int?
    /// The settings that evaluation starts from.
    public var evaluation = EvaluationConfiguration()
    /// The seed of the weights that are drawn.
    ///
    /// Default: 0.
    public var seed: UInt64 = 0

    /// Names the language model; everything else has a default.
    public init(name: String, language: URL, model: UniMedConfiguration = UniMedConfiguration()) {
        self.name = name
        self.language = language
        self.model = model
    }

    /// What was made of the files.
    public struct Report: Encodable, Sendable, Equatable {
        /// The model's folder.
        public let folder: String
        /// The parts and the files that they came from; `drawn` is at random.
        public let parts: [String: String]
        /// The number of weights.
        public let parameterCount: Int
        /// The number of weights that training would change.
        public let trainedCount: Int
    }

    /// Reads the files and writes the folder, which is there completely or not at all.
    ///
    /// - Parameter folder: The model's folder; it must not be there, or be empty.
    /// - Throws: ``TrainingError`` that names the file and the key: of kind `recipe` when settings contradict each other,
    ///   `checkpoint` when weights do not fit, `fileSystem` when the folder cannot be written.
    public func run(to folder: URL) throws(TrainingError) -> Report {
        try RunFolder.requireVacant(folder)
        if published != nil, adapter != nil {
            let problem = "contradicts the published checkpoint, which has an adapter of its own"
            throw TrainingError(.recipe, problem, field: "adapter")
        }
        if mergesAdapter, adapter == nil {
            throw TrainingError(.recipe, "there is no adapter to merge", field: "mergesAdapter")
        }
        let tokenizer = try ModelCheckpoint.loadTokenizer(self.tokenizer ?? language)
        return try training {
            var configuration = model
            configuration.language = try HuggingFaceConfiguration(folder: language).language
            guard tokenizer.vocabularySize <= configuration.language.vocabularySize else {
                let problem =
                    "the tokenizer has \(tokenizer.vocabularySize) tokens, the language model only "
                    + "\(configuration.language.vocabularySize) embeddings"
                throw TrainingError(.tokenizer, problem, file: language.path)
            }
            var sources = ModelSources(language: try Checkpoint.open(language))
            sources.vision = try vision.map { try Checkpoint.open($0) }
            if let published { sources.published = try Self.publishedWeights(published, &configuration) }
            if let adapter { try place(PEFTAdapter(folder: adapter), &sources, &configuration) }

            try Runtime.seed(seed)
            let model = try UniMed.assemble(configuration, from: sources)
            let checkpoint = ModelCheckpoint(
                configuration: ModelCheckpoint.Configuration(
                    name: name,
                    steps: 0,
                    model: configuration,
                    preprocessing: ImagePreprocessing(
                        storedSize: storedSize ?? configuration.vision.imageSize,
                        modelSize: configuration.vision.imageSize
                    ),
                    precision: precision,
                    evaluation: evaluation
                ),
                model: model,
                tokenizer: tokenizer
            )
            try checkpoint.save(to: folder)
            return Report(
                folder: folder.path,
                parts: [
                    "vision": vision?.path ?? "drawn",
                    "language": language.path,
                    "connector": published?.path ?? "drawn",
                    "adapter": (published ?? adapter)?.path ?? "drawn",
                ],
                parameterCount: model.parameterCount(),
                trainedCount: model.parameterCount(trainableOnly: true)
            )
        }
    }

    /// The weights of a published checkpoint; the settings that it carries are taken.
    private static func publishedWeights(
        _ file: URL,
        _ configuration: inout UniMedConfiguration
    ) throws -> any WeightSource {
        guard try Checkpoint.isArchive(file), case let archive = try PyTorchFile(contentsOf: file),
            archive.root["model"]?.dictionary != nil
        else {
            return try Checkpoint.open(file)
        }
        if let settings = archive.root["config"]?["model"], settings.dictionary != nil {
            try configuration.adopt(publishedSettings: settings, file: file.path)
        }
        return try archive.weights(at: ["model"])
    }

    /// Puts an adapter where it belongs: beside the language model, or into its weights.
    private func place(
        _ adapter: PEFTAdapter,
        _ sources: inout ModelSources,
        _ configuration: inout UniMedConfiguration
    ) throws {
        let unplaced = try Llama(configuration.language, builder: WeightBuilder(device: .meta))
        if mergesAdapter {
            sources.language = try Self.merged(configuration.language, sources.language, adapter)
            return
        }
        guard let uniform = try adapter.uniformConfiguration(of: unplaced.namedLinears().map(\.name)) else {
            throw TrainingError(
                .checkpoint,
                "its layers differ in rank or scale, or some linear layers have none; it can only be merged into the model",
                file: self.adapter?.path,
                field: "target_modules, rank_pattern, alpha_pattern"
            )
        }
        configuration.fineTuning = .lowRank(uniform)
        sources.adapter = adapter
    }

    private static func merged(
        _ configuration: LlamaConfiguration,
        _ source: (any WeightSource)?,
        _ adapter: PEFTAdapter
    ) throws -> (any WeightSource)? {
        guard let source else { return nil }
        let model = try Llama(configuration, builder: WeightBuilder(device: .meta))
        try model.freeze()
        for (name, parameter) in model.namedParameters() where source.keys.contains(name) {
            try parameter.replace(parameter.value.to(source.dtype(of: name)))
        }
        try model.load(source)
        return try model.merged(with: adapter)
    }
}
