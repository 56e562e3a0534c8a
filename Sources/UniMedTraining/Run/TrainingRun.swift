public import Foundation
import Torch
import TorchCheckpoints
import TorchNN
public import UniMedData
public import UniMedModel
import UniMedTasks
public import UniMedTokenizers

/// A run of a recipe in a folder: data, tokenizer, vision pretraining, features, joint training.
///
/// Every stage uses what is there already if it was made of the same things, and makes it otherwise; each is found by a
/// content key. Stages that train continue from their newest checkpoint.
///
/// ```
/// recipe.yaml  run.json       the resolved recipe; commit, versions, seed, device, fingerprints
/// tokenizer/                  tokenizer.model
/// vision/                     the pretrained transformer, its checkpoints and metrics
/// features/                   the cached features
/// checkpoints/                of the joint training
/// metrics.jsonl  events…      of the joint training
/// model/                      the finished model, for evaluating and asking
/// ```
///
/// Importing data sets needs image libraries, which training does not: the caller prepares the data.
///
/// ```swift
/// let run = try TrainingRun(recipe: recipe, recipeFolder: folder, folder: output)
/// let data = …  // prepared as the recipe's `data` says
/// _ = try run.train(data, control: control) { progress in … }
/// ```
public final class TrainingRun {
    /// The name of the finished model's folder.
    public static let modelFolderName = "model"

    /// The recipe.
    public let recipe: Recipe
    /// The folder that the recipe's paths are relative to.
    public let recipeFolder: URL
    /// The run's folder.
    public let folder: URL

    /// Stages that other runs have a part in; `nil` makes all of them in the run's folder.
    public let stages: SharedStages?

    private var record: RunRecord

    /// Makes the folder and writes the resolved recipe into it; sets the number of threads.
    ///
    /// - Parameters:
    ///   - recipeFolder: The folder that the recipe's paths are relative to.
    ///   - folder: Made when it is not there; an earlier run of the recipe is continued.
    ///   - stages: Where the stages before the joint training are, if runs share them.
    /// - Throws: ``TrainingError`` when the folder cannot be written, or the device cannot be used.
    public init(
        recipe: Recipe,
        recipeFolder: URL,
        folder: URL,
        stages: SharedStages? = nil
    ) throws(TrainingError) {
        self.stages = stages
        self.recipe = recipe
        self.recipeFolder = recipeFolder
        self.folder = folder
        try training {
            try recipe.torchDevice.requireAvailable()
            if let threads = recipe.threads { try Runtime.setThreadCount(threads) }
        }
        record = RunRecord(recipe, folder: folder)
        record.stages = stages.map { RunRecord.Stages(folder: $0.folder.path, seed: $0.seed) }
        try RunFolder.create(folder)
        let yaml = try training { try recipe.yaml() }
        try training {
            try UniMedData.AtomicFile.write(Data(yaml.utf8), to: folder.appendingPathComponent("recipe.yaml"))
        }
        try writeRecord()
    }

    /// A path of the recipe.
    public func resolve(_ path: String) -> URL {
        path.hasPrefix("/") ? URL(fileURLWithPath: path) : recipeFolder.appendingPathComponent(path).standardizedFileURL
    }

    private func writeRecord() throws(TrainingError) {
        let (record, url) = (self.record, folder.appendingPathComponent(RunRecord.fileName))
        try training { try DataFile.writeJSON(record, to: url) }
    }

    // MARK: Stages

