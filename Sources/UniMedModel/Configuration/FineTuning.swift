public import TorchNN

/// What of the language model is trained.
///
/// In a recipe one of
///
/// ```yaml
/// fineTuning: {method: lora, rank: 8, alpha: 16, dropout: 0.05, targets: [q_proj, v_proj]}
/// fineTuning: {method: loraMoE, rank: 4, alpha: 8, expertCount: 5, router: {kind: sparse, topK: 2}}
/// fineTuning: {method: full}
/// fineTuning: {method: none}
/// ```
public enum FineTuning: Codable, Sendable, Equatable {
    /// LoRA (Uni-Med section 3.2.3).
    case lowRank(LowRankConfiguration)
    /// LoRA-MoE (Uni-Med appendix A.2).
    case lowRankExperts(LowRankExpertsConfiguration)
    /// Every weight: for small models from scratch.
    case full
    /// Nothing: only the connector is trained.
    case frozen

    /// The layers of a block that can have adapters, by the last part of their names.
    public static let adaptableLayers = [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]

    enum CodingKeys: String, CodingKey, CaseIterable {
        case method, rank, alpha, dropout, targets, expertCount, router
    }

    private enum Method: String, Codable {
        case lora, loraMoE, full, none
    }

    /// Reads one of the forms above.
    ///
    /// What is not named has the default of ``LowRankConfiguration`` or ``LowRankExpertsConfiguration``; without
    /// `targets`, every linear layer but the vocabulary head has an adapter.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let method = try container.decode(Method.self, forKey: .method)
        if method != .loraMoE {
            for key in [CodingKeys.expertCount, .router] {
                try container.require(!container.contains(key), key, "belongs to method loraMoE only")
            }
        }
        switch method {
        case .lora:
            let defaults = LowRankConfiguration()
            self = .lowRank(
                LowRankConfiguration(
                    rank: try container.decodePositive(.rank, default: defaults.rank),
                    alpha: try container.decodeAlpha(default: defaults.alpha),
                    dropout: try container.decodeDropout(default: defaults.dropout),
                    targets: try container.decodeTargets()
                )
            )
        case .loraMoE:
            let defaults = LowRankExpertsConfiguration()
            let count = try container.decodePositive(.expertCount, default: defaults.expertCount)
            let router =
                try container.decodeIfPresent(RouterSettings.self, forKey: .router)?.router ?? defaults.router
            if case .sparse(let topK, _, _) = router, topK > count {
                throw DecodingError.dataCorrupted(
                    .init(
                        codingPath: container.codingPath + [CodingKeys.router, RouterSettings.CodingKeys.topK],
                        debugDescription: "\(topK) experts are kept, but expertCount is \(count)"
                    )
                )
            }
            self = .lowRankExperts(
                LowRankExpertsConfiguration(
                    rank: try container.decodePositive(.rank, default: defaults.rank),
                    alpha: try container.decodeAlpha(default: defaults.alpha),
                    dropout: try container.decodeDropout(default: defaults.dropout),
                    expertCount: count,
                    router: router,
                    targets: try container.decodeTargets()
                )
            )
        case .full, .none:
            for key in [CodingKeys.rank, .alpha, .dropout, .targets] {
                try container.require(!container.contains(key), key, "belongs to methods lora and loraMoE only")
            }
            self = method == .full ? .full : .frozen
        }
    }

    /// Writes what ``init(from:)`` reads.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .lowRank(let configuration):
            try container.encode(Method.lora, forKey: .method)
            try container.encode(configuration.rank, forKey: .rank)
            try container.encode(configuration.alpha, forKey: .alpha)
            try container.encode(configuration.dropout, forKey: .dropout)
            try container.encodeIfPresent(configuration.targets?.sorted(), forKey: .targets)
        case .lowRankExperts(let configuration):
            try container.encode(Method.loraMoE, forKey: .method)
            try container.encode(configuration.rank, forKey: .rank)
            try container.encode(configuration.alpha, forKey: .alpha)
            try container.encode(configuration.dropout, forKey: .dropout)
            try container.encode(configuration.expertCount, forKey: .expertCount)
            try container.encode(RouterSettings(configuration.router), forKey: .router)
            try container.encodeIfPresent(configuration.targets?.sorted(), forKey: .targets)
        case .full: try container.encode(Method.full, forKey: .method)
        case .frozen: try container.encode(Method.none, forKey: .method)
        }
    }
}

