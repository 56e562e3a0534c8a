public import Foundation
public import TorchCheckpoints
public import TorchNN

/// What the `adapter_config.json` of PEFT says about a LoRA adapter.
///
/// Every key that changes the computation is taken or, when it asks for something that is not computed here, refused by
/// name; a key that is not known is refused unless it is off (null, false, empty).
public struct PEFTConfiguration: Sendable, Equatable {
    /// Which layers of a model are meant.
    public enum Modules: Sendable, Equatable {
        /// Layers of these names, or whose names end with one of them after a point.
        case names([String])
        /// Layers whose whole names fit a regular expression.
        case pattern(String)
        /// Every linear layer but the vocabulary head.
        case allLinear
    }

    /// Another value for some of the layers.
    public struct Override<Value: Sendable & Equatable>: Sendable, Equatable {
        /// A regular expression for a layer's name, or for its end after a point.
        public var pattern: String
        /// The value.
        public var value: Value

        /// Makes an override.
        public init(pattern: String, value: Value) {
            self.pattern = pattern
            self.value = value
        }
    }

    /// The rank of the update.
    public var rank: Int
    /// The update is scaled by `alpha / rank`, or by `alpha / √rank` when ``isRankStabilized``.
    public var alpha: Double
    /// The share of inputs zeroed during training.
    public var dropout: Double
    /// The layers with an adapter.
    public var targets: Modules
    /// Layers without an adapter even if they are targets.
    public var excluded: Modules?
    /// The blocks whose layers have an adapter; `nil` is all.
    ///
    /// For targets that are given by the end of their names.
    public var layerIndexes: [Int]?
    /// The name before the number of a block; none is any name.
    public var layerNames: [String]
    /// Whether the update is scaled by the square root of the rank (Kalajdzievski 2023).
    public var isRankStabilized: Bool
    /// Other ranks for some layers; the first that fits counts.
    public var ranks: [Override<Int>]
    /// Other values of `alpha` for some layers; the first that fits counts.
    public var alphas: [Override<Double>]
    /// Where the model without the adapter is, as the adapter's maker called it.
    public var baseModel: String?

    /// Makes a configuration.
    public init(
        rank: Int,
        alpha: Double,
        dropout: Double = 0,
        targets: Modules = .allLinear,
        excluded: Modules? = nil,
        layerIndexes: [Int]? = nil,
        layerNames: [String] = [],
        isRankStabilized: Bool = false,
        ranks: [Override<Int>] = [],
        alphas: [Override<Double>] = [],
        baseModel: String? = nil
    ) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targets = targets
        self.excluded = excluded
        self.layerIndexes = layerIndexes
        self.layerNames = layerNames
        self.isRankStabilized = isRankStabilized
        self.ranks = ranks
        self.alphas = alphas
        self.baseModel = baseModel
    }

    // MARK: Layers

    /// The adapter of each layer that has one, by the layer's name.
    ///
    /// `alpha` is such that `alpha / rank` is the scale, also where the file scales by the square root.
    ///
    /// - Parameters:
    ///   - linears: The names of all linear layers of the model, such as `model.layers.0.self_attn.q_proj`.
    ///   - head: The name of the vocabulary head, which ``Modules/allLinear`` leaves out.
    /// - Throws: ``CheckpointError`` of kind `unsupported` when a pattern is no regular expression.
    public func layers(
        of linears: [String],
        head: String = "lm_head"
    ) throws(CheckpointError) -> [String: LowRankConfiguration] {
        let isTarget = try matcher(targets, key: "target_modules", head: head)
        let isExcluded = try excluded.map { modules throws(CheckpointError) in
            try matcher(modules, key: "exclude_modules", head: head)
        }
        let ranks = try ranks.map { item throws(CheckpointError) in
            (try Self.suffixPattern(item.pattern, key: "rank_pattern"), item.value)
        }
        let alphas = try alphas.map { item throws(CheckpointError) in
            (try Self.suffixPattern(item.pattern, key: "alpha_pattern"), item.value)
        }
        var layers: [String: LowRankConfiguration] = [:]
        for name in linears where isTarget(name) && isExcluded?(name) != true {
            let rank = ranks.first { name.isWholeMatch(of: $0.0) }?.1 ?? rank
            let alpha = alphas.first { name.isWholeMatch(of: $0.0) }?.1 ?? alpha
            layers[name] = LowRankConfiguration(
                rank: rank,
                alpha: isRankStabilized ? alpha * Double(rank).squareRoot() : alpha,
                dropout: dropout
            )
        }
        return layers
    }

    private func matcher(
        _ modules: Modules,
        key: String,
        head: String
    ) throws(CheckpointError) -> (String) -> Bool {
        switch modules {
        case .pattern(let pattern):
            let expression = try Self.expression(pattern, key: key)
            return { $0.isWholeMatch(of: expression) }
        case .allLinear: return { $0 != head && isInLayers($0) }
        case .names(let names):
            let set = Set(names)
            return { name in
                set.contains(name) || (names.contains { name.hasSuffix("." + $0) } && isInLayers(name))
            }
        }
    }

    /// Whether a layer is in one of the blocks of ``layerIndexes``.
    private func isInLayers(_ name: String) -> Bool {
        guard let layerIndexes else { return true }
        let parts = name.split(separator: ".")
        for position in stride(from: parts.count - 2, to: 1, by: -1) {
            guard let index = Int(parts[position]), index >= 0 else { continue }
            if layerNames.isEmpty || layerNames.contains(String(parts[position - 1])) {
                return layerIndexes.contains(index)
            }
        }
        return false
    }

    private static func suffixPattern(_ pattern: String, key: String) throws(CheckpointError) -> Regex<AnyRegexOutput> {
        try expression("(.*\\.)?(\(pattern))", key: key)
    }

    private static func expression(_ pattern: String, key: String) throws(CheckpointError) -> Regex<AnyRegexOutput> {
        do {
            return try Regex(pattern)
        } catch {
            throw CheckpointError(.unsupported, file: nil, key: key, "not a regular expression", got: "'\(pattern)'")
        }
    }
}

