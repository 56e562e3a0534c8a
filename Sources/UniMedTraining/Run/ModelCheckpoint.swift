public import Foundation
public import Torch
import TorchCheckpoints
import TorchNN
import UniMedData
public import UniMedModel
public import UniMedTokenizers

/// A trained model as evaluation, asking and serving load it: sizes, weights, tokenizer and preprocessing in one
/// folder.
///
/// ```
/// configuration.json    sizes, preprocessing, precision, where it comes from
/// model.safetensors     every weight
/// tokenizer.model       SentencePiece
/// digests.json          SHA-256 of weights and tokenizer
/// ```
public final class ModelCheckpoint {
    /// The contents of `configuration.json`.
    public struct Configuration: Codable, Sendable, Equatable {
        /// The layout of the folder; this program reads version 1.
        public var formatVersion: Int
        /// The name of the recipe.
        public var name: String
        /// The optimizer steps of the joint training.
        public var steps: Int
        /// The model's sizes.
        public var model: UniMedConfiguration
        /// How pictures become pixels for the model.
        public var preprocessing: ImagePreprocessing
        /// The type of the computation.
        public var precision: Recipe.Precision
        /// The recipe's evaluation settings, which evaluation starts from.
        public var evaluation: EvaluationConfiguration
        /// The SHA-256 of everything that the weights depend on; `nil` for a model that no run has made.
        public var key: String?

        enum CodingKeys: String, CodingKey {
            case formatVersion, name, steps, model, preprocessing, precision, evaluation, key
        }

        /// Makes a configuration.
        public init(
            name: String,
            steps: Int,
            model: UniMedConfiguration,
            preprocessing: ImagePreprocessing,
            precision: Recipe.Precision,
            evaluation: EvaluationConfiguration,
            key: String? = nil
        ) {
            formatVersion = ModelCheckpoint.formatVersion
            self.name = name
            self.steps = steps
            self.model = model
            self.preprocessing = preprocessing
            self.precision = precision
            self.evaluation = evaluation
            self.key = key
        }
    }

    /// The version of the folder's layout that this program writes and reads.
    public static let formatVersion = 1
    static let configurationName = "configuration.json"
    static let weightsName = "model.safetensors"
    /// The file of a tokenizer that a run trains.
    static let tokenizerName = TokenizerForm.sentencePiece.fileName

    /// What `configuration.json` says.
    public let configuration: Configuration
    /// The model, on its device.
    public let model: UniMed
    /// The tokenizer.
    public let tokenizer: any CheckpointTokenizer

    /// Makes a checkpoint of a model in memory.
    public init(configuration: Configuration, model: UniMed, tokenizer: any CheckpointTokenizer) {
        self.configuration = configuration
        self.model = model
        self.tokenizer = tokenizer
    }

    /// Writes prompts for the model.
    public var promptEncoder: PromptEncoder {
        PromptEncoder(
            tokenizer: tokenizer,
            imageTokenCount: model.configuration.imageTokenCount,
            volume: model.configuration.volume,
            taskIdentifiers: model.configuration.taskIdentifiers
        )
    }

    /// Writes the folder; it is there completely or not at all.
    ///
    /// - Parameter folder: Replaced when it is there.
    /// - Throws: ``TrainingError`` with the path and the reason.
    public func save(to folder: URL) throws(TrainingError) {
        let parent = folder.deletingLastPathComponent()
        try RunFolder.create(parent)
        let partial = parent.appendingPathComponent("." + folder.lastPathComponent + ".partial")
        try RunFolder.remove(partial)
        try RunFolder.create(partial)
        do {
            try SafetensorsFile.write(
                model.namedParameters().map { ($0.name, $0.parameter.value) },
                to: partial.appendingPathComponent(Self.weightsName)
            )
            let tokenizerFiles = tokenizer.files.sorted { $0.key < $1.key }
            for (name, contents) in tokenizerFiles {
                try UniMedData.AtomicFile.write(contents, to: partial.appendingPathComponent(name))
            }
            try DataFile.writeJSON(configuration, to: partial.appendingPathComponent(Self.configurationName))
            try FolderDigests.write(of: [Self.weightsName] + tokenizerFiles.map(\.key), in: partial)
        } catch {
            try? RunFolder.remove(partial)
            throw TrainingError(error)
        }
        let old = parent.appendingPathComponent("." + folder.lastPathComponent + ".removed")
        try RunFolder.remove(old)
        if FileManager.default.fileExists(atPath: folder.path) { try RunFolder.rename(folder, to: old) }
        try RunFolder.rename(partial, to: folder)
        try RunFolder.remove(old)
    }

