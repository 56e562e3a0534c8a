public import UniMedData

/// How answers are generated; the defaults are the published evaluation's: the likeliest token at each step, 20 tokens.
///
/// The search follows from what is set: ``temperature`` draws, ``beamCount`` above 1 searches with beams, otherwise the
/// likeliest token is taken.
public struct GenerationOptions: Codable, Sendable, Equatable {
    /// When a beam search stops before its longest answer.
    public enum EarlyStopping: String, Codable, Sendable, CaseIterable {
        /// When no open beam is likely to become better than the finished ones, judged at the present length.
        case heuristic
        /// As soon as there are as many finished answers as beams.
        case always
        /// When no open beam can become better than the finished ones, also if it grows to the longest answer.
        case never
    }

    /// Whose way of counting is followed where versions of `transformers` differ.
    public enum Convention: String, Codable, Sendable, CaseIterable {
        /// The version of the published code: given embeddings, answers begin with the token that begins a sequence, so
        /// the repetition penalty counts it; the length of a beam counts what stands before the answer, but not its end;
        /// every prompt's search stops by itself.
        case transformers430 = "transformers-4.30"
        /// Given embeddings, only new tokens count; the length of a beam is that of its new tokens with the end; the
        /// searches of a batch stop together, so that an answer may depend on what else is in the batch.
        case transformers451 = "transformers-4.51"
    }

    /// Where an answer is cut, in tokens; `nil` leaves it to the caller (``publishedMaximumNewTokens`` where that says nothing).
    public var maximumNewTokens: Int?
    /// The number of beams; 1 searches without.
    public var beamCount: Int
    /// How beams are compared: the sum of log probabilities is divided by the length to this power.
    ///
    /// Default: 1, the mean; more than that favours long answers, less favours short ones.
    public var lengthPenalty: Double
    /// When a beam search stops.
    public var earlyStopping: EarlyStopping
    /// What scores are divided by before a token is drawn; `nil` draws nothing and takes the likeliest.
    public var temperature: Double?
    /// The number of likeliest tokens that may be drawn; `nil` for all.
    public var topK: Int?
    /// The probability that the likeliest tokens that may be drawn have together, in `0...1`; `nil` for all tokens.
    public var topP: Double?
    /// What the scores of tokens that have been said are divided by, or multiplied by where they are negative.
    ///
    /// Default: 1, which changes nothing; more than that avoids repetition.
    public var repetitionPenalty: Double
    /// The seed of what is drawn.
    public var seed: UInt64
    /// Texts that end an answer and are cut from it.
    public var stopStrings: [String]
    /// Whether answers are held to their form: a box for referring expression comprehension, one of the choices where
    /// there are some.
    ///
    /// Default: false, as the published evaluation.
    public var constrained: Bool
    /// How a constrained box is written.
    public var boxStyle: NormalizedBox.Style
    /// Whose way of counting is followed.
    public var convention: Convention

    enum CodingKeys: String, CodingKey, CaseIterable {
        case maximumNewTokens, beamCount, lengthPenalty, earlyStopping, temperature, topK, topP, repetitionPenalty, seed
        case stopStrings, constrained, boxStyle, convention
    }

    /// Where an answer is cut unless something else is said, as in the published code.
    public static let publishedMaximumNewTokens = 20

    /// Makes options.
    public init(
        maximumNewTokens: Int? = nil,
        beamCount: Int = 1,
        lengthPenalty: Double = 1,
        earlyStopping: EarlyStopping = .heuristic,
        temperature: Double? = nil,
        topK: Int? = nil,
        topP: Double? = nil,
        repetitionPenalty: Double = 1,
        seed: UInt64 = 0,
        stopStrings: [String] = [],
        constrained: Bool = false,
        boxStyle: NormalizedBox.Style = .publishedCode,
        convention: Convention = .transformers430
    ) {
        self.maximumNewTokens = maximumNewTokens
        self.beamCount = beamCount
        self.lengthPenalty = lengthPenalty
        self.earlyStopping = earlyStopping
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
        self.stopStrings = stopStrings
        self.constrained = constrained
        self.boxStyle = boxStyle
        self.convention = convention
    }

    /// Reads options; what is not named has its default, unknown keys and contradictions are errors.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        func value<Value: Decodable>(_ key: CodingKeys, _ standard: Value) throws -> Value {
            try container.decodeIfPresent(Value.self, forKey: key) ?? standard
        }
        let standard = GenerationOptions()
        maximumNewTokens = try container.decodeIfPresent(Int.self, forKey: .maximumNewTokens)
        beamCount = try value(.beamCount, standard.beamCount)
        lengthPenalty = try value(.lengthPenalty, standard.lengthPenalty)
        earlyStopping = try value(.earlyStopping, standard.earlyStopping)
        temperature = try container.decodeIfPresent(Double.self, forKey: .temperature)
        topK = try container.decodeIfPresent(Int.self, forKey: .topK)
        topP = try container.decodeIfPresent(Double.self, forKey: .topP)
        repetitionPenalty = try value(.repetitionPenalty, standard.repetitionPenalty)
        seed = try value(.seed, standard.seed)
        stopStrings = try value(.stopStrings, standard.stopStrings)
        constrained = try value(.constrained, standard.constrained)
        boxStyle = try value(.boxStyle, standard.boxStyle)
        convention = try value(.convention, standard.convention)
        if let problem {
            try container.require(false, problem.key, "expected \(problem.expected), got \(problem.got)")
        }
    }

    /// Checks ranges and contradictions.
    ///
    /// - Throws: ``GenerationError/invalidOption(field:expected:got:)`` that names the field.
    public func validate() throws(GenerationError) {
        guard let problem else { return }
        throw .invalidOption(field: problem.key.stringValue, expected: problem.expected, got: problem.got)
    }

    /// The first thing that is wrong.
    private var problem: (key: CodingKeys, expected: String, got: String)? {
        if let maximumNewTokens, maximumNewTokens < 1 {
            return (.maximumNewTokens, "a positive number", "\(maximumNewTokens)")
        }
        if beamCount < 1 { return (.beamCount, "a positive number", "\(beamCount)") }
        if !lengthPenalty.isFinite { return (.lengthPenalty, "a finite number", "\(lengthPenalty)") }
        if let temperature, !(temperature > 0 && temperature.isFinite) {
            return (.temperature, "a positive number, or none for the likeliest token", "\(temperature)")
        }
        if let topK, topK < 1 { return (.topK, "a positive number", "\(topK)") }
        if let topP, !(topP >= 0 && topP <= 1) { return (.topP, "a number in 0...1", "\(topP)") }
        if !(repetitionPenalty > 0 && repetitionPenalty.isFinite) {
            return (.repetitionPenalty, "a positive number", "\(repetitionPenalty)")
        }
        if temperature == nil, let topK { return (.topK, "a temperature beside it, since it limits draws", "\(topK)") }
        if temperature == nil, let topP { return (.topP, "a temperature beside it, since it limits draws", "\(topP)") }
        if let temperature, beamCount > 1 {
            return (
                .temperature, "none beside beamCount \(beamCount): a search with beams draws nothing", "\(temperature)"
            )
        }
        if beamCount == 1, lengthPenalty != 1 {
            return (.lengthPenalty, "beams, which it compares (beamCount is 1)", "\(lengthPenalty)")
        }
        if beamCount == 1, earlyStopping != .heuristic {
            return (.earlyStopping, "beams, whose search it ends (beamCount is 1)", earlyStopping.rawValue)
        }
        if stopStrings.contains("") { return (.stopStrings, "texts that are not empty", "an empty one") }
        return nil
    }
}