extension String {
    /// Whether the whole text fits; a match that fails is none.
    fileprivate func isWholeMatch(of expression: Regex<AnyRegexOutput>) -> Bool {
        (try? expression.wholeMatch(in: self)) != nil
    }
}

// MARK: - Reading

extension PEFTConfiguration {
    /// Reads an `adapter_config.json`.
    ///
    /// - Throws: ``CheckpointError`` with the file and the key: `unreadable`, `malformed`, or `unsupported` for what is
    ///   not computed here, such as another kind of adapter, DoRA, or trained biases.
    public init(contentsOf url: URL) throws(CheckpointError) {
        let data: Data
        do {
            data = try Data(contentsOf: url)
        } catch {
            throw CheckpointError(.unreadable, file: url.path)
        }
        var fields = try AdapterFields(data, file: url.path)
        let kind = try fields.text("peft_type")
        guard kind == "LORA" else {
            throw fields.refusal("peft_type", "another kind of adapter", expected: "LORA", got: kind ?? "none")
        }
        guard let rank = try fields.integer("r") else { throw fields.damage("r", "it is missing") }
        guard let alpha = try fields.number("lora_alpha") else { throw fields.damage("lora_alpha", "it is missing") }
        guard let targets = try fields.modules("target_modules") else {
            throw fields.refusal(
                "target_modules",
                "no layers",
                expected: "names, a pattern or 'all-linear'",
                got: "none"
            )
        }
        self.init(
            rank: rank,
            alpha: alpha,
            dropout: try fields.number("lora_dropout") ?? 0,
            targets: targets,
            excluded: try fields.modules("exclude_modules"),
            layerIndexes: try fields.integers("layers_to_transform"),
            layerNames: try fields.texts("layers_pattern") ?? [],
            isRankStabilized: try fields.flag("use_rslora") ?? false,
            ranks: try fields.table("rank_pattern").map { Override(pattern: $0.0, value: Int($0.1)) },
            alphas: try fields.table("alpha_pattern").map { Override(pattern: $0.0, value: $0.1) },
            baseModel: try fields.text("base_model_name_or_path")
        )
        for (key, rank) in [("r", rank)] + ranks.map({ ("rank_pattern", $0.value) }) where rank <= 0 {
            throw fields.refusal(key, "another kind of adapter", expected: "a positive rank", got: "\(rank)")
        }
        guard (0..<1).contains(dropout) else {
            throw fields.refusal("lora_dropout", "not a share", expected: "0..<1", got: "\(dropout)")
        }
        let bias = try fields.text("bias") ?? "none"
        guard bias == "none" else {
            throw fields.refusal("bias", "biases trained beside the adapter", expected: "none", got: bias)
        }
        try fields.requireKnownInitialization()
        try fields.requireOthersOff()
        // What is no regular expression is said with the file.
        do throws(CheckpointError) {
            _ = try layers(of: [])
        } catch {
            throw fields.refusal(error.key ?? "", error.problem, expected: "a regular expression", got: error.got ?? "")
        }
    }
}

