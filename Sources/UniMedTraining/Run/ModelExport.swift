public import Foundation
public import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
import UniMedModel
import UniMedTokenizers

/// Writes a model in the forms of others.
public struct ModelExport: Sendable {
    /// The form of the files.
    public enum Format: String, Sendable, CaseIterable {
        /// The adapter of the language model as PEFT reads it.
        case peft
        /// The language model, with its adapter merged into it, as transformers reads it, with its tokenizer.
        case huggingFace = "hugging-face"
        /// The weights as safetensors.
        case safetensors
    }

    /// The names and the layout of weights as safetensors.
    public enum Names: String, Sendable, CaseIterable {
        /// This library's, of every weight.
        case own
        /// Those of the published code's checkpoint, which holds what is trained.
        case published
    }

    /// The form of the files.
    public var format: Format
    /// The names of weights as safetensors.
    ///
    /// Default: this library's.
    public var names = Names.own
    /// Whether the adapter is merged into weights as safetensors.
    ///
    /// Default: no. In a Hugging Face folder it always is.
    public var mergesAdapter = false
    /// The type of the weights; `nil` keeps the type of each.
    public var dtype: DType?
    /// The most bytes in one file of weights.
    public var maximumShardSize = ShardedSafetensors.standardShardSize
    /// What an adapter calls the model without it.
    public var baseModel: String?

    /// Names the form; everything else has a default.
    public init(format: Format) { self.format = format }

    /// What was written.
    public struct Report: Encodable, Sendable, Equatable {
        /// The folder.
        public let folder: String
        /// The names of the files in it.
        public let files: [String]
        /// The bytes of all of them.
        public let byteCount: Int
    }

    /// Reads a model and writes the folder, which is there completely or not at all.
    ///
    /// No more than one tensor is in memory beside the mapped file.
    ///
    /// - Parameters:
    ///   - model: A model's folder, or a run's with a finished model.
    ///   - folder: The folder to write; it must not be there, or be empty.
    /// - Throws: ``TrainingError``: of kind `recipe` when settings contradict each other or the model has no adapter.
    public func run(_ model: URL, to folder: URL) throws(TrainingError) -> Report {
        try requireSense()
        try RunFolder.requireVacant(folder)
        let checkpoint = try ModelCheckpoint.loadAsStored(from: model)
        let files = try RunFolder.writeWhole(folder) { (partial) throws(TrainingError) in
            try training {
                switch format {
                case .peft: return try writeAdapter(checkpoint, to: partial)
                case .huggingFace: return try writeLanguageModel(checkpoint, to: partial)
                case .safetensors: return try writeWeights(checkpoint, to: partial)
                }
            }
        }
        var size = 0
        for file in files {
            let attributes = try? FileManager.default.attributesOfItem(atPath: folder.appendingPathComponent(file).path)
            size += attributes?[.size] as? Int ?? 0
        }
        return Report(folder: folder.path, files: files, byteCount: size)
    }

    /// Settings that do not go with the form are errors, not ignored.
    private func requireSense() throws(TrainingError) {
        func refuse(_ isSet: Bool, _ field: String, _ problem: String) throws(TrainingError) {
            if isSet { throw TrainingError(.recipe, problem, field: field) }
        }
        if format != .safetensors {
            try refuse(names == .published, "names", "belongs to safetensors only")
            try refuse(mergesAdapter, "merged", "belongs to safetensors only: PEFT never has it, Hugging Face always")
        }
        if format != .peft { try refuse(baseModel != nil, "baseModel", "belongs to PEFT only") }
        try refuse(
            names == .published && mergesAdapter,
            "merged",
            "contradicts the published names, which have the adapter beside the model"
        )
        try refuse(dtype.map { !$0.isFloatingPoint } ?? false, "dtype", "weights are fractions")
        try refuse(maximumShardSize <= 0, "maximumShardSize", "must be positive")
    }

    private func writeAdapter(_ checkpoint: ModelCheckpoint, to folder: URL) throws -> [String] {
        try refuseExperts(checkpoint, "has no form in PEFT")
        guard var adapter = try PEFTAdapter(of: checkpoint.model.language, baseModel: baseModel) else {
            throw TrainingError(
                .recipe,
                "the model has no adapter: it was trained whole, or not at all",
                field: "format"
            )
        }
        if let dtype {
            adapter = PEFTAdapter(configuration: adapter.configuration, weights: adapter.weights.converted(to: dtype))
        }
        try adapter.write(to: folder)
        return ["adapter_config.json", "adapter_model.safetensors"]
    }

