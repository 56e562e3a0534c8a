public import Foundation

/// Stages before the joint training that several runs share: the vocabulary, the vision transformer and its features.
///
/// A stage is found by its content key, as in a run's own folder, and made where it is missing. It is made with a seed of
/// its own, so that runs with different seeds can start from the same vision transformer.
public struct SharedStages: Sendable, Equatable {
    /// The folder of `tokenizer/` and `vision/`.
    public var folder: URL
    /// The folder of the cached features, which also depend on the views and the seed of a run.
    public var features: URL
    /// The seed of vocabulary and vision pretraining.
    public var seed: UInt64

    /// Names the folders and the seed.
    public init(folder: URL, features: URL, seed: UInt64) {
        self.folder = folder
        self.features = features
        self.seed = seed
    }
}
