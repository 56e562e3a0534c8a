public import Foundation
public import Torch
public import UniMedModel
import Yams

/// Everything a run depends on: one YAML file, which may build on another one.
///
/// A recipe names the data, the tokenizer, the sizes of the model, the optional pretraining of its vision transformer,
/// the joint training of all tasks and the evaluation. Unknown keys and settings that contradict each other are errors
/// that name the field. What is not named has the default of its type, which is the paper's where the paper says one.
public struct Recipe: Codable, Sendable, Equatable {
    /// The type in which products are computed; trained weights and their optimizer stay in float32.
    public enum Precision: String, Codable, Sendable, CaseIterable {
        case float32
        case bfloat16

        /// The element type.
        public var dtype: DType { self == .float32 ? .float32 : .bfloat16 }
    }

    /// The recipe's name, which reports carry.
    public var name: String
    /// The seed from which every draw of the run follows.
    public var seed: UInt64
    /// Where the model lives: `cpu`, `cuda` or `cuda:1`.
    public var device: String
    /// The type of the computation.
    ///
    /// Default: float32.
    public var precision: Precision
    /// The CPU threads of one operation; `nil` leaves LibTorch's own choice.
    ///
    /// A run continues bit for bit only with the same number.
    public var threads: Int?
    /// The data sets, the size of their pictures and how often each task is drawn.
    public var data: DataConfiguration
    /// The vocabulary: trained on the training split, or a file.
    public var tokenizer: TokenizerConfiguration
    /// The model's parts and sizes; the vocabulary's size is taken from the tokenizer.
    public var model: UniMedConfiguration
    /// Weights to start from.
    public var weights: WeightsConfiguration
    /// The pretraining of the vision transformer; `nil` leaves it as it starts.
    public var visionPretraining: VisionPretrainingConfiguration?
    /// Where the vision transformer's features come from during joint training.
    public var features: FeatureConfiguration
    /// The joint training of all tasks.
    public var training: TrainingConfiguration
    /// How the model is evaluated.
    public var evaluation: EvaluationConfiguration

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, seed, device, precision, threads, data, tokenizer, model, weights, visionPretraining, features
        case training, evaluation
    }

    /// Makes a recipe.
    public init(
        name: String,
        seed: UInt64 = 0,
        device: String = "cpu",
        precision: Precision = .float32,
        threads: Int? = nil,
        data: DataConfiguration,
        tokenizer: TokenizerConfiguration,
        model: UniMedConfiguration,
        weights: WeightsConfiguration = WeightsConfiguration(),
        visionPretraining: VisionPretrainingConfiguration? = nil,
        features: FeatureConfiguration = FeatureConfiguration(),
        training: TrainingConfiguration,
        evaluation: EvaluationConfiguration = EvaluationConfiguration()
    ) {
        self.name = name
        self.seed = seed
        self.device = device
        self.precision = precision
        self.threads = threads
        self.data = data
        self.tokenizer = tokenizer
        self.model = model
        self.weights = weights
        self.visionPretraining = visionPretraining
        self.features = features
        self.training = training
        self.evaluation = evaluation
    }

    /// Reads a recipe and checks that its parts fit each other.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        seed = try container.decode(.seed, default: 0)
        device = try container.decode(.device, default: "cpu")
        precision = try container.decode(.precision, default: .float32)
        threads = try container.decodeIfPresent(Int.self, forKey: .threads)
        data = try container.decode(DataConfiguration.self, forKey: .data)
        tokenizer = try container.decode(TokenizerConfiguration.self, forKey: .tokenizer)
        model = try container.decode(UniMedConfiguration.self, forKey: .model)
        weights = try container.decode(.weights, default: WeightsConfiguration())
        visionPretraining = try container.decodeIfPresent(
            VisionPretrainingConfiguration.self,
            forKey: .visionPretraining
        )
        features = try container.decode(.features, default: FeatureConfiguration())
        training = try container.decode(TrainingConfiguration.self, forKey: .training)
        evaluation = try container.decode(.evaluation, default: EvaluationConfiguration())

        try container.require(!name.isEmpty, .name, "must not be empty")
        let isDevice = Device(device).map { $0 != .meta } ?? false
        try container.require(isDevice, .device, "expected cpu, cuda or cuda:0, found '\(device)'")
        if let threads { try container.require(threads > 0, .threads, "must be positive, found \(threads)") }
        try container.require(
            weights.vision == nil || visionPretraining == nil,
            .visionPretraining,
            "contradicts weights.vision: either the weights are given or they are pretrained here"
        )
        if let frozenType = weights.frozenType {
            func refuse(_ problem: String) -> DecodingError {
                let path = container.codingPath + [CodingKeys.weights, WeightsConfiguration.CodingKeys.frozenType]
                return .dataCorrupted(.init(codingPath: path, debugDescription: problem))
            }
            if model.fineTuning == .full {
                throw refuse("contradicts model.fineTuning: with method full nothing of the language model is frozen")
            }
            if frozenType == .float32, precision == .bfloat16 {
                throw refuse("contradicts precision: products in bfloat16 would cast float32 weights at every step")
            }
        }
        try container.require(
            training.views == 1 || data.sets.contains { $0.augmentation != nil },
            .training,
            "views is \(training.views), but no data set has an augmentation to make views with"
        )
    }

    /// The device.
    public var torchDevice: Device { Device(device) ?? .cpu }

    // MARK: Files

    /// Reads a recipe file.
    ///
    /// `base: other.yaml` takes everything from another recipe, relative to the folder of this one, but what is said here:
    /// mappings are merged key by key; lists, numbers and texts, and a mapping marked `!replace`, take the base's place.
    ///
    /// - Throws: ``RecipeError`` that names the file, the field or line, and what is wrong.
    public static func load(contentsOf file: URL) throws(RecipeError) -> Recipe {
        try parse(text(of: file), file: file.path)
    }

    /// What a recipe file says.
    static func text(of file: URL) throws(RecipeError) -> String {
        let data: Data
        do {
            data = try Data(contentsOf: file)
        } catch {
            let exists = FileManager.default.fileExists(atPath: file.path)
            throw RecipeError(exists ? "cannot be read" : "no such file", file: file.path)
        }
        guard let text = String(data: data, encoding: .utf8) else {
            throw RecipeError("not UTF-8 text", file: file.path)
        }
        return text
    }

    /// Reads a recipe's text.
    ///
    /// - Parameters:
    ///   - text: YAML.
    ///   - file: The path that errors name, and that a base is relative to.
    /// - Throws: ``RecipeError`` that names the field or line and what is wrong.
    public static func parse(_ text: String, file: String? = nil) throws(RecipeError) -> Recipe {
        let based = try RecipeBase(text, file: file)
        do {
            return try YAMLDecoder().decode(Recipe.self, from: based.node)
        } catch {
            let error = RecipeError(decoding: error, file: file)
            guard let base = based.name else { throw error }
            // The fault may stand in either file, or in what they say together.
            let hint = "together with the base \(base); a mapping marked !replace takes the base's place"
            throw RecipeError("\(error.problem) (\(hint))", file: error.file, field: error.field, line: error.line)
        }
    }

    /// The recipe as YAML, with every default written out.
    ///
    /// - Throws: ``RecipeError`` when a number cannot be written.
    public func yaml() throws(RecipeError) -> String {
        do {
            let encoder = YAMLEncoder()
            encoder.options.sortKeys = false
            encoder.options.width = 120
            return try encoder.encode(self)
        } catch {
            throw RecipeError("cannot be written as YAML: \(error)")
        }
    }
}