extension KeyedDecodingContainer<FineTuning.CodingKeys> {
    fileprivate func decodeAlpha(default value: Double) throws -> Double {
        let alpha = try decodeIfPresent(Double.self, forKey: .alpha) ?? value
        try require(alpha > 0 && alpha.isFinite, .alpha, "must be positive, got \(alpha)")
        return alpha
    }

    fileprivate func decodeDropout(default value: Double) throws -> Double {
        let dropout = try decodeIfPresent(Double.self, forKey: .dropout) ?? value
        try require((0..<1).contains(dropout), .dropout, "must be in 0..<1, got \(dropout)")
        return dropout
    }

    fileprivate func decodeTargets() throws -> Set<String>? {
        guard let names = try decodeIfPresent([String].self, forKey: .targets) else { return nil }
        try require(!names.isEmpty, .targets, "no layer is named; method none trains no adapters")
        try require(Set(names).count == names.count, .targets, "a layer is named twice")
        for name in names {
            let known = FineTuning.adaptableLayers
            try require(
                known.contains(name),
                .targets,
                "unknown layer \(name); there are \(known.joined(separator: ", "))"
            )
        }
        return Set(names)
    }
}

/// The router of LoRA-MoE as a recipe writes it.
///
/// `{kind: constant}`, `{kind: sparse, topK: 2, dropped: minusInfinity, network: linear}` or
/// `{kind: soft, normalization: sigmoid, network: mlp, hiddenSize: 64}`.
private struct RouterSettings: Codable {
    let router: LowRankRouterConfiguration

    enum CodingKeys: String, CodingKey, CaseIterable {
        case kind, topK, dropped, normalization, network, hiddenSize
    }

    private enum Kind: String, Codable {
        case constant, sparse, soft
    }

    private enum Network: String, Codable {
        case linear, mlp
    }

    init(_ router: LowRankRouterConfiguration) { self.router = router }

    init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        let kind = try container.decode(Kind.self, forKey: .kind)
        func reject(_ keys: [CodingKeys], _ problem: String) throws {
            for key in keys { try container.require(!container.contains(key), key, problem) }
        }
        if kind != .sparse { try reject([.topK, .dropped], "belongs to kind sparse only") }
        if kind != .soft { try reject([.normalization], "belongs to kind soft only") }
        if kind == .constant {
            try reject(
                [.network, .hiddenSize],
                "belongs to kinds sparse and soft only: a constant router scores nothing"
            )
        }
        let network: LowRankRouterConfiguration.Network
        switch try container.decodeIfPresent(Network.self, forKey: .network) ?? .linear {
        case .linear:
            try reject([.hiddenSize], "belongs to network mlp only")
            network = .linear
        case .mlp:
            let isGiven = container.contains(.hiddenSize)
            network = .mlp(hiddenSize: isGiven ? try container.decodePositive(.hiddenSize) : nil)
        }
        switch kind {
        case .constant: router = .constant
        case .sparse:
            router = .sparse(
                topK: try container.decodePositive(.topK, default: 2),
                dropped: try container.decodeIfPresent(LowRankRouterConfiguration.DroppedScore.self, forKey: .dropped)
                    ?? .minusInfinity,
                network: network
            )
        case .soft:
            router = .soft(
                try container.decodeIfPresent(
                    LowRankRouterConfiguration.Normalization.self,
                    forKey: .normalization
                ) ?? .sigmoid,
                network: network
            )
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch router {
        case .constant: try container.encode(Kind.constant, forKey: .kind)
        case .sparse(let topK, let dropped, _):
            try container.encode(Kind.sparse, forKey: .kind)
            try container.encode(topK, forKey: .topK)
            try container.encode(dropped, forKey: .dropped)
        case .soft(let normalization, _):
            try container.encode(Kind.soft, forKey: .kind)
            try container.encode(normalization, forKey: .normalization)
        }
        switch router.network {
        case .linear: try container.encode(Network.linear, forKey: .network)
        case .mlp(let hiddenSize):
            try container.encode(Network.mlp, forKey: .network)
            try container.encodeIfPresent(hiddenSize, forKey: .hiddenSize)
        case nil: break
        }
    }
}
