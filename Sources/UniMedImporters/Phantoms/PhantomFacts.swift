import UniMedData

/// Small facts about what the phantoms show, asked in many ways without a picture.
///
/// Every relation pairs subjects with answers and has several wordings. A wording of a fact belongs to one split: each
/// fact is asked in training in most of its wordings and in validation in the others, and each wording is used in
/// training with other facts. So validation asks paraphrases of facts that training has taught.
enum PhantomFacts {
    /// A question without a picture.
    struct Question: Equatable {
        var kind: String
        var text: String
        var answer: String
        var choices: [String]?
    }

    private struct Relation {
        var kind: String
        /// Questions in which `*` stands for the subject.
        var wordings: [String]
        var facts: [(subject: String, answer: String)]
        var choices: [String]?
    }

    /// The questions of a split, in a fixed order; there are none for the test split.
    static func questions(_ split: Split) -> [Question] {
        switch split {
        case .train: training
        case .validation: validation
        case .test: []
        }
    }

    private static let training = all(heldOut: false)
    private static let validation = all(heldOut: true)

    private static func all(heldOut: Bool) -> [Question] {
        var questions: [Question] = []
        for relation in relations {
            for (row, fact) in relation.facts.enumerated() {
                for (column, wording) in relation.wordings.enumerated()
                where ((row + column) % relation.wordings.count == 0) == heldOut {
                    let parts = wording.split(separator: "*", maxSplits: 1, omittingEmptySubsequences: false)
                    let text = parts.joined(separator: fact.subject)
                    questions.append(
                        Question(
                            kind: relation.kind,
                            text: text.prefix(1).uppercased() + text.dropFirst(),
                            answer: fact.answer,
                            choices: relation.choices
                        )
                    )
                }
            }
        }
        return questions
    }

    private static let yesNo = ["yes", "no"]

    private static let relations: [Relation] = [
        Relation(
            kind: "ionizing radiation",
            wordings: [
                "Does * use ionizing radiation?", "Is ionizing radiation used in *?",
                "Is the patient exposed to ionizing radiation by *?", "Does * involve ionizing radiation?",
                "Is ionizing radiation needed for *?", "Does ionizing radiation play a part in *?",
            ],
            facts: [
                ("CT", "yes"), ("chest X-ray", "yes"), ("mammography", "yes"), ("fluoroscopy", "yes"), ("PET", "yes"),
                ("MR", "no"), ("ultrasound", "no"), ("dermoscopy", "no"), ("microscopy", "no"), ("endoscopy", "no"),
            ],
            choices: yesNo
        ),
        Relation(
            kind: "principle",
            wordings: [
                "What does * use to make an image?", "An image in * is made with what?",
                "On what is * based?", "Which physical signal does * measure?", "What forms the image in *?",
                "What carries the information in *?",
            ],
            facts: [
                ("CT", "X-rays"), ("mammography", "X-rays"), ("MR", "magnetic field"),
                ("functional MR", "magnetic field"),
                ("ultrasound", "sound waves"), ("echocardiography", "sound waves"), ("dermoscopy", "light"),
                ("microscopy", "light"),
            ]
        ),
        Relation(
            kind: "location",
            wordings: [
                "In which part of the body is the *?", "Where is the *?", "Which body region contains the *?",
                "The * is found in which part of the body?", "Where in the body does the * lie?",
                "What is the location of the *?",
            ],
            facts: [
                ("liver", "abdomen"), ("spleen", "abdomen"), ("stomach", "abdomen"), ("left kidney", "abdomen"),
                ("heart", "chest"), ("left lung", "chest"), ("sternum", "chest"), ("clavicle", "chest"),
                ("cerebellum", "head"), ("brainstem", "head"), ("corpus callosum", "head"),
                ("lateral ventricle", "head"),
            ]
        ),
        Relation(
            kind: "body side",
            wordings: [
                "On which side of the body is the *?", "Does the * lie on the left or the right?",
                "Is the * a left or a right organ?", "On which side does one find the *?",
                "Which side of the body contains the *?", "Left or right: where is the *?",
            ],
            facts: [
                ("liver", "right"), ("gallbladder", "right"), ("appendix", "right"), ("cecum", "right"),
                ("spleen", "left"), ("stomach", "left"), ("tip of the heart", "left"), ("descending colon", "left"),
            ],
            choices: ["left", "right"]
        ),
        Relation(
            kind: "function",
            wordings: [
                "What is the task of *?", "What do * do?", "What are * for?", "Which function do * have?",
                "What is the role of *?", "What is the main job of *?",
            ],
            facts: [
                ("red blood cells", "oxygen transport"), ("platelets", "blood clotting"),
                ("neutrophils", "defense against bacteria"), ("eosinophils", "defense against parasites"),
                ("lymphocytes", "immune memory"), ("kidneys", "filtering blood"), ("lungs", "gas exchange"),
                ("heart valves", "directing blood flow"),
            ]
        ),
        Relation(
            kind: "organ",
            wordings: [
                "Which organ is affected by *?", "In which organ does one find *?", "Where does * occur?",
                "* is a finding in which organ?", "Which organ shows *?", "What organ is the site of *?",
            ],
            facts: [
                ("pneumonia", "lung"), ("emphysema", "lung"), ("cirrhosis", "liver"), ("hepatitis", "liver"),
                ("melanoma", "skin"), ("psoriasis", "skin"), ("stroke", "brain"), ("hydrocephalus", "brain"),
                ("pyelonephritis", "kidney"), ("nephritis", "kidney"),
            ]
        ),
        Relation(
            kind: "malignancy",
            wordings: [
                "Is a * benign or malignant?", "Benign or malignant: what is a *?",
                "Would you call a * benign or malignant?",
                "How is a * classified, benign or malignant?", "Does a * count as benign or malignant?",
                "Is the nature of a * benign or malignant?",
            ],
            facts: [
                ("nevus", "benign"), ("hemangioma", "benign"), ("lipoma", "benign"), ("simple cyst", "benign"),
                ("fibroma", "benign"), ("melanoma", "malignant"), ("sarcoma", "malignant"), ("lymphoma", "malignant"),
                ("carcinoma", "malignant"), ("glioblastoma", "malignant"),
            ],
            choices: ["benign", "malignant"]
        ),
        Relation(
            kind: "brightness",
            wordings: [
                "How does * appear?", "Is * bright or dark?", "What is the appearance of *?",
                "Does * look bright or dark?", "Bright or dark: how is * shown?", "Which brightness does * have?",
            ],
            facts: [
                ("bone on CT", "bright"), ("calcification on CT", "bright"), ("air on CT", "dark"),
                ("fat on CT", "dark"),
                ("water on T2 weighted MR", "bright"), ("water on T1 weighted MR", "dark"),
                ("fat on T1 weighted MR", "bright"), ("cortical bone on MR", "dark"), ("lung on X-ray", "dark"),
                ("metal on X-ray", "bright"),
            ],
            choices: ["bright", "dark"]
        ),
    ]
}
