package import Torch
import TorchNN
import UniMedData
import UniMedModel

/// Where the features of pictures and views come from during joint training.
package protocol FeatureSource {
    /// What the features depend on: the same key means the same features.
    var key: String { get }
    /// Whether ``gather(_:device:)`` reads what was computed before, so that its time counts as waiting for data.
    var isRead: Bool { get }

    /// The features of rows, in any order, repeated ones too: `[n, N, Dv]`.
    ///
    /// - Parameters:
    ///   - rows: Rows of the ``ViewPlan``.
    ///   - device: Where the result lives.
    /// - Throws: `TorchError` when a row does not exist.
    func gather(_ rows: [Int], device: Device) throws(TorchError) -> Tensor
}

/// The features of rows of a plan, computed by the model's vision transformer.
struct FeatureEncoder {
    let model: UniMed
    let images: ImageShards
    let preprocessing: ImagePreprocessing
    let plan: ViewPlan
    private let generator: Generator

    /// Makes an encoder.
    ///
    /// - Throws: ``TrainingError`` when the vision transformer is trained, so that its features change at every step.
    init(
        model: UniMed,
        images: ImageShards,
        preprocessing: ImagePreprocessing,
        plan: ViewPlan
    ) throws(TrainingError) {
        let parameters = model.vision.namedParameters() + model.visionNorm.namedParameters()
        if let trained = parameters.first(where: { $0.parameter.isTrainable }) {
            throw TrainingError(
                .recipe,
                "\(trained.name) of the vision transformer is trained: its features cannot be computed beforehand",
                field: "features"
            )
        }
        self.model = model
        self.images = images
        self.preprocessing = preprocessing
        self.plan = plan
        generator = try training { try Generator(seed: 0) }
    }

    /// The features of rows, `[n, N, Dv]`, in the compute dtype.
    ///
    /// The noise of a view follows from its row, so that features do not depend on which rows are computed together.
    func features(_ rows: [Int]) throws(TorchError) -> Tensor {
        let views = rows.map { plan.view(atRow: $0) }
        let pixels = try images.tensor(of: views.map(\.position)).to(model.device)
        let unit = try preprocessing.unit(
            pixels,
            views.map(\.view),
            noiseSeeds: rows.map(UInt64.init),
            generator: generator
        )
        return try model.encodeImages(ImageTensor.normalized(unit: unit))
    }
}

/// Features that are computed whenever they are asked for.
final class UncachedFeatures: FeatureSource {
    let key: String
    var isRead: Bool { false }
    private let encoder: FeatureEncoder

    init(_ encoder: FeatureEncoder, key: String) {
        self.encoder = encoder
        self.key = "computed \(key)"
    }

    func gather(_ rows: [Int], device: Device) throws(TorchError) -> Tensor {
        try encoder.features(rows).to(device)
    }
}
