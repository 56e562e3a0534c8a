import UniMedData

/// A question about a phantom whose answer is known from how it was drawn.
struct PhantomQuestion {
    /// The kinds of question; the answers of none of them can be guessed well without looking.
    enum Kind: String, CaseIterable {
        case modality
        case plane
        case region
        case weighting
        case presence
        case count
        case side
        case color
        case border
        case cellType = "cell type"
    }

    var kind: Kind
    var text: String
    var answer: String
    var choices: [String]?

    init(_ kind: Kind, _ text: String, _ answer: String, choices: [String]? = nil) {
        self.kind = kind
        self.text = text
        self.answer = answer
        self.choices = choices
    }

    /// A question whether something is there.
    static func presence(_ text: String, _ isPresent: Bool) -> PhantomQuestion {
        PhantomQuestion(.presence, text, isPresent ? "yes" : "no", choices: ["yes", "no"])
    }

    /// The same question in other words, or in these.
    func rephrased(_ generator: inout SeededGenerator) -> String {
        let others = Self.phrasings[text] ?? []
        let index = generator.integer(below: others.count + 1)
        return index < others.count ? others[index] : text
    }

    private static let phrasings: [String: [String]] = [
        "Which imaging modality is this?": [
            "What modality was used to take this image?", "How was this image acquired?",
        ],
        "Which part of the body is shown?": ["What body region is this?", "What does this image depict?"],
        "In which plane is this image?": ["What is the plane of this image?", "Which imaging plane is shown?"],
        "Is this image T1 or T2 weighted?": ["What is the weighting of this MR image?"],
        "Is there a tumor in the brain?": ["Does the brain contain a tumor?", "Is a brain tumor visible?"],
        "Which hemisphere contains the tumor?": ["On which side is the tumor?"],
        "Is there a lesion in the liver?": ["Does the liver contain a lesion?", "Is a liver lesion visible?"],
        "How many lesions are in the liver?": ["What is the number of liver lesions?"],
        "Is there a mass in the lung?": ["Does either lung contain a mass?", "Is a lung mass visible?"],
        "Is there a pleural effusion?": ["Is a pleural effusion visible?", "Is there fluid beside a lung?"],
        "Which lung is affected?": ["On which side is the finding?"],
        "What is the main color of the lesion?": ["What color is the lesion?", "Which color does the lesion have?"],
        "Is the border of the lesion regular or irregular?": ["How is the border of the lesion?"],
        "Are hairs visible on the skin?": ["Is there hair in the image?", "Does hair cross the skin?"],
        "Is a color patch visible beside the lesion?": ["Is there a color patch in the image?"],
        "How many white blood cells are there?": [
            "What is the number of white blood cells?", "How many white blood cells can be seen?",
        ],
        "Is there a platelet?": ["Are platelets visible?", "Can a platelet be seen?"],
        "What type of white blood cell is shown?": ["Which type of white blood cell is this?"],
    ]
}
