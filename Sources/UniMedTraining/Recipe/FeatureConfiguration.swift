public import Torch
import UniMedModel

/// Where the features of the frozen vision transformer come from during joint training.
///
/// They are those behind its last normalisation and before the resampler, which is trained.
public struct FeatureConfiguration: Codable, Sendable, Equatable {
    /// How features come about.
    public enum Store: String, Codable, Sendable, CaseIterable {
        /// They are computed once and kept on disk; training never runs the vision transformer.
        case cached
        /// They are computed at every step, and nothing is kept.
        case computed
    }

    /// The type in which features are kept.
    public enum Precision: String, Codable, Sendable, CaseIterable {
        /// Half the size; what a bfloat16 run computes with.
        case bfloat16
        /// What a float32 run computes with.
        case float32

        /// The element type.
        public var dtype: DType { self == .float32 ? .float32 : .bfloat16 }
    }

    /// How features come about.
    ///
    /// Default: cached.
    public var store: Store
    /// The type in which features are kept.
    ///
    /// Default: bfloat16.
    public var precision: Precision
    /// The folder in which they are kept, relative to the recipe's; `nil` is that of the run.
    ///
    /// Runs with the same pictures, views and vision transformer can share one.
    public var folder: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case store, precision, folder
    }

    /// Makes a configuration.
    public init(store: Store = .cached, precision: Precision = .bfloat16, folder: String? = nil) {
        self.store = store
        self.precision = precision
        self.folder = folder
    }

    /// Reads a configuration.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.strictContainer(keyedBy: CodingKeys.self)
        store = try container.decode(.store, default: .cached)
        precision = try container.decode(.precision, default: .bfloat16)
        folder = try container.decodeIfPresent(String.self, forKey: .folder)
        if store == .computed {
            for key in [CodingKeys.precision, .folder] {
                try container.require(!container.contains(key), key, "contradicts store: computed, which keeps nothing")
            }
        }
        try container.require(folder != "", .folder, "must not be empty")
    }

    /// Writes the configuration.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(store, forKey: .store)
        guard store == .cached else { return }
        try container.encode(precision, forKey: .precision)
        try container.encodeIfPresent(folder, forKey: .folder)
    }
}