/// The keys of an `adapter_config.json`; those that were taken are struck off.
private struct AdapterFields {
    private let file: String
    private var fields: [String: HeaderJSON]

    /// Keys about the making of an adapter, not about what it computes.
    private static let irrelevant: Set<String> = [
        "auto_mapping", "base_model_class", "corda_config", "eva_config", "inference_mode", "loftq_config",
        "megatron_core", "parent_library", "peft_version", "qalora_group_size", "revision", "runtime_config",
        "task_type", "lora_ga_config", "arrow_config", "ensure_weight_tying",
    ]

    init(_ data: Data, file: String) throws(CheckpointError) {
        var parsed: Result<HeaderJSON, HeaderJSON.ParseError>?
        data.withUnsafeBytes { bytes in
            do throws(HeaderJSON.ParseError) {
                parsed = .success(try HeaderJSON(parsing: bytes))
            } catch {
                parsed = .failure(error)
            }
        }
        switch parsed {
        case .success(.object(let entries)):
            fields = Dictionary(entries.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        case .failure(let error):
            throw CheckpointError(.malformed, file: file, "not JSON: \(error.message) at byte \(error.offset)")
        default: throw CheckpointError(.malformed, file: file, "not a table")
        }
        self.file = file
    }

    func refusal(_ key: String, _ problem: String, expected: String, got: String) -> CheckpointError {
        CheckpointError(.unsupported, file: file, key: key, problem, expected: expected, got: got)
    }

    func damage(_ key: String, _ problem: String, got: HeaderJSON? = nil) -> CheckpointError {
        CheckpointError(.malformed, file: file, key: key, problem, got: got?.kind)
    }

    /// Takes a key; `nil` where it is missing or null.
    private mutating func take(_ key: String) -> HeaderJSON? {
        guard let value = fields.removeValue(forKey: key) else { return nil }
        if case .null = value { return nil }
        return value
    }

    mutating func text(_ key: String) throws(CheckpointError) -> String? {
        guard let value = take(key) else { return nil }
        guard case .string(let text) = value else { throw damage(key, "not a text", got: value) }
        return text
    }

    mutating func flag(_ key: String) throws(CheckpointError) -> Bool? {
        guard let value = take(key) else { return nil }
        guard case .bool(let flag) = value else { throw damage(key, "neither true nor false", got: value) }
        return flag
    }

    mutating func integer(_ key: String) throws(CheckpointError) -> Int? {
        guard let value = take(key) else { return nil }
        guard case .integer(let number) = value else { throw damage(key, "not a whole number", got: value) }
        return number
    }

    mutating func number(_ key: String) throws(CheckpointError) -> Double? {
        guard let value = take(key) else { return nil }
        guard let number = Self.number(value) else { throw damage(key, "not a number", got: value) }
        return number
    }

    private static func number(_ value: HeaderJSON) -> Double? {
        switch value {
        case .integer(let number): Double(number)
        case .number(let number) where number.isFinite: number
        default: nil
        }
    }

    /// One number or several; an empty list is none.
    mutating func integers(_ key: String) throws(CheckpointError) -> [Int]? {
        guard let value = take(key) else { return nil }
        if case .integer(let number) = value { return [number] }
        guard let numbers = value.sizes else { throw damage(key, "not a list of whole numbers", got: value) }
        return numbers.isEmpty ? nil : numbers
    }

    /// One text or several; an empty list is none.
    mutating func texts(_ key: String) throws(CheckpointError) -> [String]? {
        guard let value = take(key) else { return nil }
        if case .string(let text) = value { return [text] }
        guard case .array(let values) = value else { throw damage(key, "not a list of texts", got: value) }
        var texts: [String] = []
        for value in values {
            guard case .string(let text) = value else { throw damage(key, "not a list of texts", got: value) }
            texts.append(text)
        }
        return texts.isEmpty ? nil : texts
    }

    mutating func modules(_ key: String) throws(CheckpointError) -> PEFTConfiguration.Modules? {
        if case .string(let text) = fields[key] {
            fields[key] = nil
            return text == "all-linear" ? .allLinear : .pattern(text)
        }
        return try texts(key).map { .names($0) }
    }

    /// A table of numbers, in the order of the file; those of `rank_pattern` are whole.
    mutating func table(_ key: String) throws(CheckpointError) -> [(String, Double)] {
        guard let value = take(key) else { return [] }
        guard case .object(let entries) = value else { throw damage(key, "not a table", got: value) }
        var rows: [(String, Double)] = []
        for (pattern, value) in entries {
            guard let number = Self.number(value), key != "rank_pattern" || Int(exactly: number) != nil else {
                throw damage(key, "'\(pattern)' is not a number", got: value)
            }
            rows.append((pattern, number))
        }
        return rows
    }

    /// Refuses initial weights that come with a change of the model's own weights.
    mutating func requireKnownInitialization() throws(CheckpointError) {
        switch take("init_lora_weights") {
        case nil, .bool?: return
        case .string(let name)? where ["gaussian", "eva", "orthogonal"].contains(name): return
        case .string(let name)?:
            throw refusal(
                "init_lora_weights",
                "the adapter belongs to changed weights of the model",
                expected: "true, gaussian, eva or orthogonal",
                got: name
            )
        case let value?: throw damage("init_lora_weights", "neither true nor false nor a name", got: value)
        }
    }

    /// Refuses every other key that is not off.
    func requireOthersOff() throws(CheckpointError) {
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) where !Self.irrelevant.contains(key) {
            let isOff: Bool
            switch value {
            case .null, .bool(false): isOff = true
            case .array(let values): isOff = values.isEmpty
            case .object(let entries): isOff = entries.isEmpty
            default: isOff = false
            }
            guard isOff else {
                throw refusal(key, "this setting is not computed here", expected: "none", got: value.kind)
            }
        }
    }
}

