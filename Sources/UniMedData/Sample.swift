/// The part of a data set a sample belongs to.
public enum Split: String, Codable, CaseIterable, Sendable, Hashable {
    case train
    case validation
    case test
}

/// Where a sample's picture is, and its size before any resizing.
public struct ImageReference: Codable, Sendable, Equatable, Hashable {
    /// The file's path, relative to the root folder of its data set.
    public var path: String
    /// The width of the original image, in pixels.
    public var width: Int
    /// The height of the original image, in pixels.
    public var height: Int
    /// The stack of slices where this is a volume, whose width and height are those of a slice; `nil` for an image.
    public var volume: VolumeReference?

    /// Makes a reference to an image file, or to a volume.
    public init(path: String, width: Int, height: Int, volume: VolumeReference? = nil) {
        self.path = path
        self.width = width
        self.height = height
        self.volume = volume
    }
}

/// One example of one task: the record every importer produces and everything else reads, one JSON line each.
public struct Sample: Codable, Sendable, Equatable {
    /// Unique within the data set.
    public var id: String
    /// The data set's name in the registry of importers, for example `medpix`.
    public var dataset: String
    /// The part of the data set.
    public var split: Split
    /// The task.
    public var task: MedicalTask
    /// The patient, case or study the sample belongs to, so that splits can be checked for leaks.
    public var group: String?
    /// The picture; `nil` for question answering.
    public var image: ImageReference?
    /// The question, for the tasks that carry one (qa, vqa) and for cls, whose question lists the classes.
    public var question: String?
    /// The kind of question, for example `modality`: the trivial baseline answers by kind.
    public var questionKind: String?
    /// The referred object's name (rec, reg).
    public var objectName: String?
    /// The referred object's box in pixels of the original image (rec, reg).
    public var box: BoundingBox?
    /// The slices that the box spans, where the image is a volume (rec, reg); together they are ``box3D``.
    public var boxSlices: SliceRange?
    /// The closed set of answers, where there is one (cls, multiple-choice and yes/no questions).
    public var choices: [String]?
    /// The reference answer in words.
    ///
    /// For rec it is empty: the answer is the box.
    public var answer: String
    /// What the picture shows, by field (`modality`, `plane`, …): the labels vision pretraining may use.
    public var fields: [String: String]?

    /// How the picture was taken, where the data set says it: the field `modality`.
    public var modality: String? { fields?["modality"] }

    /// The referred object's box in a volume; `nil` without a box or a range of slices.
    public var box3D: BoundingBox3D? {
        guard let box, let boxSlices else { return nil }
        return BoundingBox3D(box: box, slices: boxSlices)
    }

    /// Makes a sample.
    public init(
        id: String,
        dataset: String,
        split: Split,
        task: MedicalTask,
        group: String? = nil,
        image: ImageReference? = nil,
        question: String? = nil,
        questionKind: String? = nil,
        objectName: String? = nil,
        box: BoundingBox? = nil,
        boxSlices: SliceRange? = nil,
        choices: [String]? = nil,
        answer: String,
        fields: [String: String]? = nil
    ) {
        self.id = id
        self.dataset = dataset
        self.split = split
        self.task = task
        self.group = group
        self.image = image
        self.question = question
        self.questionKind = questionKind
        self.objectName = objectName
        self.box = box
        self.boxSlices = boxSlices
        self.choices = choices
        self.answer = answer
        self.fields = fields
    }
}
