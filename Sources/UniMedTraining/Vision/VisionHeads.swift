import Torch
import TorchNN
import UniMedModel

/// What is put on the vision transformer for its pretraining, and thrown away after it: linear heads and a mask token.
final class VisionHeads: Module {
    /// `[1, 1, Dv]`: stands in the place of a hidden patch.
    let maskToken: Parameter
    /// One per field, on the mean token.
    let fields: ModuleList<Linear>
    /// The words of the report, on the mean token.
    let words: Linear?
    /// On every token: inside a box by class, the smallest box around, the centre of a box by class.
    let boxes: Linear?
    /// The number of boxes of each class that occurs more than once, on the mean token.
    let counts: Linear?
    /// The box of each class that is alone of its kind in the view, on the mean token.
    let locations: Linear?
    /// The texture of every patch, also of hidden ones.
    let tokenTexture: Linear
    /// The texture of the picture, on the mean token.
    let pictureTexture: Linear

    init(width: Int, targets: VisionTargets, pictureTextureSize: Int, builder: WeightBuilder) throws(TorchError) {
        maskToken = try builder.constant([1, 1, width], 0)
        var fields: [Linear] = []
        for field in targets.fields { fields.append(try Linear(width, field.values.count, builder: builder)) }
        self.fields = ModuleList(fields)
        words = targets.words.isEmpty ? nil : try Linear(width, targets.words.count, builder: builder)
        let labels = targets.labels.count
        boxes = labels == 0 ? nil : try Linear(width, 2 * labels + 4, builder: builder)
        let countSize = targets.countedClasses.reduce(0) { $0 + $1.classes }
        counts = countSize == 0 ? nil : try Linear(width, countSize, builder: builder)
        locations = labels == 0 ? nil : try Linear(width, 4 * labels, builder: builder)
        tokenTexture = try Linear(width, TextureDescriptors.tokenSize, builder: builder)
        pictureTexture = try Linear(width, pictureTextureSize, builder: builder)
    }

    var members: [ModuleMember] {
        var members: [ModuleMember] = [.parameter("mask_token", maskToken), .module("fields", fields)]
        for (name, head) in [("words", words), ("boxes", boxes), ("counts", counts), ("locations", locations)] {
            if let head { members.append(.module(name, head)) }
        }
        return members + [.module("texture", tokenTexture), .module("picture_texture", pictureTexture)]
    }
}