    /// The tokenizer: of the recipe's file, or trained on the instructions and answers of the training split.
    ///
    /// - Throws: ``TrainingError`` of kind `tokenizer` when it cannot be read or trained.
    public func trainTokenizer(
        _ data: PreparedData,
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> any CheckpointTokenizer {
        try check(data)
        let stage = stageFolder.appendingPathComponent("tokenizer")
        let file = stage.appendingPathComponent(ModelCheckpoint.tokenizerName)
        let tokenizer: any CheckpointTokenizer
        switch recipe.tokenizer {
        case .file(let path):
            tokenizer = try ModelCheckpoint.loadTokenizer(resolve(path))
        case .train(let settings):
            let key = Self.key(["tokenizer 1", data.key, "\(settings)"])
            if StageKey.read(stage) != key || !FileManager.default.fileExists(atPath: file.path) {
                progress(StageProgress(stage: .tokenizer, done: 0, total: 1, unit: "vocabularies"))
                try RunFolder.create(stage)
                try StageKey.remove(stage)
                let texts = try texts(of: data)
                try training {
                    let coordinates = settings.coordinateTokens
                    let model = try SentencePieceTrainer.train(
                        texts: texts,
                        vocabularySize: settings.vocabularySize,
                        userDefinedSymbols: coordinates
                            ? SentencePieceTrainer.uniMedSymbols : [LlamaTokenizer.publishedPadPiece],
                        acceptsFewerPieces: true
                    )
                    try UniMedData.AtomicFile.write(model, to: file)
                }
                try StageKey.write(key, stage)
            }
            tokenizer = try ModelCheckpoint.loadTokenizer(file)
        }
        progress(StageProgress(stage: .tokenizer, done: 1, total: 1, unit: "vocabularies"))
        record.tokenizerDigest = Self.digest(of: tokenizer)
        try writeRecord()
        return tokenizer
    }

    /// Instructions and answers as the training split asks and answers them.
    private func texts(of data: PreparedData) throws(TrainingError) -> [String] {
        var texts: [String] = []
        for index in data.indices(split: .train) {
            let sample = data.samples[index]
            let definition = TaskRegistry.definition(of: sample.task)
            try training {
                texts.append(try definition.instruction(for: sample, templateSeed: stageSeed))
                texts.append(try definition.target(for: sample))
            }
        }
        guard !texts.isEmpty else {
            throw TrainingError(.data, "there is no sample of the training split", file: data.folder.path)
        }
        return texts
    }

    /// The model with the weights it starts from: random ones by the recipe's seed, the recipe's files, and the pretrained
    /// vision transformer where that stage is finished.
    ///
    /// - Throws: ``TrainingError`` when a file of weights does not fit.
    public func makeModel(tokenizer: any CheckpointTokenizer) throws(TrainingError) -> UniMed {
        try makeModel(tokenizer: tokenizer, needsLanguage: true)
    }

    /// Makes the model; where the language model is not needed its files are not read.
    private func makeModel(
        tokenizer: any CheckpointTokenizer,
        needsLanguage: Bool
    ) throws(TrainingError) -> UniMed {
        let (device, weights) = (recipe.torchDevice, recipe.weights)
        return try training {
            var configuration = recipe.model
            configuration.language.vocabularySize = tokenizer.vocabularySize
            let language = try needsLanguage ? weights.language.map { try Checkpoint.open(resolve($0)) } : nil
            if let path = weights.language, let language, let rows = try Llama.vocabularySize(in: language) {
                guard tokenizer.vocabularySize <= rows else {
                    let problem =
                        "the tokenizer has \(tokenizer.vocabularySize) tokens, the language model only \(rows) embeddings"
                    throw TrainingError(.tokenizer, problem, file: path)
                }
                configuration.language.vocabularySize = rows
            }
            try Runtime.seed(recipe.seed)
            // What a file has is not drawn: those weights get memory when they are read.
            let unplaced = WeightBuilder(device: .meta)
            let model = try UniMed(
                configuration,
                builder: WeightBuilder(device: device),
                visionBuilder: weights.vision == nil ? nil : unplaced,
                languageBuilder: weights.language == nil ? nil : unplaced,
                frozenType: weights.frozenType?.dtype
            )
            if let path = weights.vision {
                try model.vision.load(Checkpoint.open(resolve(path)), device: device)
            }
            if let language { try model.language.load(language, device: device) }
            if weights.language == nil {
                // A model from scratch starts with coordinates that know their order.
                if let first = Self.firstCoordinate(of: tokenizer) {
                    try model.language.initializeOrdinalTokens(Array(first..<first + Self.coordinateCount))
                }
                if let deviation = weights.embeddingDeviation {
                    let embedding = model.language.embedding.weight
                    try embedding.load(embedding.value.detach() * (deviation / Self.standardEmbeddingDeviation))
                }
            }
            model.computeDType = recipe.precision.dtype
            return model
        }
    }

    /// Of the model's own embeddings.
    private static let standardEmbeddingDeviation = 0.02
    private static let coordinateCount = SentencePieceTrainer.boxCoordinates.count

    /// What tells two tokenizers apart: the digest of the only file, or of all files and their names.
    private static func digest(of tokenizer: any CheckpointTokenizer) -> String {
        let files = tokenizer.files.sorted { $0.key < $1.key }
        if files.count == 1 { return SHA256.hexDigest(of: Array(files[0].value)) }
        return key(files.map { "\($0.key) \(SHA256.hexDigest(of: Array($0.value)))" })
    }

    /// The token of coordinate 0, where the vocabulary has the coordinates as consecutive tokens.
    private static func firstCoordinate(of tokenizer: any CheckpointTokenizer) -> Int? {
        let ids = SentencePieceTrainer.boxCoordinates.map { tokenizer.id(ofToken: $0) }
        guard let first = ids[0] else { return nil }
        return ids.enumerated().allSatisfy { $1 == first + $0 } ? first : nil
    }

    private static func named(_ module: any Module) -> [(name: String, tensor: Tensor)] {
        module.namedParameters().map { (name: $0.name, tensor: $0.parameter.value) }
    }

    /// Pretrains the vision transformer as the recipe says, or loads it when that is done; nothing without that stage.
    ///
    /// - Returns: How it ended; `.finished(step: 0)` where the recipe has no such stage.
    /// - Throws: ``TrainingError``.
    public func pretrainVision(
        _ model: UniMed,
        data: PreparedData,
        control: TrainingControl = TrainingControl(),
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> TrainingOutcome {
        guard let configuration = recipe.visionPretraining else { return .finished(step: 0) }
        let stage = stageFolder.appendingPathComponent("vision")
        let file = stage.appendingPathComponent("vision.safetensors")
        let key = try visionKey(configuration, data: data)
        if StageKey.read(stage) != key || !FileManager.default.fileExists(atPath: file.path) {
            try RunFolder.create(stage)
            try StageKey.remove(stage)
            let trainer = try VisionPretrainer(
                model: model,
                data: data,
                recipe: recipe.data,
                preprocessing: preprocessing,
                configuration: configuration,
                seed: SeededGenerator.derivedSeed(from: stageSeed, label: "vision"),
                key: key,
                folder: stage
            )
            let outcome = try trainer.run(control: control, progress: progress)
            guard case .finished = outcome else { return outcome }
            try training { try SafetensorsFile.write(Self.named(model.vision).map { ($0.name, $0.tensor) }, to: file) }
            try FolderDigests.write(of: [file.lastPathComponent], in: stage)
            try StageKey.write(key, stage)
        } else {
            try training {
                _ = try loadWeights(into: Self.named(model.vision), from: SafetensorsFile(contentsOf: file))
            }
            try FolderDigests.verify(stage)
        }
        progress(
            StageProgress(stage: .vision, done: configuration.steps, total: configuration.steps, unit: "steps")
        )
        return .finished(step: configuration.steps)
    }

    private func visionKey(
        _ configuration: VisionPretrainingConfiguration,
        data: PreparedData
    ) throws(TrainingError) -> String {
        var keyed = configuration
        keyed.checkpointEvery = 0
        keyed.logEvery = 0
        let parts = [
            "vision 1", data.key, try json(keyed), try json(recipe.model.vision), try json(unplaced(recipe.data)),
        ]
        return Self.key(parts + ["\(stageSeed)", recipe.precision.rawValue, "\(ImagePreprocessing.version)"])
    }

    /// How the recipe's pictures become pixels.
    public var preprocessing: ImagePreprocessing {
        ImagePreprocessing(storedSize: recipe.data.imageSize, modelSize: recipe.model.vision.imageSize)
    }

    /// Computes the features of all pictures and views, or opens them when that is done.
    ///
    /// Features of the run's own folder, or of its shared stages, are made anew when what they depend on changes; those of
    /// a folder that the recipe names, which other runs may use, are not: that is an error.
    ///
    /// - Parameter rebuilding: Whether features of a folder that the recipe names are made anew too.
    /// - Returns: `nil` when it was asked to stop, there are no pictures, or the recipe keeps no features.
    /// - Throws: ``TrainingError``.
    public func cacheFeatures(
        _ model: UniMed,
        data: PreparedData,
        rebuilding: Bool = false,
        control: TrainingControl = TrainingControl(),
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> FeatureCache? {
        guard data.images.count > 0, recipe.features.store == .cached else { return nil }
        let cache = try FeatureCache.openOrMake(
            featureFolder,
            model: model,
            data: data,
            preprocessing: preprocessing,
            plan: viewPlan(data),
            dtype: recipe.features.precision.dtype,
            mismatch: rebuilding || recipe.features.folder == nil ? .rebuild : .refuse,
            control: control,
            progress: progress
        )
        record.featuresKey = cache?.key
        try writeRecord()
        return cache
    }

    /// The folder of the cached features: the run's or that of its shared stages, unless the recipe names one.
    public var featureFolder: URL {
        recipe.features.folder.map { resolve($0) } ?? stages?.features ?? folder.appendingPathComponent("features")
    }

    private var stageFolder: URL { stages?.folder ?? folder }
    private var stageSeed: UInt64 { stages?.seed ?? recipe.seed }

    /// The features of pictures as the recipe says: cached or computed; `nil` when there are no pictures or it was asked to
    /// stop.
    private func featureSource(
        _ model: UniMed,
        data: PreparedData,
        control: TrainingControl,
        progress: ProgressHandler
    ) throws(TrainingError) -> (any FeatureSource)? {
        guard data.images.count > 0, recipe.features.store == .computed else {
            return try cacheFeatures(model, data: data, control: control, progress: progress)
        }
        let encoder = try FeatureEncoder(
            model: model,
            images: data.images,
            preprocessing: preprocessing,
            plan: viewPlan(data)
        )
        let features = UncachedFeatures(
            encoder,
            key: try FeatureCache.identity(encoder, data: data, dtype: model.computeDType).key
        )
        record.featuresKey = features.key
        try writeRecord()
        return features
    }

    private func viewPlan(_ data: PreparedData) -> ViewPlan {
        ViewPlan(data, recipe: recipe.data, views: recipe.training.views, seed: recipe.seed)
    }

    /// Runs the stages up to the cached features, and ends there.
    ///
    /// - Parameter rebuilding: Whether features that were made of something else are made anew; otherwise they are refused.
    /// - Returns: The features; `nil` when it was asked to stop.
    /// - Throws: ``TrainingError``; of kind `recipe` when the recipe keeps no features or its data have no pictures, of kind
    ///   `data` when there are features of something else.
    public func encode(
        _ data: PreparedData,
        rebuilding: Bool = false,
        control: TrainingControl = TrainingControl(),
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> FeatureCache? {
        guard recipe.features.store == .cached else {
            throw TrainingError(.recipe, "the recipe computes features at every step", field: "features.store")
        }
        guard data.images.count > 0 else {
            throw TrainingError(.recipe, "the data have no pictures", file: data.folder.path, field: "data")
        }
        let preparation = try prepare(data, needsLanguage: false, control: control, progress: progress)
        guard case .ready(let model, _) = preparation else { return nil }
        return try FeatureCache.openOrMake(
            featureFolder,
            model: model,
            data: data,
            preprocessing: preprocessing,
            plan: viewPlan(data),
            dtype: recipe.features.precision.dtype,
            mismatch: rebuilding ? .rebuild : .refuse,
            control: control,
            progress: progress
        )
    }

    /// What the stages before the features give.
    private enum Preparation {
        case ready(UniMed, tokenizer: any CheckpointTokenizer)
        case interrupted(TrainingOutcome)
    }

    /// Keeps what the model is trained on as digests, by which evaluation finds samples that it has seen.
    private func recordTrainingSplit(_ data: PreparedData) throws(TrainingError) {
        let file = folder.appendingPathComponent(TrainingSplit.fileName)
        let digests = record.trainingSplit
        let isThere = digests != nil && record.dataKey == data.key && FileManager.default.fileExists(atPath: file.path)
        guard !isThere else { return }
        try training {
            let split = TrainingSplit(of: data)
            try split.write(to: folder)
            record.trainingSplit = RunRecord.Digests(
                images: split.images.count,
                studies: split.studies.count,
                texts: split.texts.count,
                sha256: try DataFile.digest(of: file).sha256
            )
        }
    }

    /// The model with its final frozen weights, and its tokenizer.
    private func prepare(
        _ data: PreparedData,
        needsLanguage: Bool = true,
        control: TrainingControl,
        progress: ProgressHandler
    ) throws(TrainingError) -> Preparation {
        try check(data)
        try recordTrainingSplit(data)
        record.dataKey = data.key
        try writeRecord()
        let tokenizer = try trainTokenizer(data, progress: progress)
        let model = try makeModel(tokenizer: tokenizer, needsLanguage: needsLanguage)
        let pretraining = try pretrainVision(model, data: data, control: control, progress: progress)
        guard case .finished = pretraining else { return .interrupted(pretraining) }
        try restoreFrozen(model)
        try training {
            try model.vision.castFrozenParameters(to: model.computeDType)
            try model.visionNorm.castFrozenParameters(to: model.computeDType)
            if needsLanguage {
                try model.language.castFrozenParameters(to: recipe.weights.frozenType?.dtype ?? model.computeDType)
            }
        }
        return .ready(model, tokenizer: tokenizer)
    }

    /// Runs all stages on prepared data and saves the finished model.
    ///
    /// - Parameters:
    ///   - data: Prepared as the recipe's `data` says.
    ///   - control: A request to stop: the step is finished, a checkpoint is saved.
    ///   - progress: Told of every step.
    /// - Returns: How it ended. Where it was interrupted, the same call later continues.
    /// - Throws: ``TrainingError``; the newest checkpoint is untouched.
    public func train(
        _ data: PreparedData,
        control: TrainingControl = TrainingControl(),
        progress: ProgressHandler = { _ in }
    ) throws(TrainingError) -> TrainingOutcome {
        let model: UniMed
        let tokenizer: any CheckpointTokenizer
        switch try prepare(data, control: control, progress: progress) {
        case .ready(let prepared, let its): (model, tokenizer) = (prepared, its)
        case .interrupted(let outcome): return outcome
        }
        let features = try featureSource(model, data: data, control: control, progress: progress)
        if control.isCancelled { return .interrupted(step: 0) }
        let examples = try TrainingExamples(
            data,
            configuration: recipe.data,
            encoder: PromptEncoder(
                tokenizer: tokenizer,
                imageTokenCount: model.configuration.imageTokenCount,
                volume: model.configuration.volume,
                taskIdentifiers: model.configuration.taskIdentifiers,
                maximumLength: recipe.training.maximumLength
            ),
            plan: viewPlan(data),
            seed: recipe.seed,
            volume: model.configuration.volume
        )
        let key = try trainingKey(data: data, tokenizer: tokenizer, model: model, features: features)
        let trainer = try JointTrainer(
            model: model,
            examples: examples,
            features: features,
            configuration: recipe.training,
            ordinalTargets: try ordinalTargets(tokenizer, device: model.device),
            seed: recipe.seed,
            key: key,
            folder: folder
        )
        let outcome = try trainer.run(control: control, progress: progress)
        guard case .finished(let step) = outcome else { return outcome }
        try save(model, tokenizer: tokenizer, step: step, key: key, progress: progress)
        return outcome
    }

    private func ordinalTargets(
        _ tokenizer: any CheckpointTokenizer,
        device: Device
    ) throws(TrainingError) -> OrdinalTargets? {
        guard let deviation = recipe.training.coordinateDeviation else { return nil }
        guard let first = Self.firstCoordinate(of: tokenizer) else {
            let problem = "the vocabulary has no tokens for the coordinates 0 to 100"
            throw TrainingError(.recipe, problem, field: "training.coordinateDeviation")
        }
        return try training {
            try OrdinalTargets(firstToken: first, count: Self.coordinateCount, deviation: deviation, device: device)
        }
    }

    /// Writes the finished model unless it is there.
    private func save(
        _ model: UniMed,
        tokenizer: any CheckpointTokenizer,
        step: Int,
        key: String,
        progress: ProgressHandler
    ) throws(TrainingError) {
        let configuration = ModelCheckpoint.Configuration(
            name: recipe.name,
            steps: step,
            model: model.configuration,
            preprocessing: preprocessing,
            precision: recipe.precision,
            evaluation: recipe.evaluation,
            key: key
        )
        let target = folder.appendingPathComponent(Self.modelFolderName)
        if (try? ModelCheckpoint.configuration(of: target)) == configuration { return }
        progress(StageProgress(stage: .saving, done: 0, total: 1, unit: "models"))
        let checkpoint = ModelCheckpoint(configuration: configuration, model: model, tokenizer: tokenizer)
        try checkpoint.save(to: target)
        progress(StageProgress(stage: .saving, done: 1, total: 1, unit: "models"))
    }

    // MARK: Keys

    private func check(_ data: PreparedData) throws(TrainingError) {
        guard data.images.count == 0 || data.images.size == recipe.data.imageSize else {
            let problem =
                "the prepared pictures have \(data.images.size) pixels a side, the recipe says "
                + "\(recipe.data.imageSize)"
            throw TrainingError(.data, problem, file: data.folder.path, field: "data.imageSize")
        }
        guard recipe.model.volume != nil || !data.samples.contains(where: { $0.image?.volume != nil }) else {
            let problem = "the prepared data hold volumes and the recipe does not say how the model looks at them"
            throw TrainingError(.recipe, problem, field: "model.volume")
        }
    }

    private func trainingKey(
        data: PreparedData,
        tokenizer: any CheckpointTokenizer,
        model: UniMed,
        features: (any FeatureSource)?
    ) throws(TrainingError) -> String {
        var keyed = recipe.training
        // What does not change the weights may change between parts of a run.
        keyed.checkpointEvery = 0
        keyed.keptCheckpoints = 0
        keyed.logEvery = 0
        keyed.gradientCheckpointing = false
        let parts = [
            "training 1", data.key, features?.key ?? "", Self.digest(of: tokenizer),
            try json(model.configuration), try json(keyed), try json(unplaced(recipe.data)), try json(recipe.weights),
        ]
        return Self.key(parts + ["\(recipe.seed)", recipe.precision.rawValue])
    }

    /// The data's settings without where the data are: the data's own key says what they are.
    private func unplaced(_ data: DataConfiguration) -> DataConfiguration {
        var data = data
        data.root = nil
        for index in data.sets.indices { data.sets[index].path = nil }
        return data
    }

    private func json(_ value: some Encodable) throws(TrainingError) -> String {
        try training { String(decoding: try DataFile.encoder.encode(value), as: UTF8.self) }
    }

    private static func key(_ parts: [String]) -> String {
        var hash = SHA256()
        for part in parts { hash.update(part) }
        return hash.hexDigest()
    }

    // MARK: Frozen weights

    /// Keeps the frozen weights that no file has, and takes them from there when the run continues.
    ///
    /// They follow from the seed, but a run may continue on another machine or with another version of LibTorch.
    private func restoreFrozen(_ model: UniMed) throws(TrainingError) {
        let hasVision = recipe.weights.vision != nil || recipe.visionPretraining != nil
        let frozen = model.namedParameters().filter { name, parameter in
            if parameter.isTrainable || name.hasPrefix("ln_vision.") { return false }
            if name.hasPrefix("visual_encoder.") { return !hasVision }
            return recipe.weights.language == nil
        }
        guard !frozen.isEmpty else { return }
        let checkpoints = folder.appendingPathComponent("checkpoints")
        let file = checkpoints.appendingPathComponent("frozen.safetensors")
        let key = try Self.key(["frozen 1", json(model.configuration), "\(recipe.seed)"])
        try RunFolder.create(checkpoints)
        try training {
            if FileManager.default.fileExists(atPath: file.path) {
                let kept = try SafetensorsFile(contentsOf: file)
                if kept.metadata["key"] == key {
                    try loadWeights(into: frozen.map { (name: $0.name, tensor: $0.parameter.value) }, from: kept)
                    return
                }
            }
            try SafetensorsFile.write(
                frozen.map { ($0.name, $0.parameter.value) },
                metadata: ["key": key],
                to: file
            )
        }
    }
}

/// The content key of a finished stage, in a file of its folder.
enum StageKey {
    private static let name = "key"

    static func read(_ stage: URL) -> String? {
        FileManager.default.contents(atPath: stage.appendingPathComponent(name).path)
            .map { String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines) }
    }

    static func write(_ key: String, _ stage: URL) throws(TrainingError) {
        let url = stage.appendingPathComponent(name)
        try training { try UniMedData.AtomicFile.write(Data((key + "\n").utf8), to: url) }
    }

    static func remove(_ stage: URL) throws(TrainingError) {
        try RunFolder.remove(stage.appendingPathComponent(name))
    }
}