// MARK: - Writing

extension PEFTConfiguration {
    /// The `adapter_config.json` of this configuration, as PEFT writes it.
    public var json: Data {
        func list(_ values: [String]) -> String { "[" + values.joined(separator: ", ") + "]" }
        func modules(_ modules: Modules?) -> String {
            switch modules {
            case nil: "null"
            case .allLinear: HeaderJSON.quoted("all-linear")
            case .pattern(let pattern): HeaderJSON.quoted(pattern)
            case .names(let names): list(names.map(HeaderJSON.quoted))
            }
        }
        /// PEFT expects a whole number where it can be one.
        func number(_ value: Double) -> String { Int(exactly: value).map { "\($0)" } ?? "\(value)" }
        func table(_ rows: [(String, String)]) -> String {
            "{" + rows.map { "\(HeaderJSON.quoted($0.0)): \($0.1)" }.joined(separator: ", ") + "}"
        }
        let fields: [(String, String)] = [
            ("alpha_pattern", table(alphas.map { ($0.pattern, number($0.value)) })),
            ("auto_mapping", "null"),
            ("base_model_name_or_path", baseModel.map(HeaderJSON.quoted) ?? "null"),
            ("bias", HeaderJSON.quoted("none")),
            ("exclude_modules", modules(excluded)),
            ("fan_in_fan_out", "false"),
            ("inference_mode", "true"),
            ("init_lora_weights", "true"),
            ("layers_pattern", layerNames.isEmpty ? "null" : list(layerNames.map(HeaderJSON.quoted))),
            ("layers_to_transform", layerIndexes.map { list($0.map(String.init)) } ?? "null"),
            ("lora_alpha", number(alpha)),
            ("lora_bias", "false"),
            ("lora_dropout", "\(dropout)"),
            ("modules_to_save", "null"),
            ("peft_type", HeaderJSON.quoted("LORA")),
            ("r", "\(rank)"),
            ("rank_pattern", table(ranks.map { ($0.pattern, "\($0.value)") })),
            ("revision", "null"),
            ("target_modules", modules(targets)),
            ("task_type", HeaderJSON.quoted("CAUSAL_LM")),
            ("use_dora", "false"),
            ("use_rslora", isRankStabilized ? "true" : "false"),
        ]
        let lines = fields.map { "  \(HeaderJSON.quoted($0.0)): \($0.1)" }.joined(separator: ",\n")
        return Data("{\n\(lines)\n}\n".utf8)
    }
}
