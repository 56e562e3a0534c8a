import UniMedData
import UniMedImaging

/// The kinds of study that phantoms imitate.
public enum PhantomKind: String, Codable, CaseIterable, Sendable, Hashable {
    case ctTorso = "ct-torso"
    case mrHead = "mr-head"
    case chestXRay = "chest-xray"
    case dermoscopy
    case bloodSmear = "blood-smear"
}

/// What a phantom shows as a whole: the classes of its image classification.
public enum PhantomFinding: String, Codable, CaseIterable, Sendable, Hashable {
    case normalAbdomen = "normal abdomen"
    case liverLesion = "liver lesion"
    case normalChest = "normal chest"
    case lungMass = "lung mass"
    case pleuralEffusion = "pleural effusion"
    case normalBrain = "normal brain"
    case brainTumor = "brain tumor"
    case nevus
    case melanoma
    case hemangioma
    case normalBlood = "normal blood smear"
    case leukemia
}

/// What is known of a phantom besides its pixels and objects.
struct PhantomScene {
    var modality: String
    var region: String
    var plane: String?
    var finding: PhantomFinding
    /// Further fields, for example the weighting.
    var details: [String: String] = [:]
    var questions: [PhantomQuestion] = []
    var report: String
    /// The detector's noise, as a standard deviation in levels.
    var noise: Double
    var isGray = true

    /// All fields under their names.
    var fields: [String: String] {
        var fields = details
        fields["modality"] = modality
        fields["region"] = region
        fields["plane"] = plane
        fields["finding"] = finding.rawValue
        return fields
    }

    /// The words of a small number, as reports write it.
    static func word(_ count: Int) -> String {
        let words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        return words.indices.contains(count) ? words[count] : String(count)
    }
}

/// Draws one kind of study: figures on the canvas, and the facts that follow from them.
protocol PhantomPainter {
    /// The picture before anything is drawn.
    static func background(_ generator: inout SeededGenerator) -> PhantomColor
    /// Draws a study of which all is chosen by the generator.
    static func paint(on canvas: PhantomCanvas, _ generator: inout SeededGenerator) -> PhantomScene
}