    /// Reads a folder's `configuration.json` alone.
    ///
    /// - Throws: ``TrainingError`` that names the file and the field.
    public static func configuration(of folder: URL) throws(TrainingError) -> Configuration {
        let file = folder.appendingPathComponent(configurationName)
        guard FileManager.default.fileExists(atPath: file.path) else {
            throw TrainingError(.checkpoint, "no \(configurationName) in it: not a model's folder", file: folder.path)
        }
        let configuration = try training { try DataFile.readJSON(Configuration.self, from: file) }
        guard configuration.formatVersion == formatVersion else {
            let problem = "expected \(formatVersion), found \(configuration.formatVersion)"
            throw TrainingError(.checkpoint, problem, file: file.path, field: "formatVersion")
        }
        return configuration
    }

    /// Loads a model.
    ///
    /// - Parameters:
    ///   - folder: A model's folder, or a run's with a finished model.
    ///   - device: Where it shall live.
    ///   - precision: The type of the computation; `nil` is the one it was trained with.
    ///   - keepsTrainable: Whether what was trained has gradients, and the type of the file, as in training; otherwise
    ///     all weights are frozen and of the type of the computation.
    /// - Throws: ``TrainingError`` that names the file and what does not fit.
    public static func load(
        from folder: URL,
        device: Device = .cpu,
        precision: Recipe.Precision? = nil,
        keepsTrainable: Bool = false
    ) throws(TrainingError) -> ModelCheckpoint {
        let folder = resolved(folder)
        let configuration = try configuration(of: folder)
        let tokenizer = try loadTokenizer(folder)
        return try training {
            try device.requireAvailable()
            // Weights get memory when they are read, each once; those of the file's type and place share its memory.
            let model = try UniMed(configuration.model, builder: WeightBuilder(device: .meta))
            model.computeDType = (precision ?? configuration.precision).dtype
            if !keepsTrainable { try model.freeze() }
            try model.castFrozenParameters(to: model.computeDType)
            try loadWeights(
                into: model,
                from: SafetensorsFile(contentsOf: folder.appendingPathComponent(weightsName)),
                device: device
            )
            // After the checks that can name a key.
            try FolderDigests.verify(folder)
            return ModelCheckpoint(configuration: configuration, model: model, tokenizer: tokenizer)
        }
    }

    /// Loads a model whose weights keep the types of the file, frozen and on the CPU, for writing it in another form.
    ///
    /// The weights share the file's memory.
    ///
    /// - Throws: ``TrainingError`` that names the file and what does not fit.
    static func loadAsStored(from folder: URL) throws(TrainingError) -> ModelCheckpoint {
        let folder = resolved(folder)
        let configuration = try configuration(of: folder)
        let tokenizer = try loadTokenizer(folder)
        return try training {
            let file = try SafetensorsFile(contentsOf: folder.appendingPathComponent(weightsName))
            let model = try UniMed(configuration.model, builder: WeightBuilder(device: .meta))
            model.computeDType = configuration.precision.dtype
            try model.freeze()
            let stored = Set(file.keys)
            for (name, parameter) in model.namedParameters() where stored.contains(name) {
                let dtype = try file.dtype(of: name)
                if dtype.isFloatingPoint { try parameter.replace(parameter.value.to(dtype)) }
            }
            try loadWeights(into: model, from: file)
            try FolderDigests.verify(folder)
            return ModelCheckpoint(configuration: configuration, model: model, tokenizer: tokenizer)
        }
    }

    /// A model's folder: the given one, or the one inside a run's.
    static func resolved(_ folder: URL) -> URL {
        let inner = folder.appendingPathComponent(TrainingRun.modelFolderName)
        if !FileManager.default.fileExists(atPath: folder.appendingPathComponent(configurationName).path),
            FileManager.default.fileExists(atPath: inner.appendingPathComponent(configurationName).path)
        {
            return inner
        }
        return folder
    }

    /// The tokenizer of a folder or file, with the published pad piece where the vocabulary has it.
    static func loadTokenizer(_ location: URL) throws(TrainingError) -> any CheckpointTokenizer {
        try training { try TokenizerForm.open(location) }
    }
}
