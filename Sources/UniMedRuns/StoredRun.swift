/// A training run as the store knows it.
public struct StoredRun: Codable, Sendable, Equatable {
    /// The identifier: digits and letters that follow from folder and start, so that a continued run keeps it.
    public var id: String
    /// The recipe's name.
    public var name: String
    /// The run's folder when it was recorded.
    public var folder: String
    /// Whether the model is finished.
    public var isFinished: Bool
    /// When it began and was last recorded, in ISO 8601.
    public var started: String
    /// When it was last recorded, in ISO 8601.
    public var updated: String
    /// The commit of the sources.
    public var commit: String?
    /// The version of LibTorch.
    public var torchVersion: String?
    /// The operating system.
    public var system: String?
    /// The seed; text, because it can be larger than SQLite's integers.
    public var seed: String
    /// The device.
    public var device: String?
    /// The type of the computation.
    public var precision: String?
    /// The CPU threads of one operation.
    public var threads: Int?
    /// The content key of the data.
    public var dataKey: String?
    /// The SHA-256 of the vocabulary.
    public var tokenizerDigest: String?
    /// The content key of the features.
    public var featuresKey: String?
    /// The steps that are done.
    public var steps: Int
    /// The seconds of joint training.
    public var seconds: Double
    /// The last loss, in nats per target token.
    public var loss: Double?
    /// The digest of the recipe, which ``StoredRecipe`` has; `nil` without one.
    public var recipeDigest: String?

    /// Makes a run.
    public init(
        id: String,
        name: String,
        folder: String,
        isFinished: Bool,
        started: String,
        updated: String,
        commit: String? = nil,
        torchVersion: String? = nil,
        system: String? = nil,
        seed: String,
        device: String? = nil,
        precision: String? = nil,
        threads: Int? = nil,
        dataKey: String? = nil,
        tokenizerDigest: String? = nil,
        featuresKey: String? = nil,
        steps: Int = 0,
        seconds: Double = 0,
        loss: Double? = nil,
        recipeDigest: String? = nil
    ) {
        self.id = id
        self.name = name
        self.folder = folder
        self.isFinished = isFinished
        self.started = started
        self.updated = updated
        self.commit = commit
        self.torchVersion = torchVersion
        self.system = system
        self.seed = seed
        self.device = device
        self.precision = precision
        self.threads = threads
        self.dataKey = dataKey
        self.tokenizerDigest = tokenizerDigest
        self.featuresKey = featuresKey
        self.steps = steps
        self.seconds = seconds
        self.loss = loss
        self.recipeDigest = recipeDigest
    }
}

/// A resolved recipe, kept once for all runs that have it.
public struct StoredRecipe: Codable, Sendable, Equatable {
    /// The SHA-256 of the text.
    public var digest: String
    /// The recipe's text.
    public var yaml: String
    /// Every setting by its path, for example `training.steps`.
    public var fields: [String: String]

    /// Makes a recipe.
    public init(digest: String, yaml: String, fields: [String: String]) {
        self.digest = digest
        self.yaml = yaml
        self.fields = fields
    }
}

/// A number over the steps of a run.
public struct StoredCurve: Codable, Sendable, Equatable {
    /// What it is, for example `loss` or `loss/vqa`.
    public var series: String
    /// The steps, rising.
    public var steps: [Int]
    /// The value at each step.
    public var values: [Double]

    /// The most points that are kept of a curve.
    public static let pointLimit = 500

    /// Makes a curve.
    ///
    /// - Precondition: as many values as steps.
    public init(series: String, steps: [Int], values: [Double]) {
        precondition(steps.count == values.count, "a value for every step")
        self.series = series
        self.steps = steps
        self.values = values
    }

    /// The curve with at most `limit` points: each the mean of neighbours, at the last of their steps.
    public func sampled(to limit: Int = pointLimit) -> StoredCurve {
        precondition(limit > 0, "a curve keeps a point at least")
        let finite = zip(steps, values).filter { $0.1.isFinite }
        guard finite.count > limit else {
            return StoredCurve(series: series, steps: finite.map(\.0), values: finite.map(\.1))
        }
        let width = (finite.count + limit - 1) / limit
        var result = StoredCurve(series: series, steps: [], values: [])
        for start in stride(from: 0, to: finite.count, by: width) {
            let part = finite[start..<min(start + width, finite.count)]
            result.steps.append(part[part.endIndex - 1].0)
            result.values.append(part.reduce(0) { $0 + $1.1 } / Double(part.count))
        }
        return result
    }
}

/// An evaluation of a run, or predictions that were scored.
public struct StoredEvaluation: Codable, Sendable, Equatable {
    /// The identifier: follows from the run and the digest of the predictions, so that scoring again replaces it.
    public var id: String
    /// The run; `nil` for a model that no known run has made.
    public var runID: String?
    /// When it was recorded, in ISO 8601.
    public var recorded: String
    /// The command that recorded it: evaluate, score or ablate.
    public var command: String
    /// The file of the predictions.
    public var predictions: String
    /// The SHA-256 of the predictions.
    public var predictionsDigest: String
    /// The number of predictions.
    public var predictionCount: Int
    /// The part of the data, where it is known.
    public var split: String?

    /// Makes an evaluation.
    public init(
        id: String,
        runID: String?,
        recorded: String,
        command: String,
        predictions: String,
        predictionsDigest: String,
        predictionCount: Int,
        split: String? = nil
    ) {
        self.id = id
        self.runID = runID
        self.recorded = recorded
        self.command = command
        self.predictions = predictions
        self.predictionsDigest = predictionsDigest
        self.predictionCount = predictionCount
        self.split = split
    }
}

/// One metric of an evaluation.
public struct StoredScore: Codable, Sendable, Equatable {
    /// The evaluation.
    public var evaluationID: String
    /// The data set's name.
    public var dataset: String
    /// The task's short code.
    public var task: String
    /// All questions, or the open or closed ones.
    public var subset: String
    /// The metric's name in JSON.
    public var metric: String
    /// Whether the metric stands for the task.
    public var isPrimary: Bool
    /// How many samples it applies to.
    public var n: Int
    /// The samples that were not asked, where it is known.
    public var skipped: Int?
    /// The answers that did not have the form the task asks for.
    public var unparsable: Int
    /// The samples that stand in the training split, by kind; `nil` where it was not checked.
    public var leaks: String?
    /// The value.
    public var value: Double
    /// The lower end of the interval.
    public var lower: Double?
    /// The upper end of the interval.
    public var upper: Double?

    /// Makes a score.
    public init(
        evaluationID: String,
        dataset: String,
        task: String,
        subset: String,
        metric: String,
        isPrimary: Bool,
        n: Int,
        skipped: Int?,
        unparsable: Int,
        leaks: String?,
        value: Double,
        lower: Double?,
        upper: Double?
    ) {
        self.evaluationID = evaluationID
        self.dataset = dataset
        self.task = task
        self.subset = subset
        self.metric = metric
        self.isPrimary = isPrimary
        self.n = n
        self.skipped = skipped
        self.unparsable = unparsable
        self.leaks = leaks
        self.value = value
        self.lower = lower
        self.upper = upper
    }
}