    private func writeLanguageModel(_ checkpoint: ModelCheckpoint, to folder: URL) throws -> [String] {
        try refuseUnmergeable(checkpoint)
        let tokenizer = checkpoint.tokenizer
        var files = try HuggingFaceFolder.write(
            checkpoint.model.language,
            to: folder,
            tokens: SpecialTokens(begin: tokenizer.bosID, end: tokenizer.eosIDs, pad: tokenizer.padID),
            dtype: dtype,
            maximumShardSize: maximumShardSize
        )
        for (name, contents) in tokenizer.files.sorted(by: { $0.key < $1.key }) where !files.contains(name) {
            try UniMedData.AtomicFile.write(contents, to: folder.appendingPathComponent(name))
            files.append(name)
        }
        let settings = "tokenizer_config.json"
        if !files.contains(settings), let tokenizer = tokenizer as? LlamaTokenizer {
            let text = try HuggingFaceFolder.llamaTokenizerConfiguration(
                begin: tokenizer.bosID.map { try tokenizer.token($0) },
                end: tokenizer.token(tokenizer.eosID),
                unknown: tokenizer.token(tokenizer.unknownID)
            )
            try UniMedData.AtomicFile.write(text, to: folder.appendingPathComponent(settings))
            files.append(settings)
        }
        return files
    }

    private func writeWeights(_ checkpoint: ModelCheckpoint, to folder: URL) throws -> [String] {
        let model = checkpoint.model
        let source: any WeightSource
        switch names {
        case .own where mergesAdapter:
            try refuseUnmergeable(checkpoint)
            source = model.mergedWeightSource(dtype: dtype)
        case .own:
            source = TensorWeights(model.namedParameters().map { (name: $0.name, tensor: $0.parameter.value) })
                .converted(to: dtype)
        case .published:
            // Everything is frozen here; what training changes follows from the configuration.
            let unplaced = try UniMed(model.configuration, builder: WeightBuilder(device: .meta))
            let trained = Set(unplaced.trainableParameters().map(\.name))
            let weights = model.namedParameters().filter { trained.contains($0.name) }
                .map { (name: $0.name, tensor: $0.parameter.value) }
            source = TensorWeights(
                try PublishedCheckpoint(model.configuration).published(weights).map { (name: $0.0, tensor: $0.1) }
            )
            .converted(to: dtype)
        }
        return try ShardedSafetensors.write(source, to: folder, maximumShardSize: maximumShardSize)
    }

    private func refuseExperts(_ checkpoint: ModelCheckpoint, _ problem: String) throws(TrainingError) {
        guard case .lowRankExperts = checkpoint.configuration.model.fineTuning else { return }
        throw TrainingError(.recipe, "the model's LoRA-MoE \(problem)", field: "format")
    }

    /// A mixture of adapters is no one weight, unless its router always says the same.
    private func refuseUnmergeable(_ checkpoint: ModelCheckpoint) throws(TrainingError) {
        guard case .lowRankExperts(let experts) = checkpoint.configuration.model.fineTuning else { return }
        if experts.router != .constant {
            try refuseExperts(checkpoint, "cannot be merged: its router looks at the input")
        }
    }

    // MARK: Numbers for a check

    /// Writes token ids and the logits of the model's language model for them, for a check of what was exported.
    ///
    /// `input_ids` `[rows, tokens]` (int64) follow from a seed; `logits` `[rows, tokens, vocabulary]` are computed in
    /// float32, with the adapter beside the weights.
    ///
    /// - Throws: ``TrainingError`` when the model cannot be read or the file not written.
    public static func writeReferenceLogits(of model: URL, to file: URL) throws(TrainingError) {
        let checkpoint = try ModelCheckpoint.loadAsStored(from: model)
        try training {
            let language = checkpoint.model.language
            try language.castFrozenParameters(to: .float32)
            let (rows, length) = (2, 12)
            var generator = SeededGenerator(seed: 0)
            let vocabulary = language.configuration.vocabularySize
            let ids = (0..<rows * length).map { _ in Int.random(in: 0..<vocabulary, using: &generator) }
            let tokens = try Tensor(ids)
            let logits = try withoutGradients {
                let layout = try SequenceLayout(lengths: [Int](repeating: length, count: rows))
                return try language.logits(language.hiddenStates(of: language.embedding(tokens), layout: layout))
            }
            try SafetensorsFile.write(
                [
                    ("input_ids", try tokens.reshape(rows, length)),
                    ("logits", try logits.reshape(rows, length, vocabulary)),
                ],
                metadata: ["format": "pt"],
                to: file
            )
        }
    }
}
