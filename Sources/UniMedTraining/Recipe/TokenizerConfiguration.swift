import UniMedModel

/// Where the vocabulary of a recipe comes from.
public enum TokenizerConfiguration: Codable, Sendable, Equatable {
    /// Trained on the texts of the training split.
    case train(TokenizerTraining)
    /// That of a checkpoint: its folder, its `tokenizer.model` or its `tokenizer.json`.
    ///
    /// The path is relative to the recipe's folder unless it is absolute. What can be opened is `TokenizerForm`'s.
    case file(String)

    enum CodingKeys: String, CodingKey, CaseIterable {
        case train, file
    }

    /// Reads `{train: …}` or `{file: …}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        guard container.contains(.train) != container.contains(.file) else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: decoder.codingPath,
                    debugDescription:
                        "expected either train or file, found \(container.contains(.train) ? "both" : "none")"
                )
            )
        }
        if container.contains(.train) {
            self = .train(try container.decode(TokenizerTraining.self, forKey: .train))
        } else {
            let path = try container.decode(String.self, forKey: .file)
            try container.require(!path.isEmpty, .file, "must name a folder or a file")
            self = .file(path)
        }
    }

    /// Writes `{train: …}` or `{file: …}`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .train(let training): try container.encode(training, forKey: .train)
        case .file(let path): try container.encode(path, forKey: .file)
        }
    }
}

/// How a vocabulary is trained.
public struct TokenizerTraining: Codable, Sendable, Equatable {
    /// The number of pieces.
    ///
    /// Default: 2000.
    public var vocabularySize: Int
    /// Whether the box coordinates `<0>` to `<100>` are one piece each.
    ///
    /// Default: yes.
    public var coordinateTokens: Bool

    enum CodingKeys: String, CodingKey, CaseIterable {
        case vocabularySize, coordinateTokens
    }

    /// Makes settings.
    public init(vocabularySize: Int = 2000, coordinateTokens: Bool = true) {
        self.vocabularySize = vocabularySize
        self.coordinateTokens = coordinateTokens
    }

    /// Reads settings.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        vocabularySize = try container.decode(.vocabularySize, default: 2000)
        coordinateTokens = try container.decode(.coordinateTokens, default: true)
        try container.require(
            (300...1_000_000).contains(vocabularySize),
            .vocabularySize,
            "expected 300...1000000, found \(vocabularySize)"
        )
    }
}

/// Weights to start from; paths are relative to the recipe's folder unless they are absolute.
public struct WeightsConfiguration: Codable, Sendable, Equatable {
    /// The vision transformer's.
    public var vision: String?
    /// The language model's, in the layout of Hugging Face.
    public var language: String?
    /// The standard deviation of token embeddings that start at random; `nil` is the model's own, 0.02.
    ///
    /// A small model that is trained whole for a short time learns faster with embeddings as large as what its first
    /// blocks add to them.
    public var embeddingDeviation: Double?
    /// The type that the language model's weights are made and kept in where they are frozen; `nil` is that of the
    /// computation, after they were made in float32.
    ///
    /// With bfloat16 a language model of 7 billion weights takes 13.5 GB from the start. Where the computation is in
    /// float32, every product casts them for itself.
    public var frozenType: Recipe.Precision?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case vision, language, embeddingDeviation, frozenType
    }

    /// Makes a configuration.
    public init(
        vision: String? = nil,
        language: String? = nil,
        embeddingDeviation: Double? = nil,
        frozenType: Recipe.Precision? = nil
    ) {
        self.vision = vision
        self.language = language
        self.embeddingDeviation = embeddingDeviation
        self.frozenType = frozenType
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        vision = try container.decodeIfPresent(String.self, forKey: .vision)
        language = try container.decodeIfPresent(String.self, forKey: .language)
        embeddingDeviation = try container.decodeIfPresent(Double.self, forKey: .embeddingDeviation)
        frozenType = try container.decodeIfPresent(Recipe.Precision.self, forKey: .frozenType)
        if let embeddingDeviation {
            try container.require(
                embeddingDeviation > 0 && embeddingDeviation.isFinite,
                .embeddingDeviation,
                "must be positive, found \(embeddingDeviation)"
            )
            try container.require(
                language == nil,
                .embeddingDeviation,
                "contradicts language: the embeddings are given with its weights"
            )
        }
    }
}
