/// A named box in an image: every annotated object, also those whose name is not unique and that no task refers to.
///
/// Vision pretraining may use them; they are kept beside the samples, in one record per image.
public struct ImageAnnotation: Codable, Sendable, Equatable {
    /// The data set's name in the registry of importers.
    public var dataset: String
    /// The part of the data set.
    public var split: Split
    /// The image.
    public var image: ImageReference
    /// Every annotated object of the image.
    public var objects: [NamedBox]
    /// What the picture shows, by field.
    public var fields: [String: String]
    /// A description of the whole image (its report), for contrastive pretraining.
    public var text: String?

    /// Makes an annotation.
    public init(
        dataset: String,
        split: Split,
        image: ImageReference,
        objects: [NamedBox] = [],
        fields: [String: String] = [:],
        text: String? = nil
    ) {
        self.dataset = dataset
        self.split = split
        self.image = image
        self.objects = objects
        self.fields = fields
        self.text = text
    }
}

/// An object's name and its box.
public struct NamedBox: Codable, Sendable, Equatable {
    /// The object's name.
    public var name: String
    /// The box in pixels of the original image.
    public var box: BoundingBox

    /// Makes a named box.
    public init(name: String, box: BoundingBox) {
        self.name = name
        self.box = box
    }
}
